"""The manifest: three image classification models. Does not import torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest
from zoo.contract.families import Family, model_specs, offered_names

TASK = "image-classification"
FAMILIES = (
    Family(
        "efficientnet_lite",
        "EfficientNetLite",
        "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        "1905.11946",
        "efficientnet_lite0 efficientnet_lite1 efficientnet_lite2",
    ),
)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_efficientnet_lite`` (class, builders, weights) → the module that defines it."""
    return offered_names("zoo_efficientnet_lite", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_efficientnet_lite", FAMILIES, TASK)
    return Manifest(
        api_version=1,
        models=models,
        defaults={TASK: [Default(spec.name) for spec in models]},
        capabilities="pkg://zoo_efficientnet_lite/capabilities.json",
    )
