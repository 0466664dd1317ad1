from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import hashlib
import shutil
import subprocess
import sys
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

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


def test_the_size_of_the_head_is_told_by_a_file(tmp_path, build):
    state = Net(num_classes=11).state_dict()
    torch.save(state, tmp_path / "mine.pth")
    model = build(weights=tmp_path / "mine.pth")
    torch.testing.assert_close(model.fc.weight, state["fc.weight"])
    assert zoo.load_report(model).reinitialised == ()
    assert build(weights=tmp_path / "mine.pth", num_classes=11).fc.weight.shape == (11, 6)
    assert zoo.load_report(build(weights=tmp_path / "mine.pth", num_classes=5)).reinitialised == (
        "fc.weight",
        "fc.bias",
    )


def test_a_described_file_of_another_head_says_what_to_pass(tmp_path, build):
    torch.save(Net(num_classes=11).state_dict(), tmp_path / "mine.pth")
    described = zoo.Weights(url=str(tmp_path / "mine.pth"), config={"num_classes": 4})
    with pytest.raises(CheckpointError, match="num_classes=11"):
        build(weights=described)


def test_other_input_channels_adapt_the_stem_and_say_so(build, enum):
    with pytest.warns(WeightsWarning, match="adapted from 3 to 1 channels"):
        model = build(weights="DEFAULT", in_channels=1)
    torch.testing.assert_close(model.stem.weight, enum.state["stem.weight"].sum(1, keepdim=True))
    assert "stem.weight" in zoo.load_report(model).converted


def test_the_report_says_what_was_loaded(build, enum):
    report = zoo.load_report(build(weights="SECOND"))
    assert report.source == enum.SECOND.url
    assert set(report.loaded) == set(enum.state)
    assert not report.memory_mapped, "a path's owner may change it while the model exists"
    assert zoo.load_report(build(weights="SECOND", mmap=True)).memory_mapped
    assert report.taken == ""
    assert report.converted == report.reinitialised == report.ignored == ()
    assert zoo.load_report(build()) is None


def test_weights_of_another_model_are_refused_by_name(build):
    with pytest.raises(UnknownWeights, match=r"ResNet18_Weights\.IMAGENET1K_V1 is for another model than net"):
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
    enum.path.unlink()  # loading the inner file would fail
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


def test_loading_in_sixteen_threads(build, enum, tmp_path):
    """Layers enough that the threads meet while they register parameters."""
    hooks = dict(torch.nn.modules.module._global_parameter_registration_hooks)
    deep = zoo.builder(None)(lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(60))))
    state = deep().state_dict()
    torch.save(state, tmp_path / "deep.pth")

    def work(i: int) -> bool:
        if i % 3 == 0:
            return not any(p.is_meta for p in deep().parameters())
        if i % 3 == 1:
            return holds(deep(weights=tmp_path / "deep.pth"), state)
        model = build(weights="FIRST", num_classes=9)
        return bool((model.fc.bias == 7).all()) and holds(model, enum.state, "stem.weight", "norm.running_var")

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(work, range(480)))
    finally:
        sys.setswitchinterval(before)
    assert len(results) == 480
    assert all(results)
    assert torch.nn.modules.module._global_parameter_registration_hooks == hooks


def test_a_new_head_is_the_one_that_the_model_draws(enum):
    class Drawn(Net):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.fc = nn.Linear(6, kwargs["num_classes"])
            nn.init.trunc_normal_(self.fc.weight, std=0.02)
            self.fc.bias.data.uniform_(-1, 1)

    build = zoo.builder(enum, head="fc")(lambda **kwargs: Drawn(**kwargs))
    torch.manual_seed(5)
    model = build(weights="SECOND", num_classes=9)
    drawn = torch.get_rng_state()
    torch.manual_seed(5)
    head = nn.Linear(6, 9)  # the rest of the model draws nothing
    nn.init.trunc_normal_(head.weight, std=0.02)
    head.bias.data.uniform_(-1, 1)
    assert torch.equal(model.fc.weight, head.weight)
    assert torch.equal(model.fc.bias, head.bias)
    assert torch.equal(torch.get_rng_state(), drawn)
    build(weights="SECOND")
    assert torch.equal(torch.get_rng_state(), drawn)


