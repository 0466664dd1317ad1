"""Objects drawn into their picture: boxes with labels, keypoints. Lines and letters follow the picture's size.

The first object, usually the best detection, is drawn last, on top. The image itself is not changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import (
    INK,
    PAPER,
    RGB,
    SMALLEST_LETTERS,
    Colors,
    class_color,
    edge_width,
    line_width,
    paint_on,
    parse_colors,
)
from zoo.draw.labels import Caption, Frame, write_labels
from zoo.errors import InvalidArgument
from zoo.transforms.functional import Picture

# fmt: off
PERSON_SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12),  # legs and hips
    (5, 11), (6, 12),  # trunk
    (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),  # shoulders and arms
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),  # face
)
# fmt: on
"""Which of COCO's 17 keypoints are connected. They are the nose, then left before right: eyes, ears, shoulders,
elbows, wrists, hips, knees, ankles."""

PERSON_SIDES = ("", *("left", "right") * 8)
"""The side of each of COCO's 17 keypoints; "" for the nose."""


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def bounding_boxes(
    image: Picture,
    boxes: ArrayLike | Tensor,
    labels: Sequence[str] | Sequence[int] | Tensor | None = None,
    scores: ArrayLike | Tensor | None = None,
    *,
    names: Sequence[str] | None = None,
    colors: Colors | None = None,
    width: int | None = None,
    font_size: int | None = None,
) -> Picture:
    """The picture with a frame around each object, and its label and score on a plate beside it.

    A frame has dark edges, so that it shows on any picture. A label is above its box, or where it overlaps other labels
    least, always inside the picture. Long ones are cut with an ellipsis. If there are very many, letters are smaller,
    and overlapping labels lose their score or are left out. A picture that is too small gets no labels; :func:`legible`
    enlarges it. With ``font_size``, all are written, at that size.

    Args:
        image: PIL image, or tensor [1 or 3, H, W], uint8 or float in [0, 1].
        boxes: [N, 4], xyxy in pixels of the picture; or [N, 8], the four corners of rotated boxes (``"xyxyxyxy"`` of
            :func:`zoo.ops.box_convert`). Parts outside the picture are not drawn.
        labels: N texts, or the numbers of N classes, as detectors return them.
        scores: [N], 0 to 1; written after the labels.
        names: names of the classes, if ``labels`` are numbers.
        colors: colours of the objects; by default :func:`class_color` of the label's number or a hash of its text, the
            same in every picture. Without labels, one after another.
        width: of the frames, in pixels; by default proportional to the picture.
        font_size: height of the letters, in pixels; likewise.

    Returns:
        A picture in RGB of the type of ``image``: a PIL image, or a tensor of its dtype.

    Raises:
        InvalidArgument: ``image`` is not a picture, boxes are invalid, or labels, scores or colours are not N.
    """
    given = check_boxes(boxes, rotated=True)
    rows, corners = enclosing(given), given.reshape(len(given), given.shape[1] // 2, 2)
    texts, defaults = _captions(labels, scores, names, len(rows))
    chosen = defaults if colors is None else parse_colors("colors", colors, len(rows))

    def paint(canvas: Image.Image) -> None:
        draw = ImageDraw.Draw(canvas)
        thick = line_width(canvas.size) if width is None else check_count("width", width, 1)
        frames = _frames(rows, thick, canvas.size)
        for i, frame in reversed(frames.items()):
            left, top, right, bottom = frame
            inner = _thickness(frame, thick)
            edge = edge_width(inner)
            # With dark edges, a frame of any colour is visible on any picture.
            if corners.shape[1] == 4:
                around = [(x, y) for x, y in corners[i].take(range(5), 0, mode="wrap").tolist()]
                draw.line(around, INK, inner + 2 * edge, "curve")
                draw.line(around, chosen[i], inner, "curve")
                continue
            draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), None, INK, inner + 2 * edge)
            draw.rectangle(frame, None, chosen[i], inner)
        shown = [(frame, texts[i], chosen[i]) for i, frame in frames.items() if texts[i] != ("", "")]
        if font_size is not None:
            write_labels(canvas, shown, check_count("font_size", font_size, 1), every=True)
        elif canvas.height >= 6 * SMALLEST_LETTERS:  # else a label would hide its object
            write_labels(canvas, shown)

    return paint_on(image, paint)


