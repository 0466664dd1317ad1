"""Training of optical flow: targets are true flows, the loss is that of RAFT's paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo import Weights
from zoo.contract import Trainable, check_count
from zoo.errors import InvalidArgument
from zoo.transforms import OpticalFlow
from zoo_optical_flow.raft import sequence_loss
from zoo_optical_flow.task import UPDATES, pad_frames

CROP = (368, 496)
Example = tuple[Tensor, Tensor, Tensor, Tensor]  # two frames, their flow, and where it is known


class Preparation:
    """Preprocess a pair as the weights define, and pad it to a size that the model takes; the flow of padding is
    unknown."""

    def __init__(self, transform: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.transform = transform

    def __call__(self, frames: Any, target: Mapping[str, Tensor]) -> Example:
        first, second = (pad_frames(frame) for frame in self.transform(*frames))
        flow, valid = target["flow"], target["valid"]
        rows, columns = (new - old for new, old in zip(first.shape[-2:], flow.shape[-2:], strict=True))
        around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return first, second, F.pad(flow, around), F.pad(valid, around)


class Training(Trainable):
    """The ``"train"`` component of optical flow, with the settings of RAFT's paper (`2003.12039
    <https://arxiv.org/abs/2003.12039>`_): AdamW at 4e-4, decay 1e-4, one cycle of the rate, 12 updates.

    Args:
        num_flow_updates: number of updates of a flow per training step.
        gamma: weight of an update in the loss, relative to the next one.
    """

    as_predicted = True
    defaults = MappingProxyType({"lr": 4e-4, "weight_decay": 1e-4, "schedule": "one-cycle", "warmup": 0.05})

    def __init__(self, num_flow_updates: int = UPDATES, gamma: float = 0.8) -> None:
        self.updates, self.gamma = check_count("num_flow_updates", num_flow_updates, 1), gamma

    def size(self, model: nn.Module, weights: Weights) -> tuple[int, int]:
        """The size of the crops in RAFT's first training stage."""
        return CROP

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        return Preparation(weights.transforms() if weights.transforms else OpticalFlow())

    def collate(self, examples: Sequence[Example]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Batch pairs of the same size.

        Raises:
            InvalidArgument: the sizes differ; a crop (``recipe="finetune"``) makes them equal.
        """
        sizes = sorted({tuple(example[0].shape[-2:]) for example in examples})
        if len(sizes) > 1:
            raise InvalidArgument(
                f"The frames of a batch have the sizes {', '.join(f'{h} × {w}' for h, w in sizes)}; expected one size. "
                'Crop them (recipe="finetune", --recipe finetune), or use a batch_size of 1.'
            )
        first, second, flow, valid = map(torch.stack, zip(*examples, strict=True))
        return (first, second), (flow, valid)

    def check(
        self, model: nn.Module, arguments: tuple[Any, ...], targets: tuple[Tensor, Tensor], categories: Sequence[str]
    ) -> None:
        """Check that some of the flow is known, and that it is finite there."""
        flow, valid = targets
        if not valid.any():
            raise InvalidArgument("No pixel of these pairs has a known flow.")
        if not flow.movedim(1, -1)[valid].isfinite().all():
            raise InvalidArgument("The flow of these pairs is NaN or infinite at pixels that are marked as known.")

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The paper's sequence loss: absolute errors of all updates, with larger weights for later ones."""
        return {"loss": sequence_loss(model(*arguments, num_flow_updates=self.updates), *targets, gamma=self.gamma)}

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"loss": sequence_loss(model(*arguments), *targets, gamma=self.gamma)}
