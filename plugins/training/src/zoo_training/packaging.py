"""``zoo new-plugin``: a saved model as a package that pip installs, with the weights inside."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import keyword
import math
import os
import pprint
import re
import shutil
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from zoo import registry
from zoo.contract import ModelSpec, TaskSpec, check_name
from zoo.errors import ContractError, InvalidArgument, UnknownModel
from zoo.registry import Entry, PluginRecord, SavedModel
from zoo_training import saved as files
from zoo_training.cards import model_card

VERSION = "0.1.0"  # of a new package
LARGE = 100 * 2**20  # bytes; the largest file that package indexes commonly take
OF_WEIGHTS = ("quantize",)  # arguments that belong to weights and not to an architecture
MANY = 20  # categories from which they have a file of their own


@dataclass(frozen=True)
class NewPlugin:
    """What :func:`new_plugin` wrote.

    Attributes:
        folder: the package.
        distribution, plugin, model: its names: for pip, in the registry, and of its model.
        notes: what is left to do or to know.
    """

    folder: Path
    distribution: str
    plugin: str
    model: str
    notes: tuple[str, ...] = ()


def new_plugin(
    name: str,
    saved: str | os.PathLike[str],
    folder: str | os.PathLike[str] = ".",
    *,
    model: str | None = None,
    license: str | None = None,  # noqa: A002  the field's name
    metrics: Mapping[str, Mapping[str, float]] | None = None,
) -> NewPlugin:
    """Write a package that brings a saved model: ``zoo.new_plugin("zoo-colours", "runs/a/best.safetensors")``.

    It passes ``zoo verify-plugin`` as it is, and depends on the package of the model's family, whose builder it calls.

    Args:
        name: of the distribution, such as ``zoo-colours``, and of the folder that is written.
        saved: what ``zoo.save`` or ``zoo train`` wrote: the file, or the folder of a run.
        folder: where the package's folder comes.
        model: its name in the registry; by default that of the distribution without ``zoo-``.
        license: of the weights, an SPDX expression such as ``MIT``, or a link; by default the file's.
        metrics: data set → metric → value; by default the file's.

    Raises:
        InvalidArgument: a name that cannot be a package's or is taken, a folder that exists, facts that the task wants
            and the file does not have.
        CheckpointError: the file is no saved model.
        UnknownModel: nothing installed has the model.
    """
    package, plugin = _names(name)
    target = Path(folder) / name
    if target.exists() or target.is_symlink():
        raise InvalidArgument(f"{target} exists, and is not overwritten. Take it away, or give another name or folder.")
    if not target.parent.is_dir():
        raise InvalidArgument(f"There is no folder {target.parent}.")
    about, path = files.find(saved)
    base = about.entry()
    if base.plugin.distribution is None or base.local is not None:
        raise InvalidArgument(
            f"{about.name} is of no installed package, so that none can depend on it. Write a plugin for its builder: "
            "docs/plugins.md says how."
        )
    chosen = _model_name(model or plugin, base)
    spdx, stated = _license(license or about.weights.license)
    changed = {"license": stated} | ({"metrics": {k: dict(v) for k, v in metrics.items()}} if metrics else {})
    about = _with(about, changed)
    _check_required(about, registry.get_task(about.task, plugin=base.plugin.name))
    notes = []
    if spdx is None and stated == "unknown":
        notes.append("No licence is stated; people may use the weights only where you say so. Give --license.")
    if path.stat().st_size > LARGE:
        notes.append(
            f"The weights have {path.stat().st_size / 2**20:.0f} MB; package indexes commonly take files up to "
            f"{LARGE / 2**20:.0f} MB. zoo push puts them on the hub, where they are loaded from by hf://org/name."
        )
    built = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        built.chmod(0o755)
        _write(built, _Plan(name, package, plugin, chosen, about, base, spdx), path, changed)
        if target.exists():
            raise InvalidArgument(f"{target} exists by now, and is not overwritten.")
        built.rename(target)
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return NewPlugin(target, name, plugin, chosen, tuple(notes))


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _names(name: str) -> tuple[str, str]:
    """The names of the module and of the plugin.

    Raises:
        InvalidArgument: the name cannot be a distribution's, or something else has it.
    """
    try:
        normal = canonicalize_name(name, validate=True)
    except (InvalidName, TypeError) as e:
        raise InvalidArgument(
            f"{name!r} cannot be the name of a package: expected letters, digits, '-', '_' and '.', with a letter or "
            "digit at both ends, such as zoo-colours."
        ) from e
    package = normal.replace("-", "_")
    plugin = package.removeprefix("zoo_")
    for what in (package, plugin):
        if not what.isidentifier() or keyword.iskeyword(what):
            raise InvalidArgument(
                f"{name!r}: Python could not import it, since {what!r} is no name in Python. Begin with a letter, as "
                "zoo-colours does."
            )
    if plugin in ("zoo", "local", "core", "all"):
        raise InvalidArgument(f"{name!r}: a plugin cannot be called {plugin!r}.")
    for record in registry.plugins():
        own = canonicalize_name(record.distribution or "") == normal
        if record.name == plugin and (record.first_party or not own):
            raise InvalidArgument(f"{name!r}: the plugin {plugin!r} is {record.distribution}'s. Take another name.")
    spec = importlib.util.find_spec(package)  # a folder that happens to lie here has no origin
    if not _is_installed(normal) and spec is not None and spec.origin is not None:
        raise InvalidArgument(
            f"{name!r}: there is a module {package!r} already, which it would hide. Take another name."
        )
    return package, plugin


def _is_installed(distribution: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(distribution))
    return False


def _model_name(name: str, base: Entry) -> str:
    try:
        check_name("model", name)
    except ContractError as e:
        raise InvalidArgument(f"model: {e}") from e
    if not _identifier(name).isidentifier():
        raise InvalidArgument(f"model is {name!r}; expected a name that begins with a letter.")
    now = registry.registry()
    taken = now.taken_for(Entry(ModelSpec(name, base.spec.builder, task=base.spec.task), PluginRecord("new")))
    with contextlib.suppress(UnknownModel):
        taken = taken or now.find(name).full_name
    if taken is not None:
        raise InvalidArgument(f"model is {name!r}, which is or looks like {taken}. Give another name by --model.")
    return name


def _identifier(name: str) -> str:
    function = re.sub(r"\W", "_", name)
    return f"{function}_" if keyword.iskeyword(function) or function in ("zoo", "nn", "base", "Any") else function


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _license(given: str) -> tuple[str | None, str]:
    """The SPDX expression, where it is one, and what the weights say."""
    try:
        spdx = None if given == "unknown" else str(canonicalize_license_expression(given))
    except InvalidLicenseExpression:
        return None, given
    return spdx, spdx or given


def _with(about: SavedModel, changed: Mapping[str, Any]) -> SavedModel:
    return replace(about, weights=replace(about.weights, **changed))


def _check_required(about: SavedModel, task: TaskSpec) -> None:
    """Raise InvalidArgument where ``zoo verify-plugin`` would find something missing."""
    weights = about.weights
    if missing := [field for field in task.required if getattr(weights, field) in (None, "", (), {})]:
        how = "Give --metric 'DATA:acc@1=97.5', or save" if missing == ["metrics"] else "Save"
        raise InvalidArgument(
            f"The file does not say its {' and '.join(missing)}, which {task.name} asks of published weights. {how} it "
            "again with them: zoo.save(model, path, transforms=…, metrics={'data': {…}})."
        )
    known = [metric.key for metric in task.metrics]
    given = {key for values in weights.metrics.values() for key in values}
    if known and "metrics" in task.required and not given.intersection(known):
        raise InvalidArgument(
            f"Of the file's figures ({', '.join(sorted(given))}) none is {task.name}'s: {', '.join(known)}. Give "
            f"--metric 'DATA:{known[0]}=VALUE'; zoo evaluate measures it."
        )


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Plan:
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
        """Of the family's package the version that the file was saved with, or a later one of the same series."""
        now = {str(self.base.plugin.distribution): self.base.plugin.version or ""}
        now.setdefault("zoo-core", importlib.metadata.version("zoo-core"))
        return [_series(name, self.about.versions.get(name) or version, version) for name, version in now.items()]


