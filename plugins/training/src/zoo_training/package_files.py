"""The files of a package written by ``zoo new-plugin``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import inspect
import keyword
import math
import pprint
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from zoo import registry
from zoo.registry import Entry, SavedModel
from zoo_training import saved as files
from zoo_training.cards import model_card

VERSION = "0.1.0"  # version of a new package
OF_WEIGHTS = ("quantize",)  # arguments that belong to weights, not to an architecture
MANY = 20  # number of categories from which they are in a separate file


@dataclass(frozen=True)
class Plan:
    """The inputs of the files: names, description of the saved model, base model, licence."""

    name: str
    package: str
    plugin: str
    model: str
    about: SavedModel
    base: Entry
    spdx: str | None

    @property
    def enum(self) -> str:
        return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", self.model)) + "_Weights"

    @property
    def requires(self) -> list[str]:
        """Requirement for the base model's package: the version of the saved file, or a later one of its series."""
        now = {str(self.base.plugin.distribution): self.base.plugin.version or ""}
        now.setdefault("zoo-core", importlib.metadata.version("zoo-core"))
        return [_series(name, self.about.versions.get(name) or version, version) for name, version in now.items()]


def _series(name: str, saved: str, installed: str) -> str:
    for text in (saved, installed):
        with contextlib.suppress(InvalidVersion):
            version = Version(text)
            return f"{name}~={version.public}" if len(version.release) > 1 else f"{name}=={version.public}"
    return name


