"""The catalogue's pages, from Jinja templates that escape all text of plugins. No torch."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from zoo.contract import load_object
from zoo.errors import InvalidArgument
from zoo_tools.catalogue import words
from zoo_tools.catalogue.collecting import Told, collect
from zoo_tools.catalogue.rows import facets, plot_points, table_rows
from zoo_tools.catalogue.speeds import Speeds, read_speeds

OURS = {"index.html", "plots.html", "catalogue.json", "catalogue.schema.json", "models", "tasks", "plugins"}
OURS |= {"tasks.html", "plugins.html", "static", "pictures"}


@dataclass(frozen=True)
class Built:
    """Summary of a build: the folder, the number of models, weights and pages, and the time in seconds."""

    directory: Path
    models: int
    weights: int
    pages: int
    seconds: float


def schema() -> dict[str, Any]:
    """The JSON schema of ``catalogue.json``."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("schema.json").read_text("utf-8"))
    return found


def build_catalogue(
    directory: str | os.PathLike[str],
    *,
    measurements: str | os.PathLike[str] | None = None,
    pictures: Mapping[str, Sequence[Path]] | None = None,
    stages: bool = False,
    title: str = "zoo",
    docs: str | None = None,
    overwrite: bool = False,
    told: Told = print,
    facts: dict[str, Any] | None = None,
) -> Built:
    """Write static pages for all installed models, and ``catalogue.json``. Only pictures and stages import torch.

    Args:
        directory: the output folder. It is created only after all pages are written.
        measurements: folder of JSON files written by ``zoo benchmark --output``.
        pictures: task, model or weights → files to predict, if the weights are available locally; the most specific
            name takes precedence.
        stages: list the feature stages of models that have them; each model is built on the meta device.
        title: title of the catalogue.
        docs: URL of the documentation, to link to.
        overwrite: replace an existing catalogue.
        told: called with a message for each item that was left out.
        facts: the result of :func:`collect`, used instead of the installed plugins.

    Raises:
        FileExistsError: the folder exists and holds a catalogue (without ``overwrite``) or other files.
        InvalidArgument: the measurements cannot be read, or a picture does not exist.
    """
    start = time.perf_counter()
    directory = Path(directory).absolute()
    _check_free(directory, overwrite)
    for file in (file for given in (pictures or {}).values() for file in given):
        if not file.is_file():
            raise InvalidArgument(f"The picture {str(file)!r} does not exist.")
    if measurements is not None and not Path(measurements).is_dir():
        raise InvalidArgument(f"The folder {os.fspath(measurements)!r} of measurements does not exist.")
    if facts is None:
        facts = collect(read_speeds(Path(measurements)) if measurements is not None else Speeds(), told)
    part = directory.with_name(f".{directory.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        if stages:
            load_object("zoo_tools.catalogue.drawing:add_stages")(facts, told)
        if pictures:
            load_object("zoo_tools.catalogue.drawing:add_pictures")(facts, pictures, part, told)
        pages = _write(part, facts, title, docs)
        if directory.exists():
            shutil.rmtree(directory)
        part.rename(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    models = facts["models"]
    seconds = time.perf_counter() - start
    return Built(directory, len(models), sum(len(m["weights"]) for m in models), pages, seconds)


def _check_free(directory: Path, overwrite: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory} is a file; expected a folder.")
    there = {path.name for path in directory.iterdir()} if directory.exists() else set()
    if not there:
        return
    if "catalogue.json" not in there or (others := sorted(there - OURS)):
        what = others[0] if "catalogue.json" in there else sorted(there)[0]
        raise FileExistsError(f"{directory} contains {what!r}, which is not part of a catalogue; name another folder.")
    if not overwrite:
        raise FileExistsError(f"{directory} already contains a catalogue; use --overwrite to replace it.")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zoo_tools.catalogue"),
        autoescape=True,  # for all templates: texts of plugins never become markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words.FILTERS)
    environment.tests["url"] = words.is_link
    return environment


def _write(folder: Path, facts: dict[str, Any], title: str, docs: str | None) -> int:
    environment = _environment()
    tasks = {task["name"]: task for task in facts["tasks"]}
    plugins = {plugin["name"]: plugin for plugin in facts["plugins"]}
    environment.globals.update(site_title=title, docs=docs, facts=facts, tasks=tasks, plugins=plugins)
    environment.globals.update(example=words.example_input, total=sum(len(m["weights"]) for m in facts["models"]))
    environment.globals["commands"] = {command["name"] for plugin in facts["plugins"] for command in plugin["commands"]}
    pages = 0

    def write(path: str, template: str, **given: Any) -> None:
        nonlocal pages
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        root = "../" * path.count("/")
        text = environment.get_template(template).render(root=root, here=path, **given)
        file.write_text(text, "utf-8")
        pages += 1

    rows = table_rows(facts)
    write("index.html", "index.html", rows=rows, facets=facets(rows, facts))
    write("plots.html", "plots.html", points=plot_points(facts))
    write("tasks.html", "tasks.html")
    write("plugins.html", "plugins.html")
    for task in facts["tasks"]:
        own = [model for model in facts["models"] if task["name"] in model["tasks"]]
        write(task["page"], "task.html", task=task, models=words.ranked(own, task))
    for plugin in facts["plugins"]:
        own = [model for model in facts["models"] if model["plugin"] == plugin["name"]]
        write(plugin["page"], "plugin.html", plugin=plugin, models=own)
    standing = {name: words.Standing(facts["models"], task) for name, task in tasks.items()}
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for model in facts["models"]:
        families.setdefault((model["plugin"], model["family"]), []).append(model)
    for model in facts["models"]:
        siblings = [other for other in families[model["plugin"], model["family"]] if other is not model]
        task = tasks[model["tasks"][0]]
        chart = standing[task["name"]].chart(model)
        write(model["page"], "model.html", model=model, task=task, siblings=siblings, chart=chart)
    static = folder / "static"
    static.mkdir()
    for source in files(__package__).joinpath("static").iterdir():
        (static / source.name).write_bytes(source.read_bytes())
    (folder / "catalogue.json").write_text(json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    (folder / "catalogue.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", "utf-8")
    return pages
