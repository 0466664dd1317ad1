from __future__ import annotations

import copy
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo_classification import resnet18


def test_features_are_the_outputs_of_the_submodules():
    torch.manual_seed(0)
    model = resnet18().eval()
    x = torch.rand(2, 3, 64, 64)
    extractor = zoo.feature_extractor(model, ["layer2", "layer4.1"])
    with torch.no_grad():
        found = extractor(x)
        stem = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        layer2 = model.layer2(model.layer1(stem))
    assert list(found) == ["layer2", "layer4.1"]
    assert torch.equal(found["layer2"], layer2)
    assert found["layer4.1"].shape == (2, 512, 2, 2)
    assert not any(m._forward_hooks for m in model.modules())


def test_features_can_be_renamed_and_have_gradients():
    model = resnet18()
    found = zoo.feature_extractor(model, {"layer1": "low"})(torch.rand(2, 3, 64, 64))
    found["low"].sum().backward()
    assert model.conv1.weight.grad is not None


@pytest.mark.parametrize("nodes", [["layer9"], [""], {"layer1": "a", "layer2": "a"}])
def test_nodes_that_cannot_be(nodes):
    with pytest.raises(InvalidArgument, match=r"Did you mean 'layer|no submodule ''|share a name"):
        zoo.feature_extractor(resnet18(), nodes)


def test_feature_info_builds_nothing_real():
    stages = zoo.feature_info("resnet50")
    assert [(s.path, s.channels, s.stride) for s in stages] == [
        ("relu", 64, 2), ("layer1", 256, 4), ("layer2", 512, 8), ("layer3", 1024, 16), ("layer4", 2048, 32),
    ]  # fmt: skip
    dilated = zoo.feature_info("resnet50", replace_stride_with_dilation=[False, True, True])
    assert [s.stride for s in dilated] == [2, 4, 8, 8, 8]
    with pytest.raises(InvalidArgument, match="Linear has no feature_info"):
        zoo.feature_info(nn.Linear(1, 1))


def test_backbone_returns_maps_of_the_promised_shapes():
    backbone = zoo.backbone("resnet18", out_indices=(1, -1))
    maps = backbone(torch.rand(1, 3, 64, 96))
    assert {k: tuple(v.shape) for k, v in maps.items()} == {"0": (1, 64, 16, 24), "1": (1, 512, 2, 3)}
    assert backbone.out_channels == [64, 512]
    assert backbone.strides == [4, 32]
    assert zoo.backbone("resnet18").strides == [4, 8, 16, 32]


class OtherLayouts(nn.Module):
    feature_info = (Stage("grid", 4, 8, "NHWC"), Stage("sequence", 4, 8, "NLC"))

    def __init__(self):
        super().__init__()
        self.grid, self.sequence = nn.Identity(), nn.Identity()

    def forward(self, x):
        cells = nn.functional.avg_pool2d(x, 8)
        grid = self.grid(torch.cat([cells, cells[:, :1]], 1).permute(0, 2, 3, 1))
        class_token = torch.full((len(x), 1, 4), -1.0)
        return self.sequence(torch.cat([class_token, grid.flatten(1, 2)], 1))


def test_backbone_turns_other_layouts():
    x = torch.rand(2, 3, 16, 24)
    maps = zoo.backbone(OtherLayouts(), out_indices=(0, 1))(x)
    expected = nn.functional.avg_pool2d(x, 8)
    for found in maps.values():
        assert found.shape == (2, 4, 2, 3)
        assert torch.equal(found[:, :3], expected)


@pytest.mark.parametrize(("layers", "trained"), [
    (0, set()), (1, {"layer4"}), (3, {"layer2", "layer3", "layer4"}), (4, {"layer1", "layer2", "layer3", "layer4"}),
    (5, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
])  # fmt: skip
def test_trainable_layers_count_from_the_last(layers, trained):
    model = zoo.backbone("resnet18", trainable_layers=layers).body.model
    found = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert found - {"fc"} == trained


@pytest.mark.parametrize("arguments", [{"out_indices": (5,)}, {"trainable_layers": 6}, {"trainable_layers": -1}])
def test_backbone_refuses_what_is_not_there(arguments):
    with pytest.raises(InvalidArgument, match=r"stages, 0 to 4|expected 0 to 5"):
        zoo.backbone("resnet18", **arguments)


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(6)))

    def forward(self, x):
        if x.ndim != 4:
            raise ValueError("no picture")
        return self.layers(x)


