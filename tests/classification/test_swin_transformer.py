"""Swin Transformer: shifted windows, sizes that windows do not divide, positions of another window, bad arguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument
from zoo_classification.swin_transformer import (
    V2,
    PatchMerging,
    ShiftedWindowAttention,
    ShiftedWindowAttentionV2,
    SwinTransformer,
    adapt,
    from_windows,
    relative_position_index,
    resize_position_table,
    swin,
    to_windows,
    window_of,
)

ATTENTIONS = [ShiftedWindowAttention, ShiftedWindowAttentionV2]


@zoo.builder(head="head", stem="features.0.0", convert=adapt)
def tiny_swin(*, window_size: int = 4, **kwargs: Any) -> SwinTransformer:
    return swin(8, [2, 2], [1, 2], window_size, 0.0, **{"num_classes": 5, **kwargs})


@zoo.builder(head="head", stem="features.0.0", convert=adapt)
def tiny_swin_v2(*, window_size: int = 4, **kwargs: Any) -> SwinTransformer:
    return tiny_swin(window_size=window_size, **V2, **kwargs)


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.3)
    return module.eval()


@pytest.mark.parametrize("window", [(3,), (2, 3), (3, 3), (2, 3, 2)])
def test_relative_position_index_tells_offsets_apart(window: tuple[int, ...]) -> None:
    index = relative_position_index(window)
    places = torch.cartesian_prod(*(torch.arange(w) for w in window)).view(-1, len(window)).tolist()
    row_of: dict[tuple[int, ...], int] = {}
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            offset = tuple(x - y for x, y in zip(a, b, strict=True))
            assert row_of.setdefault(offset, index[i, j].item()) == index[i, j]
    rows = [row for _, row in sorted(row_of.items())]
    assert rows == list(range(math.prod(2 * w - 1 for w in window)))


def test_windows_are_cut_and_put_together() -> None:
    x = torch.arange(2 * 4 * 9 * 5.0).view(2, 4, 9, 5)
    windows = to_windows(x, (2, 3))
    assert windows.shape == (2 * 6, 6, 5)
    assert torch.equal(windows[4], x[0, 2:4, 3:6].reshape(6, 5))
    assert torch.equal(from_windows(windows, (2, 3), (4, 9)), x)


def sees(attention: nn.Module, height: int, width: int) -> Tensor:
    """Mask of the tokens that each token's output depends on: [tokens, tokens]."""
    x = torch.randn(1, height, width, 4, dtype=torch.float64, requires_grad=True)
    rows = []
    for out in attention.double()(x).sum(-1).flatten():
        (grad,) = torch.autograd.grad(out, x, retain_graph=True)
        rows.append(grad.abs().sum(-1).flatten() > 1e-20)  # masked tokens have a weight of exp(-100)
    return torch.stack(rows)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(
    ("size", "shift", "shifted"),
    [
        ((6, 9), (0, 0), (0, 0)),
        ((6, 9), (1, 1), (1, 1)),
        ((6, 6), (1, 2), (1, 2)),
        ((3, 6), (1, 1), (0, 1)),  # no shift along dimensions that fit into one window
        ((2, 8), (1, 1), (0, 1)),
        ((7, 4), (1, 1), (1, 1)),
    ],
)
def test_tokens_attend_to_their_window_alone(
    attention: type[ShiftedWindowAttention], size: tuple[int, int], shift: tuple[int, int], shifted: tuple[int, int]
) -> None:
    window_of = [torch.arange(n).sub(s).div(3, rounding_mode="floor") for n, s in zip(size, shifted, strict=True)]
    rows, columns = (w.flatten() for w in torch.meshgrid(*window_of, indexing="ij"))
    want = (rows[:, None] == rows) & (columns[:, None] == columns)
    assert torch.equal(sees(randomised(attention(4, [3, 3], shift, num_heads=2)), *size), want)


@pytest.mark.parametrize("dropout", ["attention_dropout", "dropout"])
def test_dropout_is_for_training(dropout: str) -> None:
    attention = ShiftedWindowAttention(4, [3, 3], [1, 1], num_heads=2, **{dropout: 0.5})
    x = torch.randn(1, 6, 6, 4)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_sizes_that_windows_do_not_divide_are_padded_below_and_right(attention: type[ShiftedWindowAttention]) -> None:
    module = randomised(attention(4, [3, 3], [1, 1], num_heads=2))
    x = torch.randn(2, 7, 5, 4)
    torch.testing.assert_close(module(x), module(F.pad(x, (0, 0, 0, 1, 0, 2)))[:, :7, :5])


