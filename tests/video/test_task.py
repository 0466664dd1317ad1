"""Videos through ``zoo.pipeline`` and the command line: clips are sampled, averaged, reported with their times and
drawn."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import VideoReader
from zoo_video.task import Prepare, VideoLabels, VideoTask

ROOT = Path(__file__).parents[2]
read_video = functools.partial(zoo.io.read_video, output_format="TCHW")
EXAMPLE = ROOT / "examples/videos/moving_shapes.gif"  # a triangle goes right for 32 frames, then up
WEIGHTS = zoo.get_weight("MC3_Tiny_Weights.MOVING_SHAPES_V1").value


class Brightness(nn.Module):
    """Logits are a clip's brightness and its negative; records its inputs."""

    def forward(self, clips: Tensor) -> Tensor:
        self.given = clips
        mean = clips.mean((1, 2, 3, 4))
        return torch.stack([mean, -mean], 1)


def brightness(**options: Any) -> zoo.Pipeline:
    weights = dataclasses.replace(WEIGHTS, categories=("bright", "dark"))
    return zoo.pipeline(
        Brightness(), weights, device="cpu", task="video-classification", optimize=False, **options
    )  # fmt: skip


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """Forty frames of 48×40 pixels, each brighter than the one before; ten a second."""
    path = tmp_path / "steps.gif"
    frames = [Image.new("L", (48, 40), 6 * i) for i in range(40)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def shown(pipe: zoo.Pipeline) -> list[list[int]]:
    """Which of the forty frames the model received, clip by clip."""
    preset = WEIGHTS.transforms()
    grey = pipe.model.given[:, 0, :, 16, 16] * preset.std[0] + preset.mean[0]
    return [[round(value * 255 / 6) for value in clip] for clip in grey.tolist()]


def test_one_clip_is_taken_from_the_middle(steps: Path) -> None:
    pipe = brightness()
    result = pipe(steps)
    assert shown(pipe) == [list(range(12, 28))]
    assert pipe.model.given.shape == (1, 3, 16, 32, 32)
    assert [(clip.start, clip.end) for clip in result.clips] == [(1.2, pytest.approx(2.7))]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"clips": 3, "frames": 4}, [[0, 1, 2, 3], [18, 19, 20, 21], [36, 37, 38, 39]]),
        ({"clips": 2, "frames": 3, "stride": 5}, [[0, 5, 10], [29, 34, 39]]),
        ({"clips": 2, "frames": 4, "spread": True}, [[2, 7, 12, 17], [22, 27, 32, 37]]),
        ({"frames": 50}, [[*range(40), *[39] * 10]]),
    ],
)
def test_clips_are_taken_as_asked(steps: Path, options: dict[str, Any], want: list[list[int]]) -> None:
    pipe = brightness(**options)
    pipe(steps)
    assert shown(pipe) == want


def test_the_frame_rate_of_the_weights_is_kept(steps: Path) -> None:
    weights = dataclasses.replace(WEIGHTS, extra={"num_frames": 4, "frame_rate": 5})
    video = VideoTask().load(steps)
    clips = Prepare(weights, clips=2)(video)
    preset = weights.transforms()
    want = preset(read_video(steps)[0][[0, 2, 4, 6, 33, 35, 37, 39]])
    torch.testing.assert_close(torch.cat(list(clips), 1), want)
    assert video.spans == [(0.0, 0.6), (pytest.approx(3.3), pytest.approx(3.9))]


def test_probabilities_are_averaged_over_the_clips(steps: Path) -> None:
    result = brightness(clips=4, frames=2)(steps)
    assert isinstance(result, VideoLabels)
    each = torch.stack([clip.probabilities for clip in result.clips])
    torch.testing.assert_close(result.probabilities, each.mean(0))
    assert [clip.label for clip in result.clips] == ["dark", "dark", "bright", "bright"]
    assert each[:, 0].diff().min() > 0
    assert len(result.lines(2)) == 2 + 4
    assert result.lines(2)[-1].split() == ["3.8–3.9", "s", f"{each[-1, 0]:.2%}", "bright"]
    told = result.to_dict(1)
    assert [clip["top"][0]["label"] for clip in told["clips"]] == ["dark", "dark", "bright", "bright"]
    assert told["clips"][0]["start"] == 0.0
    assert told["top"] == [{"label": result.label, "probability": pytest.approx(result.top(1)[0][1])}]


def test_several_videos_of_different_sizes_go_through_together(steps: Path) -> None:
    pipe = brightness(clips=2)
    both = pipe([steps, EXAMPLE])
    assert [len(result.clips) for result in both] == [2, 2]
    alone = pipe(EXAMPLE)
    torch.testing.assert_close(both[1].probabilities, alone.probabilities)
    (found,) = pipe(EXAMPLE.parent)
    torch.testing.assert_close(found.probabilities, alone.probabilities)


def test_frames_as_a_tensor_are_a_video(steps: Path) -> None:
    pipe = brightness(frames=4)
    frames = read_video(steps)[0]
    torch.testing.assert_close(pipe(frames).probabilities, pipe(steps).probabilities)
    batch = pipe(torch.stack([frames, frames.flip(0)]))
    assert len(batch) == 2
    for bad in (frames[0, 0], frames[:0]):
        with pytest.raises(InvalidArgument, match="expected a path or a tensor"):
            pipe(bad)


