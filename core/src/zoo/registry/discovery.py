"""Discovery of plugins. An error in one does not affect the others.

A plugin passes through the stages scan → import → register → manifest → validate; an error is stored in its record,
gives one warning, and is explained by ``zoo doctor``.
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

SLOW_IMPORT = 1.0  # seconds after which a plugin's import is reported as slow


class Plugins:
    """The installed plugins, in the order of precedence for names: our own first, then by name."""

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
        """Run the stages of one plugin until one fails."""
        had_torch = "torch" in sys.modules
        with process.undoing() as changed:
            self._ask(record)
        if record.state == "failed":
            if self._named.get(record.name) is None and self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            return
        self._named[record.name] = record
        if "torch" in sys.modules and not had_torch:
            record.complaint = "it imports torch when it is listed, which is slow; import torch in the builders"
        elif changed:
            what = " and ".join(changed)
            record.complaint = f"it changes {what} when it is listed, which was undone; do this in the builders"
        elif record.seconds > SLOW_IMPORT:
            record.complaint = f"listing it takes {record.seconds:.1f} s; move slow imports into the builders"

    def _ask(self, record: PluginRecord) -> None:
        with record.guard("import"):
            if (namesake := self._named.get(record.name)) is not None:
                raise ContractError(
                    f"{namesake.distribution} already has a plugin of this name; one of the two must rename its "
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
                raise ContractError(f"{caller.name}() is not a hook of zoo.{suggest(caller.name, known)}")

    def _implementation(self, hook: str, record: PluginRecord) -> pluggy.HookImpl | None:
        """Call one plugin's implementation of a hook. pluggy's own call would stop at the first plugin that raises."""
        every = getattr(self._manager.hook, hook).get_hookimpls()
        return next((i for i in every if i.plugin_name == record.name), None)

    def implement(self, hook: str) -> bool:
        """Whether any working plugin implements a hook."""
        return any(record.state == "ready" and self._implementation(hook, record) for record in self.records)

    def first(self, name: str, **arguments: Any) -> Any:
        """The first result of a hook that is not None; if a plugin raises, the next one is called.

        Raises:
            PluginError: no plugin returned a result and one of them raised.
        """
        failed: PluginError | None = None
        for record in self.records:
            hook = self._implementation(name, record) if record.state == "ready" else None
            if hook is None:
                continue
            try:
                answer = hook.function(*(arguments[given] for given in hook.argnames))
            except (Exception, SystemExit) as e:  # noqa: BLE001  raised below if no other plugin returns a result
                from zoo.files import redacted  # not needed for listing

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
    """Report builders that certainly do not exist; for ``zoo doctor``, since it reads their source.

    Nothing is imported. A name is assumed to exist if the module's source contains it, or creates names dynamically.
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
            missing.append(f"{spec.name}'s builder is in {module}, which does not exist")
        elif source and not re.search(rf"\b{name}\b|import \*|__getattr__|globals\(\)|setattr\(|exec\(", source):
            missing.append(f"{spec.name}'s builder {name} is not in {module}")
    if missing:
        record.stage = "build"
        record.complaint = "; ".join(missing[:3]) + (f"; and {len(missing) - 3} more" if len(missing) > 3 else "")


def _source(module: str) -> str | None:
    """The source of a module, which is not imported: None if there is no such module, "" if it has no source."""
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
    except Exception:  # noqa: BLE001  importing it will report the problem
        return ""


lock = threading.RLock()  # the registry uses it too: two locks could be taken in two orders
_plugins: Plugins | None = None
_discovering = False


def get_plugins() -> Plugins:
    """The plugins, discovered at the first call.

    Raises:
        PluginError: ``ZOO_STRICT=1`` is set and a plugin failed.
        ContractError: a plugin uses the registry while it is being listed.
    """
    global _plugins
    with lock:
        if _discovering:
            raise ContractError("the registry was used while plugins are being listed; use it in the builders")
        if _plugins is None:
            filters = warnings.filters[:]
            _plugins = Plugins()
            # Only now: in a program that turns warnings into errors, the registry is already complete.
            for record in _plugins.records:
                if record.state == "failed" and os.environ.get("ZOO_STRICT", "0") not in ("", "0"):
                    _plugins = None
                    raise PluginError(record.explain()) from record.error
            with warnings.catch_warnings():
                warnings.filters[:] = filters  # type: ignore[index]  # a plugin cannot silence warnings about another
                for record in _plugins.records:
                    if record.state == "failed" or record.complaint:
                        warnings.warn(record.explain(), PluginWarning, stacklevel=4)
        return _plugins


def forget() -> None:
    """Discover plugins again at the next call, since they may have been installed or removed."""
    global _plugins
    with lock:
        importlib.invalidate_caches()
        _plugins = None


def open_weights(url: str, progress: bool = True) -> Path | None:
    """Open a URL whose scheme the core does not support with a plugin; None if no plugin does."""
    path = get_plugins().first("zoo_open_weights", url=url, progress=progress)
    return None if path is None else Path(str(path))


def fetch(url: str | os.PathLike[str], **options: Any) -> Path:
    """:func:`zoo.files.fetch`, with the plugins' URL schemes."""
    from zoo import files  # not needed for listing

    return files.fetch(url, **options, open_foreign=open_weights)