def test_parameters_that_something_else_refers_to_are_filled_too(enum):
    class Referred(Net):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            weight = nn.Parameter(torch.ones(6))
            self.seen, self.first = weakref.ref(weight), weight[:1]
            self.norm.weight = weight

    model = zoo.builder(enum)(lambda **kwargs: Referred(**kwargs))(weights="SECOND")
    assert holds(model, enum.state)
    assert not any(t.is_meta for t in model.state_dict().values())


FRESH = """
import sys, torch, zoo
before = "torch._dynamo" in sys.modules
for arguments in sys.argv[1:]:
    name, path, classes = arguments.split("=")
    model = zoo.get_model(name, weights=path, **({"num_classes": int(classes)} if classes else {}))
    assert not any(t.is_meta for t in model.state_dict().values())
print(before, "torch._dynamo" in sys.modules)
"""


def test_loading_does_not_import_the_compiler(tmp_path):
    given = []
    for name in ("resnet18", "squeezenet1_1", "mobilenet_v3_small", "swin_t"):
        state = zoo.get_model(name).state_dict()  # whose indices say which window Swin's tables are of
        small = {k: torch.zeros(()).expand(t.shape) if t.is_floating_point() else t for k, t in state.items()}
        torch.save(small, tmp_path / f"{name}.pth")
        given += [f"{name}={tmp_path / name}.pth={classes}" for classes in ("", "7")]
    done = subprocess.run([sys.executable, "-c", FRESH, *given], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


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
    loaded = resnet18(weights=mine, mmap=True).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), saved(x))
    assert zoo.load_report(loaded).memory_mapped != legacy_form
    assert ResNet50_Weights.DEFAULT.value.config == {"num_classes": 1000}


# ── files that their owners write while a model lives ────────────────────────────────────────────────────────────


def written(state: dict, path, form: str):
    if form == "safetensors":
        save_file({k: v.clone() for k, v in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    return path


FORMS = pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])


@FORMS
def test_a_model_is_saved_over_the_file_that_it_came_from(build, enum, tmp_path, form):
    path = written(enum.state, tmp_path / "mine.pth", form)
    for n in range(3):
        model = build(weights=path)
        with torch.no_grad():
            model.fc.bias.add_(1)
        written(model.state_dict(), path, form)
        torch.testing.assert_close(build(weights=path.as_uri()).fc.bias, enum.state["fc.bias"] + n + 1)


@FORMS
def test_another_process_that_cuts_and_rewrites_the_file_changes_nothing(build, enum, tmp_path, form):
    path = written(enum.state, tmp_path / "mine.pth", form)
    models = [build(weights=path), build(weights=path.as_uri()), build(weights=zoo.Weights(url=str(path)))]
    read = zoo.loading.read_checkpoint(path)
    code = "import os, sys; p = sys.argv[1]; n = os.path.getsize(p); os.truncate(p, 0); open(p, 'r+b').write(b'x' * n)"
    subprocess.run([sys.executable, "-c", code + "; os.truncate(p, 10)", str(path)], check=True)
    assert all(holds(model, enum.state) for model in models)
    assert all(torch.equal(read[k], v) for k, v in enum.state.items())


