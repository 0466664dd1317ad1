"""Well-known checkpoints: repository, licence from its card, number of parameters, metrics of the paper. No torch.

A dash, or ``unknown``, means that there is no evidence. Licences are those on the hub's pages of the repositories or of
their family; metrics those of papers and authors' repositories. Contradictory evidence counts as unknown: ConvNeXt V2's
cards have Apache-2.0, its authors' repository CC-BY-NC. All are from the branch ``main``, whose commit is recorded when
a checkpoint is loaded. ``resnet-{18,50}`` are two. Others are available by their repository, ``hf://org/name``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from zoo import Preset, Weights
from zoo.contract import Catalogue
from zoo_transformers.repositories import BY_BUILDER, SAFETENSORS

Row = Mapping[str, Any]

# fmt: off
TABLE = {
    "image_classifier": """
        google/vit-base-patch16-224                            apache-2.0    86567656  -
        google/vit-large-patch16-224                           apache-2.0   304326632  -
        facebook/deit-tiny-patch16-224                         apache-2.0     5717416  ImageNet-1K/acc@1=72.2,acc@5=91.1
        facebook/deit-small-patch16-224                        apache-2.0    22050664  ImageNet-1K/acc@1=79.9,acc@5=95.0
        facebook/deit-base-patch16-224                         apache-2.0    86567656  ImageNet-1K/acc@1=81.8,acc@5=95.6
        microsoft/swin-tiny-patch4-window7-224                 apache-2.0    28288354  ImageNet-1K/acc@1=81.3
        microsoft/swin-small-patch4-window7-224                apache-2.0    49606258  ImageNet-1K/acc@1=83.0
        microsoft/swin-base-patch4-window7-224                 apache-2.0    87768224  -
        facebook/convnext-tiny-224                             apache-2.0    28589128  ImageNet-1K/acc@1=82.1
        facebook/convnext-small-224                            apache-2.0    50223688  ImageNet-1K/acc@1=83.1
        facebook/convnext-base-224                             apache-2.0    88591464  ImageNet-1K/acc@1=83.8
        microsoft/resnet-18                                    apache-2.0    11689512  -
        microsoft/resnet-50                                    apache-2.0    25557032  -
        microsoft/resnet-101                                   apache-2.0    44549160  -
        microsoft/resnet-152                                   apache-2.0    60192808  -
        microsoft/beit-base-patch16-224                        apache-2.0           -  -
        google/mobilenet_v2_1.0_224                            other                -  -
        apple/mobilevit-small                                  other                -  ImageNet-1K/acc@1=78.4
        facebook/regnet-y-040                                  apache-2.0           -  -
        facebook/dinov2-small-imagenet1k-1-layer               apache-2.0           -  -
        facebook/dinov2-base-imagenet1k-1-layer                apache-2.0           -  -
        google/vit-base-patch{16,32}-384                       apache-2.0           -  -
        google/vit-large-patch{16,32}-384                      apache-2.0           -  -
        facebook/deit-base-patch16-384                         apache-2.0           -  ImageNet-1K/acc@1=82.9,acc@5=96.2
        facebook/deit-tiny-distilled-patch16-224               apache-2.0           -  ImageNet-1K/acc@1=74.5,acc@5=91.9
        facebook/deit-small-distilled-patch16-224              apache-2.0           -  ImageNet-1K/acc@1=81.2,acc@5=95.4
        facebook/deit-base-distilled-patch16-224               apache-2.0           -  ImageNet-1K/acc@1=83.4,acc@5=96.5
        facebook/deit-base-distilled-patch16-384               apache-2.0           -  ImageNet-1K/acc@1=85.2,acc@5=97.2
        microsoft/swin-base-patch4-window12-384                apache-2.0           -  -
        microsoft/swin-large-patch4-window{7-224,12-384}       apache-2.0           -  -
        microsoft/swin-{base,large}-patch4-window{7-224,12-384}-in22k apache-2.0           -  -
        microsoft/swinv2-tiny-patch4-window8-256               apache-2.0           -  ImageNet-1K/acc@1=81.8
        microsoft/swinv2-tiny-patch4-window16-256              apache-2.0           -  ImageNet-1K/acc@1=82.8
        microsoft/swinv2-small-patch4-window8-256              apache-2.0           -  ImageNet-1K/acc@1=83.7
        microsoft/swinv2-small-patch4-window16-256             apache-2.0           -  ImageNet-1K/acc@1=84.1
        microsoft/swinv2-base-patch4-window8-256               apache-2.0           -  ImageNet-1K/acc@1=84.2
        microsoft/swinv2-base-patch4-window16-256              apache-2.0           -  ImageNet-1K/acc@1=84.6
        microsoft/swinv2-{base,large}-patch4-window12-192-22k  apache-2.0           -  -
        microsoft/swinv2-base-patch4-window12to16-192to256-22kto1k-ft apache-2.0           -  ImageNet-1K/acc@1=86.2
        microsoft/swinv2-base-patch4-window12to24-192to384-22kto1k-ft apache-2.0           -  ImageNet-1K/acc@1=87.1
        microsoft/swinv2-large-patch4-window12to16-192to256-22kto1k-ft apache-2.0           -  ImageNet-1K/acc@1=86.9
        microsoft/swinv2-large-patch4-window12to24-192to384-22kto1k-ft apache-2.0           -  ImageNet-1K/acc@1=87.6
        facebook/convnext-large-224                            apache-2.0           -  ImageNet-1K/acc@1=84.3
        facebook/convnext-base-384                             apache-2.0           -  ImageNet-1K/acc@1=85.1
        facebook/convnext-large-384                            apache-2.0           -  ImageNet-1K/acc@1=85.5
        facebook/convnext-base-224-22k-1k                      apache-2.0           -  ImageNet-1K/acc@1=85.8
        facebook/convnext-base-384-22k-1k                      apache-2.0           -  ImageNet-1K/acc@1=86.8
        facebook/convnext-large-224-22k-1k                     apache-2.0           -  ImageNet-1K/acc@1=86.6
        facebook/convnext-large-384-22k-1k                     apache-2.0           -  ImageNet-1K/acc@1=87.5
        facebook/convnext-xlarge-224-22k-1k                    apache-2.0           -  ImageNet-1K/acc@1=87.0
        facebook/convnext-xlarge-384-22k-1k                    apache-2.0           -  ImageNet-1K/acc@1=87.8
        facebook/convnext-{base,large,xlarge}-224-22k          apache-2.0           -  -
        facebook/convnextv2-atto-1k-224                        unknown              -  ImageNet-1K/acc@1=76.7
        facebook/convnextv2-femto-1k-224                       unknown              -  ImageNet-1K/acc@1=78.5
        facebook/convnextv2-pico-1k-224                        unknown              -  ImageNet-1K/acc@1=80.3
        facebook/convnextv2-nano-1k-224                        unknown              -  ImageNet-1K/acc@1=81.9
        facebook/convnextv2-tiny-1k-224                        unknown              -  ImageNet-1K/acc@1=83.0
        facebook/convnextv2-base-1k-224                        unknown              -  ImageNet-1K/acc@1=84.9
        facebook/convnextv2-large-1k-224                       unknown              -  ImageNet-1K/acc@1=85.8
        facebook/convnextv2-huge-1k-224                        unknown              -  ImageNet-1K/acc@1=86.3
        facebook/convnextv2-nano-22k-224                       unknown              -  ImageNet-1K/acc@1=82.1
        facebook/convnextv2-nano-22k-384                       unknown              -  ImageNet-1K/acc@1=83.4
        facebook/convnextv2-tiny-22k-224                       unknown              -  ImageNet-1K/acc@1=83.9
        facebook/convnextv2-tiny-22k-384                       unknown              -  ImageNet-1K/acc@1=85.1
        facebook/convnextv2-base-22k-224                       unknown              -  ImageNet-1K/acc@1=86.8
        facebook/convnextv2-base-22k-384                       unknown              -  ImageNet-1K/acc@1=87.7
        facebook/convnextv2-large-22k-224                      unknown              -  ImageNet-1K/acc@1=87.3
        facebook/convnextv2-large-22k-384                      unknown              -  ImageNet-1K/acc@1=88.2
        facebook/convnextv2-huge-22k-384                       unknown              -  ImageNet-1K/acc@1=88.7
        facebook/convnextv2-huge-22k-512                       unknown              -  ImageNet-1K/acc@1=88.9
        microsoft/resnet-34                                    apache-2.0           -  -
        microsoft/resnet-26                                    unknown              -  -
        microsoft/beit-base-patch16-384                        apache-2.0           -  -
        microsoft/beit-large-patch16-{224,384,512}             apache-2.0           -  -
        microsoft/beit-{base,large}-patch16-224-pt22k-ft22k    apache-2.0           -  -
        google/mobilenet_v2_{1.4_224,0.75_160,0.35_96}         other                -  -
        google/mobilenet_v1_{1.0_224,0.75_192}                 other                -  -
        apple/mobilevit-x-small                                other                -  -
        apple/mobilevit-xx-small                               other                -  -
        apple/mobilevitv2-1.0-imagenet1k-256                   other                -  -
        facebook/levit-128S                                    apache-2.0           -  ImageNet-1K/acc@1=76.6
        facebook/levit-128                                     apache-2.0           -  ImageNet-1K/acc@1=78.6
        facebook/levit-192                                     apache-2.0           -  ImageNet-1K/acc@1=80.0
        facebook/levit-256                                     apache-2.0           -  ImageNet-1K/acc@1=81.6
        facebook/levit-384                                     apache-2.0           -  ImageNet-1K/acc@1=82.6
        sail/poolformer_s12                                    apache-2.0           -  ImageNet-1K/acc@1=77.2
        sail/poolformer_s24                                    apache-2.0           -  ImageNet-1K/acc@1=80.3
        sail/poolformer_s36                                    apache-2.0           -  ImageNet-1K/acc@1=81.4
        sail/poolformer_m36                                    apache-2.0           -  ImageNet-1K/acc@1=82.1
        sail/poolformer_m48                                    apache-2.0           -  ImageNet-1K/acc@1=82.5
        nvidia/mit-b{0,1,2,3,4,5}                              other                -  -
        google/efficientnet-b{0,1,2,3,4,5,6,7}                 apache-2.0           -  -
        google/bit-50                                          unknown              -  -
        microsoft/focalnet-tiny                                apache-2.0           -  -
        microsoft/cvt-{13,21}                                  apache-2.0           -  -
        facebook/data2vec-vision-{base,large}-ft1k             apache-2.0           -  -
        facebook/dinov2-large-imagenet1k-1-layer               apache-2.0           -  -
        facebook/dinov2-with-registers-{small,base,large}-imagenet1k-1-layer apache-2.0           -  -
    """,
    "object_detector": """
        facebook/detr-resnet-50                                apache-2.0           -  COCO-val2017/box_map=42.0
        facebook/detr-resnet-101                               apache-2.0           -  COCO-val2017/box_map=43.5
        facebook/detr-resnet-50-dc5                            apache-2.0           -  COCO-val2017/box_map=43.3
        facebook/detr-resnet-101-dc5                           apache-2.0           -  COCO-val2017/box_map=44.9
        microsoft/conditional-detr-resnet-50                   apache-2.0           -  -
        SenseTime/deformable-detr                              apache-2.0           -  -
        hustvl/yolos-tiny                                      apache-2.0           -  COCO-val2017/box_map=28.7
        hustvl/yolos-small                                     apache-2.0           -  COCO-val2017/box_map=36.1
        hustvl/yolos-base                                      apache-2.0           -  COCO-val2017/box_map=42.0
        PekingU/rtdetr_r18vd                                   apache-2.0           -  COCO-val2017/box_map=46.5
        PekingU/rtdetr_r34vd                                   apache-2.0           -  COCO-val2017/box_map=48.9
        PekingU/rtdetr_r50vd                                   apache-2.0           -  COCO-val2017/box_map=53.1
        PekingU/rtdetr_r101vd                                  apache-2.0           -  COCO-val2017/box_map=54.3
        PekingU/rtdetr_r50vd_coco_o365                         apache-2.0           -  COCO-val2017/box_map=55.3
        PekingU/rtdetr_v2_r18vd                                apache-2.0           -  -
        PekingU/rtdetr_v2_r34vd                                apache-2.0           -  -
        PekingU/rtdetr_v2_r50vd                                apache-2.0           -  COCO-val2017/box_map=53.4
        PekingU/rtdetr_v2_r101vd                               apache-2.0           -  COCO-val2017/box_map=54.3
        ustc-community/dfine-nano-coco                         apache-2.0           -  COCO-val2017/box_map=42.8
        ustc-community/dfine-small-coco                        apache-2.0           -  COCO-val2017/box_map=48.5
        ustc-community/dfine-medium-coco                       apache-2.0           -  COCO-val2017/box_map=52.3
        ustc-community/dfine-large-coco                        apache-2.0           -  COCO-val2017/box_map=54.0
        ustc-community/dfine-xlarge-coco                       apache-2.0           -  COCO-val2017/box_map=55.8
        microsoft/table-transformer-detection                  mit                  -  -
        SenseTime/deformable-detr-with-box-refine              apache-2.0           -  -
        SenseTime/deformable-detr-with-box-refine-two-stage    apache-2.0           -  -
        hustvl/yolos-small-{300,dwr}                           apache-2.0           -  -
        PekingU/rtdetr_r18vd_coco_o365                         apache-2.0           -  COCO-val2017/box_map=49.0
        PekingU/rtdetr_r101vd_coco_o365                        apache-2.0           -  COCO-val2017/box_map=56.2
        IDEA-Research/dab-detr-resnet-50                       apache-2.0           -  -
        microsoft/table-transformer-structure-recognition      mit                  -  -
        microsoft/table-transformer-structure-recognition-v1.1-{all,fin,pub} mit                  -  -
        ustc-community/dfine-{small,medium,large,xlarge}-obj365 apache-2.0           -  -
    """,
    "semantic_segmenter": """
        nvidia/segformer-b0-finetuned-ade-512-512              other                -  ADE20K/miou=37.4
        nvidia/segformer-b1-finetuned-ade-512-512              other                -  ADE20K/miou=42.2
        nvidia/segformer-b2-finetuned-ade-512-512              other                -  ADE20K/miou=46.5
        nvidia/segformer-b3-finetuned-ade-512-512              other                -  ADE20K/miou=49.4
        nvidia/segformer-b4-finetuned-ade-512-512              other                -  ADE20K/miou=50.3
        nvidia/segformer-b5-finetuned-ade-640-640              other                -  ADE20K/miou=51.0
        nvidia/segformer-b0-finetuned-cityscapes-1024-1024     other                -  Cityscapes/miou=76.2
        nvidia/segformer-b1-finetuned-cityscapes-1024-1024     other                -  Cityscapes/miou=78.5
        nvidia/segformer-b5-finetuned-cityscapes-1024-1024     other                -  Cityscapes/miou=82.4
        openmmlab/upernet-convnext-tiny                        mit                  -  -
        openmmlab/upernet-swin-tiny                            mit                  -  -
        apple/deeplabv3-mobilevit-small                        other                -  -
        microsoft/beit-base-finetuned-ade-640-640              apache-2.0           -  -
        Intel/dpt-large-ade                                    apache-2.0           -  -
        nvidia/segformer-b2-finetuned-cityscapes-1024-1024     other                -  -
        nvidia/segformer-b3-finetuned-cityscapes-1024-1024     other                -  -
        nvidia/segformer-b4-finetuned-cityscapes-1024-1024     other                -  -
        nvidia/segformer-b0-finetuned-cityscapes-{512-1024,640-1280,768-768} other                -  -
        openmmlab/upernet-convnext-{small,base,large,xlarge}   mit                  -  -
        openmmlab/upernet-swin-{small,base,large}              mit                  -  -
        apple/deeplabv3-mobilevit-{x-small,xx-small}           other                -  -
        google/deeplabv3_mobilenet_v2_1.0_513                  other                -  -
        microsoft/beit-large-finetuned-ade-640-640             apache-2.0           -  -
    """,
    "universal_semantic_segmenter": """
        facebook/mask2former-swin-tiny-ade-semantic            other                -  ADE20K/miou=47.7
        facebook/mask2former-swin-small-ade-semantic           other                -  ADE20K/miou=51.3
        facebook/mask2former-swin-large-ade-semantic           other                -  ADE20K/miou=56.1
        facebook/mask2former-swin-large-cityscapes-semantic    other                -  Cityscapes/miou=83.3
        facebook/maskformer-swin-tiny-ade                      other                -  ADE20K/miou=46.7
        facebook/maskformer-swin-small-ade                     other                -  ADE20K/miou=49.8
        facebook/maskformer-swin-large-ade                     other                -  ADE20K/miou=54.1
        facebook/mask2former-swin-{base,base-IN21k}-ade-semantic other                -  -
        facebook/mask2former-swin-{tiny,small,base-IN21k}-cityscapes-semantic other                -  -
        facebook/mask2former-swin-large-mapillary-vistas-semantic other                -  -
        facebook/maskformer-swin-base-ade                      other                -  -
    """,
    "instance_segmenter": """
        facebook/mask2former-swin-tiny-coco-instance           other                -  COCO-val2017/mask_map=45.0
        facebook/mask2former-swin-small-coco-instance          other                -  COCO-val2017/mask_map=46.3
        facebook/mask2former-swin-large-coco-instance          other                -  COCO-val2017/mask_map=50.1
        facebook/mask2former-swin-base-coco-instance           other                -  -
        facebook/mask2former-swin-{tiny,small,base-IN21k,large}-cityscapes-instance other                -  -
    """,
    "panoptic_segmenter": """
        facebook/mask2former-swin-tiny-coco-panoptic           other                -  COCO-val2017/pq=53.2
        facebook/mask2former-swin-small-coco-panoptic          other                -  COCO-val2017/pq=54.6
        facebook/mask2former-swin-large-coco-panoptic          other                -  COCO-val2017/pq=57.8
        facebook/maskformer-swin-tiny-coco                     other                -  COCO-val2017/pq=47.7
        facebook/maskformer-swin-small-coco                    other                -  COCO-val2017/pq=49.7
        facebook/maskformer-swin-large-coco                    other                -  COCO-val2017/pq=52.7
        facebook/detr-resnet-50-panoptic                       apache-2.0           -  COCO-val2017/pq=43.4
        facebook/detr-resnet-101-panoptic                      apache-2.0           -  COCO-val2017/pq=45.1
        facebook/mask2former-swin-{base,base-IN21k}-coco-panoptic other                -  -
        facebook/mask2former-swin-{tiny,small,base-IN21k,large}-cityscapes-panoptic other                -  -
        facebook/mask2former-swin-large-{ade,mapillary-vistas}-panoptic other                -  -
        facebook/maskformer-swin-base-coco                     other                -  COCO-val2017/pq=51.8
        facebook/detr-resnet-50-dc5-panoptic                   apache-2.0           -  COCO-val2017/pq=44.6
        tue-mps/coco_panoptic_eomt_large_640                   unknown              -  -
    """,
    "depth_estimator": """
        depth-anything/Depth-Anything-V2-Small-hf              apache-2.0           -  -
        depth-anything/Depth-Anything-V2-Base-hf               cc-by-nc-4.0         -  -
        depth-anything/Depth-Anything-V2-Large-hf              cc-by-nc-4.0         -  -
        LiheYoung/depth-anything-small-hf                      apache-2.0           -  -
        LiheYoung/depth-anything-base-hf                       apache-2.0           -  -
        LiheYoung/depth-anything-large-hf                      apache-2.0           -  -
        Intel/dpt-large                                        apache-2.0           -  -
        Intel/dpt-hybrid-midas                                 apache-2.0           -  -
        Intel/zoedepth-nyu-kitti                               mit                  -  -
        vinvino02/glpn-nyu                                     apache-2.0           -  -
        vinvino02/glpn-kitti                                   apache-2.0           -  -
        apple/DepthPro-hf                                      apple-amlr           -  -
        depth-anything/Depth-Anything-V2-Metric-{Indoor,Outdoor}-{Small,Base,Large}-hf unknown              -  -
        Intel/dpt-beit-{base-384,large-384,large-512}          mit                  -  -
        Intel/dpt-swinv2-{tiny-256,base-384,large-384}         mit                  -  -
        Intel/zoedepth-{nyu,kitti}                             mit                  -  -
        facebook/dpt-dinov2-{small,base,large,giant}-{nyu,kitti} apache-2.0           -  -
    """,
    "image_encoder": """
        facebook/dinov2-small                                  apache-2.0           -  -
        facebook/dinov2-base                                   apache-2.0           -  -
        facebook/dinov2-large                                  apache-2.0           -  -
        facebook/dinov2-with-registers-small                   apache-2.0           -  -
        facebook/dinov2-with-registers-base                    apache-2.0           -  -
        facebook/dino-vits16                                   apache-2.0           -  -
        facebook/dino-vitb16                                   apache-2.0           -  -
        google/vit-base-patch16-224-in21k                      apache-2.0           -  -
        openai/clip-vit-base-patch32                           unknown              -  -
        openai/clip-vit-base-patch16                           unknown              -  -
        openai/clip-vit-large-patch14                          unknown              -  -
        google/siglip-base-patch16-224                         apache-2.0           -  -
        google/siglip-so400m-patch14-384                       apache-2.0           -  -
        facebook/dinov2-giant                                  apache-2.0           -  -
        facebook/dinov2-with-registers-{large,giant}           apache-2.0           -  -
        facebook/dino-vit{s,b}8                                apache-2.0           -  -
        facebook/dinov3-{vits16,vits16plus,vitb16,vitl16,vith16plus}-pretrain-lvd1689m dinov3-license         -  -
        facebook/dinov3-convnext-{tiny,small,base,large}-pretrain-lvd1689m dinov3-license         -  -
        facebook/ijepa_vith14_{1k,22k}                         cc-by-nc-4.0         -  -
        google/vit-{large-patch16,base-patch32,large-patch32,huge-patch14}-224-in21k apache-2.0           -  -
        facebook/vit-mae-{base,large,huge}                     apache-2.0           -  -
        facebook/vit-msn-{small,base,large,base-4,large-7}     apache-2.0           -  -
        microsoft/beit-{base,large}-patch16-224-pt22k          apache-2.0           -  -
        openai/clip-vit-large-patch14-336                      unknown              -  -
        laion/CLIP-ViT-B-32-laion2B-s34B-b79K                  mit                  -  -
        laion/CLIP-ViT-L-14-laion2B-s32B-b82K                  mit                  -  -
        laion/CLIP-ViT-H-14-laion2B-s32B-b79K                  mit                  -  -
        google/siglip-base-patch16-{256,384,512,256-multilingual} apache-2.0           -  -
        google/siglip-large-patch16-{256,384}                  apache-2.0           -  -
        google/siglip-so400m-patch14-224                       apache-2.0           -  -
        google/siglip2-base-patch16-{224,256,384,512}          apache-2.0           -  -
        google/siglip2-base-patch32-256                        apache-2.0           -  -
        google/siglip2-large-patch16-{256,384,512}             apache-2.0           -  -
        google/siglip2-so400m-patch14-{224,384}                apache-2.0           -  -
        google/siglip2-so400m-patch16-{256,384,512}            apache-2.0           -  -
    """,
}
# fmt: on


def _each(lines: str) -> Iterator[tuple[str, ...]]:
    """The rows of the table, with braces expanded."""
    for line in lines.strip().splitlines():
        names, *facts = line.split()
        parts = [part.split(",") for part in re.split(r"[{}]", names)]  # every second part was in braces
        for chosen in itertools.product(*parts):
            yield "".join(chosen), *facts


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for builder, lines in TABLE.items():
        for repository, licence, params, figures in _each(lines):
            data, _, values = figures.partition("/")
            metrics = {} if figures == "-" else {data: dict(_figure(value) for value in values.split(","))}
            rows[repository.partition("/")[2]] = {
                "repository": repository,
                "builder": builder,
                "task": BY_BUILDER[builder].tasks[0],  # the task it was trained for; others can be selected
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
        docs=f"The branch main of {repository}; metrics are those of its paper or its authors' repository.",
        unknown=tuple(["metrics"] * (not facts["metrics"]) + ["num_params"] * (params is None)),
    )


CATALOGUE = Catalogue(__name__, _rows(), _describe)
__getattr__ = CATALOGUE.named


def in_words(arguments: Mapping[str, Any]) -> str:
    """Describe the steps of a processor from its settings."""
    if "repository" in arguments:
        return f"as in preprocessor_config.json of {arguments['repository']}"
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
