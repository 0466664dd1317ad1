"""Vision Transformer: position embeddings of another size, old files, bad arguments, capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument
from zoo_classification.vision_transformer import (
    POSITIONS,
    ConvStemConfig,
    SelfAttention,
    VisionTransformer,
    adapt,
    interpolate_embeddings,
)

TINY = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24, "num_classes": 5}


@zoo.builder(head="heads.head", stem="conv_proj", convert=adapt)
def tiny_vit(*, image_size: int = 32, **kwargs: Any) -> VisionTransformer:
    return VisionTransformer(image_size, **{**TINY, **kwargs})


def randomised(model: nn.Module) -> nn.Module:
    """With a head that is not zero."""
    torch.manual_seed(0)
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    return model.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_embeddings_are_resized_as_a_picture_beside_the_class_token(dtype: torch.dtype) -> None:
    ramp = torch.linspace(0, 1, 4)
    grid = torch.stack([ramp.expand(4, 4), ramp[:, None].expand(4, 4), torch.ones(4, 4)], dim=-1)  # x, y, constant
    pos = torch.cat([torch.tensor([[7.0, 8.0, 9.0]]), grid.reshape(16, 3)])[None].to(dtype)
    state = {POSITIONS: pos, "heads.head.bias": torch.zeros(5), "encoder.ln.bias": torch.ones(3)}
    new = interpolate_embeddings(48, 8, state, interpolation_mode="bilinear")

    ramp = torch.linspace(0, 1, 6)
    want = torch.stack([ramp.expand(6, 6), ramp[:, None].expand(6, 6), torch.ones(6, 6)], dim=-1)
    assert new[POSITIONS].dtype == dtype
    assert torch.equal(new[POSITIONS][:, 0], pos[:, 0])
    torch.testing.assert_close(new[POSITIONS][0, 1:].float(), want.view(36, 3), atol=1e-3, rtol=0)
    assert list(new) == list(state)
    assert state[POSITIONS] is pos, "the given state is not modified"


def test_bicubic_keeps_corners_and_constants() -> None:
    pos = torch.randn(1, 1 + 16, 3, generator=torch.Generator().manual_seed(0))
    pos[:, 1:, 2] = 0.5
    corners = [1, 4, 13, 16]
    new = interpolate_embeddings(56, 8, {POSITIONS: pos})[POSITIONS]
    torch.testing.assert_close(new[:, [1, 7, 43, 49]], pos[:, corners])
    torch.testing.assert_close(new[0, 1:, 2], torch.full((49,), 0.5))


def test_half_precision_embeddings_are_interpolated_in_float() -> None:
    pos = torch.randn(1, 1 + 16, 8, generator=torch.Generator().manual_seed(0)).half()
    new = interpolate_embeddings(56, 8, {POSITIONS: pos})[POSITIONS]
    assert torch.equal(new, interpolate_embeddings(56, 8, {POSITIONS: pos.float()})[POSITIONS].half())


def test_embeddings_of_the_same_size_are_the_same() -> None:
    pos = torch.randn(1, 17, 3)
    assert torch.equal(interpolate_embeddings(32, 8, {POSITIONS: pos})[POSITIONS], pos)


def test_reset_heads_leaves_the_head_out() -> None:
    state = tiny_vit().state_dict()
    assert set(state) - set(interpolate_embeddings(48, 8, state, reset_heads=True)) == {
        "heads.head.weight",
        "heads.head.bias",
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((50, 8, {}), InvalidArgument, "image_size=50 .* multiple of patch_size=8, such as 48 or 56"),
        ((48, 8, {POSITIONS: torch.zeros(1, 17, 3)}, "nearest"), InvalidArgument, "'bicubic' or 'bilinear'"),
        ((48, 8, {}), CheckpointError, "no encoder.pos_embedding"),
        ((48, 8, {POSITIONS: torch.zeros(1, 16, 3)}), CheckpointError, r"shape \[1, 16, 3\]"),
    ],
)
def test_what_cannot_be_interpolated_is_an_error(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        interpolate_embeddings(*arguments)


def test_file_of_the_first_version_loads(tmp_path: Path) -> None:
    model = randomised(tiny_vit())
    old = {
        k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v
        for k, v in model.state_dict().items()
    }
    assert sum(".mlp.linear_" in key for key in old) == 2 * 4
    torch.save(old, tmp_path / "old.pth")
    loaded = tiny_vit(weights=tmp_path / "old.pth").eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(x), model(x))


def test_file_of_another_image_size_loads_with_its_positions_interpolated(tmp_path: Path) -> None:
    model = randomised(tiny_vit())
    torch.save(model.state_dict(), tmp_path / "32.pth")
    loaded = tiny_vit(weights=tmp_path / "32.pth", image_size=48).eval()
    want = interpolate_embeddings(48, 8, model.state_dict())
    assert all(torch.equal(value, want[key]) for key, value in loaded.state_dict().items())
    assert loaded(torch.randn(1, 3, 48, 48)).shape == (1, 5)


def test_images_need_not_be_square(tmp_path: Path) -> None:
    model = randomised(tiny_vit())
    torch.save(model.state_dict(), tmp_path / "32.pth")
    loaded = tiny_vit(weights=tmp_path / "32.pth", image_size=(24, 48)).eval()
    assert zoo.load_report(loaded).converted == (POSITIONS,)
    grid = loaded.encoder.pos_embedding[0, 1:].view(3, 6, -1)
    old = model.encoder.pos_embedding[0, 1:].view(4, 4, -1)
    # The corners keep their values.
    for theirs, ours in (((0, 0), (0, 0)), ((0, 3), (0, 5)), ((3, 0), (2, 0)), ((3, 3), (2, 5))):
        torch.testing.assert_close(grid[ours], old[theirs])
    assert torch.equal(loaded.encoder.pos_embedding[:, 0], model.encoder.pos_embedding[:, 0])
    want = interpolate_embeddings((24, 48), 8, model.state_dict())
    assert torch.equal(loaded.encoder.pos_embedding, want[POSITIONS])
    assert loaded(torch.randn(1, 3, 24, 48)).shape == (1, 5)
    with pytest.raises(InvalidArgument, match=r"48×24 pixels .* built for 24×48"):
        loaded(torch.zeros(1, 3, 48, 24))
    square = tiny_vit(weights=tmp_path / "32.pth", image_size=(32, 32))
    assert torch.equal(square.encoder.pos_embedding, model.encoder.pos_embedding)
    features = zoo.backbone(loaded)(torch.randn(2, 3, 24, 48))
    assert [list(f.shape) for f in features.values()] == [[2, 16, 3, 6]] * len(features)


@pytest.mark.parametrize(("written", "wanted"), [((24, 48), 32), ((48, 24), 32), ((24, 48), (48, 72)), ((64, 24), 24)])
def test_files_of_images_that_were_no_squares(tmp_path: Path, written: Any, wanted: Any) -> None:
    """The grid is inferred from the embeddings: neighbours are similar."""
    rows, columns = (side // 8 for side in written)
    model = randomised(tiny_vit(image_size=written))
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, columns), indexing="ij")
    waves = torch.stack([torch.sin(k * y * 3) + torch.cos(k * x * 5) for k in range(1, 17)], -1)
    with torch.no_grad():
        model.encoder.pos_embedding[0, 1:] = waves.flatten(0, 1)
    torch.save(model.state_dict(), tmp_path / "long.pth")
    loaded = tiny_vit(weights=tmp_path / "long.pth", image_size=wanted).eval()
    assert zoo.load_report(loaded).converted == (POSITIONS,)
    height, width = (side // 8 for side in (wanted if isinstance(wanted, tuple) else (wanted, wanted)))
    grid = loaded.encoder.pos_embedding[0, 1:].view(height, width, -1)
    for there, here in (((0, 0), (0, 0)), ((0, -1), (0, -1)), ((-1, 0), (-1, 0)), ((-1, -1), (-1, -1))):
        torch.testing.assert_close(grid[here], waves[there])
    assert torch.equal(loaded.encoder.pos_embedding[:, 0], model.encoder.pos_embedding[:, 0])


def test_positions_may_be_replaced_after_building() -> None:
    """As code for torchvision does: set the new positions and the matching size."""
    model = tiny_vit().eval()
    state = interpolate_embeddings(48, 8, model.state_dict())
    model.encoder.pos_embedding = nn.Parameter(state[POSITIONS])
    model.image_size = 48
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (32, 36)}, r"image_size=\(32, 36\) .* such as 32 or 40"),
        ({"image_size": (32, 32, 32)}, r"expected a whole number, or two: \(height, width\)"),
        ({"image_size": 36}, "image_size=36 .* multiple of patch_size=8, such as 32 or 40"),
        ({"image_size": 4}, "such as 8"),
        ({"num_heads": 3}, "hidden_dim=16 cannot be split over num_heads=3"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"attention_dropout": 2}, "attention_dropout is 2"),
        ({"num_classes": -1}, "num_classes"),
        ({"representation_size": 0}, "representation_size is 0"),
        ({"conv_stem_configs": [ConvStemConfig(4, 3, 2)]}, r"strides \[2\].*patch_size=8"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        tiny_vit(**arguments)


def test_images_of_another_size_are_refused_with_advice() -> None:
    with pytest.raises(InvalidArgument, match=r"32×40 pixels .* built for 32×32.*image_size="):
        tiny_vit()(torch.zeros(1, 3, 32, 40))


def test_attention_is_torchs_multi_head_attention() -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    torch.manual_seed(0)
    ours = SelfAttention(16, 4)
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    ours.load_state_dict(randomised(theirs).state_dict())
    x = torch.randn(2, 7, 16)
    torch.testing.assert_close(ours(x, x, x, need_weights=False), theirs(x, x, x, need_weights=False))


def test_attention_maps_and_masks_are_torchs() -> None:
    model = randomised(tiny_vit()).eval()
    attention, x = model.encoder.layers[0].self_attention, torch.randn(2, 7, 16)
    assert isinstance(attention, nn.MultiheadAttention)
    theirs = nn.MultiheadAttention(16, attention.num_heads, batch_first=True).eval()
    theirs.load_state_dict(attention.state_dict())
    y, mask = torch.randn(2, 5, 16), torch.ones(7, 7).triu(1).bool()
    for args, options in (
        ((x, x, x), {}),
        ((x, x, x), {"average_attn_weights": False}),
        ((x, y, y), {"need_weights": False}),
        ((x, x, x), {"need_weights": False, "attn_mask": mask}),
        ((x, x, x), {"need_weights": False, "key_padding_mask": torch.tensor([[False] * 6 + [True]] * 2)}),
    ):
        for ours, want in zip(attention(*args, **options), theirs(*args, **options), strict=True):
            torch.testing.assert_close(ours, want)
    _, maps = attention(x, x, x)
    assert maps.shape == (2, 7, 7)
    # Attention maps of a full model: its blocks request none, a wrapper may.
    found = []

    def with_weights(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
        return args, kwargs | {"need_weights": True}

    attention.register_forward_pre_hook(with_weights, with_kwargs=True)
    attention.register_forward_hook(lambda module, args, output: found.append(output[1]))
    images = torch.randn(1, 3, 32, 32)
    want = randomised(tiny_vit()).eval()(images)
    torch.testing.assert_close(model(images), want)
    assert found[0].shape == (1, 17, 17)
    torch.testing.assert_close(found[0].sum(-1), torch.ones(1, 17))


def test_process_input_gives_the_patches_tokens() -> None:
    model, x = tiny_vit(image_size=(16, 32)), torch.randn(2, 3, 16, 32)
    tokens = model._process_input(x)
    assert tokens.shape == (2, 8, 16)
    torch.testing.assert_close(tokens[:, 5], model.conv_proj(x[:, :, 8:16, 8:16])[:, :, 0, 0])


def test_attention_dropout_is_for_training() -> None:
    attention, x = SelfAttention(16, 4, dropout=0.5), torch.randn(2, 7, 16)

    def attended() -> torch.Tensor:
        return attention(x, x, x, need_weights=False)[0]

    assert not torch.equal(attended(), attended())
    attention.eval()
    assert torch.equal(attended(), attended())


def test_no_classes_give_the_class_tokens_features() -> None:
    x, outputs = torch.randn(2, 3, 32, 32), []
    model = randomised(tiny_vit(num_classes=0))
    model.encoder.register_forward_hook(lambda module, given, output: outputs.append(output))
    assert torch.equal(model(x), outputs[0][:, 0])
    assert tiny_vit(num_classes=0, representation_size=12)(x).shape == (2, 12)


def test_convolutional_stem_takes_the_place_of_the_projection() -> None:
    stem = [ConvStemConfig(6, 3, 2), ConvStemConfig(10, 3, 4)]
    model = tiny_vit(conv_stem_configs=stem, in_channels=2).eval()
    strides = [m.stride[0] for m in model.conv_proj.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [2, 4, 1]
    assert model(torch.randn(2, 2, 32, 32)).shape == (2, 5)
