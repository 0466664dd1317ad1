"""Inspect data: a contact sheet of examples with the ground truth drawn, and counts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo import draw
from zoo.contract import Examples, check_count
from zoo.io import check_picture
from zoo.transforms.functional import to_pil_image

CELL = 320  # longer side of an example on the sheet, in pixels
CAPTION = 26
GAP = 4  # pixels between pictures of one example
MEASURED = 500  # maximum number of examples whose sizes are measured
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")


def sheet(data: Examples, n: int = 16, seed: int = 0, indices: Sequence[int] | None = None) -> Image.Image:
    """A contact sheet of ``n`` examples, chosen at random with ``seed`` (or those of ``indices``): labels are written
    below; boxes, masks, keypoints and classes are drawn over the picture; flow is drawn next to it in colours."""
    check_count("n", n, 1)
    if indices is None:
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        indices = sorted(order[:n].tolist())
    return draw.contact_sheet([drawn(*data[i], data.categories, data.names[i]) for i in indices])


def drawn(example: Any, target: dict[str, Any], categories: Sequence[str], name: str = "") -> Image.Image:
    """Draw one example of :class:`zoo.contract.Examples`: its input with its target."""
    if "boxes" in target:
        return captioned(_objects(example, target, categories), name)
    if "mask" in target:
        return captioned(_with_legend(_classes(example, target["mask"]), target["mask"], categories), name)
    if "flow" in target:
        flow = torch.where(target["valid"], target["flow"], torch.tensor(float("nan")))
        return captioned(_beside([_fit(example[0]), _fit(example[1]), _fit(draw.flow_to_image(flow))]), name)
    many = example.ndim == 4
    frames = example[torch.linspace(0, len(example) - 1, 3).long()] if many else example[None]
    picture = _beside([_fit(frame) for frame in frames])
    return captioned(picture, _shortened(categories[target["label"]], picture.width), name)


def _fit(image: Tensor) -> Image.Image:
    picture = to_pil_image(image)
    scale = CELL / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR)


def _objects(image: Tensor, target: dict[str, Any], categories: Sequence[str]) -> Image.Image:
    picture = _fit(image)
    scale = torch.tensor([picture.width / image.shape[2], picture.height / image.shape[1]])
    labels = target["labels"].tolist()
    colors = [draw.class_color(label) for label in labels]
    if len(target.get("masks", ())):
        pixels = torch.from_numpy(_array(picture))
        masks = torch.nn.functional.interpolate(target["masks"][None].float(), pixels.shape[1:])[0] > 0.5
        picture = to_pil_image(draw.segmentation_masks(pixels, masks, colors=colors))
    crowds = target["iscrowd"].tolist()
    names = [categories[label] + " (crowd)" * crowd for label, crowd in zip(labels, crowds, strict=True)]
    if len(target.get("keypoints", ())):
        points = target["keypoints"].clone()
        points[..., :2] *= scale
        picture = draw.keypoints(picture, points)
    return draw.bounding_boxes(picture, target["boxes"] * scale.repeat(2), names, colors=colors)  # names on top


def _with_legend(picture: Image.Image, mask: Tensor, categories: Sequence[str]) -> Image.Image:
    """Add a line with the classes in the picture, largest first, as far as they fit, each with its colour."""
    labels, pixels = torch.unique(mask, return_counts=True)
    order = [label for label in labels[pixels.argsort(descending=True)].tolist() if 0 < label < len(categories)]
    whole = Image.new("RGB", (picture.width, picture.height + CAPTION), draw.PAPER)
    whole.paste(picture, (0, 0))
    pen, letters, palette = ImageDraw.Draw(whole), draw.font(14), draw.voc_palette(256)
    left, top = 2, picture.height + 4
    for label in order:
        room = picture.width - left - 18
        if room < 40:
            pen.text((left, top), "…", draw.INK, letters)
            break
        pen.rectangle((left, top + 3, left + 12, top + 15), tuple(palette[label]))
        text = _shortened(categories[label], room, 14)
        pen.text((left + 16, top), text, draw.INK, letters)
        left += 26 + int(letters.getlength(text))
    return whole


def _shortened(text: str, width: int, size: int = 18) -> str:
    """A name, shortened if it is too long."""
    letters = draw.font(size)
    if letters.getlength(text) <= width - 4:
        return text
    while text and letters.getlength(text + "…") > width - 4:
        text = text[:-1]
    return text + "…"


def _classes(image: Tensor, mask: Tensor) -> Image.Image:
    """Each class in its colour over the picture; ignored pixels are white."""
    picture = _fit(image)
    palette = torch.tensor(draw.voc_palette(256), dtype=torch.uint8)
    palette[255] = 255
    tint = _fit(palette[mask.clamp(0, 255)].permute(2, 0, 1)).resize(picture.size, Image.Resampling.NEAREST)
    shown = _fit((mask[None] > 0).to(torch.uint8) * 190).resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(tint, picture.convert("RGB"), shown.convert("L"))


def _array(picture: Image.Image) -> Any:
    import numpy as np

    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1).copy()


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (width, max(p.height for p in pictures)), draw.PAPER)
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + GAP
    return whole


def captioned(picture: Image.Image, *lines: str) -> Image.Image:
    """``picture`` with lines of text below; the beginnings of long lines are cut off."""
    lines = tuple(line for line in lines if line)
    whole = Image.new("RGB", (picture.width, picture.height + CAPTION * len(lines)), draw.PAPER)
    whole.paste(picture, (0, 0))
    pen, letters = ImageDraw.Draw(whole), draw.font(18)
    for i, line in enumerate(lines):
        while letters.getlength(line) > picture.width - 4 and len(line) > 2:
            line = "…" + line[2:]  # the end of a path is more informative
        pen.text((2, picture.height + 2 + CAPTION * i), line, draw.INK, letters)
    return whole


def sizes(data: Examples) -> dict[str, dict[str, list[int]]]:
    """Smallest, median and largest width and height in pixels of the pictures or video frames, and of the objects'
    boxes. Measured on at most :data:`MEASURED` examples, evenly spread; empty if the examples have no sizes."""
    n = len(data)
    pictures: list[Sequence[float]] = []
    objects: list[Sequence[float]] = []
    for i in sorted({n * k // MEASURED for k in range(MEASURED)}) if n else ():
        pictures.append(_size(data, i))
        boxes = data.target(i).get("boxes", torch.zeros(0, 4))
        objects += (boxes[:, 2:] - boxes[:, :2]).tolist()
    found = {"pictures": pictures, "objects": objects}
    return {
        what: {
            name: [round(choose(sides)) for sides in zip(*values, strict=True)]
            for name, choose in (("smallest", min), ("median", statistics.median), ("largest", max))
        }
        for what, values in found.items()
        if values
    }


def _size(data: Examples, i: int) -> tuple[int, int]:
    """(width, height)."""
    source = data.source(i)
    file = source[0] if isinstance(source, tuple) else source
    if isinstance(file, Path) and file.suffix.lower() in PICTURES:
        height, width = check_picture(file)
        return width, height
    shown = data[i][0]
    frame = shown[0] if isinstance(shown, tuple) else shown
    return frame.shape[-1], frame.shape[-2]


def describe(data: Examples) -> dict[str, Any]:
    """Number of examples, number in each category (pixels for class maps), sizes of pictures and objects, and notes, as
    JSON values."""
    return {
        "format": type(data).__name__,
        "examples": len(data),
        "categories": list(data.categories),
        "counts": dict(data.counts()),
        "sizes": sizes(data),
        "notes": list(getattr(data, "notes", ())),
    }
