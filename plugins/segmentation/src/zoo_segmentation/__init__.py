"""Segmentation models for ``zoo``: every builder, model class and weights enum, imported when first used.

``zoo_segmentation.fcn``, ``.deeplabv3`` and ``.lraspp`` are modules; to call the builders of the same names, which take
any backbone, use ``zoo.get_model("fcn", backbone=…)``.
"""

from __future__ import annotations

from zoo.contract.families import lazy_package

__getattr__, __dir__ = lazy_package(__name__, modules=("deeplabv3", "fcn", "losses", "lraspp", "metrics"))