PEAK = """
import sys, pathlib, torch, zoo
from torch import nn

@zoo.builder(None)
def net(**kwargs):
    return nn.Sequential(*(nn.Linear(2048, 1024) for _ in range(12)))

def resident(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

net(weights=sys.argv[1], mmap=True)  # imports
models = []
for path in sys.argv[1:]:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    model = net(weights=path)
    print(resident("VmHWM") - before)
    models.append(model)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_a_file_read_whole_takes_its_size_of_memory_once(tmp_path):
    state = nn.Sequential(*(nn.Linear(2048, 1024) for _ in range(12))).state_dict()
    paths = [written(state, tmp_path / f"large-{form}.pth", form) for form in ("zip", "legacy", "safetensors")]
    size = paths[0].stat().st_size / 2**20
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, paths)], capture_output=True, text=True, check=True)
    peaks = [float(peak) for peak in done.stdout.split()]
    assert len(peaks) == 3
    assert all(0.9 * size < peak < 1.25 * size for peak in peaks), (size, peaks)


def test_what_zoo_replaces_by_rename_is_mapped_and_nothing_else(enum, tmp_path, monkeypatch):
    package = tmp_path / "site" / "a_package_with_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(enum.path, package / "net.pth")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)  # of other tests, with their folder
    snapshot = tmp_path / "hf" / "hub" / "models--org--repo" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    shutil.copy(enum.path, snapshot / "net.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    cache = tmp_path / "torch" / "checkpoints"
    cache.mkdir(parents=True)
    digits = hashlib.sha256(enum.path.read_bytes()).hexdigest()[:8]  # a name without would not be taken for the URL's
    shutil.copy(enum.path, cache / f"net-{digits}.pth")
    (cache / f"linked-{digits}.pth").symlink_to(enum.path)
    build = zoo.builder(None)(lambda **kwargs: Net(**kwargs))
    for url, mapped in [
        ("pkg://a_package_with_weights/net.pth", True), ("hf://org/repo/net.pth", True),
        (f"https://host.invalid/net-{digits}.pth", True), (f"https://host.invalid/linked-{digits}.pth", False),
        (str(enum.path), False), (enum.path.as_uri(), False), (str(cache / f"net-{digits}.pth"), False),
    ]:  # fmt: skip
        model = build(weights=url)
        assert holds(model, enum.state)
        assert zoo.load_report(model).memory_mapped == mapped, url
        assert zoo.load_report(build(weights=url, mmap=False)).memory_mapped is False


def test_a_plugins_scheme_is_read_whole_unless_mapping_is_asked_for(enum, plugin_folder):
    plugin_folder.install(
        "stores",
        f"""
import zoo
@zoo.hookimpl
def zoo_manifest():
    return zoo.Manifest(api_version=1)
@zoo.hookimpl
def zoo_open_weights(url, progress):
    return {str(enum.path)!r} if url.startswith("store://") else None
