"""Results drawn into pictures."""

from __future__ import annotations

from zoo.draw.canvas import FIRST, INK, MARGIN, OTHERS, PAPER, class_color, class_palette, contrast, font, legible
from zoo.draw.charts import PANEL, ROW, SHEET, TRACK, bar_chart, contact_sheet, label_image
from zoo.draw.detection import PERSON_SIDES, PERSON_SKELETON, bounding_boxes, keypoints
from zoo.draw.flow import error_map, flow_arrows, flow_to_image, flow_wheel, warped_difference, with_wheel
from zoo.draw.legends import LegendItem, ticks, with_caption, with_legend, with_scale
from zoo.draw.segmentation import segment_map, segmentation_masks, segmentation_overlay, voc_palette

Entry = LegendItem  # the former name

__all__ = [
    "FIRST",
    "INK",
    "MARGIN",
    "OTHERS",
    "PANEL",
    "PAPER",
    "PERSON_SIDES",
    "PERSON_SKELETON",
    "ROW",
    "SHEET",
    "TRACK",
    "Entry",
    "LegendItem",
    "bar_chart",
    "bounding_boxes",
    "class_color",
    "class_palette",
    "contact_sheet",
    "contrast",
    "error_map",
    "flow_arrows",
    "flow_to_image",
    "flow_wheel",
    "font",
    "keypoints",
    "label_image",
    "legible",
    "segment_map",
    "segmentation_masks",
    "segmentation_overlay",
    "ticks",
    "voc_palette",
    "warped_difference",
    "with_caption",
    "with_legend",
    "with_scale",
    "with_wheel",
]
