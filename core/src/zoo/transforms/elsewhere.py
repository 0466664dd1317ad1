"""Replacements of torchvision's transforms that zoo does not have: :mod:`zoo.transforms` is for inference."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from zoo.errors import MissingPlugin

INSTEAD = {
    "ClampBoundingBoxes": "zoo.ops.clip_boxes_to_image",
    "ConvertBoundingBoxFormat": "zoo.ops.box_convert",
    "Grayscale": 'zoo.io.read_image(path, mode="GRAY")',
    "Identity": "torch.nn.Identity()",
    "Lambda": "the function itself, in zoo.transforms.Compose",
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
FUNCTIONS_INSTEAD = {
    "crop": "image[..., top : top + height, left : left + width]",
    "hflip": "image.flip(-1)",
    "horizontal_flip": "image.flip(-1)",
    "vflip": "image.flip(-2)",
    "vertical_flip": "image.flip(-2)",
    "clamp_bounding_boxes": "zoo.ops.clip_boxes_to_image",
    "convert_bounding_box_format": "zoo.ops.box_convert",
    "sanitize_bounding_boxes": "zoo.ops.remove_small_boxes",
    "to_dtype": "zoo.transforms.functional.convert_image_dtype",
    "to_image": "zoo.transforms.functional.pil_to_tensor",
    "get_image_num_channels": "zoo.transforms.functional.get_dimensions",
    "get_num_channels": "zoo.transforms.functional.get_dimensions",
    "get_size": "zoo.transforms.functional.get_dimensions",
}
FUNCTIONS_THEIRS = """
    adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation adjust_sharpness affine autocontrast
    clamp_keypoints elastic elastic_transform equalize erase five_crop gaussian_blur gaussian_noise grayscale_to_rgb
    invert jpeg permute_channels perspective posterize resized_crop rgb_to_grayscale rotate sanitize_keypoints solarize
    ten_crop to_grayscale uniform_temporal_subsample
""".split()
# Modules → the module of torchvision that works with zoo's models.
MODULES = {
    "zoo.transforms.v2": "torchvision.transforms.v2",
    "zoo.transforms.autoaugment": "torchvision.transforms.v2",
}


def where(name: str, module: str = "") -> str | None:
    """A sentence with the replacement of ``name``; None if torchvision has no such transform either."""
    instead, theirs = (FUNCTIONS_INSTEAD, FUNCTIONS_THEIRS) if module else (INSTEAD, THEIRS)
    here = f"zoo.transforms is for inference and has no {name}"
    if name in instead:
        return f"{here}; use {instead[name]}."
    if name in theirs:
        path = ".".join(filter(None, ("torchvision.transforms.v2", module, "" if name == "v2" else name)))
        return f"{here}; {path} works with zoo's models and transforms."
    return None


class Finder(MetaPathFinder):
    """For modules that only torchvision has: the import raises an error that names the replacement."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in MODULES:
            theirs = MODULES[name]
            raise MissingPlugin(f"zoo is for inference and has no {name[4:]}; {theirs} works with zoo's models.")
        return None
