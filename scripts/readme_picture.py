"""Draw docs/images/photos.jpg, the first picture of the README: predictions of ``zoo predict`` on the photographs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

import zoo
from zoo.draw import contact_sheet, label_image

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "photos.jpg"
SIDE = 200  # side of each photograph in pixels


def sheet() -> Image.Image:
    results = zoo.pipeline("efficientnet_lite0")(ROOT / "examples" / "images" / "photos")
    return contact_sheet([label_image(ImageOps.fit(r.image, (SIDE, SIDE)), r.top(3)) for r in results], columns=1)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    picture = sheet()
    picture.save(PICTURE, quality=90, optimize=True)
    print(PICTURE, picture.size)
