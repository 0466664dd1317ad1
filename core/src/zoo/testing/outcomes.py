"""Outcomes of checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from zoo.errors import ZooError


class Fault(ZooError, AssertionError):
    """A failed check."""


class Skip(Exception):
    """A check that does not apply, with the reason."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes:
        check: its name.
        model: the model; None for a check of the plugin.
        outcome: ``"ok"``, ``"failed"`` or ``"skipped"``.
        message: the error, the reason for skipping, or a remark.
        seconds: its duration.
    """

    check: str
    model: str | None
    outcome: Literal["ok", "failed", "skipped"]
    message: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks.

    Attributes:
        models: number of models that were checked.
        offered: number of models of the plugin.
        kept: number of results read from the file of an earlier run.
    """

    plugin: str
    version: str | None
    tier: str
    results: Sequence[Result] = field(default=(), repr=False)
    models: int = 0
    offered: int = 0
    kept: int = 0

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if result.outcome == "failed"]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """As ``zoo verify-plugin --json`` prints it."""
        return {**asdict(self), "ok": self.ok, "results": [asdict(result) for result in self.results]}

    def __str__(self) -> str:
        lines = [f"{result.model or self.plugin}: {result.check}: {result.message}" for result in self.failed]
        counts = ", ".join(
            f"{sum(r.outcome == outcome for r in self.results)} {outcome}" for outcome in ("ok", "failed", "skipped")
        )
        return "\n".join([*lines, f"{self.plugin} ({self.tier}): {counts}"])
