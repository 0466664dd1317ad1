from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo import transforms as T
from zoo.errors import InvalidArgument
from zoo.transforms import functional as TF


def ramp(*shape: int) -> torch.Tensor:
    return torch.arange(int(np.prod(shape))).reshape(shape).to(torch.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size", "max_size", "expected"),
    [
        (411, 280, 256, None, (375, 256)),
        (280, 411, 256, None, (256, 375)),
        (280, 411, [256], None, (256, 375)),
        (280, 411, (100, 200), None, (100, 200)),
        (30, 30, 7, None, (7, 7)),
        (100, 400, 50, 120, (30, 120)),
        (400, 100, 50, 120, (120, 30)),
        (1, 1000, 4, 8, (1, 8)),
    ],
)
def test_resize_gives_the_size_asked_for(height: int, width: int, size: Any, max_size: Any, expected: Any) -> None:
    tensor = torch.zeros(3, height, width)
    assert TF.resize(tensor, size, max_size=max_size).shape == (3, *expected)
    assert TF.resize(tensor[None], size, max_size=max_size).shape == (1, 3, *expected)
    picture = T.Resize(size, max_size=max_size)(Image.new("L", (width, height)))
    assert TF.get_image_size(picture) == [expected[1], expected[0]]
    assert TF.get_dimensions(picture) == [1, *expected]


def test_resize_interpolates() -> None:
    row = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    assert TF.resize(row, (1, 2), "nearest").flatten().tolist() == [0, 2]
    assert TF.resize(row, (1, 2), "nearest-exact").flatten().tolist() == [1, 3]
    assert TF.resize(row, (1, 2), "bilinear", antialias=False).flatten().tolist() == [0.5, 2.5]
    # Antialiased, each output is a tent over the pixels around it: weights 3, 3, 1 of 7.
    expected = torch.tensor([5 / 7, 16 / 7])
    torch.testing.assert_close(TF.resize(row, (1, 2), Image.Resampling.BILINEAR).flatten(), expected)


def test_resize_of_integers_rounds_and_does_not_wrap() -> None:
    edge = torch.tensor([0, 0, 0, 255, 255, 255], dtype=torch.uint8).expand(1, 6, 6)
    larger = TF.resize(edge, (24, 24), T.InterpolationMode.BICUBIC)
    assert larger.dtype == torch.uint8
    assert larger[0, :, :10].max() < 30  # overshoot would have wrapped around to 255 and 0
    assert larger[0, :, 14:].min() > 225
    assert TF.resize(torch.tensor([[[1, 2]]], dtype=torch.uint8), (1, 1), antialias=False).item() == 2  # 1.5, to even
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.uint16, torch.int32, torch.bool):
        assert TF.resize(torch.ones(3, 9, 9, dtype=dtype), 4).eq(torch.ones(1, dtype=dtype)).all()
        assert TF.resize(torch.ones(3, 9, 9, dtype=dtype), 4).dtype == dtype


def test_resize_to_the_same_size_is_the_same_picture() -> None:
    tensor, picture = torch.rand(3, 5, 7), Image.new("RGB", (7, 5))
    assert TF.resize(tensor, 5) is tensor
    assert TF.resize(picture, 5) is picture


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": (4, -4)}, "size is (4, -4)"),
        ({"size": []}, "expected a whole number of pixels"),
        ({"size": 4, "interpolation": "bilinaer"}, "Did you mean 'bilinear'?"),
        ({"size": 4, "interpolation": 99}, "interpolation is 99"),
        ({"size": 4, "interpolation": "lanczos"}, "Tensors cannot be resized with 'lanczos'"),
        ({"size": 4, "max_size": 4}, "max_size is 4"),
        ({"size": (4, 4), "max_size": 8}, "max_size is 8"),
    ],
)
def test_resize_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        TF.resize(torch.zeros(3, 8, 8), **arguments)
    assert message in str(error.value)


def test_center_crop_by_hand() -> None:
    picture = ramp(5, 6)
    assert torch.equal(TF.center_crop(picture, 3), picture[1:4, 2:5])  # a margin of 1.5 is rounded to 2
    assert torch.equal(TF.center_crop(picture, (2, 6)), picture[2:4])
    small = TF.center_crop(picture[:2, :2], 5)  # of three missing pixels, one goes before and two behind
    assert torch.equal(small[1:3, 1:3], picture[:2, :2])
    assert small.sum() == picture[:2, :2].sum()


