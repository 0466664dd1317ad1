"""Asking plugins what they offer, each inside a guard of its own.

A plugin passes through the stages scan → import → register → manifest → validate; what goes wrong in one stays in its
record, is warned of once, and explained by ``zoo doctor``.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from zoo.contract import check_manifest, hooks
from zoo.errors import ContractError, PluginError, PluginWarning, suggest, told
from zoo.registry.collector import without_collecting
from zoo.registry.records import PluginRecord
from zoo.registry.scan import scan
from zoo.registry.undisturbed import Undisturbed

SLOW_IMPORT = 1.0  # seconds after which a plugin is told that listing should be free


class Plugins:
    """The installed plugins, in the order in which they claim names: our own first, then by name."""

    def __init__(self) -> None:
        global _discovering
        self._manager = pluggy.PluginManager("zoo")
        self._manager.add_hookspecs(hooks)
        self._named: dict[str, PluginRecord] = {}
        with lock, without_collecting(), Undisturbed() as process:
            _discovering = True
            try:
                self.records = list(scan())
                for record in self.records:
                    if record.state == "ready":
                        self._load(record, process)
            finally:
                _discovering = False

    def _load(self, record: PluginRecord, process: Undisturbed) -> None:
        """Take one plugin through its stages, as far as it gets."""
        had_torch = "torch" in sys.modules
        with process.undoing() as changed:
            self._ask(record)
        if record.state == "failed":
            if self._named.get(record.name) is None and self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            return
        self._named[record.name] = record
        if "torch" in sys.modules and not had_torch:
            record.complaint = "it imports torch when it is listed, which makes listing slow; import it in the builders"
        elif changed:
            what = " and ".join(changed)
            record.complaint = f"it changes {what} when it is listed, which was undone; do that in the builders"
        elif record.seconds > SLOW_IMPORT:
            record.complaint = f"listing it takes {record.seconds:.1f} s; import what is heavy in the builders"

    def _ask(self, record: PluginRecord) -> None:
        with record.guard("import"):
            if (namesake := self._named.get(record.name)) is not None:
                raise ContractError(
                    f"{namesake.distribution} has a plugin of that name already; one of the two must rename its "
                    "entry point"
                )
            module = importlib.import_module(record.target)
        if record.state == "failed":
            return
        with record.guard("register"):
            self._register(record.name, module)
            hook = self._implementation("zoo_manifest", record)
            if hook is None:
                raise ContractError(
                    f"{record.target} has no @zoo.hookimpl function zoo_manifest(); add one that returns "
                    "zoo.Manifest(api_version=1, models=[…])"
                )
        if record.state == "ready":
            with record.guard("manifest"):
                manifest = hook.function()
        if record.state == "ready":
            with record.guard("validate"):
                record.manifest = check_manifest(manifest)

    def _register(self, name: str, module: ModuleType) -> None:
        self._manager.register(module, name=name)
        for caller in self._manager.get_hookcallers(module) or ():
            if not caller.has_spec():
                known = [n for n in vars(hooks) if n.startswith("zoo_")]
                raise ContractError(f"{caller.name}() is no hook of zoo.{suggest(caller.name, known)}")

    def _implementation(self, hook: str, record: PluginRecord) -> pluggy.HookImpl | None:
        """One plugin's implementation of a hook. pluggy's own call would stop at the first plugin that raises."""
        every = getattr(self._manager.hook, hook).get_hookimpls()
        return next((i for i in every if i.plugin_name == record.name), None)

    def implement(self, hook: str) -> bool:
        """Whether any of those that work implements a hook."""
        return any(record.state == "ready" and self._implementation(hook, record) for record in self.records)

    def first(self, name: str, **arguments: Any) -> Any:
        """The first plugin's answer to a hook that is not None; where one raises, the next is asked.

        Raises:
            PluginError: no plugin answered and one of them raised while it tried.
        """
        failed: PluginError | None = None
        for record in self.records:
            hook = self._implementation(name, record) if record.state == "ready" else None
            if hook is None:
                continue
            try:
                answer = hook.function(*(arguments[given] for given in hook.argnames))
            except (Exception, SystemExit) as e:  # noqa: BLE001  another plugin may serve it; if none does, it is raised
                from zoo.files import redacted  # lists need none of it

                what = next(iter(arguments.values()))
                reason = f"Plugin {record.name!r} failed to open {redacted(what)}: {told(e)}"
                failed = failed or PluginError(reason)
                failed.__cause__ = failed.__cause__ or e
                continue
            if answer is not None:
                return answer
        if failed:
            raise failed
        return None


def check_builders(record: PluginRecord) -> None:
    """Complain of builders that are surely not there; for ``zoo doctor``, since it takes reading their source.

    Nothing is imported. A name counts as there if the module's text has it, or makes names in ways that cannot be read.
    """
    if record.manifest is None or record.complaint:
        return
    sources: dict[str, str | None] = {}
    missing = []
    for spec in record.manifest.models:
        module, _, name = spec.builder.partition(":")
        if module not in sources:
            sources[module] = _source(module)
        source = sources[module]
        if source is None:
            missing.append(f"{spec.name}'s builder is in {module}, which is not there")
        elif source and not re.search(rf"\b{name}\b|import \*|__getattr__|globals\(\)|setattr\(|exec\(", source):
            missing.append(f"{spec.name}'s builder {name} is not in {module}")
    if missing:
        record.stage = "build"
        record.complaint = "; ".join(missing[:3]) + (f"; and {len(missing) - 3} more" if len(missing) > 3 else "")


def _source(module: str) -> str | None:
    """The text of a module that is not imported for it: None if there is no such module, "" if it has no text."""
    path: Sequence[str] | None = None
    found: ModuleSpec | None = None
    try:
        for name in itertools.accumulate(module.split("."), "{}.{}".format):
            loaded = getattr(sys.modules.get(name), "__spec__", None)
            every = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
            found = loaded or next((spec for spec in every if spec is not None), None)
            if found is None:
                return None
            path = found.submodule_search_locations or []
        return getattr(found and found.loader, "get_source", lambda name: None)(module) or ""
    except Exception:  # noqa: BLE001  importing it will say what is wrong
        return ""


lock = threading.RLock()  # the registry's too: two locks could be taken in two orders
_plugins: Plugins | None = None
_discovering = False


def get_plugins() -> Plugins:
    """The plugins, discovered at the first call.

    Raises:
        PluginError: ``ZOO_STRICT=1`` is set and a plugin failed.
        ContractError: a plugin asks while it is being asked itself.
    """
    global _plugins
    with lock:
        if _discovering:
            raise ContractError("the registry was used while plugins are being listed; use it in the builders")
        if _plugins is None:
            filters = warnings.filters[:]
            _plugins = Plugins()
            # Only now that all is in place: a program that turns warnings into errors finds the registry complete.
            for record in _plugins.records:
                if record.state == "failed" and os.environ.get("ZOO_STRICT", "0") not in ("", "0"):
                    _plugins = None
                    raise PluginError(record.explain()) from record.error
            with warnings.catch_warnings():
                warnings.filters[:] = filters  # type: ignore[index]  # no plugin silences what is said of another
                for record in _plugins.records:
                    if record.state == "failed" or record.complaint:
                        warnings.warn(record.explain(), PluginWarning, stacklevel=4)
        return _plugins


def forget() -> None:
    """Discover anew at the next call: plugins may have been installed or removed."""
    global _plugins
    with lock:
        importlib.invalidate_caches()
        _plugins = None


def open_weights(url: str, progress: bool = True) -> Path | None:
    """Ask the plugins for a URL scheme that core does not serve; None if no plugin does."""
    path = get_plugins().first("zoo_open_weights", url=url, progress=progress)
    return None if path is None else Path(str(path))


def fetch(url: str | os.PathLike[str], **options: Any) -> Path:
    """:func:`zoo.files.fetch`, with the plugins asked for schemes that core does not serve."""
    from zoo import files  # lists need none of it

    return files.fetch(url, **options, open_foreign=open_weights)
