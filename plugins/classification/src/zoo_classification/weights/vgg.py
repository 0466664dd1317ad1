"""VGG's weights. Does not import torch."""

from __future__ import annotations

from functools import partial
from math import nan

from zoo import WeightsEnum
from zoo_classification.weights.entries import BSD, REFERENCES, SIMPLE, TIMM, imagenet1k

v1 = partial(imagenet1k, license=BSD, extra=TIMM, min_size=32, recipe=f"{REFERENCES}#alexnet-and-vgg", docs=SIMPLE)


class VGG11_Weights(WeightsEnum, builder="vgg11"):
    IMAGENET1K_V1 = v1("vgg11-8a719046.pth", params=132_863_336, acc=(69.020, 88.628), gflops=7.609, mb=506.840)
    DEFAULT = IMAGENET1K_V1


class VGG11_BN_Weights(WeightsEnum, builder="vgg11_bn"):
    IMAGENET1K_V1 = v1("vgg11_bn-6002323d.pth", params=132_868_840, acc=(70.370, 89.810), gflops=7.609, mb=506.881)
    DEFAULT = IMAGENET1K_V1


class VGG13_Weights(WeightsEnum, builder="vgg13"):
    IMAGENET1K_V1 = v1("vgg13-19584684.pth", params=133_047_848, acc=(69.928, 89.246), gflops=11.308, mb=507.545)
    DEFAULT = IMAGENET1K_V1


class VGG13_BN_Weights(WeightsEnum, builder="vgg13_bn"):
    IMAGENET1K_V1 = v1("vgg13_bn-abd245e5.pth", params=133_053_736, acc=(71.586, 90.374), gflops=11.308, mb=507.590)
    DEFAULT = IMAGENET1K_V1


class VGG16_Weights(WeightsEnum, builder="vgg16"):
    IMAGENET1K_V1 = v1("vgg16-397923af.pth", params=138_357_544, acc=(71.592, 90.382), gflops=15.470, mb=527.796)
    IMAGENET1K_FEATURES = imagenet1k(
        "vgg16_features-amdegroot-88682ab5.pth",
        params=138_357_544,
        acc=(nan, nan),
        gflops=15.470,
        mb=527.802,
        mean=(0.48235, 0.45882, 0.40784),
        std=(0.00392156862745098, 0.00392156862745098, 0.00392156862745098),
        min_size=32,
        recipe="https://github.com/amdegroot/ssd.pytorch#training-ssd",
        categories=None,
        docs="Converted from Caffe for SSD: use only the values of `features`.",
    )
    DEFAULT = IMAGENET1K_V1


class VGG16_BN_Weights(WeightsEnum, builder="vgg16_bn"):
    IMAGENET1K_V1 = v1("vgg16_bn-6c64b313.pth", params=138_365_992, acc=(73.360, 91.516), gflops=15.470, mb=527.866)
    DEFAULT = IMAGENET1K_V1


class VGG19_Weights(WeightsEnum, builder="vgg19"):
    IMAGENET1K_V1 = v1("vgg19-dcbb9e9d.pth", params=143_667_240, acc=(72.376, 90.876), gflops=19.632, mb=548.051)
    DEFAULT = IMAGENET1K_V1


class VGG19_BN_Weights(WeightsEnum, builder="vgg19_bn"):
    IMAGENET1K_V1 = v1("vgg19_bn-c79401a0.pth", params=143_678_248, acc=(74.218, 91.842), gflops=19.632, mb=548.143)
    DEFAULT = IMAGENET1K_V1
