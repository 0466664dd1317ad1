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


def _plain(name: str, **settings: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, name)(**settings)


def _resized(name: str) -> Callable[[], Any]:
    return _plain(name, size=PICTURE, do_resize=True)


_EDGES = {"shortest_edge": 48, "longest_edge": 64}

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
OF_NO_LABELS = {"depth_anything", "dpt", "glpn", "dinov2", "vit_model", "clip", "siglip"}


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
            if name == "class_predictor.bias":
                parameter[-1] -= 5  # the class of what is nothing, or all segments would be
    model.save_pretrained(folder)
    process().save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\npipeline_tag: any\n---\n# Tiny\n")
    return model
