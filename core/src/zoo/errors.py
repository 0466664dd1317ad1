"""Every error and warning of the project. Each message says what was given, what was expected, and what to do.

Errors also derive from the builtin class that a caller would expect (``ValueError``, ``KeyError``,
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
    """``text`` with the characters that a terminal would execute or hide escaped: ``\\x1b`` instead of the character.

    These are control characters, marks of direction or of zero width, and unpaired surrogates, which file names, labels
    and texts of plugins may contain. All messages of zoo and the output of its commands pass through here; plugins may
    use it for their output.

    Args:
        line: escape tabs and line ends too, so that a name cannot look like several lines.
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
    """``ValueError: the message``, also for an error of a plugin whose ``__str__`` raises or exits."""
    try:
        return harmless(f"{type(error).__name__}: {error}")
    except BaseException as e:  # noqa: BLE001  SystemExit too
        return f"{type(error).__name__}, whose message cannot be shown ({type(e).__name__})"


class ZooError(Exception):
    """Base class of every error raised by zoo."""

    def __str__(self) -> str:  # KeyError would show the repr of its message
        return harmless(self.args[0]) if self.args else ""


class ZooWarning(UserWarning):
    """Base class of every warning issued by zoo, except deprecations."""

    def __str__(self) -> str:
        return harmless(super().__str__())


class ContractError(ZooError, ValueError):
    """A plugin, manifest, weights enum or task that does not follow the contract."""


class PluginError(ZooError, RuntimeError):
    """A plugin that failed was requested by name, or strict mode is on. ``__cause__`` is the plugin's exception."""


class UnknownModel(ZooError, ValueError, KeyError):
    """There is no model of this name."""


class AmbiguousModel(UnknownModel):
    """Several plugins have a model of this bare name; the message lists the full names."""


class UnknownWeights(ZooError, ValueError, KeyError):
    """The model has no weights of this name."""


class UnknownTask(ZooError, ValueError, KeyError):
    """No installed plugin has this task."""


class NoDefault(UnknownModel):
    """A task was given without a model, and none of its default models is available; the message says what to do."""


class MissingPlugin(ZooError, ImportError):
    """A plugin or an optional package is not installed; the message says what to install."""


class InvalidArgument(ZooError, ValueError):
    """An argument of the wrong type or outside its range."""


class InvalidKind(InvalidArgument, TypeError):
    """An argument of the wrong type: a number for a picture, integers for floating point."""


class InvalidOperand(InvalidArgument, RuntimeError):
    """A tensor of a shape, type or device that an operator does not support."""


class InvalidTargets(InvalidArgument, AssertionError):
    """Targets that a model cannot be trained on."""


class CheckpointError(ZooError, RuntimeError):
    """A file is not a checkpoint, or its keys or shapes do not fit the model."""


class DownloadError(ZooError, OSError):
    """A file could not be downloaded, or its content does not match the hash in its name."""


class MissingExtra(DownloadError):
    """A file belongs to a package that is not installed; the message names the extra that installs it."""


class OfflineError(DownloadError):
    """A file is not in the cache, or is to be pushed, while ``ZOO_OFFLINE`` is set."""


class PolicyError(DownloadError):
    """A file is not allowed by ``ZOO_POLICY``, its variables or ``ZOO_LOCK``."""


class UploadError(ZooError, OSError):
    """A model that could not be pushed to the hub."""


class UnreadableFile(ZooError, OSError, RuntimeError):
    """A picture or video that cannot be decoded."""


class NonFiniteResult(ZooError, ArithmeticError):
    """The outputs of a model for an input are NaN or infinite."""


class TrainingWarning(ZooWarning):
    """Held-out inputs that the metrics of a training run leave out."""


class EvaluationError(ZooError, RuntimeError):
    """An evaluation could not continue; the records of finished inputs are kept."""


class TrainingError(ZooError, RuntimeError):
    """A training run could not continue; its last good checkpoint is kept."""


class EngineError(ZooError, RuntimeError):
    """An engine or a precision cannot compute a model, or the results differ more than the tolerance."""


class ExportError(ZooError, RuntimeError):
    """A model cannot be captured as a graph; ``__cause__`` is torch's exception."""


class PluginWarning(ZooWarning):
    """A plugin is not used, or one of its names is shadowed."""


class CacheWarning(ZooWarning):
    """A problem with the cache that did not prevent loading."""


class FolderWarning(ZooWarning):
    """A folder cannot be read and was left out of a search."""


class WeightsWarning(ZooWarning):
    """Weights were loaded in a way that changes what the model computes."""


def listed(what: str, problems: Iterable[str], limit: int = 20) -> str:
    """``what``, and one line per problem, at most ``limit``."""
    lines = list(problems)
    more = [f"… and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n  ".join([what, *lines[:limit], *more])


def suggest(given: str, known: Iterable[str], n: int = 3) -> str:
    """`` Did you mean a, b or c?`` for names close to ``given``, else an empty string, to append to a message."""
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
    """A context in which warnings whose text matches one of these regular expressions are not shown.

    Warning filters belong to the process, and two threads that change them together may leave a filter behind. Only one
    thread at a time is inside.
    """
    with _filters, warnings.catch_warnings():
        for message in messages:
            warnings.filterwarnings("ignore", message=message)
        yield
