"""Write the ``__init__.pyi`` of every plugin, those of zoo.models, and zoo.pipeline in zoo's, for type checkers and
editors.

    python scripts/stubs.py [--check]

The packages import their names on first use, and builders pass ``**kwargs`` on, so that type checkers see neither. The
stubs declare for every builder the arguments that :mod:`zoo.loading.signatures` finds, with their types, and for
``zoo.pipeline`` the result type of the task's ``decode`` if a task or one of zoo's models is named. ``--check`` writes
nothing and prints the files that are not up to date; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import importlib
import inspect
import re
import subprocess
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.contract import TaskSpec, load_object
from zoo.loading.signatures import OF_ALL, taken_by
from zoo.running.pipelines import pipeline

ROOT = Path(__file__).parents[1]
# The manifests of all packages are read, installed or not: they do not import other libraries.
sys.path[:0] = [str(path) for path in sorted(ROOT.glob("plugins/*/src")) if str(path) not in sys.path]
PACKAGES = {
    "classification": "", "segmentation": "segmentation", "detection": "detection", "video": "video",
    "optical_flow": "optical_flow", "quantized": "quantization", "efficientnet_lite": None,
}  # fmt: skip
HEAD = "# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.\n"
OF_BUILDERS = {
    "weights": "{enum}Weights | str | PathLike[str] | None = None",
    "progress": "bool = True",
    "mmap": "bool | None = None",
}
IMPORTS = {"Weights": "zoo.contract", "PathLike": "os"}
OTHERS = ("transformers",)  # packages whose tasks have their own results
NEEDED = {"typing": ("Any", "Literal", "Protocol", "TypeVar", "overload"), "collections.abc": ("Sequence",)}


class Stub:
    """The content of one file: imports by module, and definitions."""

    def __init__(self) -> None:
        self.imports: defaultdict[str, set[str]] = defaultdict(set)
        self.modules: set[str] = set()
        self.body: list[str] = []
        self.homes: dict[str, str] = {}

    def take(self, module: str, name: str, *, shown: bool = False) -> str:
        """Import a name, and return its local name: two modules may define the same name."""
        if shown:
            self.imports[module].add(f"{name} as {name}")
            return name
        called = name
        while self.homes.setdefault(called, module) != module:
            called += "_"
        self.imports[module].add(name if called == name else f"{name} as {called}")
        return called

    def text(self) -> str:
        lines = [f"import {name}" for name in sorted(self.modules)]
        for module, names in sorted(self.imports.items()):
            listed = ", ".join(sorted(n for n in names if f"{n} as {n}" not in names))
            lines.append(f"from {module} import ({listed})" if len(listed) > 80 else f"from {module} import {listed}")
        return HEAD + "\n".join([*lines, "", *self.body, ""])


def origin(name: str, module: ModuleType) -> tuple[str, str] | None:
    """The module that ``module`` imports ``name`` from; ``("", name)`` for a module itself."""
    value = getattr(module, name, None)
    if isinstance(value, ModuleType):
        return ("", value.__name__) if value.__name__ == name else (value.__name__.rpartition(".")[0], name)
    home = getattr(value, "__module__", None)
    if value is not None and home and getattr(value, "__qualname__", None) == name:
        return home, name
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.module and any(a.name == name for a in node.names):
            below = importlib.import_module(node.module)
            return origin(name, below) or (node.module, name)
    return (module.__name__, name) if value is not None else None


def annotation(p: inspect.Parameter, owner: Any, stub: Stub) -> str:
    """The annotation of an argument; imports its names."""
    if p.annotation is p.empty:
        return "Any"
    text = p.annotation if isinstance(p.annotation, str) else inspect.formatannotation(p.annotation)
    module = sys.modules[inspect.unwrap(owner).__module__]
    for node in ast.walk(ast.parse(text, mode="eval")):
        if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
            found = origin(node.id, module)
            if found is None:
                return "Any"
            if found[0]:
                text = re.sub(rf"\b{node.id}\b", stub.take(*found), text)
            else:
                stub.modules.add(found[1])
    return text


def default(value: Any) -> str:
    simple = value is None or isinstance(value, bool | int | str)
    return repr(value) if simple or (isinstance(value, float) and value == value) else "..."


def builder(name: str, build: Any, stub: Stub) -> str:
    own = getattr(build, "own", None) or build.__wrapped__.own
    found = taken_by(own.function)
    enum = getattr(build, "weights_enum", None) or (own.enum if isinstance(own.enum, type) else None)
    if enum is not None:
        stub.take(enum.__module__, enum.__name__)
    for module, what in ((IMPORTS[what], what) for what in IMPORTS):
        stub.take(module, what)
    lines = [f"    {n}: {how.format(enum=f'{enum.__name__} | ' if enum else '')}," for n, how in OF_BUILDERS.items()]
    for argument, p in found.parameters.items():
        if argument in OF_ALL:
            continue
        said = annotation(p, found.owners[argument], stub)
        if "Any" in re.findall(r"\w+", said):
            stub.take("typing", "Any")
        stars = "**" if p.kind is p.VAR_KEYWORD else ""
        value = "" if p.kind is p.VAR_KEYWORD or p.default is p.empty else f" = {default(p.default)}"
        lines.append(f"    {stars}{argument}: {said}{value},")
    function = inspect.unwrap(own.function)
    made = inspect.Parameter("made", inspect.Parameter.KEYWORD_ONLY, annotation=function.__annotations__["return"])
    result = annotation(made, function, stub)
    return "\n".join([f"def {name}(", "    *,", *lines, f") -> {result}: ..."])


def package(name: str) -> tuple[str, list[str]]:
    """The stub of a package, and its public names."""
    top = importlib.import_module(name)
    stub = Stub()
    names = sorted(n for n in dir(top) if not n.startswith("_"))
    for each in names:
        value = getattr(top, each)
        if isinstance(value, ModuleType):
            if value.__name__.startswith(f"{name}."):
                stub.take(name, each, shown=True)
        elif hasattr(value, "own") or hasattr(getattr(value, "__wrapped__", None), "own"):
            stub.body.append(builder(each, value, stub))
        else:
            homes = [getattr(value, "__module__", None), *sorted(m for m in sys.modules if m.startswith(f"{name}."))]
            home = next((m for m in homes if m and m.startswith("zoo_") and defines(m, each)), None)
            if home is None:  # internal imports of modules
                continue
            stub.take(home, each, shown=True)
    return stub.text(), names


def defines(module: str, name: str) -> bool:
    if not hasattr(sys.modules.get(module), name):
        return False
    said = rf"^(class {name}\b|def {name}\b|{name}\b.*=|    from \S+ import .*\b{name}\b)"
    return re.search(said, inspect.getsource(sys.modules[module]), re.MULTILINE) is not None


def namespace(name: str, of: str, names: list[str]) -> str:
    """The stub of ``zoo.models`` or of one of its namespaces."""
    stub = Stub()
    top = importlib.import_module("zoo.models" if not name else f"zoo.models.{name}")
    shown = {n for n in dir(top) if not n.startswith("_")}
    for each in sorted(shown & set(names)):
        stub.take(of, each, shown=True)
    for each in sorted(shown - set(names)):
        value = getattr(top, each, None)
        if isinstance(value, ModuleType):
            if each in PACKAGES.values():
                stub.take("zoo.models", each, shown=True)
        elif callable(value) and getattr(value, "__module__", "").startswith(("zoo.registry", "zoo.contract")):
            stub.take(".".join(value.__module__.split(".")[:2]), each, shown=True)
    stub.take("typing", "Any")
    stub.body = ["def __getattr__(name: str) -> Any: ...  # modules of plugins, older names"]
    return stub.text()


# ── zoo.pipeline ─────────────────────────────────────────────────────────────────────────────────────────────────

WRITTEN = "# Written by scripts/stubs.py: overloads of zoo.pipeline for tasks and for zoo's own models.\n"
STEPS = """class _Steps(Protocol[_R_co]):
    def load(self, source: Any) -> Any: ...
    def decode(self, outputs: Any, inputs: Any, weights: Any, /) -> Sequence[_R_co]: ...
