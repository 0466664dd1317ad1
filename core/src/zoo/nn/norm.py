"""Normalisation layers that torch does not have: frozen batch norm, layer norm over channels of images."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.nn.checks import refuse_script

M = TypeVar("M", bound=nn.Module)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and scale: [N, C, H, W] → [N, C, H, W].

    All four tensors are buffers: nothing is trained or updated, even in training mode. Files of ordinary batch norm can
    be loaded: their ``num_batches_tracked`` is dropped.
    """

    __prepare_scriptable__ = refuse_script

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        # Published detectors have an eps of 0, which torch.nn.functional.batch_norm refuses in some versions.
        statistics = (self.weight, self.bias, self.running_mean, self.running_var)
        return torch.batch_norm(x, *statistics, False, 0.0, self.eps, torch.backends.cudnn.enabled)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class _FrozenBatchNormAct2d(FrozenBatchNorm2d):
    """A frozen batch norm followed by the ``drop`` and ``act`` of the replaced layer."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(x)))
        return activated


def freeze_batch_norm(model: M) -> M | FrozenBatchNorm2d:
    """Replace every 2d batch norm by a :class:`FrozenBatchNorm2d` with the same values.

    Batch norm with activation, timm's ``BatchNormAct2d``, keeps its activation. Names of tensors are unchanged, except
    that ``num_batches_tracked`` is removed.

    Args:
        model: changed in place.

    Returns:
        ``model``, or its replacement if it is a batch norm itself.

    Raises:
        InvalidArgument: a subclass of batch norm is not supported.
    """
    for path, module in list(model.named_modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d | nn.SyncBatchNorm):
                setattr(module, name, _frozen(f"{path}.{name}".lstrip("."), child))
    return _frozen("the model", model) if isinstance(model, nn.BatchNorm2d | nn.SyncBatchNorm) else model


def _frozen(path: str, norm: nn.Module) -> FrozenBatchNorm2d:
    children = dict(norm.named_children())
    own = type(norm).forward in (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward)
    if not own and children.keys() != {"drop", "act"}:
        raise InvalidArgument(
            f"{path} is a {type(norm).__name__}, an unsupported kind of batch norm. "
            "Leave frozen_norm out, and freeze it with its own library."
        )
    frozen = (FrozenBatchNorm2d if own else _FrozenBatchNormAct2d)(norm.num_features, norm.eps)  # type: ignore[arg-type]
    for name in ("weight", "bias", "running_mean", "running_var"):
        given = getattr(norm, name)
        if given is not None and not given.is_meta:  # else it is loaded from a file
            setattr(frozen, name, given.detach().clone())
    for name, child in children.items():
        setattr(frozen, name, child)
    return frozen.train(norm.training)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of every pixel: [N, C, H, W] → [N, C, H, W], channels-last in memory."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
