"""The manifest of this package. Imported whenever models are listed, so nothing here imports torch."""

from __future__ import annotations

import zoo
from zoo_template_name.weights import ConvMixer_64_8_Weights


@zoo.hookimpl
def zoo_manifest() -> zoo.Manifest:
    return zoo.Manifest(
        api_version=1,
        models=[
            zoo.ModelSpec(
                "convmixer_64_8",
                "zoo_template_name.model:convmixer_64_8",
                task="image-classification",
                weights=ConvMixer_64_8_Weights,
                paper="Patches Are All You Need?, https://arxiv.org/abs/2201.09792",
            ),
        ],
        commands=[zoo.Command("vote", "zoo_template_name.commands:vote", "Print the label that most pictures have.")],
        provides={("image-classification", "vote"): "zoo_template_name.commands:most_frequent"},
    )
