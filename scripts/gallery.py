"""Draw docs/images/gallery and docs/gallery.md: a picture of every task's results, from ``result.draw()``.

Models with packaged weights predict; for other tasks, results are written here by hand (boxes, outlines and joints on
the example photographs), or known because the picture is generated. Each caption states which.

    python scripts/gallery.py            # all
    python scripts/gallery.py boxes      # some, by name
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import zoo
from zoo.draw import bounding_boxes, contact_sheet
from zoo_classification.embedding import ImageEmbedding
from zoo_detection.task import Detection
from zoo_segmentation.task import Segmentation
from zoo_transformers.results import Depth, PanopticSegmentation

ROOT = Path(__file__).parents[1]
EXAMPLES, PICTURES, PAGE = ROOT / "examples", ROOT / "docs/images/gallery", ROOT / "docs/gallery.md"
LARGEST, LARGEST_FILE = 1280, 150_000  # maximum side of a picture in pixels; maximum file size in bytes
COCO = ("__background__", "person", "cup", "spoon", "saucer", "table", "cat", "tripod", "camera", "building")


@dataclass(frozen=True)
class Shown:
    """A picture of the page.

    Attributes:
        name: name of the file.
        task: name of the task; "" if it belongs to several tasks.
        title, caption: description, and the source of its numbers.
        code: code that makes it.
        draw: function that makes it.
    """

    name: str
    task: str
    title: str
    caption: str
    code: str
    draw: Callable[[], Image.Image]


def photo(name: str) -> Image.Image:
    return Image.open(EXAMPLES / "images/photos" / name).convert("RGB")


def polygon(size: tuple[int, int], *points: tuple[float, float]) -> torch.Tensor:
    """bool [H, W]: the inside of an outline, whose points are relative to width and height."""
    mask = Image.new("1", size)
    ImageDraw.Draw(mask).polygon([(x * size[0], y * size[1]) for x, y in points], 1)
    return torch.from_numpy(np.array(mask))


def ellipse(size: tuple[int, int], left: float, top: float, right: float, bottom: float) -> torch.Tensor:
    mask = Image.new("1", size)
    ImageDraw.Draw(mask).ellipse((left * size[0], top * size[1], right * size[0], bottom * size[1]), 1)
    return torch.from_numpy(np.array(mask))


# ── objects in the photographs ───────────────────────────────────────────────────────────────────────────────────────


def coffee_parts(size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The objects on the table of ``coffee.jpg``, outlined by hand; the first are in front."""
    bowl = ellipse(size, 0.288, 0.045, 0.685, 0.575) | polygon(
        size, (0.288, 0.31), (0.685, 0.31), (0.66, 0.5), (0.6, 0.66), (0.52, 0.73), (0.42, 0.72), (0.355, 0.6)
    )
    handle = polygon(size, (0.345, 0.6), (0.43, 0.67), (0.42, 0.76), (0.385, 0.805), (0.335, 0.775), (0.325, 0.68))
    ladle = ellipse(size, 0.543, 0.68, 0.68, 0.865)
    stem = polygon(size, (0.605, 0.69), (0.645, 0.7), (0.72, 0.2), (0.705, 0.165), (0.675, 0.17), (0.68, 0.24))
    return {"cup": bowl | handle, "spoon": ladle | stem, "saucer": ellipse(size, 0.125, 0.235, 0.803, 0.99)}


def boxes_of(masks: list[torch.Tensor]) -> torch.Tensor:
    rows = []
    for mask in masks:
        ys, xs = mask.nonzero().unbind(1)
        rows.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return torch.tensor(rows).float()


def detection() -> Image.Image:
    image = photo("camera.jpg")
    boxes = [[2, 66, 336, 512], [236, 158, 420, 512], [262, 142, 338, 194], [416, 118, 446, 196], [448, 196, 512, 240]]
    labels = torch.tensor([1, 7, 8, 9, 9])
    return Detection(torch.tensor(boxes).float(), labels, torch.linspace(0.99, 0.63, 5), COCO, image).draw()


def instances() -> Image.Image:
    image = photo("coffee.jpg")
    parts = coffee_parts(image.size)
    masks = torch.stack([*parts.values()])[:, None].float()
    labels = torch.tensor([COCO.index(name) for name in parts])
    return Detection(boxes_of([*parts.values()]), labels, torch.tensor([0.99, 0.94, 0.91]), COCO, image, masks).draw()


