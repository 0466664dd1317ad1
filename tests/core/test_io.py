"""Real files, whole and broken, through the one place where pictures are read and written."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

import zoo.io
from zoo.errors import InvalidArgument, UnreadableFile, ZooError
from zoo.io.image import ImageReadMode, load_image, open_image, save_image
from zoo.io.video import VideoReader
from zoo.transforms.functional import pil_to_tensor

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
    pairs = [(upright, load_image(path)), (stored, load_image(path, apply_exif_orientation=False))]
    for want, got in pairs[: 1 if ending == "tiff" else 2]:  # Pillow itself turns TIFF, always
        assert got.shape == (3, *want.shape[:2])
        centres = np.array([8, 24])
        difference = got.numpy()[:, centres][:, :, centres].astype(int) - want[centres][:, centres].transpose(2, 0, 1)
        assert np.abs(difference).max() < 30


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "tga", "webp", "ico", "gif", "jp2"])
def test_formats_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    Image.fromarray(BLOCKS).save(path, **({"lossless": True} if ending == "webp" else {}))
    picture = zoo.io.load_image(str(path))
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()
    assert np.array_equal(picture.numpy(), BLOCKS.transpose(2, 0, 1))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(BLOCKS).convert("CMYK").save(path, quality=95)
    assert open_image(path).mode == "CMYK"
    centres = load_image(path)[:, 8::16, 8::16].int()
    assert (centres - torch.from_numpy(BLOCKS[8::16, 8::16]).permute(2, 0, 1).int()).abs().max() < 30


def test_sixteen_bits(tmp_path: Path) -> None:
    path = tmp_path / "depth.png"
    Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(path)
    assert load_image(path).tolist() == [[[0, 1, 128, 255]]] * 3
    unchanged = load_image(path, ImageReadMode.UNCHANGED)
    assert unchanged.dtype == torch.uint16
    assert unchanged.tolist() == [[[0, 257, 32768, 65535]]]


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    path = tmp_path / "logo.png"
    picture.save(path, transparency=1)
    assert load_image(path).permute(1, 2, 0).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert load_image(path, "rgb_alpha").permute(1, 2, 0).tolist() == [[[255, 0, 0, 255], [0, 0, 255, 0]]]
    assert torch.equal(load_image(path, "UNCHANGED"), load_image(path, "RGBA"))
    assert load_image(path, mode="GRAY").tolist() == [[[76, 255]]]
    assert load_image(path, ImageReadMode.GRAY_ALPHA).tolist() == [[[76, 29]], [[255, 0]]]


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "animation.gif"
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert torch.equal(load_image(path), torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 4, 6))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(NOISE).save(whole, kind)
    for length in (0, 10, len(whole.getvalue()) // 2, len(whole.getvalue()) - 100):
        path = tmp_path / f"cut at {length}"
        path.write_bytes(whole.getvalue()[:length])
        with pytest.raises(UnreadableFile) as error:
            load_image(path)
        assert f"cut at {length}" in str(error.value)
    with pytest.raises(UnreadableFile, match="it is empty"):
        load_image(tmp_path / "cut at 0")


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
                    outcomes.add(load_image(tmp_path / "damaged").dtype)
            except ZooError as e:
                outcomes.add(type(e))
    assert outcomes == {torch.uint8, UnreadableFile}


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    Image.new("RGB", (64, 64)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 3)
    with pytest.raises(UnreadableFile, match=r"bomb\.png.*decompression bomb"):
        load_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    assert load_image(path).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.png", None, "does not exist"),
        (".", None, "it is not a file"),
        ("x" * 300, None, "cannot be read"),
        ("notes.txt", b"no picture at all", "not in a picture format that Pillow knows"),
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
        load_image(path)
    assert load_image(path, "UNCHANGED").tolist() == [[[0.25, 1000]]]


def test_read_modes() -> None:
    assert [mode.name for mode in ImageReadMode] == ["UNCHANGED", "GRAY", "GRAY_ALPHA", "RGB", "RGB_ALPHA"]
    for wrong in ("grey", 3, None):
        with pytest.raises(InvalidArgument, match="expected one of UNCHANGED"):
            load_image("picture.png", wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="Did you mean 'GRAY'"):
        load_image("picture.png", "grey")


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
        assert torch.equal(load_image(tmp_path / f"picture.{ending}"), pixels)
    save_image(Image.new("RGBA", (8, 8)), tmp_path / "clear.jpg")
    assert (load_image(tmp_path / "clear.jpg") == 255).all()


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
    assert "load_image" in dir(zoo.io)
    with pytest.raises(AttributeError, match="write_tiff"):
        _ = zoo.io.write_tiff


# ── files that are not what they seem ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("orientation", TURNED)
def test_a_pil_image_is_what_its_file_is(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "picture.png"
    Image.fromarray(np.ascontiguousarray(TURNED[orientation](BLOCKS[:, :31]))).save(path, exif=exif)
    with Image.open(path) as picture:
        got = open_image(picture)
        stored = open_image(picture, apply_exif_orientation=False)
    assert np.array_equal(np.asarray(got), BLOCKS[:, :31])
    assert np.array_equal(np.asarray(got), np.asarray(open_image(path)))
    assert np.array_equal(np.asarray(stored), TURNED[orientation](BLOCKS[:, :31]))


def deep_png(pixels: np.ndarray[Any, Any], exif: bytes = b"") -> bytes:
    """A PNG of 16 bits a number, which Pillow cannot write for several channels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = chunk(b"IHDR", header) + (chunk(b"eXIf", exif) if exif else b"") + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def deep_tiff(pixels: np.ndarray[Any, Any], order: str, packed: bool) -> bytes:
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if packed else data
    height, width, n = pixels.shape
    entries = {256: [width], 257: [height], 258: [16] * n, 259: [8 if packed else 1], 262: [2], 273: [8]}
    entries |= {277: [n], 278: [height], 279: [len(data)]}
    body = data + bytes(len(data) % 2)
    table, further = struct.pack(f"{order}H", len(entries)), b""
    end = 8 + len(body) + 2 + 12 * len(entries) + 4
    for tag, values in entries.items():
        packed_values = struct.pack(f"{order}{len(values)}{'H' if len(values) > 1 else 'I'}", *values)
        kind = 3 if len(values) > 1 else 4
        if len(packed_values) > 4:
            packed_values, further = struct.pack(f"{order}I", end + len(further)), further + packed_values
        table += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed_values
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(body))
    return head + body + table + bytes(4) + further


