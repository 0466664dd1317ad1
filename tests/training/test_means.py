"""Gradient checkpointing, torch.compile, accumulation, clipping, layer-wise decay, averages, freezing, one by one; and
several processes that share a model, with failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import command, figures, pictures
from safetensors.torch import load_file
from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo_training.checkpointing import checkpoint_blocks
from zoo_training.parameters import EMA, blocks_of, freeze, parameter_groups
from zoo_training.training import train

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run(data: Path, output: Path, **more: Any) -> dict[str, torch.Tensor]:
    given = {"epochs": 2, "batch_size": 8, "device": "cpu", "dropout": 0.0, **more}
    return train("squeezenet1_1", data, output, "DIGITS_V1", **given).model.state_dict()


def largest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max((value - other[name]).abs().max().item() for name, value in one.items())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_checkpointing_leaves_gradients_and_statistics_as_they_are(name: str) -> None:
    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    states = []
    for again in (False, True):
        torch.manual_seed(0)
        model = zoo.get_model(name, weights=None, num_classes=4).train()
        stack = checkpoint_blocks(model) if again else None
        torch.manual_seed(1)  # the same dropout masks again
        nn.functional.cross_entropy(model(images), labels).backward()
        if stack is not None:
            stack.close()
            assert not any("forward" in module.__dict__ for module in model.modules())
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        states.append({**model.state_dict(), **{f"{key}.grad": value for key, value in gradients.items()}})
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_checkpointing_keeps_less() -> None:
    model = zoo.get_model("resnet18", weights=None, num_classes=4).train()

    def held() -> int:
        kept: list[int] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(torch.rand(2, 3, 64, 64))
        return sum(kept)

    before = held()
    with checkpoint_blocks(model):
        assert held() < before / 2
    with pytest.raises(InvalidArgument, match="Linear has no repeated blocks"):
        checkpoint_blocks(nn.Linear(2, 2))


def test_a_run_with_checkpointing_is_the_run_without(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    one, other = run(data, tmp_path / "a"), run(data, tmp_path / "b", checkpointing=True)
    assert largest(one, other) == 0
    with pytest.raises(InvalidArgument, match="compile and checkpointing"):
        run(data, tmp_path / "c", compile=True, checkpointing=True)


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    given = {"optimizer": "sgd", "lr": 1e-3}
    one = run(data, tmp_path / "a", **given)
    other = run(data, tmp_path / "b", batch_size=2, accumulate=4, **given)
    assert largest(one, other) < 1e-5
    assert largest(one, run(data, tmp_path / "c", batch_size=2, **given)) > 1e-4


def test_a_gradient_is_no_longer_than_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.SGD.step

    def seen(self: Any, *args: Any) -> Any:
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.stack([g.norm() for g in grads if g is not None]).norm().item())
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", seen)
    data = pictures(tmp_path / "data", 10)
    run(data, tmp_path / "a", optimizer="sgd", lr=1e-4, clip=0.01)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)
    norms.clear()
    run(data, tmp_path / "b", optimizer="sgd", lr=1e-4, clip=None)
    assert max(norms) > 0.1


@pytest.mark.slow
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    given = {"optimizer": "sgd", "lr": 1e-3, "epochs": 1}
    assert largest(run(data, tmp_path / "a", **given), run(data, tmp_path / "b", compile=True, **given)) < 1e-4


def test_earlier_blocks_of_a_transformer_learn_slower() -> None:
    model = zoo.get_model("vit_b_16", weights=None, num_classes=2, device="meta")
    groups = parameter_groups(model, 1.0, 0.1, layer_decay=0.5)
    rate = {id(p): group["peak_lr"] for group in groups for p in group["params"]}
    rates = {name: rate[id(p)] for name, p in model.named_parameters()}
    blocks = [rates[f"encoder.layers.encoder_layer_{i}.mlp.0.weight"] for i in range(12)]
    assert blocks == [0.5 ** (12 - i) for i in range(12)]
    assert rates["heads.head.weight"] == 1
    assert rates["conv_proj.weight"] == rates["class_token"] == 0.5**13
    assert len(blocks_of(model)) == 12


def test_an_average_follows_slowly_and_is_what_is_kept(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = EMA(model, 0.9)
    nn.init.ones_(model.weight)
    for _ in range(200):
        average.update(model)
    assert average.state["weight"].item() == pytest.approx(1, abs=1e-4)
    data = pictures(tmp_path / "data", 10)
    last = run(data, tmp_path / "a", ema=0.99)
    kept = load_file(tmp_path / "a" / "last.safetensors")
    assert largest(last, kept) > 1e-6  # the returned model is that of the last step


def test_frozen_parts_stay_as_they_were(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 10)
    before = zoo.get_model("squeezenet1_1", weights="DIGITS_V1").state_dict()
    after = run(data, tmp_path / "a", freeze=["backbone"])
    assert all(torch.equal(value, before[name]) for name, value in after.items() if name.startswith("features"))
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(2, 2))
    assert freeze(model, ["0"]) == [model[0]]
    with pytest.raises(InvalidArgument, match="no submodule 'neck'"):
        freeze(model, ["neck"])


@pytest.mark.slow
def test_a_spread_model_learns_as_copies_do_and_is_saved_whole(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 12)
    more = ("--epochs", "2", "--set", "dropout=0", "--batch-size", "4", "--ema", "0.9")
    for name, flags in (("copies", ()), ("spread", ("--fsdp",))):
        subprocess.run([sys.executable, *LAUNCH, *command(data, tmp_path / name, *more, *flags)], check=True)
    copies, spread = (figures(tmp_path / name) for name in ("copies", "spread"))
    for a, b in zip(copies, spread, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-4)
        assert float(a["val_loss"]) == pytest.approx(float(b["val_loss"]), rel=1e-3)
    one, other = (load_file(tmp_path / name / "last.safetensors") for name in ("copies", "spread"))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}
    assert largest(one, other) < 1e-3
    assert zoo.pipeline(tmp_path / "spread" / "best.safetensors", device="cpu")(data / "red" / "000.png").label
    whole = torch.load(tmp_path / "spread" / "checkpoint.pt", weights_only=True)
    assert {name: value.shape for name, value in whole["model"].items()} == {n: v.shape for n, v in one.items()}


@pytest.mark.slow
def test_a_spread_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 24)
    more = ("--epochs", "3", "--batch-size", "2", "--checkpoint-minutes", "0", "--fsdp")
    subprocess.run([sys.executable, *LAUNCH, *command(data, tmp_path / "whole", *more)], check=True)
    launch = [sys.executable, *LAUNCH, "--max-restarts", "1", *command(data, tmp_path / "broken", *more)]
    assert killed_once(launch, tmp_path / "broken") == 0
    whole, broken = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert largest(whole, broken) < 1e-6


def test_one_process_has_nothing_to_spread_over(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 3)
    with pytest.raises(InvalidArgument, match="fsdp shards a model over processes, but there is only one"):
        run(data, tmp_path / "a", fsdp=True)


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_the_run_ends_as_if_it_had_not(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 24)
    more = ("--epochs", "3", "--batch-size", "2", "--checkpoint-minutes", "0")
    subprocess.run([sys.executable, *LAUNCH, *command(data, tmp_path / "whole", *more)], check=True)
    launch = [sys.executable, *LAUNCH, "--max-restarts", "1", *command(data, tmp_path / "broken", *more)]
    assert killed_once(launch, tmp_path / "broken") == 0
    whole, broken = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())
    assert figures(tmp_path / "whole") == figures(tmp_path / "broken")


def killed_once(launch: list[str], output: Path) -> int:
    """The exit status of torchrun, whose second process is killed after the first epoch."""
    process = subprocess.Popen(launch)
    until = time.monotonic() + 120
    while not (output / "metrics.csv").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.2)
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [pid for pid in map(int, path.read_text().split()) if "train" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    return process.wait(timeout=200)
