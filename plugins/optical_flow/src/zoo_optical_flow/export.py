"""Export of RAFT: two frames in, the last flow out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Exportable, Preset
from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.loading import Exported, loaded_weights
from zoo.running.exportable import AXES, PIXEL_AXES, PIXELS, SIDES, dtype_of
from zoo.transforms.graph import in_graph
from zoo_optical_flow.task import MULTIPLE, SMALLEST

SINTEL = (440, 1024)  # (height, width) of its frames, padded for RAFT
EXAMPLE = (136, 184)  # size of the example if the size is dynamic; small, to save time


class LastFlow(nn.Module):
    """Two frames [N, 3, H, W], values in [-1, 1] → ``flow`` [N, 2, H, W], after ``updates`` updates."""

    def __init__(self, model: nn.Module, updates: int) -> None:
        super().__init__()
        self.model = model
        self.updates = updates

    def forward(self, image1: Tensor, image2: Tensor) -> dict[str, Tensor]:
        return {"flow": self.model(image1, image2, num_flow_updates=self.updates)[-1]}


class WholeFlow(LastFlow):
    """Two frames, uint8 [N, H, W, 3] of any size → ``flow`` [N, 2, H, W] at their own size."""

    def __init__(self, model: nn.Module, updates: int, preset: nn.Module) -> None:
        super().__init__(model, updates)
        self.preset = preset

    def forward(self, image1: Tensor, image2: Tensor) -> dict[str, Tensor]:
        height, width = image1.shape[1], image1.shape[2]
        frames = [_padded(_padded(self.preset(image), -2), -1).to(dtype_of(self.model)) for image in (image1, image2)]
        flow = super().forward(*frames)["flow"].float()
        for axis, size in ((-2, height), (-1, width)):
            here = torch.arange(size, device=flow.device) + _lacking(size) // 2
            flow = flow.index_select(axis, here)
        return {"flow": flow}


def _lacking(size: Any) -> Any:
    """Number of pixels of padding that RAFT needs for a side."""
    return torch.sym_max((size + MULTIPLE - 1) // MULTIPLE * MULTIPLE, SMALLEST) - size  # type: ignore[no-untyped-call]


def _padded(x: Tensor, axis: int) -> Tensor:
    """Pad by repeating the edges, half on each side, as in :func:`zoo_optical_flow.pad_frames`."""
    size = x.shape[axis]
    lacking = _lacking(size)
    place = torch.arange(size + lacking, device=x.device) - lacking // 2
    return x.index_select(axis, torch.minimum(place.clamp(min=0), place.new_full((), size - 1)))


def export(
    model: nn.Module,
    image_size: tuple[int, int] | None,
    num_flow_updates: int = 12,
    *,
    dynamic: Sequence[str] = (),
    preprocessing: Preset | None = None,
) -> Exportable:
    """RAFT in the form that :func:`zoo.export` expects; see :class:`LastFlow`. The loop of updates is unrolled.

    With ``preprocessing`` the module is :class:`WholeFlow`.

    Args:
        model: a RAFT.
        image_size: (H, W), multiples of 8, at least 128; by default 440 × 1024 if weights were loaded.
        num_flow_updates: number of updates.
        dynamic: which of ``batch``, ``height`` and ``width`` are dynamic.
        preprocessing: preset to include in the graph.

    Raises:
        InvalidArgument: the image size is missing, or RAFT does not accept it.
    """
    free = preprocessing is not None or any(side in dynamic for side in SIDES)
    size = image_size or (EXAMPLE if free else SINTEL if loaded_weights(model) else None)
    if size is None:
        raise InvalidArgument(
            "RAFT takes frames of any size, but an exported file has a fixed size: pass image_size=(height, width), or "
            "make the size dynamic: dynamic=('height', 'width')."
        )
    updates = check_count("num_flow_updates", num_flow_updates, 1)
    several = 2 if "batch" in dynamic else 1
    names = ("image1", "image2")
    if preprocessing is not None:
        module: nn.Module = WholeFlow(model, updates, in_graph(preprocessing))
        frames = torch.randint(0, 256, (2, several, size[0] + 3, size[1] + 5, 3), dtype=torch.uint8)
        return Exportable(
            module, tuple(frames), names, axes=dict.fromkeys(names, PIXEL_AXES), layouts=dict.fromkeys(names, PIXELS)
        )
    frames = torch.rand(2, several, 3, *size)
    return Exportable(
        LastFlow(model, updates),
        tuple(frames),
        names,
        axes=dict.fromkeys(names, AXES),
        multiples=dict.fromkeys(SIDES, MULTIPLE),
        layouts=dict.fromkeys(names, "RGB, -1 to 1, [pair, channel, row, column]"),
    )


class Restored(Exported):
    """An exported RAFT with the interface of the model."""

    def __call__(self, first: Tensor, second: Tensor, updates: int | None = None) -> list[Tensor]:  # type: ignore[override]
        """The last flow, in a list, as the model returns it.

        Raises:
            InvalidArgument: the number of updates differs from the file's.
        """
        made = self.file.facts.get("options", {}).get("num_flow_updates", 12)
        if updates is not None and updates != made:
            raise InvalidArgument(f"num_flow_updates is {updates}, but {self.file.source} computes {made}.")
        return [self.restore(self.batched(first, second))]

    def restore(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The flow."""
        return outputs["flow"]
