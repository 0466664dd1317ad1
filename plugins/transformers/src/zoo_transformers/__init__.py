"""Vision models of Hugging Face's transformers, under zoo's tasks and with its results."""

from __future__ import annotations

from zoo.contract.families import lazy_package

__getattr__, __dir__ = lazy_package(__name__)
