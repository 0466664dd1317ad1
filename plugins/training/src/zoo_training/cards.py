"""Model cards: the README of a saved model for the hub and its readers, made from the file's metadata. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zoo import registry
from zoo.contract import TaskSpec
from zoo.errors import UnknownTask, harmless
from zoo.files import redacted, replacing
from zoo.registry import SavedModel

CARD = "README.md"
WRITTEN = "# Written by zoo from what the model's file says; without this line, zoo leaves the card as it is."
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
MOST = 6  # default maximum number of pictures on a card
# Task → the hub's name for it, if different.
PIPELINE_TAGS = {"semantic-segmentation": "image-segmentation", "instance-segmentation": "image-segmentation"}
HUB_TASKS = {
    "image-classification", "image-segmentation", "object-detection", "keypoint-detection", "video-classification",
    "depth-estimation", "image-feature-extraction", "image-to-image", "mask-generation", "image-to-text",
    "zero-shot-image-classification", "zero-shot-object-detection",
}  # fmt: skip
METRICS = {"acc@1": "accuracy", "acc@5": "top_5_accuracy", "miou": "mean_iou"}  # key → the hub's name
# The licences known to the hub; any other is given by name next to "other".
HUB_LICENSES = set(
    """apache-2.0 mit openrail creativeml-openrail-m bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause
    bsd-3-clause bsd-3-clause-clear cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0
    cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc mpl-2.0 odc-by odbl ofl-1.1 osl-3.0 postgresql
    ncsa unlicense zlib pddl""".split()
)


def write_card(saved: str | Path, **facts: Any) -> Path:
    """Write the card of a saved model as ``README.md`` into its folder: ``write_card("runs/a/best.safetensors")``.

    The card shows the pictures in the folder. A card without the line that marks it as written by zoo is not
    modified.

    Args:
        saved: path of the saved model.
        **facts: as for :func:`model_card`.

    Raises:
        CheckpointError: the file is not a saved model.
    """
    path = Path(saved)
    card = path.parent / CARD
    if not is_ours(card):
        return card
    text = model_card(path, **{"pictures": [p.name for p in pictures_in(path.parent)], **facts})
    with replacing(card) as f:
        f.write(text.encode())
    return card


def is_ours(card: Path) -> bool:
    """Whether zoo may write the card: it does not exist, or zoo wrote it."""
    return not card.exists() or WRITTEN in card.read_text(errors="replace")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in the folder of a run, predictions first; of a numbered series, such as by epoch, the last."""
    last: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda p: [int(t) if t.isdigit() else t for t in _parts(p.name)]):
        if path.suffix.lower() in PICTURES and path.is_file():
            last[re.sub(r"\d+", "#", path.name)] = path
    return sorted(last.values(), key=lambda path: not path.name.startswith("predictions"))[:MOST]


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)  # text and numbers alternate, so that any two names are comparable


def model_card(
    saved: str | Path | SavedModel,
    *,
    name: str | None = None,
    load: str | None = None,
    install: Sequence[str] | None = None,
    license: str | None = None,  # noqa: A002  the name in zoo.Weights
    data: str | None = None,
    training: Mapping[str, Any] | None = None,
    pictures: Sequence[str] = (),
) -> str:
    """The card of a saved model: metadata for the hub, usage, metrics, and facts about the model.

    Args:
        saved: a file written by :func:`zoo.save`, or the result of :func:`zoo.registry.find_saved` for it.
        name: the title; by default the model's name.
        load: argument of :func:`zoo.pipeline`, such as ``hf://org/name``; by default the file's name.
        install: distributions to install; by default the model's.
        license: licence of the weights; by default the file's.
        data: training data set: a name, or ``org/name`` if it is on the hub. By default ``extra["data"]`` of the file.
        training: setting → value, such as ``{"epochs": 10}``. By default ``extra["training"]`` of the file.
        pictures: links, relative to the card.

    Raises:
        CheckpointError: the file is not a saved model.
        UnknownModel: no installed plugin has the model.
    """
    about = saved if isinstance(saved, SavedModel) else registry.find_saved(Path(saved))
    if about is None:  # a name of a registered model is not a path
        raise TypeError(f"saved is {saved!r}; expected the path of a file.")
    weights, entry = about.weights, about.entry()
    try:
        task: TaskSpec | None = registry.get_task(about.task, plugin=entry.plugin.name)
    except UnknownTask:
        task = None
    license = license or weights.license  # noqa: A001
    given = weights.extra.get("data")
    data = data or (given if isinstance(given, str) else None)
    given = weights.extra.get("training")
    training = training or (given if isinstance(given, Mapping) else {})
    own = [d for d in about.versions if d != "zoo-core"] or [entry.plugin.distribution or "zoo-core"]
    bare = about.name.partition("/")[2]
    title = name or bare
    load = load or Path(about.source).name
    labels = [label for label in weights.read_categories() if label != "__background__"]
    return "\n".join(
        [
            *_metadata(about, task, title, license, data),
            f"# {_text(title)}",
            "",
            f"A `{bare}` for {about.task.replace('-', ' ')}" + (f", of {len(labels)} categories." if labels else "."),
            "",
            *_usage(task, load, install if install is not None else own),
            *_figures(weights.metrics, task),
            *_pictures(pictures),
            *_table("The model", _facts(about, license, data, labels)),
            *_table("Training", {key: value for key, value in training.items() if value is not None}),
            *_categories(labels),
        ]
    )


# ── parts of a card ──────────────────────────────────────────────────────────────────────────────────────────────


