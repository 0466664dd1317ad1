"""What serves in place of torchvision's transforms that are not here: :mod:`zoo.transforms` is for inference."""

from __future__ import annotations

INSTEAD = {
    "ClampBoundingBoxes": "zoo.ops.clip_boxes_to_image",
    "ConvertBoundingBoxFormat": "zoo.ops.box_convert",
    "Grayscale": 'zoo.io.read_image(path, mode="GRAY")',
    "Identity": "torch.nn.Identity()",
    "Lambda": "the function itself, in zoo.transforms.Compose",
    "Pad": "zoo.transforms.functional.pad",
    "RGB": 'zoo.io.read_image(path, mode="RGB")',
    "SanitizeBoundingBoxes": "zoo.ops.remove_small_boxes",
    "ToDtype": "zoo.transforms.ConvertImageDtype",
    "ToImage": "zoo.transforms.PILToTensor",
}
THEIRS = """
    AugMix AutoAugment AutoAugmentPolicy ClampKeyPoints ColorJitter CutMix ElasticTransform FiveCrop GaussianBlur
    GaussianNoise JPEG LinearTransformation MixUp RandAugment RandomAdjustSharpness RandomAffine RandomApply
    RandomAutocontrast RandomChannelPermutation RandomChoice RandomCrop RandomEqualize RandomErasing RandomGrayscale
    RandomHorizontalFlip RandomInvert RandomIoUCrop RandomOrder RandomPerspective RandomPhotometricDistort
    RandomPosterize RandomResize RandomResizedCrop RandomRotation RandomShortestSize RandomSolarize RandomVerticalFlip
    RandomZoomOut SanitizeKeyPoints ScaleJitter SetClampingMode TenCrop ToPureTensor Transform TrivialAugmentWide
    UniformTemporalSubsample v2
""".split()


def where(name: str) -> str | None:
    """A sentence that says what serves for ``name``; None where torchvision has no such transform either."""
    if name in INSTEAD:
        return f"zoo.transforms is for inference and has no {name}; use {INSTEAD[name]}."
    if name in THEIRS:
        theirs = "torchvision.transforms.v2" + ("" if name == "v2" else f".{name}")
        return f"zoo.transforms is for inference and has no {name}; {theirs} works with zoo's models and transforms."
    return None
