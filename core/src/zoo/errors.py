"""Every error and warning of the project. Each message says what was given, what was expected, and what to do.

Errors also derive from the builtin class that a caller would have caught anyway (``ValueError``, ``KeyError``,
``OSError``, …), so code that was written for another library keeps working.
"""

from __future__ import annotations

import contextlib
import difflib
import threading
import unicodedata
import warnings
from collections.abc import Iterable, Iterator


def harmless(text: object, *, line: bool = False) -> str:
    """``text`` with what a terminal would obey or hide written out: ``\\x1b`` in place of the character.

    Control characters, marks that turn the direction of writing or take no room, and halves of surrogate pairs, as
    file names, labels and the texts of plugins may hold. Every message of zoo and all that its commands print passes
    through here; plugins may use it for what they print.

    Args:
        line: write out tabs and ends of lines too, so that a name cannot look like several lines.
    """
    text = str(text)
    if text.isprintable():
        return text
    kept = "" if line else "\n\t"
    return "".join(
        c if c.isprintable() or c in kept or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


def told(error: BaseException) -> str:
    """``ValueError: what was wrong``, also of an error whose message is code of a plugin that raises, or exits."""
    try:
        return harmless(f"{type(error).__name__}: {error}")
    except BaseException as e:  # noqa: BLE001  SystemExit too
        return f"{type(error).__name__}, whose message cannot be shown ({type(e).__name__})"


class ZooError(Exception):
    """Base class of every error raised by zoo."""

    def __str__(self) -> str:  # KeyError would show the repr of its message
        return harmless(self.args[0]) if self.args else ""


class ZooWarning(UserWarning):
    """Base class of every warning issued by zoo, deprecations aside."""

    def __str__(self) -> str:
        return harmless(super().__str__())


class ContractError(ZooError, ValueError):
    """A plugin, manifest, weights enum or task that does not follow the contract."""


class PluginError(ZooError, RuntimeError):
    """A plugin that failed, asked for by name or in strict mode. ``__cause__`` is what it raised."""


class UnknownModel(ZooError, ValueError, KeyError):
    """No model of that name."""


class AmbiguousModel(UnknownModel):
    """Several plugins have a model of that bare name; the full names are in the message."""


class UnknownWeights(ZooError, ValueError, KeyError):
    """No weights of that name for this model."""


class UnknownTask(ZooError, ValueError, KeyError):
    """No installed plugin serves that task."""


class NoDefault(UnknownModel):
    """A task was named and no model, and no default of that task can be taken; the message says what to do."""


class MissingPlugin(ZooError, ImportError):
    """A plugin, or a package that only some uses need, is not installed; the message says which to install."""


class InvalidArgument(ZooError, ValueError):
    """An argument of the wrong type or outside its range."""


class InvalidKind(InvalidArgument, TypeError):
    """An argument of another kind than is taken: a number for a picture, integers for floating point."""


class InvalidOperand(InvalidArgument, RuntimeError):
    """A tensor of a shape, type or device that an operator does not take."""


class InvalidTargets(InvalidArgument, AssertionError):
    """Targets that a model cannot be trained on."""


class CheckpointError(ZooError, RuntimeError):
    """A file that is no checkpoint, or whose keys or shapes do not fit the model."""


class DownloadError(ZooError, OSError):
    """A file that could not be fetched, or whose content is not what its name promises."""


class MissingExtra(DownloadError):
    """A file of a package that is not installed: it comes with an extra of one that is, which the message names."""


class OfflineError(DownloadError):
    """A file that is not in the cache while ``ZOO_OFFLINE`` forbids to fetch it, or one to be pushed."""


class PolicyError(DownloadError):
    """A file that ``ZOO_POLICY``, its variables or ``ZOO_LOCK`` do not allow."""


class UploadError(ZooError, OSError):
    """A model that could not be pushed to the hub."""


class UnreadableFile(ZooError, OSError, RuntimeError):
    """A picture or video that cannot be decoded."""


class NonFiniteResult(ZooError, ArithmeticError):
    """A model's numbers for an input are NaN or infinite: they are no answer."""


class TrainingWarning(ZooWarning):
    """Held-out inputs that the figures of a training run do not count."""


class EvaluationError(ZooError, RuntimeError):
    """An evaluation that could not go on; the records of finished inputs are kept."""


class TrainingError(ZooError, RuntimeError):
    """A training run that could not go on; its last good checkpoint is kept."""


class EngineError(ZooError, RuntimeError):
    """A model that an engine, or a precision, cannot compute, or computes with other results than are tolerated."""


class ExportError(ZooError, RuntimeError):
    """A model that cannot be captured as a graph; ``__cause__`` is what torch raised."""


class PluginWarning(ZooWarning):
    """A plugin was set aside, or one of its names is shadowed."""


class CacheWarning(ZooWarning):
    """Something about the cache deserves attention, and loading went on."""


class FolderWarning(ZooWarning):
    """A folder among those that were searched cannot be read."""


class WeightsWarning(ZooWarning):
    """Weights were loaded in a way that changes what the model computes."""


def listed(what: str, problems: Iterable[str], limit: int = 20) -> str:
    """``what`` and a line for each problem, as far as there are no more than ``limit``."""
    lines = list(problems)
    more = [f"… and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n  ".join([what, *lines[:limit], *more])


def suggest(given: str, known: Iterable[str], n: int = 3) -> str:
    """`` Did you mean a, b or c?`` for names close to ``given``, else an empty string; made to be appended."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = [lowered[m] for m in difflib.get_close_matches(given.lower(), lowered, n=n, cutoff=0.6)]
    if not close:
        return ""
    *head, last = (repr(name) for name in close)
    return f" Did you mean {', '.join(head)} or {last}?" if head else f" Did you mean {last}?"


_filters = threading.RLock()


@contextlib.contextmanager
def silenced(*messages: str) -> Iterator[None]:
    """Within, warnings whose text matches one of these regular expressions are not shown.

    The filters of warnings are the whole process's, and two threads that change them at once leave one's behind: so
    one thread is inside at a time.
    """
    with _filters, warnings.catch_warnings():
        for message in messages:
            warnings.filterwarnings("ignore", message=message)
        yield
