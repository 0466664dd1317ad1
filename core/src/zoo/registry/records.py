"""What is known of one plugin, and the guard that each of its stages runs in."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from zoo.contract import Manifest, short
from zoo.errors import PluginError
from zoo.registry.first_party import BY_DISTRIBUTION

LOCAL = "local"  # what a session registers itself; no plugin can have that name


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
        self.traceback = "".join(traceback.format_exception(error))
        try:
            str(error)
        except Exception as e:  # noqa: BLE001  its message is plugin code too, and every report would run it again
            error = PluginError(f"{type(error).__name__}, whose message cannot be shown ({type(e).__name__})")
        self.state, self.stage, self.error = "failed", stage, error

    def complain_of_build(self, error: BaseException) -> None:
        """Record a builder that cannot be loaded: the plugin's other models may work all the same."""
        self.fail("build", error)
        self.state, self.complaint = "ready", f"a builder of it cannot be loaded ({type(error).__name__}: {error})"

    def explain(self) -> str:
        """One paragraph: what happened, why, and how to silence it."""
        who = f"Plugin {short(self.name)}" + (f" ({self.distribution} {self.version})" if self.distribution else "")
        silence = f"Set ZOO_DISABLE_PLUGINS={self.name} to silence this."
        if self.state == "failed":
            reason = f"{type(self.error).__name__}: {self.error}" if self.error else "no reason given"
            return f"{who} was set aside at stage {self.stage!r}: {reason}\nRun `zoo doctor` for more. {silence}"
        if self.complaint:
            return f"{who} works, but {self.complaint}. {silence}"
        return f"{who} is {self.state}."
