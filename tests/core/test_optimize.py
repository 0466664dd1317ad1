"""zoo.optimize: what is folded, what must not be, and that outputs and the original stay what they were."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading

import pytest
import torch
from reference.fill import fill_, images
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument
from zoo.nn import FrozenBatchNorm2d

NORMS = (nn.modules.batchnorm._BatchNorm, FrozenBatchNorm2d)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def off(a: Tensor, b: Tensor) -> float:
    """The largest difference, in standard deviations of ``b``."""
    return ((a - b).abs().max() / b.std()).item()


def count(model: nn.Module, kinds: type | tuple[type, ...]) -> int:
    return sum(isinstance(m, kinds) for m in model.modules())


# The numbers of batch norms that are folded, and that come before their convolution and stay.
FAMILIES = {
    "resnet18": (20, 0),
    "squeezenet1_1": (0, 0),
    "densenet121": (59, 62),
    "mobilenet_v2": (52, 0),
    "mobilenet_v3_small": (34, 0),
    "mnasnet0_5": (52, 0),
    "shufflenet_v2_x0_5": (56, 0),
    "efficientnet_b0": (49, 0),
    "efficientnet_lite0": (49, 0),
    "regnet_y_400mf": (53, 0),
    "googlenet": (57, 0),
    "inception_v3": (94, 0),
    "convnext_tiny": (0, 0),
    "swin_t": (0, 0),
    "vgg11_bn": (8, 0),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = zoo.get_model(name, weights=None, **options)
    if name == "vgg11_bn":
        model.classifier = nn.Linear(512 * 7 * 7, 10)  # its 123 million weights would only take time
    fill_(model)
    assert model.training
    before = {key: t.clone() for key, t in model.state_dict().items()}
    fast = zoo.optimize(model)

    report = fast.optimization_report
    assert (len(report.folded), len(report.kept)) == FAMILIES[name]
    assert count(fast, NORMS) == FAMILIES[name][1]
    assert report.channels_last == (name != "swin_t")
    assert not fast.training
    assert not any(p.requires_grad for p in fast.parameters())

    assert model.training
    assert all(torch.equal(t, before[key]) for key, t in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    shared = {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in fast.parameters()}
    assert not shared

    x = (images((2, 3, 224, 224), seed=5) - 0.45) / 0.225
    with torch.inference_mode():
        expected = model.eval()(x)
        assert off(fast(x), expected) < 1e-4
        assert off(fast(x.contiguous(memory_format=torch.channels_last)), expected) < 1e-4


class Net(nn.Module):
    """A convolution, a batch norm, and whatever a test does with them."""

    def __init__(self, conv: nn.Module | None = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 8, 3, padding=1)
        self.norm = norm or nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class UsedTwice(Net):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv(x.flip(-1))


class TwoReaders(Net):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) * y.sigmoid()


class ReadInPlaceAfterwards(Net):
    def forward(self, x):
        y = self.conv(x)
        z = self.norm(y)
        return z + y.mul_(2)


class ChangedInPlaceBefore(Net):
    def forward(self, x):
        y = self.conv(x)
        y.relu_()
        return self.norm(y)


class AfterSum(Net):
    def forward(self, x):
        return self.norm(self.conv(x) + x.mean(1, keepdim=True))


class Returned(Net):
    def forward(self, x):
        y = self.conv(x)
        return {"normalised": self.norm(y), "features": [y]}


class OtherInputToo(Net):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(x.repeat(1, 3, 1, 1)[:, :8])


class Viewed(Net):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y.reshape(y.shape[0], 8, -1, 2))


class WeightReadElsewhere(Net):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv.weight.mean()


class StatisticsReadElsewhere(Net):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm.running_mean.mean()


class TrainsItsNorm(Net):
    def forward(self, x):
        self.norm.train()
        return self.norm(self.conv(x))


class SharedNorm(Net):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        return self.norm(self.conv(x)) - self.norm(self.other(x))


class NormPerLevel(Net):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(self.conv(x)) - self.second(self.conv(x.flip(-1)))


class Standardised(nn.Conv2d):
    """Convolution whose weights are standardised as they are used: scaling them would do nothing."""

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w / w.std((1, 2, 3), keepdim=True), self.bias)


class NamedConv(nn.Conv2d):
    """A subclass that only knows its own arguments."""

    def __init__(self) -> None:
        super().__init__(3, 8, 3, bias=False)


def with_hook() -> Net:
    net = Net()
    net.conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return net


NOT_FOLDED = {
    "used twice": UsedTwice,
    "two readers": TwoReaders,
    "read in place afterwards": ReadInPlaceAfterwards,
    "changed in place before": ChangedInPlaceBefore,
    "after a sum": AfterSum,
    "returned": Returned,
    "norm of other inputs too": OtherInputToo,
    "through a view": Viewed,
    "weight read elsewhere": WeightReadElsewhere,
    "statistics read elsewhere": StatisticsReadElsewhere,
    "trains its norm": TrainsItsNorm,
    "one norm, two convolutions": SharedNorm,
    "one convolution, two norms": NormPerLevel,
    "hook": with_hook,
    "another convolution": lambda: Net(Standardised(3, 8, 3)),
    "weight norm": lambda: Net(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))),
    "batch statistics": lambda: Net(norm=nn.BatchNorm2d(8, track_running_stats=False)),
    "norm before": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3)),
    "activation between": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)),
}


@pytest.mark.parametrize("make", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_must_not_be_folded(make):
    model = fill_(make()).eval()
    norms = count(model, NORMS)
    fast = zoo.optimize(copy.deepcopy(model), noise(2, 3, 8, 8))
    report = fast.optimization_report
    assert report.folded == {}
    assert len(report.kept) == count(fast, NORMS) == norms
    assert report.notes == ()  # seen while watching, and not only when outputs were compared
    x = noise(2, 3, 8, 8, seed=2)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


def test_channels_in_another_dimension():
    """Batch norm of three dimensions normalises the second, a linear layer's features are the last; the sizes agree."""
    for layer, x in ((nn.Linear(4, 6), noise(2, 6, 4)), (nn.Conv1d(4, 6, 1), noise(4, 6))):
        model = fill_(nn.Sequential(layer, nn.BatchNorm1d(6))).eval()
        fast = zoo.optimize(model, x)
        assert list(fast.optimization_report.kept) == ["1"]
        torch.testing.assert_close(fast(x), model(x))


