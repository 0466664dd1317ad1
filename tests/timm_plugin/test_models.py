"""timm's models in zoo: weights from a hub, arguments, features, saving, training in zoo's detectors."""

from __future__ import annotations

import copy

import pytest
import torch
from loopback_hub import Repository, hub_in_use
from PIL import Image
from safetensors.torch import save

import zoo
from zoo.errors import CheckpointError, InvalidArgument, UnknownModel, UnknownWeights

timm = pytest.importorskip("zoo_timm.models").timm
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = "timm/convnext_atto.d2_in1k"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path) as server:
        yield server


def put(hub, name: str, model: torch.nn.Module) -> str:
    """Publish the model's weights in the layout of timm on the hub; return the commit."""
    repository = hub.repositories[f"timm/{name}"] = Repository()
    return repository.commit("main", {"model.safetensors": save(model.state_dict())}, "weights")


def made(name: str, seed: int = 1, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, **options).eval()


def test_weights_come_from_the_hub(hub, tmp_path):
    theirs = made("convnext_atto.d2_in1k")
    commit = put(hub, "convnext_atto.d2_in1k", theirs)
    ours = zoo.get_model(SMALL).eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))
    report = zoo.load_report(ours)
    assert report.source == f"hf://timm/convnext_atto.d2_in1k/model.safetensors@{commit}"
    assert (report.memory_mapped, report.converted, report.reinitialised, report.ignored) == (True, (), (), ())
    assert sorted(report.loaded) == sorted(theirs.state_dict())
    picture = Image.radial_gradient("L").resize((300, 200)).convert("RGB")
    result = zoo.pipeline(SMALL)(picture)
    with torch.no_grad():
        expected = theirs(zoo.get_weight(SMALL).transforms()(picture)[None]).softmax(1)
    assert result.label == zoo.get_weight(SMALL).value.read_categories()[expected.argmax()]
    asked = len(hub.asked)
    zoo.get_model(SMALL)
    assert not [line for line in hub.asked[asked:] if line.startswith("GET")]  # it is in the cache


def test_models_without_classes_give_vectors(hub, run, tmp_path):
    name = "mobilenetv4_conv_small_035"
    model = next(m for m in zoo.list_models(task="image-feature-extraction") if "vit_small_patch16_dinov3" in m)
    assert zoo.model_info(model).task == "image-feature-extraction"
    assert zoo.model_info(f"timm/{name}").task == "image-classification"
    tag = zoo.model_info(model).default_weights
    bare = zoo.model_info(model).full_name.removeprefix("timm/")
    theirs = made(f"{bare}.{tag}")
    put(hub, f"{bare}.{tag}", theirs)
    picture = tmp_path / "p.png"
    Image.radial_gradient("L").convert("RGB").save(picture)
    result = zoo.pipeline(model, normalize=True)(picture)
    assert abs(float(result.vector.norm()) - 1) < 1e-5
    assert result.similarity(result) > 0.9999
    with torch.no_grad():
        expected = theirs(zoo.get_model_weights(model).DEFAULT.transforms()(Image.open(picture))[None])[0]
    torch.testing.assert_close(result.vector, expected / expected.norm())
    done = run("predict", picture, "--model", model, "--output", tmp_path / "out")
    assert done.status == 0, done.err
    assert "numbers, length" in done.out
    assert list((tmp_path / "out").rglob("*.npy"))
    assert result.draw().height > 256


