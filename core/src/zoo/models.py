"""torchvision.models' names, resolved from whatever plugins are installed when they are first used.

``zoo.models`` shows the classification models; ``zoo.models.quantization``, ``.segmentation``, ``.detection``,
``.video`` and ``.optical_flow`` the others. Modules below them are the plugins' own: ``zoo.models.resnet`` is
``zoo_classification.resnet``. A name whose plugin is missing says which package to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from zoo import registry
from zoo.errors import MissingPlugin
from zoo.registry import get_model, get_model_builder, get_model_weights, get_weight, list_models
from zoo.registry.first_party import BY_NAMESPACE, FirstParty

__all__ = ["get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"]
__path__: list[str] = []  # has submodules, which the finder below provides


def _resolve(ours: FirstParty, name: str) -> Any:
    """What ``name`` means in a namespace: a model of any plugin that serves it, else a public name of our package."""
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        entry = registry.registry().owner(ours.prefix + name)
        if entry is not None and entry.plugin.name == ours.plugin:
            return get_model_builder(ours.prefix + name)
        return getattr(importlib.import_module(ours.package), name)
    except ModuleNotFoundError as e:
        if e.name != ours.package:
            raise
        raise MissingPlugin(
            f"zoo.models{ours.namespace and '.'}{ours.namespace}.{name} comes with {ours.distribution}, which is not "
            f"installed: pip install {ours.distribution}"
        ) from None


class _Namespace(ModuleType):
    """``zoo.models.detection`` and its kin."""

    def __init__(self, ours: FirstParty) -> None:
        super().__init__(
            f"{__name__}.{ours.namespace}", f"The models of {ours.distribution}, under torchvision's names."
        )
        self.__path__: list[str] = []
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        if name in vars(registry) and name in __all__:
            return getattr(registry, name)
        return _resolve(self._ours, name)

    def __dir__(self) -> list[str]:
        return _names(self._ours)


def _names(ours: FirstParty) -> list[str]:
    """The namespace's model builders and everything else that is public in our package, if it is installed."""
    entries = registry.registry().entries.values()
    models = [e.spec.name.removeprefix(ours.prefix) for e in entries if e.plugin.name == ours.plugin]
    public = dir(importlib.import_module(ours.package)) if importlib.util.find_spec(ours.package) else []
    return sorted({*models, *(name for name in public if not name.startswith("_"))})


def __getattr__(name: str) -> Any:
    if name in BY_NAMESPACE:
        return sys.modules[f"{__name__}.{name}"]
    return _resolve(BY_NAMESPACE[""], name)


def __dir__() -> list[str]:
    return sorted({*_names(BY_NAMESPACE[""]), *__all__, *filter(None, BY_NAMESPACE)})


class _PluginModules(MetaPathFinder):
    """Finds ``zoo.models.resnet`` as ``zoo_classification.resnet``."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}."):
            return None
        *above, module = name.removeprefix(f"{__name__}.").split(".")
        ours = BY_NAMESPACE.get(".".join(above))
        real = f"{ours.package}.{module}" if ours else ""
        if not ours or importlib.util.find_spec(ours.package) is None or importlib.util.find_spec(real) is None:
            return None
        return ModuleSpec(name, _SecondName(real))


class _SecondName(Loader):
    """Gives a module a second name: the same object, as it is."""

    def __init__(self, real: str) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real)
        self.own_spec = module.__spec__  # the import system is about to overwrite it with the second name's
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own_spec


for _namespace, _ours in BY_NAMESPACE.items():
    if _namespace:
        sys.modules[f"{__name__}.{_namespace}"] = _Namespace(_ours)
sys.meta_path.append(_PluginModules())