FOLDED = {
    "2-d": (lambda: Net(), (2, 3, 8, 8)),
    "subclass": (lambda: Net(NamedConv()), (2, 3, 8, 8)),
    "no bias, grouped, dilated": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, dilation=2, bias=False), nn.BatchNorm2d(8, eps=0.1)),
        (2, 4, 8, 8),
    ),
    "not affine": (lambda: Net(norm=nn.BatchNorm2d(8, affine=False)), (2, 3, 8, 8)),
    "frozen": (lambda: Net(norm=FrozenBatchNorm2d(8, eps=0.01)), (2, 3, 8, 8)),
    "1-d": (lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8)), (2, 3, 9)),
    "3-d": (lambda: nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)), (2, 3, 5, 5, 5)),
    "linear": (lambda: nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8)), (5, 3)),
    "padded by reflection": (lambda: Net(nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")), (2, 3, 8, 8)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("make", "shape"), FOLDED.values(), ids=FOLDED)
def test_what_is_folded(make, shape, dtype):
    model = fill_(make()).eval().to(dtype)
    fast = zoo.optimize(model, noise(*shape).to(dtype))
    assert len(fast.optimization_report.folded) == 1
    assert count(fast, NORMS) == 0
    assert {p.dtype for p in fast.parameters()} == {dtype}
    x = noise(*shape, seed=2).to(dtype)
    assert off(fast(x), model(x)) < max(1e-5, 8 * torch.finfo(dtype).eps)


class Pyramid(nn.Module):
    """One head for all levels, as RetinaNet has, registered in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.heads = nn.ModuleList([self.head, self.head])

    def forward(self, x: Tensor) -> list[Tensor]:
        return [head(x[..., ::step]) for head, step in zip(self.heads, (1, 2), strict=True)]


def test_a_head_that_is_run_several_times_is_folded_once():
    model, x = fill_(Pyramid()).eval(), noise(1, 3, 16, 16)
    fast = zoo.optimize(model, x)
    assert fast.optimization_report.folded == {"head.1": "head.0"}
    assert count(fast, NORMS) == 0
    assert fast.heads[1] is fast.head
    assert max(off(a, b) for a, b in zip(fast(x), model(x), strict=True)) < 1e-5


class TiedWeights(Net):
    def __init__(self) -> None:
        super().__init__()
        self.tied = nn.Conv2d(3, 8, 3, padding=1)
        self.tied.weight = self.conv.weight

    def forward(self, x):
        return self.norm(self.conv(x)) + self.tied(x.flip(-1))


def test_weights_shared_with_another_layer_stay_its_own():
    model, x = fill_(TiedWeights()).eval(), noise(1, 3, 8, 8)
    assert off(zoo.optimize(model, x)(x), model(x)) < 1e-5


def test_what_only_training_needs_is_dropped():
    model = fill_(zoo.get_model("googlenet", weights=None, init_weights=False))
    fast = zoo.optimize(model)
    assert fast.optimization_report.dropped == ("dropout", "aux1", "aux2")
    assert fast.aux1 is None
    assert model.aux1 is not None
    assert count(fast, nn.Dropout) == 0
    dropped = zoo.optimize(zoo.get_model("efficientnet_b0", weights=None)).optimization_report.dropped
    assert len([path for path in dropped if path.endswith("stochastic_depth")]) == 9  # of the blocks that add
    assert "classifier.0" in dropped


def test_features_keep_their_paths():
    model = fill_(zoo.get_model("resnet18", weights=None)).eval()
    x = noise(1, 3, 64, 64)
    paths = ["bn1", "layer1.0.bn2", "layer2", "layer4.1.bn2"]
    expected = zoo.feature_extractor(model, paths)(x)
    for path, value in zoo.feature_extractor(zoo.optimize(model), paths)(x).items():
        assert off(value, expected[path]) < 1e-4


class Counts(Net):
    """Returns something else every time, as a model with a state may."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class Views(Net):
    """Flattens by a view, which takes contiguous features only."""

    def forward(self, x):
        return super().forward(x).view(x.shape[0], -1)


def test_outputs_are_compared_and_changes_taken_back(monkeypatch):
    x = noise(2, 3, 8, 8)
    model = fill_(Counts()).eval()
    report = zoo.optimize(model, x).optimization_report
    assert "undone: an output would differ by" in report.notes[-1]
    assert report.kept == {"norm": "outputs would differ"}

    # Were the watching wrong, the comparison would still find it.
    monkeypatch.setattr("zoo.running.optimization._Watch.obstacle", lambda *args: None)
    model = fill_(TwoReaders()).eval()
    fast = zoo.optimize(model, x)
    assert "All changes were undone" in fast.optimization_report.notes[-1]
    assert torch.equal(fast(x), model(x))
    assert all(torch.equal(a, b) for a, b in zip(fast.state_dict().values(), model.state_dict().values(), strict=True))


def test_channels_last_only_where_the_model_can():
    model, x = fill_(Views(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3)))).eval(), noise(2, 3, 8, 8)
    fast = zoo.optimize(model, x)
    assert not fast.optimization_report.channels_last
    assert "view size is not compatible" in fast.optimization_report.notes[0]
    assert len(fast.optimization_report.folded) == 1
    assert off(fast(x), model(x)) < 1e-5
    assert zoo.optimize(Net(), x, channels_last=True).optimization_report.channels_last


