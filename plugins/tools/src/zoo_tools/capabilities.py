"""The capability matrix: what works with a model, measured cell by cell in processes of their own, and kept in files.

A file a plugin, ``capabilities/PLUGIN.json``, is written anew after each cell, so a run that is broken off loses one
cell at most. A cell is what was measured, or it is not there.
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
SECONDS = 300.0  # for a cell
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
    """Measure what works with models: eager, half precision, ``torch.compile``, export, ONNX, training, int8 and more.

    Each model is built with random weights in a process of its own, which a crash or a cell that takes too long ends;
    another goes on with the next cell. Cells whose packages are not installed stay empty.

    Args:
        names: models, plugins, or shell wildcards over model names; by default all plugins.
        output: a folder; ``capabilities/PLUGIN.json`` in it has what was measured, ``models`` by name.
        cells: which; by default all of :data:`zoo.contract.CAPABILITIES`.
        resume: keep cells that were measured with the same torch, plugin and device, but for those that gave no answer
            in time.
        every: all models of a plugin, in place of the smallest of each family.
        device: where the models run, such as ``"cuda"``.
        timeout: seconds for a cell.
        told: called with model, cell and result, as they come.

    Returns:
        Model → its entry of the file: ``cells``, and what they were measured with.

    Raises:
        UnknownModel: a name that is neither a model nor a plugin.
        InvalidArgument: a cell that is not known; a file in ``output`` of another format.
    """
    chosen = choose(names, every=every)
    wanted = list(CAPABILITIES if cells is None else cells)
    for cell in wanted:
        if cell not in CAPABILITIES:
            known = ", ".join(CAPABILITIES)
            raise InvalidArgument(f"There is no cell {cell!r}; expected {known}.{suggest(cell, CAPABILITIES)}")
    found: dict[str, dict[str, Any]] = {}
    for name in chosen:
        file = File(Path(output) / FOLDER / f"{registry.model_info(name).plugin}.json")
        found[name] = _measure(name, file, wanted, resume, device, timeout, told or (lambda *_: None))
    return found


def choose(names: Sequence[str] = (), *, every: bool = False) -> list[str]:
    """The models that names, plugins and wildcards stand for; of a plugin the smallest of each family.

    Raises:
        UnknownModel: nothing of that name.
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
                raise UnknownModel(f"No model matches {name!r}; `zoo list` names them.")
            found |= dict.fromkeys(matching)
        else:
            try:
                found[registry.model_info(name).name] = None
            except UnknownModel as e:
                near = suggest(name, [*models, *plugins])
                raise UnknownModel(f"{name!r} is neither a model nor a plugin.{near}") from e
    return list(found)


def smallest(names: Iterable[str]) -> list[str]:
    """Of each family (the models of one paper, else of one module) the model of the fewest parameters."""
    best: dict[Any, tuple[int, str]] = {}
    for name in names:
        info = registry.model_info(name)
        family = (info.plugin, info.builder.partition(":")[0], info.paper)
        size = info.num_params if info.num_params is not None else sys.maxsize
        best[family] = min(best.get(family, (size, name)), (size, name))
    return [name for _, name in best.values()]


class File:
    """What is known of a plugin's models, on the disk.

    Raises:
        InvalidArgument: the file is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.content = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as e:
            raise InvalidArgument(f"{path} is no JSON ({e}); move it away, or give another folder.") from e
        if self.content and (not isinstance(self.content, dict) or self.content.get("format") != FORMAT):
            raise InvalidArgument(f"{path} is no capability matrix of format {FORMAT}; give another folder.")
        self.content = {"format": FORMAT, "plugin": path.stem, "models": {}, **self.content}

    def write(self) -> None:
        """Whole or not at all."""
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
        if not resume or NO_ANSWER in kept[cell].get("note", ""):  # of a busy machine, perhaps
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
                    each: {"works": False, "note": f"it could not be built: {result['note']}"} for each in left
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
    """Each cell with its result, by as many processes as it takes: one that is ended costs the cell that it was at."""
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
    """Lines of JSON that a process says; at last its exit status. It and what it started are ended afterwards."""
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
    """Model → cell → ``yes``, ``no`` or ``-`` for what was not measured."""
    return [(name, {cell: _word(entry["cells"].get(cell)) for cell in CAPABILITIES}) for name, entry in found.items()]


def _word(result: Mapping[str, Any] | None) -> str:
    return "-" if result is None else "yes" if result["works"] else "no"
