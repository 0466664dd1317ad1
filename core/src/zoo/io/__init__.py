"""Reading and writing of pictures and videos. Names are imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.io.encoding import (
        decode_avif,
        decode_gif,
        decode_image,
        decode_jpeg,
        decode_png,
        decode_webp,
        encode_jpeg,
        encode_png,
        read_file,
        read_image,
        write_file,
        write_jpeg,
        write_png,
    )
    from zoo.io.folders import find_files, input_and_truth, natural_key
    from zoo.io.image import ImageReadMode, Picture, check_picture, load_image, open_image, opened, save_image
    from zoo.io.masks import decode_mask, encode_mask, run_lengths
    from zoo.io.video import VideoReader, read_video, save_video

_LAZY = {
    "ImageReadMode": "zoo.io.image",
    "Picture": "zoo.io.image",
    "VideoReader": "zoo.io.video",
    "check_picture": "zoo.io.image",
    "decode_mask": "zoo.io.masks",
    "encode_mask": "zoo.io.masks",
    "find_files": "zoo.io.folders",
    "input_and_truth": "zoo.io.folders",
    "load_image": "zoo.io.image",
    "natural_key": "zoo.io.folders",
    "open_image": "zoo.io.image",
    "opened": "zoo.io.image",
    "read_video": "zoo.io.video",
    "run_lengths": "zoo.io.masks",
    "save_image": "zoo.io.image",
    "save_video": "zoo.io.video",
    **dict.fromkeys(
        (
            "decode_avif",
            "decode_gif",
            "decode_image",
            "decode_jpeg",
            "decode_png",
            "decode_webp",
            "encode_jpeg",
            "encode_png",
            "read_file",
            "read_image",
            "write_file",
            "write_jpeg",
            "write_png",
        ),
        "zoo.io.encoding",
    ),
}

# Other names of torchvision.io, and what replaces them here.
_ELSEWHERE = {
    "decode_heic": "Pillow reads HEIC with pillow-heif: PIL.Image.open(file) after pillow_heif.register_heif_opener(), "
    "and zoo.transforms.functional.pil_to_tensor makes a tensor of it",
    "read_video_timestamps": "zoo.io.VideoReader returns frames with their times",
    "write_video": "use zoo.io.save_video",
}

__all__ = [
    "ImageReadMode",
    "Picture",
    "VideoReader",
    "check_picture",
    "decode_avif",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_mask",
    "decode_png",
    "decode_webp",
    "encode_jpeg",
    "encode_mask",
    "encode_png",
    "find_files",
    "input_and_truth",
    "load_image",
    "natural_key",
    "open_image",
    "opened",
    "read_file",
    "read_image",
    "read_video",
    "run_lengths",
    "save_image",
    "save_video",
    "write_file",
    "write_jpeg",
    "write_png",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if f"zoo.io.{name}" in _LAZY.values():
        return importlib.import_module(f"zoo.io.{name}")
    say_what_serves(name)
    raise AttributeError(f"module 'zoo.io' has no attribute {name!r}")


def say_what_serves(name: str) -> None:
    """Raise for a name of torchvision that zoo does not have; do nothing for other names."""
    if name in _ELSEWHERE:
        from zoo.errors import MissingPlugin

        raise MissingPlugin(f"zoo.io has no {name}; {_ELSEWHERE[name]}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
