"""``zoo train``: real pictures, real processes, one of them killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from colours import command, figures, pictures
from safetensors.torch import load_file

import zoo
from zoo.errors import InvalidArgument, TrainingError
from zoo_training.checkpoints import write
from zoo_training.parameters import parameter_groups
from zoo_training.sampling import shares, steps_of
from zoo_training.training import train


def test_sixty_pictures_a_class_in_six_epochs_teach_two_colours(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 60)
    done = train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", epochs=6, device="cpu")
    assert done.history[-1]["val_acc@1"] == 100
    assert done.categories == ["blue", "red"]
    weights = tmp_path / "a" / "last.safetensors"
    model = zoo.get_model("squeezenet1_1", weights=weights, num_classes=2)
    assert all(torch.equal(v, done.model.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_run_that_is_killed_within_an_epoch_ends_with_the_same_weights(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 20)
    more = ("--epochs", "3", "--batch-size", "2", "--checkpoint-minutes", "0", "--ema", "0.9")
    subprocess.run([sys.executable, *command(data, tmp_path / "whole", *more)], check=True)
    process = subprocess.Popen([sys.executable, *command(data, tmp_path / "broken", *more)])
    until = time.monotonic() + 180  # on a busy machine
    while not (tmp_path / "broken" / "metrics.csv").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stood = torch.load(tmp_path / "broken" / "checkpoint.pt", weights_only=True)
    assert (stood["epoch"], stood["step"]) < (3, 0)
    subprocess.run([sys.executable, *command(data, tmp_path / "broken", *more, "--resume")], check=True)
    whole, broken = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())
    assert figures(tmp_path / "whole") == figures(tmp_path / "broken")


def test_two_processes_have_the_losses_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 11)
    more = ("--epochs", "2", "--set", "dropout=0")
    one = command(data, tmp_path / "one", *more, "--batch-size", "8")
    two = command(data, tmp_path / "two", *more, "--batch-size", "4")
    subprocess.run([sys.executable, *one], check=True)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, *launch, *two], check=True)
    for a, b in zip(figures(tmp_path / "one"), figures(tmp_path / "two"), strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-4)
        assert float(a["val_loss"]) == pytest.approx(float(b["val_loss"]), rel=1e-3, abs=1e-5)


class Broken:
    """Two pictures per class, one of them NaN."""

    categories = ("a", "b")
    names = ("0", "1", "2", "3")

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[torch.Tensor, dict[str, Any]]:
        return torch.full((3, 64, 64), torch.nan if i == 2 else 0.5), {"label": i % 2}

    def source(self, i: int) -> str:
        return f"picture-{i}.png"

    def counts(self) -> dict[str, int]:
        return {"a": 2, "b": 2}


def test_a_loss_of_nan_stops_with_the_last_good_weights_and_names_its_inputs(tmp_path: Path) -> None:
    readers = (Broken(), Broken())
    with pytest.raises(TrainingError, match=r"not finite in epoch 1, step \d.*picture-2\.png"):
        train("squeezenet1_1", readers, tmp_path / "a", "DIGITS_V1", batch_size=2, device="cpu", checkpoint_minutes=0)
    kept = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["model"]
    assert all(value.isfinite().all() for value in kept.values())


class Steep(torch.autograd.Function):
    """A finite number with an infinite slope."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient / 0


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_stops_before_it_is_taken(
    clip: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures(tmp_path / "data", 4)
    steps = []

    def steep(logits: torch.Tensor, target: Any, **given: Any) -> torch.Tensor:
        steps.append(1)
        loss = torch.nn.functional.nll_loss(logits.log_softmax(1), target)
        return Steep.apply(loss) if len(steps) == 3 and logits.requires_grad else loss

    monkeypatch.setattr("zoo_classification.training.F.cross_entropy", steep)
    with pytest.raises(TrainingError, match=r"gradient is not finite in epoch 1, step 3 .*(inf|nan).*(blue|red)"):
        train(
            "squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", batch_size=2, device="cpu", checkpoint_minutes=0,
            clip=clip,
        )  # fmt: skip
    kept = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 2
    assert all(value.isfinite().all() for value in kept["model"].values())


def test_what_is_wrong_is_told_before_anything_is_written(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InvalidArgument, match="is not empty"):
        train("squeezenet1_1", data, tmp_path / "mine", "DIGITS_V1")
    (data / "blue" / "000.png").write_bytes(b"no picture")
    with pytest.raises(InvalidArgument, match=r"(?s)cannot be used \(1 problems\).*000\.png"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1")
    (data / "blue" / "000.png").write_bytes((data / "blue" / "001.png").read_bytes()[:-40])
    with pytest.raises(InvalidArgument, match=r"(?s)1 inputs cannot be read.*000\.png"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1")
    (data / "green").mkdir()
    with pytest.raises(InvalidArgument, match="'green' has no file"):
        train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1")
    assert not (tmp_path / "a").exists()


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_text("good")

    def full(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(TrainingError, match=r"No space left.*is kept"):
        write(path, full)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert path.read_text() == "good"


FULL = """
import resource, sys
from pathlib import Path
import torch
from zoo_training.checkpoints import write_checkpoint
from zoo.errors import TrainingError

path = Path(sys.argv[1])
write_checkpoint(path, {"epoch": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    write_checkpoint(path, {"epoch": 2, "weights": torch.zeros(1 << 20)})
except TrainingError as e:
    print(e)
"""


def test_the_cause_is_told_where_torch_cannot_write_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    said = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "File too large" in said.stdout
    assert "is kept" in said.stdout
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 7, 16, 17])
def test_every_example_comes_once_an_epoch(n: int, world: int) -> None:
    steps = steps_of(n, 4, seed=0, epoch=1)
    seen = [
        i for step in steps for rank in range(world) for share in shares(step, 2, rank, world) if share.weight
        for i in share.indices
    ]  # fmt: skip
    assert sorted(seen) == list(range(n))


def test_norms_and_biases_do_not_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    groups = parameter_groups(model, 0.1, 0.05)
    assert {g["weight_decay"]: len(g["params"]) for g in groups} == {0.05: 1, 0.0: 3}


def test_the_best_weights_know_what_they_are(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 60)
    done = train("squeezenet1_1", data, tmp_path / "a", "DIGITS_V1", epochs=6, device="cpu")
    best = tmp_path / "a" / "best.safetensors"
    answer = zoo.pipeline(best, device="cpu")(data / "red" / "000.png")
    assert answer.top(1)[0][0] == "red"
    found = subprocess.run(
        [sys.executable, "-m", "zoo", "predict", str(data / "blue" / "001.png"), "--model", str(best), "--top", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "blue" in found.stdout
    assert (
        zoo.model_info(best).weights["DEFAULT"].metrics["held out"]["acc@1"] == done.history[done.best - 1]["val_acc@1"]
    )
