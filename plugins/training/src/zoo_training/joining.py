"""The processes of torchrun: join them, and share errors found by the first one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from zoo.errors import InvalidArgument, TrainingError
from zoo.running.devices import pick_device

PATIENCE = timedelta(hours=2)  # timeout for the first process, which may evaluate alone


def join(device: str | torch.device) -> tuple[int, int, torch.device]:
    """This process's rank, the number of processes, and its device; joins torchrun's group if there is one.

    Raises:
        TrainingError: the other processes cannot be reached.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    where = pick_device(device)
    if world == 1:
        return 0, 1, where
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    if not dist.is_initialized():
        try:
            backend = "nccl" if where.type == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=PATIENCE, **(_fresh_store() if restarted() else {}))
        except (RuntimeError, ValueError) as e:
            raise TrainingError(f"The processes of torchrun cannot be joined: {e}") from e
    return dist.get_rank(), dist.get_world_size(), where


def restarted() -> bool:
    """Whether torchrun has restarted this process after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _fresh_store() -> dict[str, Any]:
    """The store through which restarted processes connect: by default, Gloo reads the addresses of the dead processes
    from torchrun's store (seen with torch 2.13)."""
    env = os.environ
    world, rank = int(env["WORLD_SIZE"]), int(env["RANK"])
    stores: Any = dist  # not declared in torch's type annotations
    store = stores.TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), world, is_master=False)
    prefix = f"zoo/{env.get('TORCHELASTIC_RUN_ID')}/{env['TORCHELASTIC_RESTART_COUNT']}"
    return {"store": stores.PrefixStore(prefix, store), "rank": rank, "world_size": world}


def once(check: Callable[[], None], rank: int, world: int) -> None:
    """Run ``check`` in the first process only; raise its error in all processes.

    Raises:
        InvalidArgument: the error of ``check``.
    """
    found: list[str | None] = [None]
    if rank == 0:
        try:
            check()
        except InvalidArgument as e:
            found = [str(e)]
    if world > 1:
        dist.broadcast_object_list(found)
    if found[0] is not None:
        raise InvalidArgument(found[0])
