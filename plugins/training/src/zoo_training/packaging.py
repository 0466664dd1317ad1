"""``zoo new-plugin``: a saved model as an installable package that includes the weights."""

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

LARGE = 100 * 2**20  # bytes; the usual file size limit of package indexes


@dataclass(frozen=True)
class NewPlugin:
    """The result of :func:`new_plugin`.

    Attributes:
        folder: folder of the package.
        distribution, plugin, model: names for pip, in the registry, and of the model.
        notes: remarks and remaining steps.
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
    license: str | None = None,  # noqa: A002  the name in zoo.Weights
    metrics: Mapping[str, Mapping[str, float]] | None = None,
) -> NewPlugin:
    """Write a package that provides a saved model: ``zoo.new_plugin("zoo-colours", "runs/a/best.safetensors")``.

    The package passes ``zoo verify-plugin``, and depends on the package of the model's family, whose builder it calls.

    Args:
        name: name of the distribution and of its folder, such as ``zoo-colours``.
        saved: a file of ``zoo.save`` or ``zoo train``, or the folder of a run.
        folder: parent of the package's folder.
        model: name in the registry; by default the distribution's name without ``zoo-``.
        license: licence of the weights, an SPDX expression such as ``MIT``, or a link; by default the file's.
        metrics: data set → metric → value; by default the file's.

    Raises:
        InvalidArgument: the name is invalid or taken, the folder exists, or the file lacks facts that the task
            requires.
        CheckpointError: the file is not a saved model.
        UnknownModel: no installed plugin has the model.
    """
    package, plugin = _names(name)
    target = Path(folder) / name
    if target.exists() or target.is_symlink():
        raise InvalidArgument(f"{target} already exists. Remove it, or choose another name or folder.")
    if not target.parent.is_dir():
        raise InvalidArgument(f"The folder {target.parent} does not exist.")
    about, path = files.find(saved)
    base = about.entry()
    if base.plugin.distribution is None or base.local is not None:
        raise InvalidArgument(
            f"{about.name} does not belong to an installed package, so that a package cannot depend on it. Write a "
            "plugin for its builder, see docs/plugins.md."
        )
    chosen = _model_name(model or plugin, base)
    spdx, stated = _license(license or about.weights.license)
    changed = {"license": stated} | ({"metrics": {k: dict(v) for k, v in metrics.items()}} if metrics else {})
    about = _with(about, changed)
    _check_required(about, registry.get_task(about.task, plugin=base.plugin.name))
    notes = []
    if spdx is None and stated == "unknown":
        notes.append("No licence is stated, so that others may not use the weights. Give --license.")
    if path.stat().st_size > LARGE:
        notes.append(
            f"The weights have {path.stat().st_size / 2**20:.0f} MB; package indexes usually accept files up to "
            f"{LARGE / 2**20:.0f} MB. zoo push uploads them to the hub, from where hf://org/name loads them."
        )
    built = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        built.chmod(0o755)
        write(built, Plan(name, package, plugin, chosen, about, base, spdx), path, changed)
        if target.exists():
            raise InvalidArgument(f"{target} was created meanwhile, and is not overwritten.")
        built.rename(target)
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return NewPlugin(target, name, plugin, chosen, tuple(notes))


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _names(name: str) -> tuple[str, str]:
    """Names of the module and of the plugin.

    Raises:
        InvalidArgument: the name is not valid for a distribution, or taken.
    """
    try:
        normal = canonicalize_name(name, validate=True)
    except (InvalidName, TypeError) as e:
        raise InvalidArgument(
            f"{name!r} is not a valid name of a package: expected letters, digits, '-', '_' and '.', with a letter or "
            "digit at both ends, such as zoo-colours."
        ) from e
    package = normal.replace("-", "_")
    plugin = package.removeprefix("zoo_")
    for what in (package, plugin):
        if not what.isidentifier() or keyword.iskeyword(what):
            raise InvalidArgument(
                f"{name!r} cannot be imported, since {what!r} is not a valid Python name. Begin with a letter, as in "
                "zoo-colours."
            )
    if plugin in ("zoo", "local", "core", "all"):
        raise InvalidArgument(f"{name!r}: a plugin cannot be named {plugin!r}.")
    for record in registry.plugins():
        own = canonicalize_name(record.distribution or "") == normal
        if record.name == plugin and (record.first_party or not own):
            raise InvalidArgument(
                f"{name!r}: the plugin name {plugin!r} is used by {record.distribution}. Choose another name."
            )
    spec = importlib.util.find_spec(package)  # a mere folder has no origin
    if not _is_installed(normal) and spec is not None and spec.origin is not None:
        raise InvalidArgument(f"{name!r}: the package would hide the existing module {package!r}. Choose another name.")
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
        raise InvalidArgument(
            f"model is {name!r}, which is the same as or too similar to {taken}. Choose another name with --model."
        )
    return name


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _license(given: str) -> tuple[str | None, str]:
    """The SPDX expression if it is one, and the licence of the weights."""
    try:
        spdx = None if given == "unknown" else str(canonicalize_license_expression(given))
    except InvalidLicenseExpression:
        return None, given
    return spdx, spdx or given


def _with(about: SavedModel, changed: Mapping[str, Any]) -> SavedModel:
    return replace(about, weights=replace(about.weights, **changed))


def _check_required(about: SavedModel, task: TaskSpec) -> None:
    """Raise InvalidArgument if ``zoo verify-plugin`` would report missing facts."""
    weights = about.weights
    if missing := [
        field
        for field in task.required
        if getattr(weights, field) in (None, "", (), {}) and field not in weights.unknown
    ]:
        how = "Give --metric 'DATA:acc@1=97.5', or save" if missing == ["metrics"] else "Save"
        raise InvalidArgument(
            f"The file does not have {' and '.join(missing)}, which {task.name} requires of published weights. {how} "
            "it again with them: zoo.save(model, path, transforms=…, metrics={'data': {…}})."
        )
    known = [metric.key for metric in task.metrics]
    given = {key for values in weights.metrics.values() for key in values}
    if known and "metrics" in task.required and not given.intersection(known):
        raise InvalidArgument(
            f"None of the file's metrics ({', '.join(sorted(given))}) is a metric of {task.name}: {', '.join(known)}. "
            f"Give --metric 'DATA:{known[0]}=VALUE'; zoo evaluate measures it."
        )