class TwoImages(Net):
    def forward(self, x, y):
        return self.norm(self.conv(x - y))


def test_examples():
    model, x = fill_(TwoImages()).eval(), noise(1, 3, 8, 8)
    report = zoo.optimize(model).optimization_report
    assert report.kept == {"norm": "the model did not run on the default example"}
    assert "missing 1 required positional argument" in report.notes[0]
    assert zoo.optimize(model, (x, -x)).optimization_report.folded == {"norm": "conv"}
    with pytest.raises(TypeError, match="missing 1 required"):
        zoo.optimize(model, x)
    clips = fill_(nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4)))
    unknown = zoo.optimize(clips).optimization_report  # nothing tells that it takes no picture
    assert (unknown.ran, list(unknown.kept)) == (False, ["1"])
    assert "Nothing was done: the model did not run on the default example. Give one." in unknown.notes[0]
    assert len(zoo.optimize(clips, noise(1, 2, 4, 8, 8)).optimization_report.folded) == 1
    with torch.device("meta"):
        nothing = Net()
    assert "Nothing was done" in zoo.optimize(nothing).optimization_report.notes[0]


PAIRS = """
    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(
            api_version=1,
            models=[zoo.ModelSpec("pair_net", "pair_parts:pair_net", task="comparing")],
            tasks=[zoo.TaskSpec("comparing", "pair_parts:Comparing", inputs_per_sample=2)],
        )
"""
PAIR_PARTS = """
import torch, zoo

class Comparing(zoo.PictureTask):
    def decode(self, outputs, inputs, weights):
        return list(outputs)

    def example(self, model, weights, size=None):
        return (torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))

class PairNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)

    def forward(self, x, y):
        return self.norm(self.conv(x - y))

@zoo.builder()
def pair_net(**kwargs):
    return PairNet()
"""


