"""Models and weights from a table, for packages with thousands of models: names are listed at once, enums made on
access.

    # zoo_acme/weights.py
    CATALOGUE = Catalogue(__name__, "pkg://zoo_acme/catalogue.json", describe)
    __getattr__ = CATALOGUE.named            # so that members pickle: zoo_acme.weights.resnet50_Weights

    # zoo_acme/plugin.py
    Manifest(api_version=1, models=CATALOGUE.models("zoo_acme.models", task="image-classification"))

The table is JSON, one row per model: ``{"resnet50": {"num_params": 25557032, "weights": {"a1_in1k": …, "a2_in1k":
…}}}``. No torch here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zoo.contract.checks import check_weights
from zoo.contract.enums import LazyEnum, WeightsEnum, make_enum
from zoo.contract.imports import load_object
from zoo.contract.models import ModelSpec
from zoo.contract.weights import Weights
from zoo.errors import ContractError

Row = Mapping[str, Any]
Describe = Callable[[str, Row, str, Any], Weights]

_SPEC = ("num_params", "paper", "family", "capture", "input")  # the fields of a row that are its ModelSpec's


def enum_name(model: str) -> str:
    """The name of a model's enum in a catalogue: ``resnet50_Weights``.

    Characters other than ASCII letters, digits and underscores become underscores, and a leading digit is preceded by
    one.
    """
    return f"{attribute(model)}_Weights"


def attribute(model: str) -> str:
    """A model's name as an identifier, by the rule of :func:`enum_name`: the name of its builder in its module."""
    if model.isidentifier() and model.isascii():
        return model
    name = re.sub(r"\W", "_", model, flags=re.ASCII)
    return f"_{name}" if name[:1].isdigit() else name


class Catalogue(Mapping[str, Row]):
    """The models of a table; as a mapping, model → its row.

    Args:
        module: the module whose attributes the enums are, which sets ``__getattr__ = CATALOGUE.named``.
        rows: model → row, or a ``pkg://`` resource with such JSON, which is read when it is first needed. A row may
            have ``weights``, tag → the facts from which ``describe`` makes :class:`Weights` (or a list of tags, whose
            facts it finds elsewhere), and any field of :class:`ModelSpec`; other keys are for ``describe``.
        describe: ``describe(model, row, tag, facts)`` → :class:`Weights`; without torch.

    The first tag of a row is its ``DEFAULT``, unless the row names another by ``"default"``. Tags are any text of
    letters, digits, ``_``, ``-`` and ``.``. They are the members' names, unchanged: ``enum["a1_in1k"]`` always works,
    ``enum.a1_in1k`` if it is an identifier and enums have no such attribute.
    """

    def __init__(self, module: str, rows: str | Mapping[str, Row], describe: Describe) -> None:
        self.module = module
        self.describe = describe
        self._given = rows
        self._rows: Mapping[str, Row] | None = None if isinstance(rows, str) else rows
        self._enums: dict[str, LazyEnum] = {}

    @property
    def rows(self) -> Mapping[str, Row]:
        if self._rows is None:
            with load_object("zoo.files:open_resource")(self._given) as f:
                self._rows = json.load(f)
        return self._rows

    def __getitem__(self, model: str) -> Row:
        return self.rows[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def weights(self, model: str) -> Any:
        """For ``ModelSpec(weights=…)``: the model's enum, made on first access; None for a model without weights.

        Raises:
            ContractError: another model's enum has the same name.
        """
        row = self.rows[model]
        if not row.get("weights"):
            return None
        name = enum_name(model)
        known = self._enums.get(name)
        if known is None:
            known = self._enums[name] = LazyEnum(name, self, model)
        elif known.model != model:
            raise ContractError(f"The weights of {known.model!r} and {model!r} would both be {name}; rename one model.")
        return known

    def enum(self, model: str) -> type[WeightsEnum] | None:
        """The enum of a model's weights, for ``zoo.builder``; None for a model without weights."""
        found = self.weights(model)
        return found.enum() if found is not None else None

    def make(self, model: str) -> type[WeightsEnum]:
        """A new enum of a model's weights; :attr:`ModelSpec.weights` keeps one."""
        row = self.rows[model]
        given = row["weights"]
        tags: Mapping[str, Any] = given if isinstance(given, Mapping) else dict.fromkeys(given)
        members = {tag: self.describe(model, row, tag, facts) for tag, facts in tags.items()}
        members["DEFAULT"] = members[row.get("default", next(iter(tags)))]
        enum = make_enum(enum_name(model), members, self.module)
        for member in enum:
            check_weights(member)
        return enum

    def named(self, name: str) -> type[WeightsEnum]:
        """The enum of that name: the module's ``__getattr__``.

        Raises:
            AttributeError: there is none.
        """
        if name.endswith("_Weights") and not name.startswith("__"):
            known = self._enums.get(name)
            if known is None:
                model = next((model for model in self.rows if enum_name(model) == name), None)
                known = self.weights(model) if model is not None else None
            if known is not None:
                return known.enum()
        raise AttributeError(f"module {self.module!r} has no attribute {name!r}")

    def models(self, builders: str, *, task: str | tuple[str, ...] = "", **facts: Any) -> list[ModelSpec]:
        """The models of the manifest, in the order of the table.

        Args:
            builders: the module of the builders, each under its model's name with underscores for characters that an
                identifier cannot have. A module with thousands of builders makes them on access, by its
                ``__getattr__``.
            task: for rows that have no ``"task"``.
            **facts: further fields of :class:`ModelSpec`, for rows that do not have them.
        """
        specs: dict[str, ModelSpec] = {}
        for model, row in self.rows.items():
            own = {**facts, **{key: row[key] for key in _SPEC if key in row}}
            served = row.get("task", task)
            name = attribute(model)
            if name in specs:
                raise ContractError(f"The builders of {specs[name].name!r} and {model!r} would both be {name}.")
            specs[name] = ModelSpec(
                model,
                f"{builders}:{name}",
                task=served if isinstance(served, str) else tuple(served),
                weights=self.weights(model),
                **own,
            )
        return list(specs.values())

    def built_by(self, name: str) -> str:
        """The model whose builder has this name: for the ``__getattr__`` of the builders' module.

        Raises:
            AttributeError: there is none.
        """
        if name in self.rows:
            return name
        model = next((model for model in self.rows if attribute(model) == name), None)
        if model is None:
            raise AttributeError(f"no model of {self.module!r} has a builder {name!r}")
        return model
