"""Formatting of numbers and names on the pages, and the small scatter plot of a model's page. No torch."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

NONE = "–"


def count(n: int | None) -> str:
    """``25.6 M``."""
    if n is None:
        return NONE
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            return f"{n / size:.1f} {unit}" if n / size < 100 else f"{n / size:.0f} {unit}"
    return str(n)


def short(value: float | None) -> str:
    """At most three significant digits, without trailing zeros: ``4.09``, ``0.058``, ``1,520``."""
    if value is None:
        return NONE
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def fixed(value: float | None, places: int) -> str:
    return NONE if value is None else f"{value:.{places}f}"


def places(values: Sequence[float | None]) -> int:
    """Number of decimals, at most three, needed to write all these numbers as published."""
    texts = (repr(round(float(value), 3)) for value in values if value is not None)
    return max((len(text.partition(".")[2]) if not text.endswith(".0") else 0 for text in texts), default=0)


def is_link(text: object) -> bool:
    """Whether a URL is safe to link to: a web address, not a script."""
    if not isinstance(text, str) or any(c.isspace() for c in text):
        return False
    try:
        return urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).netloc)
    except ValueError:
        return False


def host(text: str) -> str:
    return urlsplit(text).netloc.removeprefix("www.")


def embedded(value: Any) -> Markup:
    """JSON inside ``<script type="application/json">``, escaped so that no text can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def title(task: str) -> str:
    """``image-classification`` → ``Image classification``."""
    return task.replace("-", " ").capitalize()


def value_of(weights: Mapping[str, Any], metric: Mapping[str, Any]) -> tuple[float, str] | None:
    """Metrics of weights on the data set that most others use, otherwise on their first data set."""
    found = [(values[metric["key"]], data) for data, values in weights["metrics"].items() if metric["key"] in values]
    found = [(value, data) for value, data in found if isinstance(value, int | float) and not isinstance(value, bool)]
    return next((one for one in found if one[1] == metric["data"]), found[0] if found else None)


def breakable(name: str) -> Markup:
    """A name with optional line breaks after underscores, hyphens and points."""
    return Markup("<wbr>").join(re.split(r"(?<=[_./-])(?=\w)", name))


def best(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The default weights of a model, otherwise its first."""
    return next((w for w in model["weights"] if w["default"]), next(iter(model["weights"]), None))


def main_value(model: Mapping[str, Any], task: Mapping[str, Any]) -> float | None:
    """The first metric of the task for a model's default weights, on the data set used most."""
    weights = best(model)
    found = value_of(weights, task["metrics"][0]) if weights and task["metrics"] else None
    return found[0] if found and found[1] == task["metrics"][0]["data"] else None


def ranked(models: Sequence[dict[str, Any]], task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sort by the task's first metric, best first; entries without it come last."""
    more = not task["metrics"] or task["metrics"][0]["higher_is_better"]

    def key(model: dict[str, Any]) -> tuple[bool, float, str]:
        value = main_value(model, task)
        return value is None, 0.0 if value is None else -value if more else value, model["name"]

    return sorted(models, key=key)


def example_input(task: Mapping[str, Any]) -> str:
    """Example inputs of the task: one picture, two, or a video."""
    video = any(suffix in (".mp4", ".avi", ".mov") for suffix in task["suffixes"][:3])
    if task["inputs_per_sample"] == 2:
        return "frame1.png frame2.png"
    return "clip.mp4" if video and "video" in task["name"] else "photo.jpg"


def distribution(plugin: Mapping[str, Any]) -> str:
    """Name of the package to install for a plugin."""
    return str(plugin["distribution"] or plugin["name"])


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "short": short,
    "fixed": fixed,
    "host": host,
    "embedded": embedded,
    "task_title": title,
    "value_of": value_of,
    "best": best,
    "breakable": breakable,
    "distribution": distribution,
}


class Standing:
    """A scatter plot of a task's models as SVG paths, first metric against parameters, with one model marked."""

    width, height, left, bottom = 460, 230, 44, 30

    def __init__(self, models: Sequence[dict[str, Any]], task: Mapping[str, Any]) -> None:
        self.task = task
        self.values: dict[str, tuple[float, float]] = {}
        for model in models:
            y, x = (main_value(model, task), model["num_params"]) if task["name"] == model["tasks"][0] else (None, None)
            if y is not None and x:
                self.values[model["full_name"]] = (x, y)
        self.points = {}
        if len(self.values) >= 5:
            xs = [math.log10(x) for x, _ in self.values.values()]
            ys = sorted(y for _, y in self.values.values())
            self.x0, self.x1 = min(xs) - 0.05, max(xs) + 0.05
            margin = (ys[-1] - ys[0]) * 0.06 or 1
            self.y0, self.y1 = ys[0] - margin, ys[-1] + margin
            self.points = {name: self._at(x, y) for name, (x, y) in self.values.items()}
        # Every page contains the plot: of thousands of points, a subset with some distance shows the same cloud.
        apart = list(dict.fromkeys((round(x / 3) * 3, round(y / 3) * 3) for x, y in self.points.values()))
        self.cloud = "".join(f"M{x} {y}h0" for x, y in apart[:: math.ceil(len(apart) / 300)]) if apart else ""
        self.order = sorted(y for _, y in self.values.values())

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - self.x0) / (self.x1 - self.x0)
        up = (y - self.y0) / (self.y1 - self.y0)
        if not self.task["metrics"][0]["higher_is_better"]:
            up = 1 - up
        return (
            round(self.left + across * (self.width - self.left - 10), 1),
            round((1 - up) * (self.height - self.bottom - 10) + 10, 1),
        )

    def chart(self, model: Mapping[str, Any]) -> dict[str, Any] | None:
        """Coordinates for the template; None if this model or too few others have the metric."""
        own = self.points.get(model["full_name"])
        if own is None:
            return None
        decades = range(math.ceil(self.x0), math.floor(self.x1) + 1)
        ticks_x = [(self._at(10**n, self.y0)[0], count(10**n).replace(".0", "")) for n in decades]
        step = _step(self.y1 - self.y0)
        first = math.ceil(self.y0 / step)
        heights = [n * step for n in range(first, math.floor(self.y1 / step) + 1)]
        ticks_y = [(self._at(10**self.x0, y)[1], short(y)) for y in heights]
        value = self.values[model["full_name"]][1]
        more = self.task["metrics"][0]["higher_is_better"]
        better = len(self.order) - bisect_right(self.order, value) if more else bisect_left(self.order, value)
        return {
            "own": own,
            "others": self.cloud,
            "ticks_x": ticks_x,
            "ticks_y": ticks_y,
            "rank": better + 1,
            "of": len(self.values),
            "width": self.width,
            "height": self.height,
            "left": self.left,
            "floor": self.height - self.bottom,
        }


def _step(span: float) -> float:
    """A round distance between ticks, so that an axis has four to eight of them."""
    base = 10.0 ** math.floor(math.log10(span / 4))
    return base * max(n for n in (1, 2, 5) if base * n <= span / 4)
