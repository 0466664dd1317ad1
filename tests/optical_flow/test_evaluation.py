"""End-point error and outliers from frames and true flows; the layouts of data sets."""

from __future__ import annotations

import json
import math
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import read_image
from zoo_optical_flow import end_point_error, outlier_share, read_flo, write_flo
from zoo_optical_flow.evaluation import FlowPairs
from zoo_optical_flow.kitti import read_kitti_flow
from zoo_optical_flow.result import Flow

FOLDER = Path(__file__).parents[2] / "examples/images/flow"
WEIGHTS = zoo.Weights(url="file:///nowhere.pth")
FRAME = Image.new("L", (3, 2))


def flow(right: float, down: float) -> torch.Tensor:
    """A constant motion, [2, 2, 3]."""
    return torch.tensor([right, down]).reshape(2, 1, 1).expand(2, 2, 3).clone()


def predicted(right: float, down: float) -> Flow:
    return Flow(flow(right, down), (FRAME, FRAME))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".flo"):
            write_flo(flow(0, 0), folder / name)
        else:
            FRAME.save(folder / name)


def write_kitti(path: Path, numbers: np.ndarray, filters: str = "0") -> None:
    """A PNG of uint16 [H, W, 3], its rows filtered alternately by PNG's methods 0, 1 and 2."""
    height, width, _ = numbers.shape
    rows = numbers.astype(">u2").tobytes()
    length, above, lines = 6 * width, bytes(6 * width), b""
    for y in range(height):
        row = rows[y * length : (y + 1) * length]
        method = filters[y % len(filters)]
        before = {"0": bytes(length), "1": bytes(6) + row[:-6], "2": above}[method]
        lines += bytes([int(method)]) + bytes((a - b) % 256 for a, b in zip(row, before, strict=True))
        above = row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_and_outliers(tmp_path: Path) -> None:
    """One flow has an error of 5 pixels at 4 known pixels, the other is right at all 6."""
    touch(tmp_path, "a_1.png", "a_2.png", "b_1.png", "b_2.png", "b.flo")
    truth = flow(3, 4)
    truth[:, 0, :2] = 1.7e9  # Middlebury's value for unknown flow
    write_flo(truth, tmp_path / "a.flo")
    evaluator = FlowPairs(tmp_path, tmp_path, WEIGHTS)
    records = [evaluator.measure("a", predicted(6, 8)), evaluator.measure("b", predicted(0, 0))]
    assert records[0] == {"pixels": 4, "distance": 20, "outliers": 4, "beyond": [4, 4, 0]}
    metrics = evaluator.summarize(json.loads(json.dumps(records)))
    shares = {"beyond_1px": 40, "beyond_3px": 40, "beyond_5px": 0}
    assert metrics == pytest.approx({"epe": 2, "per_image_epe": 2.5, "fl_all": 40, **shares})
    # An error of 5 pixels is not an outlier if the motion is at least 100 pixels.
    write_flo(flow(60, 80.5), tmp_path / "b.flo")
    assert evaluator.measure("b", predicted(63, 84.5))["outliers"] == 0
    truth[:] = 1.7e9
    write_flo(truth, tmp_path / "a.flo")
    nothing_known = evaluator.measure("a", predicted(0, 0))
    assert all(math.isnan(value) for value in evaluator.summarize([nothing_known]).values())


def test_the_published_model_on_the_example(tmp_path: Path) -> None:
    for file, name in (("frame1.png", "x_1.png"), ("frame2.png", "x_2.png"), ("flow.flo", "x.flo")):
        shutil.copy(FOLDER / file, tmp_path / name)
    options = {"weights": "SHAPES_V1", "device": "cpu", "optimize": False}
    result = zoo.evaluate("raft_small", tmp_path, tmp_path, output=tmp_path / "out", **options)
    pair = (tmp_path / "x_1.png", tmp_path / "x_2.png")
    ours = zoo.pipeline("raft_small", **options)(pair).flow
    truth = read_flo(FOLDER / "flow.flo")
    assert result.metrics["epe"] == pytest.approx(end_point_error(ours, truth).item(), rel=1e-4)
    assert result.metrics["fl_all"] == pytest.approx(outlier_share(ours, truth).item(), abs=0.1)
    assert result.measured == 1
    assert "epe" in result.published["Generated shapes"]
    assert zoo.evaluate("raft_small", tmp_path, tmp_path, output=tmp_path / "out", **options) == result


