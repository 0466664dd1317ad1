"""The machine of a measurement: :func:`describe_machine`."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("onnx", "onnxruntime", "openvino", "nncf", "torchao")  # packages whose versions affect measurements
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
)


def describe_machine(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The processor, its instructions for low precision, cores, memory, and the GPU.

    Returns:
        ``processor``, ``architecture``, ``cores``, ``memory_gb``, ``instructions``, ``system``, and with CUDA ``card``.
    """
    name, flags = platform.processor() or platform.machine(), set[str]()
    if (info := Path("/proc/cpuinfo")).is_file():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
                break
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names else 0
    found = {
        "processor": name,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**30) if pages else None,
        "instructions": [flag for flag in FLAGS if flag in flags],
        "system": platform.system(),
    }
    if torch.device(device).type == "cuda":
        found["card"] = torch.cuda.get_device_name(device)
    return found


def describe_software() -> dict[str, str]:
    """Versions of Python, torch, zoo and the installed engines."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("zoo-core", *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def today() -> str:
    """The date in UTC, as ``2026-11-27``."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def load_of_machine() -> float | None:
    """Load average of the last minute; None if not available."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
