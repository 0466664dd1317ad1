"""Time and additional memory to load a cached checkpoint into a model, compared with building and copying.

    python benchmarks/loading.py [vgg16]

The file has random weights in the model's own layout and is in the page cache, as after a first use. Compared are zoo's
builder with a memory-mapped file (as from its cache) and with a file that is read completely (as a user's path), in
three formats; `torch.load` alone, which also reads completely; building and copying in plain PyTorch; and torchvision's
builder if torchvision can be imported. The peak is the resident memory of the process above that before the load.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import harness
import torch
from harness import Call, Report, in_turns, peak_of
from safetensors.torch import save_file

import zoo
from zoo.registry import get_model_builder


def main() -> int:
    given = harness.options(__doc__, ["vgg16"]).parse_args()
    name = given.models[0]
    report = Report(given, model=name)
    build, published = get_model_builder(name), zoo.get_model_weights(name).DEFAULT.value
    with tempfile.TemporaryDirectory() as folder:
        path, old, safe = (Path(folder) / f"{name}{end}" for end in (".pth", "-old-form.pth", ".safetensors"))
        state = build().state_dict()
        torch.save(state, path)
        torch.save(state, old, _use_new_zipfile_serialization=False)
        save_file(state, safe)
        del state

        def load(path: Path, mmap: bool) -> Call:
            return lambda: build(weights=replace(published, url=path.as_uri()), mmap=mmap)

        def copy() -> None:
            build(weights=None).load_state_dict(torch.load(path, weights_only=True))

        ways: dict[str, Call] = {
            "zoo, memory-mapped": load(path, True),
            "zoo, mapped safetensors": load(safe, True),
            "zoo, a path of one's own, read whole": load(path, False),
            "zoo, the same as safetensors": load(safe, False),
            "zoo, a file in the legacy pickle form": load(old, False),
            "`torch.load` alone": lambda: torch.load(path, weights_only=True),
            "building and copying (plain PyTorch)": copy,
        }
        if (theirs := harness.torchvision()) is not None:
            member = theirs.models.get_model_weights(name).DEFAULT
            hub = Path(folder) / "hub" / "checkpoints"
            hub.mkdir(parents=True)
            os.link(path, hub / Path(member.url).name)
            torch.hub.set_dir(str(hub.parent))
            ways["torchvision"] = lambda: theirs.models.get_model(name, weights=member)
        times = in_turns(ways, 0)
        table = report.table("ready", way="way", seconds="seconds|.3f", times="of ours|.1f", mb="extra peak, MB|,.0f")
        peaks = {way: max(peak_of(load) for _ in range(3)) for way, load in ways.items()}
        mapped, copied = (times[way] for way in ("zoo, memory-mapped", "building and copying (plain PyTorch)"))
        for way, taken in times.items():
            table.row(way=way, seconds=taken.median(), times=taken.over(mapped), mb=peaks[way])
    report.target(f"{name}: times as fast as building and copying", copied.over(mapped), least=10)
    report.target(f"{name}: MB on top", peaks["zoo, memory-mapped"], most=50)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
