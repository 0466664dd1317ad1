"""Accuracy from folders of videos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument

EXAMPLE = Path(__file__).parents[2] / "examples/videos/moving_shapes.gif"  # a triangle goes right, then up
MODEL: dict[str, Any] = {"model": "mc3_tiny", "weights": "MOVING_SHAPES_V1", "device": "cpu", "optimize": False}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """The example in the folders of two of its classes, and a file that is not a video."""
    for label in ("triangle moving right", "triangle moving up"):
        (tmp_path / label.replace(" ", "_")).mkdir()
        shutil.copy(EXAMPLE, tmp_path / label.replace(" ", "_") / "clip.gif")
    (tmp_path / "triangle_moving_up" / "notes.txt").touch()
    return tmp_path


def test_the_class_is_the_folders_name(clips: Path) -> None:
    """Whatever the model predicts for the video, it is right in at most one of the folders."""
    predicted = zoo.pipeline("mc3_tiny", "MOVING_SHAPES_V1", "cpu")(EXAMPLE)
    right = {"triangle moving right", "triangle moving up"} & {predicted.label}
    best = {name for name, _ in predicted.top(5)} & {"triangle moving right", "triangle moving up"}
    result = zoo.evaluate(images=clips, **MODEL)
    assert result.measured == 2
    assert result.metrics == {"acc@1": 50 * len(right), "acc@5": 50 * len(best)}


def test_clips_are_an_option(clips: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["evaluate", "--model", "mc3_tiny", "--images", str(clips), "--output", str(tmp_path / "out")]
    assert main([*command, "--clips", "3"]) == 0
    assert "video-classification  2 inputs" in capsys.readouterr().out
    assert main([*command, "--clips", "2"]) == 1
    assert "other options ({'clips': 3}; here it would be {'clips': 2})" in capsys.readouterr().err


def test_clips_and_videos_have_figures_of_their_own(clips: Path) -> None:
    """Clips are also counted one by one; the note says that the published figure uses one clip per video."""
    result = zoo.evaluate(images=clips, clips=3, **MODEL)
    predicted = zoo.pipeline("mc3_tiny", "MOVING_SHAPES_V1", "cpu", clips=3, optimize=False)(EXAMPLE)
    labels = ("triangle moving right", "triangle moving up")
    right = [clip.label == label for label in labels for clip in predicted.clips]
    assert result.metrics["clip_acc@1"] == pytest.approx(100 * sum(right) / 6)
    assert result.metrics["acc@1"] == 50 * (predicted.label in labels)
    assert result.protocol["clips_per_video"] == 3
    assert result.published_protocols == {"Moving shapes": {"clips_per_video": 1, "num_frames": 16}}
    assert any("measured with clips_per_video 1; these with clips_per_video 3." in note for note in result.notes)
    assert "clip_acc@1" not in zoo.evaluate(images=clips, **MODEL).metrics


def test_a_broken_video_is_named(clips: Path) -> None:
    broken = clips / "triangle_moving_up" / "clip.gif"
    broken.write_bytes(broken.read_bytes()[:60])
    result = zoo.evaluate(images=clips, **MODEL)
    assert (result.measured, list(result.failures)) == (1, ["triangle_moving_up/clip.gif"])


def test_pictures_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "still.png").touch()
    with pytest.raises(InvalidArgument, match=r"no folders of \.mp4"):
        zoo.evaluate(images=tmp_path, **MODEL)
