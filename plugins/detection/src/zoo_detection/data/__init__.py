"""Pictures with objects: COCO's JSON, Pascal VOC's XML, YOLO's text files, CSV."""

from __future__ import annotations

from zoo_detection.data.coco import CocoKeypoints, CocoObjects
from zoo_detection.data.objects import BACKGROUND, Objects
from zoo_detection.data.table import TableObjects
from zoo_detection.data.voc import VocObjects
from zoo_detection.data.yolo import YoloObjects

__all__ = [
    "BACKGROUND",
    "KEYPOINT_READERS",
    "READERS",
    "CocoKeypoints",
    "CocoObjects",
    "Objects",
    "TableObjects",
    "VocObjects",
    "YoloObjects",
]

READERS: dict[str, type[Objects]] = {
    "coco": CocoObjects,
    "csv": TableObjects,
    "voc": VocObjects,
    "yolo": YoloObjects,
}
KEYPOINT_READERS: dict[str, type[Objects]] = {**READERS, "coco": CocoKeypoints}
