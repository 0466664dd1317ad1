from __future__ import annotations

import dataclasses
import hashlib
import threading
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument, UnknownWeights, WeightsWarning
from zoo_classification import ResNet18_Weights, ResNet50_Weights, resnet18


class Net(nn.Module):
    """Has all that makes filling hard: a stem, a head with its own initialisation, a computed buffer, a tie."""

    def __init__(self, num_classes: int = 4, in_channels: int = 3, scale: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.register_buffer("table", torch.arange(6.0) * scale, persistent=False)
        self.fc = nn.Linear(6, num_classes) if num_classes else nn.Identity()
        if num_classes:
            nn.init.constant_(self.fc.weight, 0.25)
            nn.init.constant_(self.fc.bias, 7.0)

    def forward(self, x):
        return self.fc(self.norm(self.stem(x)).mean((2, 3)) + self.table)


@pytest.fixture
def enum(tmp_path):
    torch.manual_seed(1)
    state = {k: torch.randn_like(v) if v.is_floating_point() else v for k, v in Net().state_dict().items()}
    state["norm.running_var"].abs_()
    path = tmp_path / "net.safetensors"
    save_file(state, path)
    path = path.rename(tmp_path / f"net-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.safetensors")
    other = tmp_path / "other.pth"
    torch.save(state, other)

    class Net_Weights(zoo.WeightsEnum):
        FIRST = zoo.Weights(url=path.as_uri(), config={"num_classes": 4, "scale": 2.0})
        SECOND = zoo.Weights(url=other.as_uri(), config={"num_classes": 4})
        DEFAULT = SECOND

    Net_Weights.state = state
    Net_Weights.path = other
    return Net_Weights


@pytest.fixture
def build(enum):
    @zoo.builder(enum, head="fc", stem="stem")
    def net(**kwargs):
        return Net(**kwargs)

    return net


def holds(model: nn.Module, state: dict, *names: str) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[k], state[k]) for k in names or state)


def test_every_way_to_name_weights(build, enum):
    ways = [
        enum.SECOND, enum.DEFAULT, "SECOND", "DEFAULT", "Net_Weights.SECOND", enum.SECOND.value, str(enum.path),
        enum.path, enum.path.as_uri(), dataclasses.replace(enum.FIRST.value, url=enum.path.as_uri()),
    ]  # fmt: skip
    for way in ways:
        assert holds(build(weights=way), enum.state), way
    assert not holds(build(weights=None), enum.state, "stem.weight")
    assert not holds(build(), enum.state, "stem.weight")


def test_a_filled_model_is_whole_and_trains(build):
    model = build(weights="DEFAULT")
    assert not any(t.is_meta for t in [*model.parameters(), *model.buffers()])
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    assert model.stem.weight.grad is not None


def test_config_is_given_and_the_caller_overrides_it(build):
    assert build(weights="FIRST").table[1] == 2.0
    assert build(weights="SECOND").table[1] == 1.0
    assert build(weights="FIRST", scale=3.0).table[1] == 3.0


def test_another_num_classes_initialises_the_head_alone_as_the_model_does(build, enum):
    model = build(weights="DEFAULT", num_classes=9)
    assert model.fc.weight.shape == (9, 6)
    assert (model.fc.weight == 0.25).all()
    assert (model.fc.bias == 7.0).all()
    assert holds(model, enum.state, "stem.weight", "stem.bias", "norm.weight", "norm.running_var")
    report = zoo.load_report(model)
    assert report.reinitialised == ("fc.weight", "fc.bias")
    assert not any(t.is_meta for t in model.parameters())
    assert model.fc.weight.requires_grad


def test_the_same_num_classes_keeps_the_head(build, enum):
    assert holds(build(weights="DEFAULT", num_classes=4), enum.state)


def test_no_classes_gives_features(build):
    model = build(weights="DEFAULT", num_classes=0)
    assert model(torch.rand(1, 3, 8, 8)).shape == (1, 6)
    assert zoo.load_report(model).ignored == ("fc.bias", "fc.weight") or set(zoo.load_report(model).ignored) == {
        "fc.weight",
        "fc.bias",
    }


def test_a_file_of_another_head_says_what_to_pass(tmp_path, build):
    torch.save(Net(num_classes=11).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match="num_classes=11"):
        build(weights=tmp_path / "mine.pth")
    assert build(weights=tmp_path / "mine.pth", num_classes=11).fc.weight.shape == (11, 6)


