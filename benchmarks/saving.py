"""Time to save a model with its description and load it again, compared with writing and mapping the same bytes.

    python benchmarks/saving.py [vit_l_16] [--rounds 5] [--folder FOLDER]

Each measurement runs in a separate process, alternately, after building the model: zoo.save and zoo.load, with the file
memory-mapped, or read completely like a user's path; only the bytes of the tensors, written sequentially, flushed to
the disk, renamed, and mapped; and safetensors' save_file and load_file, which do not flush.
"""

from __future__ import annotations

import mmap
import os
import statistics
import tempfile
import time
from pathlib import Path

import harness
from harness import Report, alone

KINDS = {
    "the bytes alone": "bytes", "zoo, mapped (`zoo.load(path, mmap=True)`)": "mapped", "zoo, read whole": "whole",
    "safetensors' own functions, which flush nothing": "safetensors",
}  # fmt: skip


def measure(kind: str, name: str, folder: str) -> tuple[float, float]:
    """Seconds to write, and to read a model, or the bytes, again."""
    import torch
    from safetensors.torch import load_file, save_file

    import zoo

    model = zoo.get_model(name)
    path = Path(folder) / "model.safetensors"
    zoo.get_model("squeezenet1_1")  # import everything that is needed
    start = time.perf_counter()
    if kind == "bytes":
        with (path.parent / "part").open("wb") as f:
            for t in model.state_dict().values():
                f.write(t.numpy().data)
            f.flush()
            os.fsync(f.fileno())
        (path.parent / "part").rename(path)
    elif kind == "safetensors":
        save_file(model.state_dict(), path)
    else:
        zoo.save(model, path)
    written = time.perf_counter()
    if kind == "bytes":
        with path.open("rb") as f:
            whole = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
        offset = 0
        for t in model.state_dict().values():
            torch.frombuffer(whole, dtype=t.dtype, count=t.numel(), offset=offset).reshape(t.shape)
            offset += t.numel() * t.element_size()
    elif kind == "safetensors":
        load_file(path)
    else:
        zoo.load(path, mmap=kind == "mapped")
    return written - start, time.perf_counter() - written


def main() -> int:
    parser = harness.options(__doc__, ["vit_l_16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="folder on the file system to measure")
    given = parser.parse_args()
    name, where = given.models[0], given.folder or tempfile.gettempdir()
    report = Report(given, model=name)
    found: dict[str, list[tuple[float, float]]] = {title: [] for title in KINDS}
    for _ in range(given.rounds):
        for title, kind in KINDS.items():
            with tempfile.TemporaryDirectory(dir=where) as folder:
                found[title].append(alone(measure, kind, name, folder))
    table = report.table(
        "memory" if where.startswith("/dev/shm") else "disk", cold=True, way="way", write="to write, s|.1f",
        read="to have again, s|.2f", both="both, s|.1f", times="of the bytes|.1f",
    )  # fmt: skip
    middle = {title: statistics.median(map(sum, times)) for title, times in found.items()}
    for title, times in found.items():
        write, read = (statistics.median(each) for each in zip(*times, strict=True))
        times_ = middle[title] / middle["the bytes alone"]
        table.row(way=title, write=write, read=read, both=middle[title], times=times_)
        if title.startswith("zoo"):
            place = "in memory" if where.startswith("/dev/shm") else "on disk"
            short = title.partition(" (")[0]
            report.target(f"{short}, {place}: of the bytes alone", times_, most=1.2)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
