"""The manifest: twelve published detectors, five of their families on any backbone, and three tasks. No torch here."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import zoo
from zoo import Manifest, Metric, ModelSpec, TaskSpec, WeightsEnum


class Family(NamedTuple):
    """The models of one paper. ``retinanet_resnet50_fpn``'s weights are RetinaNet_ResNet50_FPN_Weights, in
    ``weights/MODULE.py``."""

    module: str
    public: str  # classes that the module offers beside its builders
    tasks: tuple[str, ...]
    paper: str
    arxiv: str
    builders: str
    generic: str = ""  # the builder that takes any backbone, and has no weights


BOXES, MASKS, KEYPOINTS = "object-detection", "instance-segmentation", "keypoint-detection"

# fmt: off
FAMILIES = (
    Family("faster_rcnn", "FasterRCNN FastRCNNConvFCHead FastRCNNPredictor TwoMLPHead", (BOXES,),
           "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", "1506.01497",
           "fasterrcnn_resnet50_fpn fasterrcnn_resnet50_fpn_v2 fasterrcnn_mobilenet_v3_large_fpn "
           "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn"),
    Family("fcos", "FCOS FCOSHead FCOSClassificationHead FCOSRegressionHead", (BOXES,),
           "FCOS: Fully Convolutional One-Stage Object Detection", "1904.01355",
           "fcos_resnet50_fpn", "fcos"),
    Family("retinanet", "RetinaNet RetinaNetHead RetinaNetClassificationHead RetinaNetRegressionHead", (BOXES,),
           "Focal Loss for Dense Object Detection", "1708.02002",
           "retinanet_resnet50_fpn retinanet_resnet50_fpn_v2", "retinanet"),
    Family("ssd", "SSD SSDHead SSDClassificationHead SSDRegressionHead", (BOXES,),
           "SSD: Single Shot MultiBox Detector", "1512.02325",
           "ssd300_vgg16"),
    Family("ssdlite", "SSDLiteHead", (BOXES,),
           "Searching for MobileNetV3", "1905.02244",
           "ssdlite320_mobilenet_v3_large"),
    Family("mask_rcnn", "MaskRCNN MaskRCNNHeads MaskRCNNPredictor", (MASKS, BOXES),
           "Mask R-CNN", "1703.06870",
           "maskrcnn_resnet50_fpn maskrcnn_resnet50_fpn_v2", "maskrcnn"),
    Family("keypoint_rcnn", "KeypointRCNN KeypointRCNNHeads KeypointRCNNPredictor", (KEYPOINTS, BOXES),
           "Mask R-CNN", "1703.06870",
           "keypointrcnn_resnet50_fpn", "keypointrcnn"),
)

PARTS = {
    "anchors": "AnchorGenerator DefaultBoxGenerator",
    "backbones": "BackboneWithFPN FPNBackbone mobilenet_backbone resnet_fpn_backbone",
    "coco": "COCO_IDS COCO_INDEX",
    "coding": "BoxCoder BoxLinearCoder",
    "detector": "Detector",
    "masks": "paste_masks",
    "matching": "BalancedPositiveNegativeSampler Matcher SSDMatcher",
    "roi_heads": "RoIHeads",
    "rpn": "RPNHead RegionProposalNetwork",
    "targets": "TargetProblem check_targets",
    "task": "Detection",
    "transform": "GeneralizedRCNNTransform ImageList",
}
# fmt: on


def task(name: str, *metrics: Metric) -> TaskSpec:
    return TaskSpec(
        name,
        metrics=metrics,
        load="zoo_detection.task:load",
        collate="zoo_detection.task:collate",
        decode="zoo_detection.task:decode",
        evaluate="zoo_detection.evaluation:CocoEvaluator",
        export="zoo_detection.export:export",
        suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    )


BOX_MAP = Metric("box_map", "Box MAP")
TASKS = (
    task(BOXES, BOX_MAP),
    task(MASKS, BOX_MAP, Metric("mask_map", "Mask MAP")),
    task(KEYPOINTS, BOX_MAP, Metric("kp_map", "Keypoint MAP")),
)


def weights_of(family: Family) -> dict[str, type[WeightsEnum]]:
    """Builder → the enum of its weights, for the published models of ``family``."""
    module = importlib.import_module(f"zoo_detection.weights.{family.module}")
    enums = {name.removesuffix("_Weights").lower(): enum for name, enum in vars(module).items()}
    return {builder: enums[builder] for builder in family.builders.split()}


def public_names() -> dict[str, str]:
    """Every name that ``zoo_detection`` offers (classes, builders, weights) → the module that it comes from."""
    names: dict[str, str] = {}
    for module, parts in PARTS.items():
        names |= dict.fromkeys(parts.split(), f"zoo_detection.{module}")
    for family in FAMILIES:
        names |= dict.fromkeys([*family.public.split(), *family.builders.split()], f"zoo_detection.{family.module}")
        names |= {enum.__name__: enum.__module__ for enum in weights_of(family).values()}
    return names


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=[
            ModelSpec(
                builder,
                f"zoo_detection.{family.module}:{builder}",
                task=family.tasks,
                weights=weights_of(family).get(builder),
                paper=f"{family.paper}, https://arxiv.org/abs/{family.arxiv}",
                capture=False,  # how many objects there are depends on the picture
            )
            for family in FAMILIES
            for builder in (*family.builders.split(), *family.generic.split())
        ],
        tasks=TASKS,
    )
