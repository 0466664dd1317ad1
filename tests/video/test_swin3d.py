"""Video Swin: windows in space and time, shifted; clips that windows do not divide; bad arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_video import randomised, tiny_swin3d
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.swin_transformer import adapt, relative_position_index, window_of
from zoo_video.swin3d import (
    PatchEmbed3d,
    PatchMerging3d,
    ShiftedWindowAttention3d,
    SwinTransformer3d,
    from_windows,
    swin3d,
    to_windows,
)


def test_windows_are_cut_and_put_together() -> None:
    x = torch.arange(2 * 4 * 6 * 9 * 5.0).view(2, 4, 6, 9, 5)
    windows = to_windows(x, (2, 3, 3))
    assert windows.shape == (2, 2 * 2 * 3, 18, 5)
    assert torch.equal(windows[1, 6 + 3 + 1], x[1, 2:4, 3:6, 3:6].reshape(18, 5))
    assert torch.equal(from_windows(windows, (2, 3, 3), (4, 6, 9)), x)


def sees(attention: nn.Module, size: tuple[int, int, int]) -> Tensor:
    """Mask of the tokens that each token's output depends on: [tokens, tokens]."""
    x = torch.randn(1, *size, 4, dtype=torch.float64, requires_grad=True)
    rows = []
    for out in attention.double()(x).sum(-1).flatten():
        (grad,) = torch.autograd.grad(out, x, retain_graph=True)
        rows.append(grad.abs().sum(-1).flatten() > 1e-20)  # masked tokens have a weight of exp(-100)
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("size", "shift", "shifted"),
    [
        ((4, 6, 3), (0, 0, 0), (0, 0, 0)),
        ((4, 6, 6), (1, 1, 1), (1, 1, 1)),
        ((2, 6, 4), (1, 1, 1), (0, 1, 1)),  # no shift along dimensions that fit into one window
        ((5, 2, 3), (1, 1, 1), (1, 0, 0)),
        ((1, 4, 7), (1, 1, 2), (0, 1, 2)),
    ],
)
def test_tokens_attend_to_their_window_alone(size: Any, shift: Any, shifted: Any) -> None:
    window = (2, 3, 3)
    sides = [min(n, w) for n, w in zip(size, window, strict=True)]
    window_of = [
        torch.arange(n).sub(s).div(w, rounding_mode="floor") for n, s, w in zip(size, shifted, sides, strict=True)
    ]
    places = [w.flatten() for w in torch.meshgrid(*window_of, indexing="ij")]
    want = torch.stack([p[:, None] == p for p in places]).all(0)
    assert torch.equal(sees(randomised(ShiftedWindowAttention3d(4, window, shift, num_heads=2)), size), want)


def test_attention_is_that_of_the_paper_in_every_window() -> None:
    """softmax(q·k / √C + B) v with B looked up separately, in a clip of two windows."""
    attention = randomised(ShiftedWindowAttention3d(6, (2, 2, 2), (0, 0, 0), num_heads=2))
    x = torch.randn(1, 2, 2, 4, 6)
    places = torch.cartesian_prod(*[torch.arange(2)] * 3)
    offset = (places[:, None] - places + 1) @ torch.tensor([9, 3, 1])
    bias = attention.relative_position_bias_table[offset].permute(2, 0, 1)
    for i in range(2):
        part = x[:, :, :, 2 * i : 2 * i + 2]
        q, k, v = attention.qkv(part.reshape(8, 6)).view(8, 3, 2, 3).permute(1, 2, 0, 3)
        out = ((q @ k.mT / 3**0.5 + bias).softmax(-1) @ v).transpose(0, 1).flatten(1)
        want = attention.proj(out).view(1, 2, 2, 2, 6)
        torch.testing.assert_close(attention(x)[:, :, :, 2 * i : 2 * i + 2], want)


def test_clips_that_windows_do_not_divide_are_padded_at_their_ends() -> None:
    module = randomised(ShiftedWindowAttention3d(4, [2, 3, 3], [1, 1, 1], num_heads=2))
    x = torch.randn(2, 5, 7, 5, 4)
    padded = F.pad(x, (0, 0, 0, 1, 0, 2, 0, 1))
    torch.testing.assert_close(module(x), module(padded)[:, :5, :7, :5])


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    model = randomised(tiny_swin3d())
    clips = torch.randn(3, 3, 6, 44, 28)
    torch.testing.assert_close(model(clips), torch.cat([model(clip[None]) for clip in clips]))


