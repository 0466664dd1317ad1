"""The kit as a pytest class: every check of every model is a separate test."""

from __future__ import annotations

from zoo.errors import MissingPlugin
from zoo.testing.kit import Case, Conformance
from zoo.testing.outcomes import Skip

try:
    import pytest
except ImportError as e:
    raise MissingPlugin(
        "zoo.testing.PluginConformance needs pytest: pip install pytest. "
        "`zoo verify-plugin NAME` and zoo.testing.verify(…) run the same checks without it."
    ) from e


class PluginConformance(Conformance):
    """Derive from it and set ``plugin``, and pytest runs every check of the tier on its models.

    >>> class TestMyPlugin(zoo.testing.PluginConformance):
    ...     plugin = "acme"
    ...     tiny = {"acme_net": {"width": 8}}      # arguments that make a model small enough to test

    The attributes and methods to override are those of :class:`zoo.testing.Conformance`.
    """

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases(), ids=str)

    def test_conformance(self, case: Case) -> None:
        try:
            note = self.run(case)
        except Skip as e:
            pytest.skip(str(e))
        if note:
            print(note)

    @classmethod
    def teardown_class(cls) -> None:
        cls.forget()
