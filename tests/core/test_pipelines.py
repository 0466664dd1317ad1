"""Files in, results out, with the weights that are in the wheel and real scans."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import zoo
from zoo.errors import ContractError, InvalidArgument, UnknownTask, UnknownWeights, UnreadableFile
from zoo_classification import SqueezeNet1_1_Weights

DIGITS = Path(__file__).parents[2] / "examples/images/digits"


@pytest.fixture(scope="module")
def digits() -> zoo.Pipeline:
    return zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")


def test_every_kind_of_input(digits):
    path = DIGITS / "digit_7.png"
    image = Image.open(path)
    tensor = zoo.io.load_image(path)
    for one in (path, str(path), image, tensor):
        assert digits(one).label == "7"
    several = [r.label for r in digits([path, image, tensor])]
    assert several == ["7", "7", "7"]
    assert [r.label for r in digits(torch.stack([tensor, tensor]))] == ["7", "7"]
    assert len(digits([path])) == 1
    assert len(digits(tensor[None])) == 1


def test_a_folder_is_searched_in_order(digits, tmp_path):
    shutil.copytree(DIGITS, tmp_path / "deep" / "er")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert [r.label for r in digits(tmp_path, batch_size=3)] == list("0123456789")


def test_the_published_accuracy_is_measured_again(digits):
    """All 450 held-out scans, through the pipeline, against the number in the table."""
    data = load_digits()
    scans = torch.from_numpy(data.images * 255 / 16).round().to(torch.uint8)[-450:, None].expand(-1, 3, -1, -1)
    right = sum(r.label == str(t) for r, t in zip(digits(scans, batch_size=90), data.target[-450:], strict=True))
    assert 100 * right / 450 == pytest.approx(
        SqueezeNet1_1_Weights.DIGITS_V1.meta["_metrics"]["Digits"]["acc@1"], abs=0.3
    )


def test_results(digits):
    result = digits(DIGITS / "digit_3.png")
    (first, p), (second, q) = result.top(2)
    assert first == result.label == "3"
    assert 1 > p > q > 0
    assert second != "3"
    assert len(result.top(99)) == 10
    assert sum(p for _, p in result.top(10)) == pytest.approx(1)
    assert result.to_dict(1) == {"top": [{"label": "3", "probability": pytest.approx(p)}]}
    assert result.draw().width > 320
    with pytest.raises(InvalidArgument, match="k is 0"):
        result.top(0)


def test_an_unreadable_picture_does_not_stop_the_others(digits, tmp_path):
    for name in ("digit_1.png", "digit_2.png"):
        shutil.copy(DIGITS / name, tmp_path)
    (tmp_path / "digit_1b.png").write_bytes((DIGITS / "digit_1.png").read_bytes()[:40])
    with pytest.raises(UnreadableFile, match=r"digit_1b\.png"):
        digits(tmp_path)
    found = dict(digits.stream(digits.expand(tmp_path)))
    assert [found[tmp_path / name].label for name in ("digit_1.png", "digit_2.png")] == ["1", "2"]
    assert isinstance(found[tmp_path / "digit_1b.png"], UnreadableFile)


def test_batches_give_what_single_pictures_give(digits):
    alone = [digits(path).probabilities for path in sorted(DIGITS.glob("*.png"))]
    together = [r.probabilities for r in digits(DIGITS, batch_size=10)]
    torch.testing.assert_close(torch.stack(together), torch.stack(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inputs", "options", "message"), [
    (DIGITS, {"batch_size": 0}, "batch_size is 0"),
    (DIGITS, {"batch_size": -3}, "batch_size is -3"),
    ([], {}, "list of inputs is empty"),
    (3, {}, "Cannot predict from int"),
    (torch.zeros(3, 3, dtype=torch.uint8), {}, "shape"),
])  # fmt: skip
def test_bad_input_says_what_was_expected(digits, inputs, options, message):
    with pytest.raises(InvalidArgument, match=message):
        digits(inputs, **options)


def test_an_empty_folder_is_named(digits, tmp_path):
    with pytest.raises(InvalidArgument, match=f"{tmp_path} has no inputs"):
        digits(tmp_path)


def test_what_a_pipeline_cannot_be_made_of():
    with pytest.raises(UnknownWeights, match="DIGITS_V2"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V2")
    with pytest.raises(InvalidArgument, match="needs to know what its model was trained on"):
        zoo.pipeline("squeezenet1_1", weights=None)
    with pytest.raises(InvalidArgument, match="device='warp' cannot be used here"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="warp")
    with pytest.raises(UnknownTask, match="Did you mean 'image-classification'"):
        zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", task="image-clasification")


def test_a_model_that_was_built_before_and_ones_own_file(tmp_path):
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1")
    for task in (None, "image-classification"):  # its builder tells the task, too
        assert zoo.pipeline(model, task=task)(DIGITS / "digit_5.png").label == "5"
    foreign = torch.nn.Conv2d(3, 10, 1)
    with pytest.raises(InvalidArgument, match="Give the task of the model"):
        zoo.pipeline(foreign, SqueezeNet1_1_Weights.DIGITS_V1)
    mine = tmp_path / "mine.pth"
    torch.save(model.state_dict(), mine)
    described = dataclasses.replace(SqueezeNet1_1_Weights.DIGITS_V1.value, url=mine.as_uri())
    assert zoo.pipeline("squeezenet1_1", weights=described)(DIGITS / "digit_5.png").label == "5"
    undescribed = zoo.pipeline("squeezenet1_1", weights=mine, num_classes=10)
    assert undescribed(DIGITS / "digit_5.png").label.startswith("class ")


# ── inputs that go through the model part by part ────────────────────────────────────────────────────────────────


class Parts:
    """The numbers up to ``n``, each an input of its own."""

    def __init__(self, n: int, log: list[str]) -> None:
        self.left, self.log = iter(range(n)), log

    def __iter__(self):
        return self

    def __next__(self):
        i = next(self.left)
        self.log.append(f"read {i}")
        if i == 13:
            raise UnreadableFile("13 is damaged")
        return i, torch.tensor([float(i)])


class Doubling(torch.nn.Module):
    """Notes how many inputs it gets."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def forward(self, x):
        self.log.append(f"run {len(x)}")
        return 2 * x


