"""The weights of ResNet, ResNeXt and Wide ResNet. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import BSD, NEW_RECIPE, REFERENCES, SIMPLE, STRONGER, TIMM, imagenet1k

published = partial(imagenet1k, license=BSD, extra=TIMM)
v1 = partial(published, recipe=f"{REFERENCES}#resnet", docs=SIMPLE)
v1_resnext = partial(published, recipe=f"{REFERENCES}#resnext", docs=SIMPLE)
v1_wide = partial(published, recipe="https://github.com/pytorch/vision/pull/912#issue-445437439", docs=SIMPLE)
v2 = partial(published, recipe=NEW_RECIPE, docs=STRONGER, resize=232)
v2_fixres = partial(published, recipe=f"{NEW_RECIPE}-with-fixres", docs=STRONGER, resize=232)

RESNET50_V2 = "https://github.com/pytorch/vision/issues/3995#issuecomment-1013906621"
RESNEXT101_64X4D = "https://github.com/pytorch/vision/pull/5935"


class ResNet18_Weights(WeightsEnum, builder="resnet18"):
    IMAGENET1K_V1 = v1("resnet18-f37072fd.pth", params=11_689_512, acc=(69.758, 89.078), gflops=1.814, mb=44.661)
    DEFAULT = IMAGENET1K_V1


class ResNet34_Weights(WeightsEnum, builder="resnet34"):
    IMAGENET1K_V1 = v1("resnet34-b627a593.pth", params=21_797_672, acc=(73.314, 91.420), gflops=3.664, mb=83.275)
    DEFAULT = IMAGENET1K_V1


class ResNet50_Weights(WeightsEnum, builder="resnet50"):
    IMAGENET1K_V1 = v1("resnet50-0676ba61.pth", params=25_557_032, acc=(76.130, 92.862), gflops=4.089, mb=97.781)
    IMAGENET1K_V2 = v2(
        "resnet50-11ad3fa6.pth", params=25_557_032, acc=(80.858, 95.434), gflops=4.089, mb=97.790, recipe=RESNET50_V2
    )
    DEFAULT = IMAGENET1K_V2


class ResNet101_Weights(WeightsEnum, builder="resnet101"):
    IMAGENET1K_V1 = v1("resnet101-63fe2227.pth", params=44_549_160, acc=(77.374, 93.546), gflops=7.801, mb=170.511)
    IMAGENET1K_V2 = v2("resnet101-cd907fc2.pth", params=44_549_160, acc=(81.886, 95.780), gflops=7.801, mb=170.530)
    DEFAULT = IMAGENET1K_V2


class ResNet152_Weights(WeightsEnum, builder="resnet152"):
    IMAGENET1K_V1 = v1("resnet152-394f9c45.pth", params=60_192_808, acc=(78.312, 94.046), gflops=11.514, mb=230.434)
    IMAGENET1K_V2 = v2("resnet152-f82ba261.pth", params=60_192_808, acc=(82.284, 96.002), gflops=11.514, mb=230.474)
    DEFAULT = IMAGENET1K_V2


class ResNeXt50_32X4D_Weights(WeightsEnum, builder="resnext50_32x4d"):
    IMAGENET1K_V1 = v1_resnext(
        "resnext50_32x4d-7cdf4587.pth", params=25_028_904, acc=(77.618, 93.698), gflops=4.230, mb=95.789
    )
    IMAGENET1K_V2 = v2("resnext50_32x4d-1a0047aa.pth", params=25_028_904, acc=(81.198, 95.340), gflops=4.230, mb=95.833)
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_32X8D_Weights(WeightsEnum, builder="resnext101_32x8d"):
    IMAGENET1K_V1 = v1_resnext(
        "resnext101_32x8d-8ba56ff5.pth", params=88_791_336, acc=(79.312, 94.526), gflops=16.414, mb=339.586
    )
    IMAGENET1K_V2 = v2_fixres(
        "resnext101_32x8d-110c445d.pth", params=88_791_336, acc=(82.834, 96.228), gflops=16.414, mb=339.673
    )
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_64X4D_Weights(WeightsEnum, builder="resnext101_64x4d"):
    IMAGENET1K_V1 = v2(
        "resnext101_64x4d-173b62eb.pth",
        params=83_455_272,
        acc=(83.246, 96.454),
        gflops=15.460,
        mb=319.318,
        recipe=RESNEXT101_64X4D,
    )
    DEFAULT = IMAGENET1K_V1


class Wide_ResNet50_2_Weights(WeightsEnum, builder="wide_resnet50_2"):
    IMAGENET1K_V1 = v1_wide(
        "wide_resnet50_2-95faca4d.pth", params=68_883_240, acc=(78.468, 94.086), gflops=11.398, mb=131.820
    )
    IMAGENET1K_V2 = v2_fixres(
        "wide_resnet50_2-9ba9bcbe.pth", params=68_883_240, acc=(81.602, 95.758), gflops=11.398, mb=263.124
    )
    DEFAULT = IMAGENET1K_V2


class Wide_ResNet101_2_Weights(WeightsEnum, builder="wide_resnet101_2"):
    IMAGENET1K_V1 = v1_wide(
        "wide_resnet101_2-32ee1156.pth", params=126_886_696, acc=(78.848, 94.284), gflops=22.753, mb=242.896
    )
    IMAGENET1K_V2 = v2(
        "wide_resnet101_2-d733dc28.pth", params=126_886_696, acc=(82.510, 96.020), gflops=22.753, mb=484.747
    )
    DEFAULT = IMAGENET1K_V2
