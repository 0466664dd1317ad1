"""The checks of the tier ``contract``: compares a plugin's descriptions of its models with the contract, without
torch."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator

from zoo import files, registry
from zoo.contract import ModelSpec, Weights
from zoo.errors import MissingExtra, UnknownTask, ZooError, suggest
from zoo.registry import Entry, PluginRecord
from zoo.registry.listing import matches
from zoo.testing.outcomes import Fault, Skip


def members(spec: ModelSpec) -> dict[str, Weights]:
    """Member name → weights, each once; skips a model without weights."""
    if spec.weights is None or not len(spec.weights):
        raise Skip("no weights are published")
    return {member.name: member.value for member in spec.weights}


def raise_for(problems: list[str]) -> None:
    if problems:
        raise Fault("\n".join(problems))


# ── the plugin ───────────────────────────────────────────────────────────────────────────────────────────────────


def manifest(record: PluginRecord) -> str | None:
    if record.state != "ready" or record.manifest is None:
        raise Fault(record.explain())
    from zoo.testing.kit import CHECKS  # it imports this module

    known, models = {check.name for check in CHECKS if check.of == "model"}, [m.name for m in record.manifest.models]
    problems = []
    for key in record.manifest.exceptions:
        pattern, _, check = key.rpartition(":")
        if check not in known or not any(matches(model, [pattern]) for model in models):
            problems.append(
                f"exceptions has {key!r}, which matches no check of an existing model.{suggest(check, known)}"
            )
    raise_for(problems)
    return None


# Reads a manifest as `zoo list` does, without access to torch, and prints the outcome as JSON.
_READ = """
import importlib, json, sys, traceback
path, module = json.loads(sys.argv[1])
sys.path[:] = path
said = {"torch": None, "error": None}
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            frames = [f for f in traceback.extract_stack()[:-1] if not f.filename.startswith("<frozen")]
            said["torch"] = said["torch"] or f"{frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}"
            raise ImportError("torch is not available while models are listed")
sys.meta_path.insert(0, NoTorch())
try:
    importlib.import_module(module).zoo_manifest()
except BaseException as e:
    said["error"] = f"{type(e).__name__}: {e}"
