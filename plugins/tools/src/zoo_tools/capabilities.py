"""The capability matrix: which features work with a model, measured in separate processes and stored in files.

Each plugin has its file ``capabilities/PLUGIN.json``, rewritten after each cell, so that an interrupted run loses at
most one cell. A cell that was not measured is absent.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.contract import CAPABILITIES
from zoo.errors import InvalidArgument, UnknownModel, suggest

FORMAT = 1
FOLDER = "capabilities"
SECONDS = 300.0  # time limit of a cell
NO_ANSWER = "no answer in"
START = 120.0  # for a process to import torch and build the model

Told = Callable[[str, str, Mapping[str, Any] | None], None]


def matrix(
    names: Sequence[str] = (),
    output: str | os.PathLike[str] = "measurements",
    *,
    cells: Sequence[str] | None = None,
    resume: bool = False,
    every: bool = False,
    device: str = "cpu",
    timeout: float = SECONDS,
    told: Told | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure which features work: eager, half precision, ``torch.compile``, export, ONNX, training, int8 and more.

    Each model is built with random weights in a separate process. If the process crashes or a cell exceeds its time
    limit, another process continues with the next cell. Cells whose packages are not installed stay empty.

    Args:
        names: models, plugins, or shell wildcards over model names; by default all plugins.
        output: a folder; ``capabilities/PLUGIN.json`` in it holds the results, with ``models`` by name.
        cells: names of the cells to measure; by default all of :data:`zoo.contract.CAPABILITIES`.
        resume: keep cells that were measured with the same torch, plugin and device, except those that exceeded the
            time limit.
        every: measure all models of a plugin instead of the smallest of each family.
        device: device of the models, such as ``"cuda"``.
        timeout: time limit of a cell in seconds.
        told: called with model, cell and result as soon as a cell is measured.

    Returns:
        Model → its record in the file: ``cells``, and the versions they were measured with.

    Raises:
        UnknownModel: a name is neither a model nor a plugin.
        InvalidArgument: unknown cell; a file in ``output`` has another format.
    """
    chosen = choose(names, every=every)
    wanted = list(CAPABILITIES if cells is None else cells)
    for cell in wanted:
        if cell not in CAPABILITIES:
            known = ", ".join(CAPABILITIES)
            raise InvalidArgument(f"Unknown cell {cell!r}; expected {known}.{suggest(cell, CAPABILITIES)}")
    found: dict[str, dict[str, Any]] = {}
    for name in chosen:
        file = File(Path(output) / FOLDER / f"{registry.model_info(name).plugin}.json")
        found[name] = _measure(name, file, wanted, resume, device, timeout, told or (lambda *_: None))
    return found


def choose(names: Sequence[str] = (), *, every: bool = False) -> list[str]:
    """The models for names, plugins and wildcards; for a plugin, the smallest model of each family.

    Raises:
        UnknownModel: nothing has this name.
    """
    models = registry.list_models()
    plugins = {record.name for record in registry.plugins() if record.manifest and record.manifest.models}
    found: dict[str, None] = {}
    for name in names or sorted(plugins):
        if name in plugins:
            of_plugin = registry.list_models(plugin=name)
            found |= dict.fromkeys(of_plugin if every else smallest(of_plugin))
        elif any(c in name for c in "*?["):
            matching = registry.list_models(include=name)
            if not matching:
                raise UnknownModel(f"No model matches {name!r}; `zoo list` lists all models.")
            found |= dict.fromkeys(matching)
        else:
            try:
                found[registry.model_info(name).name] = None
            except UnknownModel as e:
                near = suggest(name, [*models, *plugins])
                raise UnknownModel(f"{name!r} is neither a model nor a plugin.{near}") from e
    return list(found)


def smallest(names: Iterable[str]) -> list[str]:
    """The model with the fewest parameters of each family (the models of one paper, or of one module)."""
    best: dict[Any, tuple[int, str]] = {}
    for name in names:
        info = registry.model_info(name)
        family = (info.plugin, info.builder.partition(":")[0], info.paper)
        size = info.num_params if info.num_params is not None else sys.maxsize
        best[family] = min(best.get(family, (size, name)), (size, name))
    return [name for _, name in best.values()]