def test_one_model_in_many_threads():
    """Two extractors and plain calls, of which some fail: each gets what it gets alone."""
    torch.manual_seed(0)
    model = Deep().eval()
    extractors = [zoo.feature_extractor(model, ["layers.0", "layers.3"]), zoo.feature_extractor(model, ["layers.3"])]
    pictures = [torch.full((1, 1, 2, 2 + i), float(i)) for i in range(8)]
    with torch.no_grad():
        want = [[e(x) for e in extractors] for x in pictures]

    def work(i):
        x, wrong = pictures[i % 8], 0
        with torch.no_grad():
            for n in range(60):
                if n % 7 == 0:
                    with pytest.raises(ValueError, match="no picture"):
                        extractors[n % 2](torch.ones(i + 1))
                model(x)
                got = extractors[n % 2](x)
                expected = want[i % 8][n % 2]
                wrong += list(got) != list(expected) or not all(torch.equal(got[k], expected[k]) for k in got)
        return wrong

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            wrong = list(pool.map(work, range(16)))
    finally:
        sys.setswitchinterval(before)
    assert wrong == [0] * 16
    assert not any(m._forward_hooks for m in model.modules())
    assert not zoo.features._hooked


def test_a_backbone_in_threads():
    backbone = zoo.backbone(resnet18().eval(), out_indices=(1, 3))
    pictures = [torch.full((1, 3, 32, 32 * (1 + i)), float(i)) for i in range(4)]
    with torch.no_grad():
        want = [backbone(x) for x in pictures]

    def work(i):
        with torch.no_grad():
            return all(torch.equal(v, want[i % 4][k]) for _ in range(3) for k, v in backbone(pictures[i % 4]).items())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(16)))


def test_hooks_of_others_stay_theirs():
    model, seen = Deep(), []
    extractor = zoo.feature_extractor(model, {"layers.0": "a"})
    doubled = model.layers[0].register_forward_hook(lambda module, inputs, output: output * 2)
    x = torch.ones(1, 1, 2, 2)
    plain = model.layers[0].weight * 1 + model.layers[0].bias
    assert torch.equal(extractor(x)["a"], (plain * 2).expand(1, 1, 2, 2))
    doubled.remove()
    assert torch.equal(extractor(x)["a"], plain.expand(1, 1, 2, 2))

    def register_within(module, inputs):  # while a call is on its way
        if not seen:
            seen.append(model.layers[0].register_forward_hook(lambda *_: seen.append("called")))

    first = model.register_forward_pre_hook(register_within)
    extractor(x)
    first.remove()
    model(x)
    assert seen[1:] == ["called", "called"]


def test_an_extractor_within_a_model_and_one_around_it():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = zoo.feature_extractor(Deep(), ["layers.1"])

        def forward(self, x):
            return self.inner(x)["layers.1"] + 1

    outer = Outer()
    x = torch.ones(1, 1, 2, 2)
    found = zoo.feature_extractor(outer, {"inner.model.layers.1": "a", "inner": "b"})(x)
    assert torch.equal(found["a"], outer.inner.model.layers[1](outer.inner.model.layers[0](x)))
    assert torch.equal(found["b"]["layers.1"], found["a"])
    shared = nn.Sequential(one := nn.Linear(2, 2), nn.ReLU(), one)
    assert torch.equal(zoo.feature_extractor(shared, ["0"])(x)["0"], shared(x)), "the last call counts"
    copied = copy.deepcopy(zoo.feature_extractor(shared, ["1"]))
    assert torch.equal(copied(x)["1"], shared[1](shared[0](x)))


@pytest.mark.slow
def test_an_extractor_compiles_and_is_exported():
    extractor = zoo.feature_extractor(Deep().eval(), ["layers.1", "layers.4"])
    x = torch.rand(1, 1, 4, 4)
    with torch.no_grad():
        want = extractor(x)
        for run in (
            torch.compile(extractor, backend="eager"), torch.export.export(extractor, (x,), strict=False).module(),
        ):  # fmt: skip
            for _ in range(3):
                got = run(x)
                assert all(torch.equal(got[k], want[k]) for k in want)


def test_intermediate_layers_keep_the_childrens_keys_and_leave_out_what_follows():
    model = resnet18().eval()
    layers = zoo.features.IntermediateLayers(model, {"layer3": "high", "layer1": "low"}).eval()
    assert set(layers.state_dict()) == {k for k in model.state_dict() if not k.startswith(("layer4", "fc"))}
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        found, expected = layers(x), zoo.feature_extractor(model, {"layer1": "low", "layer3": "high"})(x)
    assert list(found) == ["low", "high"], "in the order of use"
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(InvalidArgument, match="4 channels"):
        layers(torch.rand(1, 4, 32, 32))
    for wrong in ({"layer9": "x"}, {}):
        with pytest.raises(InvalidArgument, match=r"return_layers names (layer9|nothing); the children are conv1, bn1"):
            zoo.features.IntermediateLayers(model, wrong)


