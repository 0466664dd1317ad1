"""What the published int8 entries of all families have in common. Does not import torch."""

from __future__ import annotations

import dataclasses

from zoo import Weights, WeightsEnum
from zoo_classification.weights.entries import REFERENCES

POST_TRAINING = f"{REFERENCES}#post-training-quantized-models"


def int8(
    file: str,
    unquantized: WeightsEnum,
    *,
    acc: tuple[float, float],
    mb: float,
    backend: str = "fbgemm",
    recipe: str = POST_TRAINING,
    docs: str = "Quantized after training, calibrated on training pictures.",
) -> Weights:
    """An int8 checkpoint of a model whose float weights are published too, as one line of a table.

    Preprocessing, categories and numbers of parameters and operations are those of ``unquantized``.

    Args:
        file: name of the file on download.pytorch.org.
        acc: (top-1, top-5) accuracy in percent on ImageNet-1K's validation set.
        mb: size of the file in MB (2**20 bytes).
        backend: the engine that the file was made for.
        recipe: link to how the file was made.
    """
    float_: Weights = unquantized.value
    # int8 files have no auxiliary heads.
    config = {k: v for k, v in float_.config.items() if (k, v) != ("aux_logits", True)}
    return dataclasses.replace(
        float_,
        url=f"https://download.pytorch.org/models/quantized/{file}",
        license="unknown",  # not stated for the int8 files
        config={**config, "quantize": "auto", "backend": backend},
        metrics={"ImageNet-1K": {"acc@1": acc[0], "acc@5": acc[1]}},
        ops_unit="GIPS",
        file_size=mb,
        recipe=recipe,
        docs=docs,
        extra={"backend": backend, "unquantized": unquantized},
    )
