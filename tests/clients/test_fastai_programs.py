"""fastai with zoo's models as the bodies of its learners. `make test-clients` installs it in a separate environment."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("torchvision"),
    pytest.mark.skipif(importlib.util.find_spec("fastai") is None, reason="fastai is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


def pictures(folder: Path) -> None:
    """Two classes of pictures, red and blue, with a folder for each."""
    from PIL import Image

    for name, colour in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        (folder / name).mkdir(parents=True)
        for i in range(16):
            Image.new("RGB", (48, 48), tuple(min(255, c + 2 * i) for c in colour)).save(folder / name / f"{i}.png")


def loaders(folder: Path) -> Any:
    from fastai.vision.all import ImageDataLoaders

    return ImageDataLoaders.from_folder(folder, valid_pct=0.25, seed=0, bs=8, num_workers=0)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("resnet18", None),
        ("resnet34", None),
        ("densenet121", -1),
        ("vgg11_bn", None),
        ("squeezenet1_1", None),
        ("alexnet", -2),
    ],
)
def test_bodies_are_cut_where_those_of_torchvision_are(name: str, cut: int | None, torchvision: Any) -> None:
    from fastai.vision.learner import create_body, num_features_model

    ours, theirs = (
        create_body(getattr(models, name)(weights=None), pretrained=False, cut=cut)
        for models in (zoo.models, torchvision.models)
    )
    assert num_features_model(ours) == num_features_model(theirs)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_vision_learner_trains_freezes_and_exports(tmp_path: Path, torchvision: Any) -> None:
    """The same loss as with torchvision's model; fastai knows torchvision's builders and cuts other models itself."""
    from fastai.vision.all import accuracy, load_learner, set_seed, vision_learner

    pictures(tmp_path / "pictures")
    losses, start = [], None
    for models in (torchvision.models, zoo.models):
        set_seed(0, reproducible=True)
        learner = vision_learner(
            loaders(tmp_path / "pictures"), models.resnet18, metrics=accuracy, pretrained=False, path=tmp_path
        )
        assert len(learner.splitter(learner.model)) > 1, "a body and a head"
        start = start or {key: value.clone() for key, value in learner.model.state_dict().items()}
        learner.model.load_state_dict(start)
        learner.splitter = lambda model: [list(model[0].parameters()), list(model[1].parameters())]
        set_seed(0, reproducible=True)
        with learner.no_bar(), learner.no_logging():
            learner.fit(2, 1e-3)
            learner.freeze()
            learner.fit(1, 1e-3)
        losses.append([float(n) for n in learner.recorder.losses])
    assert len(losses[1]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    learner.export("learner.pkl")
    loaded = load_learner(tmp_path / "learner.pkl")
    with loaded.no_bar():
        assert loaded.predict(tmp_path / "pictures" / "red" / "3.png")[0] in ("red", "blue")


def test_a_unet_is_grown_on_a_body(torchvision: Any) -> None:
    from fastai.vision.learner import create_unet_model

    ours, theirs = (
        create_unet_model(models.resnet18, 3, (64, 64), pretrained=False).eval()
        for models in (zoo.models, torchvision.models)
    )
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert ours(images).shape == (1, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))
    assert sum(isinstance(m, nn.PixelShuffle) for m in ours.modules()) >= 4
