"""Image classification in int8 for ``zoo``: its builders, classes and enums, and ``quantize``, imported when first
used."""

from __future__ import annotations

from zoo.contract.families import lazy_package

__getattr__, __dir__ = lazy_package(__name__)
