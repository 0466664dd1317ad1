"""The record of one plugin, and the guard in which each of its stages runs."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from zoo.contract import Manifest, short
from zoo.errors import PluginError, harmless, told
from zoo.registry.first_party import BY_DISTRIBUTION
from zoo.registry.undisturbed import is_ctrl_c

LOCAL = "local"  # for models registered in a session; no plugin can have this name


@dataclass
class PluginRecord:
    """The record of one plugin.

    Attributes:
        name: of the entry point; the first half of its models' full names.
        target: the module that the entry point names.
        distribution: the installed distribution it came with.
        version: that distribution's version.
        state: ``"ready"``, ``"failed"`` or ``"disabled"``.
        stage: the last stage it reached: scan, import, register, manifest, validate or build.
        error: the exception, if it failed; ``reason`` is its type and message as text, ``traceback`` its traceback.
        complaint: a problem of a plugin that works, such as importing torch.
        seconds: duration of its import and its hook.
        manifest: its manifest.
    """

    name: str
    target: str = ""
    distribution: str | None = None
    version: str | None = None
    state: str = "ready"
    stage: str = "scan"
    error: BaseException | None = None
    reason: str = ""
    traceback: str = field(default="", repr=False)
    complaint: str = ""
    seconds: float = 0.0
    manifest: Manifest | None = field(default=None, repr=False)

    @property
    def first_party(self) -> bool:
        ours = BY_DISTRIBUTION.get(self.distribution or "")
        return ours is not None and ours.plugin == self.name and self.target.split(".")[0] in ("", ours.package)

    @contextlib.contextmanager
    def guard(self, stage: str) -> Iterator[None]:
        """Run one stage: exceptions, except Ctrl-C, are stored in this record instead of being raised."""
        self.stage = stage
        start = time.perf_counter()
        error: BaseException | None = None
        try:
            yield
        except BaseException as e:  # noqa: BLE001  SystemExit too: a plugin must not end its user's program
            error = e
        self.seconds += time.perf_counter() - start
        if is_ctrl_c(error):
            who = f"plugin {short(self.name)} was listed, at stage {stage!r}"
            raise KeyboardInterrupt(f"{who}. ZOO_DISABLE_PLUGINS={self.name} leaves it out.") from error
        if error is not None:
            self.fail(stage, error)

    def fail(self, stage: str, error: BaseException) -> None:
        self.reason = told(error)
        try:  # its message is made by plugin code too, which may raise or exit
            str(error)
            self.traceback = "".join(traceback.format_exception(error))
        except BaseException:  # noqa: BLE001
            error = PluginError(self.reason)
            self.traceback = self.reason
        self.state, self.stage, self.error = "failed", stage, error

    def complain_of_build(self, error: BaseException) -> None:
        """Record a builder that cannot be loaded; the plugin's other models may still work."""
        self.fail("build", error)
        self.state, self.complaint = "ready", f"one of its builders cannot be loaded ({self.reason})"

    def explain(self) -> str:
        """One paragraph: what happened, why, and how to silence it."""
        who = f"Plugin {short(self.name)}" + (f" ({self.distribution} {self.version})" if self.distribution else "")
        text, silence = f"{who} is {self.state}.", f"Set ZOO_DISABLE_PLUGINS={self.name} to silence this."
        if self.state == "failed":
            reason = self.reason or "no reason given"
            text = (
                f"{who} failed at stage {self.stage!r} and is not used: {reason}\nRun `zoo doctor` for more. {silence}"
            )
        elif self.complaint:
            text = f"{who} works, but {self.complaint}. {silence}"
        return harmless(text)
