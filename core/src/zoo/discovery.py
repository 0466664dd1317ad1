"""Finding plugins and asking them what they offer, each inside a guard of its own.

A plugin passes through the stages scan → import → register → manifest → validate; what goes wrong in one stays in its
:class:`PluginRecord`, is warned of once, and explained by ``zoo doctor``. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pluggy

from zoo import hookspecs
from zoo.contract import Manifest, check_manifest, check_name
from zoo.errors import ContractError, PluginError, PluginWarning, suggest
from zoo.first_party import BY_DISTRIBUTION

GROUP = "zoo.plugins"
SLOW_IMPORT = 1.0  # seconds after which a plugin is told that listing should be free


@dataclass
class PluginRecord:
    """What is known of one plugin.

    Attributes:
        name: of the entry point; the first half of its models' full names.
        target: the module that the entry point names.
        distribution: the installed distribution it came with.
        version: that distribution's version.
        state: ``"ready"``, ``"failed"`` or ``"disabled"``.
        stage: the last stage it reached: scan, import, register, manifest, validate or build.
        error: what it raised, if it failed.
        traceback: of that error, as text.
        complaint: what is wrong with a plugin that works all the same, such as importing torch.
        seconds: that it took to import and to answer.
        manifest: what it offers.
    """

    name: str
    target: str = ""
    distribution: str | None = None
    version: str | None = None
    state: str = "ready"
    stage: str = "scan"
    error: BaseException | None = None
    traceback: str = field(default="", repr=False)
    complaint: str = ""
    seconds: float = 0.0
    manifest: Manifest | None = field(default=None, repr=False)

    @property
    def first_party(self) -> bool:
        ours = BY_DISTRIBUTION.get(self.distribution or "")
        return ours is not None and ours.plugin == self.name

    @contextlib.contextmanager
    def guard(self, stage: str) -> Iterator[None]:
        """Run one stage: whatever is raised but Ctrl-C ends in this record instead of in the caller."""
        self.stage = stage
        start = time.perf_counter()
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # noqa: BLE001  SystemExit too: a plugin must not end its user's program
            self.fail(stage, e)
        finally:
            self.seconds += time.perf_counter() - start

    def fail(self, stage: str, error: BaseException) -> None:
        self.state, self.stage, self.error = "failed", stage, error
        self.traceback = "".join(traceback.format_exception(error))

    def explain(self) -> str:
        """One paragraph: what happened, why, and how to silence it."""
        who = f"Plugin {self.name!r}" + (f" ({self.distribution} {self.version})" if self.distribution else "")
        silence = f"Set ZOO_DISABLE_PLUGINS={self.name} to silence this."
        if self.state == "failed":
            reason = f"{type(self.error).__name__}: {self.error}" if self.error else "no reason given"
            return f"{who} was set aside at stage {self.stage!r}: {reason}\nRun `zoo doctor` for more. {silence}"
        if self.complaint:
            return f"{who} works, but {self.complaint}. {silence}"
        return f"{who} is {self.state}."


class Plugins:
    """The installed plugins, in the order in which they claim names: our own first, then by name."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("zoo")
        self._manager.add_hookspecs(hookspecs)
        self.records = list(_scan())
        for record in self.records:
            if record.state == "ready":
                self._load(record)

    def _load(self, record: PluginRecord) -> None:
        """Take one plugin through its stages, as far as it gets."""
        had_torch = "torch" in sys.modules
        with record.guard("import"):
            if (namesake := next((r for r in self.records if r.name == record.name and r.manifest), None)) is not None:
                raise ContractError(
                    f"{namesake.distribution} has a plugin of that name already; one of the two must rename its "
                    "entry point"
                )
            module = importlib.import_module(record.target)
        if record.state == "failed":
            return
        if "torch" in sys.modules and not had_torch:
            record.complaint = "it imports torch when it is listed, which makes listing slow; import it in the builders"
        elif record.seconds > SLOW_IMPORT:
            record.complaint = f"importing it takes {record.seconds:.1f} s; import what is heavy in the builders"
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
        if record.state == "failed" and self._manager.has_plugin(record.name):
            self._manager.unregister(name=record.name)

    def _register(self, name: str, module: ModuleType) -> None:
        self._manager.register(module, name=name)
        for caller in self._manager.get_hookcallers(module) or ():
            if not caller.has_spec():
                known = [n for n in vars(hookspecs) if n.startswith("zoo_")]
                raise ContractError(f"{caller.name}() is no hook of zoo.{suggest(caller.name, known)}")

    def _implementation(self, hook: str, record: PluginRecord) -> pluggy.HookImpl | None:
        """One plugin's implementation of a hook. pluggy's own call would stop at the first plugin that raises."""
        every = getattr(self._manager.hook, hook).get_hookimpls()
        return next((i for i in every if i.plugin_name == record.name), None)

    def open_weights(self, url: str, progress: bool) -> Path | None:
        """The first plugin's answer to ``zoo_open_weights``; where one raises, the next is asked.

        Raises:
            PluginError: no plugin served the URL and one of them raised while it tried.
        """
        arguments = {"url": url, "progress": progress}
        failed: PluginError | None = None
        for record in self.records:
            hook = self._implementation("zoo_open_weights", record) if record.state == "ready" else None
            if hook is None:
                continue
            try:
                path = hook.function(*(arguments[name] for name in hook.argnames))
            except Exception as e:  # noqa: BLE001  another plugin may serve it; if none does, this is raised
                reason = f"Plugin {record.name!r} failed to open {url}: {type(e).__name__}: {e}"
                failed = failed or PluginError(reason)
                failed.__cause__ = failed.__cause__ or e
                continue
            if path is not None:
                return Path(str(path))
        if failed:
            raise failed
        return None


