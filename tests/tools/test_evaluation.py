"""``zoo evaluate`` with a third-party task: metrics, processes, and resuming after interruptions."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from PIL import Image
from servers import FileServer, serving

import zoo
from zoo.contract import check_task
from zoo.errors import ContractError, EvaluationError, InvalidArgument, UnknownModel
from zoo_tools.evaluation import evaluator_of
from zoo_tools.records import data_digest

PLUGIN = """
    from zoo import ModelSpec, Option, Preset, TaskSpec, Weights

    def entry(file, **facts):
        return Weights(
            url="file://" + FOLDER + "/" + file,
            transforms=Preset("level_parts:Prepare"),
            num_params=1,
            metrics={"Walls": {"off": 2.5, "speed": 9}, "Doors": {"speed": 8}},
            **facts,
        )

    class Level_Weights(zoo.WeightsEnum):
        V1 = entry("level.pt")
        V2 = entry("double.pt")
        DEFAULT = V1

    WORST = Option("worst", bool, False, "Also the largest distance.", verb="evaluate")

    def task(name, **more):
        return TaskSpec(name, "level_parts:LevelTask", suffixes=(".png",), **more)

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(
            api_version=1,
            models=[ModelSpec("level", "level_parts:level", task="level-telling", weights=Level_Weights)],
            tasks=[
                task("level-telling", options=(WORST,), provides={"evaluate": "level_parts:Levels"}),
                task("level-guessing"),
            ],
        )