def test_center_crop_cuts_pil_and_tensors_alike() -> None:
    for height, width, crop_height, crop_width in itertools.product((1, 4, 5), (2, 3, 7), (1, 4, 6), (2, 3, 9)):
        tensor = ramp(3, height, width) + 1
        picture = TF.center_crop(TF.to_pil_image(tensor), (crop_height, crop_width))
        assert torch.equal(TF.pil_to_tensor(picture), TF.center_crop(tensor, (crop_height, crop_width)))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pad_is_numpys(mode: Any, dtype: torch.dtype) -> None:
    tensor = ramp(3, 4, 5)
    for padding, (left, top, right, bottom) in (
        (2, (2, 2, 2, 2)),
        ((1, 3), (1, 3, 1, 3)),
        ([1, 2, 3, 0], (1, 2, 3, 0)),
    ):
        expected = torch.from_numpy(np.pad(tensor.numpy(), ((0, 0), (top, bottom), (left, right)), mode))
        assert torch.equal(TF.pad(tensor.to(dtype), padding, padding_mode=mode), expected.to(dtype))
        assert torch.equal(TF.pil_to_tensor(TF.pad(TF.to_pil_image(tensor), padding, padding_mode=mode)), expected)


def test_pad_fills_and_keeps_palettes() -> None:
    assert TF.pad(torch.zeros(1, 1, 1), 1, fill=0.5).sum() == 4
    assert TF.pad(Image.new("RGB", (1, 1)), 1, fill=9).getpixel((0, 0)) == (9, 9, 9)
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    for mode in ("edge", "constant"):
        padded = TF.pad(palette, 1, fill=1, padding_mode=mode)
        assert padded.mode == "P"
        assert padded.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert TF.pad(Image.new("1", (2, 2), 1), 1, padding_mode="reflect").tobytes() == Image.new("1", (4, 4), 1).tobytes()


@pytest.mark.parametrize(
    "arguments",
    [{"padding": -2}, {"padding": (1, 2, 3)}, {"padding": 1, "fill": (1, 2)}, {"padding": 1, "padding_mode": "wrap"}],
)
def test_pad_refuses(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        TF.pad(torch.zeros(3, 4, 4), **arguments)


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"),
    [("L", 1, "uint8"), ("LA", 2, "uint8"), ("RGB", 3, "uint8"), ("RGBA", 4, "uint8"), ("I;16", 1, "uint16"),
     ("I", 1, "int32"), ("F", 1, "float32"), ("P", 1, "uint8"), ("CMYK", 4, "uint8")],
)  # fmt: skip
def test_pil_to_tensor_and_back(mode: str, channels: int, dtype: str) -> None:
    values = np.arange(2 * 3 * channels).reshape(2, 3, channels).astype(dtype) * 10
    picture = TF.to_pil_image(values, mode)
    tensor = TF.pil_to_tensor(picture)
    assert picture.mode == mode
    assert tensor.shape == (channels, 2, 3)
    assert np.array_equal(tensor.movedim(0, -1).numpy(), values)
    assert np.array_equal(np.asarray(TF.to_pil_image(tensor, mode)), np.asarray(picture))


def test_to_tensor_scales_eight_bits_only() -> None:
    levels = ramp(1, 16, 16)
    tensor = T.ToTensor()(TF.to_pil_image(levels))
    assert torch.equal(tensor, levels / 255)
    assert torch.equal(T.ToTensor()(levels[0].numpy()), tensor)
    assert torch.equal(TF.pil_to_tensor(T.ToPILImage()(tensor)), levels)  # floats come back to every level
    assert TF.to_tensor(Image.fromarray(np.full((2, 2), 300, np.uint16))).int().max() == 300
    assert torch.equal(TF.to_tensor(Image.new("1", (2, 2), 1)), torch.ones(1, 2, 2))


def test_to_pil_image_of_masks_and_of_values_out_of_range() -> None:
    mask = torch.tensor([[0.0, 0.5, 1.0, 1.7, -0.2]])
    assert list(TF.to_pil_image(mask).tobytes()) == [0, 127, 255, 255, 0]
    assert list(TF.to_pil_image(mask > 0.6).tobytes()) == [0, 0, 255, 255, 0]
    assert TF.to_pil_image(mask.half().requires_grad_()).mode == "L"


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        (torch.zeros(5, 4, 4), None),
        (torch.zeros(1, 3, 4, 4), None),
        (torch.zeros(4), None),
        (torch.zeros(4, 4, dtype=torch.int64), None),
        (torch.zeros(3, 4, 4), "CMYK"),
        (np.zeros((4, 4, 3), complex), None),
        ([[0]], None),
    ],
)
def test_to_pil_image_refuses(given: Any, mode: str | None) -> None:
    with pytest.raises(InvalidArgument):
        TF.to_pil_image(given, mode)


