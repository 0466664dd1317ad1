"""The weights of EfficientNet and EfficientNetV2. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import NEW_RECIPE, REFERENCES, STRONGER, imagenet1k

timm = partial(
    imagenet1k,
    interpolation="bicubic",
    recipe=f"{REFERENCES}#efficientnet-v1",
    docs="Converted from Ross Wightman's timm.",
)
melas = partial(
    imagenet1k,
    interpolation="bicubic",
    recipe=f"{REFERENCES}#efficientnet-v1",
    docs="Converted from Luke Melas-Kyriazi's EfficientNet-PyTorch.",
)
v2 = partial(imagenet1k, recipe=f"{NEW_RECIPE}-with-lr-wd-crop-tuning", docs=STRONGER)
efficientnet_v2 = partial(imagenet1k, min_size=33, recipe=f"{REFERENCES}#efficientnet-v2", docs=STRONGER)

# fmt: off
# One paragraph per entry: the file and its resizing and cropping, then the numbers.


class EfficientNet_B0_Weights(WeightsEnum, builder="efficientnet_b0"):
    IMAGENET1K_V1 = timm(
        "efficientnet_b0_rwightman-7f5810bc.pth",
        params=5_288_548, acc=(77.692, 93.532), gflops=0.386, mb=20.451,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B1_Weights(WeightsEnum, builder="efficientnet_b1"):
    IMAGENET1K_V1 = timm(
        "efficientnet_b1_rwightman-bac287d4.pth", crop=240,
        params=7_794_184, acc=(78.642, 94.186), gflops=0.687, mb=30.134,
    )
    IMAGENET1K_V2 = v2(
        "efficientnet_b1-c27df63c.pth", crop=240, resize=255,
        params=7_794_184, acc=(79.838, 94.934), gflops=0.687, mb=30.136,
    )
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B2_Weights(WeightsEnum, builder="efficientnet_b2"):
    IMAGENET1K_V1 = timm(
        "efficientnet_b2_rwightman-c35c1473.pth", crop=288, resize=288,
        params=9_109_994, acc=(80.608, 95.310), gflops=1.088, mb=35.174,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B3_Weights(WeightsEnum, builder="efficientnet_b3"):
    IMAGENET1K_V1 = timm(
        "efficientnet_b3_rwightman-b3899882.pth", crop=300, resize=320,
        params=12_233_232, acc=(82.008, 96.054), gflops=1.827, mb=47.184,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B4_Weights(WeightsEnum, builder="efficientnet_b4"):
    IMAGENET1K_V1 = timm(
        "efficientnet_b4_rwightman-23ab8bcd.pth", crop=380, resize=384,
        params=19_341_616, acc=(83.384, 96.594), gflops=4.394, mb=74.489,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B5_Weights(WeightsEnum, builder="efficientnet_b5"):
    IMAGENET1K_V1 = melas(
        "efficientnet_b5_lukemelas-1a07897c.pth", crop=456, resize=456,
        params=30_389_784, acc=(83.444, 96.628), gflops=10.266, mb=116.864,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B6_Weights(WeightsEnum, builder="efficientnet_b6"):
    IMAGENET1K_V1 = melas(
        "efficientnet_b6_lukemelas-24a108a5.pth", crop=528, resize=528,
        params=43_040_704, acc=(84.008, 96.916), gflops=19.068, mb=165.362,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B7_Weights(WeightsEnum, builder="efficientnet_b7"):
    IMAGENET1K_V1 = melas(
        "efficientnet_b7_lukemelas-c5b4e57e.pth", crop=600, resize=600,
        params=66_347_960, acc=(84.122, 96.908), gflops=37.746, mb=254.675,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_S_Weights(WeightsEnum, builder="efficientnet_v2_s"):
    IMAGENET1K_V1 = efficientnet_v2(
        "efficientnet_v2_s-dd5fe13b.pth", crop=384, resize=384,
        params=21_458_488, acc=(84.228, 96.878), gflops=8.366, mb=82.704,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_M_Weights(WeightsEnum, builder="efficientnet_v2_m"):
    IMAGENET1K_V1 = efficientnet_v2(
        "efficientnet_v2_m-dc08266a.pth", crop=480, resize=480,
        params=54_139_356, acc=(85.112, 97.156), gflops=24.582, mb=208.010,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_L_Weights(WeightsEnum, builder="efficientnet_v2_l"):
    IMAGENET1K_V1 = efficientnet_v2(
        "efficientnet_v2_l-59c71312.pth", crop=480, resize=480, interpolation="bicubic",
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
        params=118_515_272, acc=(85.808, 97.788), gflops=56.080, mb=454.573,
        docs="Converted from the weights of the paper's authors.",
    )
    DEFAULT = IMAGENET1K_V1