def _series(name: str, saved: str, installed: str) -> str:
    for text in (saved, installed):
        with contextlib.suppress(InvalidVersion):
            version = Version(text)
            return f"{name}~={version.public}" if len(version.release) > 1 else f"{name}=={version.public}"
    return name


def _write(folder: Path, plan: _Plan, path: Path, changed: Mapping[str, Any]) -> None:
    source = folder / "src" / plan.package
    checkpoints = source / "checkpoints"
    checkpoints.mkdir(parents=True)
    (folder / "tests").mkdir()
    weights = checkpoints / "weights.safetensors"
    own = {**plan.about.versions, plan.name: VERSION}
    files.restated(path, weights, {"model": f"{plan.plugin}/{plan.model}", "versions": own}, changed)
    with weights.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()[:8]
    weights = weights.rename(weights.with_name(f"{_identifier(plan.model)}-{digest}.safetensors"))
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
    """A value of JSON's kinds as source text, indented for a keyword argument of a call."""
    text = pprint.pformat(_finite(value), width=96, compact=True, sort_dicts=False)
    return textwrap.indent(text, " " * 8).lstrip()


def _finite(value: Any) -> Any:
    """None for numbers that have no literal in Python."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _toml(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


def _summary(plan: _Plan) -> str:
    return f"{plan.model}: a {plan.base.spec.name} for {plan.about.task.replace('-', ' ')}, as a plugin for zoo."


def _pyproject(plan: _Plan) -> str:
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


def _weights(plan: _Plan, path: Path, categories: str) -> str:
    w, arguments = plan.about.weights, _arguments(plan)
    # An int8 model comes from a float one, which is what the builder makes without weights: that can be trained.
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
        "docs": w.docs or f"Written by zoo new-plugin from a {plan.about.name} that was saved.",
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
            '"""The weights and what is known of them. Read whenever models are listed: no torch here."""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Any",
            "",
            f"from zoo import {imports}",
            "",
            f"# What {plan.base.spec.name} is built with.",
            f"ARGUMENTS: dict[str, Any] = {_python(arguments)}",
            "",
            "",
            f"class {plan.enum}(WeightsEnum):",
            "    V1 = Weights(",
            f'        url="pkg://{plan.package}/checkpoints/{path.name}",  # the end of its name is its SHA-256',
            f"        config={config},",
            *lines,
            "    )",
            "    DEFAULT = V1",
            "",
        ]
    )


def _arguments(plan: _Plan) -> dict[str, Any]:
    """The builder's; without weights of parts, of which the file has none."""
    taken = inspect.signature(registry.get_model_builder(plan.base.full_name)).parameters
    parts = {name: None for name in taken if name.startswith("weights_")}
    return {**dict(plan.about.arguments), **parts}