""",
    )
    zoo.refresh()
    build = zoo.builder(None)(lambda **kwargs: Net(**kwargs))
    assert not zoo.load_report(build(weights="store://net")).memory_mapped
    assert zoo.load_report(build(weights="store://net", mmap=True)).memory_mapped


# ── what a file may hold ─────────────────────────────────────────────────────────────────────────────────────────


def rebuilt(change: str, value: torch.Tensor) -> object:
    changes = {
        "integer": lambda: value.to(torch.int32), "bool": lambda: value > 0,
        "complex": lambda: value.to(torch.complex64), "sparse": value.to_sparse,
        "quantized": lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "meta": lambda: value.to("meta"), "list": value.tolist, "none": lambda: None,
    }  # fmt: skip
    return changes[change]()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", ["stem.weight", "fc.bias", "norm.running_mean"])
@pytest.mark.parametrize("change", ["integer", "bool", "complex", "sparse", "quantized", "meta", "list", "none"])
def test_what_a_float_tensors_place_does_not_take_is_refused_by_name(build, enum, tmp_path, name, change):
    state = {**enum.state, name: rebuilt(change, enum.state[name])}
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=rf"1 keys of another type: {name} "):
        build(weights=tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=rf"{name} "):
        build(weights=tmp_path / "odd.pth", in_channels=1 if name.startswith("stem") else 3)


@pytest.mark.parametrize("counted", [torch.int32, torch.uint8, torch.float32, torch.bool])
def test_integers_fit_integers_that_can_hold_them(build, enum, tmp_path, counted):
    state = {**enum.state, "norm.num_batches_tracked": torch.tensor(7).to(counted)}
    torch.save(state, tmp_path / "odd.pth")
    if counted.is_floating_point or counted is torch.bool:
        with pytest.raises(CheckpointError, match=r"norm\.num_batches_tracked (float32|bool), model int64"):
            build(weights=tmp_path / "odd.pth")
    else:
        count = build(weights=tmp_path / "odd.pth").norm.num_batches_tracked
        assert (count, count.dtype) == (7, torch.int64)


@pytest.mark.parametrize("key", [3, None, ("fc", "bias"), b"fc.bias"])
def test_keys_that_are_no_names_are_refused(build, enum, tmp_path, key):
    torch.save({**enum.state, key: torch.ones(4)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="keys that are not names, such as "):
        build(weights=tmp_path / "odd.pth")


class Two(nn.Module):
    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("c", torch.zeros(4))
        if tied:
            self.b.weight = self.a.weight


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("views", ["same", "same parameter", "slices", "expanded", "reversed", "unfolded", "converted"])
def test_keys_that_share_storage_in_a_file_get_memory_of_their_own(tmp_path, form, views):
    base, alone = torch.randn(40), torch.randn(1).expand(4)
    one = nn.Parameter(base[:4])
    a, b, c = {
        "same": (base[:4], base[:4], base[:4]), "same parameter": (one, one, one),
        "slices": (base[:4], base[2:6], base[3:7]), "expanded": (base[:1].expand(4), base[:1].expand(4), alone),
        "reversed": (base[:7:2], base[1:8:2], base[:4]), "unfolded": (base[:4], base[8:12], base[:4]),
        "converted": (base[:4], base[8:12], base[12:16]),
    }[views]  # fmt: skip
    weight = base.unfold(0, 4, 2)[:4] if views == "unfolded" else torch.randn(4, 4)
    state = {"a.weight": weight, "b.weight": torch.randn(4, 4), "a.bias": a, "b.bias": b, "c": c}
    path = written(state, tmp_path / "two.pth", form)
    convert = (lambda state, model: {**state, "b.bias": state["a.bias"]}) if views == "converted" else None
    model = zoo.builder(None, convert=convert)(lambda: Two())(weights=path)
    want = {k: v.detach().clone() for k, v in model.state_dict().items()}
    for name in want:
        with torch.no_grad():
            model.state_dict()[name].view(-1)[::2] += 1
        want[name].view(-1)[::2] += 1
        assert holds(model, want), f"{name} is tied to another, or to itself"
    assert type(model.c) is torch.Tensor


def test_what_the_model_ties_stays_tied(tmp_path):
    build = zoo.builder(None)(lambda: Two(tied=True))
    state = Two(tied=True).state_dict()
    torch.save(state, tmp_path / "both.pth")
    torch.save({k: v.clone() for k, v in state.items()}, tmp_path / "apart.pth")
    torch.save({k: v for k, v in state.items() if k != "b.weight"}, tmp_path / "one.pth")
    torch.save({**state, "b.weight": state["b.weight"] + 1}, tmp_path / "different.pth")
    for name in ("both", "apart", "one"):
        model = build(weights=tmp_path / f"{name}.pth")
        assert model.a.weight is model.b.weight
        assert holds(model, state)
        assert "b.weight" in zoo.load_report(model).loaded
    with pytest.raises(CheckpointError, match=r"a\.weight and b\.weight are the same tensor: they differ in the file"):
        build(weights=tmp_path / "different.pth")


def test_what_a_file_says_wrongly_of_itself_is_an_error_of_the_file(enum, tmp_path):
    def told(state):
        return {"scale": float(state["stem.weight"].shape[9])}

    for options in ({"told_by_file": told}, {"convert": lambda state, model: state["nothing"]}):
        with pytest.raises(CheckpointError, match=r"second?|other\.pth does not fit"):
            zoo.builder(enum, **options)(lambda **kwargs: Net(**kwargs))(weights="SECOND")


# ── what trainers save ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_trainers_wrap_around_a_model_is_taken_off_and_reported(build, enum, tmp_path):
    state = enum.state

    def under(prefix):
        return {f"{prefix}{k}": v for k, v in state.items()}

    averaged = AveragedModel(Net())
    averaged.module.load_state_dict(state)
    path = tmp_path / "trained.pth"
    for content, taken in [
        (under("module."), "names without 'module.'"), (under("_orig_mod."), "names without '_orig_mod.'"),
        (under("model."), "names without 'model.'"), (under("module._orig_mod."), "names without 'module._orig_mod.'"),
        (under("_orig_mod.module."), "names without '_orig_mod.module.'"),
        ({"state_dict": state}, "state_dict"), ({"model": state, "epoch": 3}, "model, not epoch"),
        ({"model_state_dict": under("module."), "loss": 0.1}, "model_state_dict, not loss; names without 'module.'"),
        ({"epoch": 1, "model_ema": averaged.state_dict()}, "model_ema, not epoch; names without 'module.'"),
        ({"model": state, "model_ema": under("module.")}, "model, not model_ema"),
        ({"model": {"state_dict": state}}, "model; of that state_dict"),
        ({"epoch": 1, "loops": {}, "state_dict": {**under("model."), "loss.weight": torch.ones(3)}},
         "state_dict, not epoch, loops; names without 'model.'"),
    ]:  # fmt: skip
        torch.save(content, path)
        model = build(weights=path, num_classes=4)
        report = zoo.load_report(model)
        assert holds(model, state), taken
        assert report.taken == taken
        assert f"taken: {taken}" in str(report)
    assert report.ignored == ("loss.weight",)
    save_file(under("module."), path)
    assert holds(build(weights=path), state)


def test_averaged_models_load_and_a_prefix_of_the_models_own_stays(build, enum, tmp_path):
    averaged = AveragedModel(Net())
    averaged.module.load_state_dict(enum.state)
    torch.save(averaged.state_dict(), tmp_path / "averaged.pth")
    model = build(weights=tmp_path / "averaged.pth")
    assert holds(model, enum.state)
    assert zoo.load_report(model).ignored == ("n_averaged",)
    for wrapper in ("module.", ""):  # a model whose names begin with model. keeps them
        torch.save({f"{wrapper}model.{k}": v for k, v in enum.state.items()}, tmp_path / "own.pth")
        outer = zoo.builder(None)(lambda: nn.ModuleDict({"model": Net()}))(weights=tmp_path / "own.pth")
        assert holds(outer["model"], enum.state)


def test_a_wrapped_file_tells_what_the_model_is_and_is_converted(enum, tmp_path):
    torch.save({"state_dict": {f"module.old.{k}": v for k, v in enum.state.items()}}, tmp_path / "old.pth")

    @zoo.builder(
        None,
        told_by_file=lambda state: {"num_classes": len(state["old.fc.bias"])},
        convert=lambda state, model: {k.removeprefix("old."): v for k, v in state.items()},
    )
    def net(**kwargs):
        return Net(**{"num_classes": 9, **kwargs})

    assert holds(net(weights=tmp_path / "old.pth"), enum.state)


def test_arguments_and_numpy_numbers_beside_the_tensors_are_left_aside(build, enum, tmp_path):
    np = pytest.importorskip("numpy")
    content = {
        "model": enum.state, "args": argparse.Namespace(lr=0.1, output=Path("runs"), betas=[0.9]), "epoch": 3,
        "best": np.float64(0.7), "history": np.arange(4.0), "at": datetime.datetime(2024, 1, 1),
        "seen": collections.defaultdict(list, a=[np.int64(1)]),
    }  # fmt: skip
    for legacy in (False, True):
        path = tmp_path / "trained.pth"
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        allowed = set(torch.serialization.get_safe_globals())
        for mmap in (False, True):
            model = build(weights=path, mmap=mmap)
            assert holds(model, enum.state)
            assert zoo.load_report(model).memory_mapped == (mmap and not legacy)
        assert zoo.load_report(model).taken.startswith("model, not args, epoch, best")
        assert set(torch.serialization.get_safe_globals()) == allowed


def test_files_of_trainers_load_in_many_threads(build, enum, tmp_path):
    torch.save({"model": enum.state, "args": argparse.Namespace(lr=0.1)}, tmp_path / "trained.pth")
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: build(weights=tmp_path / "trained.pth"), range(64)))
    assert all(holds(model, enum.state) for model in models)
    assert not any("Namespace" in str(c) for c in torch.serialization.get_safe_globals())


class Computing(torch.nn.Module):
    """Puts a buffer that it computes where its parameters are, as some libraries' models do."""

    def __init__(self, n: int = 3) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(n))
        self.register_buffer("table", torch.arange(n, device=self.weight.device) * 2, persistent=False)

    def forward(self, x):
        return x * self.weight + self.table