class File:
    """The stored results of a plugin's models.

    Raises:
        InvalidArgument: the file has another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.content = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as e:
            raise InvalidArgument(f"{path} is not JSON ({e}); move it away, or choose another folder.") from e
        if self.content and (not isinstance(self.content, dict) or self.content.get("format") != FORMAT):
            raise InvalidArgument(f"{path} is not a capability matrix of format {FORMAT}; choose another folder.")
        self.content = {"format": FORMAT, "plugin": path.stem, "models": {}, **self.content}

    def write(self) -> None:
        """Write the file atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.content["models"] = dict(sorted(self.content["models"].items()))
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        part.replace(self.path)


def _measure(
    name: str, file: File, wanted: Sequence[str], resume: bool, device: str, timeout: float, told: Told
) -> dict[str, Any]:
    from zoo_tools.machine import describe_machine, describe_software, load_of_machine, today

    info = registry.model_info(name)
    software = describe_software()
    before = file.content["models"].get(info.name, {})
    same = {"version": info.version, "torch": software["torch"], "device": device}
    kept = dict(before.get("cells", {})) if all(before.get(key) == value for key, value in same.items()) else {}
    for cell in [cell for cell in kept if cell in wanted]:
        if not resume or NO_ANSWER in kept[cell].get("note", ""):  # perhaps because the machine was busy
            del kept[cell]
    entry: dict[str, Any] = {
        **same,
        "date": today(),
        "machine": describe_machine(device),
        "software": software,
        "load": load_of_machine(),
        "inputs": before.get("inputs", []),
        "cells": kept,
    }
    left = [cell for cell in wanted if cell not in kept]
    for cell, result, facts in _in_processes(info.full_name, device, left, timeout):
        entry.update(facts)
        if cell == "build":
            if result is not None and not result["works"]:
                raise_for = {
                    each: {"works": False, "note": f"the model could not be built: {result['note']}"} for each in left
                }
                entry["cells"] = {**kept, **raise_for}
                told(info.name, "build", result)
            continue
        if result is not None:
            entry["cells"][cell] = result
        order = [each for each in CAPABILITIES if each in entry["cells"]]
        entry["cells"] = {each: entry["cells"][each] for each in order}
        file.content["models"][info.name] = entry
        file.write()
        told(info.name, cell, result)
    file.content["models"][info.name] = entry
    file.write()
    return entry


def _in_processes(
    model: str, device: str, cells: Sequence[str], timeout: float
) -> Iterator[tuple[str, dict[str, Any] | None, dict[str, Any]]]:
    """Yield each cell with its result; a process that ends early loses only its current cell, and another continues."""
    left = list(cells)
    while left:
        at = "build"
        with _process(model, device, left) as lines:
            while True:
                try:
                    said = lines.get(timeout=START if at == "build" else timeout)
                except queue.Empty:
                    ended: dict[str, Any] = {"works": False, "note": f"{NO_ANSWER} {timeout:g} s"}
                    break
                if isinstance(said, int):
                    ended = {"works": False, "note": f"the process ended with status {said}"}
                    break
                at = said["cell"]
                if said["state"] == "done":
                    facts = {"inputs": said["inputs"]} if "inputs" in said else {}
                    yield at, said["result"], facts
                    if at == "build" and not said["result"]["works"]:
                        return
                    if at in left:
                        left.remove(at)
                    if not left:
                        return
        if at == "build":
            yield "build", ended, {}
            return
        yield at, ended, {}
        left.remove(at)


@contextlib.contextmanager
def _process(model: str, device: str, cells: Sequence[str]) -> Iterator[queue.SimpleQueue[Any]]:
    """The JSON lines that a process prints, then its exit status. The process and its children are ended afterwards."""
    command = [sys.executable, "-m", "zoo_tools.cells", model, device, *cells]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        for line in running.stdout or ():
            lines.put(json.loads(line))
        lines.put(running.wait())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
        running.wait()
        reader.join(5)


def table(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Model → cell → ``yes``, ``no`` or ``-`` if it was not measured."""
    return [(name, {cell: _word(entry["cells"].get(cell)) for cell in CAPABILITIES}) for name, entry in found.items()]


def _word(result: Mapping[str, Any] | None) -> str:
    return "-" if result is None else "yes" if result["works"] else "no"
