"""Pictures with one red square each, which COCO's annotations tell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

GREY = 90


def squares(root: Path, n: int) -> Path:
    (root / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    truth: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": 7, "name": "square"}]
    for i in range(n):
        picture = np.full((96, 128, 3), GREY, np.uint8)
        x, y = (int(v) for v in generator.integers(4, 50, 2))
        picture[y : y + 40, x : x + 40] = 220, 40, 30
        Image.fromarray(picture).save(root / "images" / f"{i}.png")
        truth["images"].append({"id": i, "file_name": f"{i}.png", "height": 96, "width": 128})
        box = {"bbox": [x, y, 40, 40], "area": 1600, "iscrowd": 0}
        truth["annotations"].append({"id": i + 1, "image_id": i, "category_id": 7, **box})
    (root / "annotations.json").write_text(json.dumps(truth))
    return root