@pytest.fixture
def counting(monkeypatch):
    """Makes a pipeline: an int is an input of this many parts, a tuple of two strings one of a single part."""
    log: list[str] = []

    class Counting(zoo.PictureTask):
        def load(self, source):
            return len(Path(source).name) if isinstance(source, str | Path) else source

        def transform(self, weights):
            return lambda loaded: Parts(loaded, log) if isinstance(loaded, int) else torch.zeros(1)

        def decode(self, outputs, inputs, weights):
            return list(zip(inputs, outputs[:, 0].tolist(), strict=True))

    class OnlySequences(Counting):
        def sequence(self, source):
            return str(source).endswith("x")

    class OnlyGathers(Counting):
        def gather(self, source, results):
            return source, list(results)

    class Both(OnlySequences, OnlyGathers):
        pass

    steps = types.ModuleType("counting_steps")
    steps.OnlySequences, steps.OnlyGathers, steps.Both = OnlySequences, OnlyGathers, Both
    monkeypatch.setitem(sys.modules, "counting_steps", steps)

    def make(kind: str = "Both") -> zoo.Pipeline:
        task = zoo.TaskSpec("counting", f"counting_steps:{kind}", inputs_per_sample=2, suffixes=(".x", ".y"))
        log.clear()
        return zoo.Pipeline(Doubling(log), task, zoo.Weights(url="file:///none"), torch.device("cpu"))

    make.log = log
    return make


def test_an_input_may_have_many_parts_and_one_result(counting):
    pipe = counting()
    assert pipe("abc.x", batch_size=2) == (5, [(i, 2.0 * i) for i in range(5)])
    assert counting.log == ["read 0", "read 1", "run 2", "read 2", "read 3", "run 2", "read 4", "run 1"]
    assert pipe([Path("a.x")]) == [(3, [(0, 0.0), (1, 2.0), (2, 4.0)])]  # a list gives a list
    assert pipe("x") == (1, [(0, 0.0)])


