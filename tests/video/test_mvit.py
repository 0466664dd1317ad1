"""MViT: pooled attention, relative positions, clips of other sizes, bad arguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_video import randomised, tiny_v1, tiny_v2
from torch import nn

from zoo.errors import CheckpointError, InvalidArgument
from zoo_video.mvit import (
    MultiscaleAttention,
    MViT,
    Pool,
    mvit_v1_b,
    mvit_v2_s,
    relative_index,
    resize,
)

VERSIONS = [tiny_v1, tiny_v2]


@pytest.mark.parametrize(("q", "k", "rows"), [(4, 4, 7), (8, 2, 15), (3, 6, 11), (1, 1, 1)])
def test_offsets_are_counted_on_the_finer_grid(q: int, k: int, rows: int) -> None:
    index = relative_index(q, k)
    side = max(q, k)
    for i in range(q):
        for j in range(k):
            assert index[i, j] == i * (side // q) - j * (side // k) + (k - 1) * (side // k)
    assert index.min() == 0 if k == side else index.min() >= 0
    assert index.max() < rows == 2 * side - 1


def test_biased_attention_is_that_of_the_paper() -> None:
    """softmax(q·k / √C + q·(R_t + R_h + R_w)) v, with every bias looked up separately; the class token has none."""
    size, heads, width = (2, 5, 4), 2, 6
    pooling = [(3, 3, 3), (3, 3, 3), (1, 2, 2), (1, 1, 1)]
    attention = randomised(MultiscaleAttention(size, 12, 12, heads, *pooling, False, False, True, 0.0, nn.LayerNorm))
    x = torch.randn(3, 1 + math.prod(size), 12)
    with torch.no_grad():
        q, k, v = attention.qkv(x).view(3, -1, 3, heads, width).permute(2, 0, 3, 1, 4)
        (q, _), (k, _), (v, _) = attention.pool_q(q, size), attention.pool_k(k, size), attention.pool_v(v, size)
        logits = q @ k.mT / math.sqrt(width)
        # Height and width have tables of the same length, that of the longer side; the shorter side's is interpolated.
        tables = [
            nn.functional.interpolate(table.T[None], 2 * max(n, m) - 1, mode="linear")[0].T
            for table, n, m in zip(
                (attention.rel_pos_t, attention.rel_pos_h, attention.rel_pos_w), (2, 3, 2), size, strict=True
            )
        ]
        grids = [list(torch.cartesian_prod(*map(torch.arange, s)).tolist()) for s in ((2, 3, 2), size)]
        for i, place in enumerate(grids[0]):
            for j, other in enumerate(grids[1]):
                for table, a, b, n, m in zip(tables, place, other, (2, 3, 2), size, strict=True):
                    row = int(a * max(m / n, 1) - b * max(n / m, 1) + (m - 1) * max(n / m, 1))
                    logits[:, :, 1 + i, 1 + j] += q[:, :, 1 + i] @ table[row]
        want = attention.project((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
        got, after = attention(x, size)
        torch.testing.assert_close(got, want)
        assert after == (2, 3, 2)


def test_pooling_leaves_the_class_token_alone() -> None:
    x = torch.arange(2.0 * 1 * (1 + 16) * 3).view(2, 1, 17, 3)
    out, after = Pool(nn.MaxPool3d((1, 2, 2), (1, 2, 2)), None)(x, (1, 4, 4))
    assert after == (1, 2, 2)
    assert torch.equal(out[:, :, 0], x[:, :, 0])
    assert torch.equal(out[:, :, 1:], x[:, :, 1:].view(2, 1, 2, 2, 2, 2, 3).amax((3, 5)).flatten(2, 3))


@pytest.mark.parametrize("residual_with_cls_embed", [False, True])
def test_pooled_queries_are_added_to_what_they_gather(residual_with_cls_embed: bool) -> None:
    size, ones = (1, 2, 2), (1, 1, 1)
    pooling = [(3, 3, 3), (3, 3, 3), ones, ones]
    with_q = MultiscaleAttention(size, 4, 4, 1, *pooling, True, residual_with_cls_embed, rel_pos_embed=False)
    without = MultiscaleAttention(size, 4, 4, 1, *pooling, False, False, rel_pos_embed=False)
    without.load_state_dict(randomised(with_q).state_dict())
    x = torch.randn(1, 5, 4)
    q = with_q.pool_q(with_q.qkv(x)[..., :4], size)[0]
    if not residual_with_cls_embed:
        q = torch.cat([torch.zeros(1, 1, 4), q[:, 1:]], 1)
    want = without(x, size)[0] + nn.functional.linear(q, with_q.project[0].weight)
    torch.testing.assert_close(with_q(x, size)[0], want)


@pytest.mark.parametrize("build", VERSIONS)
@pytest.mark.parametrize(("frames", "size"), [(1, (16, 16)), (7, (36, 20)), (12, (33, 47))])
def test_built_for_any_size(build: Any, frames: int, size: tuple[int, int]) -> None:
    model = build(temporal_size=frames, spatial_size=size).eval()
    assert model(torch.randn(2, 3, frames, *size)).shape == (2, 5)


@pytest.mark.parametrize("build", VERSIONS)
@pytest.mark.parametrize("shape", [(5, 32, 32), (6, 32, 30), (12, 64, 64)])
def test_clips_of_another_size_are_refused_with_the_way_out(build: Any, shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    with pytest.raises(InvalidArgument, match=rf"takes 6 of 32×32.*temporal_size={frames}, spatial_size=\({height}, "):
        build()(torch.zeros(1, 3, *shape))
    model = build(temporal_size=frames, spatial_size=(height, width)).eval()
    assert model(torch.zeros(1, 3, *shape)).isfinite().all()


def test_positions_are_resized_with_ends_and_corners_in_place() -> None:
    line = torch.stack([torch.arange(5.0), torch.ones(5)], 1)
    new = resize(line, [9], "linear")
    torch.testing.assert_close(new, torch.stack([torch.arange(9.0) / 2, torch.ones(9)], 1))
    ramp = torch.arange(4.0)
    picture = torch.stack([ramp.repeat_interleave(4), ramp.repeat(4)], 1)
    new = resize(picture, [7, 3], "bicubic").view(7, 3, 2)
    torch.testing.assert_close(new[[0, 3, 6], 0, 0], torch.tensor([0.0, 1.5, 3.0]))
    torch.testing.assert_close(new[0, :, 1], torch.tensor([0.0, 1.5, 3.0]))
    assert resize(line.half(), [9], "linear").dtype == torch.float16
    with pytest.raises(CheckpointError, match=r"shape \[15, 2\]"):
        resize(picture[:15], [7, 3], "bicubic")


@pytest.mark.parametrize("build", VERSIONS)
def test_file_of_another_clip_size_loads_with_its_positions_resized(build: Any, tmp_path: Path) -> None:
    torch.save(randomised(build()).state_dict(), tmp_path / "6.pth")
    model = build(weights=tmp_path / "6.pth", temporal_size=10, spatial_size=(48, 64)).eval()
    saved = torch.load(tmp_path / "6.pth", weights_only=True)
    own = model.state_dict()
    changed = {name.rpartition(".")[2] for name in own if own[name].shape != saved[name].shape}
    assert changed == ({"spatial_pos", "temporal_pos"} if build is tiny_v1 else {"rel_pos_h", "rel_pos_w", "rel_pos_t"})
    for name, value in own.items():
        kind = name.rpartition(".")[2]
        if kind == "spatial_pos":
            assert torch.equal(value, resize(saved[name], (12, 16), "bicubic"))
        elif kind in changed:
            assert torch.equal(value, resize(saved[name], value.shape[:1], "linear"))
        else:
            assert torch.equal(value, saved[name])
    assert model(torch.randn(1, 3, 10, 48, 64)).isfinite().all()


def test_published_models_take_other_clip_sizes() -> None:
    with torch.device("meta"):
        for build in (mvit_v1_b, mvit_v2_s):
            model = build(temporal_size=32, spatial_size=(160, 240)).eval()
            assert model(torch.empty(1, 3, 32, 160, 240)).shape == (1, 400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_size": 224}, r"spatial_size is 224; expected two whole numbers: \(height, width\)"),
        ({"spatial_size": (0, 32)}, "spatial_size is 0"),
        ({"temporal_size": 0}, "temporal_size is 0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"attention_dropout": 2}, "attention_dropout is 2"),
        ({"stochastic_depth_prob": 1.5}, "stochastic_depth_prob is 1.5"),
        ({"num_classes": -1}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        tiny_v2(**arguments)
    with pytest.raises(InvalidArgument, match="block_setting is empty"):
        MViT((32, 32), 4, [], True, False, True, True)