def test_figures_are_measured_as_they_were_published_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number of updates changes the metrics, and the note reports the difference of the protocol."""
    for file, name in (("frame1.png", "x_1.png"), ("frame2.png", "x_2.png"), ("flow.flo", "x.flo")):
        shutil.copy(FOLDER / file, tmp_path / name)
    errors = {}
    for updates in (None, 12, 24, 32):
        options = {} if updates is None else {"num_flow_updates": updates}
        result = zoo.evaluate(
            "raft_small", tmp_path, tmp_path, weights="SHAPES_V1", device="cpu", optimize=False, **options
        )
        errors[updates] = result.metrics["epe"]
        assert result.protocol == {"num_flow_updates": updates or 12, "padding": "sintel"}
        assert result.published_protocols == {"Generated shapes": {"num_flow_updates": 12, "padding": "sintel"}}
        differs = "The published metrics on Generated shapes were measured with num_flow_updates 12; these with"
        assert list(result.notes) == ([] if updates in (None, 12) else [f"{differs} num_flow_updates {updates}."])
    assert errors[None] == errors[12]
    frames = [read_image(tmp_path / f"x_{i}.png", "RGB")[None] / 127.5 - 1 for i in (1, 2)]
    with torch.inference_mode():
        flows = zoo.get_model("raft_small", weights="SHAPES_V1").eval()(*frames, num_flow_updates=32)
    truth = read_flo(tmp_path / "x.flo")
    known = {n: end_point_error(flows[n - 1][0], truth).item() for n in (12, 24, 32)}
    assert {n: errors[n] for n in known} == pytest.approx(known, rel=1e-3)
    assert known[12] < 0.9 * known[24] < 0.9 * known[32]
    command = ["evaluate", "--model", "raft_small", "--weights", "SHAPES_V1", "--device", "cpu"]
    paths = ["--images", str(tmp_path), "--annotations", str(tmp_path)]
    assert main([*command, *paths, "--num-flow-updates", "24", "--padding", "kitti"]) == 0
    out = capsys.readouterr().out
    assert "Measured with num_flow_updates 24, padding kitti\n" in out
    assert "num_flow_updates 12, padding sintel; these with num_flow_updates 24, padding kitti." in out


def test_every_published_figure_says_how_it_was_measured() -> None:
    for entries in (zoo.get_model_weights("raft_large"), zoo.get_model_weights("raft_small")):
        for entry in entries:
            protocols = entry.value.extra["protocols"]
            assert protocols.keys() == entry.value.metrics.keys()
            for data, protocol in protocols.items():
                updates = {"S": 32, "K": 24, "G": 12}[data[0]]
                padding = "kitti" if data.startswith("Kitti") else "sintel"
                assert protocol == {"num_flow_updates": updates, "padding": padding}


# ── layouts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_consecutive_frames(tmp_path: Path) -> None:
    """Sintel's layout: one flow per frame, except the last frame of its scene."""
    touch(tmp_path / "clean", *(f"{scene}/frame_{i}.png" for scene in ("alley", "temple") for i in (1, 2, 3)))
    touch(tmp_path / "flow", "alley/frame_1.flo", "alley/frame_2.flo", "temple/frame_2.flo", "temple/frame_3.flo")
    sources = FlowPairs(tmp_path / "clean", tmp_path / "flow", WEIGHTS).sources
    got = {name: [f.relative_to(tmp_path / "clean").as_posix() for f in pair] for name, pair in sources.items()}
    last = got.pop("temple/frame_3")
    assert got == {
        "alley/frame_1": ["alley/frame_1.png", "alley/frame_2.png"],
        "alley/frame_2": ["alley/frame_2.png", "alley/frame_3.png"],
        "temple/frame_2": ["temple/frame_2.png", "temple/frame_3.png"],
    }
    assert not any((tmp_path / "clean" / frame).exists() for frame in last)  # so it will be reported


