"""The conformance kit, with which authors of plugins check that every model follows the contract.

class TestMyPlugin(zoo.testing.PluginConformance):      # under pytest, a test for every model and check
    plugin = "acme"
    tiny = {"acme_net": {"width": 8}}

report = zoo.testing.verify("acme")                     # the same without pytest; so does `zoo verify-plugin acme`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.testing.kit import CHECKS, TIERS, Check, Conformance, verify
from zoo.testing.outcomes import Fault, Report, Result, Skip

if TYPE_CHECKING:
    from zoo.testing.conformance import PluginConformance

__all__ = [
    "CHECKS",
    "TIERS",
    "Check",
    "Conformance",
    "Fault",
    "PluginConformance",
    "Report",
    "Result",
    "Skip",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name != "PluginConformance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo.testing.conformance import PluginConformance

    globals()[name] = PluginConformance
    return PluginConformance
