"""Arguments and entries documented in older pages and tables keep their meaning."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from helpers import read_reference

import zoo
from zoo import models
from zoo.errors import WeightsWarning

ROOT = Path(__file__).parents[2]


@pytest.fixture
def loaded(monkeypatch):
    """The URLs that builders would have loaded; they build with random numbers instead."""
    urls: list[str] = []

    def build(own, weights, progress, mmap, kwargs):
        urls.append(weights.url.rsplit("/", 1)[1])
        given = {**weights.config, **kwargs}
        return own.function(**given), given, False

    monkeypatch.setattr("zoo.loading.builders._Builder._build_filled", build)
    return urls


@pytest.mark.parametrize(
    ("build", "arguments", "entry"),
    [
        ("optical_flow.raft_large", {"pretrained": True}, models.optical_flow.Raft_Large_Weights.C_T_SKHT_V2),
        ("optical_flow.raft_small", {"pretrained": True}, models.optical_flow.Raft_Small_Weights.C_T_V2),
        ("resnet50", {"pretrained": True}, models.ResNet50_Weights.IMAGENET1K_V1),
        (
            "detection.keypointrcnn_resnet50_fpn",
            {"pretrained": "legacy", "pretrained_backbone": False},
            models.detection.KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY,
        ),
        *(
            (f"detection.{name}", {"pretrained_backbone": True}, models.ResNet50_Weights.IMAGENET1K_V1)
            for name in ("fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn_v2")
        ),
        ("detection.fasterrcnn_resnet50_fpn", {"pretrained_backbone": True}, models.ResNet50_Weights.IMAGENET1K_V1),
        ("segmentation.fcn_resnet50", {"pretrained_backbone": True}, models.ResNet50_Weights.IMAGENET1K_V1),
    ],
)
def test_arguments_from_before_weights(build, arguments, entry, loaded):
    space, _, name = build.rpartition(".")
    with torch.device("meta"), pytest.warns(DeprecationWarning, match="before torchvision 0.13"):
        vars(getattr(models, space) if space else models)[name](**arguments)
    assert loaded[0] == entry.url.rsplit("/", 1)[1]


# The constructors in the oldest page with ``pretrained=True``; each loads its first published file.
PRETRAINED = """
    resnet18 alexnet squeezenet1_0 vgg16 densenet161 inception_v3 googlenet shufflenet_v2_x1_0 mobilenet_v2
    mobilenet_v3_large mobilenet_v3_small resnext50_32x4d wide_resnet50_2 mnasnet1_0
    detection.fasterrcnn_resnet50_fpn detection.fasterrcnn_mobilenet_v3_large_fpn
    detection.fasterrcnn_mobilenet_v3_large_320_fpn detection.retinanet_resnet50_fpn detection.maskrcnn_resnet50_fpn
    detection.keypointrcnn_resnet50_fpn segmentation.fcn_resnet50 segmentation.deeplabv3_resnet50
    segmentation.deeplabv3_resnet101 video.r3d_18 video.mc3_18 video.r2plus1d_18