@pytest.mark.parametrize("size", [(1, 4, 4), (3, 30, 41), (9, 12, 70)])
def test_clips_of_any_length_and_size(size: tuple[int, int, int]) -> None:
    model, shapes = tiny_swin3d().eval(), []
    for stage in model.feature_info:
        model.get_submodule(stage.path).register_forward_hook(lambda m, i, out: shapes.append(list(out.shape)))
    assert model(torch.randn(1, 3, *size)).shape == (1, 5)
    t, h, w = -(-size[0] // 2), -(-size[1] // 4), -(-size[2] // 4)
    assert shapes == [[1, t, h, w, 8], [1, t, -(-h // 2), -(-w // 2), 16]]


def test_patches_and_merging_pad_with_zeros() -> None:
    embed = PatchEmbed3d((2, 4, 4), 3, 8)
    clip = torch.randn(1, 3, 3, 7, 9)
    torch.testing.assert_close(embed(clip), embed(F.pad(clip, (0, 3, 0, 1, 0, 1))))
    merging = PatchMerging3d(4)
    x = torch.randn(2, 3, 5, 7, 4)
    torch.testing.assert_close(merging(x), merging(F.pad(x, (0, 0, 0, 1, 0, 1))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_size": (8, 7)}, r"window_size is \(8, 7\); expected three whole numbers"),
        ({"window_size": (8, 0, 7)}, "window_size is 0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"attention_dropout": 1.5}, "attention_dropout is 1.5"),
        ({"stochastic_depth_prob": 2}, "stochastic_depth_prob is 2"),
        ({"num_classes": -1}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        tiny_swin3d(**arguments)
    with pytest.raises(InvalidArgument, match=r"depths=\[2, 2\] and num_heads=\[1\]"):
        swin3d(8, [2, 2], [1])


def test_position_tables_load_into_windows_of_other_sizes() -> None:
    """Biases that are linear in the offset stay linear in the new window, with the same range."""

    def grid(window: list[int]) -> tuple[Tensor, ...]:
        return torch.meshgrid(*(torch.linspace(-1, 1, 2 * w - 1) for w in window), indexing="ij")

    def tiny(window: list[int]) -> SwinTransformer3d:
        return SwinTransformer3d([2, 4, 4], 8, [1], [2], window)

    old, new = tiny([3, 4, 5]), tiny([2, 3, 5])
    t, h, _ = grid([3, 4, 5])
    state = {key: value.clone() for key, value in old.state_dict().items()}
    state["features.0.0.attn.relative_position_bias_table"] = torch.stack([t, t + h], -1).view(-1, 2)
    new.load_state_dict(adapt(state, new))
    t, h, _ = grid([2, 3, 5])
    found = new.features[0][0].attn.relative_position_bias_table.view(3, 5, 9, 2).detach()
    torch.testing.assert_close(found[..., 0], t)
    torch.testing.assert_close(found[..., 1], t + h, atol=0.1, rtol=0)  # bicubic at the border
    assert new.features[0][0].attn.relative_position_index.shape == (30, 30)
    assert new.eval()(torch.rand(1, 3, 4, 20, 20)).shape == (1, 400)


@pytest.mark.parametrize("window", [[3, 4, 5], [1, 4, 2], [2, 1, 3], [2, 2, 2]])
def test_windows_are_told_by_their_index(window: list[int]) -> None:
    index = relative_position_index(window)
    assert torch.equal(relative_position_index(window_of(index, 3)), index)


@pytest.mark.slow
def test_a_file_loads_into_windows_of_another_size_with_a_report(tmp_path: Path) -> None:
    torch.save(zoo.models.video.swin3d_t(num_classes=3).state_dict(), tmp_path / "swin.pth")
    model = zoo.models.video.swin3d_t(weights=tmp_path / "swin.pth", num_classes=3, window_size=[4, 5, 5]).eval()
    assert len(zoo.load_report(model).converted) == 24
    assert model(torch.rand(1, 3, 4, 40, 40)).shape == (1, 3)
