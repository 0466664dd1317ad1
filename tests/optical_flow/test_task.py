"""Flow of frames: the pipeline, the command line, padding, ``.flo`` files and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument, UnreadableFile
from zoo_optical_flow import crop_flow, end_point_error, outlier_share, pad_frames, read_flo, write_flo
from zoo_optical_flow.task import Prepare

FOLDER = Path(__file__).parents[2] / "examples/images/flow"
PAIR = (FOLDER / "frame1.png", FOLDER / "frame2.png")


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return read_flo(FOLDER / "flow.flo")


@pytest.fixture(scope="module")
def pipe() -> zoo.Pipeline:
    return zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu")


def test_weights_in_the_package_see_how_a_held_out_pair_moves(pipe, truth) -> None:
    result = pipe(PAIR)
    assert result.flow.shape == truth.shape == (2, 128, 160)
    assert end_point_error(result.flow, truth) < end_point_error(torch.zeros_like(truth), truth) / 3


def test_what_a_pair_can_be(pipe) -> None:
    flow = pipe(PAIR).flow
    pictures = tuple(Image.open(path).convert("RGB") for path in PAIR)
    tensors = tuple(torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures)
    floats = tuple(tensor / 255 for tensor in tensors)
    for pair in (tuple(map(str, PAIR)), pictures, tensors, floats):
        torch.testing.assert_close(pipe(pair).flow, flow, rtol=0, atol=1e-3)
    batches = tuple(torch.stack([t, t]) for t in tensors)
    for several in ([pictures], batches, list(PAIR), FOLDER):  # a list, a batch and a folder give a list
        results = pipe(several)
        assert len(results) == (2 if several is batches else 1)
        torch.testing.assert_close(results[-1].flow, flow, rtol=0, atol=1e-3)


def test_a_folder_is_a_sequence(pipe, tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (130, 130)).save(tmp_path / f"{name}.png")
    pairs = [(first.stem, second.stem) for first, second in pipe.expand(tmp_path)]
    assert pairs == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PAIR[0], r"2 files make one input of this task, and these are left over: .*frame1\.png"),
        ([*PAIR, PAIR[0]], "left over"),
        ((*PAIR, PAIR[0]), "expected 2 paths"),
        ((torch.rand(2, 3, 128, 128), torch.rand(3, 3, 128, 128)), "different numbers"),
        ([], "nothing to predict"),
        (3, "Cannot predict from int"),
        ((torch.rand(3, 128, 128), torch.rand(3, 128, 136)), "expected the same size"),
    ],
)
def test_what_is_no_pair_is_refused(pipe, given, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        pipe(given)


def test_a_folder_of_one_frame_is_refused(pipe, tmp_path: Path) -> None:
    Image.new("RGB", (130, 130)).save(tmp_path / "a.png")
    with pytest.raises(InvalidArgument, match="expected at least 2 files"):
        pipe(tmp_path)


def test_any_size_is_padded_and_cut_back_whatever_is_in_the_batch(pipe) -> None:
    images = [Image.open(path).convert("RGB") for path in PAIR]
    odd = tuple(image.crop((3, 5, 150, 120)) for image in images)
    alone, batched = pipe(odd), pipe([PAIR, odd, PAIR])
    assert alone.flow.shape == (2, 115, 147)
    assert [r.flow.shape[1:] for r in batched] == [(128, 160), (115, 147), (128, 160)]
    torch.testing.assert_close(batched[1].flow, alone.flow, rtol=0, atol=1e-3)
    inner = (slice(None), slice(20, 95), slice(20, 127))
    whole = pipe(PAIR).flow[:, 5:120, 3:150]
    assert end_point_error(alone.flow[inner], whole[inner]) < 1.5  # it has less context, but the result is similar


def test_without_padding_the_models_own_error_says_what_to_do() -> None:
    pipe = zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", pad=False)
    with pytest.raises(InvalidArgument, match=r"130×140.*pad_frames"):
        pipe((torch.rand(3, 130, 140), torch.rand(3, 130, 140)))
    weights = zoo.get_weight("Raft_Small_Weights.SHAPES_V1").value
    frames = (torch.rand(3, 130, 140), torch.rand(3, 130, 140))
    assert Prepare(weights, pad=False)(frames)[0].shape == (3, 130, 140)
    assert Prepare(weights)(frames)[0].shape == (3, 136, 144)


def test_padding_repeats_edges_around_and_cropping_undoes_it() -> None:
    frames = torch.rand(2, 3, 130, 139)
    padded = pad_frames(frames)
    assert padded.shape == (2, 3, 136, 144)
    torch.testing.assert_close(crop_flow(padded, 130, 139), frames, rtol=0, atol=0)
    assert (padded[..., 0, 2:-3] == frames[..., 0, :]).all()
    assert (padded[..., -1, 2:-3] == frames[..., -1, :]).all()
    assert pad_frames(torch.rand(3, 50, 200)).shape == (3, 128, 200)
    assert pad_frames(torch.rand(3, 128, 200)).shape == (3, 128, 200)
    with pytest.raises(InvalidArgument, match="136×144"):
        crop_flow(torch.rand(2, 128, 144), 130, 139)


def test_kitti_pads_below_and_cropping_undoes_it(pipe) -> None:
    frames = torch.rand(3, 130, 139)
    padded = pad_frames(frames, "kitti")
    assert padded.shape == (3, 136, 144)
    assert torch.equal(padded[:, :130, 2:-3], frames)
    assert torch.equal(crop_flow(padded, 130, 139, "kitti"), frames)
    with pytest.raises(InvalidArgument, match=r"padding is 'kiti'; expected one of 'sintel', 'kitti'\. Did you mean"):
        pad_frames(frames, "kiti")
    odd = tuple(Image.open(path).convert("RGB").crop((3, 5, 150, 120)) for path in PAIR)
    options = {"weights": "SHAPES_V1", "device": "cpu"}
    sintel, kitti = pipe(odd).flow, zoo.pipeline("raft_small", padding="kitti", **options)(odd).flow
    assert kitti.shape == sintel.shape
    assert 0.001 < end_point_error(kitti, sintel) < 1  # only the margins differ
    with pytest.raises(InvalidArgument, match="padding is 'kiti'"):
        zoo.pipeline("raft_small", padding="kiti", **options)
    with pytest.raises(InvalidArgument, match="num_flow_updates is 0"):
        zoo.pipeline("raft_small", num_flow_updates=0, **options)


def test_updates_are_an_option(truth) -> None:
    pipes = [zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", num_flow_updates=n) for n in (1, 12)]
    once, often = (pipe(PAIR).flow for pipe in pipes)
    assert end_point_error(once, truth) > 1.1 * end_point_error(often, truth)
    images = [torch.from_numpy(np.array(Image.open(p).convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1 for p in PAIR]
    with torch.inference_mode():
        by_hand = pipes[0].model(*images, num_flow_updates=1)[-1][0]
    torch.testing.assert_close(once, by_hand, atol=1e-3, rtol=1e-3)


def test_command_line_writes_pictures_and_numbers(tmp_path: Path, capsys, truth) -> None:
    paths = [str(path) for path in PAIR]
    command = ["predict", *paths, "--model", "raft_small", "--weights", "SHAPES_V1", "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(path in printed for path in paths)
    assert "px on average" in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "predictions.jsonl",
        *(f"frame1-frame2{ending}" for ending in (".png", "_flow.png", ".flo", ".json")),
    }
    flow = read_flo(tmp_path / "frame1-frame2.flo")
    assert end_point_error(flow, truth) < end_point_error(torch.zeros_like(truth), truth) / 3
    assert Image.open(tmp_path / "frame1-frame2_flow.png").size == (160, 128)

    assert main([*command, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["input"] == paths
    assert answer["size"] == [128, 160]
    assert answer["mean"] == pytest.approx(flow.mean((1, 2)).tolist(), abs=0.01)
    assert answer["mean_length"] == pytest.approx(flow.norm(dim=0).mean().item(), abs=0.01)


def test_command_line_names_what_cannot_be_read_or_is_left_over(tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    command = ["predict", "--model", "raft_small", "--weights", "SHAPES_V1", "--device", "cpu"]
    assert main([*command, str(PAIR[0]), str(broken)]) == 1
    assert str(broken) in capsys.readouterr().err
    assert main([*command, str(PAIR[0])]) == 1
    assert "left over" in capsys.readouterr().err


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_flo_files_are_middleburys(tmp_path: Path) -> None:
    flow = torch.tensor([[[1.5, -2.0, 0.0]], [[0.25, 1e10, -3.0]]])
    path = tmp_path / "x.flo"
    write_flo(flow, path)
    # The tag 202021.25, width, height, then u and v of every pixel, all little-endian and of four bytes.
    tag, (width, height) = np.frombuffer(path.read_bytes(), "<f4", 1)[0], np.frombuffer(path.read_bytes(), "<i4", 2, 4)
    assert (tag, width, height) == (np.float32(202021.25), 3, 1)
    assert np.frombuffer(path.read_bytes(), "<f4", offset=12).tolist() == [1.5, 0.25, -2.0, 1e10, 0.0, -3.0]
    assert torch.equal(read_flo(path), flow)
    write_flo(flow.half(), path)
    assert read_flo(path).dtype == torch.float32
    with pytest.raises(InvalidArgument, match=r"\[3, 4, 4\]"):
        write_flo(torch.zeros(3, 4, 4), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "not a .flo file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a .flo file"),
        (b"PIEH" + np.array([3, 1], "<i4").tobytes() + bytes(20), "truncated: its header states 3 × 1"),
        (b"PIEH" + np.array([-1, 1], "<i4").tobytes(), "damaged"),
        (b"PIEH" + np.array([2**30, 2**30], "<i4").tobytes(), "damaged"),
    ],
)
def test_broken_flo_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.flo"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=message):
        read_flo(path)


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_metrics_by_hand() -> None:
    target = torch.tensor([[[3.0, 0.0, 100.0, 100.0, float("nan")]], [[4.0, 0.0, 0.0, 0.0, 0.0]]])
    off = torch.tensor([[[0.0, 0.0, 4.0, 6.0, 0.0]], [[0.0, 3.5, 0.0, 0.0, 0.0]]])
    valid = torch.tensor([[1, 1, 1, 1, 0]])
    assert end_point_error(target + off, target, valid).item() == pytest.approx((0 + 3.5 + 4 + 6) / 4)
    # An error of 3.5 px without motion, and of 6 px of 100, are outliers. 4 px of 100 are within 5 %.
    assert outlier_share(target + off, target, valid).item() == 50
    assert outlier_share(target[None] + off, target[None], valid[None]).item() == 50
    assert end_point_error(target, target, torch.zeros(1, 5)).isnan()
    with pytest.raises(InvalidArgument, match="the same for both"):
        end_point_error(torch.zeros(1, 2, 3, 3), torch.zeros(2, 3, 3))
    with pytest.raises(InvalidArgument, match="valid"):
        end_point_error(target, target, torch.ones(2, 1, 5))
