"""``zoo.models`` and the namespaces below it, for programs that read them with ``dir``, ``vars``, ``__all__``,
attributes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from zoo import registry
from zoo.contract.aliases import AliasFinder, Names
from zoo.errors import MissingPlugin, suggest
from zoo.models._aliases import FOUND, MODULES
from zoo.registry.first_party import BY_NAMESPACE, FirstParty

FUNCTIONS = ("get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models")
CLASSES = ("Weights", "WeightsEnum")
ROOT = "zoo.models"
# Builders for any backbone without their own weights; torchvision only has the module of this name.
SHARED = "segmentation.fcn segmentation.deeplabv3 segmentation.lraspp detection.fcos detection.retinanet".split()


class Namespace(ModuleType):
    """One namespace: the models of one of our plugins, its classes and weights, and torchvision's modules."""

    _ours: FirstParty
    _known: tuple[object, Names] | None

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [name for name in self._listed() if not name.startswith("_")]
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        ours, path = self._ours, self._path(name)
        if name in FUNCTIONS:
            return getattr(registry, name)
        if name in CLASSES and not ours.namespace:
            return getattr(importlib.import_module(f"{ROOT}._describing"), name)
        if path in BY_NAMESPACE:
            return sys.modules[f"{ROOT}.{path}"]
        try:
            if self._is_builder(name):
                return registry.get_model_builder(ours.prefix + name)
            if path in MODULES:
                return importlib.import_module(f"{ROOT}.{path}")
            return getattr(importlib.import_module(ours.package), name)
        except ModuleNotFoundError as e:
            if e.name != ours.package:
                raise
            raise _missing(path, ours) from None
        except AttributeError:
            close = suggest(name, self._listed())
            raise AttributeError(
                f"module {self.__name__!r} has no attribute {name!r}.{close}", name=name, obj=self
            ) from None

    def _path(self, name: str) -> str:
        return f"{self._ours.namespace}.{name}" if self._ours.namespace else name

    def _is_builder(self, name: str) -> bool:
        entry = registry.registry().owner(self._ours.prefix + name)
        return entry is not None and entry.plugin.name == self._ours.plugin and self._path(name) not in SHARED

    def _listed(self) -> list[str]:
        """Models with weights, classes, enums and modules; other functions of our package are available, but not
        listed."""
        ours, depth = self._ours, 1 if self._ours.namespace else 0
        names = {
            path.split(".")[-1] for path in MODULES if path.count(".") == depth and path.startswith(self._path(""))
        }
        if not importlib.util.find_spec(ours.package):
            names.clear()
        else:
            entries = registry.registry().entries.values()
            mine = (e.spec for e in entries if e.plugin.name == ours.plugin and e.spec.weights is not None)
            names |= {spec.name.removeprefix(ours.prefix) for spec in mine}
            names |= {name for name in importlib.import_module(ours.package).__all__ if name[0].isupper()}
        if not ours.namespace:
            names |= {
                *FUNCTIONS,
                *CLASSES,
                "_api",
                "_meta",
                "_utils",
                "feature_extraction",
                *filter(None, BY_NAMESPACE),
            }
        return sorted(names)

    @property
    def __dict__(self) -> Names:  # type: ignore[override]
        now, own = registry.registry(), vars(ModuleType)["__dict__"].__get__(self)
        known = own["_known"]
        if known is None or known[0] is not now:
            shown = {name for name in own if name.startswith("__") or not name.startswith("_")}
            known = now, Names(self, sorted({*self._listed(), *shown}))
            super().__setattr__("_known", known)
        names: Names = known[1]
        return names

    def __dir__(self) -> list[str]:
        return list(self.__dict__)

    def __setattr__(self, name: str, value: Any) -> None:
        # Python stores an imported submodule under its name, which here may be that of a builder.
        if isinstance(value, ModuleType) and self._is_builder(name):
            return
        super().__setattr__("_known", None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__setattr__("_known", None)
        super().__delattr__(name)


def _missing(path: str, ours: FirstParty) -> MissingPlugin:
    return MissingPlugin(
        f"{ROOT}.{path} comes with {ours.distribution}, which is not installed: pip install {ours.distribution}"
    )


def row(path: str) -> str | None:
    """The row of the table, with our package's name for the dots; other modules of our package are found by their own
    names."""
    *above, module = path.split(".")
    ours = BY_NAMESPACE.get(".".join(above))
    if ours is None:
        return None
    hidden = [f"~{word}" for space in ("*", ours.namespace) for word in FOUND[space or "*"].split()]
    words = MODULES.get(path, f".{module}").split() + (hidden if path in MODULES and module[0] != "_" else [])
    if (
        path in MODULES
        and " ." in f" {MODULES[path]}".replace("=.", " .")
        and not importlib.util.find_spec(ours.package)
    ):
        raise _missing(path, ours)
    return " ".join(word.replace("=.", f"={ours.package}.") if "=" in word else _full(word, ours) for word in words)


def _full(module: str, ours: FirstParty) -> str:
    return ours.package + module if module.startswith(".") else module


class Reloading(MetaPathFinder, Loader):
    """The loader for ``importlib.reload`` of a namespace: running its code in the ``__dict__`` would break it."""

    def __init__(self, own: dict[str, Any] | None = None) -> None:
        self.own = own or {}

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if not isinstance(target, Namespace):
            return None
        return ModuleSpec(name, Reloading({key: getattr(target, key, None) for key in ("__spec__", "__loader__")}))

    def exec_module(self, module: ModuleType) -> None:
        registry.refresh()
        for key, value in self.own.items():  # the import system has overwritten these
            setattr(module, key, value)


def install(top: ModuleType) -> None:
    """Make ``zoo.models`` a namespace, and add the others below it."""
    for name, ours in BY_NAMESPACE.items():
        space = top
        if name:
            space = ModuleType(f"{ROOT}.{name}", f"The models of {ours.distribution}, under torchvision's names.")
            space.__path__ = []
            sys.modules[space.__name__] = space
        space._ours, space._known = ours, None  # type: ignore[attr-defined]
        space.__class__ = Namespace
    sys.meta_path.append(AliasFinder(ROOT, row, SHARED))
    sys.meta_path.insert(0, Reloading())
