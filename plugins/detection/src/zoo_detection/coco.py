"""COCO's ids: the annotations give 80 categories ids from 1 to 90; ten ids in between are unused.

The published models predict those ids as labels. ``COCO_IDS[i]`` is the id of the i-th category, ``COCO_INDEX[id]`` is
the inverse, from 0 to 79:

>>> COCO_IDS[0], COCO_IDS[79]
(1, 90)
>>> COCO_INDEX[90]
79
"""

from __future__ import annotations

UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(i for i in range(1, 91) if i not in UNUSED_IDS)
COCO_INDEX = {id_: index for index, id_ in enumerate(COCO_IDS)}

KEYPOINT_NAMES = (
    "nose",
    *("left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
