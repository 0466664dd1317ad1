"""Videos in: frames and their times, parts of files, other rates, files that are broken; each file is made here."""

from __future__ import annotations

import functools
import struct
import sys
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io.video import SEEK_BEYOND, VideoReader, clip_times, save_video

av = pytest.importorskip("av")
read_video = functools.partial(zoo.io.read_video, pts_unit="sec", output_format="TCHW")

WIDTH, HEIGHT, COUNT, RATE = 64, 48, 30, 10
STEP = 8  # of the grey value, from frame to frame
IRREGULAR = [i * 100 + (i % 3) * 30 for i in range(COUNT)]  # milliseconds


def picture(i: int) -> np.ndarray[Any, Any]:
    """Grey of 8 × i, and the left upper quarter red: this distinguishes frames and rotations."""
    pixels = np.full((HEIGHT, WIDTH, 3), i * STEP % 256, np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (255, 0, 0)
    return pixels


def make_video(
    path: Path, codec: str = "libx264", times: Sequence[int] | None = None, count: int = COUNT, **o: Any
) -> Path:
    with av.open(str(path), "w", **o) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 8_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_animation(path: Path, durations: Sequence[int] = (50,) * 5 + (100,) * 5) -> Path:
    pictures = [Image.fromarray(picture(i)) for i in range(len(durations))]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(durations), loop=0, **options)
    return path


def greys(frames: torch.Tensor) -> list[int]:
    """Which of the pictures each frame is, by the grey of its lower right corner."""
    return [round(value / STEP) for value in frames[:, 0, -8, -8].tolist()]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")]
)
def test_every_frame_comes_once_at_its_time(name: str, codec: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name, codec)
    frames, audio, metadata = read_video(path)
    assert (frames.shape, frames.dtype) == ((COUNT, 3, HEIGHT, WIDTH), torch.uint8)
    assert greys(frames) == list(range(COUNT))
    assert (frames[:, :, 5, 5].float() - torch.tensor([255.0, 0, 0])).abs().max() < 12
    assert audio.shape == (1, 0)
    assert metadata == {"video_fps": pytest.approx(RATE), "duration": pytest.approx(COUNT / RATE)}
    assert [time for _, time in VideoReader(path)] == pytest.approx([i / RATE for i in range(COUNT)])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_frames_at_irregular_times(name: str, tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / name, times=IRREGULAR))
    assert reader.times == pytest.approx([t / 1000 for t in IRREGULAR])
    assert [frame.time for frame in reader] == pytest.approx(reader.times)
    # At a steady rate, each moment shows the frame that began last.
    steady = list(VideoReader(reader.path, frame_rate=20))
    shown = [max(i for i, t in enumerate(IRREGULAR) if t <= 1000 * frame.time + 0.1) for frame in steady]
    assert [frame.time for frame in steady] == pytest.approx([i / 20 for i in range(len(steady))])
    assert greys(torch.stack([frame.image for frame in steady])) == shown


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_need_no_pyav(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = make_animation(tmp_path / f"a{suffix}")
    reader = VideoReader(path)
    assert reader.times == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.45, 0.55, 0.65]
    assert (reader.end, reader.fps) == (0.75, pytest.approx(10 / 0.75))
    frames, audio, _ = read_video(path)
    assert greys(frames) == list(range(10))
    assert torch.equal(frames[3], torch.from_numpy(picture(3)).permute(2, 0, 1))
    assert audio.numel() == 0


