"""Flow of videos: measured over time, rendered as a video, and never completely in memory."""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import zoo
from zoo.cli import main
from zoo.draw import flow_to_image
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import VideoReader, save_video
from zoo.io.video import Frame
from zoo_optical_flow import Flow, FlowVideo
from zoo_optical_flow.video import FRAME_RATE, Video, is_video

HEIGHT, WIDTH = 128, 152
RATE = 10  # of frames
STEADY = [(4, -2)] * 5  # motion between frames, to the right and down


def make_frames(motions: Iterable[tuple[int, int]], height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A moving texture: uint8 [T, 3, height, width]."""
    generator = torch.Generator().manual_seed(7)
    grains = [F.interpolate(torch.randn(1, 3, n, n, generator=generator), size=(240, 240)) for n in (12, 30)]
    blurred = F.avg_pool2d(sum(grains), 5, 1, 2)  # type: ignore[arg-type]
    texture = (255 * (0.8 * blurred[0]).sigmoid()).to(torch.uint8)
    places = [(40, 40)]
    for right, down in motions:
        places.append((places[-1][0] - right, places[-1][1] - down))
    return torch.stack([texture[:, y : y + height, x : x + width] for x, y in places])


def make_video(path: Path, frames: torch.Tensor) -> Path:
    save_video(((frame, i / RATE) for i, frame in enumerate(frames)), path, len(frames) / RATE)
    return path


@pytest.fixture(scope="module")
def pipe() -> zoo.Pipeline:
    return zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", optimize=True)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("videos") / "steady.gif", make_frames(STEADY))


@pytest.fixture(scope="module")
def result(pipe, steady: Path) -> FlowVideo:
    return pipe(steady)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_the_known_motion_is_found_between_all_frames(pipe, suffix: str, tmp_path: Path) -> None:
    if suffix == ".mp4":
        pytest.importorskip("av")
    result = pipe(make_video(tmp_path / f"clip{suffix}", make_frames(STEADY)))
    assert isinstance(result, FlowVideo)
    assert len(result) == len(STEADY)
    assert result.size == (HEIGHT, WIDTH)
    assert [(m.start, m.end) for m in result.motions] == [pytest.approx((i / RATE, (i + 1) / RATE)) for i in range(5)]
    for motion, flow in zip(result.motions, result, strict=True):
        assert motion.mean == pytest.approx((4, -2), abs=0.6)
        assert motion.mean == pytest.approx(flow.flow.mean((1, 2)).tolist(), abs=0.01)
        assert motion.max_length == pytest.approx(flow.flow.norm(dim=0).max().item(), abs=0.05)


def test_flows_are_those_of_the_pairs(pipe, result) -> None:
    frames = make_frames(STEADY)
    for i, flow in enumerate(result):
        assert isinstance(flow, Flow)
        first, second = flow.frames
        assert (first.float() - frames[i]).abs().mean() < 12  # a GIF has few colours
        alone = pipe((first, second)).flow
        torch.testing.assert_close(flow.flow, alone, rtol=1e-3, atol=1e-2)


def test_what_a_video_can_be(pipe, steady: Path, tmp_path: Path) -> None:
    frames = make_frames(STEADY[:2])
    result = pipe(frames)
    assert [m.start for m in result.motions] == [0, 1 / FRAME_RATE]
    assert result.motions[0].mean == pytest.approx((4, -2), abs=0.6)
    assert pipe(frames / 255).motions[0].mean == pytest.approx(result.motions[0].mean, abs=0.05)
    assert [len(video) for video in pipe([str(steady), frames])] == [5, 2]
    # A folder yields its videos, and each picture with the next.
    make_video(tmp_path / "b.gif", frames)
    (only,) = pipe(tmp_path)
    assert len(only) == 2
    for name in ("a.png", "c.gif"):  # the GIF does not move
        Image.new("RGB", (130, 130)).save(tmp_path / name)
    assert pipe.expand(tmp_path) == [tmp_path / "b.gif", (tmp_path / "a.png", tmp_path / "c.gif")]


def test_single_pictures_are_no_videos(tmp_path: Path) -> None:
    for suffix in (".png", ".webp", ".gif"):
        still, moving, broken = (tmp_path / f"{name}{suffix}" for name in ("still", "moving", "broken"))
        pictures = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
        pictures[0].save(still)
        pictures[0].save(moving, save_all=True, append_images=pictures[1:])
        broken.write_bytes(b"no picture")
        assert [is_video(still), is_video(str(moving)), is_video(broken)] == [False, True, suffix == ".gif"]
    assert is_video(tmp_path / "not there.MP4")
    assert not is_video(torch.zeros(3, 8, 8))
    assert not is_video((still, still))


def test_frames_can_be_left_out(pipe, steady: Path) -> None:
    every_other = zoo.pipeline(pipe.model, pipe.weights, task="optical-flow", optimize=False, stride=2)(steady)
    assert [(m.start, m.end) for m in every_other.motions] == [(0.0, 0.2), (0.2, 0.4)]
    assert every_other.motions[0].mean == pytest.approx((8, -4), abs=1.5)
    faster = zoo.pipeline(pipe.model, pipe.weights, task="optical-flow", optimize=False, frame_rate=2 * FRAME_RATE)
    lengths = [m.mean_length for m in faster(make_frames(STEADY[:2])).motions]
    assert lengths == pytest.approx([0, 20**0.5, 0, 20**0.5, 0], abs=0.8)  # each frame occurs twice
    (slow,) = zoo.pipeline(pipe.model, pipe.weights, task="optical-flow", optimize=False, frame_rate=2)(steady).motions
    assert (slow.start, slow.end) == (0.0, 0.5)


def test_only_a_batch_of_frames_is_held(pipe, steady: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0
    original = VideoReader.frames_at

    def watched(self: VideoReader, times: Iterable[float]) -> Iterator[Frame]:
        nonlocal most
        for i, frame in enumerate(original(self, times)):
            alive.add(i)
            weakref.finalize(frame.image, alive.discard, i)
            most = max(most, len(alive))
            yield frame

    monkeypatch.setattr(VideoReader, "frames_at", watched)
    pipe(steady, batch_size=1)
    assert 2 <= most <= 4 < 6 == len(VideoReader(steady).times)  # a pair, and the next one that is read
    most = 0
    assert sum(1 for _ in pipe(steady, batch_size=2)) == 5
    assert most <= 5


def test_one_length_has_one_colour_throughout(pipe, tmp_path: Path) -> None:
    result = pipe(make_frames([(6, 0)] * 2 + [(2, 0)] * 2))
    full = result.full_length
    assert max(m.max_length for m in result.motions) >= full > 5
    rendered = list(result.render())
    assert [frame.time for frame in rendered] == [m.start for m in result.motions]
    saturations = []
    for frame, flow in zip(rendered, result, strict=True):
        assert frame.image.shape == (3, 2 * HEIGHT, WIDTH)  # wide frames are above their flow
        assert torch.equal(frame.image[:, :HEIGHT], flow.frames[0])
        assert torch.equal(frame.image[:, HEIGHT:], flow_to_image(flow.flow, full))
        colours = frame.image[:, HEIGHT:].float()
        saturations.append((colours.amax(0) - colours.amin(0)).mean().item())
    assert min(saturations[:2]) > 2 * max(saturations[2:])
    tall = pipe(make_frames([(1, 1)], height=140, width=130))
    assert [frame.image.shape for frame in tall.render()] == [(3, 140, 260)]
    assert tall.draw().width > tall.draw().height / 2


def test_a_cut_does_not_leave_the_rest_pale() -> None:
    frames = torch.zeros(41, 3, 8, 8, dtype=torch.uint8)
    flows = [Flow(torch.full((2, 8, 8), 2.0 if i != 20 else 500.0), (f, f)) for i, f in enumerate(frames[1:])]
    video = FlowVideo(Video(frames), flows)
    assert video.full_length == pytest.approx(2 * 2**0.5, rel=1e-3)
    assert video.to_dict()["max_length"] == pytest.approx(500 * 2**0.5, rel=1e-3)
    still = FlowVideo(Video(frames[:2]), [Flow(torch.zeros(2, 8, 8), (frames[0], frames[1]))])
    assert (next(still.render()).image[:, :, 8:] == 255).all()  # beside the frame, which is square


def test_statistics_over_time(result) -> None:
    facts = result.to_dict()
    assert facts["size"] == [HEIGHT, WIDTH]
    assert [pair["start"] for pair in facts["pairs"]] == [m.start for m in result.motions]
    assert facts["mean"] == pytest.approx([sum(m.mean[i] for m in result.motions) / 5 for i in (0, 1)])
    assert facts["max_length"] == max(pair["max_length"] for pair in facts["pairs"])
    whole, *parts = result.lines(2)
    assert whole.startswith(f"5 flows of {WIDTH}×{HEIGHT} pixels: moves {facts['mean_length']:.2f} px on average")
    assert [line.split("  ")[0] for line in parts] == ["0.0–0.2 s", "0.2–0.5 s"]
    early = sum(m.mean_length for m in result.motions[:2]) / 2
    assert f"moves {early:.2f} px" in parts[0]
    assert len(result.lines(1)) == 1
    with pytest.raises(InvalidArgument, match="k is 0"):
        result.lines(0)


def test_rendered_through_pyav_or_else_as_an_animation(result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    (path,) = result.save(tmp_path, "flow")
    assert path == tmp_path / "flow.mp4"
    expected = list(result.render())
    for there, frame in zip(VideoReader(path), expected, strict=True):
        assert there.time == pytest.approx(frame.time)
        assert (there.image.float() - frame.image).abs().mean() < 12
    assert VideoReader(path).end == pytest.approx(0.5)

    monkeypatch.setitem(sys.modules, "av", None)
    (path,) = result.save(tmp_path, "flow")
    assert path == tmp_path / "flow.gif"
    assert VideoReader(path).times == [0, 0.1, 0.2, 0.3, 0.4]
    for there, frame in zip(VideoReader(path), expected, strict=True):
        assert (there.image.float() - frame.image).abs().mean() < 12


def test_frames_smaller_than_the_model_takes(pipe, tmp_path: Path) -> None:
    small = make_video(tmp_path / "small.gif", make_frames([(2, 1)], height=60, width=75))
    assert pipe(small).size == (60, 75)
    unpadded = zoo.pipeline(pipe.model, pipe.weights, task="optical-flow", optimize=False, pad=False)
    with pytest.raises(InvalidArgument, match="at least 128×128 pixels"):
        unpadded(small)


def test_videos_that_cannot_be(pipe, tmp_path: Path, steady: Path) -> None:
    pytest.importorskip("av")
    frames = make_frames([(1, 0)] * 11)
    one = make_video(tmp_path / "one.mp4", frames[:1])
    whole = make_video(tmp_path / "whole.gif", frames)
    damaged = bytearray(whole.read_bytes())
    damaged[len(damaged) // 2 :] = b""
    cut = tmp_path / "cut.gif"
    cut.write_bytes(damaged)
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"no video" * 9)
    problems = {
        one: (InvalidArgument, "one frame; expected at least two"),
        cut: (UnreadableFile, "cannot be read as a video"),
        garbage: (UnreadableFile, "garbage.mp4"),
        tmp_path / "missing.mkv": (UnreadableFile, "does not exist"),
    }
    found = dict(pipe.stream([*problems, steady]))
    for path, (kind, message) in problems.items():
        assert isinstance(found[path], kind)
        assert message in str(found[path])
        with pytest.raises(kind, match=message):
            pipe(path)
    assert len(found[steady]) == 5  # the others continue
    for n in (0, 1):
        with pytest.raises(InvalidArgument, match=r"The video has (0 frames|one frame); expected at least two"):
            pipe(frames[:n])
    with pytest.raises(InvalidArgument, match=r"left over: .*\.gif\. A file that contains several"):
        pipe(make_video(tmp_path / "still.gif", frames[:1]))


def test_damage_that_is_met_on_the_way(pipe, steady: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = VideoReader.frames_at

    def broken(self: VideoReader, times: Iterable[float]) -> Iterator[Frame]:
        for i, frame in enumerate(original(self, times)):
            if i == 3:
                raise UnreadableFile(f"{self.path} is truncated")
            yield frame

    monkeypatch.setattr(VideoReader, "frames_at", broken)
    ((_, found),) = pipe.stream([steady], batch_size=1)
    assert isinstance(found, UnreadableFile)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 6}, "6 frames, of which 1 would be taken"),
        ({"stride": 0}, "stride is 0"),
        ({"frame_rate": -1}, "frame_rate is -1"),
        ({"frame_rate": 0.5}, "of which 1 would be taken"),
        ({"frame_rate": 5, "stride": 2}, "at most one of them"),
    ],
)
def test_wrong_options(pipe, steady: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        zoo.pipeline(pipe.model, pipe.weights, task="optical-flow", optimize=False, **options)(steady)


def test_command_line(steady: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", str(steady), "--model", "raft_small", "--weights", "SHAPES_V1", "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path), "--stride", "2"]) == 0
    name, whole, *rest = capsys.readouterr().out.splitlines()
    assert name == str(steady)
    assert "2 flows of 152×128 pixels: moves" in whole
    (written,) = (path for path in tmp_path.iterdir() if path.suffix in (".mp4", ".gif"))
    record = written.with_suffix(".json")
    assert [line.strip() for line in rest[-2:]] == [f"→ {written}", f"→ {record}"]
    assert len(json.loads(record.read_text())["pairs"]) == 2
    assert len(VideoReader(written).times) == 2

    assert main([*command, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["input"] == str(steady)
    assert len(answer["pairs"]) == 5
    assert answer["mean"] == pytest.approx([4, -2], abs=0.6)


def test_pipelines_of_pairs_are_optimised(pipe) -> None:
    plain = zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", optimize=False)
    assert plain.optimization is None
    assert pipe.optimization.ran
    assert pipe.optimization.channels_last
    assert not pipe.optimization.notes
    frames = make_frames([(5, 3)])
    torch.testing.assert_close(pipe((frames[0], frames[1])).flow, plain((frames[0], frames[1])).flow, rtol=0, atol=1e-2)


def test_batch_norm_of_pair_models_is_folded() -> None:
    torch.manual_seed(0)
    model = zoo.get_model("raft_large").train()
    pipe = zoo.pipeline(
        model, zoo.get_weight("Raft_Large_Weights.DEFAULT"), task="optical-flow", device="cpu", optimize=True
    )
    assert len(pipe.optimization.folded) == sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules()) == 15
    assert not pipe.optimization.kept
    assert model.training  # a copy was changed, not the model
