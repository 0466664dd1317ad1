"""Modules under further names, so that they can be imported by the paths that other programs use. No torch.

A table says where names come from, one row per module::

    {"misc": "zoo.nn", "poolers": "zoo.ops.pooler LevelMapper=zoo.ops.pooler:Levels"}

A row has modules, which provide all their names, and names that differ here. Either may begin with ``~``: then it is
found, but not listed. A row of one module is that module itself, under a second name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, ItemsView, Mapping, Sequence, ValuesView
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Names(dict[str, Any]):
    """The ``vars()`` of a module whose names are in other modules: all names; a value is loaded on access."""

    def __init__(self, module: ModuleType, names: Sequence[str]) -> None:
        super().__init__(dict.fromkeys(names))
        self._module = module

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        value = getattr(self._module, name)
        # Programs assume that each callable builds a model, by its name.
        return value.module() if isinstance(value, CallableAlias) else value

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, None)
        setattr(self._module, name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self._module, name)
        super().__delitem__(name)

    def __iter__(self) -> Any:  # if it is defined, dict(…) and {**…} copy by these methods
        return super().__iter__()

    def values(self) -> Any:
        return ValuesView(self)

    def items(self) -> Any:
        return ItemsView(self)

    def copy(self) -> dict[str, Any]:
        return dict(self)


class Besides:
    """``__getattr__`` of a module: names from other modules that are not listed.

    Args:
        name: of the module.
        words: those of its row that begin with ``~``.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name
        self.words = words

    def __call__(self, name: str) -> Any:
        for word in self.words if not name.startswith("__") else ():
            own, renamed, path = word.partition("=")
            if renamed:
                if own == name:
                    module, _, other = path.partition(":")
                    return getattr(importlib.import_module(module), other)
                continue
            found = importlib.import_module(own)
            with contextlib.suppress(AttributeError):
                if isinstance(found, Alias):
                    return getattr(*found._owner(name))
                if not isinstance(vars(found).get("__getattr__"), Besides) or name in vars(found):
                    return getattr(found, name)
        raise AttributeError(f"module {self.name!r} has no attribute {name!r}")


class Alias(ModuleType):
    """A module whose names are in other modules: they are read and set there."""

    def __init__(self, name: str, row: str) -> None:
        super().__init__(name, f"Names of {row.split()[0]} and related modules, under a path that other programs use.")
        shown, hidden = ([w.lstrip("~") for w in row.split() if w.startswith("~") is tilde] for tilde in (False, True))
        super().__setattr__("_modules", [word for word in shown if "=" not in word])
        super().__setattr__("_replaced", {})
        super().__setattr__("_renamed", dict(word.split("=") for word in shown if "=" in word))
        super().__setattr__("_besides", Besides(name, hidden))

    def _owner(self, name: str) -> tuple[ModuleType, str]:
        """The module that has ``name``, and its name there."""
        if name in self._renamed:
            module, _, name = self._renamed[name].partition(":")
            return importlib.import_module(module), name
        if not name.startswith("__"):
            for module in map(importlib.import_module, self._modules):
                if hasattr(module, name):
                    return module, name
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [name for name in dir(self) if not name.startswith("_")]
        if (
            name == "__file__" and self._modules and self._modules[0] in sys.modules
        ):  # inspect asks for these during imports: import nothing
            return sys.modules[self._modules[0]].__file__
        try:
            found = self._owner(name)
        except AttributeError:
            return self._besides(name)
        return getattr(*found)

    @property
    def __dict__(self) -> Names:  # type: ignore[override]
        own = vars(ModuleType)["__dict__"].__get__(self)
        kept = {"_modules", "_replaced", "_renamed", "_besides"}
        return Names(self, sorted({*dir(self), *(name for name in own if name not in kept)}))

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            owner, own = self._owner(name)
        except AttributeError:
            super().__setattr__(name, value)
        else:
            self._replaced.setdefault(name, getattr(owner, own))
            setattr(owner, own, value)

    def __delattr__(self, name: str) -> None:
        if name in self._replaced:  # a replaced value is restored, as tests do
            owner, own = self._owner(name)
            setattr(owner, own, self._replaced.pop(name))
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        modules = map(importlib.import_module, self._modules)
        return sorted({*self._renamed, *(name for m in modules for name in dir(m) if not name.startswith("__"))})


class CallableAlias(Alias):
    """Such a module that is also callable: the builder of the same name, which a package cannot have beside the
    module."""

    def module(self) -> ModuleType:
        """The module that has the names."""
        return importlib.import_module(self._modules[0])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


class AliasFinder(MetaPathFinder):
    """Finds the modules of a package that have no file.

    Args:
        package: the package that has the modules, at any level below it.
        row: path below the package → its row in the table, or None.
        callable_too: the paths of modules that have the name of a builder.
    """

    def __init__(self, package: str, row: Callable[[str], str | None], callable_too: Sequence[str] = ()) -> None:
        self.package = package
        self.row = row
        self.callable_too = callable_too

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        below = name.removeprefix(f"{self.package}.")
        row = None if below == name else self.row(below)
        if row is None or not all(map(_exists, (word for word in row.split() if "=" not in word and word[0] != "~"))):
            return None
        if below in self.callable_too:
            return ModuleSpec(name, _Made(CallableAlias(name, row)))
        shown = [word for word in row.split() if word[0] != "~"]
        if len(shown) > 1 or "=" in shown[0]:
            return ModuleSpec(name, _Made(Alias(name, row)))
        return ModuleSpec(name, _SecondName(shown[0], [word[1:] for word in row.split() if word[0] == "~"]))


def _exists(module: str) -> bool:
    parts = module.split(".")
    return all(importlib.util.find_spec(".".join(parts[: n + 1])) for n in range(len(parts)))


class _Made(Loader):
    """A loader that returns a module that exists already."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        # Now, not on access: programs look up names in every module, also in the middle of imports.
        dir(module)


class _SecondName(Loader):
    """A loader that gives a module a second name: the same object, which also finds the names of ``besides``."""

    def __init__(self, real: str, besides: Sequence[str]) -> None:
        self.real = real
        self.besides = besides

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real)
        if self.besides:
            vars(module).setdefault("__getattr__", Besides(self.real, self.besides))
        self.own_spec = module.__spec__  # the import system overwrites it with the spec of the second name
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own_spec


def alias_modules(package: str, table: Mapping[str, str]) -> None:
    """Make the modules of ``table`` importable from ``package``. Functions of the same names remain its attributes."""

    class Package(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            # Python stores a submodule under its name once it is imported.
            if not (isinstance(value, ModuleType) and name in table and callable(vars(self).get(name))):
                super().__setattr__(name, value)

        def __getattr__(self, name: str) -> Any:
            if name in table:
                return importlib.import_module(f"{package}.{name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")

    sys.modules[package].__class__ = Package
    sys.meta_path.append(AliasFinder(package, table.get))