def test_sixteen_bits_of_several_channels_stay(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 4, 4)).astype(np.uint16)
    files = {f"{n}.png": (deep_png(pixels[..., :n]), n) for n in (1, 3, 4)}
    files |= {
        f"{'le' if order == '<' else 'be'}{packed}.tiff": (deep_tiff(pixels[..., :3], order, packed), 3)
        for order in "<>"
        for packed in (False, True)
    }
    for name, (content, n) in files.items():
        (tmp_path / name).write_bytes(content)
        got = load_image(tmp_path / name, "UNCHANGED")
        assert got.dtype == torch.uint16
        assert np.array_equal(got.permute(1, 2, 0).numpy(), pixels[..., :n]), name
        assert load_image(tmp_path / name).dtype == torch.uint8
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(deep_png(pixels[..., :3], exif.tobytes()[6:]))
    turned = load_image(tmp_path / "turned.png", "UNCHANGED").permute(1, 2, 0).numpy()
    assert np.array_equal(turned, np.rot90(pixels[..., :3], -1))
    (tmp_path / "alpha.png").write_bytes(deep_png(pixels[..., :2]))
    with pytest.raises(UnreadableFile, match=r"alpha\.png' has LA in 16 bits.*another mode"):
        load_image(tmp_path / "alpha.png", "UNCHANGED")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("read", [open_image, load_image, VideoReader])
def test_no_program_is_started_for_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any]
) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    path = tmp_path / "picture.png"
    path.write_bytes(EPS)
    with contextlib.suppress(OSError), Image.open(path) as picture:
        picture.load()
    assert (tmp_path / "started").exists(), "Pillow alone would"
    (tmp_path / "started").unlink()
    with pytest.raises(UnreadableFile, match=r"picture\.png' cannot be read"):
        read(path)
    assert not (tmp_path / "started").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize("read", [open_image, load_image, VideoReader])
