"""Bytes to pictures and back, by the names of torchvision.io."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo.io
from zoo.errors import InvalidArgument, UnreadableFile

NOISE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 20, 24), dtype=np.uint8))
SMOOTH = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).repeat(3, 2, 2) // torch.tensor([1, 2, 3])[:, None, None]
SMOOTH = SMOOTH.to(torch.uint8)


def encoded(image: Image.Image, kind: str, **settings: object) -> torch.Tensor:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return torch.frombuffer(bytearray(out.getvalue()), dtype=torch.uint8)


def pil(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).numpy())


def test_png_there_and_back(tmp_path: Path) -> None:
    for picture in (NOISE, NOISE[:1], NOISE.transpose(1, 2)):
        data = zoo.io.encode_png(picture)
        assert (data.dtype, data.ndim) == (torch.uint8, 1)
        assert bytes(data[:8].tolist()) == b"\x89PNG\r\n\x1a\n"
        assert torch.equal(zoo.io.decode_png(data), picture)
        assert torch.equal(zoo.io.decode_image(data), picture)
    zoo.io.write_png(NOISE, tmp_path / "a.png", 0)
    assert torch.equal(zoo.io.read_file(tmp_path / "a.png"), zoo.io.encode_png(NOISE, compression_level=0))
    assert torch.equal(zoo.io.decode_image(str(tmp_path / "a.png")), NOISE)
    flat = torch.zeros(3, 64, 64, dtype=torch.uint8)
    assert len(zoo.io.encode_png(flat, 9)) < len(zoo.io.encode_png(flat, 0)) / 10


def test_jpeg_there_and_back(tmp_path: Path) -> None:
    data = zoo.io.encode_jpeg(SMOOTH, quality=95)
    assert torch.equal(data, encoded(pil(SMOOTH), "JPEG", quality=95))
    assert (zoo.io.decode_jpeg(data).int() - SMOOTH.int()).abs().float().mean() < 6
    assert len(zoo.io.encode_jpeg(NOISE, 20)) < len(zoo.io.encode_jpeg(NOISE)) < len(zoo.io.encode_jpeg(NOISE, 100))
    both = zoo.io.encode_jpeg([SMOOTH, NOISE[:1]])
    assert [list(p.shape) for p in zoo.io.decode_jpeg(both)] == [[3, 32, 32], [1, 20, 24]]
    assert zoo.io.decode_jpeg(both[0], device="meta").is_meta
    zoo.io.write_jpeg(SMOOTH, str(tmp_path / "a.jpg"))
    assert torch.equal(zoo.io.read_file(str(tmp_path / "a.jpg")), both[0])


def test_modes_and_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a right angle
    data = encoded(pil(NOISE), "PNG", exif=exif)
    assert zoo.io.decode_png(data).shape == (3, 20, 24)
    assert torch.equal(zoo.io.decode_image(data, apply_exif_orientation=True), NOISE.rot90(-1, (1, 2)))
    grey = zoo.io.decode_image(data, "GRAY")
    assert torch.equal(grey, zoo.io.decode_png(data, zoo.io.ImageReadMode.GRAY))
    assert torch.equal(grey[0], torch.from_numpy(np.asarray(pil(NOISE).convert("L")).copy()))
    assert zoo.io.decode_png(data, "RGB_ALPHA")[3].unique().tolist() == [255]
    sixteen = torch.arange(0, 60000, 100).view(20, 30).to(torch.uint16)
    assert torch.equal(zoo.io.decode_png(encoded(Image.fromarray(sixteen.numpy()), "PNG")), sixteen[None])
    webp = encoded(pil(NOISE), "WEBP", lossless=True)
    assert torch.equal(zoo.io.decode_webp(webp), NOISE)
    assert zoo.io.decode_webp(webp, "RGBA").shape == (4, 20, 24)


def test_gif_of_one_and_of_several() -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    pictures = [Image.new("RGB", (6, 4), color) for color in colors]
    one = zoo.io.decode_gif(encoded(pictures[0], "GIF"))
    assert one.shape == (3, 4, 6)
    data = encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    for several in (zoo.io.decode_gif(data), zoo.io.decode_image(data)):
        assert several.shape == (3, 3, 4, 6)
        assert [tuple(frame[:, 0, 0].tolist()) for frame in several] == colors
    assert zoo.io.decode_image(data, "GRAY").shape == (1, 4, 6)


def test_what_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    png = zoo.io.encode_png(NOISE)
    with pytest.raises(UnreadableFile, match=r"The input cannot be read as a picture: .* zoo reads: JPEG"):
        zoo.io.decode_jpeg(png)
    for data in (png[:200], torch.zeros(9, dtype=torch.uint8), png[:0]):
        with pytest.raises(UnreadableFile, match="The input cannot be read"):
            zoo.io.decode_image(data)
    with pytest.raises(UnreadableFile, match="does not exist"):
        zoo.io.decode_image(tmp_path / "nowhere.png")
    with pytest.raises(UnreadableFile, match="is not a file"):
        zoo.io.read_file("/dev/zero")
    for wrong in (png.float(), png[None], [1, 2]):
        with pytest.raises(InvalidArgument, match="bytes of a file"):
            zoo.io.decode_png(wrong)
    frames = [Image.new("RGB", (20, 20), (n, 0, 0)) for n in range(8)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setenv("ZOO_MAX_PIXELS", "1600")
    assert zoo.io.decode_image(gif, "GRAY").shape == (1, 20, 20)
    with pytest.raises(UnreadableFile, match="bomb: Its pictures have 3200 pixels"):
        zoo.io.decode_gif(gif)
    monkeypatch.setenv("ZOO_MAX_PIXELS", "100")
    with pytest.raises(UnreadableFile, match="bomb"):
        zoo.io.decode_png(png)


def test_what_cannot_be_encoded(tmp_path: Path) -> None:
    for wrong in (NOISE.float(), NOISE[0], NOISE[:2], NOISE[:, :0]):
        for encode in (zoo.io.encode_png, zoo.io.encode_jpeg):
            with pytest.raises(InvalidArgument):
                encode(wrong)
    for encode, numbers in ((zoo.io.encode_png, (-1, 10)), (zoo.io.encode_jpeg, (0, 101))):
        for number in numbers:
            with pytest.raises(InvalidArgument, match=str(number)):
                encode(NOISE, number)
    with pytest.raises(InvalidArgument, match="bytes"):
        zoo.io.write_file(tmp_path / "x", NOISE)
    zoo.io.write_file(tmp_path / "x", torch.arange(5, dtype=torch.uint8))
    assert (tmp_path / "x").read_bytes() == bytes(range(5))
