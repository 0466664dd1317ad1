"""Tools that use a model's graph: feature extraction by node names, ONNX and TorchScript with torch's functions."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from zoo.models.feature_extraction import create_feature_extractor, get_graph_node_names

import zoo
from zoo.errors import InvalidArgument


def test_names_of_nodes():
    train, evaluation = get_graph_node_names(zoo.models.resnet18())
    assert train == evaluation
    assert evaluation[:5] == ["x", "conv1", "bn1", "relu", "maxpool"]
    assert {"layer1.0.relu", "layer1.0.add", "layer1.0.relu_1", "layer4.1.relu_1"} <= {*evaluation}
    assert evaluation[-3:] == ["avgpool", "flatten", "fc"]
    assert "features.0" in get_graph_node_names(zoo.models.mobilenet_v3_small())[1], "blocks are single nodes"


# Nodes that torchvision's models have.
NODES = {
    "vit_b_32": "conv_proj class_token expand cat encoder.add encoder.dropout encoder.layers.encoder_layer_3.ln"
    " encoder.layers.encoder_layer_3.self_attention encoder.layers.encoder_layer_3.getitem"
    " encoder.layers.encoder_layer_3.dropout encoder.layers.encoder_layer_3.add encoder.layers.encoder_layer_3.ln_1"
    " encoder.layers.encoder_layer_3.mlp encoder.layers.encoder_layer_3.add_1 encoder.ln heads.head",
    "swin_t": "features.0.2 features.1.0.norm1 features.1.0.mlp features.1.0.add_1 norm permute avgpool flatten head",
    "squeezenet1_1": "features.3.squeeze_activation features.3.expand1x1_activation features.3.cat flatten",
    "mobilenet_v2": "features.18 adaptive_avg_pool2d flatten classifier.1",
    "regnet_y_400mf": "stem trunk_output.block1.block1-0.f.a trunk_output.block4.block4-5.activation flatten fc",
    "densenet121": "features.conv0 features.denseblock4.denselayer16.conv2 features.norm5 relu flatten classifier",
}


@pytest.mark.parametrize("name", NODES)
def test_names_of_nodes_are_torchvisions(name):
    with torch.device("meta"):
        model = zoo.get_model(name)
    assert {*NODES[name].split()} <= {*get_graph_node_names(model, suppress_diff_warning=True)[1]}


def test_first_and_second_norm_of_a_transformer():
    model = zoo.models.vit_b_32(image_size=64).eval()
    block = model.encoder.layers.encoder_layer_0
    features = create_feature_extractor(
        model, {f"encoder.layers.encoder_layer_0.{n}": n for n in ("ln", "ln_1", "mlp", "getitem")}
    )
    x = torch.rand(1, 3, 64, 64)
    seen = {}

    def see(name):
        def hook(module, args, out):
            seen[name] = out[0] if isinstance(out, tuple) else out

        return hook

    for part, name in ((block.ln_1, "ln"), (block.ln_2, "ln_1"), (block.mlp, "mlp"), (block.self_attention, "getitem")):
        part.register_forward_hook(see(name))
    found = features(x)
    model(x)
    assert all(torch.equal(found[name], seen[name]) for name in found)


def test_features_of_nodes():
    model = zoo.models.resnet18().eval()
    features = create_feature_extractor(model, {"layer2": "low", "layer4.1.relu_1": "high", "flatten": "pooled"})
    x = torch.rand(2, 3, 64, 64)
    found = features(x)
    assert list(found) == ["low", "high", "pooled"]
    hooked = zoo.feature_extractor(model, {"layer2": "low", "layer4": "high"})(x)
    assert torch.equal(found["low"], hooked["low"])
    assert torch.equal(found["high"], hooked["high"])
    assert torch.equal(model.fc(found["pooled"]), model(x))
    assert features.conv1.weight is model.conv1.weight
    assert not hasattr(features, "fc"), "no module that the outputs do not need"
    assert {*features.state_dict()} == {key for key in model.state_dict() if not key.startswith("fc.")}
    twin = copy.deepcopy(features)
    assert torch.equal(twin.train().eval()(x)["pooled"], found["pooled"])


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t", "shufflenet_v2_x0_5", "densenet121"])
def test_the_last_node_is_the_model(name):
    model = zoo.get_model(name, num_classes=5).eval()
    features = create_feature_extractor(model, get_graph_node_names(model, suppress_diff_warning=True)[1][-1:])
    x = torch.rand(1, 3, 224, 224)
    assert torch.equal(next(iter(features(x).values())), model(x))


def test_modes_have_graphs_of_their_own():
    model = zoo.models.googlenet(init_weights=False, aux_logits=True)
    with pytest.warns(UserWarning, match="GoogLeNet has other nodes in train mode than in eval mode"):
        train, evaluation = get_graph_node_names(model)
    assert "aux1.fc2" in set(train) - set(evaluation)
    features = create_feature_extractor(model, train_return_nodes=["aux1.fc2"], eval_return_nodes={"flatten": "pooled"})
    x = torch.rand(2, 3, 96, 96)
    assert model.training
    assert list(features(x)) == ["aux1.fc2"]
    assert list(features.eval()(x)) == ["pooled"]
    assert list(features.train()(x)) == ["aux1.fc2"]


def test_tensors_of_the_model_itself_and_leaves():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.scale = nn.Parameter(torch.ones(4))
            self.register_buffer("shift", torch.ones(4))

        def forward(self, x):
            return self.block(x) * self.scale + self.shift

    model = Net().eval()
    assert get_graph_node_names(model, {"leaf_modules": [nn.Sequential]})[1] == [
        "x",
        "block",
        "scale",
        "mul",
        "shift",
        "add",
    ]
    features = create_feature_extractor(model, ["mul", "add"])
    assert isinstance(features.scale, nn.Parameter)
    assert "shift" in features.state_dict()
    assert torch.equal(features(torch.ones(2, 4))["add"], model(torch.ones(2, 4)))


def test_what_there_is_not_is_named():
    model = zoo.models.resnet18()
    with pytest.raises(InvalidArgument, match=r"no node 'layer9'.* Did you mean 'layer\d.*get_graph_node_names"):
        create_feature_extractor(model, ["layer9"])
    with pytest.raises(InvalidArgument, match="Give return_nodes, or train_return_nodes and eval_return_nodes"):
        create_feature_extractor(model, train_return_nodes=["fc"])
    assert model.training


@pytest.mark.parametrize(
    "build",
    [
        lambda: zoo.models.resnet18(),
        lambda: nn.Sequential(zoo.models.video.r3d_18()),
        lambda: zoo.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None),
        lambda: zoo.models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None),
        lambda: zoo.models.optical_flow.raft_small(),
        lambda: zoo.models.quantization.resnet18(quantize=False),
        lambda: zoo.ops.RoIAlign(2, 1.0, 2),
        lambda: zoo.ops.PSRoIPool(2, 1.0),
        lambda: zoo.ops.DeformConv2d(2, 2, 3),
        lambda: nn.Sequential(zoo.ops.FrozenBatchNorm2d(3), zoo.ops.StochasticDepth(0.1, "row")),
        lambda: zoo.ops.FeaturePyramidNetwork([2], 2),
        lambda: zoo.models.ResNet18_Weights.DEFAULT.transforms(),
        lambda: nn.Sequential(zoo.transforms.Resize(8), zoo.transforms.Normalize([0.5], [0.5])),
    ],
)
def test_torchscript_ends_in_a_sentence(build):
    with torch.device("meta"):
        model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(
            InvalidArgument, match=r"does not support torch\.jit\.script, .* torch\.export.*zoo export"
        ) as caught:
            torch.jit.script(model)
    assert len(str(caught.value)) < 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "vit_b_32", "maxvit_t", "swin3d_t", "mvit_v2_s"])
def test_attention_goes_through_torchs_own_onnx_export(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    video = name in zoo.list_models(plugin="video")
    model, x = zoo.get_model(name).eval(), torch.rand(1, 3, *((16,) if video else ()), 224, 224)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), model(x).detach(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "swin_t", "vit_b_32"])
def test_graphs_are_pickled(name, tmp_path):
    """Modules created by FX-based tools can be pickled."""
    options = {"init_weights": False} if name == "googlenet" else {"image_size": 64} if name[0] == "v" else {}
    model, x = zoo.get_model(name, num_classes=3, **options).eval(), torch.rand(1, 3, 64, 64)
    last = get_graph_node_names(model, suppress_diff_warning=True)[1][-1]
    for made in (torch.fx.symbolic_trace(model), create_feature_extractor(model, [last])):
        torch.save(made, tmp_path / "graph.pt")
        read = torch.load(tmp_path / "graph.pt", weights_only=False)
        found, want = read(x), made(x)
        assert torch.equal(*([o[last] if isinstance(o, dict) else o for o in (found, want)]))
        assert read.state_dict().keys() == made.state_dict().keys()
        torch.save(read, tmp_path / "again.pt")


def test_a_pickled_extractor_has_both_modes(tmp_path):
    model, x = zoo.models.googlenet(init_weights=False), torch.rand(2, 3, 64, 64)
    features = create_feature_extractor(model, train_return_nodes=["aux1.fc2"], eval_return_nodes=["flatten"])
    torch.save(features, tmp_path / "features.pt")
    read = torch.load(tmp_path / "features.pt", weights_only=False)
    assert read.training
    assert list(read(x)) == list(features(x)) == ["aux1.fc2"]
    assert torch.equal(read.eval()(x)["flatten"], features.eval()(x)["flatten"])
    assert read.state_dict().keys() == features.state_dict().keys()
    assert {key for key in read.state_dict() if key.startswith("conv1.")}