@pytest.mark.parametrize(
    ("given", "to", "expected"),
    [
        (torch.tensor([0, 51, 255], dtype=torch.uint8), torch.float32, [0, 0.2, 1]),
        (torch.tensor([0, 65535], dtype=torch.uint16), torch.float64, [0, 1]),
        (torch.tensor([0, 255], dtype=torch.uint8), torch.float16, [0, 1]),
        (torch.tensor([0.0, 0.5, 0.999, 1.0, 1.5, -1.0]), torch.uint8, [0, 127, 255, 255, 255, 0]),
        (torch.tensor([1.0], dtype=torch.float16), torch.uint8, [255]),
        (torch.tensor([1.0]), torch.uint16, [65535]),
        (torch.tensor([1.0]), torch.int16, [32767]),
        (torch.tensor([1.0], dtype=torch.float64), torch.int32, [2**31 - 1]),
        (torch.tensor([1, 255], dtype=torch.uint8), torch.int16, [128, 255 * 128]),
        (torch.tensor([0, 255, 256, 65535], dtype=torch.uint16), torch.uint8, [0, 0, 1, 255]),
    ],
)
def test_convert_image_dtype(given: torch.Tensor, to: torch.dtype, expected: list[float]) -> None:
    converted = T.ConvertImageDtype(to)(given)
    torch.testing.assert_close(converted, torch.tensor(expected, dtype=to), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("given", "to"), [(torch.float32, torch.int32), (torch.bool, torch.float32), (torch.float32, torch.bool)]
)
def test_convert_image_dtype_refuses(given: torch.dtype, to: torch.dtype) -> None:
    with pytest.raises(InvalidArgument):
        TF.convert_image_dtype(torch.zeros(3, 4, 4, dtype=given), to)


def test_normalize() -> None:
    ones = torch.ones(2, 3, 1, 1)
    expected = torch.tensor([1.0, 2.0, -4.0]).view(3, 1, 1).expand(2, 3, 1, 1)
    assert torch.equal(TF.normalize(ones, [0, 0.5, 3], [1, 0.25, 0.5]), expected)
    assert torch.equal(T.Normalize([0.5], [0.5])(ones), ones)  # one number for all channels
    assert (ones == 1).all()
    assert T.Normalize([0, 0.5, 3], [1, 0.25, 0.5], inplace=True)(ones) is ones
    assert torch.equal(ones, expected)


@pytest.mark.parametrize(
    ("tensor", "mean", "std"),
    [
        (torch.zeros(3, 4, 4, dtype=torch.uint8), [0.5] * 3, [0.5] * 3),
        (torch.zeros(1, 4, 4), [0.5] * 3, [0.5] * 3),
        (torch.zeros(3, 4), [0.5], [0.5]),
        (torch.zeros(3, 4, 4), [0.5] * 3, [0.5, 0, 0.5]),
        (torch.zeros(3, 4, 4), [0.5] * 3, [0.5, float("inf"), 0.5]),
        (Image.new("RGB", (4, 4)), [0.5] * 3, [0.5] * 3),
    ],
)
def test_normalize_refuses(tensor: Any, mean: list[float], std: list[float]) -> None:
    with pytest.raises(InvalidArgument):
        TF.normalize(tensor, mean, std)


def test_the_pieces_composed_are_the_preset() -> None:
    picture = TF.to_pil_image(torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8))
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    composed = T.Compose(
        [
            T.Resize(40),
            T.CenterCrop(32),
            T.PILToTensor(),
            T.ConvertImageDtype(torch.float),
            T.Normalize(mean=mean, std=std),
        ]
    )
    preset = T.ImageClassification(crop_size=32, resize_size=40)
    assert torch.equal(composed(picture), preset(picture))
    assert "Resize(size=(40,), interpolation='bilinear', max_size=None, antialias=True)" in repr(composed)
    assert torch.equal(torch.nn.Sequential(*composed.transforms)(picture), preset(picture))
    with pytest.raises(InvalidArgument, match="expected a list of callables"):
        T.Compose([224])  # type: ignore[list-item]


def test_convert_mode_scales_sixteen_bits() -> None:
    values = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    for picture in (
        Image.fromarray(values),
        Image.fromarray(values.astype(np.int32)),
        Image.fromarray(values.astype(">u2")),
    ):
        assert list(TF.convert_mode(picture, "L").tobytes()) == [0, 0, 1, 128, 255]
    assert TF.convert_mode(Image.fromarray(values), "RGB").getpixel((3, 0)) == (128, 128, 128)


def test_convert_mode_keeps_alpha_where_the_mode_has_it() -> None:
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 102))
    assert TF.convert_mode(half, "RGBA") is half
    assert TF.convert_mode(half, "LA").getpixel((0, 0)) == (0, 102)
    assert TF.convert_mode(half, "L").getpixel((0, 0)) == 153  # 60 % of the white page
    keyed = Image.new("RGB", (1, 1), (0, 0, 255))
    keyed.info["transparency"] = (0, 0, 255)
    assert TF.convert_mode(keyed, "RGB").getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(InvalidArgument, match="La"):
        TF.convert_mode(Image.new("La", (1, 1)), "RGB")