def test_other_input_channels_adapt_the_stem_and_say_so(build, enum):
    with pytest.warns(WeightsWarning, match="adapted from 3 to 1 channels"):
        model = build(weights="DEFAULT", in_channels=1)
    torch.testing.assert_close(model.stem.weight, enum.state["stem.weight"].sum(1, keepdim=True))
    assert "stem.weight" in zoo.load_report(model).converted


def test_the_report_says_what_was_loaded(build, enum):
    report = zoo.load_report(build(weights="SECOND"))
    assert report.source == enum.SECOND.url
    assert set(report.loaded) == set(enum.state)
    assert report.memory_mapped
    assert report.converted == report.reinitialised == report.ignored == ()
    assert zoo.load_report(build()) is None


def test_weights_of_another_model_are_refused_by_name(build):
    with pytest.raises(UnknownWeights, match=r"ResNet18_Weights\.IMAGENET1K_V1 belongs to another model than net"):
        build(weights=ResNet18_Weights.DEFAULT)


@pytest.mark.parametrize("given", ["FRIST", "nonsense", 3, ["FIRST"]])
def test_nonsense_weights_list_what_there_is(build, given):
    with pytest.raises(UnknownWeights, match="FIRST, SECOND, DEFAULT"):
        build(weights=given)


def test_a_misspelt_entry_gets_the_closest(build):
    with pytest.raises(UnknownWeights, match="Did you mean 'FIRST'"):
        build(weights="FRIST")


@pytest.mark.parametrize(
    ("name", "value"), [("num_classes", -1), ("num_classes", 2.5), ("num_classes", True), ("in_channels", 0)]
)
def test_sizes_are_checked(build, name, value):
    with pytest.raises(InvalidArgument, match=rf"{name} is {value}"):
        build(**{name: value})


