"""Detectors for ``zoo``: every builder, model class, part and weights enum, imported when first used.

``zoo_detection.fcos`` and ``.retinanet`` are modules; to call the builders of the same names, which take any backbone,
use ``zoo.get_model("fcos", backbone=…)``.
"""

from __future__ import annotations

from zoo.contract.families import lazy_package

_MODULES = (
    "anchors backbones coco coding detector faster_rcnn fcos keypoint_rcnn losses mask_rcnn masks matching retinanet "
    "roi_heads rpn ssd ssdlite targets task transform"
)
__getattr__, __dir__ = lazy_package(__name__, modules=_MODULES.split())
