"""Real files, whole and broken, through the one place where pictures are read and written."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo.io
from zoo.errors import InvalidArgument, UnreadableFile, ZooError
from zoo.io.image import ImageReadMode, open_image, read_image, save_image

# Four blocks of 16 pixels that survive JPEG: red, green / blue, white.
BLOCKS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8), np.ones((16, 16, 1), np.uint8)
)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)

# What a camera did to the picture before it wrote down this orientation; reading has to undo it.
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
def test_pictures_come_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    upright = BLOCKS[:, :31]  # not square: sides that swap are seen
    stored = np.ascontiguousarray(TURNED[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"picture.{ending}"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    pairs = [(upright, read_image(path)), (stored, read_image(path, apply_exif_orientation=False))]
    for want, got in pairs[: 1 if ending == "tiff" else 2]:  # Pillow itself turns TIFF, always
        assert got.shape == (3, *want.shape[:2])
        centres = np.array([8, 24])
        difference = got.numpy()[:, centres][:, :, centres].astype(int) - want[centres][:, centres].transpose(2, 0, 1)
        assert np.abs(difference).max() < 30


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "tga", "webp", "ico", "gif", "jp2"])
def test_formats_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    Image.fromarray(BLOCKS).save(path, **({"lossless": True} if ending == "webp" else {}))
    picture = zoo.io.read_image(str(path))
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()
    assert np.array_equal(picture.numpy(), BLOCKS.transpose(2, 0, 1))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(BLOCKS).convert("CMYK").save(path, quality=95)
    assert open_image(path).mode == "CMYK"
    centres = read_image(path)[:, 8::16, 8::16].int()
    assert (centres - torch.from_numpy(BLOCKS[8::16, 8::16]).permute(2, 0, 1).int()).abs().max() < 30


def test_sixteen_bits(tmp_path: Path) -> None:
    path = tmp_path / "depth.png"
    Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(path)
    assert read_image(path).tolist() == [[[0, 1, 128, 255]]] * 3
    unchanged = read_image(path, ImageReadMode.UNCHANGED)
    assert unchanged.dtype == torch.uint16
    assert unchanged.tolist() == [[[0, 257, 32768, 65535]]]


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    path = tmp_path / "logo.png"
    picture.save(path, transparency=1)
    assert read_image(path).permute(1, 2, 0).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert read_image(path, "rgb_alpha").permute(1, 2, 0).tolist() == [[[255, 0, 0, 255], [0, 0, 255, 0]]]
    assert torch.equal(read_image(path, "UNCHANGED"), read_image(path, "RGBA"))
    assert read_image(path, mode="GRAY").tolist() == [[[76, 255]]]
    assert read_image(path, ImageReadMode.GRAY_ALPHA).tolist() == [[[76, 29]], [[255, 0]]]


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "animation.gif"
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert torch.equal(read_image(path), torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 4, 6))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(NOISE).save(whole, kind)
    for length in (0, 10, len(whole.getvalue()) // 2, len(whole.getvalue()) - 100):
        path = tmp_path / f"cut at {length}"
        path.write_bytes(whole.getvalue()[:length])
        with pytest.raises(UnreadableFile) as error:
            read_image(path)
        assert f"cut at {length}" in str(error.value)
    with pytest.raises(UnreadableFile, match="it is empty"):
        read_image(tmp_path / "cut at 0")


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    outcomes = set()
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "TGA"):
        whole = io.BytesIO()
        Image.fromarray(NOISE).save(whole, kind)
        for _ in range(12):
            damaged = np.frombuffer(whole.getvalue(), np.uint8).copy()
            damaged[generator.integers(0, min(len(damaged), 400), 8)] = generator.integers(0, 256, 8)
            (tmp_path / "damaged").write_bytes(damaged.tobytes())
            try:
                with warnings.catch_warnings(action="ignore"):  # Pillow's, about metadata it cannot parse
                    outcomes.add(read_image(tmp_path / "damaged").dtype)
            except ZooError as e:
                outcomes.add(type(e))
    assert outcomes == {torch.uint8, UnreadableFile}


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    Image.new("RGB", (64, 64)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 3)
    with pytest.raises(UnreadableFile, match=r"bomb\.png.*decompression bomb"):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    assert read_image(path).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "does not exist"),
        (".", None, "it is not a file"),
        ("x" * 300, None, "cannot be read"),
        ("notes.txt", b"no picture at all", "no picture format that Pillow knows"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=message) as error:
        open_image(path)
    assert str(path) in str(error.value)
    assert isinstance(error.value, OSError)


def test_floats_have_no_range_to_convert_from(tmp_path: Path) -> None:
    path = tmp_path / "height.tiff"
    Image.fromarray(np.array([[0.25, 1000]], np.float32)).save(path)
    with pytest.raises(UnreadableFile, match=r"height\.tiff.*no fixed range"):
        read_image(path)
    assert read_image(path, "UNCHANGED").tolist() == [[[0.25, 1000]]]


def test_read_modes() -> None:
    assert [mode.name for mode in ImageReadMode] == ["UNCHANGED", "GRAY", "GRAY_ALPHA", "RGB", "RGB_ALPHA"]
    for wrong in ("grey", 3, None):
        with pytest.raises(InvalidArgument, match="expected one of UNCHANGED"):
            read_image("picture.png", wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="Did you mean 'GRAY'"):
        read_image("picture.png", "grey")


def test_opened_pictures_outlive_their_file(tmp_path: Path) -> None:
    for ending in ("bmp", "gif", "tiff"):  # Pillow reads these lazily or maps them
        path = tmp_path / f"picture.{ending}"
        Image.fromarray(BLOCKS).save(path)
        picture = open_image(path)
        path.write_bytes(b"")
        assert np.array_equal(np.asarray(picture.convert("RGB")), BLOCKS)
        assert pickle.loads(pickle.dumps(picture)).size == (32, 32)


def test_save_image(tmp_path: Path) -> None:
    pixels = torch.from_numpy(BLOCKS).permute(2, 0, 1)
    for ending, given in (("png", pixels), ("BMP", pixels / 255), ("tiff", Image.fromarray(BLOCKS)), ("png", pixels)):
        save_image(given, tmp_path / f"picture.{ending}")
        assert torch.equal(read_image(tmp_path / f"picture.{ending}"), pixels)
    save_image(Image.new("RGBA", (8, 8)), tmp_path / "clear.jpg")
    assert (read_image(tmp_path / "clear.jpg") == 255).all()


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (Image.new("RGB", (4, 4)), "picture"),
        (Image.new("RGB", (4, 4)), "picture.doc"),
        (Image.new("F", (4, 4)), "picture.png"),
        (torch.zeros(7, 4, 4), "picture.png"),
    ],
)
def test_save_image_refuses_what_cannot_be_written(tmp_path: Path, picture: Any, name: str) -> None:
    with pytest.raises(InvalidArgument):
        save_image(picture, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_image_lets_the_disk_speak(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_image(torch.zeros(3, 4, 4), tmp_path / "missing" / "picture.png")


def test_io_is_lazy() -> None:
    assert zoo.io.image.ImageReadMode is zoo.io.ImageReadMode
    assert "read_image" in dir(zoo.io)
    with pytest.raises(AttributeError, match="write_jpeg"):
        _ = zoo.io.write_jpeg
