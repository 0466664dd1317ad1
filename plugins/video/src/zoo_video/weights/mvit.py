"""The weights of MViT, first and second version. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_video.weights.entries import kinetics400

ported = partial(
    kinetics400,
    sampling=(16, 7.5, 5),
    crop=224,
    resize=(256,),
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
    min_size=224,
    min_frames=16,
    docs="The authors' weights in another layout.",
)


class MViT_V1_B_Weights(WeightsEnum, builder="mvit_v1_b"):
    KINETICS400_V1 = ported(
        "mvit_v1_b-dbeb1030.pth",
        params=36_610_672,
        acc=(78.477, 93.582),
        gflops=70.599,
        mb=139.764,
        recipe="https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md",
    )
    DEFAULT = KINETICS400_V1


class MViT_V2_S_Weights(WeightsEnum, builder="mvit_v2_s"):
    KINETICS400_V1 = ported(
        "mvit_v2_s-ae3be167.pth",
        params=34_537_744,
        acc=(80.757, 94.665),
        gflops=64.224,
        mb=131.884,
        recipe="https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md",
    )
    DEFAULT = KINETICS400_V1
