"""Preprocessing by transformers' processors, which also decode the outputs."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

import zoo.compat
from zoo.contract import short
from zoo.errors import CheckpointError, DownloadError, InvalidArgument
from zoo.io import Picture
from zoo.registry import fetch
from zoo.transforms.functional import as_pil
from zoo_transformers.repositories import processor_settings, read_json


class Processor:
    """Prepares a picture: a PIL image or a tensor [C, H, W] → float [C, height, width].

    Args:
        settings: the content of ``preprocessor_config.json``.
        model_type: type of the model, used if the settings name no class.

    Raises:
        CheckpointError: transformers does not have this processor, or cannot create it from these settings.
    """

    def __init__(self, settings: dict[str, Any], model_type: str) -> None:
        self.settings, self.model_type = settings, model_type
        self.processor = _made(json.dumps(settings, sort_keys=True), model_type)

    def __call__(self, picture: Picture) -> Tensor:
        prepared = self.processor(images=as_pil(picture).convert("RGB"), return_tensors="pt")
        pixels = prepared.get("pixel_values")
        if not isinstance(pixels, Tensor) or pixels.ndim != 4:
            raise InvalidArgument(
                f"{type(self.processor).__name__} returns {', '.join(prepared)} for a picture; expected pixel_values "
                "[1, C, H, W]. Models that split pictures into parts are not supported."
            )
        return pixels[0]


def of_repository(repository: str) -> Processor:
    """The processor of a repository of the hub, ``org/name`` or ``org/name@revision``; downloads its settings."""
    name, at, revision = repository.partition("@")
    config = fetch(f"hf://{name}/config.json{at}{revision}")
    return Processor(
        fetched_settings(config.parent, name, at + revision) or {}, (read_json(config) or {})["model_type"]
    )


def fetched_settings(folder: Path, name: str, at: str) -> dict[str, Any] | None:
    """The preprocessing of a repository of the hub; the file is downloaded to ``folder``, with the other files.

    Raises:
        DownloadError: neither of the two file names exists, or the download failed.
    """
    try:
        fetch(f"hf://{name}/preprocessor_config.json{at}")
    except DownloadError as first:
        try:
            fetch(f"hf://{name}/processor_config.json{at}")
        except DownloadError:
            raise first from None
    return processor_settings(folder)


@functools.lru_cache(maxsize=16)
def _made(settings: str, model_type: str) -> Any:
    transformers = library()
    with tempfile.TemporaryDirectory() as folder, quietly():
        Path(folder, "preprocessor_config.json").write_text(settings)
        Path(folder, "config.json").write_text(json.dumps({"model_type": model_type}))
        try:
            return transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        except Exception as e:
            raise CheckpointError(
                f"transformers cannot create an image processor from {short(json.loads(settings))} for {model_type!r}: "
                f"{str(e).splitlines()[0]}"
            ) from e


def library() -> Any:
    """Import transformers, after fixing a torchvision that does not fit torch: otherwise no model can be imported."""
    zoo.compat.torchvision_operators()
    import transformers

    return transformers


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress messages and progress bars of transformers: zoo shows its own."""
    logging = library().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
