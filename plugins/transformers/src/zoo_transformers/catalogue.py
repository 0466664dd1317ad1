"""The well-known checkpoints: repository, licence as its card has it, parameters, figures of the paper. No torch.

A dash is for what is not known for certain. All are at the branch ``main``; which commit that was is recorded when one
is loaded. Others are named by their repository, ``hf://org/name``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo import Preset, Weights
from zoo.contract import Catalogue
from zoo_transformers.repositories import BY_BUILDER, SAFETENSORS

Row = Mapping[str, Any]

# fmt: off
TABLE = {
    "image_classifier": """
        google/vit-base-patch16-224                      apache-2.0       86567656   -
        google/vit-large-patch16-224                     apache-2.0      304326632   -
        facebook/deit-tiny-patch16-224                   apache-2.0        5717416   ImageNet-1K/acc@1=72.2,acc@5=91.1
        facebook/deit-small-patch16-224                  apache-2.0       22050664   ImageNet-1K/acc@1=79.9,acc@5=95.0
        facebook/deit-base-patch16-224                   apache-2.0       86567656   ImageNet-1K/acc@1=81.8,acc@5=95.6
        microsoft/swin-tiny-patch4-window7-224           apache-2.0       28288354   ImageNet-1K/acc@1=81.3
        microsoft/swin-small-patch4-window7-224          apache-2.0       49606258   ImageNet-1K/acc@1=83.0
        microsoft/swin-base-patch4-window7-224           apache-2.0       87768224   -
        facebook/convnext-tiny-224                       apache-2.0       28589128   ImageNet-1K/acc@1=82.1
        facebook/convnext-small-224                      apache-2.0       50223688   ImageNet-1K/acc@1=83.1
        facebook/convnext-base-224                       apache-2.0       88591464   ImageNet-1K/acc@1=83.8
        microsoft/resnet-18                              apache-2.0       11689512   -
        microsoft/resnet-50                              apache-2.0       25557032   -
        microsoft/resnet-101                             apache-2.0       44549160   -
        microsoft/resnet-152                             apache-2.0       60192808   -
        microsoft/beit-base-patch16-224                  apache-2.0              -   -
        google/mobilenet_v2_1.0_224                      other                   -   -
        apple/mobilevit-small                            other                   -   ImageNet-1K/acc@1=78.4
        facebook/regnet-y-040                            apache-2.0              -   -
        facebook/dinov2-small-imagenet1k-1-layer         apache-2.0              -   -
        facebook/dinov2-base-imagenet1k-1-layer          apache-2.0              -   -
    """,
    "object_detector": """
        facebook/detr-resnet-50                          apache-2.0              -   COCO-val2017/box_map=42.0
        facebook/detr-resnet-101                         apache-2.0              -   COCO-val2017/box_map=43.5
        facebook/detr-resnet-50-dc5                      apache-2.0              -   COCO-val2017/box_map=43.3
        facebook/detr-resnet-101-dc5                     apache-2.0              -   COCO-val2017/box_map=44.9
        microsoft/conditional-detr-resnet-50             apache-2.0              -   -
        SenseTime/deformable-detr                        apache-2.0              -   -
        hustvl/yolos-tiny                                apache-2.0              -   COCO-val2017/box_map=28.7
        hustvl/yolos-small                               apache-2.0              -   COCO-val2017/box_map=36.1
        hustvl/yolos-base                                apache-2.0              -   COCO-val2017/box_map=42.0
        PekingU/rtdetr_r18vd                             apache-2.0              -   COCO-val2017/box_map=46.5
        PekingU/rtdetr_r34vd                             apache-2.0              -   COCO-val2017/box_map=48.9
        PekingU/rtdetr_r50vd                             apache-2.0              -   COCO-val2017/box_map=53.1
        PekingU/rtdetr_r101vd                            apache-2.0              -   COCO-val2017/box_map=54.3
        PekingU/rtdetr_r50vd_coco_o365                   apache-2.0              -   COCO-val2017/box_map=55.3
        PekingU/rtdetr_v2_r18vd                          apache-2.0              -   -
        PekingU/rtdetr_v2_r34vd                          apache-2.0              -   -
        PekingU/rtdetr_v2_r50vd                          apache-2.0              -   COCO-val2017/box_map=53.4
        PekingU/rtdetr_v2_r101vd                         apache-2.0              -   COCO-val2017/box_map=54.3
        ustc-community/dfine-nano-coco                   apache-2.0              -   COCO-val2017/box_map=42.8
        ustc-community/dfine-small-coco                  apache-2.0              -   COCO-val2017/box_map=48.5
        ustc-community/dfine-medium-coco                 apache-2.0              -   COCO-val2017/box_map=52.3
        ustc-community/dfine-large-coco                  apache-2.0              -   COCO-val2017/box_map=54.0
        ustc-community/dfine-xlarge-coco                 apache-2.0              -   COCO-val2017/box_map=55.8
        microsoft/table-transformer-detection            mit                     -   -
    """,
    "semantic_segmenter": """
        nvidia/segformer-b0-finetuned-ade-512-512        other                   -   ADE20K/miou=37.4
        nvidia/segformer-b1-finetuned-ade-512-512        other                   -   ADE20K/miou=42.2
        nvidia/segformer-b2-finetuned-ade-512-512        other                   -   ADE20K/miou=46.5
        nvidia/segformer-b3-finetuned-ade-512-512        other                   -   ADE20K/miou=49.4
        nvidia/segformer-b4-finetuned-ade-512-512        other                   -   ADE20K/miou=50.3
        nvidia/segformer-b5-finetuned-ade-640-640        other                   -   ADE20K/miou=51.0
        nvidia/segformer-b0-finetuned-cityscapes-1024-1024 other                 -   Cityscapes/miou=76.2
        nvidia/segformer-b1-finetuned-cityscapes-1024-1024 other                 -   Cityscapes/miou=78.5
        nvidia/segformer-b5-finetuned-cityscapes-1024-1024 other                 -   Cityscapes/miou=82.4
        openmmlab/upernet-convnext-tiny                  mit                     -   -
        openmmlab/upernet-swin-tiny                      mit                     -   -
        apple/deeplabv3-mobilevit-small                  other                   -   -
        microsoft/beit-base-finetuned-ade-640-640        apache-2.0              -   -
        Intel/dpt-large-ade                              apache-2.0              -   -
    """,
    "universal_semantic_segmenter": """
        facebook/mask2former-swin-tiny-ade-semantic      other                   -   ADE20K/miou=47.7
        facebook/mask2former-swin-small-ade-semantic     other                   -   ADE20K/miou=51.3
        facebook/mask2former-swin-large-ade-semantic     other                   -   ADE20K/miou=56.1
        facebook/mask2former-swin-large-cityscapes-semantic other                -   Cityscapes/miou=83.3
        facebook/maskformer-swin-tiny-ade                other                   -   ADE20K/miou=46.7
        facebook/maskformer-swin-small-ade               other                   -   ADE20K/miou=49.8
        facebook/maskformer-swin-large-ade               other                   -   ADE20K/miou=54.1
    """,
    "instance_segmenter": """
        facebook/mask2former-swin-tiny-coco-instance     other                   -   COCO-val2017/mask_map=45.0
        facebook/mask2former-swin-small-coco-instance    other                   -   COCO-val2017/mask_map=46.3
        facebook/mask2former-swin-large-coco-instance    other                   -   COCO-val2017/mask_map=50.1
    """,
    "panoptic_segmenter": """
        facebook/mask2former-swin-tiny-coco-panoptic     other                   -   COCO-val2017/pq=53.2
        facebook/mask2former-swin-small-coco-panoptic    other                   -   COCO-val2017/pq=54.6
        facebook/mask2former-swin-large-coco-panoptic    other                   -   COCO-val2017/pq=57.8
        facebook/maskformer-swin-tiny-coco               other                   -   COCO-val2017/pq=47.7
        facebook/maskformer-swin-small-coco              other                   -   COCO-val2017/pq=49.7
        facebook/maskformer-swin-large-coco              other                   -   COCO-val2017/pq=52.7
        facebook/detr-resnet-50-panoptic                 apache-2.0              -   COCO-val2017/pq=43.4
        facebook/detr-resnet-101-panoptic                apache-2.0              -   COCO-val2017/pq=45.1
    """,
    "depth_estimator": """
        depth-anything/Depth-Anything-V2-Small-hf        apache-2.0              -   -
        depth-anything/Depth-Anything-V2-Base-hf         cc-by-nc-4.0            -   -
        depth-anything/Depth-Anything-V2-Large-hf        cc-by-nc-4.0            -   -
        LiheYoung/depth-anything-small-hf                apache-2.0              -   -
        LiheYoung/depth-anything-base-hf                 apache-2.0              -   -
        LiheYoung/depth-anything-large-hf                apache-2.0              -   -
        Intel/dpt-large                                  apache-2.0              -   -
        Intel/dpt-hybrid-midas                           apache-2.0              -   -
        Intel/zoedepth-nyu-kitti                         mit                     -   -
        vinvino02/glpn-nyu                               apache-2.0              -   -
        vinvino02/glpn-kitti                             apache-2.0              -   -
        apple/DepthPro-hf                                apple-amlr              -   -
    """,
    "image_encoder": """
        facebook/dinov2-small                            apache-2.0              -   -
        facebook/dinov2-base                             apache-2.0              -   -
        facebook/dinov2-large                            apache-2.0              -   -
        facebook/dinov2-with-registers-small             apache-2.0              -   -
        facebook/dinov2-with-registers-base              apache-2.0              -   -
        facebook/dino-vits16                             apache-2.0              -   -
        facebook/dino-vitb16                             apache-2.0              -   -
        google/vit-base-patch16-224-in21k                apache-2.0              -   -
        openai/clip-vit-base-patch32                     unknown                 -   -
        openai/clip-vit-base-patch16                     unknown                 -   -
        openai/clip-vit-large-patch14                    unknown                 -   -
        google/siglip-base-patch16-224                   apache-2.0              -   -
        google/siglip-so400m-patch14-384                 apache-2.0              -   -
    """,
}
# fmt: on


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for builder, lines in TABLE.items():
        for line in lines.strip().splitlines():
            repository, licence, params, figures = line.split()
            data, _, values = figures.partition("/")
            metrics = {} if figures == "-" else {data: dict(_figure(value) for value in values.split(","))}
            rows[repository.partition("/")[2]] = {
                "repository": repository,
                "builder": builder,
                "task": BY_BUILDER[builder].tasks[0],  # for which it was trained; the others can be asked for
                "license": licence,
                **({} if params == "-" else {"num_params": int(params)}),
                "weights": {"main": {"metrics": metrics}},
            }
    return rows


def _figure(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    return key, float(value)


def _describe(model: str, row: Row, tag: str, facts: Any) -> Weights:
    repository, params = row["repository"], row.get("num_params")
    return Weights(
        url=f"hf://{repository}/{SAFETENSORS}@main",
        transforms=Preset("zoo_transformers.image_processing:of_repository", {"repository": repository}),
        num_params=params,
        metrics=facts["metrics"],
        license=row["license"],
        recipe=f"https://huggingface.co/{repository}",
        docs=f"The branch main of {repository}; figures are those of its paper.",
        unknown=tuple(["metrics"] * (not facts["metrics"]) + ["num_params"] * (params is None)),
    )


CATALOGUE = Catalogue(__name__, _rows(), _describe)
__getattr__ = CATALOGUE.named


def in_words(arguments: Mapping[str, Any]) -> str:
    """What a processor does, step by step, as its settings have it."""
    if "repository" in arguments:
        return f"as preprocessor_config.json of {arguments['repository']} says"
    settings = arguments.get("settings", {})

    def size(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in value.items())
        return str(value)

    steps = [f"resize to {size(settings['size'])}"] if settings.get("do_resize") and settings.get("size") else []
    if settings.get("do_center_crop") and settings.get("crop_size"):
        steps.append(f"crop the centre to {size(settings['crop_size'])}")
    if settings.get("do_rescale", True):
        steps.append("scale to [0, 1]")
    if settings.get("do_normalize") and settings.get("image_mean"):
        steps.append(f"normalise by mean={settings['image_mean']}, std={settings.get('image_std')}")
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type") or "transformers' processor"
    return f"{kind}: {'; '.join(steps)}"
