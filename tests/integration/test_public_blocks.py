"""Public blocks accept the arguments of code written for torchvision, by position and by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo_classification.googlenet import BasicConv2d, Inception, InceptionAux
from zoo_classification.inception import (
    InceptionA,
    InceptionAux as InceptionV3Aux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)
from zoo_classification.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2, SwinTransformerBlock
from zoo_classification.vgg import VGG, make_layers, vgg11_bn
from zoo_classification.vision_transformer import Encoder, EncoderBlock
from zoo_video.resnet import BasicBlock, BasicStem, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple, VideoResNet
from zoo_video.s3d import TemporalSeparableConv
from zoo_video.swin3d import ShiftedWindowAttention3d

NARROW = [8, "M", 8, 8, "M", 512]


def test_vgg_takes_a_module_of_features() -> None:
    features = make_layers(NARROW, batch_norm=True)
    assert [type(m).__name__ for m in features][:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    model = VGG(features, num_classes=3, init_weights=False, dropout=0.1).eval()
    assert model.features is features
    x = torch.randn(2, 3, 28, 28)
    assert model(x).shape == (2, 3)
    assert model.classifier[2].p == 0.1
    stages = {stage.path: stage for stage in model.feature_info}
    outputs: dict[str, Tensor] = {}
    for path in stages:
        model.get_submodule(path).register_forward_hook(lambda m, i, out, path=path: outputs.update({path: out}))
    model(x)
    for path, stage in stages.items():
        assert list(outputs[path].shape[1:]) == [stage.channels, 28 // stage.stride, 28 // stage.stride]
    plain = VGG(nn.Conv2d(1, 512, 3), num_classes=3, init_weights=False)
    assert plain.in_channels == 1
    assert plain(torch.randn(1, 1, 32, 32)).shape == (1, 3)
    with torch.device("meta"):
        published = vgg11_bn()
    by_cfg = make_layers([64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"], batch_norm=True)
    assert {k: v.shape for k, v in by_cfg.state_dict().items()} == {
        k: v.shape for k, v in published.features.state_dict().items()
    }


def test_convolutions_of_video_take_a_padding() -> None:
    x = torch.randn(1, 2, 5, 9, 9)
    assert Conv3DSimple(2, 3, None, 1, 0)(x).shape == (1, 3, 3, 7, 7)
    assert Conv3DSimple(in_planes=2, out_planes=3, midplanes=4, stride=2, padding=1)(x).shape == (1, 3, 3, 5, 5)
    assert Conv3DNoTemporal(2, 3, None, 1, 0)(x).shape == (1, 3, 5, 7, 7)
    assert Conv2Plus1D(2, 3, 4, 1, 0)(x).shape == (1, 3, 3, 7, 7)
    assert TemporalSeparableConv(2, 3, 3, 1, 0, nn.BatchNorm3d)(x).shape == (1, 3, 3, 7, 7)
    assert [m.get_downsample_stride(2) for m in (Conv3DSimple, Conv3DNoTemporal, Conv2Plus1D)] == [
        (2, 2, 2),
        (1, 2, 2),
        (2, 2, 2),
    ]

    class Spatial(Conv3DSimple):  # of someone else, as torchvision's makers are written
        def __init__(self, in_planes: int, out_planes: int, midplanes: int | None = None, stride: int = 1) -> None:
            nn.Conv3d.__init__(self, in_planes, out_planes, (1, 3, 3), (1, stride, stride), (0, 1, 1))

        @staticmethod
        def get_downsample_stride(stride: int) -> tuple[int, int, int]:
            return 1, stride, stride

    model = VideoResNet(BasicBlock, [Spatial] * 4, [1] * 4, BasicStem, num_classes=3, width=4)
    model.avgpool = nn.Identity()
    model.fc = nn.Identity()
    assert model.eval()(x[:, :1].expand(-1, 3, -1, -1, -1)).shape == (1, 32 * 5)  # five frames are left


def test_inception_blocks_take_conv_block() -> None:
    made: list[tuple[int, int]] = []

    def conv_block(inp: int, oup: int, **options: object) -> nn.Module:
        made.append((inp, oup))
        return BasicConv2d(inp, oup, **options)

    blocks = [
        Inception(4, 1, 2, 3, 2, 3, 4, conv_block=conv_block),
        InceptionAux(4, 3, conv_block=conv_block),
        InceptionA(4, 5, conv_block=conv_block),
        InceptionB(4, conv_block=conv_block),
        InceptionC(4, channels_7x7=5, conv_block=conv_block),
        InceptionD(4, conv_block=conv_block),
        InceptionE(4, conv_block=conv_block),
        InceptionV3Aux(4, 3, conv_block=conv_block),
    ]
    convolutions = [m for block in blocks for m in block.modules() if isinstance(m, BasicConv2d)]
    assert [(m.conv.in_channels, m.conv.out_channels) for m in convolutions] == made
    for block in (Inception(4, 1, 2, 3, 2, 3, 4, None), InceptionA(4, 5, None), InceptionV3Aux(4, 3, None)):
        assert isinstance(next(block.children()), BasicConv2d)


@pytest.mark.parametrize("kind", [ShiftedWindowAttention, ShiftedWindowAttentionV2, ShiftedWindowAttention3d])
def test_window_attention_takes_biases(kind: type[ShiftedWindowAttention]) -> None:
    window, shift = ([2, 3, 3], [1, 1, 1]) if kind is ShiftedWindowAttention3d else ([3, 3], [1, 1])
    attention = kind(4, window, shift, 2, False, False, 0.1, 0.2)
    assert attention.qkv.bias is None
    assert attention.proj.bias is None
    assert (attention.attention_dropout, attention.dropout) == (0.1, 0.2)
    x = torch.randn(2, *(4, 7, 7)[-len(window) :], 4)
    biased = kind(4, window, shift, 2, qkv_bias=True, proj_bias=True)
    biased.load_state_dict(attention.state_dict(), strict=False)
    nn.init.zeros_(biased.qkv.bias)
    nn.init.zeros_(biased.proj.bias)
    torch.testing.assert_close(attention.eval()(x), biased.eval()(x))
    block = SwinTransformerBlock(4, 2, [3, 3], [1, 1], attn_layer=ShiftedWindowAttentionV2)
    assert isinstance(block.attn, ShiftedWindowAttentionV2)


def test_vits_encoder_takes_torchvisions_arguments_in_order() -> None:
    encoder = Encoder(5, 2, 2, 8, 16, 0.0, 0.1, nn.LayerNorm)
    assert encoder(torch.randn(3, 5, 8)).shape == (3, 5, 8)
    assert encoder.layers.encoder_layer_1.self_attention.dropout == 0.1
    assert EncoderBlock(2, 8, 16, 0.0, 0.1)(torch.randn(3, 5, 8)).shape == (3, 5, 8)
