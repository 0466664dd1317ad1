"""Tiny models of transformers with random weights, saved as its own folders are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

import zoo.compat

zoo.compat.torchvision_operators()  # before the first of transformers' models is imported, where there is one

LABELS = ["road", "car", "person", "tree", "sky"]
PICTURE, SQUARE = {"height": 32, "width": 32}, {"height": 64, "width": 64}


def _resnet() -> Any:
    return hf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def _rt_backbone() -> Any:
    return hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def _swin(**more: Any) -> Any:
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2, "patch_size": 4}
    return hf.SwinConfig(image_size=64, **sizes, **more)


VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
DETR = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_queries": 10,
}
RT = {
    "d_model": 16,
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [8, 16, 16],
    "decoder_in_channels": [16, 16, 16],
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 10,
    "num_denoising": 0,
}
FORMER = {
    "feature_size": 32,
    "mask_feature_size": 32,
    "hidden_dim": 16,
    "encoder_feedforward_dim": 16,
    "dim_feedforward": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "num_queries": 2,
}
SEGFORMER = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}


def _vit(name: str, **more: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, name)(**VIT, **more)


def _plain(name: str, **settings: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, name)(**settings)


def _resized(name: str) -> Callable[[], Any]:
    return _plain(name, size=PICTURE, do_resize=True)


_EDGES = {"shortest_edge": 48, "longest_edge": 64}
_CUT = {"size": {"shortest_edge": 36}, "crop_size": PICTURE}
CNN = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
TEXTS = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 50,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "projection_dim": 12,
}

# Family → class, configuration, processor.
FAMILIES: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "vit": ("ViTForImageClassification", lambda: hf.ViTConfig(**VIT), _resized("ViTImageProcessor")),
    "deit_teacher": ("DeiTForImageClassificationWithTeacher", lambda: hf.DeiTConfig(**VIT), _plain(
        "DeiTImageProcessor", size={"height": 36, "width": 36}, crop_size=PICTURE)),
    "resnet": ("ResNetForImageClassification", _resnet, _plain(
        "ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875)),
    "swin": ("SwinForImageClassification", _swin, _plain(
        "ViTImageProcessor", size=SQUARE)),
    "detr": ("DetrForObjectDetection", lambda: hf.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=_resnet(), **DETR),
        _plain("DetrImageProcessor", size=_EDGES)),
    "yolos": ("YolosForObjectDetection", lambda: hf.YolosConfig(**{**VIT, "image_size": [32, 48]},
        num_detection_tokens=7), _plain("YolosImageProcessor", size=_EDGES)),
    "rt_detr": ("RTDetrForObjectDetection", lambda: hf.RTDetrConfig(backbone_config=_rt_backbone(), **RT), _plain(
        "RTDetrImageProcessor", size=SQUARE)),
    "rt_detr_v2": ("RTDetrV2ForObjectDetection", lambda: hf.RTDetrV2Config(backbone_config=_rt_backbone(), **RT),
        _plain("RTDetrImageProcessor", size=SQUARE)),
    "conditional_detr": ("ConditionalDetrForObjectDetection", lambda: hf.ConditionalDetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=_resnet(), **DETR),
        _plain("ConditionalDetrImageProcessor", size=_EDGES)),
    "segformer": ("SegformerForSemanticSegmentation", lambda: hf.SegformerConfig(**SEGFORMER), _plain(
        "SegformerImageProcessor", size=SQUARE)),
    "upernet": ("UperNetForSemanticSegmentation", lambda: hf.UperNetConfig(
        backbone_config=_swin(out_features=["stage1", "stage2", "stage3", "stage4"]), hidden_size=16,
        use_auxiliary_head=False, pool_scales=[1, 2]), _plain("SegformerImageProcessor", size=SQUARE)),
    "mask2former": ("Mask2FormerForUniversalSegmentation", lambda: hf.Mask2FormerConfig(
        backbone_config=_swin(out_features=["stage1", "stage2", "stage3", "stage4"]), **FORMER), _plain(
        "Mask2FormerImageProcessor", size=SQUARE, ignore_index=255, num_labels=5)),
    "maskformer": ("MaskFormerForInstanceSegmentation", lambda: hf.MaskFormerConfig(
        backbone_config=_swin(out_features=["stage1", "stage2", "stage3", "stage4"]),
        decoder_config=hf.DetrConfig(use_timm_backbone=False, backbone=None, use_pretrained_backbone=False,
                                     backbone_config=_resnet(), **{**DETR, "num_queries": 2}),
        mask_feature_size=32, fpn_feature_size=32), _plain(
        "MaskFormerImageProcessor", size=SQUARE, ignore_index=255, num_labels=5)),
    "depth_anything": ("DepthAnythingForDepthEstimation", lambda: hf.DepthAnythingConfig(
        backbone_config=hf.Dinov2Config(
            **VIT, out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False),
        patch_size=8, reassemble_hidden_size=16, fusion_hidden_size=8, head_hidden_size=8, neck_hidden_sizes=[8] * 4),
        _plain("DPTImageProcessor", size=PICTURE, keep_aspect_ratio=True, ensure_multiple_of=8)),
    "dpt": ("DPTForDepthEstimation", lambda: hf.DPTConfig(
        **VIT, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, is_hybrid=False),
        _plain("DPTImageProcessor", size=PICTURE)),
    "glpn": ("GLPNForDepthEstimation", lambda: hf.GLPNConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8),
        _plain("GLPNImageProcessor", size_divisor=32)),
    "dinov2": ("Dinov2Model", lambda: hf.Dinov2Config(**VIT), _plain(
        "BitImageProcessor", size={"shortest_edge": 36}, crop_size=PICTURE)),
    "vit_model": ("ViTModel", lambda: hf.ViTConfig(**VIT), _resized("ViTImageProcessor")),
    "clip": ("CLIPModel", lambda: hf.CLIPConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                     "vocab_size": 50, "projection_dim": 12, "eos_token_id": 2, "bos_token_id": 1},
        vision_config={**VIT, "projection_dim": 12}, projection_dim=12),
        _plain("CLIPImageProcessor", size={"shortest_edge": 36}, crop_size=PICTURE)),
    "siglip": ("SiglipModel", lambda: hf.SiglipConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                     "vocab_size": 50},
        vision_config=VIT), _resized("SiglipImageProcessor")),
}  # fmt: skip
FAMILIES |= {
    "convnext": (
        "ConvNextForImageClassification",
        lambda: hf.ConvNextConfig(**CNN),
        _plain("ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "convnextv2": (
        "ConvNextV2ForImageClassification",
        lambda: hf.ConvNextV2Config(**CNN),
        _plain("ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "swinv2": (
        "Swinv2ForImageClassification",
        lambda: hf.Swinv2Config(
            image_size=64, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=2, patch_size=4
        ),
        _plain("ViTImageProcessor", size=SQUARE),
    ),
    "beit": ("BeitForImageClassification", _vit("BeitConfig"), _resized("BeitImageProcessor")),
    "mobilenet_v1": (
        "MobileNetV1ForImageClassification",
        lambda: hf.MobileNetV1Config(depth_multiplier=0.1, min_depth=4, image_size=32),
        _plain("MobileNetV1ImageProcessor", **_CUT),
    ),
    "mobilenet_v2": (
        "MobileNetV2ForImageClassification",
        lambda: hf.MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, image_size=32),
        _plain("MobileNetV2ImageProcessor", **_CUT),
    ),
    "mobilevit": (
        "MobileViTForImageClassification",
        lambda: hf.MobileViTConfig(image_size=64, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16]),
        _plain("MobileViTImageProcessor", size={"shortest_edge": 72}, crop_size=SQUARE),
    ),
    "mobilevitv2": (
        "MobileViTV2ForImageClassification",
        lambda: hf.MobileViTV2Config(image_size=64, width_multiplier=0.25),
        _plain("MobileViTImageProcessor", size={"shortest_edge": 72}, crop_size=SQUARE),
    ),
    "regnet": (
        "RegNetForImageClassification",
        lambda: hf.RegNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], groups_width=4),
        _plain("ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "poolformer": (
        "PoolFormerForImageClassification",
        lambda: hf.PoolFormerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16]),
        _plain("PoolFormerImageProcessor", size={"shortest_edge": 64}, crop_size=SQUARE),
    ),
    "pvt_v2": (
        "PvtV2ForImageClassification",
        lambda: hf.PvtV2Config(
            image_size=64, depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2]
        ),
        _plain("PvtImageProcessor", size=SQUARE),
    ),
    "levit": (
        "LevitForImageClassificationWithTeacher",
        lambda: hf.LevitConfig(
            image_size=64, hidden_sizes=[16, 16, 16], num_attention_heads=[1, 1, 1], depths=[1, 1, 1], key_dim=[4, 4, 4]
        ),
        _plain("LevitImageProcessor", size={"shortest_edge": 64}, crop_size=SQUARE),
    ),
    "efficientnet": (
        "EfficientNetForImageClassification",
        lambda: hf.EfficientNetConfig(
            image_size=32, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, depth_divisor=8
        ),
        _plain("EfficientNetImageProcessor", size=PICTURE),
    ),
    "focalnet": (
        "FocalNetForImageClassification",
        lambda: hf.FocalNetConfig(
            image_size=32,
            patch_size=4,
            embed_dim=8,
            hidden_sizes=[8, 16],
            depths=[1, 1],
            focal_levels=[1, 1],
            focal_windows=[3, 3],
        ),
        _plain("BitImageProcessor", **_CUT),
    ),
    "hiera": (
        "HieraForImageClassification",
        lambda: hf.HieraConfig(image_size=[64, 64], embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
        _plain("BitImageProcessor", size={"shortest_edge": 72}, crop_size=SQUARE),
    ),
    "dinov2_classifier": ("Dinov2ForImageClassification", _vit("Dinov2Config"), _plain("BitImageProcessor", **_CUT)),
    "registers_classifier": (
        "Dinov2WithRegistersForImageClassification",
        _vit("Dinov2WithRegistersConfig"),
        _plain("BitImageProcessor", **_CUT),
    ),
    "vit_msn": ("ViTMSNForImageClassification", _vit("ViTMSNConfig"), _resized("ViTImageProcessor")),
    "swiftformer": (
        "SwiftFormerForImageClassification",
        lambda: hf.SwiftFormerConfig(image_size=64, depths=[1, 1, 1, 1], embed_dims=[8, 8, 16, 16]),
        _plain("ViTImageProcessor", size=SQUARE),
    ),
    "bit": (
        "BitForImageClassification",
        lambda: hf.BitConfig(embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 1, 1], num_groups=4),
        _plain("BitImageProcessor", **_CUT),
    ),
    "siglip_classifier": (
        "SiglipForImageClassification",
        lambda: hf.SiglipConfig(text_config=TEXTS, vision_config=VIT),
        _resized("SiglipImageProcessor"),
    ),
    "clip_classifier": (
        "CLIPForImageClassification",
        lambda: hf.CLIPConfig(text_config=TEXTS, vision_config=VIT),
        _plain("CLIPImageProcessor", **_CUT),
    ),
    "deit": (
        "DeiTForImageClassification",
        _vit("DeiTConfig"),
        _plain("DeiTImageProcessor", size={"height": 36, "width": 36}, crop_size=PICTURE),
    ),
    "data2vec": ("Data2VecVisionForImageClassification", _vit("Data2VecVisionConfig"), _resized("BeitImageProcessor")),
    "ijepa": ("IJepaForImageClassification", _vit("IJepaConfig"), _resized("ViTImageProcessor")),
    "segformer_classifier": (
        "SegformerForImageClassification",
        lambda: hf.SegformerConfig(**SEGFORMER),
        _plain("SegformerImageProcessor", size=SQUARE),
    ),
    "d_fine": (
        "DFineForObjectDetection",
        lambda: hf.DFineConfig(
            backbone_config=_rt_backbone(),
            **{**RT, "decoder_in_channels": [16, 16, 16], "max_num_bins": 8},
            eval_idx=-1,
        ),
        _plain("RTDetrImageProcessor", size=SQUARE),
    ),
    "deformable_detr": (
        "DeformableDetrForObjectDetection",
        lambda: hf.DeformableDetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=_resnet(),
            num_feature_levels=4,
            **{**DETR, "d_model": 32},
        ),
        _plain("DeformableDetrImageProcessor", size={"shortest_edge": 96, "longest_edge": 160}),
    ),
    "dab_detr": (
        "DabDetrForObjectDetection",
        lambda: hf.DabDetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=_resnet(),
            hidden_size=16,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            num_queries=10,
        ),
        _plain("ConditionalDetrImageProcessor", size=_EDGES),
    ),
    "table_transformer": (
        "TableTransformerForObjectDetection",
        lambda: hf.TableTransformerConfig(
            use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=_resnet(), **DETR
        ),
        _plain("DetrImageProcessor", size=_EDGES),
    ),
    "detr_panoptic": (
        "DetrForSegmentation",
        lambda: hf.DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=hf.ResNetConfig(
                embedding_size=16,
                hidden_sizes=[16, 32, 64, 128],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            **{**DETR, "d_model": 64, "encoder_attention_heads": 8, "decoder_attention_heads": 8},
        ),
        _plain("DetrImageProcessor", size=_EDGES),
    ),
    "lw_detr": (
        "LwDetrForObjectDetection",
        lambda: hf.LwDetrConfig(
            backbone_config=hf.LwDetrViTConfig(
                hidden_size=16,
                num_hidden_layers=4,
                num_attention_heads=2,
                image_size=64,
                pretrain_image_size=64,
                patch_size=8,
                num_windows=4,
                window_block_indices=[0, 2],
                out_indices=[1, 3],
            ),
            projector_scale_factors=[1.0],
            d_model=16,
            decoder_ffn_dim=16,
            decoder_layers=2,
            decoder_self_attention_heads=2,
            decoder_cross_attention_heads=2,
            num_queries=10,
            group_detr=1,
        ),
        _plain("DeformableDetrImageProcessor", size=SQUARE),
    ),
    "rf_detr": (
        "RfDetrForObjectDetection",
        lambda: hf.RfDetrConfig(
            backbone_config=hf.RfDetrDinov2Config(
                hidden_size=16,
                num_hidden_layers=4,
                num_attention_heads=2,
                image_size=64,
                patch_size=8,
                num_windows=1,
                out_indices=[1, 2, 3, 4],
            ),
            d_model=16,
            decoder_ffn_dim=16,
            decoder_layers=2,
            decoder_self_attention_heads=2,
            decoder_cross_attention_heads=2,
            num_queries=10,
            group_detr=1,
            num_feature_levels=1,
        ),
        _plain("RfDetrImageProcessor", size=SQUARE),
    ),
    "beit_semantic": (
        "BeitForSemanticSegmentation",
        _vit("BeitConfig", out_indices=[1, 2, 3, 4], pool_scales=[1, 2]),
        _resized("BeitImageProcessor"),
    ),
    "data2vec_semantic": (
        "Data2VecVisionForSemanticSegmentation",
        _vit("Data2VecVisionConfig", out_indices=[1, 2, 3, 4], pool_scales=[1, 2]),
        _resized("BeitImageProcessor"),
    ),
    "dpt_semantic": (
        "DPTForSemanticSegmentation",
        lambda: hf.DPTConfig(
            **VIT, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8, is_hybrid=False
        ),
        _plain("DPTImageProcessor", size=PICTURE),
    ),
    "mobilevit_semantic": (
        "MobileViTForSemanticSegmentation",
        lambda: hf.MobileViTConfig(
            image_size=64,
            hidden_sizes=[16, 16, 16],
            neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
            aspp_out_channels=8,
            atrous_rates=[1, 2, 3],
        ),
        _plain("MobileViTImageProcessor", size={"shortest_edge": 72}, crop_size=SQUARE),
    ),
    "mobilenet_semantic": (
        "MobileNetV2ForSemanticSegmentation",
        lambda: hf.MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, image_size=32),
        _plain("MobileNetV2ImageProcessor", **_CUT),
    ),
    "eomt": (
        "EomtForUniversalSegmentation",
        lambda: hf.EomtConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=64,
            patch_size=8,
            num_upscale_blocks=1,
            num_queries=4,
            num_blocks=1,
        ),
        _plain("EomtImageProcessor", size={"shortest_edge": 64, "longest_edge": 64}, do_pad=True),
    ),
    "zoedepth": (
        "ZoeDepthForDepthEstimation",
        lambda: hf.ZoeDepthConfig(
            backbone_config=hf.BeitConfig(
                **VIT,
                out_features=["stage1", "stage2", "stage3", "stage4"],
                reshape_hidden_states=False,
                use_relative_position_bias=True,
            ),
            backbone=None,
            backbone_hidden_size=16,
            neck_hidden_sizes=[8] * 4,
            fusion_hidden_size=8,
            bottleneck_features=8,
            num_relative_features=8,
            num_attractors=[2, 2, 2, 2],
            bin_embedding_dim=8,
            reassemble_factors=[4, 2, 1, 0.5],
            use_pretrained_backbone=False,
            patch_transformer_hidden_size=8,
            patch_transformer_intermediate_size=8,
            patch_transformer_num_attention_heads=2,
        ),
        _plain("ZoeDepthImageProcessor", size=PICTURE, ensure_multiple_of=8, keep_aspect_ratio=False),
    ),
    "prompt_depth": (
        "PromptDepthAnythingForDepthEstimation",
        lambda: hf.PromptDepthAnythingConfig(
            backbone_config=hf.Dinov2Config(
                **VIT, out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False
            ),
            patch_size=8,
            reassemble_hidden_size=16,
            fusion_hidden_size=8,
            head_hidden_size=8,
            neck_hidden_sizes=[8] * 4,
        ),
        _plain("DPTImageProcessor", size=PICTURE, keep_aspect_ratio=True, ensure_multiple_of=8),
    ),
    "dinov3_vit": (
        "DINOv3ViTModel",
        lambda: hf.DINOv3ViTConfig(**VIT),
        _plain("DINOv3ViTImageProcessor", size=PICTURE),
    ),
    "dinov3_convnext": (
        "DINOv3ConvNextModel",
        lambda: hf.DINOv3ConvNextConfig(**CNN),
        _plain("DINOv3ViTImageProcessor", size=PICTURE),
    ),
    "registers": ("Dinov2WithRegistersModel", _vit("Dinov2WithRegistersConfig"), _plain("BitImageProcessor", **_CUT)),
    "vit_mae": ("ViTMAEModel", _vit("ViTMAEConfig"), _resized("ViTImageProcessor")),
    "vit_mae_pretraining": ("ViTMAEForPreTraining", _vit("ViTMAEConfig"), _resized("ViTImageProcessor")),
    "msn_model": ("ViTMSNModel", _vit("ViTMSNConfig"), _resized("ViTImageProcessor")),
    "convnextv2_model": (
        "ConvNextV2Model",
        lambda: hf.ConvNextV2Config(**CNN),
        _plain("ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "swin_model": ("SwinModel", _swin, _plain("ViTImageProcessor", size=SQUARE)),
    "hiera_model": (
        "HieraModel",
        lambda: hf.HieraConfig(image_size=[64, 64], embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
        _plain("BitImageProcessor", size={"shortest_edge": 72}, crop_size=SQUARE),
    ),
    "ijepa_model": ("IJepaModel", _vit("IJepaConfig"), _resized("ViTImageProcessor")),
    "beit_model": ("BeitModel", _vit("BeitConfig"), _resized("BeitImageProcessor")),
    "resnet_model": (
        "ResNetModel",
        _resnet,
        _plain("ConvNextImageProcessor", size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    "clip_vision": ("CLIPVisionModel", lambda: hf.CLIPVisionConfig(**VIT), _plain("CLIPImageProcessor", **_CUT)),
    "clip_projection": (
        "CLIPVisionModelWithProjection",
        lambda: hf.CLIPVisionConfig(**VIT, projection_dim=12),
        _plain("CLIPImageProcessor", **_CUT),
    ),
    "siglip_vision": ("SiglipVisionModel", lambda: hf.SiglipVisionConfig(**VIT), _resized("SiglipImageProcessor")),
    "metaclip_2": (
        "MetaClip2Model",
        lambda: hf.MetaClip2Config(text_config=TEXTS, vision_config={**VIT, "projection_dim": 12}, projection_dim=12),
        _plain("CLIPImageProcessor", **_CUT),
    ),
    "aimv2": ("Aimv2VisionModel", lambda: hf.Aimv2VisionConfig(**VIT), _plain("CLIPImageProcessor", **_CUT)),
    "maskformer_resnet": (
        "MaskFormerForInstanceSegmentation",
        lambda: hf.MaskFormerConfig(
            backbone_config=hf.ResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 8, 16, 16],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            decoder_config=hf.DetrConfig(
                use_timm_backbone=False,
                backbone=None,
                use_pretrained_backbone=False,
                backbone_config=_resnet(),
                **{**DETR, "num_queries": 2},
            ),
            mask_feature_size=32,
            fpn_feature_size=32,
        ),
        _plain("MaskFormerImageProcessor", size=SQUARE, ignore_index=255, num_labels=5),
    ),
}
OF_NO_LABELS = set(
    """depth_anything dpt glpn zoedepth prompt_depth clip siglip metaclip_2 clip_vision clip_projection siglip_vision
    aimv2 dinov2 dinov3_vit dinov3_convnext registers vit_model vit_mae vit_mae_pretraining msn_model
    convnextv2_model swin_model hiera_model ijepa_model beit_model resnet_model"""
    "".split()
)
UNSURE = ("lw_detr", "rf_detr")  # at first of all that they see


def save(family: str, folder: Path) -> Any:
    """A model of the family, saved to ``folder`` with its processor; the same numbers each time."""
    name, configure, process = FAMILIES[family]
    config = configure()
    if family not in OF_NO_LABELS:
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {label: i for i, label in enumerate(LABELS)}
    torch.manual_seed(0)
    model = getattr(hf, name)(config).eval()
    with torch.no_grad():  # far from what initialisation gives, which is next to the same everywhere
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
        for name, parameter in model.named_parameters():
            if name == "class_predictor.weight":
                parameter.mul_(20)  # sure of what it sees
            if family in UNSURE and name.endswith("class_embed.bias"):
                parameter.zero_()
            if name == "class_predictor.bias":
                parameter[-1] -= 5  # the class of what is nothing, or all segments would be
    model.save_pretrained(folder)
    process().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\npipeline_tag: any\n---\n# Tiny\n")
    return model