def test_other_files_say_that_they_need_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnreadableFile, match=r"a\.mp4.*pip install 'zoo-video\[av\]'"):
        VideoReader(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_part_of_a_video(name: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name) if name == "a.mp4" else make_animation(tmp_path / name, [100] * 30)
    assert greys(read_video(path, 0.5, 0.9)[0]) == [5, 6, 7, 8, 9]
    assert greys(read_video(path, start_pts=2.75)[0]) == [28, 29]
    assert greys(read_video(path, end_pts=0.05)[0]) == [0]
    assert read_video(path, 1.01, 1.09)[0].shape == (0, 3, HEIGHT, WIDTH)
    ticks = 1 / VideoReader(path)._source.time_base / RATE
    assert greys(read_video(path, int(5 * ticks), int(9 * ticks), pts_unit="pts")[0]) == [5, 6, 7, 8, 9]
    frames = zoo.io.read_video(filename=path, start_pts=int(10 * ticks), end_pts=int(12 * ticks))[0]
    assert torch.equal(frames, read_video(path, 1, 1.2)[0].permute(0, 2, 3, 1))


@pytest.mark.parametrize("rate", [3, 10, 24])
def test_frames_at_another_rate(rate: int, tmp_path: Path) -> None:
    frames = list(VideoReader(make_video(tmp_path / "a.mp4"), frame_rate=rate))
    assert [frame.time for frame in frames] == pytest.approx([i / rate for i in range(3 * rate)])
    assert greys(torch.stack([frame.image for frame in frames])) == [i * RATE // rate for i in range(3 * rate)]


def test_moments_before_and_after_the_video_show_its_ends(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", times=[1000 + 100 * i for i in range(COUNT)]))
    assert reader.times[0] == pytest.approx(1.0)
    frames = list(reader.frames_at([0.0, 1.0, 1.05, 2.55, 9.0]))
    assert greys(torch.stack([frame.image for frame in frames])) == [0, 0, 0, 15, 29]
    assert [frame.time for frame in frames] == [0.0, 1.0, 1.05, 2.55, 9.0]


def test_few_frames_are_held_and_long_gaps_are_jumped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", count=600)  # a minute
    decoded: list[float] = []
    alive = most = 0

    class Counted(np.ndarray):  # type: ignore[type-arg]
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    ascontiguous = np.ascontiguousarray

    def counting(pixels: Any) -> Any:
        nonlocal alive, most
        alive, most = alive + 1, max(most, alive + 1)
        decoded.append(0)
        return ascontiguous(pixels).view(Counted)

    monkeypatch.setattr(np, "ascontiguousarray", counting)
    frames = {time: round(image[0, -8, -8].item() / STEP) for image, time in VideoReader(path)}
    assert len(frames) == len(decoded) == 600
    assert most <= 3, "the one shown, the next, and the one being made"

    decoded.clear()
    times = [1.0, 1.0 + SEEK_BEYOND, 55.0]
    for time, frame in zip(times, VideoReader(path).frames_at(times), strict=True):
        assert round(frame.image[0, -8, -8].item() / STEP) == round(time * RATE) * STEP % 256 // STEP
    assert len(decoded) < 350, "key frames are at most 25 seconds apart"


# ── files that are not videos, or damaged ─────────────────────────────────────────────────────────────────────────


def noise_video(path: Path) -> bytes:
    """Six seconds that do not compress, with the index at the beginning."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(60):
            pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def audio_file(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    whole = noise_video(folder / "whole.mp4")
    half, middle = len(whole) // 2, len(whole) * 2 // 3
    content = {
        "empty": b"",
        "text": b"this is not a video " * 20,
        "header": whole[:300],
        "cut": whole[:half],
        "overwritten": whole[:middle] + bytes(3000) + whole[middle + 3000 :],
    }
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "audio":
        audio_file(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "without-index":
        path.write_bytes(make_video(folder / "late.mp4").read_bytes()[:-500])
    elif kind == "cut-mkv":
        whole = make_video(folder / "whole.mkv").read_bytes()
        path = path.with_suffix(".mkv")
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif kind.startswith("cut-"):
        path = path.with_suffix(f".{kind.removeprefix('cut-')}")
        whole = make_animation(folder / f"whole{path.suffix}").read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "does not exist"),
        ("folder", "is not a file"),
        ("empty", "it is empty"),
        ("text", "Invalid data"),
        ("header", "cannot be read as a video"),
        ("without-index", "cannot be read as a video"),
        ("cut", r"after \d+ frame\(s\): Invalid data"),
        ("overwritten", r"after \d+ frame\(s\): Invalid data"),
        ("cut-mkv", r"is truncated: its last frame is at \d\.\d\d s of 3\.00 s"),
        ("audio", "it contains audio and no video"),
        ("cut-gif", "cannot be read as a video"),
        ("cut-webp", "cannot be read as a video"),
        ("cut-png", "cannot be read as a video"),
    ],
)
def test_what_cannot_be_read_is_named(kind: str, reason: str, tmp_path: Path) -> None:
    path = broken(kind, tmp_path)
    with pytest.raises(UnreadableFile, match=reason) as caught:
        read_video(path)
    assert str(path) in str(caught.value)


def test_what_comes_before_the_damage_can_be_had(tmp_path: Path) -> None:
    frames = []
    with pytest.raises(UnreadableFile):
        frames += (greys(image[None])[0] for image, _ in VideoReader(broken("cut-mkv", tmp_path)))
    assert len(read_video(broken("cut-mkv", tmp_path), end_pts=0.5)[0]) == 6


@pytest.mark.parametrize(
    ("matrix", "turns"),  # of the file's header, as cameras write it; quarter turns counterclockwise
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
)
def test_turned_videos_are_shown_upright(matrix: tuple[int, ...], turns: int, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    turned = with_matrix(path, matrix)
    assert torch.equal(read_video(turned)[0], torch.rot90(read_video(path)[0], turns, (2, 3)))


@pytest.mark.parametrize(
    ("matrix", "mirrored"),
    [
        ((-1, 0, 0, 1), lambda v: v.flip(3)),
        ((1, 0, 0, -1), lambda v: v.flip(2)),
        ((0, 1, 1, 0), lambda v: v.transpose(2, 3)),
        ((0, -1, -1, 0), lambda v: v.transpose(2, 3).flip(2, 3)),
    ],
)
def test_mirrored_videos_are_shown_as_they_are_meant(matrix: tuple[int, ...], mirrored: Any, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    assert torch.equal(read_video(with_matrix(path, matrix))[0], mirrored(read_video(path)[0]))


def with_matrix(path: Path, matrix: tuple[int, ...]) -> Path:
    content, one = bytearray(path.read_bytes()), 1 << 16
    at = content.index(b"tkhd") + 44  # version 0: 40 bytes of other fields after the name
    a, b, c, d = (one * n for n in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = path.with_name("turned.mp4")
    turned.write_bytes(content)
    return turned


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "ffv1"), ("a.webm", "libvpx"), ("a.mp4", "mpeg4")])
def test_videos_may_begin_anywhere(name: str, codec: str, tmp_path: Path) -> None:
    """A part of a recording keeps the recording's times; Matroska then counts its length from zero."""
    path = make_video(tmp_path / name, codec, times=[7000 + 100 * i for i in range(COUNT)])
    frames, _, metadata = read_video(path)
    assert greys(frames) == list(range(COUNT))
    assert metadata["duration"] == pytest.approx(COUNT / RATE, abs=0.15)
    cut = path.with_name(f"cut-{name}")
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UnreadableFile):
        read_video(cut)


@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.m3u8", "list.mkv"])
@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile '{path}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_scripts_that_name_other_files_are_no_videos(name: str, script: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / "secret.ts", "mpeg4")
    (tmp_path / name).write_text(script.format(path=path))
    with pytest.raises(UnreadableFile, match=r"list.* cannot be read as a video: Invalid"):
        read_video(tmp_path / name)


def test_a_name_that_looks_like_a_protocol_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "a.mp4").rename(tmp_path / "concat:a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(VideoReader("concat:a.mp4").times) == COUNT


@pytest.mark.parametrize("layout", ["TCHW", "THWC"])
def test_frames_go_into_the_result_one_by_one(layout: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    read_video(path)  # imports what it needs
    tracemalloc.start()  # which counts numpy's memory, of the frames, and not torch's, of the result
    try:
        video = read_video(path, output_format=layout)[0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * video[0].numel() < video.numel()
    assert video.is_contiguous()
    assert video.untyped_storage().nbytes() == video.numel()


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    """A song's picture is a stream of one frame; only what moves counts."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        container.mux(cover.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    with pytest.raises(UnreadableFile, match="and no video"):
        read_video(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pts_unit": "frames"}, "pts_unit is 'frames'; expected 'sec' or 'pts'"),
        ({"output_format": "CTHW"}, "output_format is 'CTHW'; expected 'TCHW' or 'THWC'"),
        ({"start_pts": 2, "end_pts": 1}, "expected an end after the start"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = make_animation(tmp_path / "a.gif")
    with pytest.raises(InvalidArgument, match=message):
        zoo.io.read_video(path, **arguments)
    for rate in (0, -1, float("inf"), "fast"):
        with pytest.raises(InvalidArgument, match="frame_rate is"):
            zoo.io.VideoReader(path, frame_rate=rate)


# ── clips ────────────────────────────────────────────────────────────────────────────────────────────────────────

TIMES = [i / 10 for i in range(100)]  # ten seconds


def test_clips_by_stride_lie_from_the_beginning_to_the_end() -> None:
    made = clip_times(TIMES, 10.0, frames=4, clips=3, stride=2)
    assert [[round(10 * t) for t in clip] for clip in made] == [[0, 2, 4, 6], [46, 48, 50, 52], [93, 95, 97, 99]]
    (single,) = clip_times(TIMES, 10.0, frames=4, stride=1)
    assert single == pytest.approx([4.8, 4.9, 5.0, 5.1])


def test_clips_at_a_frame_rate() -> None:
    made = clip_times(TIMES, 10.0, frames=4, clips=2, frame_rate=15)
    assert made[0] == pytest.approx([0, 1 / 15, 2 / 15, 3 / 15])
    assert made[1][-1] == pytest.approx(9.9)


def test_clips_spread_evenly_cover_the_video() -> None:
    made = clip_times(TIMES, 10.0, frames=5, clips=2)
    assert made == [pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5]), pytest.approx([5.5, 6.5, 7.5, 8.5, 9.5])]


@pytest.mark.parametrize("sampling", [{"stride": 4}, {"frame_rate": 2}, {}])
def test_what_is_too_short_repeats_its_last_frame(sampling: dict[str, Any], tmp_path: Path) -> None:
    reader = VideoReader(make_animation(tmp_path / "a.gif", [100, 100, 100]))
    for clip in clip_times(reader.times, reader.end, frames=6, clips=2, **sampling):
        shown = greys(torch.stack([image for image, _ in reader.frames_at(clip)]))
        assert len(shown) == 6
        assert shown == sorted(shown)
        assert shown[-1] == 2 or not sampling


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"frames": 4, "clips": 0}, "clips is 0"),
        ({"frames": 4, "stride": 0}, "stride is 0"),
        ({"frames": 4, "stride": 1, "frame_rate": 5}, "stride=1 and frame_rate=5"),
    ],
)
def test_bad_sampling_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        clip_times(TIMES, 10.0, **arguments)


# ── videos out ───────────────────────────────────────────────────────────────────────────────────────────────────


def numbered(times: Sequence[float], height: int = HEIGHT, width: int = WIDTH) -> list[tuple[torch.Tensor, float]]:
    frames = [torch.from_numpy(picture(i)).permute(2, 0, 1)[:, :height, :width] for i in range(len(times))]
    return list(zip(frames, times, strict=True))


@pytest.mark.parametrize("name", ["a.mp4", "a.GIF"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"what was there before")
    times = [2.0, 2.1, 2.2, 2.35, 2.4, 2.7]  # the first is the beginning
    save_video(iter(numbered(times)), path, 3.0)
    reader = VideoReader(path)
    assert reader.times == pytest.approx([0.0, 0.1, 0.2, 0.35, 0.4, 0.7])
    assert reader.end == pytest.approx(1.0)
    frames = read_video(path)[0]
    assert frames.shape == (6, 3, HEIGHT, WIDTH)
    assert greys(frames) == list(range(6))
    assert (frames[:, :, 5, 5].float() - torch.tensor([255.0, 0, 0])).abs().max() < 12


def test_sides_and_lengths_that_formats_lack(tmp_path: Path) -> None:
    save_video(numbered([0.0], 47, 63), tmp_path / "odd.mp4", 0.5)
    frames = read_video(tmp_path / "odd.mp4")[0]
    assert frames.shape == (1, 3, 48, 64)
    assert VideoReader(tmp_path / "odd.mp4").end == pytest.approx(0.5)
    thirds = [i / 3 for i in range(30)]
    save_video(numbered(thirds, 47, 63), tmp_path / "odd.gif", 10.0)
    reader = VideoReader(tmp_path / "odd.gif")
    assert reader.times == pytest.approx(thirds, abs=0.006)  # rounding does not add up
    assert next(iter(reader)).image.shape == (3, 47, 63)


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    asked: list[int] = []

    def frames():
        for i, frame in enumerate(numbered([n / 10 for n in range(50)])):
            asked.append(i)
            yield frame
            if i == 30:
                raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        save_video(frames(), tmp_path / "a.mp4", 5.0)
    assert asked == list(range(31))


@pytest.mark.parametrize(
    ("frames", "name", "end", "message"),
    [
        (numbered([0.0]), "a.xyz", 1.0, r"use \.mp4 or \.gif"),
        ([], "a.gif", 1.0, "no frames"),
        (numbered([0.0, 0.0]), "a.gif", 1.0, "ascending times"),
        (numbered([0.0, 2.0]), "a.mp4", 1.0, "ascending times"),
        ([*numbered([0.0]), *numbered([1.0], 20)], "a.gif", 2.0, r"uint8 \[3, 20, 64\]; expected"),
        ([(torch.zeros(3, 8, 8), 0.0)], "a.mp4", 1.0, r"float32 \[3, 8, 8\]; expected"),
        ([(torch.zeros(1, 8, 8, dtype=torch.uint8), 0.0)], "a.gif", 1.0, r"uint8 \[1, 8, 8\]; expected"),
    ],
)
def test_what_cannot_be_written(frames: Any, name: str, end: float, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=message):
        save_video(frames, tmp_path / name, end)


def test_writing_needs_pyav_for_what_is_no_gif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'zoo-video\[av\]'.*\.gif does not need it"):
        save_video(numbered([0.0]), tmp_path / "a.mp4", 1.0)
    save_video(numbered([0.0, 1.0]), tmp_path / "a.gif", 2.0)
    assert len(VideoReader(tmp_path / "a.gif").times) == 2
