"""The manifest: well-known checkpoints, one model per task for all others, and the tasks. No torch."""

from __future__ import annotations

from pathlib import Path

import zoo
from zoo import Default, Manifest, Metric, ModelSpec, Option, Repository, TaskSpec
from zoo_transformers.catalogue import CATALOGUE
from zoo_transformers.repositories import SERVED, open_folder

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def task(
    name: str,
    implementation: str,
    *,
    metrics: tuple[Metric, ...] = (),
    options: tuple[Option, ...] = (),
    **provides: str,
) -> TaskSpec:
    """A task on pictures; only pictures of the same prepared size are batched."""
    return TaskSpec(
        name,
        f"zoo_transformers.tasks:{implementation}",
        metrics=metrics,
        options=options,
        provides={"export": "zoo_transformers.export:export", **provides},
        suffixes=PICTURES,
        same_size=True,
        required=("transforms",),
    )


DETECTION = {"evaluate": "zoo_detection.evaluation:CocoEvaluator", "data": "zoo_detection.data:READERS"}
DETECTION["coco"] = "zoo_detection.task:for_coco"
SEGMENTATION = {"evaluate": "zoo_segmentation.evaluation:ClassMaps", "data": "zoo_segmentation.data:READERS"}
BOX_MAP, MASK_MAP = Metric("box_map", "Box mAP"), Metric("mask_map", "Mask mAP")
KNOWN_AS = ("threshold", "thresh", "conf", "confidence", "score_threshold")  # of other libraries
MIN_SCORE = Option("min_score", float, 0.5, "Minimum score of objects.", known_as=KNOWN_AS)
PANOPTIC_SCORE = Option("min_score", float, 0.8, "Minimum score of segments.", known_as=KNOWN_AS)
IGNORE = Option("ignore_index", int, 255, "Class of pixels that are ignored.", verb="evaluate")

TASKS = (
    task(
        "image-classification",
        "Classifying",
        metrics=(Metric("acc@1", "Acc@1"), Metric("acc@5", "Acc@5")),
        evaluate="zoo_classification.evaluation:evaluate",
        data="zoo_classification.data:READERS",
    ),
    task("object-detection", "Detecting", metrics=(BOX_MAP,), options=(MIN_SCORE,), **DETECTION),
    task(
        "instance-segmentation", "SegmentingInstances", metrics=(BOX_MAP, MASK_MAP), options=(MIN_SCORE,), **DETECTION
    ),
    task(
        "semantic-segmentation",
        "SegmentingClasses",
        metrics=(Metric("miou", "Mean IoU"), Metric("pixel_acc", "Pixelwise Acc")),
        options=(IGNORE,),
        **SEGMENTATION,
    ),
    task("panoptic-segmentation", "SegmentingAll", metrics=(Metric("pq", "PQ"),), options=(PANOPTIC_SCORE,)),
    task(
        "depth-estimation",
        "Measuring",
        metrics=(Metric("abs_rel", "AbsRel", higher_is_better=False), Metric("rmse", "RMSE", higher_is_better=False)),
    ),
    task(
        "image-feature-extraction",
        "Embedding",
        options=(Option("normalize", bool, False, "Normalize embeddings to length 1."),),
    ),
)

# Default models of tasks that only this package provides.
DEFAULTS = {
    "depth-estimation": "Depth-Anything-V2-Small-hf depth-anything-small-hf dpt-large",
    "image-feature-extraction": "dinov2-small dinov2-base",
    "panoptic-segmentation": "mask2former-swin-tiny-coco-panoptic detr-resnet-50-panoptic",
}

PUBLIC = {
    "Depth": "zoo_transformers.results",
    "PanopticSegmentation": "zoo_transformers.results",
    "ImageEmbedding": "zoo_classification.embedding",
    "Processor": "zoo_transformers.image_processing",
    **{kind.builder: "zoo_transformers.models" for kind in SERVED},
}


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_transformers`` → its module."""
    return PUBLIC


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    generic = [
        ModelSpec(kind.name, f"zoo_transformers.models:{kind.builder}", task=kind.tasks, family="any")
        for kind in SERVED
    ]
    return Manifest(
        api_version=1,
        models=[*CATALOGUE.models("zoo_transformers.models", family="checkpoints"), *generic],
        tasks=TASKS,
        defaults={task: [Default(name) for name in names.split()] for task, names in DEFAULTS.items()},
        presets={
            "zoo_transformers.image_processing:Processor": "zoo_transformers.catalogue:in_words",
            "zoo_transformers.image_processing:of_repository": "zoo_transformers.catalogue:in_words",
        },
        notes=(
            "If torchvision does not fit the installed torch, zoo's operators are registered for it before "
            "transformers is imported (zoo.compat.torchvision_operators). Only JSON and safetensors files are read.",
        ),
    )


@zoo.hookimpl
def zoo_open_repository(path: Path) -> Repository | None:
    return open_folder(path)
