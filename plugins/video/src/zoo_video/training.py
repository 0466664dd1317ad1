"""Training of video classifiers: that of image classifiers, on clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

import zoo_classification.training
from zoo import Weights
from zoo_video.task import Prepare, Video


class Preparation(zoo_classification.training.Preparation):
    """Preprocess a clip as the weights define; a complete video is sampled and preprocessed as in a pipeline."""

    def __init__(self, transform: Callable[[Any], Tensor], clips: Prepare) -> None:
        super().__init__(transform)
        self.clips = clips

    def __call__(self, clip: Any, target: Any) -> tuple[Tensor, int]:
        if isinstance(clip, Video):
            return self.clips(clip)[0], int(target["label"])
        return super().__call__(clip, target)


class Training(zoo_classification.training.Training):
    """The ``"train"`` component of video classification."""

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        return Preparation(super().prepare(model, weights).transform, Prepare(weights))

    def sampling(self, data: Any, weights: Weights) -> Mapping[str, Any]:
        """Number of frames of a clip and their rate: the reader's or, if it defines none, the weights'."""
        if not hasattr(data, "frames"):
            return {key: weights.extra[key] for key in ("num_frames", "frame_rate") if key in weights.extra}
        rate = data.frame_rate
        return {"num_frames": data.frames, **({} if rate is None else {"frame_rate": rate})}