print("\\n" + json.dumps(said))
"""


def torch_free(record: PluginRecord) -> str | None:
    if record.manifest is None:
        raise Skip("the plugin has no manifest to read")
    command = [sys.executable, "-c", _READ, json.dumps([sys.path, record.target])]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise Fault(f"A process that only reads the manifest ended with status {child.returncode}:\n{child.stderr}")
    said = json.loads(child.stdout.splitlines()[-1])
    if said["torch"]:
        raise Fault(
            f"Listing this plugin's models imports torch, which takes a second or more: {said['torch']}\n"
            "Import it in the modules of the builders; plugin and weights modules refer to them by strings."
        )
    if said["error"]:
        raise Fault(f"A clean process cannot read the manifest: {said['error']}")
    return None


def names(record: PluginRecord) -> str | None:
    if record.manifest is None:
        raise Skip("the plugin has no manifest to read")
    now, problems, notes = registry.registry(), [], []
    enums = {enum for spec in record.manifest.models if (enum := spec.weights) is not None}
    shared = {c.name: c for c in registry.name_conflicts(now)}
    for enum in sorted(enums, key=lambda e: e.__name__):
        if "DEFAULT" not in enum.__members__ and len(enum):
            problems.append(f"{enum.__name__} has no DEFAULT; it should name the best of its members.")
        conflict = shared.get(enum.__name__)
        if conflict is not None and conflict.owner != f"{record.name}/{enum.__name__}":
            notes.append(f"the bare name {enum.__name__!r} is claimed by {', '.join(conflict.claims)}")
    for spec in record.manifest.models:
        if len(now.by_bare_name[spec.name]) > 1:
            claims = ", ".join(entry.full_name for entry in now.by_bare_name[spec.name])
            notes.append(f"the bare name {spec.name!r} is claimed by {claims}")
    raise_for(problems)
    more = f"; and {len(notes) - 3} more" if len(notes) > 3 else ""
    return "; ".join(notes[:3]) + more or None


# ── each model ───────────────────────────────────────────────────────────────────────────────────────────────────


def metadata(entry: Entry) -> str | None:
    try:
        tasks = [registry.get_task(name, plugin=entry.plugin.name) for name in entry.spec.tasks]
    except UnknownTask as e:
        raise Fault(f"{e} Install the plugin that defines it, or add a zoo.TaskSpec to the manifest.") from e
    problems = []
    for name, weights in members(entry.spec).items():
        for task in tasks:
            problems += [
                f"{name} has no {field}, which {task.name} requires."
                for field in task.required
                if getattr(weights, field) in (None, "", (), {}) and field not in weights.unknown
            ]
            keys = [metric.key for metric in task.metrics]
            given = dict.fromkeys(key for values in weights.metrics.values() for key in values)
            if given and keys and not set(given).intersection(keys):
                problems.append(f"{name}: none of its metrics ({', '.join(given)}) is {' or '.join(keys)}.")
    raise_for(list(dict.fromkeys(problems)))
    return None


def categories(entry: Entry) -> str | None:
    named = {
        name: w for name, w in members(entry.spec).items() if w.categories is not None and "num_classes" in w.config
    }
    if not named:
        raise Skip("no weights give both categories and config['num_classes']")
    counts = {name: (len(w.read_categories()), w.config["num_classes"]) for name, w in named.items()}
    raise_for(
        [
            f"{name} names {n} categories and its config has num_classes={classes}."
            for name, (n, classes) in counts.items()
            if n != classes
        ]
    )
    return None


def urls(entry: Entry) -> str | None:
    problems: list[str] = []
    notes: list[str] = []
    for name, weights in members(entry.spec).items():
        for kind, text in _url(weights.url):
            (problems if kind == "fault" else notes).append(f"{name}: {files.redacted(weights.url)} {text}")
    raise_for(problems)
    return "; ".join(notes) or None


def _url(url: str) -> Iterator[tuple[str, str]]:
    """Errors (``"fault"``) and remarks (``"note"``) about a URL."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("https", "http", "file"):
        promise = files.promised_hash(url)
        if promise is None or (promise[0].isdigit() and not promise[1]):
            yield (
                "fault",
                "does not end in -<8 or more digits of its SHA-256>.<extension> for verification.",
            )
        elif not promise[1]:
            yield (
                "note",
                "has its hash after an underscore: a mismatch is a warning; after a hyphen, it would be an error.",
            )
    elif scheme == "hf":
        revision = url.partition("@")[2]
        if not revision:
            yield "fault", "has no revision; end it in @<commit> to fix the file."
        elif not re.fullmatch(r"[0-9a-f]{40}", revision):
            yield "note", "names a branch or tag, which can move; a commit cannot."
    elif scheme == "pkg":
        try:
            registry.fetch(url)
        except MissingExtra as e:
            yield "note", f"was not checked: {e}"
        except ZooError as e:
            yield "fault", f"does not exist or does not match: {e}"
    elif scheme:
        yield "note", "has a scheme that a plugin must support."
    else:
        yield "fault", "is not a URL; expected https://, hf://, pkg:// or the scheme of a plugin."


def pickling(entry: Entry) -> str | None:
    members(entry.spec)
    for member in entry.spec.weights or ():
        value = member.value
        try:
            same = pickle.loads(pickle.dumps(member))
            copies = [pickle.loads(pickle.dumps(value)), copy.deepcopy(value)]
        except Exception as e:
            raise Fault(
                f"{member.name} cannot be pickled ({type(e).__name__}: {e}), so it cannot be passed to data loaders "
                "and process pools. Use plain data in its fields, and define its class at the top level of a module."
            ) from e
        # An unknown metric may be nan, which is not equal to itself.
        if same is not member or any(c != value and repr(c) != repr(value) for c in copies):
            raise Fault(f"{member.name} is changed by pickle or copy.")
    return None
