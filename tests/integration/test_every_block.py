"""Every code block of every page runs in a test, or says why not and is checked without running.

Pages with a test of their own are in :data:`OWN`; :func:`test_the_page_runs` runs all others, each block in order, in a
folder with the files that the pages name.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
import torch
from pages import PAGES, ROOT, Block, blocks, find_blocks
from PIL import Image

import zoo
from zoo.cli import main
from zoo.files.policy import Policy, policy
from zoo.io import save_video

# Page → the file of tests that runs it, and the languages of the blocks that it runs or compares with what is printed.
OWN = {
    "README.md": ("integration/test_readme.py", "sh python toml"),
    "docs/backbones.md": ("integration/test_author_pages.py", "python"),
    "docs/cli.md": ("core/test_cli_face.py", "text console"),
    "docs/data.md": ("training/test_data_page.py", "python tree csv json yaml txt xml"),
    "docs/detectors.md": ("integration/test_author_pages.py", "python"),
    "docs/exporting.md": ("integration/test_exporting_page.py", "sh python"),
    "docs/plugins.md": ("integration/test_guide.py", "sh python toml text"),
    "docs/predicting.md": ("integration/test_predicting.py", "sh python json"),
    "docs/saving.md": ("integration/test_saving.py", "sh python"),
    "docs/scale.md": ("integration/test_scale_guide.py", "sh python"),
    "docs/serving.md": ("serving/test_pages.py", "sh"),
    "docs/sessions.md": ("core/test_screens.py", "console"),
    "docs/start.md": ("integration/test_readme.py", "sh python"),
    "docs/tasks.md": ("integration/test_task_page.py", "sh python"),
    "docs/timm.md": ("timm_plugin/test_pages.py", "sh python"),
    "docs/torchvision.md": ("integration/test_readme.py", "python"),
    "docs/training.md": ("integration/test_training_guide.py", "sh python"),
    "plugins/timm/README.md": ("timm_plugin/test_pages.py", "python"),
    "examples/zoo-plugin-template/README.md": ("packaging/test_template.py", "sh"),
}
HERE = "sh python toml text"  # what test_the_page_runs can do with a block
WITH_BLOCKS = [page for page in PAGES if any(not block.kind.startswith("{") for block in blocks(page))]
TO_RUN = [
    page for page in WITH_BLOCKS if page not in OWN and any(not b.reason for b in blocks(page) if b.kind[:1] != "{")
]
NOT_RUN = [block for page in PAGES for block in blocks(page) if block.reason]


def problem(block: Block) -> str | None:
    """Why a block is not run by any test; None if it is, or is marked."""
    if block.kind.startswith("{"):  # a directive of Sphinx
        return None
    if block.reason:
        return None if len(block.reason.split()) > 1 else f"{block}: the reason is not a sentence"
    file, languages = OWN.get(block.page, ("integration/test_every_block.py", HERE))
    if block.kind not in languages.split():
        return f"{block}: {file} does not run blocks of {block.kind or 'no language'}"
    program = re.sub(r"#.*", "", block.text)
    if block.kind == "python" and re.search(r"\.\.\.[,)]|…", program) and block.page not in OWN:
        return f"{block}: something is left out of the program"
    return None


def test_every_block_is_run_or_says_why_not() -> None:
    found = [problem(block) for page in PAGES for block in blocks(page)]
    assert [text for text in found if text] == []
    assert len(found) > 150


def test_no_code_stands_without_a_fence() -> None:
    assert {page: lines for page in PAGES if (lines := pages.indented_code((ROOT / page).read_text()))} == {}


@pytest.mark.parametrize("page", OWN)
def test_tests_that_are_named_read_the_page(page: str) -> None:
    source = (ROOT / "tests" / OWN[page][0]).read_text()
    assert page in PAGES
    assert page in source or Path(page).name in source or f'"{Path(page).stem}"' in source


@pytest.mark.parametrize("block", NOT_RUN, ids=str)
def test_what_is_not_run_can_be_read(block: Block) -> None:
    pages.check_code(block)


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_the_text_exist(page: str) -> None:
    text = pages.without_fences((ROOT / page).read_text())
    for command in re.findall(r"`((?:zoo|pip install|make) [a-z][^`\n]*)`", text):
        if not re.match(r"zoo acme:|zoo vote|zoo run -m", command):  # of plugins that are examples; of a program
            pages.check_command(command, complete=False)


def test_examples_of_the_commands_can_be_read() -> None:
    (reference,) = {block.page for block in blocks("docs/cli.md")}
    lines = [line for b in blocks(reference) if b.kind == "console" for line in pages.lines_of(b.text, "console")]
    assert len(lines) > 60
    for line in lines:
        pages.check_command(line)


def test_a_block_that_nobody_runs_is_found() -> None:
    text = "# A\n\n```rust\nfn main() {}\n```\n\n  ```sh\n  zoo list\n  ```\n\n"
    text += "<!-- not run: needs a GPU -->\n```python\nx = (\n```\n"
    rust, shell, marked = find_blocks(text, "docs/new.md")
    assert problem(rust) == "docs/new.md:3: integration/test_every_block.py does not run blocks of rust"
    assert (problem(shell), shell.text, shell.line) == (None, "zoo list\n", 7)
    assert (problem(marked), marked.reason) == (None, "needs a GPU")
    with pytest.raises(SyntaxError):
        pages.check_code(marked)
    left_out = Block("docs/new.md", 1, "python", "", "model(...)\n")
    assert "left out" in str(problem(left_out))
    assert "does not run" in str(problem(Block("docs/tasks.md", 1, "toml", "", "")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("zoo predct dog.jpg", "no command predct"),
        ("zoo list --tsak x", "no option --tsak"),
        ("zoo predict dog.jpg --model fcos_resnet50_fpn --min-scor 0.3", "no option --min-scor"),
        ("zoo show", "MODEL"),
        ("zoo train --model a --data b --epochs many", "many"),
        ("zoo cache lst", "cache has no command lst"),
        ("torchrun -m zoo train --modle a", "no option --modle"),
        ("pip install 'zoo-tools[onx]'", "no extra onx"),
        ("pip install zoo-clasification", "no package"),
        ("make tset", "no such target"),
        ("python scripts/nothing.py", "no file"),
        ("frobnicate x", "what is frobnicate"),
    ],
)
def test_a_command_that_is_wrong_is_found(line: str, said: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        pages.check_command(line)


# ── pages that are run here ──────────────────────────────────────────────────────────────────────────────────────

# Page → published weights that it uses, in whose place random numbers are put.
WEIGHTS = {
    "docs/index.md": (),
    "plugins/detection/README.md": ("fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2", "convnext_tiny"),
    "plugins/optical_flow/README.md": ("raft_small",),
    "plugins/tools/README.md": ("resnet50",),
    "plugins/video/README.md": ("r3d_18",),
}
SLOW = {"plugins/detection/README.md"}


def of_detectors() -> dict[str, Any]:
    boxes = torch.tensor([[4.0, 4.0, 40.0, 50.0]])
    images = [torch.rand(3, 64, 96), torch.rand(3, 64, 96)]
    return {"image": images[0], "images": images, "targets": [{"boxes": boxes, "labels": torch.tensor([1])}] * 2}


def of_quantized() -> dict[str, Any]:
    return {"calibration_batches": [torch.rand(2, 3, 64, 64)]}


def of_gallery() -> dict[str, Any]:
    from zoo_classification.embedding import ImageEmbedding
    from zoo_detection.task import Detection
    from zoo_segmentation.task import Segmentation

    image = Image.open("shapes.png").convert("RGB")
    width, height = image.size
    boxes = torch.tensor([[20.0, 20.0, 90.0, 110.0], [100.0, 40.0, 160.0, 120.0]])
    labels, scores, categories = torch.tensor([1, 2]), torch.tensor([0.9, 0.8]), ("nothing", "cat", "cup")
    found = {
        "boxes": boxes,
        "labels": labels,
        "scores": scores,
        "categories": categories,
        "image": image,
        "corners": torch.tensor([[20.0, 30, 90, 10, 100, 80, 30, 100], [60, 30, 90, 30, 90, 60, 60, 60]]),
        "masks": torch.rand(2, 1, height, width),
        "keypoints": torch.rand(2, 17, 3) * 60,
        "class_map": torch.randint(3, (height, width), dtype=torch.uint8),
        "vector": torch.randn(64),
        "values": torch.rand(height, width) + 1,
        "segment_map": torch.randint(-1, 2, (height, width)),
        "picture": "shapes.png",
        "first": "frame1.png",
        "second": "frame2.png",
        "video": "examples/videos/moving_shapes.gif",
        "result": Detection(boxes, labels, scores, categories, image),
        "Detection": Detection,
        "Segmentation": Segmentation,
        "ImageEmbedding": ImageEmbedding,
    }
    if "zoo_transformers" in sys.modules or any(record.name == "transformers" for record in zoo.plugins()):
        from zoo_transformers.results import Depth, PanopticSegmentation

        found |= {"Depth": Depth, "PanopticSegmentation": PanopticSegmentation}
    return found


NAMES: dict[str, Callable[[], dict[str, Any]]] = {
    "docs/gallery.md": of_gallery,
    "plugins/detection/README.md": of_detectors,
    "plugins/quantized/README.md": of_quantized,
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that pages name, as the working directory."""
    monkeypatch.chdir(tmp_path)
    photos = ROOT / "examples/images/photos"
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("dog.jpg", "street.jpg", "photo.jpg"):
        shutil.copy(photos / "coffee.jpg", name)
    for name in ("frame1.png", "frame2.png"):
        shutil.copy(ROOT / "examples/images/flow" / name, name)
    shutil.copy(ROOT / "examples/images/shapes.png", "shapes.png")
    generator = np.random.default_rng(0)
    for name, colour in {"red": (200, 50, 40), "blue": (40, 60, 200)}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.array(colour) + generator.normal(0, 30, (32, 40, 3))
            Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(f"photos/{name}/{i}.png")
    frames = [(torch.randint(255, (3, 64, 96), dtype=torch.uint8), i / 15) for i in range(20)]
    pytest.importorskip("av")
    save_video(frames, tmp_path / "clip.mp4", 20 / 15)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield tmp_path


