"""The weights of Video Swin Transformer. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_video.weights.entries import kinetics400

ported = partial(
    kinetics400,
    recipe="https://github.com/SwinTransformer/Video-Swin-Transformer#kinetics-400",
    sampling=(32, 15, 12),
    crop=224,
    resize=(256,),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    min_frames=1,
    docs="The authors' weights in another layout.",
)


class Swin3D_T_Weights(WeightsEnum, builder="swin3d_t"):
    KINETICS400_V1 = ported("swin3d_t-7615ae03.pth", params=28_158_070, acc=(77.715, 93.519), gflops=43.882, mb=121.543)
    DEFAULT = KINETICS400_V1


class Swin3D_S_Weights(WeightsEnum, builder="swin3d_s"):
    KINETICS400_V1 = ported("swin3d_s-da41c237.pth", params=49_816_678, acc=(79.521, 94.158), gflops=82.841, mb=218.288)
    DEFAULT = KINETICS400_V1


class Swin3D_B_Weights(WeightsEnum, builder="swin3d_b"):
    KINETICS400_V1 = ported(
        "swin3d_b_1k-24f7c7c6.pth", params=88_048_984, acc=(79.427, 94.386), gflops=140.667, mb=364.134
    )
    KINETICS400_IMAGENET22K_V1 = ported(
        "swin3d_b_22k-7c6ae6fa.pth",
        params=88_048_984,
        acc=(81.643, 95.574),
        gflops=140.667,
        mb=364.134,
        docs="The authors' weights in another layout; pre-trained on ImageNet-22K.",
    )
    DEFAULT = KINETICS400_V1