def test_other_heads_channels_and_sizes_are_timms_affair(hub):
    theirs = made("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    put(hub, "vit_tiny_patch16_224.augreg_in21k_ft_in1k", theirs)
    name, given = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", theirs.state_dict()
    few = zoo.get_model(name, num_classes=5)
    assert zoo.load_report(few).reinitialised == ("head.weight", "head.bias")
    assert few(torch.rand(1, 3, 224, 224)).shape == (1, 5)
    assert torch.equal(few.blocks[3].mlp.fc1.weight, given["blocks.3.mlp.fc1.weight"])
    none = zoo.get_model(name, num_classes=0)
    assert none(torch.rand(1, 3, 224, 224)).shape == (1, 192)

    options = {"in_chans": 1, "img_size": 96, "num_classes": 7}
    overlay = {"state_dict": given, "custom_load": False}
    torch.manual_seed(0)
    expected = timm.create_model(name[5:], pretrained=True, pretrained_cfg_overlay=overlay, **options).state_dict()
    torch.manual_seed(0)
    grey = zoo.get_model(name, in_channels=1, image_size=96, num_classes=7)
    assert grey.state_dict().keys() == expected.keys()
    for key, value in grey.state_dict().items():
        assert torch.equal(value, expected[key]) or key.startswith("head."), key
    report = zoo.load_report(grey)
    assert set(report.converted) == {"patch_embed.proj.weight", "pos_embed"}
    assert set(report.reinitialised) == {"head.weight", "head.bias"}
    assert grey(torch.rand(2, 1, 96, 96)).shape == (2, 7)


def test_drop_rates_and_what_else_timm_takes():
    model = zoo.get_model("timm/resnet18", drop_rate=0.25, drop_path_rate=0.5, num_classes=4)
    assert model.drop_rate == 0.25
    assert model.num_classes == 4
    assert any(isinstance(m, timm.layers.DropPath) and m.drop_prob > 0.4 for m in model.modules())
    with pytest.raises(TypeError, match="no_such_argument"):
        zoo.get_model("timm/resnet18", no_such_argument=1)


@pytest.mark.parametrize(
    ("name", "argument", "meant"),
    [("timm/resnet50", "num_clases", "num_classes"), ("timm/resnet50.a1_in1k", "drop_ratee", "drop_rate")],
)
def test_misspelt_arguments_are_told_before_anything_is_fetched(name, argument, meant, monkeypatch):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(InvalidArgument, match=rf"takes no argument '{argument}'\. Did you mean '{meant}'\?"):
        zoo.get_model(name, **{argument: 3})
    with pytest.raises(InvalidArgument, match="takes no argument 'patch_size'"):  # of another kind of model
        zoo.get_model("timm/resnet18", patch_size=3)


def test_a_misspelt_model_with_weights_gets_its_near_match():
    with pytest.raises(UnknownModel, match=r"Did you mean 'timm/resnet50\.a1_in1k'\?"):
        zoo.get_model("timm/resnet51.a1_in1k")
    with pytest.raises(UnknownWeights, match=r"has no weights 'a1_in1'\. Did you mean 'a1_in1k'"):
        zoo.get_model("timm/resnet50.a1_in1")


def test_constructors_that_want_numbers(tmp_path):
    """Swin V2 cannot be built on the meta device; Swin's masks follow its parameters."""
    for name in ("swinv2_cr_tiny_224", "swin_tiny_patch4_window7_224"):
        model = zoo.get_model(f"timm/{name}")
        torch.save(model.state_dict(), tmp_path / "w.pth")
        again = dict(zoo.get_model(f"timm/{name}", weights=tmp_path / "w.pth").named_buffers())
        assert all(torch.equal(buffer, again[key]) for key, buffer in model.named_buffers())


def test_files_that_do_not_fit_are_told(tmp_path):
    torch.save(made("resnet18").state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(CheckpointError, match="does not fit resnet50"):
        zoo.get_model("timm/resnet50", weights=tmp_path / "resnet18.pth")
    fine_tuned = made("resnet18", num_classes=3)
    torch.save(fine_tuned.state_dict(), tmp_path / "three.pth")
    model = zoo.get_model("timm/resnet18", weights=tmp_path / "three.pth")  # the file determines the number of classes
    assert torch.equal(model.fc.weight, fine_tuned.fc.weight)


def test_saved_and_loaded_again(tmp_path):
    model = zoo.get_model("timm/mobilenetv3_small_050", num_classes=6, in_channels=4).eval()
    images = torch.rand(1, 4, 64, 64)
    zoo.save(model, tmp_path / "m.safetensors", transforms=zoo.get_weight("timm/ghostnet_100.in1k").transforms)
    again = zoo.load(tmp_path / "m.safetensors").eval()
    assert torch.equal(again(images), model(images))
    assert zoo.model_info(tmp_path / "m.safetensors").full_name == "timm/mobilenetv3_small_050"


def test_a_model_says_what_images_it_takes():
    with torch.device("meta"):
        assert zoo.get_model("timm/vit_tiny_patch16_224").image_size == (224, 224)
        assert zoo.get_model("timm/vit_tiny_patch16_224", image_size=(96, 64), in_channels=1).image_size == (96, 64)
        assert not hasattr(zoo.get_model("timm/vit_tiny_patch16_224", dynamic_img_size=True), "image_size")
        assert not hasattr(zoo.get_model("timm/swin_tiny_patch4_window7_224", strict_img_size=False), "image_size")
        assert not hasattr(zoo.get_model("timm/resnet18"), "image_size")
        assert zoo.get_model("timm/resnet18", in_channels=4).in_channels == 4


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "regnety_002"])
def test_folding_keeps_what_batch_norm_does_beside(name):
    """timm's batch norm includes the activation."""
    model = zoo.get_model(f"timm/{name}").eval()
    for norm in [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]:
        norm.running_mean.normal_()
    images = torch.rand(1, 3, 64, 64)
    fast = zoo.optimize(copy.deepcopy(model), (images,))
    with torch.no_grad():
        torch.testing.assert_close(fast(images), model(images), rtol=1e-3, atol=1e-3)


