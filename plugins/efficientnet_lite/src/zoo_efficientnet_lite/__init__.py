"""EfficientNet-Lite for ``zoo``: its builders, class and weights enums, imported when first used."""

from __future__ import annotations

from zoo.contract.families import lazy_package

__getattr__, __dir__ = lazy_package(__name__)