def test_the_legacy_forms_work_with_a_warning(build, enum):
    for call in (lambda: build(pretrained=True), lambda: build(True), lambda: build(True, False)):
        with pytest.warns(DeprecationWarning, match=r"weights=Net_Weights\.FIRST"):
            assert call().table[1] == 2.0
    for call in (lambda: build(pretrained=False), lambda: build(False)):
        with pytest.warns(DeprecationWarning, match="weights=None"):
            assert not holds(call(), enum.state, "stem.weight")
    with pytest.warns(DeprecationWarning, match=r"weights=…"):
        assert holds(build(enum.SECOND), enum.state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(weights="DEFAULT")


def test_a_builder_inside_a_builder_loads_only_where_the_outer_one_does_not(build, enum, tmp_path):
    class Outer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.top = nn.Linear(4, 2)

    @zoo.builder(None)
    def outer(weights_backbone="DEFAULT"):
        return Outer(build(weights=weights_backbone))

    assert holds(outer().inner, enum.state)
    whole = tmp_path / "whole.pth"
    torch.manual_seed(3)
    torch.save(Outer(Net()).state_dict(), whole)
    enum.path.unlink()  # whoever still wants the inner file fails
    filled = outer(weights=whole)
    assert holds(filled, torch.load(whole))
    assert not any(t.is_meta for t in filled.parameters())


def test_the_enum_may_depend_on_the_arguments(enum):
    class Half_Weights(zoo.WeightsEnum):
        ONLY = zoo.Weights(url=enum.path.as_uri(), config={"scale": 5.0})
        DEFAULT = ONLY

    @zoo.builder(lambda half=False, **_: Half_Weights if half else enum, on_meta=lambda a: not a.get("half"))
    def net(half=False, **kwargs):
        model = Net(**kwargs)
        assert model.stem.weight.is_meta != half
        return model

    assert net(weights="FIRST").table[1] == 2.0
    assert net(weights="ONLY", half=True).table[1] == 5.0
    with pytest.raises(UnknownWeights, match="ONLY, DEFAULT"):
        net(weights="FIRST", half=True)


def test_a_choice_of_several_enums_takes_the_first_that_has_the_name(enum, tmp_path):
    torch.save(Net(num_classes=9).state_dict(), tmp_path / "nine.pth")

    class Nine_Weights(zoo.WeightsEnum):
        NINE = zoo.Weights(url=str(tmp_path / "nine.pth"), config={"num_classes": 9, "nine": True})
        DEFAULT = NINE

    def choose(nine=None, **kwargs):
        return (enum, Nine_Weights) if nine is None else (Nine_Weights if nine else enum)

    @zoo.builder(choose, head="fc", stem="stem")
    def net(*, nine=False, **kwargs):
        return Net(**kwargs)

    for weights, classes in (("DEFAULT", 4), ("NINE", 9), (Nine_Weights.NINE, 9), (enum.SECOND, 4)):
        assert net(weights=weights).fc.out_features == classes
    assert net(weights="DEFAULT", nine=True).fc.out_features == 9
    with pytest.raises(UnknownWeights, match=r"is not among the weights of net\(nine=False\).*loaded with nine=True"):
        net(weights=Nine_Weights.NINE, nine=False)
    with pytest.raises(UnknownWeights, match=r"FIRST, SECOND, DEFAULT, NINE.*Did you mean 'SECOND'"):
        net(weights="SECONDS")


def test_when_loading_comes_between_the_entry_and_the_caller(enum):
    @zoo.builder(enum, head="fc", stem="stem", when_loading={"scale": 3.0})
    def net(**kwargs):
        return Net(**kwargs)

    assert net().table[1] == 1.0
    assert net(weights="FIRST").table[1] == 3.0  # the entry says 2
    assert net(weights="FIRST", scale=5.0).table[1] == 5.0


def test_what_a_file_tells_gives_way_to_the_entry_and_the_caller(enum):
    def told_by_file(state):
        return {"scale": float(state["stem.weight"].shape[0]), "num_classes": 7}

    @zoo.builder(enum, head="fc", stem="stem", told_by_file=told_by_file)
    def net(**kwargs):
        return Net(**kwargs)

    out_channels = enum.state["stem.weight"].shape[0]
    bare = zoo.Weights(url=enum.FIRST.url, config={"num_classes": 4})
    assert net().table[1] == 1.0
    assert net(weights=bare).table[1] == out_channels
    assert net(weights="FIRST").table[1] == 2.0, "as the entry says"
    assert net(weights=bare, scale=5.0).table[1] == 5.0


def test_building_in_two_threads_at_once(build, enum):
    plain = []

    def build_plain():
        plain.extend(build(weights=None) for _ in range(20))

    thread = threading.Thread(target=build_plain)
    thread.start()
    filled = [build(weights="DEFAULT") for _ in range(20)]
    thread.join()
    assert all(holds(model, enum.state) for model in filled)
    assert not any(p.is_meta for model in plain for p in model.parameters())


def test_default_dtype_and_device_are_respected(build, enum):
    torch.set_default_dtype(torch.float64)
    try:
        model = build(weights="DEFAULT")
    finally:
        torch.set_default_dtype(torch.float32)
    assert model.stem.weight.dtype == torch.float64
    torch.testing.assert_close(model.stem.weight.float(), enum.state["stem.weight"])
    with torch.device("meta"):
        assert build(weights="DEFAULT").stem.weight.is_meta


def test_a_model_copies_and_pickles_with_its_report(build):
    import copy

    model = copy.deepcopy(build(weights="DEFAULT"))
    assert zoo.load_report(model).loaded


def test_a_builder_shows_its_signature_and_weights():
    import inspect

    assert resnet18.weights_enum is ResNet18_Weights
    assert list(inspect.signature(resnet18).parameters)[:2] == ["weights", "progress"]
    assert resnet18.__doc__.startswith("ResNet-18")


@pytest.mark.parametrize("legacy_form", [False, True])
def test_a_real_model_filled_from_a_file_is_the_model_that_was_saved(tmp_path, legacy_form):
    torch.manual_seed(0)
    saved = resnet18().eval()
    path = tmp_path / "resnet18.pth"
    torch.save(saved.state_dict(), path, _use_new_zipfile_serialization=not legacy_form)
    mine = dataclasses.replace(ResNet18_Weights.DEFAULT.value, url=path.as_uri())
    loaded = resnet18(weights=mine).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), saved(x))
    assert zoo.load_report(loaded).memory_mapped != legacy_form
    assert ResNet50_Weights.DEFAULT.value.config == {"num_classes": 1000}