""".split()


@pytest.mark.parametrize("build", PRETRAINED)
@pytest.mark.parametrize("arguments", [{"pretrained": True}, (True, False)])
def test_pretrained_is_the_first_file(build, arguments, loaded):
    space, _, name = build.rpartition(".")
    keywords = arguments if isinstance(arguments, dict) else {}
    with torch.device("meta"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vars(getattr(models, space) if space else models)[name](*(() if keywords else arguments), **keywords)
    assert any(w.category is DeprecationWarning and "before torchvision 0.13" in str(w.message) for w in caught)
    entry = next(iter(zoo.get_model_weights(name)))
    if name == "keypointrcnn_resnet50_fpn":  # its first file is the legacy one
        entry = models.detection.KeypointRCNN_ResNet50_FPN_Weights.COCO_V1
    assert loaded[0] == entry.url.rsplit("/", 1)[1]


# Metrics in older tables that newer ones measured again; the newest is used.
MEASURED_ANEW = {
    "EfficientNet_V2_L_Weights.IMAGENET1K_V1": (85.808, 97.788),
    "Swin_T_Weights.IMAGENET1K_V1": (81.474, 95.776),
    "R3D_18_Weights.KINETICS400_V1": (63.2, 83.479),
    "MC3_18_Weights.KINETICS400_V1": (63.96, 84.13),
    "R2Plus1D_18_Weights.KINETICS400_V1": (67.463, 86.175),
}


def test_older_tables_cell_by_cell():
    """191 cells, as they are printed."""
    table = read_reference("older_tables")
    assert sum(len(cells) for cells in table.values()) == 191
    for name, cells in table.items():
        (metrics,) = zoo.get_weight(name).value.metrics.values()
        if name in MEASURED_ANEW:
            assert tuple(metrics.values()) == MEASURED_ANEW[name]
            assert all(metrics[key] != float(cell) for key, cell in cells.items())
        else:
            assert {key: metrics[key] for key in cells} == {key: float(cell) for key, cell in cells.items()}


def test_positional_arguments_of_old_calls(loaded):
    with pytest.warns(DeprecationWarning, match="before torchvision 0.13"):
        model = models.detection.fasterrcnn_resnet50_fpn(False, True, 5, False)
    assert model.roi_heads.box_predictor.cls_score.out_features == 5
    assert loaded == []


def frozen(model):
    return {
        n.split(".")[2] for n, p in model.named_parameters() if not p.requires_grad and n.startswith("backbone.body")
    }


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"])
@pytest.mark.parametrize(
    ("layers", "want"),
    [
        (0, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        (1, {"conv1", "bn1", "layer1", "layer2", "layer3"}),
        (None, {"conv1", "bn1", "layer1"}),
        (5, set()),
    ],
)
def test_layers_that_are_trained_of_a_backbone_with_weights(name, layers, want, loaded):
    entry = models.ResNet50_Weights.IMAGENET1K_V1
    model = zoo.get_model(name, weights_backbone=entry, trainable_backbone_layers=layers)
    norms = "v2" in name  # a frozen batch norm has no parameters
    assert frozen(model) == {part for part in want if norms or part != "bn1"}
    assert len(loaded) == 1


@pytest.mark.parametrize(
    "name",
    [
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "ssd300_vgg16",
        "ssdlite320_mobilenet_v3_large",
    ],
)
@pytest.mark.parametrize("layers", [0, 1, 2, 5])
def test_what_starts_from_nothing_is_trained_whole(name, layers):
    with pytest.warns(
        WeightsWarning, match=f"trainable_backbone_layers={layers} is ignored, and the complete backbone is trained"
    ):
        model = zoo.get_model(name, weights_backbone=None, trainable_backbone_layers=layers)
    assert all(p.requires_grad for p in model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = zoo.get_model(name, weights_backbone=None)
    assert all(p.requires_grad for p in model.parameters())


def test_a_file_of_the_whole_model_is_something_to_start_from(tmp_path):
    name = "fasterrcnn_resnet50_fpn_v2"
    torch.save(zoo.get_model(name, weights_backbone=None).state_dict(), tmp_path / "model.pth")
    assert frozen(zoo.get_model(name, weights=tmp_path / "model.pth")) == {"conv1", "bn1", "layer1"}
    model = zoo.get_model(name, weights=tmp_path / "model.pth", trainable_backbone_layers=4)
    assert frozen(model) == {"conv1", "bn1"}


def test_features_of_vgg_name_no_classes():
    meta = models.VGG16_Weights.IMAGENET1K_FEATURES.meta
    assert meta["categories"] is None
    assert models.VGG16_Weights.IMAGENET1K_V1.meta["categories"][0] == "tench"
    assert "categories" in meta


HUB = """
import sys, torch
load = lambda *a, **k: torch.hub.load(sys.argv[1], *a, source="local", **k)
print(load("get_weight", weights="ResNet50_Weights.IMAGENET1K_V2"), load("get_weight", name="R3D_18_Weights.DEFAULT"))
print(load("get_weight", weights="ResNet18_QuantizedWeights.DEFAULT"))
print(load("get_weight", "FCN_ResNet50_Weights.DEFAULT"))
print(*(type(load(name, **k)).__name__ for name, k in {
    "quantized_resnet18": {"quantize": False}, "fcn_resnet50": {"weights_backbone": None},
    "ssdlite320_mobilenet_v3_large": {"weights_backbone": None}, "raft_small": {}}.items()))
import warnings; warnings.simplefilter("ignore")
print(type(load("resnet18", pretrained=False)).__name__)
print(type(load("quantized_shufflenet_v2_x0_5", quantize=True).conv1[0]).__module__)
for name, given in {"resnet18": {"pretrained": True}, "fcn_resnet50": {"weights": "DEFAULT"},
                    "quantized_resnet18": {"pretrained": True, "quantize": True},
                    "keypointrcnn_resnet50_fpn": {"pretrained": "legacy"}}.items():
    try:
        load(name, **given)
    except OSError as e:  # ZOO_OFFLINE=1
        print(*[word for word in str(e).split() if word.startswith("https://") and ".pth" in word][:1])
"""


@pytest.mark.parametrize("installed", [True, False])
def test_torch_hub(installed, tmp_path, site_without_zoo):
    environment, flags = {**os.environ, "ZOO_OFFLINE": "1"}, []
    if not installed:
        environment["PYTHONPATH"], flags = str(site_without_zoo), ["-S"]
    command = [sys.executable, *flags, "-c", HUB, str(ROOT)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert (
        out.split()
        == (
            "ResNet50_Weights.IMAGENET1K_V2 R3D_18_Weights.KINETICS400_V1 "
            "ResNet18_QuantizedWeights.IMAGENET1K_FBGEMM_V1 FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1 "
            "QuantizableResNet FCN SSD RAFT ResNet torch.ao.nn.intrinsic.quantized.modules.conv_relu "
            "https://download.pytorch.org/models/resnet18-f37072fd.pth "
            "https://download.pytorch.org/models/fcn_resnet50_coco-1167a1af.pth "
            "https://download.pytorch.org/models/quantized/resnet18_fbgemm_16fa66dd.pth "
            "https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-9f466800.pth"
        ).split()
    )


def test_memory_efficient_densenet_keeps_less_for_the_backward_pass():
    x = torch.rand(2, 3, 64, 64)

    def kept(memory_efficient):
        torch.manual_seed(0)
        model, sizes = models.densenet121(memory_efficient=memory_efficient), {}

        def pack(t):
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = model(x).sum()
        return out, sum(sizes.values())

    (plain, more), (saving, less) = kept(False), kept(True)
    torch.testing.assert_close(plain, saving)
    parameters = sum(p.numel() for p in models.densenet121().parameters()) * 4
    assert less - parameters < 0.5 * (more - parameters)
