"""How long a model takes to a file that knows what it is and back, beside writing and mapping the same bytes.

    python benchmarks/saving.py [vit_l_16] [ROUNDS] [FOLDER]

Each measurement is of a process of its own, in turns, after the model was built there: zoo.save and zoo.load, the file
mapped or read whole, as a path of one's own is; the tensors' bytes alone, written one after the other, flushed to the
disk, renamed, and mapped; and safetensors' save_file and load_file, which flush nothing.
"""

from __future__ import annotations

import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("bytes", "zoo, mapped", "zoo, read whole", "safetensors")


def measure(kind: str, name: str, folder: Path) -> tuple[float, float]:
    """Seconds to write, and to have a model, or the bytes, again."""
    import torch

    import zoo

    model = zoo.get_model(name)
    path = folder / "model.safetensors"
    zoo.get_model("squeezenet1_1")  # whatever is imported on the way
    start = time.perf_counter()
    if kind == "bytes":
        with (folder / "part").open("wb") as f:
            for t in model.state_dict().values():
                f.write(t.numpy().data)
            f.flush()
            os.fsync(f.fileno())
        (folder / "part").rename(path)
    elif kind == "safetensors":
        from safetensors.torch import load_file, save_file

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
        zoo.load(path, mmap=kind == "zoo, mapped")
    return written - start, time.perf_counter() - written


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], Path(sys.argv[4]))))
        return
    name = sys.argv[1] if len(sys.argv) > 1 else "vit_l_16"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as folder:
                command = [sys.executable, __file__, "--one", kind, name, folder]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[kind].append(tuple(json.loads(said)))
    print(f"{name}, {rounds} rounds, load {os.getloadavg()[0]:.1f}: median seconds to write, to have again, both")
    middle = {kind: statistics.median(a + b for a, b in times) for kind, times in found.items()}
    for kind, times in found.items():
        write, read = (statistics.median(each) for each in zip(*times, strict=True))
        print(f"  {kind:16} {write:6.2f} {read:6.2f} {middle[kind]:6.2f}  {middle[kind] / middle['bytes']:.2f}×")


if __name__ == "__main__":
    main()