def test_what_follows_the_last_stage_is_frozen():
    backbone = zoo.backbone("resnet18", out_indices=[1, 3]).freeze_rest()
    frozen = {name for name, p in backbone.body.model.named_parameters() if not p.requires_grad}
    assert {name.partition(".")[0] for name in frozen} == {"layer4", "fc"}


class NormAct(nn.BatchNorm2d):
    """As timm's: batch norm, then dropout, then the activation."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class Theirs(nn.Module):
    """A model as timm's are: stages are dicts, and layouts are not said or said for all."""

    def __init__(self, fmt=None, **changes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 4, 4), NormAct(4))
        self.body = nn.Sequential(nn.Conv2d(4, 6, 2, 2), nn.BatchNorm2d(6))
        self.last = nn.Identity()
        self.feature_info = [
            {"module": "stem", "num_chs": 4, "reduction": 4},
            {"module": "body", "num_chs": 6, "reduction": 8, "stage": 1},
            {"module": "last", "num_chs": 6, "reduction": 8, **changes},
        ]
        self.output_fmt = fmt

    def forward(self, x):
        x = self.body(self.stem(x))
        return self.last(x.permute(0, 2, 3, 1) if self.output_fmt is None else x.flatten(2).transpose(1, 2))


def test_stages_as_timm_has_them():
    assert zoo.feature_info(Theirs())[0] == Stage("stem", 4, 4, "")
    images = torch.rand(2, 3, 16, 24)
    for model in (Theirs().eval(), Theirs(fmt="").eval()):  # the last stage is NHWC, and NLC
        maps = zoo.backbone(model)(images)
        assert [tuple(x.shape) for x in maps.values()] == [(2, 4, 4, 6), (2, 6, 2, 3), (2, 6, 2, 3)]
        assert torch.equal(maps["1"], maps["2"])
    exported = torch.export.export(zoo.backbone(Theirs().eval()), (images,), strict=False).module()
    assert exported(images)["2"].shape == (2, 6, 2, 3)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"module": "bodi"}, "there is no submodule 'bodi'. Did you mean 'body'"),
        ({"module": ""}, "there is no submodule ''"),
        ({"num_chs": 0}, "expected channels and stride of at least 1"),
        ({"reduction": "8"}, "expected channels and stride of at least 1"),
        ({"layout": "NWC"}, "a layout of NCHW, NHWC, NLC"),
        ({"hook_type": "forward_pre"}, "is a module's input; only outputs are available"),
    ],
)
def test_stages_that_cannot_be(changes, why):
    with pytest.raises(InvalidArgument, match=re.escape(why)):
        zoo.feature_info(Theirs(**changes))


def test_stages_of_no_known_form():
    model = Theirs()
    model.feature_info = [("stem", 4, 4)]
    with pytest.raises(InvalidArgument, match="expected zoo"):
        zoo.feature_info(model)
    model.feature_info = 7
    with pytest.raises(InvalidArgument, match="Theirs has no feature_info"):
        zoo.feature_info(model)
    with pytest.raises(
        InvalidArgument, match=r"promises 5 channels, NHWC, of 'last', which returns a tensor of shape \[1, "
    ):
        zoo.backbone(Theirs(num_chs=5))(torch.rand(1, 3, 16, 16))


