"""The manifest: 80 image classification models, their task, and that of models without classes. Does not import
torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest, Metric, Option, TaskSpec
from zoo.contract.families import Family, model_specs, offered_names

# fmt: off
FAMILIES = (
    Family("alexnet", "AlexNet",
           "One weird trick for parallelizing convolutional neural networks", "1404.5997",
           "alexnet"),
    Family("squeezenet", "SqueezeNet",
           "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", "1602.07360",
           "squeezenet1_0 squeezenet1_1"),
    Family("vgg", "VGG",
           "Very Deep Convolutional Networks for Large-Scale Image Recognition", "1409.1556",
           "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn"),
    Family("googlenet", "GoogLeNet GoogLeNetOutputs",
           "Going Deeper with Convolutions", "1409.4842",
           "googlenet"),
    Family("inception", "Inception3 InceptionOutputs",
           "Rethinking the Inception Architecture for Computer Vision", "1512.00567",
           "inception_v3", input={"train_size": 299}),  # the auxiliary head needs images of this size
    Family("resnet", "ResNet",
           "Deep Residual Learning for Image Recognition", "1512.03385",
           "resnet18 resnet34 resnet50 resnet101 resnet152"),
    Family("resnet", "ResNet",
           "Wide Residual Networks", "1605.07146",
           "wide_resnet50_2 wide_resnet101_2"),
    Family("resnet", "ResNet",
           "Aggregated Residual Transformations for Deep Neural Networks", "1611.05431",
           "resnext50_32x4d resnext101_32x8d resnext101_64x4d"),
    Family("densenet", "DenseNet",
           "Densely Connected Convolutional Networks", "1608.06993",
           "densenet121 densenet161 densenet169 densenet201"),
    Family("mobilenet_v2", "MobileNetV2",
           "MobileNetV2: Inverted Residuals and Linear Bottlenecks", "1801.04381",
           "mobilenet_v2"),
    Family("mobilenet_v3", "MobileNetV3",
           "Searching for MobileNetV3", "1905.02244",
           "mobilenet_v3_small mobilenet_v3_large"),
    Family("shufflenet_v2", "ShuffleNetV2",
           "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", "1807.11164",
           "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0"),
    Family("mnasnet", "MNASNet",
           "MnasNet: Platform-Aware Neural Architecture Search for Mobile", "1807.11626",
           "mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3"),
    Family("efficientnet", "EfficientNet",
           "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", "1905.11946",
           "efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 "
           "efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7"),
    Family("efficientnet", "EfficientNet",
           "EfficientNetV2: Smaller Models and Faster Training", "2104.00298",
           "efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l"),
    Family("regnet", "RegNet",
           "Designing Network Design Spaces", "2003.13678",
           "regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf "
           "regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf "
           "regnet_y_128gf"),
    Family("vision_transformer", "VisionTransformer",
           "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", "2010.11929",
           "vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14"),
    Family("swin_transformer", "SwinTransformer",
           "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", "2103.14030",
           "swin_t swin_s swin_b"),
    Family("swin_transformer", "SwinTransformer",
           "Swin Transformer V2: Scaling Up Capacity and Resolution", "2111.09883",
           "swin_v2_t swin_v2_s swin_v2_b"),
    Family("convnext", "ConvNeXt",
           "A ConvNet for the 2020s", "2201.03545",
           "convnext_tiny convnext_small convnext_base convnext_large"),
    Family("maxvit", "MaxVit",
           "MaxViT: Multi-Axis Vision Transformer", "2204.01697",
           "maxvit_t"),
)
# fmt: on

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
CLASSIFICATION = TaskSpec(
    "image-classification",
    "zoo_classification.task:ClassificationTask",
    metrics=(Metric("acc@1", "Acc@1"), Metric("acc@5", "Acc@5")),
    options=(Option("label_smoothing", float, 0.0, "Label smoothing of the cross entropy.", verb="train"),),
    provides={
        "evaluate": "zoo_classification.evaluation:evaluate",
        "export": "zoo_classification.export:export",
        "exported": "zoo_classification.export:Restored",
        "data": "zoo_classification.data:READERS",
        "train": "zoo_classification.training:Training",
    },
    suffixes=PICTURES,
)
# For models without classes, which only other plugins have.
FEATURE_EXTRACTION = TaskSpec(
    "image-feature-extraction",
    "zoo_classification.embedding:EmbeddingTask",
    options=(Option("normalize", bool, False, "Scale vectors to length 1."),),
    suffixes=PICTURES,
    same_size=True,
    required=("transforms",),
)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_classification`` (classes, builders, weights) → the module that defines it."""
    return offered_names("zoo_classification", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_classification", FAMILIES, CLASSIFICATION.name)
    defaults = [
        Default("mobilenet_v3_large"),
        Default("efficientnet_b0"),
        Default("resnet50"),
        Default("squeezenet1_1", "DIGITS_V1", trained_on="hand-written digits"),
    ]
    return Manifest(
        api_version=1,
        models=models,
        tasks=[CLASSIFICATION, FEATURE_EXTRACTION],
        defaults={CLASSIFICATION.name: defaults},
        capabilities="pkg://zoo_classification/capabilities.json",
    )