def _names(variable: str) -> set[str]:
    return {name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()}


def _scan() -> Iterator[PluginRecord]:
    """A record for every entry point of the group, our own first, then by name and distribution."""
    from importlib_metadata import distributions

    only, disabled = _names("ZOO_PLUGINS"), _names("ZOO_DISABLE_PLUGINS")
    records: dict[tuple[str, str], PluginRecord] = {}
    for distribution in distributions():
        broken = PluginRecord(name=_path_name(distribution))
        with broken.guard("scan"):
            for entry in distribution.entry_points.select(group=GROUP):
                record = PluginRecord(entry.name, entry.module, distribution.name, distribution.version)
                if (only and entry.name not in only) or entry.name in disabled:
                    record.state = "disabled"
                else:
                    with record.guard("scan"):
                        check_name("plugin", entry.name)
                # A distribution that is on the path twice (in a source tree and installed) counts once, the first.
                records.setdefault((entry.name, distribution.name), record)
        if broken.state == "failed" and not (only or broken.name in disabled):
            records.setdefault((broken.name, ""), broken)
    yield from sorted(records.values(), key=lambda r: (not r.first_party, r.name, r.distribution or ""))


def _path_name(distribution: object) -> str:
    """A name for a distribution whose metadata may be unreadable: its folder's."""
    path = getattr(distribution, "_path", None)
    return Path(str(path)).name if path is not None else repr(distribution)


_lock = threading.RLock()
_plugins: Plugins | None = None


def get_plugins() -> Plugins:
    """The plugins, discovered at the first call.

    Raises:
        PluginError: ``ZOO_STRICT=1`` is set and a plugin failed.
    """
    global _plugins
    with _lock:
        if _plugins is None:
            _plugins = Plugins()
            # Only now that all is in place: a program that turns warnings into errors finds the registry complete.
            for record in _plugins.records:
                if record.state == "failed" and os.environ.get("ZOO_STRICT", "0") not in ("", "0"):
                    _plugins = None
                    raise PluginError(record.explain()) from record.error
            for record in _plugins.records:
                if record.state == "failed" or record.complaint:
                    warnings.warn(record.explain(), PluginWarning, stacklevel=4)
        return _plugins


def forget() -> None:
    """Discover anew at the next call: plugins may have been installed or removed."""
    global _plugins
    with _lock:
        importlib.invalidate_caches()
        _plugins = None


def open_weights(url: str, *, progress: bool = True) -> Path | None:
    """Ask the plugins for a URL scheme that core does not serve; None if no plugin does."""
    return get_plugins().open_weights(url, progress)
