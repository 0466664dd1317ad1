"""Models and weights of a table, listed without torch: an enum is created on first access."""

import zoo
from zoo.contract import Catalogue


def describe(model: str, row: dict, tag: str, facts: dict) -> zoo.Weights:
    return zoo.Weights(
        url=f"hf://acme/{model}.{tag}/model.safetensors@main",
        transforms=zoo.Preset("zoo.transforms:ImageClassification", {"crop_size": facts["size"]}),
        config={"num_classes": 10},
        num_params=row["num_params"],
        license="MIT",
        unknown=("metrics",),
    )


CATALOGUE = Catalogue(__name__, "pkg://acme_catalogue/rows.json", describe)
__getattr__ = CATALOGUE.named


@zoo.hookimpl
def zoo_manifest() -> zoo.Manifest:
    return zoo.Manifest(api_version=1, models=CATALOGUE.models("acme_catalogue.models", task="image-classification"))
