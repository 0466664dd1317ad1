"""All that a plugin offers, and whether it follows the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from zoo.contract.checks import check_model, check_name, check_task, short
from zoo.contract.enums import WeightsEnum
from zoo.contract.models import ModelSpec
from zoo.contract.tasks import TaskSpec
from zoo.errors import ContractError

API_VERSION = 1
"""The version of this contract. A manifest that asks for a newer one is set aside with a sentence that says so."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a plugin offers, returned by its ``zoo_manifest`` hook.

    Attributes:
        api_version: the :data:`API_VERSION` that the plugin was written for.
        models: the models.
        tasks: tasks that the plugin brings.
        renamed: old model names → present ones; an old name works with a ``DeprecationWarning``.
    """

    api_version: int
    models: Sequence[ModelSpec] = ()
    tasks: Sequence[TaskSpec] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def check_manifest(manifest: object) -> Manifest:
    """``manifest`` if it follows the contract, as far as can be told without importing a model.

    What comes back is a copy with its models and tasks in tuples, so that what was checked is what will be used, also
    of a plugin that gives a generator or a class of its own.

    Raises:
        ContractError: with every problem that was found, one a line.
    """
    if not isinstance(manifest, Manifest):
        raise ContractError(f"zoo_manifest() returned {type(manifest).__name__}; expected zoo.Manifest(…).")
    if not isinstance(manifest.api_version, int) or manifest.api_version > API_VERSION:
        raise ContractError(
            f"it was written for version {manifest.api_version!r} of the plugin contract and this zoo-core serves "
            f"version {API_VERSION}. Install a newer zoo-core: pip install -U zoo-core"
        )
    read = Manifest(
        api_version=manifest.api_version,
        models=tuple(map(_plain, manifest.models)),
        tasks=tuple(manifest.tasks),
        renamed=dict(manifest.renamed),
    )
    problems: list[str] = []
    enums: dict[str, type[WeightsEnum]] = {}
    for kind, items, wanted in (("model", read.models, ModelSpec), ("task", read.tasks, TaskSpec)):
        seen: set[str] = set()
        for item in items:
            if not isinstance(item, wanted):
                problems.append(f"{kind}s holds {short(item)}; expected zoo.{wanted.__name__}(…)")
                continue
            try:
                check_name(kind, item.name)
                if isinstance(item, ModelSpec):
                    check_model(item)
                    if item.weights and enums.setdefault(item.weights.__name__, item.weights) is not item.weights:
                        problems.append(f"{item.name}: another enum of its weights is called {item.weights.__name__}")
                elif isinstance(item, TaskSpec):
                    check_task(item)
            except ContractError as e:
                problems.append(str(e))
                continue
            if item.name in seen:
                problems.append(f"{item.name!r} is there twice among its {kind}s")
            seen.add(item.name)
    names = {m.name for m in read.models if isinstance(m, ModelSpec)}
    for old, new in read.renamed.items():
        if new not in names or old in names:
            problems.append(f"renamed={{{old!r}: {new!r}}}: the new name must be a model of this plugin, the old none")
    if len(problems) > 10:
        problems[10:] = [f"and {len(problems) - 10} problems more"]
    if problems:
        raise ContractError("\n".join(problems))
    return read


def _plain(spec: ModelSpec) -> ModelSpec:
    """``spec`` itself, or of a subclass what it says now: lists ask again and again, and for all plugins at once."""
    if type(spec) is ModelSpec or not isinstance(spec, ModelSpec):
        return spec
    return ModelSpec(**{f.name: getattr(spec, f.name) for f in fields(ModelSpec)})
