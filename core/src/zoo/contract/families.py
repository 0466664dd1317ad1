"""For packages of many models: a table with one row per paper, from which the manifest is made. No torch.

    FAMILIES = (
        Family("resnet", "ResNet", "Deep Residual Learning for Image Recognition", "1512.03385", "resnet18 resnet50"),
    )
    Manifest(api_version=1, models=model_specs("acme_models", FAMILIES, task="image-classification"))

Builders are in the package's module of the family. The weights of ``resnet18`` are the enum in ``weights/MODULE.py``
that names it: ``class ResNet18_Weights(WeightsEnum, builder="resnet18")``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from zoo.contract.enums import WeightsEnum
from zoo.contract.models import ModelSpec
from zoo.errors import ContractError


@dataclass(frozen=True)
class Family:
    """The models of one paper.

    Attributes:
        module: name of the module of the package that has the builders, and of the module of ``weights`` that has their
            enums.
        public: public classes of the module, separated by spaces.
        paper: its title.
        arxiv: its arXiv number.
        builders: names, separated by spaces.
        generic: further builders, which have no weights.
        task: of these models; by default the package's.
        input: facts about the input, as in :class:`zoo.ModelSpec`.
    """

    module: str
    public: str
    paper: str
    arxiv: str
    builders: str
    generic: str = ""
    task: str | tuple[str, ...] = ""
    input: Mapping[str, Any] = field(default_factory=dict)


def weights_of(package: str, family: Family) -> dict[str, type[WeightsEnum]]:
    """Builder → the enum of its weights, for the builders of ``family`` that have weights.

    Raises:
        ContractError: no enum names one of the builders.
    """
    module = importlib.import_module(f"{package}.weights.{family.module}")
    enums = [e for e in vars(module).values() if isinstance(e, type) and issubclass(e, WeightsEnum)]
    named = {enum.builder: enum for enum in enums if enum.__module__ == module.__name__}
    builders = family.builders.split()
    if lacking := [builder for builder in builders if builder not in named]:
        raise ContractError(
            f"{module.__name__} has no weights of {', '.join(lacking)}; expected enums that name their builder, as in "
            f'class Net_Weights(WeightsEnum, builder="{lacking[0]}"). Builders without weights are "generic".'
        )
    return {builder: named[builder] for builder in builders}


def offered_names(package: str, families: Iterable[Family]) -> dict[str, str]:
    """Every name that the package offers (classes, builders, weights) → the module that it comes from."""
    names: dict[str, str] = {}
    for family in families:
        names |= dict.fromkeys([*family.public.split(), *family.builders.split()], f"{package}.{family.module}")
        names |= {enum.__name__: enum.__module__ for enum in weights_of(package, family).values()}
    return names


def model_specs(
    package: str,
    families: Iterable[Family],
    task: str = "",
    *,
    prefix: str = "",
    capture: bool = True,
) -> list[ModelSpec]:
    """The models of the manifest, in the order of the table.

    Args:
        package: the package of the families' modules.
        task: for families without one.
        prefix: put before the builders' names to make the models' names.
        capture: as in :class:`zoo.ModelSpec`.
    """
    return [
        ModelSpec(
            prefix + builder,
            f"{package}.{family.module}:{builder}",
            task=family.task or task,
            weights=weights.get(builder),
            paper=f"{family.paper}, https://arxiv.org/abs/{family.arxiv}",
            capture=capture,
            input=family.input,
        )
        for family in families
        for weights in [weights_of(package, family)]
        for builder in (*family.builders.split(), *family.generic.split())
    ]


def lazy_package(package: str, modules: Sequence[str] = ()) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package: names of its plugin are imported on first use.

        __getattr__, __dir__ = lazy_package(__name__)

    The names are those of ``public_names()`` in the package's module ``plugin``. Where a builder has the name of its
    module, as ``alexnet`` in ``alexnet.py``, the package's attribute is the builder, although Python stores an imported
    submodule under its name; ``from package.alexnet import AlexNet`` still works.

    Args:
        package: ``__name__``.
        modules: submodules that are attributes too.
    """

    def names() -> dict[str, str]:
        found: dict[str, str] = importlib.import_module(f"{package}.plugin").public_names()
        return found

    def get(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name == "__all__":
            return sorted(names())
        # Python and its tools look up names with underscores in every module.
        module = None if name.startswith("_") else names().get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if isinstance(value, ModuleType) and name in vars(value) and name in names():
                value = vars(value)[name]
            super().__setattr__(name, value)

    this = sys.modules[package]
    this.__class__ = Package
    return get, lambda: sorted({*vars(this), *modules, *names()})