def test_every_kind_of_batch_norm_can_be_frozen():
    model = zoo.get_model("timm/efficientnet_lite0").eval()
    images = torch.rand(2, 3, 64, 64)
    expected = model(images)
    frozen = zoo.nn.freeze_batch_norm(model).train()
    torch.testing.assert_close(frozen.eval()(images), expected)
    assert not [m for m in frozen.modules() if isinstance(m, torch.nn.BatchNorm2d)]


BACKBONES = {
    "resnet18": {},
    "convnext_atto": {},
    "mobilenetv3_small_050": {},
    "swin_tiny_patch4_window7_224": {"strict_img_size": False},
    "vit_tiny_patch16_224": {"dynamic_img_size": True},
    "efficientnet_lite0": {"frozen_norm": True},
}


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_are_those_of_timms_own_features(name):
    options = {k: v for k, v in BACKBONES[name].items() if k != "frozen_norm"}
    torch.manual_seed(0)
    ours = zoo.backbone(f"timm/{name}", **options).eval()
    images = torch.rand(1, 3, 224, 224)
    maps = ours(images)
    assert [x.shape[1] for x in maps.values()] == ours.out_channels
    assert [round(224 / x.shape[-1]) for x in maps.values()] == ours.strides
    theirs = timm.create_model(name, features_only=True, **options).eval()
    # Their modules have other names: "stages_0" or "model.blocks.0".
    weights = {key.replace(".", "_"): value for key, value in ours.body.model.state_dict().items()}
    names = {key: key.removeprefix("model.").replace(".", "_") for key in theirs.state_dict()}
    theirs.load_state_dict({key: weights[name] for key, name in names.items()})
    for found, expected in zip(list(maps.values())[::-1], theirs(images)[::-1], strict=False):
        torch.testing.assert_close(found, expected if expected.shape == found.shape else expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_detector_on_it_trains_and_runs(name):
    options = dict(BACKBONES[name])
    frozen = options.pop("frozen_norm", False)
    detector = zoo.get_model(
        "fasterrcnn", backbone=f"timm/{name}", backbone_config=options, frozen_norm=frozen, num_classes=3, min_size=128
    )
    target = {"boxes": torch.tensor([[16.0, 16.0, 96.0, 96.0]]), "labels": torch.tensor([1])}
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], 1e-3)
    losses = detector([torch.rand(3, 128, 128), torch.rand(3, 128, 160)], [target] * 2)
    sum(losses.values()).backward()
    optimizer.step()
    assert all(loss.isfinite() for loss in losses.values())
    first = next(detector.backbone.body.body.model.parameters())
    assert first.grad.abs().sum() > 0
    with torch.no_grad():
        (found,) = detector.eval()([torch.rand(3, 100, 140)])
    assert found["boxes"].shape[1] == 4


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("segmenter", ["fcn", "lraspp"])
def test_a_segmenter_on_it_trains_and_runs(name, segmenter):
    model = zoo.get_model(segmenter, backbone=f"timm/{name}", num_classes=4, **BACKBONES[name])
    images = torch.rand(2, 3, 224, 224)
    torch.nn.functional.cross_entropy(model(images)["out"], torch.zeros(2, 224, 224, dtype=torch.long)).backward()
    assert next(model.backbone.body.model.parameters()).grad is not None
    assert model.eval()(images)["out"].shape == (2, 4, 224, 224)


