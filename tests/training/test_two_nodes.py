"""Training on two nodes with a rendezvous, as in docs/scale.md: here two local torchrun processes."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[2] / "examples/images/digits"


@pytest.mark.slow
def test_two_nodes(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for i in (0, 1):
            folder = tmp_path / "data" / part / str(i)
            folder.mkdir(parents=True)
            for copy in range(4):
                shutil.copy(DIGITS / f"digit_{i}.png", folder / f"{copy}.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    command += ["--rdzv-backend", "c10d", "--rdzv-id", "two", "--rdzv-endpoint", f"localhost:{port}"]
    command += ["-m", "zoo", "train", "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--epochs", "1"]
    command += ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "run"), "--batch-size", "2"]
    command += ["--device", "cpu"]
    nodes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [node.communicate(timeout=200)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(said)
    with (tmp_path / "run/metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 1  # only one of them writes
