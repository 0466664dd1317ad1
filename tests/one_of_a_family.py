"""One model of each family that is a function of its images alone, and inputs that make it pad, cut and shift."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import zoo

# One of a family, on inputs that make it pad, cut and shift: [N, C, H, W] or [N, C, T, H, W].
SMALL: dict[str, tuple[int, ...]] = {
    "alexnet": (2, 3, 63, 70),
    "convnext_tiny": (2, 3, 40, 50),
    "densenet121": (2, 3, 40, 50),
    "efficientnet_b0": (2, 3, 40, 50),
    "efficientnet_lite0": (2, 3, 41, 50),
    "googlenet": (2, 3, 64, 70),
    "maxvit_t": (1, 3, 224, 224),
    "mnasnet0_5": (2, 3, 40, 50),
    "mobilenet_v2": (2, 3, 40, 50),
    "mobilenet_v3_small": (2, 3, 40, 50),
    "regnet_y_400mf": (2, 3, 40, 50),
    "resnet18": (2, 3, 40, 50),
    "shufflenet_v2_x0_5": (2, 3, 40, 50),
    "squeezenet1_1": (2, 3, 40, 50),
    "swin_t": (2, 3, 52, 100),
    "swin_v2_t": (2, 3, 52, 100),
    "vit_b_32": (2, 3, 64, 64),
    "mc3_18": (2, 3, 5, 40, 50),
    "mvit_v1_b": (1, 3, 4, 64, 64),
    "mvit_v2_s": (1, 3, 4, 64, 64),
    "s3d": (1, 3, 13, 209, 209),
    "swin3d_t": (2, 3, 5, 52, 70),
    "fcn_resnet50": (2, 3, 40, 50),
    "deeplabv3_mobilenet_v3_large": (2, 3, 40, 50),
    "lraspp_mobilenet_v3_large": (2, 3, 40, 50),
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    shape = SMALL.get(name)
    task = zoo.model_info(name).task
    config: dict[str, Any] = {}
    if name.startswith("vit"):
        side = 56 if name.endswith("14") else 64
        config, shape = {"image_size": side}, (2, 3, side, side)
    elif name.startswith("mvit"):
        config = {"spatial_size": (64, 64), "temporal_size": 4}
    elif name in ("googlenet", "inception_v3"):
        config = {"init_weights": False}
    elif task == "semantic-segmentation":
        config = {"weights_backbone": None}
    if shape is None:
        shape = (2, 3, 8, 64, 64) if task == "video-classification" else (2, 3, 64, 64)
        shape = (2, 3, 299, 299) if name == "inception_v3" else shape
    return zoo.get_model(name, **config), torch.randn(*shape)
