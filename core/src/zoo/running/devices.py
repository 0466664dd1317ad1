"""Devices by name."""

from __future__ import annotations

import torch

from zoo.errors import InvalidArgument


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device to run on; ``"auto"`` is CUDA, else MPS, else the CPU.

    Raises:
        InvalidArgument: the device is not available.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as e:
        reason = str(e).splitlines()[0]
        raise InvalidArgument(f"device={str(device)!r} cannot be used here ({reason}). Try 'auto' or 'cpu'.") from e
    return chosen
