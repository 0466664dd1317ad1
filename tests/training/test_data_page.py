"""docs/data.md: build each folder tree, run each program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoo.io import save_video
from zoo_optical_flow.flo import write_flo

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def build(file: Path) -> None:
    """A file of the type of its suffix, pictures with 40 × 30 pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".mp4":
        frames = torch.randint(0, 255, (20, 3, 48, 64), dtype=torch.uint8)
        save_video([(frame, i / 15) for i, frame in enumerate(frames)], file, 20 / 15)
    elif file.suffix == ".flo":
        write_flo(torch.zeros(2, 30, 40), file)
    elif file.parent.name == "masks":
        pixels = np.zeros((30, 40, 3), np.uint8)
        pixels[:15, :, 2] = 255
        Image.fromarray(pixels).save(file)
    elif file.suffix.lower() in (".jpg", ".png", ".webp"):
        Image.new("RGB", (40, 30), (200, 30, 30)).save(file)


def test_every_tree_is_opened_as_the_page_says(tmp_path: Path) -> None:
    trees = [line for kind, _, text in BLOCKS if kind == "tree" for line in text.splitlines()]
    written = {name: text for kind, name, text in BLOCKS if name}
    assert len(trees) > 35
    assert written.keys() <= set(trees)
    for name in trees:
        build(tmp_path / name)
        if name in written:
            (tmp_path / name).write_text(written[name])
        assert (tmp_path / name).is_file(), name
    program = "import zoo\n" + "\n".join(text for kind, _, text in BLOCKS if kind == "python")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE)