def test_inputs_with_and_without_parts_keep_their_order(counting, tmp_path):
    pipe = counting()
    results = pipe(["a.y", "b.y", "abc.x", ("c.y", "d.y"), "x"])
    assert [len(r[1]) if isinstance(r[0], int) else r[0] for r in results] == [("a.y", "b.y"), 5, ("c.y", "d.y"), 1]
    for name in ("a.y", "b.x", "c.y"):
        (tmp_path / name).touch()
    assert pipe.expand(tmp_path) == [tmp_path / "b.x", (tmp_path / "a.y", tmp_path / "c.y")]
    (tmp_path / "a.y").unlink()
    with pytest.raises(InvalidArgument, match="at least 2"):  # one that is not a sequence is left over
        pipe(tmp_path)
    (tmp_path / "c.y").unlink()
    assert len(pipe(tmp_path)) == 1


def test_a_part_that_cannot_be_read_ends_its_input_alone(counting):
    pipe = counting()
    long = f"{13 * 'a'}.x"
    found = dict(pipe.stream([long, "abc.x"]))
    assert isinstance(found[long], UnreadableFile)
    assert len(found["abc.x"][1]) == 5
    with pytest.raises(UnreadableFile, match="13 is damaged"):
        pipe(long)


def test_parts_without_gather_are_the_plugins_mistake(counting):
    with pytest.raises(ContractError, match=r"OnlySequences\.transform returns an iterator.*requires gather\(\)"):
        counting("OnlySequences")("abc.x")
    with pytest.raises(InvalidArgument, match=r"left over: abc\.x\. "):  # nothing says that it is one by itself
        counting("OnlyGathers")("abc.x")


def test_long_inputs_show_how_far_they_are(counting, capsys, monkeypatch):
    monkeypatch.setattr(Parts, "__length_hint__", lambda self: 40, raising=False)
    pipe = counting()
    pipe("abc.x")
    assert "/40" in capsys.readouterr().err
    list(pipe.stream(["abc.x"], progress=False))
    assert capsys.readouterr().err == ""


# ── what a model is optimised on ─────────────────────────────────────────────────────────────────────────────────


