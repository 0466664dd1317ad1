"""Video transformers small enough to test what all of them do."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import zoo
from zoo_video.mvit import MSBlockConfig, MViT, adapt
from zoo_video.swin3d import SwinTransformer3d, swin3d


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.3)
    return module.eval()


def tiny(version: int, temporal_size: int, spatial_size: tuple[int, int], **kwargs: Any) -> MViT:
    second = version == 2
    kernel_q = (3, 3, 3) if second else (1, 1, 1)
    blocks = [
        MSBlockConfig(1, 8, 8 if second else 16, kernel_q, stride_kv=(1, 4, 4)),
        MSBlockConfig(2, 8 if second else 16, 16, (3, 3, 3), stride_q=(1, 2, 2), stride_kv=(1, 2, 2)),
    ]
    options = {"dropout": 0.0, "num_classes": 5, **kwargs}
    return MViT(spatial_size, temporal_size, blocks, second, False, second, second, **options)


@zoo.builder(head="head.1", stem="conv_proj", convert=adapt)
def tiny_v1(*, temporal_size: int = 6, spatial_size: tuple[int, int] = (32, 32), **kwargs: Any) -> MViT:
    return tiny(1, temporal_size, spatial_size, **kwargs)


@zoo.builder(head="head.1", stem="conv_proj", convert=adapt)
def tiny_v2(*, temporal_size: int = 6, spatial_size: tuple[int, int] = (32, 32), **kwargs: Any) -> MViT:
    return tiny(2, temporal_size, spatial_size, **kwargs)


def tiny_swin3d(**kwargs: Any) -> SwinTransformer3d:
    return swin3d(8, [2, 2], [1, 2], **{"window_size": [2, 3, 3], "num_classes": 5, **kwargs})
