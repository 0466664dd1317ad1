"""Vision models of Hugging Face's transformers, with zoo's tasks and results."""

from __future__ import annotations

from zoo.contract.families import lazy_package

__getattr__, __dir__ = lazy_package(__name__)