def printed_as(said: str, printed: str) -> bool:
    """Whether a line is as a page says, where ``…`` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, said.split("…"))), printed) is not None


def run_python(block: Block, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    exec(compile(block.text, str(block), "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    said = re.findall(r"^print\(.*\)  # (.*)$", block.text, re.MULTILINE)
    assert len(printed) >= len(said)
    for want, got in zip(said, printed, strict=False):
        assert printed_as(want, got), f"{block}: {got!r} is not {want!r}"


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.slow] * (p in SLOW)) for p in TO_RUN])
def test_the_page_runs(
    page: str, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    pages.put_in_place_of_downloads(*WEIGHTS.get(page, ()))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    names: dict[str, Any] = {"__name__": "page", "zoo": zoo, **NAMES.get(page, dict)()}
    shown = ""
    for block in blocks(page):
        if block.reason or block.kind.startswith("{"):
            continue
        if block.kind == "python":
            if page == "docs/gallery.md" and (used := re.match(r"[A-Z]\w+", block.text)) and used[0] not in names:
                pages.check_code(block)  # of a package that is not installed
                continue
            run_python(block, names, capsys)
        elif block.kind == "sh":
            for line in pages.lines_of(block.text):
                command, *words = shlex.split(line, comments=True)
                assert command == "zoo", f"{block}: {line}"
                assert main(words) == 0, f"{block}: {line}\n{capsys.readouterr().err}"
            shown = capsys.readouterr().out
        elif block.kind == "toml":
            Path("rules.toml").write_text(block.text)
            monkeypatch.setenv("ZOO_POLICY", "rules.toml")
            assert policy() != Policy()
        else:
            assert [line for line in block.text.splitlines() if line.strip() not in shown] == []
