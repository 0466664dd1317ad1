"""MaxViT: windows and grids, sizes that partitions do not divide, positions of another partition, bad arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.maxvit import MaxVit, PartitionAttention, adapt
from zoo_classification.swin_transformer import relative_position_index, resize_position_table


@zoo.builder(head="classifier.5", stem="stem.0.0", convert=adapt)
def tiny_maxvit(*, input_size: Any = 32, partition_size: int = 4, **kwargs: Any) -> MaxVit:
    return MaxVit(input_size, 4, partition_size, [8, 16], [1, 2], 4, **{"stochastic_depth_prob": 0.0, **kwargs})


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.3)
    return module.eval()


def sees(attention: nn.Module, height: int, width: int) -> Tensor:
    """Mask of the pixels that each pixel's output depends on: [pixels, pixels]."""
    x = torch.randn(1, 4, height, width, requires_grad=True)
    grads = [torch.autograd.grad(out, x, retain_graph=True)[0] for out in attention(x).sum(1).flatten()]
    return torch.stack([grad.abs().sum(1).flatten() > 0 for grad in grads])


@pytest.mark.parametrize("kind", ["window", "grid"])
def test_pixels_attend_to_their_partition_alone(kind: str) -> None:
    attention = PartitionAttention(4, 2, 3, kind, (6, 6), 2, nn.GELU, nn.LayerNorm, 0.0, 0.0, 0.0)
    row, column = (i.flatten() for i in torch.meshgrid(torch.arange(6), torch.arange(9), indexing="ij"))
    # A window is 3 × 3 neighbours; the grid uses every 2nd row and every 3rd column, also 3 × 3.
    ids = row // 3 * 100 + column // 3 if kind == "window" else row % 2 * 100 + column % 3
    assert torch.equal(sees(randomised(attention), 6, 9), ids[:, None] == ids)


def test_images_of_any_size_that_partitions_divide() -> None:
    model, shapes = randomised(tiny_maxvit(num_classes=5)), []
    for stage in model.feature_info:
        model.get_submodule(stage.path).register_forward_hook(lambda m, i, out: shapes.append(list(out.shape)))
    assert model(torch.randn(2, 3, 64, 31)).shape == (2, 5)
    assert shapes == [[2, 8, 16, 8], [2, 16, 8, 4]]
    assert [(stage.stride, stage.layout) for stage in model.feature_info] == [(4, "NCHW"), (8, "NCHW")]


@pytest.mark.parametrize("size", [(48, 32), (32, 33), (16, 16)])
def test_images_that_cannot_be_partitioned_are_refused(size: tuple[int, int]) -> None:
    message = f"{size[0]}×{size[1]}; the features of stage 1 .*4×4 do not divide. Use a multiple of 32"
    if size == (32, 33):
        message = "32×33; the features of stage 0 would be 8×9"
    with pytest.raises(InvalidArgument, match=message):
        tiny_maxvit(input_size=size)
    with pytest.raises(InvalidArgument, match=message):
        tiny_maxvit()(torch.zeros(1, 3, *size))


def test_file_of_another_partition_loads_with_its_positions_resized(tmp_path: Path) -> None:
    model = randomised(tiny_maxvit(num_classes=5))
    torch.save(model.state_dict(), tmp_path / "4.pth")
    loaded = tiny_maxvit(weights=tmp_path / "4.pth", input_size=48, partition_size=6, num_classes=5).eval()
    path = "blocks.1.layers.1.layers.grid_attention.attn_layer.1"
    ours, theirs = loaded.get_submodule(path), model.get_submodule(path)
    want = resize_position_table(theirs.relative_position_bias_table, (6, 6))
    assert torch.equal(ours.relative_position_bias_table, want)
    assert torch.equal(ours.relative_position_index, relative_position_index((6, 6)))
    assert torch.equal(ours.to_qkv.weight, theirs.to_qkv.weight)
    assert loaded(torch.randn(1, 3, 48, 48)).isfinite().all()


def test_no_classes_give_the_features_of_the_last_hidden_layer() -> None:
    model, x = randomised(tiny_maxvit(num_classes=0)), torch.randn(2, 3, 32, 32)
    assert torch.equal(model(x), model.classifier[:5](model.blocks(model.stem(x))))
    assert model(x).shape == (2, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": (32, 32, 3)}, "input_size is"),
        ({"partition_size": 0}, "partition_size is 0"),
        ({"attention_dropout": -1}, "attention_dropout is -1"),
        ({"mlp_dropout": 1.1}, "mlp_dropout is 1.1"),
        ({"stochastic_depth_prob": -0.2}, "stochastic_depth_prob is -0.2"),
        ({"num_classes": -1}, "num_classes"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        tiny_maxvit(**arguments)


def test_bad_widths_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"width of 8 .* head_dim=3"):
        MaxVit(32, 4, 4, [8], [1], 3, 0.0)
    with pytest.raises(InvalidArgument, match=r"block_channels=\[8\] and block_layers=\[1, 1\]"):
        MaxVit(32, 4, 4, [8], [1, 1], 4, 0.0)