class OfTwo(torch.nn.Module):
    """Takes two pictures, which the default example is not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    def forward(self, first, second):
        if first.shape[-1] != 32:
            raise ValueError("32 pixels are needed")
        return self.layers(first) - self.layers(second.flip(-1))


@pytest.mark.parametrize("size", [32, 48])
def test_a_model_is_tried_on_the_example_of_its_task(size, monkeypatch):
    class Two(zoo.PictureTask):
        def transform(self, weights):
            return lambda pair: [picture[:, :size, :size] / 255 for picture in pair]

        def collate(self, prepared):
            return tuple(torch.stack(pictures) for pictures in zip(*prepared, strict=True))

        def decode(self, outputs, inputs, weights):
            return list(outputs)

        def example(self, model, weights, side=None):
            return torch.ones(1, 3, size, size), torch.zeros(1, 3, size, size)

    steps = types.ModuleType("two_steps")
    steps.Two = Two
    monkeypatch.setitem(sys.modules, "two_steps", steps)
    task = zoo.TaskSpec("two", "two_steps:Two", inputs_per_sample=2)
    monkeypatch.setattr(zoo.registry, "get_task", lambda name: task)
    model = OfTwo()
    pipe = zoo.pipeline(model, zoo.Weights(url="file:///none"), "cpu", task="two", optimize=True)
    assert model.training  # the model itself is left alone
    if size == 32:
        assert pipe.optimization.folded == {"layers.1": "layers.0"}
        pair = torch.rand(3, 32, 32), torch.rand(3, 32, 32)
        expected = model.eval()(*(picture[None] / 255 for picture in pair))[0]
        torch.testing.assert_close(pipe(pair), expected, rtol=1e-4, atol=1e-5)
    else:
        assert not pipe.optimization.ran
        assert pipe.optimization.folded == {}
        assert "32 pixels are needed" in pipe.optimization.notes[-1]


# ── options of tasks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def labelling(monkeypatch):
    """A task with options, at two of its verbs."""

    class Labelling(zoo.PictureTask):
        def __init__(self, prefix, times):
            self.prefix, self.times = prefix, times

        def decode(self, outputs, inputs, weights):
            return [self.times * f"{self.prefix}{value:g}" for value in outputs.tolist()]

    steps = types.ModuleType("labelling_steps")
    steps.Labelling = Labelling
    monkeypatch.setitem(sys.modules, "labelling_steps", steps)
    options = (
        zoo.Option("prefix", str, "#", "What comes before."),
        zoo.Option("times", int, 1, "How often."),
        zoo.Option("worst", bool, False, "The worst too.", verb="evaluate"),
    )
    task = zoo.TaskSpec("labelling", "labelling_steps:Labelling", options=options)
    monkeypatch.setattr(zoo.registry, "get_task", lambda name: task)

    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean((1, 2, 3))

    weights = zoo.Weights(url="file:///none", transforms=lambda: lambda picture: picture.float())

    def make(**options):
        return zoo.pipeline(Mean(), weights, "cpu", task="labelling", **options)

    return make


def test_options_reach_the_task_and_have_defaults(labelling):
    picture = torch.full((3, 4, 4), 7, dtype=torch.uint8)
    assert labelling()(picture) == "#7"
    assert labelling(prefix="no. ", times=2)(picture) == "no. 7no. 7"


def test_large_pictures_are_opened_one_after_the_other(tmp_path, monkeypatch):
    """As many as make up a few dozen million pixels are in memory at once, however many a batch would hold."""
    monkeypatch.setattr("zoo.running.pipelines.LARGE", 100 * 100)
    paths = []
    for i, side in enumerate((100, 100, 20, 20, 70, 80)):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (side, side)).save(paths[-1])
    pipe = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")
    held, most, load = [], [], pipe.steps.load

    def counted(source):
        held.append(source)
        return load(source)

    monkeypatch.setattr(pipe.steps, "load", counted)
    for source, _ in pipe.stream(paths, batch_size=6):
        most.append(len(held) - paths.index(source))
    assert held == paths  # in order, none twice
    assert most == [1, 1, 4, 3, 2, 1]


def test_the_tasks_example_is_where_the_model_is():
    """On its device and in its precision, of which double stands for both: no GPU is needed to tell."""
    pipe = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu", optimize=False)
    pipe.model.double()
    pipe.optimize()
    assert pipe.optimization.ran, pipe.optimization.notes
    assert pipe.optimization.channels_last


# ── a task's own steps ───────────────────────────────────────────────────────────────────────────────────────────


class Brightness(zoo.PictureTask):
    def __init__(self, unit=""):
        self.unit = unit

    def decode(self, outputs, inputs, weights):
        return [f"{value:g}{self.unit}" for value in outputs.flatten(1).mean(1).tolist()]


def test_an_object_with_a_tasks_steps_takes_the_place_of_the_models_own(tmp_path):
    weights = zoo.Weights(url="file:///none", transforms=lambda: lambda picture: picture.float())
    picture = torch.full((3, 4, 4), 7, dtype=torch.uint8)
    pipe = zoo.pipeline(torch.nn.Identity(), weights, "cpu", task=Brightness(" nt"))
    assert pipe(picture) == "7 nt"
    assert pipe([picture, torch.zeros(3, 9, 9)]) == ["7 nt", "0 nt"]  # of two sizes
    plain = zoo.Weights(
        url="file:///none", transforms=zoo.Preset("zoo.transforms:ImageClassification", {"crop_size": 8})
    )
    for shade in (0, 255):
        Image.new("RGB", (9, 9), (shade,) * 3).save(tmp_path / f"{shade}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    seen = zoo.pipeline(torch.nn.Identity(), plain, "cpu", task=Brightness())(tmp_path)
    assert float(seen[0]) < 0 < float(seen[1])
    named = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", task=Brightness("!"))
    assert named.task.name == "image-classification"
    assert isinstance(named(tmp_path / "0.png"), str)


def test_a_task_may_be_given_as_it_is_described(tmp_path):
    spec = zoo.get_task("image-classification")
    assert zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", task=spec).task is spec
    Image.new("L", (9, 9)).save(tmp_path / "digit.png")
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1")
    assert zoo.pipeline(model, task=spec, device="cpu")(tmp_path / "digit.png").top(1)


@pytest.mark.parametrize(("task", "problem"), [(3, "an? int"), (Brightness, "the class Brightness"), ([], "a list")])
def test_a_task_that_is_none_is_told(task, problem):
    with pytest.raises(
        InvalidArgument, match=rf"task is {problem}; expected a task's name, a zoo\.TaskSpec, or an obj"
    ):
        zoo.pipeline("squeezenet1_1", task=task)


def test_steps_need_a_model():
    with pytest.raises(InvalidArgument, match=r"task=Brightness\(…\) without a model; name its model"):
        zoo.pipeline(task=Brightness())
