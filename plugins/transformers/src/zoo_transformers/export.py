"""Export of transformers' models: prepared pictures in, a dict of tensors out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract import Exportable
from zoo.errors import InvalidArgument
from zoo.loading import default_size, loaded_weights

# The outputs that results are made from; the others are intermediate features.
KEPT = (
    "logits pred_boxes pred_masks class_queries_logits masks_queries_logits predicted_depth image_embeds pooler_output "
    "last_hidden_state"
).split()


class Plain(nn.Module):
    """A model of transformers with a dict as output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        outputs = self.model(pixel_values)
        return {key: outputs[key] for key in KEPT if isinstance(outputs.get(key), Tensor)}


def export(model: nn.Module, image_size: tuple[int, int] | None) -> Exportable:
    """The module to capture, for one prepared picture.

    Raises:
        InvalidArgument: no size is given, and neither the model nor its preprocessing defines one.
    """
    weights = loaded_weights(model)
    if image_size is None and weights is not None and weights.transforms is not None:
        prepared = weights.transforms()(torch.zeros(3, 224, 224, dtype=torch.uint8))
        image_size = prepared.shape[-2], prepared.shape[-1]
    size = image_size or default_size(model, weights)
    if size is None:
        raise InvalidArgument("Give image_size=(height, width): neither the model nor its weights define a size.")
    return Exportable(Plain(model), (torch.rand(1, 3, *size),), ("pixel_values",))
