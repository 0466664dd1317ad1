"""Results drawn into pictures."""

from __future__ import annotations

from zoo.draw.canvas import FIRST, INK, MARGIN, OTHERS, PAPER, class_color, font, legible
from zoo.draw.charts import PANEL, ROW, SHEET, TRACK, bar_chart, contact_sheet, label_image
from zoo.draw.detection import PERSON_SKELETON, bounding_boxes, keypoints
from zoo.draw.flow import flow_arrows, flow_to_image, warped_difference
from zoo.draw.segmentation import segmentation_masks, segmentation_overlay, voc_palette

__all__ = [
    "FIRST",
    "INK",
    "MARGIN",
    "OTHERS",
    "PANEL",
    "PAPER",
    "PERSON_SKELETON",
    "ROW",
    "SHEET",
    "TRACK",
    "bar_chart",
    "bounding_boxes",
    "class_color",
    "contact_sheet",
    "flow_arrows",
    "flow_to_image",
    "font",
    "keypoints",
    "label_image",
    "legible",
    "segmentation_masks",
    "segmentation_overlay",
    "voc_palette",
    "warped_difference",
]