@pytest.mark.parametrize("build", [tiny_swin, tiny_swin_v2])
@pytest.mark.parametrize("size", [(4, 4), (41, 70), (100, 12)])
def test_images_of_any_size(build: Any, size: tuple[int, int]) -> None:
    model, shapes = build().eval(), []
    for stage in model.feature_info:
        model.get_submodule(stage.path).register_forward_hook(lambda m, i, out: shapes.append(list(out.shape)))
    assert model(torch.randn(1, 3, *size)).shape == (1, 5)
    h, w = (n // 4 for n in size)
    assert shapes == [[1, h, w, 8], [1, -(-h // 2), -(-w // 2), 16]]
    assert [(stage.stride, stage.layout) for stage in model.feature_info] == [(4, "NHWC"), (8, "NHWC")]


def test_merging_pads_odd_sizes_with_zeros() -> None:
    x = torch.arange(1.0, 10).view(1, 3, 3, 1)
    merged = PatchMerging(1).merge(x)
    assert merged.view(4, 4).tolist() == [[1, 4, 2, 5], [3, 6, 0, 0], [7, 0, 8, 0], [9, 0, 0, 0]]


def test_table_of_positions_is_resized_as_a_picture() -> None:
    ramp = torch.arange(-3.0, 4)  # the offsets within a window of 4
    table = torch.stack([ramp.repeat_interleave(7), ramp.repeat(7), torch.ones(49)], dim=1)
    new = resize_position_table(table, (6, 3)).view(11, 5, 3)
    torch.testing.assert_close(new[[0, 5, -1], 0, 0], torch.tensor([-3.0, 0.0, 3.0]))
    torch.testing.assert_close(new[0, [0, 2, -1], 1], torch.tensor([-3.0, 0.0, 3.0]))
    torch.testing.assert_close(new[..., 2], torch.ones(11, 5))
    assert torch.allclose(resize_position_table(table, (4, 4)), table, atol=1e-6)
    with pytest.raises(CheckpointError, match=r"shape \[48, 3\]"):
        resize_position_table(table[:48], (6, 6))


def test_file_of_another_window_loads_with_its_positions_resized(tmp_path: Path) -> None:
    model = randomised(tiny_swin())
    torch.save(model.state_dict(), tmp_path / "4.pth")
    loaded = tiny_swin(weights=tmp_path / "4.pth", window_size=6).eval()
    ours, theirs = (m.features[3][1].attn for m in (loaded, model))
    want = resize_position_table(theirs.relative_position_bias_table, (6, 6))
    assert torch.equal(ours.relative_position_bias_table, want)
    assert torch.equal(ours.relative_position_index, relative_position_index((6, 6)).flatten())
    assert torch.equal(ours.qkv.weight, theirs.qkv.weight)
    assert loaded(torch.randn(1, 3, 48, 48)).isfinite().all()


def test_windows_need_not_be_square_in_file_or_model(tmp_path: Path) -> None:
    """Windows of 6 × 3 and 3 × 6 have the same number of tokens and table shape, but differ."""
    model = randomised(tiny_swin(window_size=(6, 3)))
    torch.save(model.state_dict(), tmp_path / "6x3.pth")
    for window in ((3, 6), (4, 4), (5, 7)):
        loaded = tiny_swin(weights=tmp_path / "6x3.pth", window_size=window).eval()
        ours, theirs = (m.features[3][1].attn for m in (loaded, model))
        want = resize_position_table(theirs.relative_position_bias_table, window, (6, 3))
        assert torch.equal(ours.relative_position_bias_table, want)
        assert torch.equal(ours.relative_position_index, relative_position_index(window).flatten())
        h, w = window  # the zero offset and the largest ones keep their biases
        old, new = theirs.relative_position_bias_table.view(11, 5, 2), want.view(2 * h - 1, 2 * w - 1, 2)
        torch.testing.assert_close(new[[0, h - 1, -1], [0, w - 1, -1]], old[[0, 5, -1], [0, 2, -1]])
        converted = zoo.load_report(loaded).converted
        assert {name.rpartition(".")[2] for name in converted} == {
            "relative_position_bias_table",
            "relative_position_index",
        }
        assert len(converted) == 2 * 4
    same = tiny_swin(weights=tmp_path / "6x3.pth", window_size=(6, 3))
    assert zoo.load_report(same).converted == ()


@pytest.mark.parametrize("window", [(1, 1), (1, 5), (5, 2), (3, 4), (7, 7)])
def test_window_is_read_off_its_index(window: tuple[int, int]) -> None:
    index = relative_position_index(window)
    assert window_of(index) == window_of(index.flatten()) == window
    with pytest.raises(CheckpointError, match="does not belong to any window"):
        window_of(index + 1)


def test_version_2_keeps_the_biases_of_offsets_it_was_trained_with(tmp_path: Path) -> None:
    model = randomised(tiny_swin_v2())
    torch.save(model.state_dict(), tmp_path / "4.pth")
    loaded = tiny_swin_v2(weights=tmp_path / "4.pth", window_size=6).eval()
    small, large = (m.features[3][1].attn.get_relative_position_bias().detach() for m in (model, loaded))
    large = large.view(2, 6, 6, 6, 6)[:, 1:5, 1:5, 1:5, 1:5].reshape(1, 2, 16, 16)
    torch.testing.assert_close(large, small)


def test_cosine_attention_has_a_bounded_scale_and_keys_without_bias() -> None:
    attention, x = randomised(ShiftedWindowAttentionV2(4, [3, 3], [1, 1], num_heads=2)), torch.randn(1, 6, 6, 4)
    nn.init.constant_(attention.logit_scale, math.log(100))
    want = attention(x)
    nn.init.constant_(attention.logit_scale, 9.0)
    torch.testing.assert_close(attention(x), want)
    nn.init.constant_(attention.qkv.bias[4:8], 3.0)
    torch.testing.assert_close(attention(x), want)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_size": 0}, "window_size is 0"),
        ({"window_size": (4, 4, 4)}, r"window_size is \(4, 4, 4\); expected a whole number, or two"),
        ({"window_size": 4.5}, "window_size is 4.5"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"attention_dropout": 1.5}, "attention_dropout is 1.5"),
        ({"num_classes": -1}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        tiny_swin(**arguments)


def test_bad_shapes_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"depths=\[2, 2\] and num_heads=\[1\]"):
        swin(8, [2, 2], [1], 4, 0.0)
    with pytest.raises(InvalidArgument, match="width of 8 cannot be split over 3 heads"):
        swin(8, [2], [3], 4, 0.0)
    with pytest.raises(InvalidArgument, match="stochastic_depth_prob is 2"):
        swin(8, [2], [1], 4, 2)
    with pytest.raises(InvalidArgument, match="at least 4×4"):
        tiny_swin()(torch.zeros(1, 3, 3, 8))