def test_frames_are_prepared_as_the_preset_prepares_a_clip() -> None:
    """One by one, so that only one is in memory at full size; the result is the same."""
    frames = read_video(EXAMPLE)[0][24:40]
    torch.testing.assert_close(Prepare(WEIGHTS)(VideoTask().load(EXAMPLE))[0], WEIGHTS.transforms()(frames))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 0}, "clips is 0"),
        ({"frames": 0}, "frames is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"spread": True, "stride": 2}, "spread=True and stride=2"),
        ({"clips": "many"}, "clips is 'many'"),
    ],
)
def test_options_that_cannot_be_are_told_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        brightness(**options)


def test_unreadable_videos_are_named_and_the_others_go_on(steps: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.gif"
    torn.write_bytes(steps.read_bytes()[:400])
    pipe = brightness()
    found = dict(pipe.stream([torn, EXAMPLE]))
    assert isinstance(found[torn], UnreadableFile)
    assert str(torn) in str(found[torn])
    assert isinstance(found[EXAMPLE], VideoLabels)


# ── the weights in the package ───────────────────────────────────────────────────────────────────────────────────


def test_model_in_the_package_tells_what_moves_where_and_when() -> None:
    result = zoo.pipeline("mc3_tiny", clips=4, device="cpu")(EXAMPLE)
    labels = [clip.label for clip in result.clips]
    assert labels == ["triangle moving right"] * 2 + ["triangle moving up"] * 2
    assert {label for label, _ in result.top(2)} == {"triangle moving right", "triangle moving up"}


def training() -> Any:
    spec = importlib.util.spec_from_file_location("train_video", ROOT / "examples/train_video.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_model_in_the_package_is_as_accurate_as_it_says_and_needs_motion() -> None:
    train_video = training()
    assert tuple(WEIGHTS.categories) == train_video.CLASSES
    model, preset = zoo.get_model("mc3_tiny", weights="DEFAULT").eval(), WEIGHTS.transforms()
    frames, labels = train_video.batch(256, torch.Generator().manual_seed(10**7))
    with torch.inference_mode():
        right = (model(preset(frames)).argmax(1) == labels).double().mean().item()
        still = (model(preset(frames[:, :1].expand_as(frames))).argmax(1) == labels).double().mean().item()
    assert right >= 0.95
    assert 100 * right == pytest.approx(WEIGHTS.metrics["Moving shapes"]["acc@1"], abs=4)
    assert still < 0.4, "a single frame shows the shape and not the direction: about a quarter at best"


def test_clips_play_the_same_backwards() -> None:
    """A class and its opposite have the same frames in another order: no frame tells them apart."""
    train_video = training()
    shape, step = torch.tensor([2]), torch.tensor([[[0.0, 0.03]]]).expand(1, 8, 2)
    forth = train_video.clips(shape, step, torch.Generator().manual_seed(0), noise=0.0)
    back = train_video.clips(shape, -step, torch.Generator().manual_seed(0), noise=0.0)
    # The last frame of `back` is the first frame of `again`, which then moves forward.
    again = train_video.clips(
        shape, torch.cat([step[:, :1] * -8, step[:, 1:]], 1), torch.Generator().manual_seed(0), noise=0.0
    )
    assert (forth.float() - back.float()).abs().max() > 50
    torch.testing.assert_close(again.flip(1), back, atol=1, rtol=0)


def test_predict_shows_it_offline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, "av", None)
    arguments = ["--model", "mc3_tiny", "--clips", "4", "--top", "2", "--output", str(tmp_path)]
    assert main(["predict", str(EXAMPLE), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(EXAMPLE)
    assert [line.split("%  ")[-1] for line in lines[3:7]] == ["triangle moving right"] * 2 + ["triangle moving up"] * 2
    assert [line.split(" s ")[0].strip() for line in lines[3:7]] == ["0.0–0.9", "1.0–1.9", "1.9–2.8", "2.9–3.8"]
    (picture,) = tmp_path.glob("*.png")
    assert lines[7].strip() == f"→ {picture}"
    with Image.open(picture) as sheet:
        assert sheet.width > 1000
        assert sheet.height > 400

    assert main(["predict", str(EXAMPLE), "--model", "mc3_tiny", "--clips=2", "--spread", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert len(told["clips"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clisp", "3"], "No such option: --clisp.*--clips, --frames, --spread, --stride.*Did you mean '--clips'"),
        (["--clips", "0"], "clips is 0"),
        (["--clips"], "--clips needs a value"),
    ],
)
def test_options_that_predict_does_not_know(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(EXAMPLE), "--model", "mc3_tiny", *arguments]) in (1, 2)
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))


def test_reader_and_pipeline_see_the_same_example() -> None:
    reader = VideoReader(EXAMPLE)
    assert len(reader.times) == 64
    assert reader.end == pytest.approx(3.84)
    assert next(iter(reader)).image.shape == (3, 96, 96)


def test_sheets_have_a_row_for_each_clip_and_no_empty_half(steps: Path) -> None:
    one, three = (brightness(clips=n)(steps) for n in (1, 3))
    single, sheet = one.draw(2), three.draw(2)
    assert sheet.height > 2.5 * single.height * 0.8
    pixels = torch.frombuffer(bytearray(sheet.convert("L").tobytes()), dtype=torch.uint8).view(
        sheet.height, sheet.width
    )
    for clip in pixels.tensor_split(3):
        for half in clip.tensor_split(2, dim=1):
            assert (half < 250).float().mean() > 0.02
    stills = [clip.image for clip in three.clips]
    assert all(still.width > 3 * still.height for still in stills), "four in a row"
