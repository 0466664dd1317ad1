"""Problems that would stop a run later raise before its first step, and before its folder is created."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colours import pictures
from PIL import Image

import zoo
from zoo.errors import InvalidArgument
from zoo_training import checking
from zoo_training.training import train


def maps(root: Path, n: int, highest: int = 1) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(n):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 20 + i :] = highest
        Image.fromarray(np.full((48, 64, 3), 90 + i, np.uint8)).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def test_a_head_of_another_size_is_told(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 3)
    with pytest.raises(InvalidArgument, match="num_classes is 10, but the data has 2 categories: blue, red"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", num_classes=10, device="cpu")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("task", "model", "entry"),
    [
        ("image-classification", "squeezenet1_1", "DIGITS_V1"),
        ("semantic-segmentation", "lraspp_mobilenet_v3_large", "SHAPES_V1"),
    ],
)
def test_a_model_with_other_classes_than_the_data_is_told(task: str, model: str, entry: str) -> None:
    piece = zoo.registry.provided(zoo.get_task(task), "train")()
    net = zoo.get_model(model, weights=entry, num_classes=4).train()
    with pytest.raises(InvalidArgument, match="a head for 4 classes, but the data have 3"):
        piece.check(net, (torch.rand(2, 3, 64, 64),), torch.zeros(2, dtype=torch.int64), "abc")
    assert net.training


class Wrong:
    """Pictures, one of them with an invalid label."""

    categories = ("a", "b")
    names = tuple("0123")

    def __init__(self, labels: tuple[int, ...]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[torch.Tensor, dict[str, Any]]:
        return torch.full((3, 64, 64), 7, dtype=torch.uint8), {"label": self.labels[i]}

    def source(self, i: int) -> str:
        return f"picture-{i}.png"

    def counts(self) -> dict[str, int]:
        return {"a": 2, "b": 2}


def test_labels_that_are_none_are_told_with_their_inputs(tmp_path: Path) -> None:
    readers = (Wrong((0, 1, 7, 1)), Wrong((0, 1, 0, 1)))
    with pytest.raises(InvalidArgument, match=r"(?s)first batch.*labels are 0 to 7.*2 classes.*picture-2\.png"):
        train("squeezenet1_1", readers, tmp_path / "a", "DIGITS_V1", device="cpu")
    assert not (tmp_path / "a").exists()


def test_classes_of_pixels_that_are_none_are_told(tmp_path: Path) -> None:
    piece = zoo.registry.provided(zoo.get_task("semantic-segmentation"), "train")()
    net = zoo.get_model("lraspp_mobilenet_v3_large", weights="SHAPES_V1", num_classes=2)
    images = (torch.rand(2, 3, 64, 64),)
    maps = torch.zeros(2, 64, 64, dtype=torch.int64)
    piece.check(net, images, maps, "ab")
    with pytest.raises(InvalidArgument, match="The class maps have 9; the model has 2 classes"):
        piece.check(net, images, maps + 9 * (torch.arange(64) < 3), "ab")
    with pytest.raises(InvalidArgument, match="Every pixel of the class maps is 255"):
        piece.check(net, images, maps + 255, "ab")


def test_targets_of_detectors_are_checked_all_at_once(tmp_path: Path) -> None:
    piece = zoo.registry.provided(zoo.get_task("object-detection"), "train")()
    net = zoo.get_model("ssdlite320_mobilenet_v3_large", weights="SHAPES_V1", num_classes=2)
    boxes = torch.tensor([[10.0, 30, 5, 60]])
    target = {"boxes": boxes, "labels": torch.tensor([5])}
    with pytest.raises(InvalidArgument, match=r"(?s)2 problem.*ends above or left.*label"):
        piece.check(net, ([torch.rand(3, 80, 80)], [target]), None, ["__background__", "a"])
    with pytest.raises(InvalidArgument, match="a head for 2 classes, but the data have 3"):
        piece.check(net, ([torch.rand(3, 80, 80)], [target]), None, ["__background__", "a", "b"])


def test_batches_of_one_are_told_before_deeplab_fails_on_them(tmp_path: Path) -> None:
    data = maps(tmp_path / "data", 4)
    given: dict[str, Any] = {"device": "cpu", "weights_backbone": None, "epochs": 1}
    name = "deeplabv3_mobilenet_v3_large"
    with pytest.raises(InvalidArgument, match=r"DeepLabV3 has batch norms.*batch_size is 1. Use a batch_size"):
        train(name, data, tmp_path / "a", None, batch_size=1, **given)
    assert not (tmp_path / "a").exists()
    done = train("lraspp_mobilenet_v3_large", data, tmp_path / "b", "SHAPES_V1", batch_size=1, device="cpu", epochs=1)
    assert len(done.history) == 1  # other models can be trained


def test_what_is_tried_out_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    data = maps(tmp_path / "data", 4)
    seen: dict[str, torch.Tensor] = {}
    check = checking.check_batches_of_one

    def watched(loop: Any) -> None:
        before = {name: value.clone() for name, value in loop.model.state_dict().items()}
        check(loop)
        seen.update(before)
        assert all(torch.equal(value, before[name]) for name, value in loop.model.state_dict().items())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo_training.training.check_batches_of_one", watched)
        train("lraspp_mobilenet_v3_large", data, tmp_path / "b", "SHAPES_V1", batch_size=1, device="cpu", epochs=1)
    assert seen


def test_whole_pictures_are_not_decoded_to_see_that_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures(tmp_path / "data", 3)
    for i, kind in enumerate(("jpg", "webp", "bmp")):
        Image.new("RGB", (40, 30), (30, 40, 200)).save(data / "blue" / f"other{i}.{kind}")
    readers = zoo.open_data(data, "image-classification", val=0.4)
    read: list[str] = []
    of = type(readers[0])
    whole = of.__getitem__
    monkeypatch.setattr(of, "__getitem__", lambda self, i: read.append(self.names[i]) or whole(self, i))
    checking.check_readers(readers)
    assert sorted(Path(name).suffix for name in read) == [".bmp", ".webp"]


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "webp"])
def test_pictures_that_were_cut_off_are_told(tmp_path: Path, kind: str) -> None:
    data = pictures(tmp_path / "data", 3)
    file = data / "red" / f"cut.{kind}"
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InvalidArgument, match=rf"(?s)1 inputs cannot be read.*cut\.{kind}"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", device="cpu")


def test_class_maps_that_were_cut_off_are_told(tmp_path: Path) -> None:
    data = maps(tmp_path / "data", 5)
    file = data / "masks" / "3.png"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InvalidArgument, match=r"masks/3\.png.*truncated"):
        train("lraspp_mobilenet_v3_large", data, tmp_path / "a", "SHAPES_V1", device="cpu")
