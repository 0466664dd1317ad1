"""The manifest: timm's architectures. No torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest
from zoo_timm.weights import CATALOGUE, EVALUATION

CLASSES, FEATURES = "image-classification", "image-feature-extraction"  # both tasks are provided by zoo-classification


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=CATALOGUE.models("zoo_timm.models", task=CLASSES),
        defaults={FEATURES: [Default("vit_small_patch14_dinov2"), Default("vit_base_patch14_dinov2")]},
        presets={EVALUATION: "zoo_timm.weights:in_words"},
        notes=(
            "If torchvision does not fit the installed torch, zoo's operators are registered for it before timm is "
            "imported (zoo.compat.torchvision_operators).",
        ),
    )
