"""The manifest: twelve int8 image classification models. Does not import torch."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest
from zoo.contract.families import Family, model_specs, offered_names

# fmt: off
FAMILIES = (
    Family("googlenet", "QuantizableGoogLeNet",
           "Going Deeper with Convolutions", "1409.4842",
           "googlenet"),
    Family("inception", "QuantizableInception3",
           "Rethinking the Inception Architecture for Computer Vision", "1512.00567",
           "inception_v3", input={"train_size": 299}),  # the auxiliary head needs images of this size
    Family("mobilenet_v2", "QuantizableMobileNetV2",
           "MobileNetV2: Inverted Residuals and Linear Bottlenecks", "1801.04381",
           "mobilenet_v2"),
    Family("mobilenet_v3", "QuantizableMobileNetV3",
           "Searching for MobileNetV3", "1905.02244",
           "mobilenet_v3_large"),
    Family("resnet", "QuantizableResNet QuantizableBasicBlock QuantizableBottleneck",
           "Deep Residual Learning for Image Recognition", "1512.03385",
           "resnet18 resnet50"),
    Family("resnet", "QuantizableResNet",
           "Aggregated Residual Transformations for Deep Neural Networks", "1611.05431",
           "resnext101_32x8d resnext101_64x4d"),
    Family("shufflenet_v2", "QuantizableShuffleNetV2",
           "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", "1807.11164",
           "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0"),
)
# fmt: on

COMMANDS = (Command("convert", "zoo_quantized.commands:convert", "Write a published int8 file as plain safetensors."),)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_quantized`` (classes, builders, weights) → the module that defines it."""
    names = {
        "quantize": "zoo_quantized.quantization",
        "convert": "zoo_quantized.conversion",
        "Conversion": "zoo_quantized.conversion",
        "Quantizable": "zoo_quantized.quantizable",
        "MissingEngine": "zoo_quantized.eager",
    }
    return names | offered_names("zoo_quantized", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_quantized", FAMILIES, "image-classification", prefix="quantized_")
    capabilities = "pkg://zoo_quantized/capabilities.json"
    return Manifest(api_version=1, models=models, commands=COMMANDS, capabilities=capabilities)
