"""What can come of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from zoo.errors import ZooError


class Fault(ZooError, AssertionError):
    """What a check found wrong."""


class Skip(Exception):
    """Why a check does not apply."""


@dataclass(frozen=True)
class Result:
    """What came of one check.

    Attributes:
        check: its name.
        model: the model; None is the plugin as a whole.
        outcome: ``"ok"``, ``"failed"`` or ``"skipped"``.
        message: what is wrong, why it was skipped, or a remark.
        seconds: that it took.
    """

    check: str
    model: str | None
    outcome: Literal["ok", "failed", "skipped"]
    message: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """What came of all checks.

    Attributes:
        models: how many models were checked.
        offered: how many the plugin has.
        kept: how many of the results were taken from the file of an earlier run.
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
        """Whether nothing is wrong."""
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
