"""Checks of a command that runs a model, made before torch is imported (a second) and files are downloaded
(minutes)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo import registry
from zoo.contract import TaskSpec
from zoo.errors import InvalidArgument, UnknownWeights, UnreadableFile, ZooError, suggest
from zoo.files.local import local_file
from zoo.files.names import scheme_of
from zoo.io.folders import find_files

KNOWN_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu", "hpu", "xla", "mtia", "meta", "privateuseone")


def check_device(device: str) -> None:
    """Raise if the name cannot be a device of any torch.

    Raises:
        InvalidArgument: it is not the name of a device.
    """
    kind, colon, number = device.partition(":")
    if kind not in KNOWN_DEVICES or (colon and not number.isdecimal()):
        raise InvalidArgument(
            f"--device is {device!r}; expected auto, cpu, cuda, cuda:1 or mps.{suggest(kind, KNOWN_DEVICES)}"
        )


def read_weights(info: registry.ModelInfo, weights: str) -> str | None:
    """The value of ``--weights``, as :func:`zoo.get_model` takes it: weights by any name that a table prints
    (``IMAGENET1K_V2``, ``ResNet50_Weights.IMAGENET1K_V2``, ``resnet50.IMAGENET1K_V2``), ``none``, a file or a URL.

    Raises:
        UnknownWeights, DownloadError: there are no such weights, and no such file.
    """
    if weights.lower() == "none":
        return None
    if info.source is None:
        check_weights(info, weights)
        name = weights_name(info, weights)
        if name in info.weights and not Path(weights).exists():
            return name
    return weights


def needs_weights(weights: str | None, what: str) -> str:
    """``weights``, for a command that requires them.

    Raises:
        InvalidArgument: ``weights`` is None.
    """
    if weights is None:
        raise InvalidArgument(
            f"--weights none: {what} a model with random numbers says nothing. Give the name of weights or a file."
        )
    return weights


def weights_name(info: registry.ModelInfo, weights: str) -> str:
    """``weights`` without the name of the enum, which may precede the member's."""
    return weights if weights in info.weights else weights.partition(".")[2] or weights


def check_weights(info: registry.ModelInfo, weights: str) -> None:
    """Raise if ``weights`` is not the name of any weights, not a URL, and not an existing file.

    Raises:
        UnknownWeights, DownloadError: as loading them would.
    """
    name = weights_name(info, weights)
    if name in info.weights or scheme_of(weights) not in ("", "file") or Path(weights).exists():
        return
    if weights.isidentifier() or weights.removesuffix(f".{name}").endswith("_Weights"):
        # Some builders also load the weights of another model, as int8 models do; the builder checks those.
        others = {entry.spec.weights for entry in registry.registry().entries.values() if entry.spec.weights}
        if not any(name in enum.__members__ for enum in others):
            known = ", ".join(info.weights) or "none are published"
            raise UnknownWeights(
                f"{info.name} cannot load weights={weights!r}: expected one of its weights ({known}), "
                f"a file or a URL.{suggest(name, info.weights)}"
            )
        return
    local_file(weights)


def problems_of(paths: Sequence[str], task: TaskSpec) -> dict[str, ZooError]:
    """The ``paths`` that do not exist, or are folders without a file of the task → what is wrong with them.

    URLs are not checked; the task may know them.
    """
    found: dict[str, ZooError] = {}
    for path in paths:
        try:
            if Path(path).is_dir():
                if not find_files(path, task.suffixes, notes=[]):
                    kinds = ", ".join(task.suffixes)
                    raise InvalidArgument(f"The folder {path} has no inputs; expected files of {kinds}.")
            elif "://" not in path and not Path(path).exists():
                raise UnreadableFile(f"{path!r} cannot be read: it does not exist.")
        except (InvalidArgument, UnreadableFile, OSError) as e:
            found[path] = e if isinstance(e, ZooError) else UnreadableFile(f"{path!r} cannot be read: {e}")
    return found


def find_model(
    model: str, weights: str = "DEFAULT", *, task: str | None = None, device: str = "auto"
) -> tuple[registry.ModelInfo, TaskSpec, str | None]:
    """The meaning of a command's ``MODEL``, ``--weights``, ``--task`` and ``--device``, checked without torch.

    Returns:
        The facts about the model, its task, and the weights as :func:`zoo.get_model` takes them (see
        :func:`read_weights`).

    Raises:
        UnknownModel, UnknownTask, UnknownWeights, DownloadError, CheckpointError, InvalidArgument: one of them is
            wrong.
    """
    info = registry.model_info(model, task=task, weights=weights)
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    check_device(device)
    return info, spec, read_weights(info, weights)


def check_there(option: str, *paths: Path | None) -> None:
    """Raise if one of the files or folders that an option names does not exist.

    Raises:
        UnreadableFile: it does not exist.
    """
    for path in paths:
        if path is not None and not path.exists():
            raise UnreadableFile(f"{option}: there is no {str(path)!r}.")
