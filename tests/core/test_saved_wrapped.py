"""Saving models that training has wrapped: compiled, in parallel, averaged, sharded over processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument

MODEL = "mobilenet_v3_small"


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[key].cpu(), theirs[key].cpu()) for key in ours)


def two_processes(code: str, folder: Path) -> list[str]:
    """Run ``code`` in two processes of one Gloo group; what each printed last."""
    head = """
        import os, sys, torch, zoo
        from pathlib import Path
        from torch import distributed
        folder, rank = Path(sys.argv[1]), int(sys.argv[2])
        distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
        torch.manual_seed(0)
        model = zoo.get_model("mobilenet_v3_small", num_classes=3)
    """
    tail = """
        distributed.barrier()
        distributed.destroy_process_group()
    """
    program = "".join(textwrap.dedent(part) for part in (head, code, tail))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-c", program, str(folder)]
    running = [
        subprocess.Popen(
            [*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for rank in range(2)
    ]
    done = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], done
    return [out.strip() for out, _ in done]


def test_compiled_whole_and_in_part(tmp_path: Path) -> None:
    model = zoo.get_model(MODEL, num_classes=3)
    whole = torch.compile(model, backend="eager")
    assert same(model, zoo.load(zoo.save(whole, tmp_path / "whole.safetensors")))
    assert same(model, zoo.load(zoo.save(torch.compile(nn.DataParallel(model)), tmp_path / "both.safetensors")))
    names = list(model.state_dict())
    want = {name: t.clone() for name, t in model.state_dict().items()}
    model.features = torch.compile(model.features, backend="eager")
    assert list(model.state_dict()) != names
    again = zoo.load(zoo.save(model, tmp_path / "part.safetensors"))
    assert list(again.state_dict()) == names
    assert all(torch.equal(value, want[name].cpu()) for name, value in again.state_dict().items())


def test_a_new_head_of_a_wrapped_model(tmp_path: Path) -> None:
    model = nn.DataParallel(zoo.get_model(MODEL, num_classes=3))
    zoo.reset_head(model, 5)
    path = zoo.save(model, tmp_path / "a.safetensors", categories=list("abcde"))
    assert zoo.load(path).classifier[3].out_features == 5


def test_data_parallel_processes_write_once(tmp_path: Path) -> None:
    two_processes(
        """
        from torch.nn.parallel import DistributedDataParallel
        wrapped = DistributedDataParallel(model)
        own = folder / f"rank{rank}"
        own.mkdir()
        assert zoo.save(wrapped, own / "a.safetensors") == own / "a.safetensors"
        distributed.barrier()
        zoo.save(wrapped, folder / "a.safetensors")
        if rank == 0:
            zoo.save(wrapped, folder / "alone.safetensors")  # nothing waits for the other
        zoo.save(model, own / "plain.safetensors")  # no wrapper: each has its own
        if rank == 0:
            torch.save(model.state_dict(), folder / "want.pth")
        """,
        tmp_path,
    )
    assert not (tmp_path / "rank1/a.safetensors").exists()
    want = torch.load(tmp_path / "want.pth", weights_only=True)
    for name in ("a", "alone", "rank0/a", "rank0/plain", "rank1/plain"):
        found = zoo.load(tmp_path / f"{name}.safetensors").state_dict()
        assert all(torch.equal(found[key], value) for key, value in want.items())


def test_sharded_parameters_are_gathered_and_written_once(tmp_path: Path) -> None:
    said = two_processes(
        """
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.device_mesh import init_device_mesh
        if rank == 0:
            torch.save(model.state_dict(), folder / "want.pth")
        mesh = init_device_mesh("cpu", (2,))
        fully_shard(model.features, mesh=mesh)
        fully_shard(model, mesh=mesh)
        weight = model.classifier[0].weight
        print(type(weight).__name__, weight.to_local().numel(), weight.numel())
        own = folder / f"rank{rank}"
        own.mkdir()
        zoo.save(model, own / "a.safetensors", categories=["x", "y", "z"])
        """,
        tmp_path,
    )
    assert said == ["DTensor 294912 589824"] * 2
    assert not list((tmp_path / "rank1").iterdir())
    again = zoo.load(tmp_path / "rank0/a.safetensors")
    want = torch.load(tmp_path / "want.pth", weights_only=True)
    assert list(again.state_dict()) == list(want)
    assert all(torch.equal(value, want[key]) for key, value in again.state_dict().items())
    assert zoo.loading.loaded_weights(again).categories == ["x", "y", "z"]


def test_flat_parameters_are_told(tmp_path: Path) -> None:
    class FullyShardedDataParallel(nn.Module):  # of that name are the modules of the first FSDP
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self._fsdp_wrapped_module = module

    model = zoo.get_model(MODEL, num_classes=3)
    model.features = FullyShardedDataParallel(model.features)
    for sharded in (model, FullyShardedDataParallel(zoo.get_model(MODEL, num_classes=3))):
        with pytest.raises(InvalidArgument, match="fully_shard"):
            zoo.save(sharded, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