def write(folder: Path, plan: Plan, path: Path, changed: Mapping[str, Any]) -> None:
    """Write the package into an empty folder.

    Args:
        path: the saved model's file.
        changed: facts of the weights that differ from the file's.
    """
    source = folder / "src" / plan.package
    checkpoints = source / "checkpoints"
    checkpoints.mkdir(parents=True)
    (folder / "tests").mkdir()
    weights = checkpoints / "weights.safetensors"
    own = {**plan.about.versions, plan.name: VERSION}
    files.restated(path, weights, {"model": f"{plan.plugin}/{plan.model}", "versions": own}, changed)
    with weights.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()[:8]
    weights = weights.rename(weights.with_name(f"{identifier(plan.model)}-{digest}.safetensors"))
    labels = plan.about.weights.read_categories()
    if len(labels) > MANY and all(label.splitlines() == [label] for label in labels):
        (source / "categories.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        categories = repr(f"pkg://{plan.package}/categories.txt")
    else:
        categories = _python(tuple(labels) or None)
    for name, text in {
        "pyproject.toml": _pyproject(plan),
        "README.md": _readme(plan),
        "tests/test_conformance.py": _tests(plan),
        f"src/{plan.package}/__init__.py": f'"""The model {plan.model} for zoo."""\n',
        f"src/{plan.package}/py.typed": "",
        f"src/{plan.package}/plugin.py": _plugin(plan),
        f"src/{plan.package}/weights.py": _weights(plan, weights, categories),
        f"src/{plan.package}/model.py": _model(plan),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")


def _python(value: Any) -> str:
    """A JSON value as source text, indented for a keyword argument of a call."""
    text = pprint.pformat(_finite(value), width=96, compact=True, sort_dicts=False)
    return textwrap.indent(text, " " * 8).lstrip()


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which have no literal in Python, by None."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _toml(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


def _summary(plan: Plan) -> str:
    return f"{plan.model}: a {plan.base.spec.name} for {plan.about.task.replace('-', ' ')}, as a plugin for zoo."


def _pyproject(plan: Plan) -> str:
    stated = plan.about.weights.license
    license = f"license = {_toml(plan.spdx)}" if plan.spdx else f"license = {{ text = {_toml(stated)} }}"  # noqa: A001
    lines = [] if stated == "unknown" else [license]
    return "\n".join(
        [
            "[build-system]",
            'requires = ["hatchling"]',
            'build-backend = "hatchling.build"',
            "",
            "[project]",
            f"name = {_toml(plan.name)}",
            f"version = {_toml(VERSION)}",
            f"description = {_toml(_summary(plan))}",
            'readme = "README.md"',
            *lines,
            'requires-python = ">=3.11"',
            'classifiers = ["Typing :: Typed"]',
            f"dependencies = [{', '.join(map(_toml, plan.requires))}]",
            "",
            "[project.optional-dependencies]",
            'test = ["pytest>=8"]',
            "",
            '[project.entry-points."zoo.plugins"]',
            f"{plan.plugin} = {_toml(f'{plan.package}.plugin')}",
            "",
            "[tool.hatch.build.targets.wheel]",
            f"packages = [{_toml(f'src/{plan.package}')}]",
            "",
        ]
    )


def _weights(plan: Plan, path: Path, categories: str) -> str:
    w, arguments = plan.about.weights, _arguments(plan)
    # An int8 model is made from a float model, which the builder returns without weights, and which can be trained.
    made = {name: arguments.pop(name) for name in OF_WEIGHTS if name in arguments}
    config = f"{{**ARGUMENTS, **{made!r}}}" if made else "ARGUMENTS"
    facts = {
        "num_params": w.num_params,
        "metrics": {data: {k: v for k, v in m.items() if math.isfinite(v)} for data, m in w.metrics.items()},
        "gflops": w.gflops,
        "file_size": round(path.stat().st_size / 2**20, 3),
        "recipe": w.recipe,
        "license": w.license,
        "min_size": w.min_size,
        "docs": w.docs or f"Written by zoo new-plugin from a saved {plan.about.name}.",
        "extra": dict(w.extra),
    }
    lines = [f"        {key}={_python(value)}," for key, value in facts.items() if value not in (None, {})]
    preset = w.transforms
    if preset is not None:
        given = textwrap.indent(_python(dict(preset.arguments)), "    ").lstrip()
        lines[:0] = [
            "        transforms=Preset(",
            f"            {preset.target!r},",
            f"            {given},",
            "        ),",
        ]
    if categories != "None":
        lines.append(f"        categories={categories},")
    imports = "Preset, Weights, WeightsEnum" if preset is not None else "Weights, WeightsEnum"
    return "\n".join(
        [
            '"""The weights and their description. Imported whenever models are listed: no torch here."""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Any",
            "",
            f"from zoo import {imports}",
            "",
            f"# Arguments of {plan.base.spec.name}.",
            f"ARGUMENTS: dict[str, Any] = {_python(arguments)}",
            "",
            "",
            f"class {plan.enum}(WeightsEnum):",
            "    V1 = Weights(",
            f'        url="pkg://{plan.package}/checkpoints/{path.name}",  # its name ends in its SHA-256',
            f"        config={config},",
            *lines,
            "    )",
            "    DEFAULT = V1",
            "",
        ]
    )


def _arguments(plan: Plan) -> dict[str, Any]:
    """The builder's arguments, without weights of parts, which the file does not need."""
    taken = inspect.signature(registry.get_model_builder(plan.base.full_name)).parameters
    parts = {name: None for name in taken if name.startswith("weights_")}
    return {**dict(plan.about.arguments), **parts}


def _model(plan: Plan) -> str:
    module, _, attribute = plan.base.spec.builder.partition(":")
    root, dot, rest = attribute.partition(".")
    return textwrap.dedent(
        f'''\
        """The model: the builder of {plan.base.plugin.distribution}, with the arguments of these weights."""

        from __future__ import annotations

        from typing import Any

        from torch import nn
        from {module} import {root} as base

        import zoo
        from {plan.package}.weights import ARGUMENTS, {plan.enum}


        @zoo.builder({plan.enum}, like=base{dot}{rest})
        def {identifier(plan.model)}(**kwargs: Any) -> nn.Module:
            """{plan.base.spec.name} for {plan.about.task.replace("-", " ")}."""
            model: nn.Module = base{dot}{rest}(**{{**ARGUMENTS, **kwargs}})
            return model
        '''
    )


def _plugin(plan: Plan) -> str:
    spec = plan.base.spec
    tasks = tuple(dict.fromkeys([plan.about.task, *spec.tasks])) if plan.about.task else spec.tasks
    facts = {
        "task": tasks[0] if len(tasks) == 1 else tasks,
        "paper": spec.paper,
        "capture": None if spec.capture else False,
        "input": dict(spec.input) or None,
    }
    lines = [f"            {key}={value!r}," for key, value in facts.items() if value is not None]
    return "\n".join(
        [
            '"""The manifest of this package. Imported whenever models are listed, so nothing here imports torch."""',
            "",
            "from __future__ import annotations",
            "",
            "import zoo",
            f"from {plan.package}.weights import {plan.enum}",
            "",
            "",
            "@zoo.hookimpl",
            "def zoo_manifest() -> zoo.Manifest:",
            "    models = [",
            "        zoo.ModelSpec(",
            f"            {plan.model!r},",
            f"            {f'{plan.package}.model:{identifier(plan.model)}'!r},",
            f"            weights={plan.enum},",
            *lines,
            "        )",
            "    ]",
            "    return zoo.Manifest(api_version=1, models=models)",
            "",
        ]
    )


def _tests(plan: Plan) -> str:
    return textwrap.dedent(
        f'''\
        """All conformance checks of zoo."""

        import zoo.testing


        class TestConformance(zoo.testing.PluginConformance):
            plugin = {plan.plugin!r}
            tier = "model"
        '''
    )


def _readme(plan: Plan) -> str:
    card = model_card(plan.about, name=plan.name, load=plan.model, install=[plan.name])
    _, _, body = card.partition("\n---\n")
    return body.lstrip("\n") + textwrap.dedent(
        f"""
        ## This package

        ```sh
        pip install .                        # from this folder
        zoo verify-plugin {plan.plugin}
        python -m build                      # the wheel, ready to publish
        ```

        `src/{plan.package}/weights.py` describes the weights, `model.py` builds the model, and `tests/` has all
        conformance checks of zoo.
        """
    )


def identifier(name: str) -> str:
    """A Python identifier for a model's name."""
    function = re.sub(r"\W", "_", name)
    return f"{function}_" if keyword.iskeyword(function) or function in ("zoo", "nn", "base", "Any") else function