def _model(plan: _Plan) -> str:
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
        def {_identifier(plan.model)}(**kwargs: Any) -> nn.Module:
            """{plan.base.spec.name} for {plan.about.task.replace("-", " ")}."""
            model: nn.Module = base{dot}{rest}(**{{**ARGUMENTS, **kwargs}})
            return model
        '''
    )


def _plugin(plan: _Plan) -> str:
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
            '"""What this package offers. Read whenever models are listed, so nothing here imports torch."""',
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
            f"            {f'{plan.package}.model:{_identifier(plan.model)}'!r},",
            f"            weights={plan.enum},",
            *lines,
            "        )",
            "    ]",
            "    return zoo.Manifest(api_version=1, models=models)",
            "",
        ]
    )


def _tests(plan: _Plan) -> str:
    return textwrap.dedent(
        f'''\
        """Every check that zoo makes of a plugin."""

        import zoo.testing


        class TestConformance(zoo.testing.PluginConformance):
            plugin = {plan.plugin!r}
            tier = "model"
        '''
    )


def _readme(plan: _Plan) -> str:
    card = model_card(plan.about, name=plan.name, load=plan.model, install=[plan.name])
    _, _, body = card.partition("\n---\n")
    return body.lstrip("\n") + textwrap.dedent(
        f"""
        ## This package

        ```sh
        pip install .                        # from this folder
        zoo verify-plugin {plan.plugin}
        python -m build                      # the wheel, to be published as any other
        ```

        `src/{plan.package}/weights.py` says what is known of the weights, `model.py` builds the model, and
        `tests/` has every check that zoo makes of a plugin.
        """
    )