def test_buffers_that_follow_parameters_to_meta_are_computed(tmp_path):
    @zoo.builder()
    def computing(n: int = 3) -> Computing:
        return Computing(n)

    torch.save(computing().state_dict(), tmp_path / "w.pt")
    model = computing(weights=tmp_path / "w.pt")
    assert torch.equal(model.table, torch.tensor([0, 2, 4]))
    assert model(torch.ones(3)).isfinite().all()


def test_a_constructor_that_wants_numbers_gets_them(tmp_path):
    class Reading(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))
            self.total = torch.nn.Parameter(torch.tensor(float(self.weight.detach().cpu().sum())))

    @zoo.builder()
    def reading() -> Reading:
        return Reading()

    torch.save({"weight": torch.full((3,), 2.0), "total": torch.tensor(7.0)}, tmp_path / "w.pt")
    model = reading(weights=tmp_path / "w.pt")
    assert (model.weight.tolist(), model.total.item()) == ([2, 2, 2], 7)


def test_a_model_filled_by_its_own_library(tmp_path):
    made = []

    def net(width: int, in_channels: int = 3, num_classes: int = 2) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(in_channels, width, 1), torch.nn.Linear(width, num_classes))

    def fill(state, *, in_channels=3, num_classes=2):
        made.append((in_channels, num_classes))
        model = net(4, in_channels, num_classes)
        state = {key.removeprefix("old."): value for key, value in state.items()}
        state["0.weight"] = state["0.weight"].mean(1, keepdim=True).repeat(1, in_channels, 1, 1)
        if state["1.bias"].shape != model[1].bias.shape:
            del state["1.weight"], state["1.bias"]
        model.load_state_dict(state, strict=False)
        return model

    @zoo.builder(head="1", fill=fill)
    def theirs(in_channels: int = 3, num_classes: int = 2) -> torch.nn.Module:
        return net(4, in_channels, num_classes)

    given = theirs().state_dict()
    path = tmp_path / "w.pt"
    torch.save(given, path)
    assert zoo.load_report(theirs(weights=path)).converted == ()
    assert zoo.load_report(theirs(weights=path, num_classes=5)).reinitialised == ("1.weight", "1.bias")
    assert made == []  # a file that fits except for the head is loaded as before
    grey = theirs(weights=path, in_channels=1, num_classes=5)
    report = zoo.load_report(grey)
    assert (report.converted, report.reinitialised) == (("0.weight",), ("1.weight", "1.bias"))
    assert set(report.loaded) == {"0.weight", "0.bias"}
    torch.save({f"old.{key}": value for key, value in given.items()}, path)
    renamed = zoo.load_report(theirs(weights=path))
    assert set(renamed.converted) == set(given)
    assert renamed.ignored == ()
    assert made == [(1, 5), (3, 2)]
    torch.save({"something": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="does not fit theirs: KeyError"):
        theirs(weights=path)
