"""Functions with torchvision's names have its defaults and raise its kinds of errors."""

from __future__ import annotations

import enum
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import InvalidArgument, ZooWarning
from zoo.ops import deform_conv2d, nms, sigmoid_focal_loss
from zoo.transforms import InterpolationMode, Resize, functional as TF
from zoo.utils import draw_bounding_boxes, draw_segmentation_masks


class Theirs(enum.Enum):
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


Theirs.__name__ = "InterpolationMode"


def test_pad_by_less_than_nothing_cuts():
    x = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(TF.pad(x, [-1, 0, 0, 0]), x[..., 1:])
    want = [[5, 4, 5, 6, 7], [5, 8, 9, 10, 11], [5] * 5, [5] * 5]
    assert TF.pad(x, [1, -1, 0, 2], fill=5)[0].tolist() == want
    assert TF.pad(TF.to_pil_image(x.byte()), [1, -1, 0, 2], fill=5).tobytes() == bytes(np.ravel(want).tolist())
    assert torch.equal(TF.pad(x, [-1, 1, 0, 0], padding_mode="reflect")[0, 0], x[0, 1, 1:])


def test_pad_has_a_fill_for_each_channel():
    padded = TF.pad(Image.new("RGB", (2, 2)), 1, fill=(1, 2, 3))
    assert padded.getpixel((0, 0)) == (1, 2, 3)
    assert TF.pad(torch.zeros(3, 2, 2), 1, fill=(1, 2, 3))[:, 0, 0].tolist() == [1, 2, 3]
    assert TF.pad(torch.zeros(3, 2, 2), 1, fill=[4])[:, 0, 0].tolist() == [4, 4, 4]


def test_a_picture_of_a_float_array():
    picture = TF.to_pil_image(np.array([[0, 0.5], [1, 1.5]], np.float32))
    assert (picture.mode, list(picture.tobytes())) == ("L", [0, 127, 255, 255])
    assert TF.to_pil_image(np.zeros((2, 2, 3))).mode == "RGB"
    assert TF.to_pil_image(np.zeros((2, 2), np.float32), "F").mode == "F"


def test_a_file_is_read_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was rotated by 90 degrees
    Image.new("L", (5, 3), 7).save(tmp_path / "grey.jpg", exif=exif)
    Image.new("RGBA", (5, 3), (1, 2, 3, 4)).save(tmp_path / "clear.png")
    Image.new("P", (5, 3)).save(tmp_path / "indexed.png")
    deep = np.arange(15, dtype=np.uint16).reshape(3, 5) * 4000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    frames = [Image.new("RGB", (5, 3), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    shapes = dict.fromkeys(("grey.jpg", "deep.png"), (1, 3, 5))
    shapes |= {"clear.png": (4, 3, 5), "indexed.png": (3, 3, 5), "moving.gif": (2, 3, 3, 5)}
    for name, shape in shapes.items():
        path = tmp_path / name
        read = zoo.io.read_image(str(path))
        assert read.shape == shape
        assert torch.equal(read, zoo.io.decode_image(zoo.io.read_file(path)))
        assert torch.equal(read, zoo.io.decode_image(path))
        assert zoo.io.load_image(path).shape == ((3, 5, 3) if name == "grey.jpg" else (3, 3, 5))
    assert torch.equal(zoo.io.read_image(tmp_path / "deep.png")[0], torch.from_numpy(deep))
    assert zoo.io.read_image(tmp_path / "grey.jpg", "RGB", True).shape == (3, 5, 3)


def test_interpolation_modes_of_torchvision_are_ours():
    assert InterpolationMode.BILINEAR == Theirs.BILINEAR
    assert Theirs.BICUBIC == InterpolationMode.BICUBIC != Theirs.BILINEAR
    assert InterpolationMode.BILINEAR not in ("bilinear", None)
    assert hash(InterpolationMode.BILINEAR) == hash(Theirs.BILINEAR)
    x = torch.rand(3, 8, 8)
    assert torch.equal(Resize(4, interpolation=Theirs.BICUBIC)(x), Resize(4, interpolation="bicubic")(x))
    code = (
        "import sys, types; theirs = sys.modules['torchvision.transforms'] = types.ModuleType('t')\n"
        "theirs.InterpolationMode = 'theirs'; import zoo.transforms; print(zoo.transforms.InterpolationMode)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out == "theirs\n"


def test_what_has_no_effect_is_warned_of():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.warns(ZooWarning, match="There are no boxes, so nothing is drawn"):
        assert torch.equal(draw_bounding_boxes(image, torch.zeros(0, 4)), image)
    with pytest.warns(ZooWarning, match="There are no masks, so nothing is drawn"):
        assert torch.equal(draw_segmentation_masks(image, torch.zeros(0, 8, 8, dtype=torch.bool)), image)
    with pytest.warns(ZooWarning, match="antialias=False has no effect on a PIL image"):
        assert TF.resize(Image.new("RGB", (8, 8)), 4, antialias=False).size == (4, 4)


def test_focal_loss_and_default_boxes():
    with pytest.raises(ValueError, match="alpha must be from 0 to 1, or -1"):
        sigmoid_focal_loss(torch.zeros(2), torch.zeros(2), alpha=1.5)
    from zoo.models.detection.anchor_utils import DefaultBoxGenerator

    (sizes,) = DefaultBoxGenerator([[2]]).wh_pairs
    assert sizes[:2, 0].tolist() == pytest.approx([0.15, (0.15 * 0.9) ** 0.5])


def detector():
    model = zoo.get_model("fasterrcnn_resnet50_fpn", weights_backbone=None, num_classes=2, min_size=64, max_size=64)
    return model, [torch.rand(3, 64, 64)]


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (RuntimeError, lambda: nms(torch.zeros(2, 3), torch.zeros(2), 0.5)),
        (RuntimeError, lambda: nms(torch.zeros(2, 4), torch.zeros(3), 0.5)),
        (
            RuntimeError,
            lambda: deform_conv2d(torch.zeros(1, 4, 5, 5), torch.zeros(1, 7, 5, 5), torch.zeros(4, 4, 3, 3)),
        ),
        (TypeError, lambda: TF.to_tensor(5)),
        (TypeError, lambda: TF.pil_to_tensor(5)),
        (TypeError, lambda: TF.to_pil_image(5)),
        (TypeError, lambda: TF.normalize(torch.zeros(3, 2, 2, dtype=torch.uint8), [0.0], [1.0])),
        (TypeError, lambda: draw_bounding_boxes(5, torch.zeros(1, 4))),
        (AssertionError, lambda: detector()[0](detector()[1], None)),
        (
            AssertionError,
            lambda: detector()[0](
                detector()[1], [{"boxes": torch.tensor([[9.0, 9, 2, 2]]), "labels": torch.tensor([1])}]
            ),
        ),
    ],
)
def test_errors_are_caught_as_torchvisions_are(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, InvalidArgument)