def enclosing(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The axis-aligned boxes [N, 4] around boxes [N, 4] or corners [N, 8]."""
    corners = rows.reshape(len(rows), rows.shape[1] // 2, 2)
    return np.concatenate([corners.min(1), corners.max(1)], 1)


def check_boxes(boxes: ArrayLike | Tensor, rotated: bool = False) -> NDArray[np.float64]:
    """``boxes`` as float64 [N, 4], or [N, 8] if they may be ``rotated``. They must be finite, with ordered corners."""
    given = _as_tensor("boxes", boxes).double()
    if given.numel() == 0:
        given = given.reshape(0, 4)
    if given.ndim != 2 or given.shape[1] not in ((4, 8) if rotated else (4,)):
        corners = ", or [N, 8], the corners of rotated ones" if rotated else ""
        raise InvalidArgument(f"boxes have the shape {list(given.shape)}; expected [N, 4], xyxy in pixels{corners}.")
    rows: NDArray[np.float64] = given.numpy()
    if rows.shape[1] == 8:
        if not np.isfinite(rows).all():
            raise InvalidArgument("boxes have corners that are not finite.")
        return rows
    bad = ~np.isfinite(rows).all(1) | (rows[:, 2:] < rows[:, :2]).any(1)
    if bad.any():
        i = int(bad.argmax())
        raise InvalidArgument(
            f"boxes[{i}] is {rows[i].tolist()}; expected x1, y1, x2, y2 with x1 <= x2 and y1 <= y2. "
            'Convert boxes of x, y, width, height with zoo.ops.box_convert(boxes, "xywh", "xyxy").'
        )
    return rows


def _as_tensor(name: str, given: Any) -> Tensor:
    try:
        return torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as e:
        raise InvalidArgument(f"{name} cannot be read as a tensor ({e}); got {type(given).__name__}.") from e


def _captions(labels: Any, scores: Any, names: Sequence[str] | None, n: int) -> tuple[list[Caption], list[RGB]]:
    """The texts of ``n`` objects, (label, score), and the colours of their classes."""
    if labels is None:
        words, classes = [""] * n, list(range(n))
    else:
        listed = labels.tolist() if isinstance(labels, Tensor | np.ndarray) else list(labels)
        _check_length("labels", listed, n)
        if all(isinstance(label, str) for label in listed):
            words, classes = listed, [zlib.crc32(label.encode()) for label in listed]
        elif all(isinstance(label, int | np.integer) for label in listed):
            classes = [int(label) for label in listed]
            if names is not None and not all(0 <= label < len(names) for label in classes):
                raise InvalidArgument(
                    f"labels are from {min(classes)} to {max(classes)}, but there are {len(names)} names."
                )
            words = [names[label] if names is not None else str(label) for label in classes]
        else:
            raise InvalidArgument(f"labels are {listed[:3]!r}…; expected texts, or numbers of classes.")
    if scores is None:
        numbers = [""] * n
    else:
        listed = _as_tensor("scores", scores).flatten().tolist()
        _check_length("scores", listed, n)
        numbers = [f"{score:.0%}" for score in listed]
    return list(zip(words, numbers, strict=True)), [class_color(c) for c in classes]


def _check_length(name: str, listed: Sequence[Any], n: int) -> None:
    if len(listed) != n:
        raise InvalidArgument(f"There are {n} boxes and {len(listed)} {name}; expected one per box.")


def _frames(rows: NDArray[np.float64], thick: int, size: tuple[int, int]) -> dict[int, Frame]:
    """Object → its frame: half of the line is outside the box, all of it inside the picture. None for a box outside."""
    frames = {}
    limit = np.array(size)
    for i, (start, end) in enumerate(rows.reshape(-1, 2, 2)):
        if (end <= 0).any() or (start >= limit).any():
            continue
        first, last = np.rint(start), np.maximum(np.rint(end) - 1, np.rint(start))
        left, top = np.clip(first - thick // 2, 0, limit - 1).astype(int).tolist()
        right, bottom = np.clip(last + thick // 2, 0, limit - 1).astype(int).tolist()
        frames[i] = (left, top, right, bottom)
    return frames


def _thickness(frame: Frame, thick: int) -> int:
    """``thick``, or less if the frame would fill its box."""
    left, top, right, bottom = frame
    return max(1, min(thick, (min(right - left, bottom - top) - 1) // 3))


# ── keypoints ────────────────────────────────────────────────────────────────────────────────────────────────────


def keypoints(
    image: Picture,
    keypoints: ArrayLike | Tensor,
    visibility: ArrayLike | Tensor | None = None,
    *,
    skeleton: Sequence[tuple[int, int]] | None = None,
    sides: Sequence[str] | None = None,
    colors: Colors | None = None,
    radius: int | None = None,
    width: int | None = None,
) -> Picture:
    """The picture with the keypoints of each object as dots, and lines along its skeleton.

    The object's left side is filled. Its right side is hollow: dots are white in a ring, and lines have a white centre.

    Args:
        image: PIL image, or tensor [1 or 3, H, W], uint8 or float in [0, 1].
        keypoints: [N, K, 2], x and y in pixels; or [N, K, 3], with the visibility.
        visibility: [N, K]; keypoints with 0, and lines to them, are not drawn.
        skeleton: pairs of keypoints that are connected; by default :data:`PERSON_SKELETON` for 17 keypoints, and none
            otherwise.
        sides: ``"left"``, ``"right"`` or ``""`` for each of the K keypoints, as seen by the object; by default a
            person's for 17 keypoints, and "" otherwise.
        colors: colours of the objects; by default :func:`class_color`, one after another.
        radius: of the dots, in pixels; by default it depends on the sizes of the picture and of the object.
        width: of the lines, in pixels; likewise.

    Returns:
        A picture in RGB of the type of ``image``: a PIL image, or a tensor of its dtype.

    Raises:
        InvalidArgument: ``image`` is not a picture, keypoints or visibility have another shape, the skeleton names
            missing keypoints, sides are not K, there are too few colours, or a visible keypoint is not finite.
    """
    points, visible = check_keypoints(keypoints, visibility)
    n, k = visible.shape
    pairs = check_skeleton("skeleton", skeleton if skeleton is not None else PERSON_SKELETON if k == 17 else (), k)
    right = _right_ones(sides, k)
    chosen = [class_color(i) for i in range(n)] if colors is None else parse_colors("colors", colors, n)

    def paint(canvas: Image.Image) -> None:
        draw = ImageDraw.Draw(canvas)
        largest = line_width(canvas.size) + 1
        for i in reversed(range(n)):
            seen = points[i][visible[i]]
            if not len(seen):
                continue
            fitting = min(largest, max(1, round(float(np.ptp(seen, axis=0).max()) / 50)))
            line = fitting if width is None else check_count("width", width, 1)
            dot = fitting + 1 if radius is None else check_count("radius", radius, 1)
            limbs = [(a, b) for a, b in pairs if visible[i, a] and visible[i, b]]
            hollow = {(a, b) for a, b in limbs if right[a] and right[b]}
            for ink, wide in ((INK, line + 2 * edge_width(line)), (chosen[i], line), (PAPER, max(1, line // 3))):
                for limb in hollow if ink == PAPER else limbs:
                    draw.line(points[i][list(limb)].flatten().tolist(), ink, wide)
            ring = max(1, dot // 4)
            for (x, y), is_right in zip(seen.tolist(), right[visible[i]].tolist(), strict=True):
                inks: list[str | RGB] = [INK, PAPER, chosen[i]] if not is_right else [INK, chosen[i], PAPER]
                rings = zip((edge_width(dot), 0, -ring), inks, strict=True)
                for more, ink in rings if dot > 2 else [(1, INK), (0, inks[2])]:
                    r = dot + more
                    draw.ellipse((x - r, y - r, x + r, y + r), ink)

    return paint_on(image, paint)


def _right_ones(sides: Sequence[str] | None, k: int) -> NDArray[np.bool_]:
    """Which of ``k`` keypoints are on the object's right side."""
    if sides is None:
        sides = PERSON_SIDES if k == len(PERSON_SIDES) else [""] * k
    if len(sides) != k or not set(sides) <= {"left", "right", ""}:
        raise InvalidArgument(f"sides are {list(sides)!r}; expected 'left', 'right' or '' for each of {k} keypoints.")
    return np.array([side == "right" for side in sides])


def check_keypoints(
    keypoints: ArrayLike | Tensor, visibility: ArrayLike | Tensor | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The places of the keypoints, [N, K, 2], and which are visible, [N, K], checked."""
    given = _as_tensor("keypoints", keypoints).double()
    if given.ndim != 3 or given.shape[2] not in (2, 3):
        raise InvalidArgument(f"keypoints have the shape {list(given.shape)}; expected [N, K, 2] or [N, K, 3].")
    n, k, columns = given.shape
    visible = given[..., 2] > 0 if columns == 3 else torch.ones(n, k, dtype=torch.bool)
    if visibility is not None:
        said = _as_tensor("visibility", visibility)
        if said.shape == (n, k, 1):
            said = said[..., 0]
        if said.shape != (n, k):
            raise InvalidArgument(f"visibility has the shape {list(said.shape)}; expected [{n}, {k}] like keypoints.")
        visible = visible & (said > 0)
    lost = visible & ~given[..., :2].isfinite().all(-1)
    if lost.any():
        i, j = lost.nonzero()[0].tolist()
        raise InvalidArgument(f"keypoints[{i}, {j}] is {given[i, j].tolist()}; expected finite numbers of pixels.")
    return given[..., :2].numpy(), visible.numpy()


def check_skeleton(name: str, skeleton: Sequence[tuple[int, int]], k: int) -> list[tuple[int, int]]:
    """``skeleton``, checked to consist of pairs of ``k`` keypoints."""
    pairs = [tuple(pair) for pair in skeleton]
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(place, int) and 0 <= place < k for place in pair):
            raise InvalidArgument(f"{name} contains {pair!r}; expected pairs of keypoints from 0 to {k - 1}.")
    return [(a, b) for a, b in pairs]