# What these say of their stages names no submodule, or one that gives something else: timm's own method gives the maps.
GIVE_MAPS = {
    "hrnet_w18_small": 96, "twins_svt_small": 224, "mvitv2_tiny": 224, "pit_ti_224": 224, "coat_tiny": 224,
    "crossvit_tiny_240": 240, "efficientvim_m1": 224, "selecsls42": 96, "tnt_s_patch16_224": 224, "tresnet_m": 96,
}  # fmt: skip


@pytest.mark.parametrize("name", GIVE_MAPS)
def test_maps_that_no_module_gives(name):
    torch.manual_seed(0)
    backbone = zoo.backbone(f"timm/{name}").eval().freeze_rest()
    side = GIVE_MAPS[name]
    images = torch.rand(1, 3, side, side)
    maps = backbone(images)
    assert [x.shape[1] for x in maps.values()] == backbone.out_channels
    assert all(abs(x.shape[-1] - side / stride) <= 1 for x, stride in zip(maps.values(), backbone.strides, strict=True))
    model = backbone.body.model
    expected = model.forward_intermediates(images, intermediates_only=True)
    for found, theirs in zip(reversed(maps.values()), reversed(expected), strict=False):
        assert torch.equal(found, theirs)
    sum(x.sum() for x in maps.values()).backward()
    unreached = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unreached == (["weights"] if name == "efficientvim_m1" else [])  # which timm's pruning leaves there


@pytest.mark.parametrize("name", ["hrnet_w18_small", "twins_svt_small", "mvitv2_tiny", "pit_ti_224"])
def test_they_are_those_of_timms_features_only(name):
    torch.manual_seed(0)
    ours = zoo.backbone(f"timm/{name}").eval()
    theirs = timm.create_model(name, features_only=True).eval()
    weights = ours.body.model.state_dict()
    names = {key: key.removeprefix("model.").removeprefix("body.") for key in theirs.state_dict()}
    theirs.load_state_dict({key: weights[name] for key, name in names.items()})
    images = torch.rand(1, 3, GIVE_MAPS[name], GIVE_MAPS[name])
    with torch.no_grad():
        pairs = list(zip(reversed(ours(images).values()), reversed(theirs(images)), strict=False))
    assert len(pairs) >= 3
    for found, expected in pairs:
        torch.testing.assert_close(found, expected)


def test_a_detector_on_hrnet_trains_and_runs():
    detector = zoo.get_model("fasterrcnn", backbone="timm/hrnet_w18_small", num_classes=3, min_size=96)
    target = {"boxes": torch.tensor([[16.0, 16.0, 96.0, 96.0]]), "labels": torch.tensor([1])}
    sum(detector([torch.rand(3, 96, 96)] * 2, [target] * 2).values()).backward()
    assert [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None] == []
    with torch.no_grad():
        assert detector.eval()([torch.rand(3, 100, 140)])[0]["boxes"].shape[1] == 4


def test_channels_are_those_of_images_and_not_of_the_first_convolution():
    """CSATv2 first computes frequencies of its pictures, 64 from 3 channels."""
    model = zoo.get_model("timm/csatv2")
    assert zoo.loading.in_channels_of(model) == 3
    assert zoo.loading.in_channels_of(torch.nn.Sequential(torch.nn.Conv2d(5, 2, 1))) == 5
