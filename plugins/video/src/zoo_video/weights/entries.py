"""What the Kinetics-400 entries of all families have in common. Does not import torch."""

from __future__ import annotations

from typing import Any

from zoo import Preset, Weights

KINETICS_400 = "pkg://zoo_video/categories/kinetics_400.txt"

REFERENCES = "https://github.com/pytorch/vision/tree/main/references/video_classification"


def kinetics400(
    file: str,
    *,
    params: int,
    acc: tuple[float, float],
    gflops: float,
    mb: float,
    recipe: str,
    sampling: tuple[int, float, int],
    crop: int,
    resize: tuple[int, ...],
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    min_size: int = 1,
    min_frames: int | None = None,
    docs: str = "",
) -> Weights:
    """Weights for the 400 human actions of Kinetics-400, as one line of a table.

    Args:
        file: name of the file on download.pytorch.org.
        params: number of parameters.
        acc: (top-1, top-5) accuracy in percent on the validation set.
        gflops: billions of multiply-adds per clip.
        mb: size of the file in MB (2**20 bytes).
        recipe: link to how they were trained.
        sampling: sampling of the accuracy's measurement: frames per clip, frames per second, clips per video.
        crop: side of the centre crop in pixels, after frames were resized to ``resize``: (height, width), or the
            length of the shorter side.
        mean: mean of the three channels for the normalisation; by default the preset's, Kinetics'. ``std`` likewise.
        min_size: smallest height and width of the frames.
        min_frames: minimum number of frames of a clip, if published.
    """
    preset: dict[str, Any] = {"crop_size": (crop, crop), "resize_size": resize}
    preset |= {name: value for name, value in (("mean", mean), ("std", std)) if value}
    frames, rate, clips = sampling
    extra: dict[str, Any] = {"num_frames": frames, "frame_rate": rate, "clips_per_video": clips}
    return Weights(
        url=f"https://download.pytorch.org/models/{file}",
        transforms=Preset("zoo.transforms:VideoClassification", preset),
        config={"num_classes": 400},
        num_params=params,
        metrics={"Kinetics-400": {"acc@1": acc[0], "acc@5": acc[1]}},
        gflops=gflops,
        file_size=mb,
        categories=KINETICS_400,
        recipe=recipe,
        min_size=(min_size, min_size),
        docs=docs,
        extra=extra | ({"min_temporal_size": min_frames} if min_frames else {}),
    )