def test_frozen_batch_norm_computes_the_same_and_learns_nothing():
    model, images = Theirs(), torch.rand(2, 3, 16, 24)
    model(images)  # moves the running statistics
    expected = model.eval()(images)
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    frozen = zoo.backbone(model, frozen_norm=True).train().body.model
    assert torch.equal(frozen(images), expected)  # in train mode
    assert list(frozen.state_dict()) == names
    assert {name for name, _ in frozen.named_parameters()} == {n for n in names if ".0." in n}
    ours = zoo.backbone("resnet18", frozen_norm=True).body.model
    assert not [m for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert isinstance(zoo.nn.freeze_batch_norm(nn.BatchNorm2d(3)), zoo.nn.FrozenBatchNorm2d)


def test_batch_norm_that_does_more_is_not_frozen_in_silence():
    class Doubling(nn.BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(InvalidArgument, match=r"0.1 is a Doubling, an unsupported kind of batch norm"):
        zoo.nn.freeze_batch_norm(nn.Sequential(nn.Sequential(nn.ReLU(), Doubling(3))))


def test_a_detector_and_a_segmenter_take_it():
    detector = zoo.get_model("fasterrcnn", backbone=Theirs(), num_classes=2, frozen_norm=True, min_size=64)
    images = [torch.rand(3, 64, 64)]
    targets = [{"boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]), "labels": torch.tensor([1])}]
    sum(detector(images, targets).values()).backward()
    assert not [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    assert zoo.get_model("fcn", backbone=Theirs(), frozen_norm=True)(torch.rand(2, 3, 32, 32))["out"].shape[-1] == 32


class GivesMaps(nn.Module):
    """Like timm's HRNet: its stages are not submodules, and a method returns the maps; the last two are equal."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 6, 2, 2), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 10)
        self.feature_info = [
            {"module": f"stage{i}", "num_chs": channels, "reduction": stride}
            for i, (channels, stride) in enumerate([(4, 4), (6, 8), (6, 8)])
        ]

    def forward(self, x):
        return self.head(self.norm(self.c(self.b(self.a(x)))).mean((2, 3)))

    def forward_intermediates(self, x, indices, output_fmt, intermediates_only):
        assert (output_fmt, intermediates_only) == ("NCHW", True)
        maps = []
        for i, layer in enumerate([self.a, self.b, self.c][: max(indices) + 1]):
            x = layer(x)
            maps += [x] if i in indices else []
        return maps


class Prunes(GivesMaps):
    def prune_intermediate_layers(self, indices, prune_norm, prune_head):
        for name in "abc"[max(indices) + 1 :]:
            setattr(self, name, nn.Identity())
        self.norm = nn.Identity() if prune_norm else self.norm
        self.head = nn.Identity() if prune_head else self.head


def trained_parts(model):
    return {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}


def test_stages_that_a_model_gives_itself():
    model = GivesMaps().eval()
    assert zoo.feature_info(model) == [Stage("", 4, 4), Stage("", 6, 8), Stage("", 6, 8)]
    images = torch.rand(2, 3, 16, 24)
    low, middle, high = model.forward_intermediates(images, [0, 1, 2], "NCHW", True)
    backbone = zoo.backbone(model, out_indices=(-1, 0, 1))
    maps = backbone(images)
    assert [torch.equal(a, b) for a, b in zip(maps.values(), (high, low, middle), strict=True)] == [True] * 3
    assert (backbone.out_channels, backbone.strides) == ([6, 4, 6], [8, 4, 8])
    exported = torch.export.export(backbone, (images,), strict=False).module()
    torch.testing.assert_close(exported(images), dict(maps))
    assert zoo.feature_info(Theirs(fmt="")) != zoo.feature_info(model)  # whose modules are there are read by hooks
    model.feature_info[0] = {"module": "b", "num_chs": 4, "reduction": 4, "hook_type": "forward_pre"}  # b's input
    assert torch.equal(zoo.backbone(model)(images)["0"], low)


def test_what_such_a_model_has_after_its_last_stage():
    frozen = zoo.backbone(Prunes(), out_indices=[0, 1]).freeze_rest().body.model
    assert trained_parts(frozen) == {"a", "b"}
    assert isinstance(frozen.head, nn.Linear)  # nothing is taken out of the model itself
    assert trained_parts(zoo.backbone(Prunes(), trainable_layers=1).body.model) == {"c", "norm", "head"}
    assert trained_parts(zoo.backbone(Prunes(), trainable_layers=0).body.model) == {"norm", "head"}
    assert len(trained_parts(zoo.backbone(GivesMaps(), trainable_layers=3).freeze_rest().body.model)) == 5
    with pytest.raises(InvalidArgument, match=r"needs GivesMaps\.prune_intermediate_layers .* has no such method"):
        zoo.backbone(GivesMaps(), trainable_layers=1)


def test_such_a_model_under_detectors_and_segmenters():
    images = [torch.rand(3, 64, 64)]
    targets = [{"boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]), "labels": torch.tensor([1])}]
    detector = zoo.get_model("fasterrcnn", backbone=Prunes(), num_classes=2, min_size=64)
    sum(detector(images, targets).values()).backward()
    assert [name for name, p in detector.named_parameters() if p.requires_grad and p.grad is None] == []
    for name in ("fcn", "lraspp"):
        segmenter = zoo.get_model(name, backbone=Prunes(), num_classes=3)
        assert segmenter(torch.rand(2, 3, 32, 32))["out"].shape == (2, 3, 32, 32)


def test_promises_of_such_a_model_are_held_against_its_maps():
    model = GivesMaps()
    model.feature_info[1]["num_chs"] = 5
    with pytest.raises(InvalidArgument, match="promises 5 channels, NCHW, of 'forward_intermediates', which returns"):
        zoo.backbone(model)(torch.rand(1, 3, 16, 16))
