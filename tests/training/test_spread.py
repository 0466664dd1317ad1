"""Parameters sharded over processes: complete only in the first; resuming with other numbers of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import colours
import pytest
import torch
from colours import figures, pictures
from safetensors.torch import load_file

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PARTS = """
    import os, sys, torch
    from pathlib import Path
    from torch import distributed, nn
    from torch.distributed.tensor import DTensor
    from zoo_training.parameters import EMA
    from zoo_training.checkpoints import read_checkpoint, write_checkpoint
    from zoo_training.sharding import InStep, gathered, load_optimizer_state, shard, spread

    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5)), nn.Linear(5, 3))
    model = nn.Sequential(nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5)), nn.Linear(5, 3))
    model.load_state_dict(plain.state_dict())
    shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    model(torch.rand(4, 7)).square().sum().backward()
    optimizer.step()

    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    whole = gathered(state, keep=rank == 0)
    for key, value in model.state_dict().items():
        there = whole["model"][key]
        if rank and isinstance(value, DTensor):
            assert there is None, key
        else:
            assert not isinstance(there, DTensor) and there.shape == value.shape, key
    assert (whole["optimizer"]["state"][0]["exp_avg"] is None) == bool(rank)
    if rank == 0:
        write_checkpoint(folder / "checkpoint.pt", whole)
    distributed.barrier()

    mapped = read_checkpoint(folder / "checkpoint.pt", mmap=True)
    parts = spread(mapped["model"], model.state_dict())
    for key, value in model.state_dict().items():
        if isinstance(value, DTensor):
            own = parts[key].to_local()
            assert torch.equal(own, value.to_local()), key
            assert own.untyped_storage().nbytes() == 4 * own.numel(), "not a view of the complete tensor"
    before = [p.to_local().clone() for p in model.parameters()]
    other = torch.optim.AdamW(model.parameters(), 0.1)
    load_optimizer_state(other, mapped["optimizer"])
    for p in model.parameters():
        assert torch.equal(other.state[p]["exp_avg"].to_local(), optimizer.state[p]["exp_avg"].to_local())

    # One has three inputs, the other none: all calls are made together, and each process gets its own results.
    calls = []
    def call(x):
        calls.append(len(x))
        with torch.no_grad():
            return model.eval()(x)
    together = InStep(True, torch.device("cpu"), lambda: call(torch.rand(1, 7)))
    inputs = [torch.rand(2, 7) for _ in range(3)] if rank == 0 else []
    results = [together(lambda x=x: call(x)) for x in inputs]
    together.finish()
    assert [len(r) for r in results] == [2] * len(inputs)
    assert len(calls) == 3
    distributed.barrier()
    distributed.destroy_process_group()
"""


def test_what_is_spread_is_whole_in_one_process_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PARTS), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    running = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True, env=environment) for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(said)


def broken_off(launch: list[str], output: Path) -> None:
    """Start a run, and kill it with all its processes after one epoch."""
    process = subprocess.Popen(launch, start_new_session=True)
    until = time.monotonic() + 120
    while not (output / "metrics.csv").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)
    for pid in reversed(family(process.pid)):  # torchrun's processes have their own sessions
        os.kill(pid, signal.SIGKILL)
    process.wait()
    stood = torch.load(output / "checkpoint.pt", weights_only=True)
    assert (0, 0) < (stood["epoch"], stood["step"]) < (3, 0)


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in map(int, children) for other in family(child))]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["spread", "one"])
def test_a_run_goes_on_with_another_number_of_processes(first: str, tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 24)
    common = ("--epochs", "3", "--checkpoint-minutes", "0", "--ema", "0.9", "--set", "dropout=0")

    def launched(output: Path, kind: str, *more: str) -> list[str]:
        own = ("--batch-size", "4") if kind == "one" else ("--batch-size", "2", "--fsdp")
        return [
            sys.executable,
            *([] if kind == "one" else LAUNCH),
            *colours.command(data, output, *common, *own, *more),
        ]

    subprocess.run(launched(tmp_path / "whole", "one"), check=True)
    broken_off(launched(tmp_path / "broken", first), tmp_path / "broken")
    other = "one" if first == "spread" else "spread"
    subprocess.run(launched(tmp_path / "broken", other, "--resume"), check=True)
    whole, broken = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert max((value - broken[name]).abs().max().item() for name, value in whole.items()) < 1e-3
    for a, b in zip(figures(tmp_path / "whole"), figures(tmp_path / "broken"), strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-3)
        assert float(a["val_loss"]) == pytest.approx(float(b["val_loss"]), rel=1e-2)


@pytest.mark.slow
def test_fewer_held_out_inputs_than_processes(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data/train", 4)
    pictures(tmp_path / "data/val", 1)
    (tmp_path / "data/val/blue/000.png").unlink()
    (tmp_path / "data/val/blue").rmdir()
    more = ("--epochs", "1", "--batch-size", "2", "--fsdp")
    subprocess.run(
        [sys.executable, *LAUNCH, *colours.command(data.parent, tmp_path / "a", *more)], check=True, timeout=120
    )
    (row,) = figures(tmp_path / "a")
    assert float(row["val_acc@1"]) in (0, 100)
