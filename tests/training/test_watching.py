"""Output of a run: progress line, metrics, pictures; and early stopping."""

from __future__ import annotations

import csv
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colours import command, pictures
from PIL import Image

import zoo
from zoo.errors import InvalidArgument
from zoo_training.charts import confusion_image, curves
from zoo_training.training import train
from zoo_training.validation import HeldOut
from zoo_training.watching import Watch, best_epoch, duration


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as f:
        return list(csv.reader(f))


def test_a_run_leaves_figures_curves_pictures_and_a_confusion_matrix(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    (tmp_path / "a").mkdir()
    done = train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", epochs=3, device="cpu")
    head, *rows = table(tmp_path / "a" / "metrics.csv")
    assert head == ["epoch", "loss", "lr", "val_loss", "val_acc@1"]
    assert [dict(zip(head, map(float, row), strict=True)) for row in rows] == list(done.history)
    matrix = table(tmp_path / "a" / "confusion.csv")
    assert [row[0] for row in matrix[1:]] == matrix[0][1:] == ["blue", "red"]
    counts = np.array([[int(n) for n in row[1:]] for row in matrix[1:]])
    assert counts.sum(1).tolist() == [2, 2]  # one fifth of ten
    assert 100 * counts.trace() / counts.sum() == done.history[done.best - 1]["val_acc@1"]
    for name in ("curves.png", "predictions.png", "confusion.png"):
        with Image.open(tmp_path / "a" / name) as picture:
            assert min(picture.size) > 100
            assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 5
    card = (tmp_path / "a" / "README.md").read_text()
    assert f"| held out | Acc@1 | {done.history[done.best - 1]['val_acc@1']:g} |" in card
    for line in ("| epochs | 3 |", "| examples | 16 |", "| trained on | data |", "![predictions](predictions.png)"):
        assert line in card


def test_the_figures_are_those_of_evaluate_to_the_last_digit(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 12)
    readers = zoo.open_data(data, "image-classification", val=0.4)
    done = train("squeezenet1_1", readers, tmp_path / "a", "DIGITS_V1", epochs=1, device="cpu", lr=1e-5)
    found = zoo.evaluate(tmp_path / "a" / "last.safetensors", readers[1], device="cpu", optimize=False)
    assert found.metrics == {"acc@1": done.history[-1]["val_acc@1"]}
    assert len(found.records) == found.measured == len(readers[1])


def test_inputs_that_became_unreadable_are_named_and_left_out(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    readers = zoo.open_data(data, "image-classification", val=0.4)
    calls = []
    held_out = HeldOut.__call__

    def broken(self: HeldOut, loop: Any) -> dict[str, float]:
        if not calls:
            Path(readers[1].source(0)).write_bytes(b"no picture any more")
        calls.append(1)
        return held_out(self, loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldOut, "__call__", broken)
        with pytest.warns(zoo.errors.TrainingWarning, match=re.escape(readers[1].names[0])):
            done = train("squeezenet1_1", readers, tmp_path / "a", "DIGITS_V1", epochs=1, device="cpu")
    assert np.isfinite(done.history[-1]["val_loss"])


def test_a_run_stops_when_it_gets_no_better(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    done = train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", epochs=9, device="cpu", lr=0.0, patience=2)
    assert (done.best, len(done.history)) == (1, 3)
    assert len(table(tmp_path / "a" / "metrics.csv")) == 4


def test_where_no_line_can_move_plain_ones_come_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = [0.0]
    monkeypatch.setattr("zoo_training.watching.time.monotonic", lambda: seconds[0])
    step = Watch.step

    def slow(watch: Watch, loop: Any, steps: int) -> None:
        seconds[0] += 12
        step(watch, loop, steps)

    monkeypatch.setattr(Watch, "step", slow)
    given = {"epochs": 2, "batch_size": 2, "device": "cpu", "progress": True}
    train("squeezenet1_1", pictures(tmp_path / "data", 10), tmp_path / "a", "DIGITS_V1", **given)
    lines = capsys.readouterr().err.splitlines()  # eight steps an epoch, of twelve seconds
    said = [re.sub(r"  loss .*", "", line) for line in lines if line.startswith("epoch ")]
    steps = [3, 6]
    assert said == [f"epoch {e}/2  step {n}/8" for e in (1,) for n in steps] + ["epoch 1/2"] + [
        f"epoch 2/2  step {n}/8" for n in steps
    ] + ["epoch 2/2"]
    assert "\r" not in "".join(lines)
    assert "\033" not in "".join(lines)
    assert re.search(r"loss \d\.\d+  2:36 left", lines[0])


@pytest.mark.parametrize("columns", [80, 40])
def test_the_line_of_progress_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    data = pictures(tmp_path / "data", 10)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    line = [sys.executable, *command(data, tmp_path / "a", "--epochs", "2")]
    process = subprocess.Popen(line, stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, env=env)
    os.close(theirs)
    text = b""
    while True:
        try:
            text += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    shown = re.split(r"[\r\n]+", re.sub(r"\x1b\[\w*", "", text.decode()))
    assert max(map(len, shown)) < columns
    pattern = r"epoch 1/2  step 1/1  loss \d\.\d+" + (r"  \d:\d\d left  lr 5\.00e-04" if columns == 80 else "")
    assert any(re.match(pattern, part) for part in shown), shown


def test_tensorboard_gets_the_figures_where_it_is_installed(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    data = pictures(tmp_path / "data", 10)
    done = train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", epochs=2, device="cpu")
    events = accumulator.EventAccumulator(str(tmp_path / "a" / "tensorboard")).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("training/loss")]
    assert losses == [(i + 1, pytest.approx(row["loss"])) for i, row in enumerate(done.history)]
    assert [event.step for event in events.Images("predictions")] == [1, 2]


def test_curves_show_each_figure_and_leave_out_what_is_none() -> None:
    rows = [{"epoch": i, "loss": 1 / i, "val_loss": 2 / i, "val_acc@1": float("nan")} for i in (1, 2, 3)]
    one = np.asarray(curves(rows))
    assert (one == (0xFF, 0x87, 0)).all(-1).any()  # the orange of val_loss
    assert curves(rows[:1]).size == curves(rows).size
    with pytest.raises(InvalidArgument, match="history is empty"):
        curves([])


def test_a_confusion_matrix_is_darkest_where_most_are() -> None:
    picture = np.asarray(confusion_image([[9, 1], [0, 4]], ["a", "b"]).convert("L"))
    dark = picture < 130
    assert dark.sum() > 1500  # two cells
    assert confusion_image([[0] * 300] * 300, [str(i) for i in range(300)]).width > 900
    with pytest.raises(InvalidArgument, match="expected 3 rows"):
        confusion_image([[1, 2], [3, 4]], ["a", "b", "c"])


def test_the_best_epoch_is_never_one_without_figures() -> None:
    nan = float("nan")
    task = zoo.get_task("image-classification")
    rows = [
        {"val_acc@1": nan, "val_loss": nan},
        {"val_acc@1": 50.0, "val_loss": nan},
        {"val_acc@1": 50.0, "val_loss": 3.0},
        {"val_acc@1": 40.0, "val_loss": 1.0},
    ]
    assert best_epoch(rows, task) == 3
    assert best_epoch([], task) == 0


def test_durations_read_as_clocks_do() -> None:
    assert [duration(s) for s in (0.4, 61, 3599.6, 3 * 3600 + 61)] == ["0:00", "1:01", "1:00:00", "3:01:01"]