def test_devices_and_pipes_are_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(UnreadableFile, match="is not a file"):
            read(path)


def test_pixels_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "still.png")
    moving = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "lime")]
    moving[0].save(tmp_path / "moving.webp", save_all=True, append_images=moving[1:])
    monkeypatch.setenv("ZOO_MAX_PIXELS", "1199")
    with pytest.raises(UnreadableFile, match=r"still\.png.*40 × 30 pixels\. .*raise ZOO_MAX_PIXELS, which is 1199"):
        load_image(tmp_path / "still.png")
    monkeypatch.setenv("ZOO_MAX_PIXELS", "4799")
    assert load_image(tmp_path / "still.png").shape == (3, 30, 40)
    for read in (load_image, VideoReader):  # whose decoder holds several canvases
        with pytest.raises(
            UnreadableFile, match=r"moving\.webp.*ZOO_MAX_PIXELS, which is 4799 \(an animation counts 4"
        ):
            read(tmp_path / "moving.webp")
    monkeypatch.setenv("ZOO_MAX_PIXELS", "4800")
    assert len(VideoReader(tmp_path / "moving.webp").times) == 3
    moving[0].save(tmp_path / "telephone.jpg", "MPO", save_all=True, append_images=moving[1:])
    pages = [Image.new("RGB", (40, 30)) for _ in range(2)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    monkeypatch.setenv("ZOO_MAX_PIXELS", "1200")
    for name in ("telephone.jpg", "pages.tiff"):  # these are not animations
        assert load_image(tmp_path / name).shape == (3, 30, 40)
    # It also lifts Pillow's own guard, for the moment.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load_image(tmp_path / "still.png").shape == (3, 30, 40)
    assert Image.MAX_IMAGE_PIXELS == 100
    for wrong in ("many", "0", "-5"):
        monkeypatch.setenv("ZOO_MAX_PIXELS", wrong)
        with pytest.raises(InvalidArgument, match=f"ZOO_MAX_PIXELS is '{wrong}'"):
            load_image(tmp_path / "still.png")


def test_an_animation_may_not_go_on_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.gif"
    frames = [Image.new("L", (8, 8), i) for i in range(250)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    monkeypatch.setenv("ZOO_MAX_PIXELS", "256")  # four frames' worth; a hundred times as much is 400
    assert len(VideoReader(path).times) == 250
    frames *= 2
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(
        UnreadableFile, match=r"long\.gif' is refused: 400 frames of 8 × 8 pixels and more.*ZOO_MAX_PIX"
    ):
        VideoReader(path)


@pytest.mark.parametrize("ending", ["pgm", "bmp", "jpg", "png", "gif", "tif", "webp"])
def test_a_picture_has_pixels_of_its_own_whatever_becomes_of_its_file(ending: str, tmp_path: Path) -> None:
    """Pillow maps some files that are not compressed."""
    file = tmp_path / f"a.{ending}"
    Image.linear_gradient("L").save(file)
    with Image.open(file) as there:
        expected = np.asarray(there.convert("RGB"))
    image = open_image(file)
    assert type(image) is Image.Image
    with file.open("r+b") as f:  # in place
        f.write(bytes(file.stat().st_size))
    assert (np.asarray(image.convert("RGB")) == expected).all()
    image.paste("white", (0, 0, 1, 1))
    assert image.convert("L").getpixel((0, 0)) == 255


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "HSV", "LAB", "L", "P", "YCbCr"])
def test_a_tensor_has_the_values_of_a_picture_in_memory_of_its_own(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    image = Image.fromarray(pixels[..., : len(Image.new(mode, (1, 1)).getbands())].squeeze(), mode)
    tensor = pil_to_tensor(image)
    assert tensor.is_contiguous()
    assert (tensor.movedim(0, -1).numpy().squeeze() == np.asarray(image)).all()
    tensor.zero_()
    assert np.asarray(image).any()
