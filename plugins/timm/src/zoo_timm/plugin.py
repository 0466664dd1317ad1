"""The manifest: timm's architectures. No torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest
from zoo_timm.weights import CATALOGUE, EVALUATION

# Checks of the conformance kit that some of timm's models cannot pass, with the reason.
NO_HASH = "the file is not on the hub, and its name has no hash"
EXCEPTIONS = {
    "gcvit_*:urls": NO_HASH,
    "legacy_*:urls": NO_HASH,
    "vit_giant_patch16_gap_224:urls": NO_HASH,
    "vit_huge_patch1?_gap_*:urls": NO_HASH,
}

CLASSES, FEATURES = "image-classification", "image-feature-extraction"  # both tasks are provided by zoo-classification


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=CATALOGUE.models("zoo_timm.models", task=CLASSES),
        defaults={FEATURES: [Default("vit_small_patch14_dinov2"), Default("vit_base_patch14_dinov2")]},
        presets={EVALUATION: "zoo_timm.weights:in_words"},
        exceptions=EXCEPTIONS,
        notes=(
            "If torchvision does not fit the installed torch, zoo's operators are registered for it before timm is "
            "imported (zoo.compat.torchvision_operators).",
        ),
    )
