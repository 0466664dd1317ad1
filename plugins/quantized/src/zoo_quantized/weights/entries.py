"""What the published int8 entries of all families have in common. No torch here."""

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
    """An int8 checkpoint of a model whose float weights are published too, as a line of a table.

    What is said of ``unquantized`` (preprocessing, categories, numbers of parameters and operations) holds for it.

    Args:
        file: name of the file on download.pytorch.org.
        acc: accuracy in percent on ImageNet-1K's validation set: among the first guess, among the first five.
        mb: size of the file in MB (2**20 bytes).
        backend: the engine that it was made for.
        recipe: link to how it was made.
    """
    float_: Weights = unquantized.value
    config = {k: v for k, v in float_.config.items() if (k, v) != ("aux_logits", True)}  # no int8 file needs them
    return dataclasses.replace(
        float_,
        url=f"https://download.pytorch.org/models/quantized/{file}",
        license="unknown",  # nobody has said it of the int8 files
        config={**config, "quantize": "auto", "backend": backend},
        metrics={"ImageNet-1K": {"acc@1": acc[0], "acc@5": acc[1]}},
        ops_unit="GIPS",
        file_size=mb,
        recipe=recipe,
        docs=docs,
        extra={"backend": backend, "unquantized": unquantized},
    )
