"""The manifest: twelve published detectors, five of their families on any backbone, and three tasks. No torch
import."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest, Metric, Option, Preset, TaskSpec
from zoo.contract.families import Family, model_specs, offered_names

BOXES, MASKS, KEYPOINTS = "object-detection", "instance-segmentation", "keypoint-detection"

# fmt: off
FAMILIES = (
    Family("faster_rcnn", "FasterRCNN FastRCNNConvFCHead FastRCNNPredictor TwoMLPHead",
           "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", "1506.01497",
           "fasterrcnn_resnet50_fpn fasterrcnn_resnet50_fpn_v2 fasterrcnn_mobilenet_v3_large_fpn "
           "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn"),
    Family("fcos", "FCOS FCOSHead FCOSClassificationHead FCOSRegressionHead",
           "FCOS: Fully Convolutional One-Stage Object Detection", "1904.01355",
           "fcos_resnet50_fpn", "fcos"),
    Family("retinanet", "RetinaNet RetinaNetHead RetinaNetClassificationHead RetinaNetRegressionHead",
           "Focal Loss for Dense Object Detection", "1708.02002",
           "retinanet_resnet50_fpn retinanet_resnet50_fpn_v2", "retinanet"),
    Family("ssd", "SSD SSDHead SSDClassificationHead SSDRegressionHead",
           "SSD: Single Shot MultiBox Detector", "1512.02325",
           "ssd300_vgg16"),
    Family("ssdlite", "SSDLiteHead",
           "Searching for MobileNetV3", "1905.02244",
           "ssdlite320_mobilenet_v3_large"),
    Family("mask_rcnn", "MaskRCNN MaskRCNNHeads MaskRCNNPredictor",
           "Mask R-CNN", "1703.06870",
           "maskrcnn_resnet50_fpn maskrcnn_resnet50_fpn_v2", "maskrcnn", task=(MASKS, BOXES)),
    Family("keypoint_rcnn", "KeypointRCNN KeypointRCNNHeads KeypointRCNNPredictor",
           "Mask R-CNN", "1703.06870",
           "keypointrcnn_resnet50_fpn", "keypointrcnn", task=(KEYPOINTS, BOXES)),
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


# Names of the option in other libraries.
KNOWN_AS = ("threshold", "thresh", "conf", "confidence", "score", "score_threshold", "min_confidence", "box_thresh")
OPTIONS = (
    Option(
        "min_score",
        float,
        0.5,
        "Objects with a lower score are neither printed nor drawn.",
        known_as=KNOWN_AS,
    ),
    Option("max_detections", int, None, "Number of detections that the exported file returns.", verb="export"),
    Option("mask_format", str, None, "full or roi: masks of the full picture, or of each box.", verb="export"),
)


def task(name: str, *metrics: Metric) -> TaskSpec:
    return TaskSpec(
        name,
        "zoo_detection.task:DetectionTask",
        metrics=metrics,
        options=OPTIONS,
        provides={
            "evaluate": "zoo_detection.evaluation:CocoEvaluator",
            "export": "zoo_detection.export:export",
            "exported": "zoo_detection.export:Restored",
            "train": "zoo_detection.training:Training",
            "data": f"zoo_detection.data:{'KEYPOINT_' if name == KEYPOINTS else ''}READERS",
            "coco": "zoo_detection.task:for_coco",
        },
        suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
        transforms=Preset("zoo.transforms:ObjectDetection"),
    )


BOX_MAP = Metric("box_map", "Box mAP")
TASKS = (
    task(BOXES, BOX_MAP),
    task(MASKS, BOX_MAP, Metric("mask_map", "Mask mAP")),
    task(KEYPOINTS, BOX_MAP, Metric("kp_map", "Keypoint mAP")),
)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_detection`` (classes, builders, weights, parts) → the module that defines it."""
    parts = {name: f"zoo_detection.{module}" for module, names in PARTS.items() for name in names.split()}
    return parts | offered_names("zoo_detection", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_detection", FAMILIES, BOXES)
    defaults = {
        BOXES: [
            Default("ssdlite320_mobilenet_v3_large"),
            Default("fasterrcnn_mobilenet_v3_large_320_fpn"),
            Default("fasterrcnn_resnet50_fpn_v2"),
            Default("ssdlite320_mobilenet_v3_large", "SHAPES_V1", trained_on="drawn shapes"),
        ],
        MASKS: [Default("maskrcnn_resnet50_fpn"), Default("maskrcnn_resnet50_fpn_v2")],
        KEYPOINTS: [Default("keypointrcnn_resnet50_fpn")],
    }
    capabilities = "pkg://zoo_detection/capabilities.json"
    return Manifest(api_version=1, models=models, tasks=TASKS, defaults=defaults, capabilities=capabilities)
