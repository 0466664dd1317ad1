"""The frame of the kit: the list of checks, their selection, and their outcomes. Does not import torch or pytest."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from zoo import registry
from zoo.contract import ModelSpec, check_count, load_object
from zoo.errors import InvalidArgument, suggest
from zoo.registry import PluginRecord
from zoo.registry.listing import matches
from zoo.testing.outcomes import Fault, Report, Result, Skip
from zoo.testing.resuming import Kept

if TYPE_CHECKING:
    from zoo.testing.examples import Bench

TIERS = ("contract", "model", "full")
"""``contract`` does not import torch and takes milliseconds per model; ``model`` builds and runs it; ``full`` also
captures it.

Each tier includes the ones before it. ``default`` runs the checks of ``contract`` on every model, and those of
``model`` on the smallest of each family.
"""


@dataclass(frozen=True)
class Check:
    """One check: ``function(of) → note or None`` raises :class:`Fault` or :class:`Skip`.

    Attributes:
        name: name of the check and of its function in ``zoo.testing.contract`` or ``zoo.testing.models``.
        tier: the smallest tier that includes it.
        of: what it checks: the ``"plugin"``, or each ``"model"``.
        what: a phrase, for lists of checks.
    """

    name: str
    tier: str
    of: Literal["plugin", "model"]
    what: str

    @property
    def function(self) -> Callable[[Any], str | None]:
        module = "contract" if self.tier == "contract" else "models"
        module = "plugins" if module == "models" and self.of == "plugin" else module
        found: Callable[[Any], str | None] = load_object(f"zoo.testing.{module}:{self.name}")
        return found


# fmt: off
CHECKS = (
    Check("manifest",      "contract", "plugin", "the plugin is found and its manifest follows the contract"),
    Check("torch_free",    "contract", "plugin", "a clean process reads the manifest without importing torch"),
    Check("names",         "contract", "plugin", "all models and weights are found by their names"),
    Check("tasks",         "model",    "plugin", "its tasks have every step, take their options, and provide objects"),
    Check("commands",      "model",    "plugin", "its commands, engines and formats can be imported"),
    Check("metadata",      "contract", "model",  "weights have the facts that their task requires"),
    Check("categories",    "contract", "model",  "weights name as many categories as they have classes"),
    Check("urls",          "contract", "model",  "the files of weights can be identified by their URLs"),
    Check("pickling",      "contract", "model",  "weights survive pickle and copy"),
    Check("signature",     "model",    "model",  "the builder exists, takes weights=, and knows the same enum"),
    Check("parameters",    "model",    "model",  "there are as many parameters as declared, counted without memory"),
    Check("forward",       "model",    "model",  "eval mode gives finite numbers on every available device"),
    Check("train",         "model",    "model",  "train mode runs, forward and backward, on every device"),
    Check("deterministic", "model",    "model",  "eval mode gives the same output twice and changes no buffer"),
    Check("round_trip",    "model",    "model",  "a saved state_dict, loaded by the builder, gives the same output"),
    Check("num_classes",   "model",    "model",  "another num_classes gives a new head, which is reported"),
    Check("features",      "model",    "model",  "the stages of feature_info exist, with their channels and strides"),
    Check("preprocessing", "model",    "model",  "the weights' transforms give finite tensors for a sample"),
    Check("results",       "model",    "model",  "outputs can be decoded, printed and written as JSON"),
    Check("capture",       "full",     "model",  "torch.compile and torch.export work and give the same result"),
)
# fmt: on


@dataclass(frozen=True)
class Case:
    """A check and its model; None for a check of the plugin."""

    check: Check
    model: str | None

    def __str__(self) -> str:
        return f"{self.model or 'plugin'}-{self.check.name}"


class Conformance:
    """What to check and how; ``zoo.testing.PluginConformance`` is the version for pytest.

    Attributes:
        plugin: the plugin's name in the registry.
        tiny: model → builder arguments that make it small enough to test; other models are built with their defaults.
        tier: ``"contract"``, ``"model"``, ``"full"`` or ``"default"``; by default the environment variable
            ``ZOO_TIER``.
        skip: check → reason to skip it, for all models; ``"model:check"`` skips it for one.
        models: shell wildcards; only models that match one of them are checked. By default all.
        limit: largest number of models: the smallest of each family, then the next.
    """

    plugin: ClassVar[str] = ""
    tiny: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    tier: ClassVar[str | None] = None
    skip: ClassVar[Mapping[str, str]] = {}
    models: ClassVar[Sequence[str]] = ()
    limit: ClassVar[int | None] = None

    # ── to override for models with other inputs ─────────────────────────────────────────────────────────────────

    def example(self, name: str) -> tuple[Any, ...]:
        """Positional arguments for a model in eval mode.

        By default two inputs from the task's ``example``, of about 64 pixels if the model takes any size; if the
        manifest has ``ModelSpec.input["shape"]``, two inputs of this shape.
        """
        from zoo.testing import examples

        return examples.example(self._bench(name))

    def train_example(self, name: str) -> tuple[Any, ...]:
        """The same in train mode, with targets if the model takes them.

        By default those of :meth:`example`, or inputs of size ``ModelSpec.input["train_size"]``; with artificial
        targets from the task's object for ``"train"``.
        """
        from zoo.testing import examples

        return examples.train_example(self._bench(name))

    def sample(self, name: str) -> Any:
        """An input for ``zoo.pipeline``.

        By default a PIL picture, 96 pixels wide and 80 high; for a task with several ``inputs_per_sample``, a tuple of
        them; if its ``input_ndim`` is 4, 16 frames as a uint8 tensor [T, C, H, W].
        """
        from zoo.testing import examples

        return examples.sample(self._bench(name))

    # ── what to check ────────────────────────────────────────────────────────────────────────────────────────────

    def cases(self) -> list[Case]:
        """Every check of the tier, model by model. Does not import torch.

        Raises:
            InvalidArgument: there is no such plugin, tier, check or model, or a check is skipped without a reason.
        """
        tier = self.chosen_tier()
        specs = self._specs()
        self._check_attributes(specs)
        specs = self._wanted(specs)
        in_full = set(specs) if tier != "default" else set(_by_families(specs.values(), 1))
        cases = [Case(c, None) for c in CHECKS if c.of == "plugin" and (c.tier == "contract" or tier != "contract")]
        for name in specs:
            reach = TIERS.index("model" if tier == "default" else tier) if name in in_full else 0
            cases += [Case(check, name) for check in CHECKS if check.of == "model" and TIERS.index(check.tier) <= reach]
        return cases

    @classmethod
    def chosen_tier(cls) -> str:
        tier = cls.tier or os.environ.get("ZOO_TIER") or "default"
        if tier not in (*TIERS, "default"):
            known = (*TIERS, "default")
            raise InvalidArgument(f"tier is {tier!r}; expected one of {', '.join(known)}.{suggest(tier, known)}")
        return tier

    def run(self, case: Case) -> str | None:
        """Run one check.

        Returns:
            A remark on something that is correct but noteworthy, or None.

        Raises:
            Fault: the check failed; other exceptions are the plugin's.
            Skip: the check does not apply, or is skipped.
        """
        for key in (case.check.name, f"{case.model}:{case.check.name}"):
            if key in self.skip:
                raise Skip(f"skipped: {self.skip[key]}")
        of: Any = self.record()
        for key, reason in of.manifest.exceptions.items() if of.manifest else ():
            pattern, _, check = key.rpartition(":")
            if check == case.check.name and matches(case.model or "", [pattern]):
                raise Skip(f"excepted by the plugin: {reason}")
        if case.model is not None:
            entry = registry.registry().entries[f"{self.plugin}/{case.model}"]
            of = entry if case.check.tier == "contract" else self._bench(case.model)
        return case.check.function(of)

    @classmethod
    def record(cls) -> PluginRecord:
        """The plugin's record in the registry.

        Raises:
            InvalidArgument: no such plugin is installed.
        """
        known = {record.name: record for record in registry.plugins()}
        if cls.plugin not in known:
            there = ", ".join(sorted(known)) or "none"
            raise InvalidArgument(
                f"There is no plugin {cls.plugin!r}; installed are {there}. The name is that of its entry point in "
                f"the group 'zoo.plugins'.{suggest(cls.plugin, known)}"
            )
        return known[cls.plugin]

    @classmethod
    def _specs(cls) -> dict[str, ModelSpec]:
        manifest = cls.record().manifest
        return {spec.name: spec for spec in manifest.models} if manifest else {}

    def _wanted(self, specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
        """The descriptions of the models to check.

        Raises:
            InvalidArgument: there are none, or the limit is invalid.
        """
        if isinstance(self.models, str):
            raise InvalidArgument(f"models is {self.models!r}; expected a list of wildcards: [{self.models!r}].")
        found = {n: spec for n, spec in specs.items() if not self.models or matches(n, self.models)}
        if specs and not found:
            raise InvalidArgument(f"No model of {self.plugin} matches {', '.join(self.models)}.")
        if self.limit is None:
            return found
        least = check_count("limit", self.limit, 1)
        chosen = set(_by_families(found.values())[:least])
        return {n: spec for n, spec in found.items() if n in chosen}

    def _check_attributes(self, specs: Mapping[str, ModelSpec]) -> None:
        known = [check.name for check in CHECKS]
        for key, reason in self.skip.items():
            model, _, check = key.rpartition(":")
            if check not in known:
                raise InvalidArgument(f"skip[{key!r}]: there is no check {check!r}.{suggest(check, known)}")
            if not isinstance(reason, str) or not reason.strip():
                raise InvalidArgument(f"skip[{key!r}] is {reason!r}; a check can only be skipped with a reason.")
            if model and specs and model not in specs:
                raise InvalidArgument(f"skip[{key!r}]: {self.plugin} has no model {model!r}.{suggest(model, specs)}")
        for model in self.tiny if specs else ():
            if model not in specs:
                raise InvalidArgument(f"tiny[{model!r}]: {self.plugin} has no such model.{suggest(model, specs)}")

    # ── the current model ────────────────────────────────────────────────────────────────────────────────────────

    _at_hand: ClassVar[Any] = None

    def _bench(self, name: str) -> Bench:
        """The model and its shared objects; only one at a time, since checks are ordered by model."""
        from zoo.testing.examples import Bench

        cls, spec = type(self), self._specs()[name]
        if cls._at_hand is None or cls._at_hand.spec is not spec:
            cls._at_hand = Bench(self, spec)
        bench: Bench = cls._at_hand
        return bench

    @classmethod
    def forget(cls) -> None:
        """Delete the last model."""
        cls._at_hand = None


def _by_families(specs: Iterable[ModelSpec], each: int | None = None) -> list[str]:
    """Names of the smallest models of each family, then the next larger ones, and so on.

    Args:
        each: number of models per family; by default all.
    """
    families: dict[str, list[ModelSpec]] = {}
    for spec in specs:
        families.setdefault(spec.family or spec.builder.partition(":")[0], []).append(spec)
    ranked = [
        (rank, spec.name)
        for family in families.values()
        for rank, spec in enumerate(sorted(family, key=lambda s: (s.parameters or math.inf, s.name))[:each])
    ]
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])]


# ── without pytest ───────────────────────────────────────────────────────────────────────────────────────────────


def verify(
    plugin: str | type[Conformance],
    *,
    tiny: Mapping[str, Mapping[str, Any]] | None = None,
    tier: str | None = None,
    skip: Mapping[str, str] | None = None,
    models: Sequence[str] | None = None,
    limit: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_result: Callable[[Result, int], None] | None = None,
) -> Report:
    """Check a plugin without pytest; ``zoo verify-plugin`` does.

    Args:
        plugin: its name, or a class derived from :class:`Conformance`, whose attributes are the defaults of the other
            arguments.
        tiny, tier, skip, models, limit: see :class:`Conformance`.
        resume: a file to which results are written as they come, and from which results of the same version of the
            plugin are read; failed checks run again.
        on_result: ``on_result(result, total number of checks)`` is called after each check.

    Raises:
        InvalidArgument: there is no such plugin, tier, check or model.
    """
    base = Conformance if isinstance(plugin, str) else plugin
    given: dict[str, Any] = {
        "plugin": plugin if isinstance(plugin, str) else None,
        "tiny": tiny,
        "tier": tier,
        "skip": skip,
    }
    given |= {"models": models, "limit": limit}
    kit = type("Given", (base,), {name: value for name, value in given.items() if value is not None})()
    cases, results, record = kit.cases(), [], kit.record()
    checked, resumed = {case.model for case in cases if case.model}, 0
    try:
        with Kept(resume, record.name, record.version) as kept:
            for case in cases:
                known = kept.get(case.check.name, case.model)
                results.append(known or _result(kit, case))
                resumed += known is not None
                if known is None:
                    kept.keep(results[-1])
                if on_result is not None:
                    on_result(results[-1], len(cases))
    finally:
        kit.forget()
    counts = (len(checked), len(kit._specs()), resumed)
    return Report(record.name, record.version, kit.chosen_tier(), tuple(results), *counts)


def _result(kit: Conformance, case: Case) -> Result:
    start = time.perf_counter()
    outcome: Literal["ok", "failed", "skipped"] = "ok"
    try:
        message = kit.run(case) or ""
    except Skip as e:
        outcome, message = "skipped", str(e)
    except Fault as e:
        outcome, message = "failed", str(e)
    except Exception as e:  # noqa: BLE001  any exception of a plugin is a failed check
        outcome, message = "failed", f"{type(e).__name__}: {e}"
    return Result(case.check.name, case.model, outcome, message, round(time.perf_counter() - start, 4))
