"""``zoo new-plugin``: a saved model as a package that pip installs, with the weights inside."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import keyword
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import InvalidName, canonicalize_name

from zoo import registry
from zoo.contract import ModelSpec, TaskSpec, check_name
from zoo.errors import ContractError, InvalidArgument, UnknownModel
from zoo.registry import Entry, PluginRecord, SavedModel
from zoo_training import saved as files
from zoo_training.package_files import Plan, identifier, write

LARGE = 100 * 2**20  # bytes; the largest file that package indexes commonly take


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
        write(built, Plan(name, package, plugin, chosen, about, base, spdx), path, changed)
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
    if not identifier(name).isidentifier():
        raise InvalidArgument(f"model is {name!r}; expected a name that begins with a letter.")
    now = registry.registry()
    taken = now.taken_for(Entry(ModelSpec(name, base.spec.builder, task=base.spec.task), PluginRecord("new")))
    with contextlib.suppress(UnknownModel):
        taken = taken or now.find(name).full_name
    if taken is not None:
        raise InvalidArgument(f"model is {name!r}, which is or looks like {taken}. Give another name by --model.")
    return name


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
    if missing := [
        field
        for field in task.required
        if getattr(weights, field) in (None, "", (), {}) and field not in weights.unknown
    ]:
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