"""


def result_of(task: TaskSpec) -> tuple[str, str]:
    """Module and name of the task's result class, from the annotation of its ``decode``."""
    decode = load_object(task.implementation).decode
    name = re.fullmatch(r"(?:list|Sequence)\[(\w+)\]", decode.__annotations__["return"])
    found = origin(name[1], sys.modules[decode.__module__]) if name else None
    if found is None:
        raise SystemExit(f"{task.implementation}.decode must declare the type of its results: list[…]")
    return found


def pipelines() -> str:
    """Overloads of ``zoo.pipeline``: by task name, by model name, by a task's steps; otherwise any result."""
    manifests = [importlib.import_module(f"zoo_{plugin}.plugin").zoo_manifest() for plugin in (*PACKAGES, *OTHERS)]
    results: dict[str, tuple[str, str]] = {}
    for task in (task for manifest in manifests for task in manifest.tasks):
        results.setdefault(task.name, result_of(task))
    models = {spec.name: results[spec.tasks[0]] for manifest in manifests[: len(PACKAGES)] for spec in manifest.models}
    stub = Stub()
    for module, names in NEEDED.items():
        stub.imports[module].update(names)

    def overload(given: str, task: str, result: str) -> str:
        lines = ["@overload", "def pipeline("]
        for p in inspect.signature(pipeline).parameters.values():
            said = {"model": given, "task": task}.get(p.name) or annotation(p, pipeline, stub)
            star = ["    *,"] if p.name == "task" else []
            value = "" if p.default is p.empty or said.startswith("Literal") else f" = {default(p.default)}"
            value = "" if said.startswith("_") else value
            lines += [*star, f"    {'**' if p.kind is p.VAR_KEYWORD else ''}{p.name}: {said}{value},"]
        return "\n".join([*lines, f") -> Pipeline[{result}]: ..."])

    by_result: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for task_name, result in results.items():
        by_result.setdefault(result, ([], []))[0].append(task_name)
    for model, result in models.items():
        by_result[result][1].append(model)
    said = annotation(inspect.signature(pipeline).parameters["model"], pipeline, stub)
    named, by_task, by_model = [], [], []
    for (module, name), (tasks, of) in by_result.items():
        called = stub.take(module, name)
        by_task.append(overload(said, f"Literal[{', '.join(map(repr, tasks))}]", called))
        if of:
            named.append(f"_Models{called} = Literal[{', '.join(map(repr, sorted(of)))}]")
            default_too = "image-classification" in tasks  # the default if neither is given
            by_model.append(overload(f"_Models{called}", "None", called))
            if default_too:
                by_model.append(overload("None", "None", called))
    stub.body = [
        *named,
        '_R_co = TypeVar("_R_co", covariant=True)',
        STEPS,
        *by_task,
        *by_model,
        overload(said, "_Steps[_R_co]", "_R_co"),
        overload(said, "str | TaskSpec | None", "Result"),
    ]
    for module in ("torch", "zoo.contract"):  # torch's nn, since zoo has its own; names that are already imported
        stub.imports.pop(module, None)
    return re.sub(r"(?<!\.)\bnn\.", "torch.nn.", stub.text().removeprefix(HEAD))


def with_pipelines(text: str) -> str:
    """zoo's own stub, whose end is generated."""
    return text.partition(WRITTEN)[0].rstrip() + "\n\n" + WRITTEN + pipelines()


def files() -> dict[Path, str]:
    found = {}
    for plugin, models in PACKAGES.items():
        name = f"zoo_{plugin}"
        text, names = package(name)
        found[ROOT / "plugins" / plugin / "src" / name / "__init__.pyi"] = text
        if models is not None:
            where = ROOT / "core/src/zoo/models" / (f"{models}.pyi" if models else "__init__.pyi")
            found[where] = namespace(models, name, names)
    core = ROOT / "core/src/zoo/__init__.pyi"
    found[core] = with_pipelines(core.read_text())
    return found


def formatted(path: Path, text: str) -> str:
    for command in (["check", "--fix-only", "--quiet", "--select", "I"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")
    stale = []
    for path, raw in files().items():
        text = formatted(path, raw)
        if not path.exists() or path.read_text() != text:
            stale.append(path)
            if not check:
                path.write_text(text)
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'not up to date' if check else 'written'}")
    sys.exit(check and bool(stale))


if __name__ == "__main__":
    main()
