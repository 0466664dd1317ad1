"""The parts of the catalogue that need torch: pictures of predictions, and feature stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InvalidArgument, PluginError, ZooError, harmless, told as reason
from zoo.files import cached_path
from zoo_tools.catalogue.collecting import Paths, Told

SIDE = 720  # longer side of a picture, in pixels


def add_pictures(facts: dict[str, Any], given: Mapping[str, Sequence[Path]], folder: Path, told: Told) -> None:
    """Draw predictions of each model with local weights on the pictures given for it or for its task."""
    paths, known = Paths(), set()
    for model in facts["models"]:
        for w in model["weights"]:
            names = [w["name"], model["full_name"] + "." + w["tag"], model["name"], model["full_name"], *model["tasks"]]
            known.update(names)
            sources = next((given[name] for name in names if name in given), None)
            if sources is None or cached_path(w["url"]) is None:
                continue
            try:
                _draw(model, w, sources, folder, paths)
            except (ZooError, OSError, RuntimeError, ImportError) as e:
                told(f"No picture of {w['name']}: {harmless(reason(e), line=True)}")
    if unknown := sorted(given.keys() - known):
        raise InvalidArgument(f"{unknown[0]!r} is not an installed task, model or weights; a picture was given for it.")


def _draw(model: dict[str, Any], w: Mapping[str, Any], sources: Sequence[Path], folder: Path, paths: Paths) -> None:
    pipeline = zoo.pipeline(model["full_name"], weights=w["tag"])
    result: Any = pipeline(sources[0] if len(sources) == 1 else tuple(sources))
    picture = pipeline.steps.draw(result)
    picture.thumbnail((SIDE, SIDE))
    path = Path(paths.take("pictures", model["plugin"], w["name"])).with_suffix(".webp")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").save(folder / path, quality=86)
    model["pictures"].append(
        {
            "path": path.as_posix(),
            "weights": w["tag"],
            "source": sources[0].name,
            "size": list(picture.size),
            "lines": [harmless(line, line=True) for line in result.lines(3)],
        }
    )


def add_stages(facts: dict[str, Any], told: Told) -> None:
    """The feature stages of models that describe them, each built on the meta device."""
    missing: set[str] = set()
    for model in facts["models"]:
        if model["plugin"] in missing:
            continue
        try:
            stages = zoo.feature_info(model["full_name"], weights=None)
        except PluginError as e:  # the wrapped library is not installed: the same for all its models
            missing.add(model["plugin"])
            told(f"No feature stages of {model['plugin']}: {harmless(reason(e), line=True)}")
            continue
        except (ZooError, ImportError, RuntimeError, TypeError, ValueError):
            continue  # the model has no stages, or cannot be built here
        model["stages"] = [
            {"path": s.path, "channels": s.channels, "stride": s.stride, "layout": s.layout} for s in stages
        ]