def joints() -> Image.Image:
    image = photo("camera.jpg")
    # The photographer looks to the right: his right side is nearer.
    places = {
        0: (268, 153), 2: (252, 138), 4: (217, 144), 6: (150, 190), 8: (142, 292), 10: (232, 250), 5: (228, 205),
        7: (268, 300), 9: (322, 208), 12: (92, 368), 11: (150, 372), 14: (112, 500), 13: (170, 500),
    }  # fmt: skip
    points = torch.zeros(1, 17, 3)
    for i, (x, y) in places.items():
        points[0, i] = torch.tensor([x, y, 1])
    box = torch.tensor([[2.0, 66, 345, 511]])
    return Detection(box, torch.tensor([1]), torch.tensor([0.98]), COCO, image, keypoints=points).draw()


def regions() -> Image.Image:
    image = photo("coffee.jpg")
    classes = torch.full((image.height, image.width), COCO.index("table"), dtype=torch.uint8)
    classes[polygon(image.size, (0, 0), (0.26, 0), (0, 0.31))] = 0
    for name, mask in reversed(coffee_parts(image.size).items()):
        classes[mask] = COCO.index(name)
    return Segmentation(classes, COCO, image).draw()


def panoptic() -> Image.Image:
    image = photo("chelsea.jpg")
    size = image.size
    cat = polygon(
        size, (0.0, 0.12), (0.06, 0.02), (0.17, 0.1), (0.3, 0.0), (0.62, 0.0), (0.8, 0.04), (0.86, 0.2), (0.86, 0.55),
        (0.8, 0.75), (0.7, 1), (0, 1),
    )  # fmt: skip
    eyes = ellipse(size, 0.3, 0.29, 0.45, 0.49) | ellipse(size, 0.66, 0.36, 0.77, 0.55)
    nose = polygon(size, (0.52, 0.74), (0.63, 0.74), (0.6, 0.86), (0.55, 0.86))
    segments = torch.zeros(size[1], size[0], dtype=torch.int64)
    for i, mask in enumerate((cat, eyes, nose), 1):
        segments[mask] = i
    scores = torch.tensor([0.88, 0.97, 0.93, 0.9])
    return PanopticSegmentation(segments, torch.arange(4), scores, ("wall", "cat", "eyes", "nose"), image).draw()


# ── generated pictures ───────────────────────────────────────────────────────────────────────────────────────────


