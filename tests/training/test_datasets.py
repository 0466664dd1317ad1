"""zoo.datasets.ImageNet: the snippets of the documentation, and errors for wrong folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from zoo import transforms as T
from zoo.errors import InvalidArgument, UnreadableFile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("n02", "n01")):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (300, 280), (100 * number, 10 * i, 0)).save(folder / f"{i}.JPEG", quality=100)
    return tmp_path


@pytest.mark.parametrize("floats", [[T.ToTensor()], [T.PILToTensor(), T.ConvertImageDtype(torch.float)]])
def test_the_printed_snippets(root: Path, floats: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    transform = T.Compose([T.Resize(256), T.CenterCrop(224), *floats])
    dataset = zoo.datasets.ImageNet(".", split="train", transform=transform)
    means = torch.stack([img.mean((1, 2)) for img, _ in dataset])
    want = torch.tensor([[100.0, 0, 0], [100, 10, 0], [0, 0, 0], [0, 10, 0]]) / 255
    torch.testing.assert_close(means, want, atol=0.01, rtol=0)


def test_attributes_are_those_that_programs_read(root: Path) -> None:
    dataset = zoo.datasets.ImageNet(root, target_transform=str)
    assert (dataset.classes, dataset.class_to_idx, dataset.split) == (["n01", "n02"], {"n01": 0, "n02": 1}, "train")
    assert dataset.targets == [0, 0, 1, 1] == [number for _, number in dataset.samples]
    assert (len(dataset), dataset[3][1], dataset.transform) == (4, "1", None)
    (batch,) = torch.utils.data.DataLoader(zoo.datasets.ImageNet(root, transform=T.ToTensor()), 4)
    assert batch[1].tolist() == dataset.targets


def test_what_is_wrong_is_said(root: Path) -> None:
    with pytest.raises(InvalidArgument, match="expected 'train' or 'val'"):
        zoo.datasets.ImageNet(root, split="trian")
    with pytest.raises(InvalidArgument, match="no class folders"):
        zoo.datasets.ImageNet(root, split="val")
    (root / "train" / "n03").mkdir()
    with pytest.raises(InvalidArgument, match="No picture in"):
        zoo.datasets.ImageNet(root)
    (root / "train" / "n03" / "0.JPEG").write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match="n03"):
        zoo.datasets.ImageNet(root)[4]