def _metadata(about: SavedModel, task: TaskSpec | None, title: str, license: str, data: str | None) -> Iterator[str]:  # noqa: A002
    """The YAML header of the card; all texts are quoted."""
    yield from ("---", WRITTEN, "library_name: zoo")
    tag = PIPELINE_TAGS.get(about.task, about.task)
    if tag in HUB_TASKS:
        yield f"pipeline_tag: {tag}"
    yield from ("tags:", "- zoo", *(f"- {_yaml(text)}" for text in (about.task, about.name.partition("/")[2])))
    if license.lower() in HUB_LICENSES:
        yield f"license: {license.lower()}"
    elif license != "unknown":
        yield "license: other"
        link = "://" in license
        yield f"license_{'link' if link else 'name'}: {_yaml(license)}"
    base = re.match(r"hf://([^/@]+/[^/@]+)", about.trained_from or "")
    if base:
        yield f"base_model: {_yaml(base[1])}"
    if data and re.fullmatch(r"[\w.-]+/[\w.-]+", data, re.ASCII):
        yield from ("datasets:", f"- {_yaml(data)}")
    results = [(where, values) for where, values in _finite(about.weights.metrics).items() if values]
    if results:
        yield from ("model-index:", f"- name: {_yaml(title)}", "  results:")
    for where, values in results:
        yield from ("  - task:", f"      type: {_yaml(tag)}", f"      name: {_yaml(about.task.replace('-', ' '))}")
        yield from ("    dataset:", f"      type: {_yaml(_slug(where))}", f"      name: {_yaml(where)}", "    metrics:")
        for key, value in values.items():
            yield f"    - type: {_yaml(METRICS.get(key, key))}"
            yield from (f"      name: {_yaml(_titles(task).get(key, key))}", f"      value: {_number(value)}")
    yield "---"


def _usage(task: TaskSpec | None, load: str, install: Sequence[str]) -> Iterator[str]:
    yield from ("```sh", f"pip install {' '.join(install)}", "```", "")
    example = '"picture.png"'
    if task is not None and task.input_ndim == 4:
        example = '"video.mp4"'
    elif task is not None and task.inputs_per_sample == 2:
        example = '("frame1.png", "frame2.png")'
    model = harmless(load, line=True).replace("\\", "\\\\").replace('"', '\\"')
    yield from ("```python", "import zoo", f'model = zoo.pipeline("{model}")', f"print(model({example}))", "```", "")


def _figures(metrics: Mapping[str, Mapping[str, float]], task: TaskSpec | None) -> Iterator[str]:
    rows = [(where, key, value) for where, values in _finite(metrics).items() for key, value in values.items()]
    if rows:
        yield from ("## Figures", "", "| data | figure | value |", "| --- | --- | ---: |")
        for where, key, value in rows:
            yield f"| {_text(where)} | {_text(_titles(task).get(key, key))} | {value:.6g} |"
        yield ""


def _pictures(links: Sequence[str]) -> Iterator[str]:
    if links:
        yield from ("## Pictures", "")
    for link in links:
        caption = re.sub(r"[_\-]+", " ", Path(link).stem)
        yield from (f"![{_text(caption)}]({quote(link)})", "")


def _facts(about: SavedModel, license: str, data: str | None, labels: Sequence[str]) -> dict[str, Any]:  # noqa: A002
    weights, preset = about.weights, about.weights.transforms
    given = preset.arguments if preset else {}
    return {
        "model": about.name,
        "task": about.task,
        "parameters": f"{weights.num_params:,}" if weights.num_params else None,
        "arguments": _listed(about.arguments),
        "preprocessing": f"{preset.target.rpartition(':')[2]} {_listed(given)}".strip() if preset else None,
        "categories": len(labels) or None,
        "trained on": data,
        "trained from": redacted(about.trained_from) if about.trained_from else None,
        "licence": license if license != "unknown" else "not stated",
        "written by": _listed(about.versions, " "),
    }


def _table(title: str, facts: Mapping[str, Any]) -> Iterator[str]:
    rows = {key: value for key, value in facts.items() if value not in (None, "")}
    if rows:
        yield from (f"## {title}", "", "| | |", "| --- | --- |")
        yield from (f"| {_text(key)} | {_text(value)} |" for key, value in rows.items())
        yield ""


def _categories(labels: Sequence[str]) -> Iterator[str]:
    if labels:
        yield from ("## Categories", "", ", ".join(map(_text, labels)), "")


# ── formatting ───────────────────────────────────────────────────────────────────────────────────────────────────


def _finite(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {where: {k: v for k, v in values.items() if math.isfinite(v)} for where, values in metrics.items()}


def _titles(task: TaskSpec | None) -> dict[str, str]:
    return {metric.key: metric.title for metric in task.metrics} if task is not None else {}


def _listed(values: Mapping[str, Any], between: str = "=") -> str:
    return ", ".join(f"{key}{between}{value}" for key, value in values.items() if value is not None)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "data"


def _text(value: object) -> str:
    """Escape text for Markdown, including tables."""
    return re.sub(r"([\\`*\[\]<>|#~&$]|(?<!\w)_|_(?!\w))", r"\\\1", harmless(value, line=True))


def _yaml(text: str) -> str:
    """A double-quoted YAML string."""
    return '"' + "".join(_escaped(text)) + '"'


def _escaped(text: str) -> Iterable[str]:
    for c in text:
        if c in '"\\':
            yield f"\\{c}"
        elif c.isprintable():
            yield c
        else:
            n = ord(c)
            yield f"\\x{n:02x}" if n < 0x100 else f"\\u{n:04x}" if n < 0x10000 else f"\\U{n:08x}"


def _number(value: float) -> str:
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text  # or YAML reads 1e-07 as text