def test_the_default_example_is_that_of_the_task_the_model_was_built_for(plugin_folder):
    plugin_folder.install("pairs", PAIRS)
    (plugin_folder.path / "pair_parts.py").write_text(PAIR_PARTS)
    zoo.refresh()
    built = zoo.get_model("pair_net")
    assert zoo.optimize(built).optimization_report.folded == {"norm": "conv"}
    assert not zoo.optimize(type(built)()).optimization_report.ran  # the same, but nobody knows who made it


def test_in_place_and_twice():
    model, x = fill_(Net()).eval(), noise(1, 3, 8, 8)
    expected = model(x)
    assert zoo.optimize(model, x, inplace=True) is model
    assert count(model, NORMS) == 0
    again = zoo.optimize(model, x)
    assert again.optimization_report.folded == {}
    assert off(again(x), expected) < 1e-5


def test_bad_input():
    with pytest.raises(InvalidArgument, match=r"takes a torch\.nn\.Module, not str"):
        zoo.optimize("resnet18")
    model = Net()
    model.lock = threading.Lock()
    with pytest.raises(InvalidArgument, match=r"Net cannot be copied .* inplace=True"):
        zoo.optimize(model)


def test_random_numbers_are_not_drawn():
    model, state = Net(), torch.random.get_rng_state()
    assert len(zoo.optimize(model).optimization_report.folded) == 1
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_compiler_is_not_imported():
    """It takes torch seconds, which would be those of the first prediction."""
    script = (
        "import sys, torch, zoo; zoo.optimize(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_pipelines_run_optimised_models(tmp_path):
    model = fill_(zoo.get_model("resnet18", weights=None, num_classes=10)).eval()
    file = tmp_path / "resnet18.pth"
    torch.save(model.state_dict(), file)
    picture = (images((3, 256, 256)) * 255).to(torch.uint8)

    plain = zoo.pipeline("resnet18", weights=file, num_classes=10, device="cpu", optimize=False)
    assert plain.optimization is None
    assert count(plain.model, NORMS) == 20
    fast = zoo.pipeline("resnet18", weights=file, num_classes=10, device="cpu", optimize=True)
    assert len(fast.optimization.folded) == 20
    assert count(fast.model, NORMS) == 0
    torch.testing.assert_close(fast(picture).probabilities, plain(picture).probabilities, rtol=1e-3, atol=1e-6)

    description = zoo.get_model_weights("resnet18").DEFAULT
    given = zoo.pipeline(model, description, task="image-classification", device="cpu", optimize=True)
    assert given.model is not model
    assert (count(given.model, NORMS), count(model, NORMS)) == (0, 20)
    model.lock = threading.Lock()
    uncopied = zoo.pipeline(model, description, task="image-classification", device="cpu")
    assert uncopied.model is model
    assert "cannot be copied" in uncopied.optimization.notes[0]
