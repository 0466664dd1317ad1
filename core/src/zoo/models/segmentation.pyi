# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from typing import Any

from zoo_segmentation import (
    ASPP as ASPP,
    FCN as FCN,
    LRASPP as LRASPP,
    DeepLabHead as DeepLabHead,
    DeepLabV3 as DeepLabV3,
    DeepLabV3_MobileNet_V3_Large_Weights as DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights as DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights as DeepLabV3_ResNet101_Weights,
    FCN_ResNet50_Weights as FCN_ResNet50_Weights,
    FCN_ResNet101_Weights as FCN_ResNet101_Weights,
    FCNHead as FCNHead,
    LRASPP_MobileNet_V3_Large_Weights as LRASPP_MobileNet_V3_Large_Weights,
    LRASPPHead as LRASPPHead,
    deeplabv3 as deeplabv3,
    deeplabv3_mobilenet_v3_large as deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50 as deeplabv3_resnet50,
    deeplabv3_resnet101 as deeplabv3_resnet101,
    fcn as fcn,
    fcn_resnet50 as fcn_resnet50,
    fcn_resnet101 as fcn_resnet101,
    lraspp as lraspp,
    lraspp_mobilenet_v3_large as lraspp_mobilenet_v3_large,
)

def __getattr__(name: str) -> Any: ...  # modules of plugins, older names