def test_frames_without_zeros_and_endings_in_capitals(tmp_path: Path) -> None:
    """Frame 10 follows frame 9; hidden files are ignored."""
    touch(tmp_path / "frames", *(f"f{i}.png" for i in (8, 9, 10)), ".f9x.png", ".thumbnails/f9.png")
    touch(tmp_path / "flow", "f9.flo", ".ipynb_checkpoints/f8.flo")
    (tmp_path / "flow/f9.flo").rename(tmp_path / "flow/f9.FLO")
    evaluator = FlowPairs(tmp_path / "frames", tmp_path / "flow", WEIGHTS)
    assert evaluator.sources == {"f9": (tmp_path / "frames/f9.png", tmp_path / "frames/f10.png")}
    assert evaluator.measure("f9", predicted(0, 0))["distance"] == 0


def test_flying_chairs(tmp_path: Path) -> None:
    touch(tmp_path, "00001_img1.ppm", "00001_img2.ppm", "00001_flow.flo", "00002_img1.ppm", "00002_img2.ppm")
    sources = FlowPairs(tmp_path, tmp_path, WEIGHTS).sources
    assert sources == {"00001_flow": (tmp_path / "00001_img1.ppm", tmp_path / "00001_img2.ppm")}


def test_kitti(tmp_path: Path) -> None:
    touch(tmp_path / "image_2", "000000_10.png", "000000_11.png", "000001_10.png", "000001_11.png")
    numbers = np.full((2, 3, 3), 2**15, np.uint16)
    numbers[..., 0] += 64 * 3  # three pixels to the right
    numbers[..., 2] = [[1, 1, 1], [1, 0, 0]]
    (tmp_path / "flow_occ").mkdir()
    write_kitti(tmp_path / "flow_occ" / "000001_10.png", numbers)
    evaluator = FlowPairs(tmp_path / "image_2", tmp_path / "flow_occ", WEIGHTS)
    (pair,) = evaluator.sources.values()
    assert [frame.name for frame in pair] == ["000001_10.png", "000001_11.png"]
    assert evaluator.measure("000001_10", predicted(3, 4)) == {
        "pixels": 4,
        "distance": 16,
        "outliers": 4,
        "beyond": [4, 4, 0],
    }


@pytest.mark.parametrize("filters", ["0", "1", "2", "012"])
def test_kitti_files_are_read_to_the_last_bit(tmp_path: Path, filters: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3)).astype(np.uint16)
    numbers[..., 2] %= 2
    write_kitti(tmp_path / "flow.png", numbers, filters)
    got, known = read_kitti_flow(tmp_path / "flow.png")
    expected = (torch.from_numpy(numbers[..., :2].astype(np.float32)) - 2**15) / 64
    assert torch.equal(got, expected.permute(2, 0, 1))
    assert torch.equal(known, torch.from_numpy(numbers[..., 2] > 0))


def test_files_that_are_no_flow(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(UnreadableFile, match="is not a KITTI flow: its pixels are L, expected three 16-bit numbers"):
        read_kitti_flow(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(UnreadableFile, match="cannot be read as a PNG"):
        read_kitti_flow(tmp_path / "a.png")
    with pytest.raises(UnreadableFile, match="nothing"):
        read_kitti_flow(tmp_path / "nothing.png")


def test_other_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a_1.png", "a_2.png", "flows/b.flo")
    for given, what in ((None, "none was given"), (tmp_path / "a_1.png", "is not a folder")):
        with pytest.raises(InvalidArgument, match=f"expected a folder of .flo files.*{what}"):
            FlowPairs(tmp_path, given, WEIGHTS)
    with pytest.raises(InvalidArgument, match=r"None of the 1 flows in .*such as .*b\.flo', has its frames"):
        FlowPairs(tmp_path, tmp_path / "flows", WEIGHTS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match="None of the 0 flows"):
        FlowPairs(tmp_path, tmp_path / "empty", WEIGHTS)
    touch(tmp_path, "flows/a.flo")
    evaluator = FlowPairs(tmp_path, tmp_path / "flows", WEIGHTS)
    with pytest.raises(InvalidArgument, match=r"a\.flo' has 2 × 3 pixels, but its frames have 9 × 9"):
        evaluator.measure("a", Flow(torch.zeros(2, 9, 9), (FRAME, FRAME)))