"""

PARTS = '''
    import json, os, time
    from dataclasses import dataclass
    import torch
    import zoo
    from zoo.errors import InvalidArgument
    from zoo.transforms.functional import pil_to_tensor
    from level_plugin import Level_Weights

    class Level(torch.nn.Module):
        def __init__(self, scale=1.0):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(1))
            self.scale = scale

        def forward(self, x):
            return self.scale * self.gain * x.mean((-3, -2, -1))

    @zoo.builder(Level_Weights)
    def level(**kwargs):
        return Level(**kwargs)

    def Prepare(add=0.0):
        return lambda image: pil_to_tensor(image).float() + add

    class LevelTask(zoo.PictureTask):
        def decode(self, outputs, inputs, weights):
            return outputs.tolist()

    class Levels:
        """The mean distance to the true levels in a JSON file. With ``worst``, also the largest distance."""

        def __init__(self, images, annotations, weights, worst=False):
            self.truth = json.loads(annotations.read_text())
            self.sources = {name: images / name for name in self.truth}
            self.worst = worst
            self.notes = ["Levels are from 0 to 255."]

        def measure(self, name, result):
            with open(os.environ.get("LEVELS_LOG", os.devnull), "a") as log:
                print(name, file=log)
            time.sleep(float(os.environ.get("LEVELS_TAKE", "0")))
            if name == os.environ.get("LEVELS_DIE_AT"):
                os._exit(3)
            if self.truth[name] == "tensor":
                return torch.ones(1)
            if self.truth[name] is None:
                raise InvalidArgument(f"the level of {name!r} is unknown")
            return {"off": abs(result - self.truth[name])}

        def summarize(self, records):
            off = [record["off"] for record in records]
            found = {"off": sum(off) / len(off), "speed": float("nan")}
            return {**found, "worst": max(off)} if self.worst else found
'''


@pytest.fixture
def levels(plugin_folder: Any, tmp_path: Path) -> Path:
    """A plugin with its own task and weights, and a data set: the errors on ten pictures are 0, 1, …, 9."""
    (plugin_folder.path / "level_parts.py").write_text(textwrap.dedent(PARTS))
    source = f"FOLDER = {str(tmp_path)!r}\n" + textwrap.dedent(PLUGIN)
    plugin_folder.install("levels", source, distribution="level")
    for file, gain in (("level.pt", 1.0), ("double.pt", 2.0)):
        torch.save({"gain": torch.full((1,), gain)}, tmp_path / file)
    (tmp_path / "walls").mkdir()
    for i in range(10):
        Image.new("RGB", (8, 8), (20 * i,) * 3).save(tmp_path / "walls" / f"{i}.png")
    (tmp_path / "levels.json").write_text(json.dumps({f"{i}.png": 21 * i for i in range(10)}))
    zoo.refresh()
    return tmp_path


def evaluate(folder: Path, **options: Any) -> zoo.Evaluation:
    return zoo.evaluate("level", folder / "walls", folder / "levels.json", device="cpu", **options)


def records(folder: Path) -> list[dict[str, Any]]:
    """The records in ``folder``, without the first line."""
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()[1:]]


def command(folder: Path, *options: object) -> list[str]:
    paths = ["--images", folder / "walls", "--annotations", folder / "levels.json", "--device", "cpu"]
    return ["evaluate", "--model", "level", *map(str, [*paths, *options])]


def start(folder: Path, *options: object, **environment: object) -> subprocess.Popen[str]:
    """``zoo evaluate`` in a separate process."""
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path, **{key: str(value) for key, value in environment.items()}}
    line = [sys.executable, "-m", "zoo", *command(folder, *options)]
    return subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_third_partys_task_is_evaluated(levels: Path) -> None:
    result = evaluate(levels)
    assert result.metrics["off"] == 4.5
    assert (result.model, result.weights, result.task, result.measured) == ("level", "V1", "level-telling", 10)
    assert result.published["Walls"]["off"] == 2.5
    assert result.notes == ("Levels are from 0 to 255.",)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["metrics"] == {"off": 4.5, "speed": None}


def test_options_go_to_the_evaluator_and_to_the_builder(levels: Path) -> None:
    assert evaluate(levels, worst=True).metrics["worst"] == 9
    assert evaluate(levels, scale=0.0).metrics["off"] == 21 * 4.5
    with pytest.raises(InvalidArgument, match=r"level cannot be built with \{'depth': 3\}: .*'depth'"):
        evaluate(levels, depth=3)


def test_a_model_that_was_built_before(levels: Path) -> None:
    model = zoo.get_model("level", weights="V2")
    model.train()
    result = zoo.evaluate(model, levels / "walls", levels / "levels.json", task="levels/level-telling", device="cpu")
    assert (result.model, result.metrics["off"]) == ("Level", 19 * 4.5)
    assert model.training  # the evaluation uses a copy
    known = zoo.evaluate(model, levels / "walls", levels / "levels.json", device="cpu")  # its builder is known
    assert known.to_dict() == result.to_dict()
    foreign = sys.modules["level_parts"].Level()
    with pytest.raises(InvalidArgument, match="the task of the model"):
        zoo.evaluate(foreign, levels / "walls", levels / "levels.json")
    with pytest.raises(InvalidArgument, match="need the name of a model"):
        zoo.evaluate(model, levels / "walls", levels / "levels.json", processes=2)


def test_only_the_first_ones(levels: Path, tmp_path: Path) -> None:
    """Complete batches are computed and recorded; the metrics are for the requested inputs."""
    result = evaluate(levels, limit=5, batch_size=4, output=tmp_path / "out")
    assert (result.measured, result.metrics["off"]) == (5, 2)
    assert len(records(tmp_path / "out")) == 8
    assert evaluate(levels, output=tmp_path / "out").metrics["off"] == 4.5


def test_several_processes_find_the_same(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELS_LOG", str(tmp_path / "log"))
    alone = evaluate(levels, batch_size=3)
    (levels / "walls" / "4.png").write_bytes(b"no picture")
    log = tmp_path / "log"
    log.unlink()
    together = evaluate(levels, batch_size=3, processes=2, output=tmp_path / "out")
    assert together.measured == 9
    assert together.metrics["off"] == (10 * alone.metrics["off"] - 4) / 9
    assert "not in a picture format" in together.failures["4.png"]
    assert sorted(lines(log)) == sorted(row["input"] for row in records(tmp_path / "out"))
    assert len(lines(log)) == 9


@pytest.mark.slow
def test_a_process_that_dies_is_told(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELS_DIE_AT", "7.png")
    with pytest.raises(EvaluationError, match="A worker process died, perhaps for lack of memory"):
        evaluate(levels, batch_size=1, processes=2, output=tmp_path / "out")
    monkeypatch.delenv("LEVELS_DIE_AT")
    assert evaluate(levels, batch_size=1, output=tmp_path / "out").metrics["off"] == 4.5


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_killed_it_goes_on_where_it_was(levels: Path, tmp_path: Path) -> None:
    """Killed for real, during the work of two processes, and while writing; the metrics equal those of an undisturbed
    run, no finished input is computed again, and the processes it had started are gone."""
    out, log = tmp_path / "out", tmp_path / "log"
    options = ("--output", out, "--batch-size", 2, "--json")
    with start(levels, *options, "--processes", 2, LEVELS_TAKE=0.2, LEVELS_LOG=log) as killed:
        wait_for(lambda: len(lines(out / "records.jsonl")) >= 4)
        children = descendants(killed.pid)
        killed.kill()
    wait_for(lambda: not any(map(alive, children)), 10)
    assert len(children) >= 2
    finished = [row["input"] for row in records(out)]
    assert 3 <= len(finished) < 10
    with (out / "records.jsonl").open("a") as f:
        f.write('{"input":"9.png","bytes":[1')
    log.unlink()
    with start(levels, *options, LEVELS_LOG=log) as again:
        result = json.loads(again.communicate(timeout=60)[0])
    assert again.returncode == 0
    undisturbed = evaluate(levels, batch_size=2)
    assert result == json.loads((out / "metrics.json").read_text()) == undisturbed.to_dict()
    halves = {
        name for name in finished if not {name, partner(name)} <= {*finished}
    }  # in a batch with an unfinished one
    assert sorted(lines(log)) == sorted(({f"{i}.png" for i in range(10)} - {*finished}) | halves)
    assert sorted(row["input"] for row in records(out)) == [f"{i}.png" for i in range(10)]


def partner(name: str) -> str:
    """The other picture in a batch of two."""
    return f"{int(name[0]) ^ 1}.png"


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    return [child for child, parent in parents.items() if parent == pid]


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_ctrl_c_says_how_to_go_on(levels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(levels, "--output", out, "--batch-size", 1, LEVELS_TAKE=0.3) as process:
        wait_for(lambda: len(lines(out / "records.jsonl")) >= 3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "Interrupted: run the same command to continue."
    assert evaluate(levels, batch_size=1, output=out).metrics["off"] == 4.5


def test_what_is_finished_is_not_run_again(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(levels, output=tmp_path / "out")
    monkeypatch.setenv("LEVELS_LOG", str(tmp_path / "log"))
    assert evaluate(levels, output=tmp_path / "out").to_dict() == first.to_dict()
    assert lines(tmp_path / "log") == []


def test_unreadable_inputs_are_named_and_tried_again(levels: Path, tmp_path: Path) -> None:
    good = (levels / "walls" / "3.png").read_bytes()
    (levels / "walls" / "3.png").write_bytes(good[:30])
    (levels / "walls" / "8.png").rename(tmp_path / "8.png")
    first = evaluate(levels, output=tmp_path / "out")
    assert (first.measured, list(first.failures)) == (8, ["3.png", "8.png"])
    assert first.metrics["off"] == (45 - 3 - 8) / 8
    assert "does not exist" in first.failures["8.png"]
    (levels / "walls" / "3.png").write_bytes(good)
    (tmp_path / "8.png").rename(levels / "walls" / "8.png")
    second = evaluate(levels, output=tmp_path / "out")
    assert (second.measured, second.failures, second.metrics["off"]) == (10, {}, 4.5)


def test_what_cannot_be_scored_failed(levels: Path) -> None:
    (levels / "levels.json").write_text(json.dumps({"0.png": 0, "1.png": None, "2.png": 42}))
    result = evaluate(levels)
    assert (result.measured, dict(result.failures)) == (2, {"1.png": "the level of '1.png' is unknown"})
    (levels / "levels.json").write_text(json.dumps({"1.png": None}))
    result = evaluate(levels)
    assert (result.measured, result.metrics) == (0, {})


def test_a_record_must_be_json(levels: Path) -> None:
    (levels / "levels.json").write_text(json.dumps({"0.png": 0, "1.png": "tensor"}))
    with pytest.raises(ContractError, match=r"Levels\.measure must return JSON values: .*Tensor"):
        evaluate(levels)


def test_an_input_that_has_changed_is_measured_anew(levels: Path, tmp_path: Path) -> None:
    evaluate(levels, output=tmp_path / "out")
    Image.new("RGB", (8, 8), (200, 200, 200)).save(levels / "walls" / "0.png", compress_level=0)
    assert evaluate(levels, output=tmp_path / "out").metrics["off"] == 24.5


def test_pictures_swapped_or_edited_in_place_are_measured_anew(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files have the same size, and the modification time of the edited one is reset."""
    walls, log = levels / "walls", tmp_path / "log"
    for i in range(10):
        Image.new("L", (8, 8), 20 * i).convert("RGB").save(walls / f"{i}.png", "bmp")
    assert len({(walls / f"{i}.png").stat().st_size for i in range(10)}) == 1
    assert evaluate(levels, output=tmp_path / "out", batch_size=1).metrics["off"] == 4.5
    (walls / "0.png").rename(walls / "x")
    (walls / "9.png").rename(walls / "0.png")
    (walls / "x").rename(walls / "9.png")
    before = (walls / "5.png").stat()
    content = bytearray((walls / "5.png").read_bytes())
    content[-192:] = bytes([200]) * 192
    with (walls / "5.png").open("r+b") as f:
        f.write(content)
    os.utime(walls / "5.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setenv("LEVELS_LOG", str(log))
    again = evaluate(levels, output=tmp_path / "out", batch_size=1)
    assert sorted(lines(log)) == ["0.png", "5.png", "9.png"]
    assert again.metrics["off"] == pytest.approx((45 + 180 + 180 + (200 - 105 - 5)) / 10)
    assert again.to_dict() == evaluate(levels, batch_size=1).to_dict()


def test_truth_edited_in_place_is_told(levels: Path, tmp_path: Path) -> None:
    """In a folder of annotations, with the same size and the same modification time."""
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "a.txt").write_text("one")
    digest = data_digest(["a"], truth, tmp_path / "out")
    (truth / ".hidden").touch()
    assert data_digest(["a"], truth, tmp_path / "out") == digest
    facts = (truth / "a.txt").stat()
    time.sleep(0.02)
    (truth / "a.txt").write_text("two")
    os.utime(truth / "a.txt", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert data_digest(["a"], truth, tmp_path / "out") != digest


# ── foreign files ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("records.jsonl", b'{"mine": 1}', "is not a file of evaluation records"),
        ("records.jsonl", b'{"mine": 1}\n', "is not a file of evaluation records"),
        ("records.jsonl", b'{"mine": 1}\n{"mine": 2', "is not a file of evaluation records"),
        ("records.jsonl", b"[" * 10_000, "is not a file of evaluation records"),
        ("records.jsonl", b"\xff\x00 not text", "is not a file of evaluation records"),
        ("metrics.json", b'{"accuracy": 0.9}', "has no metrics of an evaluation"),
        ("metrics.json", b"accuracy 0.9", "has no metrics of an evaluation"),
        (".lock", b"of another program", "does not belong to an evaluation"),
    ],
)
def test_files_of_others_stay_as_they_are(
    levels: Path, tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=complaint):
        evaluate(levels, output=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: content}


