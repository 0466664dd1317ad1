"""What the published entries of all families have in common. Does not import torch."""

from __future__ import annotations

from zoo import Preset, Weights

RECIPES = "https://github.com/pytorch/vision/tree/main/references/segmentation"


def coco_with_voc_labels(
    file: str,
    *,
    params: int,
    miou: float,
    pixel_acc: float,
    gflops: float,
    mb: float,
    recipe: str,
    aux_loss: bool = True,
) -> Weights:
    """Weights for the 20 classes of Pascal VOC and background, as one line of a table.

    Args:
        file: name of the file on download.pytorch.org.
        params: number of parameters, including the auxiliary classifier's.
        miou: mean IoU over the 21 classes, in percent; ``pixel_acc`` is the pixel accuracy.
        gflops: billions of multiply-adds at the evaluation size.
        mb: size of the file in MB (2**20 bytes).
        recipe: heading on the page that describes the training.
        aux_loss: whether the file contains an auxiliary classifier.
    """
    return Weights(
        url=f"https://download.pytorch.org/models/{file}",
        transforms=Preset("zoo.transforms:SemanticSegmentation", {"resize_size": 520}),
        config={"num_classes": 21, **({"aux_loss": True} if aux_loss else {})},
        num_params=params,
        metrics={"COCO-val2017-VOC-labels": {"miou": miou, "pixel_acc": pixel_acc}},
        gflops=gflops,
        file_size=mb,
        categories="pkg://zoo_segmentation/categories/voc.txt",
        recipe=f"{RECIPES}#{recipe}",
        min_size=(1, 1),
        # The class maps were resized like the pictures; zoo enlarges the prediction to the picture's own size.
        extra={"protocols": {"COCO-val2017-VOC-labels": {"compared_at": "520 pixels"}}},
        docs="Trained on the pictures of COCO that show one of Pascal VOC's 20 categories, with those as labels.",
    )
