"""MNASNet: files of the first version have the stem of alpha 1.0, whatever their alpha."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import zoo
from zoo.errors import CheckpointError, InvalidArgument, WeightsWarning


def batch_norm(name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.rand(width) + 0.5,
        f"{name}.bias": torch.randn(width),
        f"{name}.running_mean": torch.randn(width),
        f"{name}.running_var": torch.rand(width) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(0),
    }


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """Weights of mnasnet0_5 with the old stem of 32 and 16 channels, which the first stage then starts from."""
    torch.manual_seed(0)
    state = zoo.get_model("mnasnet0_5", num_classes=4).state_dict()
    kernels = {"0": (32, 3, 3, 3), "3": (32, 1, 3, 3), "6": (16, 32, 1, 1)}
    kernels |= {"8.0.layers.0": (48, 16, 1, 1), "8.0.layers.3": (48, 1, 3, 3), "8.0.layers.6": (16, 48, 1, 1)}
    for layer, shape in kernels.items():
        state[f"layers.{layer}.weight"] = torch.randn(shape) * 0.1
        head, _, index = layer.rpartition(".")
        state |= batch_norm(f"layers.{head}{'.' if head else ''}{int(index) + 1}", shape[0])
    torch.save(state, tmp_path / "old.pth")
    return tmp_path / "old.pth"


def test_old_stem_is_taken_over_with_a_warning(old_file: Path) -> None:
    with pytest.warns(WeightsWarning, match="first version"):
        model = zoo.get_model("mnasnet0_5", weights=old_file, num_classes=4).eval()

    state = torch.load(old_file, weights_only=True)
    assert list(model.state_dict()) == list(zoo.get_model("mnasnet0_5").state_dict())
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert model.feature_info[0] == zoo.Stage("layers.7", 16, 2)

    def layer(x: Tensor, i: int, **conv: int) -> Tensor:
        x = F.conv2d(x, state[f"layers.{i}.weight"], **conv)
        norm = (state[f"layers.{i + 1}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *norm)

    x = torch.randn(2, 3, 32, 32)
    expected = layer(layer(layer(x, 0, stride=2, padding=1).relu(), 3, padding=1, groups=32).relu(), 6)
    got = zoo.feature_extractor(model, ["layers.7"])(x)["layers.7"]
    torch.testing.assert_close(got, expected)
    assert model(x).shape == (2, 4)


def test_old_stem_with_other_classes_and_channels(old_file: Path) -> None:
    with pytest.warns(WeightsWarning) as said:
        model = zoo.get_model("mnasnet0_5", weights=old_file, num_classes=7, in_channels=1)
    assert ["first version" in str(w.message) for w in said].count(True) == 1
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)


def test_another_alpha_is_no_old_file(tmp_path: Path) -> None:
    torch.save(zoo.get_model("mnasnet1_0").state_dict(), tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match="another shape"):  # a warning would be an error, too
        zoo.get_model("mnasnet0_75", weights=tmp_path / "wide.pth")


@pytest.mark.parametrize("wrong", [{"dropout": -0.1}, {"in_channels": 0}, {"num_classes": -1}])
def test_arguments_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        zoo.get_model("mnasnet1_0", **wrong)