@pytest.mark.parametrize("name", ["records.jsonl", "metrics.json", ".lock"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nothing_is_written_through_a_link(levels: Path, tmp_path: Path, name: str, link: Any) -> None:
    evaluate(levels, output=tmp_path / "other")
    good = (tmp_path / "other" / name).read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    link(tmp_path / "other" / name, out / name)
    with pytest.raises(InvalidArgument, match="is a link or not a regular file"):
        evaluate(levels, output=out)
    assert [path.name for path in out.iterdir()] == [name]
    assert (tmp_path / "other" / name).read_bytes() == good
    os.mkfifo(tmp_path / "pipe")
    (out / name).unlink()
    (tmp_path / "pipe").rename(out / name)
    with pytest.raises(InvalidArgument, match="is a link or not a regular file"):
        evaluate(levels, output=out)


def test_output_that_is_a_file(levels: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidArgument, match="out' is not a folder"):
        evaluate(levels, output=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_figures_that_somebody_put_there_meanwhile(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During the evaluation; its own metrics are computed again from the records."""
    out = tmp_path / "out"
    parts = sys.modules.get("level_parts") or importlib.import_module("level_parts")
    summarize = parts.Levels.summarize

    def disturbed(self: Any, found: Any) -> Any:
        (out / "metrics.json").write_text("mine")
        return summarize(self, found)

    with monkeypatch.context() as patch:
        patch.setattr(parts.Levels, "summarize", disturbed)
        with pytest.raises(InvalidArgument, match="has no metrics of an evaluation"):
            evaluate(levels, output=out)
    assert (out / "metrics.json").read_text() == "mine"
    (out / "metrics.json").unlink()
    assert (
        evaluate(levels, output=out).metrics["off"] == json.loads((out / "metrics.json").read_text())["metrics"]["off"]
    )


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_secrets_of_urls_are_in_no_record(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights have a signed URL; with a renewed signature, the evaluation is the same."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out"
    with serving(FileServer()) as server:
        server.put("/level.pt", (levels / "level.pt").read_bytes())
        base = server.url.replace("://", "://me:pass1234@")
        entry = zoo.get_weight("Level_Weights.V1").value
        for signature in ("sesame1", "sesame2"):
            weights = dataclasses.replace(entry, url=f"{base}/level.pt?X-Amz-Signature={signature}")
            result = evaluate(levels, output=out, weights=weights)
            assert result.metrics["off"] == 4.5
            kept = json.dumps(result.to_dict()) + "".join(path.read_text() for path in out.iterdir())
            assert not re.search("sesame|pass1234", kept)
            assert "/level.pt?…" in result.weights


def other_weights(folder: Path) -> dict[str, Any]:
    return {"weights": "V2"}


def other_parameters(folder: Path) -> dict[str, Any]:
    """The file of the same name, with further training."""
    torch.save({"gain": torch.full((1,), 1.5)}, folder / "level.pt")
    return {}


def other_preprocessing(folder: Path) -> dict[str, Any]:
    changed = zoo.Preset("level_parts:Prepare", {"add": 1.0})
    entry = zoo.get_weight("Level_Weights.V1").value
    return {"weights": pickle.loads(pickle.dumps(entry)).__class__(url=entry.url, transforms=changed)}


def other_options(folder: Path) -> dict[str, Any]:
    return {"worst": True}


def other_truth(folder: Path) -> dict[str, Any]:
    (folder / "levels.json").write_text(json.dumps({f"{i}.png": 1 for i in range(10)}))
    return {}


def other_names(folder: Path) -> dict[str, Any]:
    (folder / "levels.json").write_text(json.dumps({f"{i}.png": 21 * i for i in range(9)}))
    return {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (other_weights, r"other weights \('V1'; here it would be 'V2'\)"),
        (other_parameters, "a model with other parameters"),
        (other_preprocessing, "other weights|another description"),
        (other_options, r"other options \(\{\}; here it would be \{'worst': True\}\)"),
        (other_truth, "other data"),
        (other_names, "other data"),
    ],
)
def test_records_of_something_else_are_refused(
    levels: Path, tmp_path: Path, change: Callable[[Path], dict[str, Any]], complaint: str
) -> None:
    out = tmp_path / "out"
    evaluate(levels, output=out)
    before = (out / "records.jsonl").read_bytes()
    with pytest.raises(InvalidArgument, match=rf"records\.jsonl' has records of ({complaint}).*Choose another output"):
        evaluate(levels, output=out, **change(levels))
    assert (out / "records.jsonl").read_bytes() == before


def test_a_damaged_file_of_records_is_refused(levels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(levels, output=out)
    good = (out / "records.jsonl").read_text().splitlines()
    for damaged in ([*good[:3], "{", *good[4:]], good[1:], ["[]"], [*good[:2], "7"]):
        (out / "records.jsonl").write_text("\n".join(damaged) + "\n")
        with pytest.raises(InvalidArgument, match="is not a file of evaluation records, or damaged"):
            evaluate(levels, output=out)
    (out / "records.jsonl").write_text(good[0][:20])  # killed while writing the first line
    assert evaluate(levels, output=out).metrics["off"] == 4.5


def test_two_evaluations_do_not_write_to_one_folder(levels: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(EvaluationError, match="Another evaluation is writing"):
        evaluate(levels, output=tmp_path / "out")


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_figure_stands_beside_the_measured_one(levels: Path, run: Any) -> None:
    got = run(*command(levels, "--worst"))
    assert (got.status, got.err) == (0, "")
    assert [line.split() for line in got.out.splitlines()] == [
        ["level", "V1", "level-telling", "10", "inputs"],
        ["Metric", "Measured", "Published:", "Walls", "Published:", "Doors"],
        ["off", "4.500", "2.5", "-"],
        ["speed", "-", "9.0", "8"],
        ["worst", "9.000", "-", "-"],
        ["Note:", "Levels", "are", "from", "0", "to", "255."],
    ]


def test_json(levels: Path, run: Any) -> None:
    (levels / "walls" / "0.png").unlink()
    got = run(*command(levels, "--json", "--set", "scale=0", "--limit", "2"))
    assert got.status == 1
    assert got.err.count("\n") == 1
    assert "0.png' cannot be read as a picture: it does not exist" in got.err
    found = json.loads(got.out)
    assert found["metrics"] == {"off": 21, "speed": None}
    assert [failure["input"] for failure in found["failures"]] == ["0.png"]


def test_failures_are_counted_in_words(levels: Path, run: Any) -> None:
    (levels / "walls" / "0.png").unlink()
    got = run(*command(levels))
    assert got.status == 1
    assert got.out.endswith("Note: 1 of 10 inputs could not be read; the metrics are for the others.\n")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--worse"], 2, "No such option: --worse. level-telling has --worst. Did you mean '--worst'"),
        (["--proceses=2"], 2, "Did you mean '--processes'"),
        (["more"], 2, "unexpected extra argument (more)"),
        (["--set", "scale"], 2, "--set scale: expected NAME=VALUE"),
        (["--processes", "0"], 2, "Invalid value for '--processes'"),
        (["--images", "nowhere"], 1, "images: there is no 'nowhere'"),
        (["--annotations", "nowhere"], 1, "annotations: there is no 'nowhere'"),
        (["--task", "level-guessing"], 1, "The task 'level-guessing' has no evaluator"),
        (["--model", "levle"], 1, "There is no model 'levle'. Did you mean 'level'"),
        (["--weights", "V3"], 1, "'V3'"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    levels: Path, run: Any, options: list[str], status: int, said: str
) -> None:
    got = run(*command(levels, *options))
    assert (got.status, got.out) == (status, "")
    assert said in " ".join(got.err.split())


def test_bad_arguments(levels: Path) -> None:
    for name in ("batch_size", "processes", "limit"):
        with pytest.raises(InvalidArgument, match=f"{name} is 0"):
            evaluate(levels, **{name: 0})
    (levels / "levels.json").write_text("{}")
    with pytest.raises(InvalidArgument, match="no inputs to evaluate"):
        evaluate(levels)
    with pytest.raises(UnknownModel):
        zoo.evaluate("levle", levels / "walls")


def test_paths_are_checked_before_the_weights_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(InvalidArgument, match="expected one folder per class"):
        zoo.evaluate("resnet18", tmp_path)


def test_the_contract_checks_the_import_string() -> None:
    check_task(zoo.TaskSpec("fine", "a:b", provides={"evaluate": "a.b:C"}))
    with pytest.raises(ContractError, match=r"coarse: evaluate 'a\.b\.C' is not of the form"):
        check_task(zoo.TaskSpec("coarse", "a:b", provides={"evaluate": "a.b.C"}))


def test_every_task_of_ours_is_evaluated() -> None:
    tasks = {zoo.model_info(name).task for name in zoo.list_models()}
    assert len(tasks) >= 7
    for task in tasks:
        assert callable(evaluator_of(zoo.get_task(task))), task


def test_another_plugin_may_say_how_a_task_is_evaluated(levels: Path, plugin_folder: Any) -> None:
    """For a task without an evaluator of its own plugin; the task's own evaluator takes precedence."""
    plugin_folder.install(
        "judge",
        """
        @zoo.hookimpl
        def zoo_manifest():
            every = {(task, "evaluate"): "level_judge:Judge" for task in ("level-telling", "level-guessing")}
            return zoo.Manifest(api_version=1, provides=every)
        """,
    )
    (plugin_folder.path / "level_judge.py").write_text(
        "from level_parts import Levels\n"
        "class Judge(Levels):\n"
        "    def summarize(self, records):\n"
        "        return {'judged': len(records)}\n"
    )
    zoo.refresh()
    assert evaluate(levels, task="level-guessing").metrics == {"judged": 10}
    assert "judged" not in evaluate(levels, task="level-telling").metrics
