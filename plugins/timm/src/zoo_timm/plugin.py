"""The manifest: timm's architectures. No torch here."""

from __future__ import annotations

import zoo
from zoo import Manifest, Option, TaskSpec
from zoo_timm.weights import CATALOGUE, EVALUATION

CLASSES, FEATURES = "image-classification", "image-feature-extraction"
FEATURE_EXTRACTION = TaskSpec(
    FEATURES,
    "zoo_timm.task:FeatureTask",
    options=(Option("normalize", bool, False, "Scale vectors to length 1."),),
    suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    same_size=True,
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=CATALOGUE.models("zoo_timm.models", task=CLASSES),
        tasks=[FEATURE_EXTRACTION],
        presets={EVALUATION: "zoo_timm.weights:in_words"},
        notes=(
            "Before it imports timm, it gives a torchvision that does not fit the installed torch zoo's operators "
            "(zoo.compat.torchvision_operators).",
        ),
    )
