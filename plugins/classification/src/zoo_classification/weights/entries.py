"""What the ImageNet-1K entries of all families have in common. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo import Preset, Weights

IMAGENET_1K = "pkg://zoo_classification/categories/imagenet_1k.txt"

# Where the recipes are described: a heading of the training scripts' page, or the issue on the newer recipe.
REFERENCES = "https://github.com/pytorch/vision/tree/main/references/classification"
NEW_RECIPE = "https://github.com/pytorch/vision/issues/3995#new-recipe"

# Licences, each defined once. A licence that no source states is unknown: torchvision's code licence does not cover its
# files. timm 1.0.31, read in November 2026, records bsd-3-clause for 39 of the 44 checkpoints that it takes from
# torchvision: those of VGG, of ResNet and its variants, and RegNet's second ones. For DenseNet and Inception it has
# only its own code's default, apache-2.0, so these stay unknown.
BSD = "BSD-3-Clause"
TIMM = {"license_source": "the pretrained configurations of timm 1.0.31, read in 2026-11"}
# From the authors' licence file, which torchvision's ``meta["license"]`` links to, and from timm 1.0.31.
SWAG_LICENSE = "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"
CC_BY_NC = "CC-BY-NC-4.0"
SWAG = {"license": SWAG_LICENSE, "license_source": f"{SWAG_LICENSE}, as of 2026-11"}

SIMPLE = "Trained from scratch with a simple recipe; about as accurate as the paper's."
STRONGER = "Trained from scratch with the newer recipe, or a variation of it: longer, with stronger regularisation."


def imagenet1k(
    file: str,
    *,
    params: int,
    acc: tuple[float, float],
    gflops: float,
    mb: float,
    recipe: str,
    crop: int = 224,
    resize: int = 256,
    interpolation: str = "bilinear",
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    min_size: int = 1,
    categories: str | None = IMAGENET_1K,
    license: str = "unknown",  # noqa: A002  (the field's name)
    docs: str = "",
    config: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Weights:
    """Weights for the 1,000 classes of ImageNet-1K, as one line of a table.

    Args:
        file: name of the file on download.pytorch.org.
        params: number of parameters.
        acc: (top-1, top-5) accuracy in percent on the validation set, with a single crop.
        gflops: billions of multiply-adds at the evaluation size.
        mb: size of the file in MB (2**20 bytes).
        recipe: link to how they were trained.
        crop: side of the centre crop in pixels, after the shorter side was resized to ``resize``.
        mean: mean of the three channels for the normalisation; by default the preset's, ImageNet's. ``std`` likewise.
        min_size: smallest height and width that the model accepts.
        config: builder arguments in addition to ``num_classes=1000``.
        extra: as in :class:`zoo.Weights`.
    """
    preset: dict[str, Any] = {"crop_size": crop, "resize_size": resize, "interpolation": interpolation}
    preset |= {name: value for name, value in (("mean", mean), ("std", std)) if value}
    return Weights(
        url=f"https://download.pytorch.org/models/{file}",
        transforms=Preset("zoo.transforms:ImageClassification", preset),
        config={"num_classes": 1000, **(config or {})},
        num_params=params,
        metrics={"ImageNet-1K": {"acc@1": acc[0], "acc@5": acc[1]}},
        gflops=gflops,
        file_size=mb,
        categories=categories,
        recipe=recipe,
        license=license,
        min_size=(min_size, min_size),
        docs=docs,
        extra={**(extra or {}), **({} if categories else {"categories": None})},
    )


swag_end_to_end = partial(
    imagenet1k,
    interpolation="bicubic",
    recipe="https://github.com/facebookresearch/SWAG",
    license=CC_BY_NC,
    extra=SWAG,
    docs="Pre-trained on hashtags (SWAG), then tuned end to end on ImageNet-1K.",
)
swag_linear = partial(
    imagenet1k,
    resize=224,
    interpolation="bicubic",
    recipe="https://github.com/pytorch/vision/pull/5793",
    license=CC_BY_NC,
    extra=SWAG,
    docs="Pre-trained on hashtags (SWAG) and frozen; a linear classifier was trained on top, on ImageNet-1K.",
)
