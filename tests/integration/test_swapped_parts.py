"""Parts of a model replaced after building: its checks follow the current parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument

# Path of the first convolution, and of the last layer; an input of one channel.
MODELS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "alexnet": ("features.0", "classifier.6", (2, 1, 63, 63)),
    "convnext_tiny": ("features.0.0", "classifier.2", (2, 1, 32, 32)),
    "densenet121": ("features.conv0", "classifier", (2, 1, 32, 32)),
    "efficientnet_b0": ("features.0.0", "classifier.1", (2, 1, 32, 32)),
    "efficientnet_lite0": ("features.0.0", "classifier.1", (2, 1, 32, 32)),
    "googlenet": ("conv1.conv", "fc", (2, 1, 32, 32)),
    "inception_v3": ("Conv2d_1a_3x3.conv", "fc", (1, 1, 75, 75)),
    "maxvit_t": ("stem.0.0", "classifier.5", (1, 1, 224, 224)),
    "mnasnet0_5": ("layers.0", "classifier.1", (2, 1, 32, 32)),
    "mobilenet_v2": ("features.0.0", "classifier.1", (2, 1, 32, 32)),
    "mobilenet_v3_small": ("features.0.0", "classifier.3", (2, 1, 32, 32)),
    "regnet_y_400mf": ("stem.0", "fc", (2, 1, 32, 32)),
    "resnet18": ("conv1", "fc", (2, 1, 32, 32)),
    "shufflenet_v2_x0_5": ("conv1.0", "fc", (2, 1, 32, 32)),
    "squeezenet1_1": ("features.0", "classifier.1", (2, 1, 32, 32)),
    "swin_t": ("features.0.0", "head", (2, 1, 32, 32)),
    "vgg11": ("features.0", "classifier.6", (2, 1, 32, 32)),
    "vit_b_32": ("conv_proj", "heads.head", (2, 1, 64, 64)),
    "mc3_18": ("stem.0", "fc", (2, 1, 3, 16, 16)),
    "r3d_18": ("stem.0", "fc", (2, 1, 3, 16, 16)),
    "mvit_v2_s": ("conv_proj", "head.1", (1, 1, 4, 64, 64)),
    "s3d": ("features.0.0.0", "classifier.1", (1, 1, 13, 209, 209)),
    "swin3d_t": ("patch_embed.proj", "head", (2, 1, 2, 16, 16)),
    "fcn_resnet50": ("backbone.conv1", "classifier.4", (1, 1, 32, 32)),
    "lraspp_mobilenet_v3_large": ("backbone.0.0", "classifier.low_classifier", (1, 1, 32, 32)),
    "quantized_resnet18": ("conv1", "fc", (2, 1, 32, 32)),
    "quantized_googlenet": ("conv1.conv", "fc", (2, 1, 32, 32)),
}
CONFIG = {
    "vit_b_32": {"image_size": 64},
    "mvit_v2_s": {"spatial_size": (64, 64), "temporal_size": 4},
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
    "quantized_googlenet": {"init_weights": False},
    "fcn_resnet50": {"weights_backbone": None},
    "lraspp_mobilenet_v3_large": {"weights_backbone": None},
}


def of_channels(conv: nn.Module, channels: int) -> nn.Module:
    """The standard recipe for grey pictures."""
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    return type(conv)(
        channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
    )  # type: ignore[arg-type]


class FromGrey(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, *x.shape[2:])


@pytest.mark.parametrize("name", MODELS)
def test_first_convolution_and_last_layer_can_be_replaced(name: str) -> None:
    first, last, shape = MODELS[name]
    model = zoo.get_model(name, **CONFIG.get(name, {})).eval()
    conv, grey = model.get_submodule(first), torch.randn(shape)
    colour = grey.expand(-1, 3, *shape[2:])
    with torch.no_grad():
        with pytest.raises(InvalidArgument, match=r"have 1 channels .* takes 3"):
            model(grey)
        model.set_submodule(first, nn.Sequential(FromGrey(), conv))  # its input is unknown
        want = model(grey)
        model.set_submodule(first, conv)
        outputs = [o["out"] if isinstance(o, dict) else o for o in (want, model(colour))]
        assert torch.equal(*outputs)
        model.set_submodule(first, of_channels(conv, 1))
        head = model.get_submodule(last)
        width = head.in_features if isinstance(head, nn.Linear) else head.in_channels
        new = nn.Linear(width, 7) if isinstance(head, nn.Linear) else type(head)(width, 7, 1)
        if "lraspp" not in name:  # its second classifier would have to be replaced too
            model.set_submodule(last, new)
        out = model(grey)
        assert (out["out"] if isinstance(out, dict) else out).shape[1] == (21 if "lraspp" in name else 7)
        with pytest.raises(InvalidArgument, match=r"have 3 channels .* takes 1"):
            model(colour)
    if hasattr(model, "in_channels"):
        assert model.in_channels == 1


@pytest.mark.parametrize(("name", "smallest"), [("alexnet", "63×63"), ("vgg11", "32×32"), ("squeezenet1_1", "17×17")])
def test_small_pictures_pass_where_the_strides_were_taken_out(name: str, smallest: str) -> None:
    model, x = zoo.get_model(name, num_classes=5).eval(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        with pytest.raises(InvalidArgument, match=f"images are 16×16 and this model needs at least {smallest}") as e:
            model(x)
        assert isinstance(e.value.__cause__, RuntimeError)
        for path, module in list(model.features.named_modules()):
            if isinstance(module, nn.MaxPool2d):
                model.features.set_submodule(path, nn.Identity())
        assert model(x).shape == (2, 5)


def test_replaced_parts_pass_through_quantization_and_optimization() -> None:
    import zoo_quantized

    x = torch.randn(2, 1, 40, 40)
    model = zoo.get_model("quantized_shufflenet_v2_x0_5", num_classes=4).eval()
    model.conv1[0] = of_channels(model.conv1[0], 1)
    for backend in ("x86", "reference"):
        if backend == "reference" or backend in torch.backends.quantized.supported_engines:
            int8 = zoo_quantized.quantize(model, [x], backend, progress=False)
            assert int8(x).shape == (2, 4)
            with pytest.raises(InvalidArgument, match="takes 1"):
                int8(x.expand(-1, 3, -1, -1))
    grey = zoo.get_model("resnet18").eval()
    grey.conv1 = of_channels(grey.conv1, 1)
    with torch.no_grad():
        want = grey(x)
        torch.testing.assert_close(zoo.optimize(grey)(x), want, rtol=1e-3, atol=1e-3)


def test_first_convolutions_of_a_flow_model() -> None:
    model, frames = zoo.models.optical_flow.raft_small().eval(), torch.rand(2, 1, 1, 128, 128)
    with pytest.raises(InvalidArgument, match=r"have 1 channels .* takes 3"):
        model(*frames, num_flow_updates=1)
    for encoder in (model.feature_encoder, model.context_encoder):
        encoder.convnormrelu[0] = of_channels(encoder.convnormrelu[0], 1)
    assert model(*frames, num_flow_updates=1)[0].shape == (1, 2, 128, 128)
    assert model.in_channels == 1