def spheres() -> tuple[Image.Image, torch.Tensor]:
    """Balls on a chequered floor, and the distance of each pixel in metres along the ray."""
    width, height = 480, 360
    x, y = np.meshgrid((np.arange(width) - width / 2) / height, (np.arange(height) - height / 2) / height)
    rays = np.stack([x, y, np.full_like(x, 0.9)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    floor = np.where(rays[..., 1] > 0.02, 0.6 / np.clip(rays[..., 1], 0.02, None), 12.0)
    depth = np.minimum(floor, 12.0)
    place = rays * depth[..., None]
    board = (np.floor(place[..., 0] * 2) + np.floor(place[..., 2] * 2)) % 2
    colour = np.where(board[..., None] > 0, (205, 200, 190), (110, 105, 120)) * (1 / (1 + 0.06 * depth[..., None]))
    sky = rays[..., 1] <= 0.05
    colour[sky] = (170, 195, 225) + 40 * rays[sky][:, 1:2]
    light = np.array([-0.5, -0.7, -0.5]) / np.linalg.norm([0.5, 0.7, 0.5])
    for centre, radius, paint in (
        ((-0.55, 0.3, 1.7), 0.3, (220, 70, 60)), ((0.45, 0.2, 2.6), 0.4, (70, 140, 220)),
        ((0.1, 0.4, 1.35), 0.2, (240, 190, 60)), ((1.6, 0.0, 4.6), 0.6, (90, 180, 110)),
    ):  # fmt: skip
        along = rays @ np.array(centre)
        inside = along**2 - np.dot(centre, centre) + radius**2
        hit = along - np.sqrt(np.clip(inside, 0, None))
        seen = (inside > 0) & (hit < depth)
        normal = (rays * hit[..., None] - centre) / radius
        shade = 0.35 + 0.65 * np.clip(normal @ light, 0, 1)
        colour[seen] = (np.array(paint) * shade[..., None])[seen]
        depth[seen] = hit[seen]
    return Image.fromarray(colour.clip(0, 255).astype(np.uint8)), torch.from_numpy(depth).float()


def depth() -> Image.Image:
    image, values = spheres()
    return Depth(values.clamp(max=6), "metres", image).draw()


def crowd() -> Image.Image:
    """300 balls on a picture of 4,000 pixels, with their true boxes: the entire picture, and a crop."""
    rng = np.random.default_rng(3)
    image = photo("coffee.jpg").resize((4000, 2667), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    names = ("ball", "marble", "bead", "pearl", "button")
    boxes, labels = [], []
    for _ in range(300):
        x, y, r, label = rng.uniform(60, 3940), rng.uniform(60, 2607), rng.uniform(25, 75), int(rng.integers(5))
        tone = tuple(int(v) for v in rng.integers(40, 230, 3))
        draw.ellipse((x - r, y - r, x + r, y + r), tone)
        draw.ellipse((x - r * 0.5, y - r * 0.55, x - r * 0.1, y - r * 0.15), tuple(min(255, v + 60) for v in tone))
        boxes.append([x - r, y - r, x + r, y + r])
        labels.append(label)
    scores = torch.from_numpy(rng.uniform(0.5, 1, 300)).sort(descending=True).values
    whole = Detection(torch.tensor(boxes), torch.tensor(labels), scores, names, image).draw()
    part = whole.crop((1500, 900, 2300, 1433))
    return contact_sheet([whole.resize((800, 533), Image.Resampling.LANCZOS), part], 1)


def rotated() -> Image.Image:
    image = photo("camera.jpg")
    tripod = [[240, 505, 268, 512, 310, 330, 292, 322], [300, 330, 314, 322, 408, 505, 390, 512]]
    tower = [[417, 122, 443, 120, 446, 196, 420, 197]]
    return bounding_boxes(image, [*tripod, *tower], ["leg", "leg", "tower"], [0.93, 0.9, 0.71])  # type: ignore[return-value]


# ── predictions of models ────────────────────────────────────────────────────────────────────────────────────────────


def predicted(model: str, weights: str, source: object, **options: object) -> Image.Image:
    result = zoo.pipeline(model, weights=weights, device="cpu", **options)(source)  # type: ignore[arg-type]
    picture: Image.Image = result.draw()
    return picture


def embedding() -> Image.Image:
    image = photo("chelsea.jpg")
    pixels = torch.from_numpy(np.array(image.convert("L").resize((24, 16)))).float().flatten()
    return ImageEmbedding(torch.fft.rfft(pixels - pixels.mean()).real[1:], image).draw()


SHAPES, FLOW = EXAMPLES / "images/shapes.png", EXAMPLES / "images/flow"
FRAMES = (FLOW / "frame1.png", FLOW / "frame2.png")
VIDEO = EXAMPLES / "videos/moving_shapes.gif"
HAND = "Marked by hand."

SHOWN = [
    Shown("classification", "image-classification", "Classification", "EfficientNet-Lite0, with weights that pip "
          "installs.", 'zoo.pipeline("efficientnet_lite0")("examples/images/photos/coffee.jpg").draw()',
          lambda: predicted("efficientnet_lite0", "DEFAULT", EXAMPLES / "images/photos/coffee.jpg")),
    Shown("boxes", "object-detection", "Detection", f"Frames have dark edges, and labels a background. {HAND}",
          "Detection(boxes, labels, scores, categories, image).draw()", detection),
    Shown("shapes", "object-detection", "Detection by a model", "SSDlite, trained on drawn shapes; its weights are in "
          "the package.", 'zoo.pipeline("ssdlite320_mobilenet_v3_large", weights="SHAPES_V1")(picture).draw()',
          lambda: predicted("ssdlite320_mobilenet_v3_large", "SHAPES_V1", SHAPES)),
    Shown("crowd", "object-detection", "300 objects on 4,000 pixels", "Labels shrink, and the least certain are left "
          "out where there is no space; below, a crop at its original size. The objects were drawn into the picture.",
          "result.draw()", crowd),
    Shown("rotated", "", "Rotated boxes", HAND, "zoo.draw.bounding_boxes(image, corners, labels, scores)", rotated),
    Shown("instances", "instance-segmentation", "Instance segmentation", "Tinted masks, with coloured edges and a "
          f"dark outline. {HAND}", "Detection(..., masks=masks).draw()", instances),
    Shown("keypoints", "keypoint-detection", "Keypoints", f"Left keypoints are filled, right ones hollow. {HAND}",
          "Detection(..., keypoints=points).draw()", joints),
    Shown("regions", "semantic-segmentation", "Semantic segmentation", "With a legend of the classes, the largest "
          f"first. {HAND}", "Segmentation(class_map, categories, image).draw()", regions),
    Shown("shape_classes", "semantic-segmentation", "Semantic segmentation by a model", "LR-ASPP, trained on drawn "
          "shapes; its weights are in the package.",
          'zoo.pipeline("lraspp_mobilenet_v3_large", weights="SHAPES_V1")(picture).draw()',
          lambda: predicted("lraspp_mobilenet_v3_large", "SHAPES_V1", SHAPES)),
    Shown("panoptic", "panoptic-segmentation", "Panoptic segmentation", HAND,
          "PanopticSegmentation(segment_map, labels, scores, categories, image).draw()", panoptic),
    Shown("flow", "optical-flow", "Optical flow", "RAFT, with packaged weights: arrows, the flow with its colour "
          "wheel, the remaining difference, occluded pixels, and the forward-backward error.",
          'zoo.pipeline("raft_small", weights="SHAPES_V1", backward=True)((first, second)).draw()',
          lambda: predicted("raft_small", "SHAPES_V1", FRAMES, backward=True)),
    Shown("flow_video", "optical-flow", "Optical flow of a video", "All frames have the same colour scale.",
          'zoo.pipeline("raft_small", weights="SHAPES_V1", stride=3)("moving_shapes.gif").draw()',
          lambda: predicted("raft_small", "SHAPES_V1", str(VIDEO), stride=3)),
    Shown("video", "video-classification", "Video classification", "One row for each clip. A small network whose "
          "weights are in the package.", 'zoo.pipeline("mc3_tiny", weights="MOVING_SHAPES_V1", clips=4)(video).draw()',
          lambda: predicted("mc3_tiny", "MOVING_SHAPES_V1", str(VIDEO), clips=4)),
    Shown("depth", "depth-estimation", "Depth", "Near is bright; the scale has round numbers. The scene is generated, "
          "so its depth is known.", "Depth(values, \"metres\", image).draw()", depth),
    Shown("embedding", "image-feature-extraction", "An embedding", "One stripe for each number, blue below zero, red "
          "above; here of a Fourier transform.", "ImageEmbedding(vector, image).draw()", embedding),
]  # fmt: skip

INTRODUCTION = """# Gallery

The result of `result.draw()` for every task. `zoo predict --output DIR` writes it, `result.show()` and `zoo predict
--show` open it, and notebooks display it. All pictures follow the same rules:

- A class has the same colour in every picture, `zoo.draw.class_color(index)`; each object with a mask or keypoints has
  its own.
- Every colour has a WCAG contrast of at least 4.5 to the dark edge drawn around it, so that one of the two is visible
  on any background. The first ten, and neighbours, are distinguishable with any form of colour blindness;
  `tests/core/test_draw_legible.py` checks it.
- Lines, letters and legends scale with the picture. Results are drawn at the picture's own size; tiny pictures are
  enlarged.
- Labels do not overlap, and leave most of the picture visible.

This page and its pictures are made by `python scripts/gallery.py`.
"""


def page() -> Iterator[str]:
    yield INTRODUCTION
    for shown in SHOWN:
        yield f"\n## {shown.title}\n\n"
        yield f"{shown.caption}" + (f" Task: `{shown.task}`.\n" if shown.task else "\n")
        yield f"\n![{shown.title}](images/gallery/{shown.name}.jpg)\n\n```py\n{shown.code}\n```\n"


def save(picture: Image.Image, name: str) -> Path:
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    path = PICTURES / f"{name}.jpg"
    for quality in range(90, 40, -10):
        picture.save(path, quality=quality, optimize=True, subsampling=0 if quality > 70 else 2)
        if path.stat().st_size < LARGEST_FILE:
            break
    return path


def main(names: list[str]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    unknown = {*names} - {shown.name for shown in SHOWN}
    if unknown:
        sys.exit(f"Unknown pictures {', '.join(sorted(unknown))}; available: {', '.join(s.name for s in SHOWN)}.")
    for shown in SHOWN:
        if not names or shown.name in names:
            picture = shown.draw()
            path = save(picture, shown.name)
            print(path.relative_to(ROOT), picture.size, f"{path.stat().st_size / 1000:.0f} kB")
    PAGE.write_text("".join(page()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
