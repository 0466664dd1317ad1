"""Quantization of the user's own models: :func:`quantize`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zoo.errors import InvalidArgument
from zoo.loading import rebuilt_as
from zoo_quantized import eager, reference
from zoo_quantized.building import as_asked
from zoo_quantized.quantizable import Quantizable

Q = TypeVar("Q", bound=Quantizable)
SIDE_OF_NOISE = 299  # side of an image that every family accepts


def quantize(model: Q, calibration_batches: Iterable[Any], backend: str = "x86", *, progress: bool = True) -> Q:
    """An int8 copy of a float model, calibrated on pictures similar to its future inputs.

    Args:
        model: built with ``quantize=False`` by this package, trained or with weights; it is not modified.
        calibration_batches: prepared images, float [N, C, H, W]; if a batch is a tuple or list, as from a data loader,
            its first element is used. A few hundred images are enough; they are run through the float model.
        backend: engine that the model is made for: ``"x86"`` or ``"fbgemm"`` (servers), ``"qnnpack"`` (ARM),
            ``"onednn"``; or ``"reference"`` for one that needs neither ``torch.ao`` nor int8 kernels and runs on any
            device.
        progress: show a progress bar.

    Returns:
        The int8 model, in eval mode. Save it with ``zoo.save``; the builder also loads its saved ``state_dict``, with
        ``quantize=True`` or ``"reference"``.

    Raises:
        InvalidArgument: the model is of another kind, there are no batches, a batch is not images, or the backend is
            unknown.
        MissingEngine: this torch has no int8 kernels.

    >>> float_model = zoo.get_model("quantized_resnet18", weights="DEFAULT")
    >>> int8_model = zoo_quantized.quantize(float_model, (preprocess(p)[None] for p in pictures))
    >>> zoo.save(int8_model, "resnet18_int8.safetensors")
    """
    if not isinstance(model, Quantizable) or model.engine is not None:
        what = "is already quantized" if isinstance(model, Quantizable) else f"is a {type(model).__name__}"
        raise InvalidArgument(
            f"The model {what}; expected a quantizable float model, as from zoo.get_model('quantized_…', "
            "quantize=False). zoo.list_models(plugin='quantized') lists them."
        )
    if any(not isinstance(m, nn.Identity) and type(m).__module__.startswith("torch.ao") for m in model.modules()):
        raise InvalidArgument("fuse_model() was called on the model; pass a model that is not fused.")
    if backend != "reference":
        eager.engine_for(backend)
    batches = _images(calibration_batches, progress)
    twin = copy.deepcopy(model).cpu().eval()
    if backend == "reference":
        return rebuilt_as(reference.calibrated(twin, batches), quantize="reference")  # type: ignore[return-value]
    twin.backend = backend
    return rebuilt_as(eager.calibrated(twin, batches, backend), quantize="auto", backend=backend)  # type: ignore[return-value]


def quantize_model(model: nn.Module, backend: str) -> None:
    """Convert a float model to int8, in place, calibrated on noise: to measure its speed, or to load int8 weights.

    Args:
        model: a model of this package, or one with ``fuse_model(is_qat=False)`` and torch's ``QuantStub`` and
            ``DeQuantStub``.
        backend: engine that it is made for: ``"fbgemm"``, ``"x86"``, ``"onednn"`` or ``"qnnpack"``.

    Raises:
        InvalidArgument: the backend is unknown.
        MissingEngine: this torch has no int8 kernels.
    """
    if isinstance(model, Quantizable):
        as_asked(model, True, backend)
        return
    eager.made_int8(model.eval(), torch.rand(1, 3, SIDE_OF_NOISE, SIDE_OF_NOISE), backend)


def replace_relu(module: nn.Module) -> None:
    """Replace every ReLU and ReLU6 in ``module`` by a ReLU with ``inplace=False``; modifies the module."""
    for name, child in module.named_children():
        if type(child) in (nn.ReLU, nn.ReLU6):
            setattr(module, name, nn.ReLU(inplace=False).train(child.training))
        else:
            replace_relu(child)


def fuse_modules(model: nn.Module, modules_to_fuse: Any, is_qat: bool | None, **kwargs: Any) -> Any:
    """torch's ``fuse_modules``, or ``fuse_modules_qat`` with ``is_qat``; by default in train mode."""
    return eager.joined(model, modules_to_fuse, model.training if is_qat is None else is_qat, **kwargs)


def _images(batches: Iterable[Any], progress: bool) -> Iterator[Tensor]:
    if isinstance(batches, Tensor) or not isinstance(batches, Iterable):
        raise InvalidArgument(
            f"calibration_batches is a {type(batches).__name__}; expected batches of images, such as a data loader, or "
            "[images] for a single batch."
        )
    n = 0
    for n, batch in enumerate(tqdm(batches, desc="calibrating", unit="batch", disable=not progress), start=1):
        images = batch[0] if isinstance(batch, list | tuple) and batch else batch
        if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
            what = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise InvalidArgument(f"Batch {n} of calibration_batches is {what}; expected float images [N, C, H, W].")
        yield images.cpu()
    if n == 0:
        raise InvalidArgument(
            "calibration_batches is empty; expected at least one batch. A few hundred images are enough."
        )
