"""What a URL says: its scheme, its file's name, the hash that the name promises. And where the cache is."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoo.errors import CacheWarning

SILENCE = 'To silence this: warnings.filterwarnings("ignore", category=zoo.errors.CacheWarning).'


def cache_dir() -> Path:
    """The folder of downloaded files: torch's own, ``~/.cache/torch/hub/checkpoints`` unless configured otherwise.

    ``torch.hub.set_dir``, ``TORCH_HOME`` and ``XDG_CACHE_HOME`` move it, as they do for torch. ``TORCH_MODEL_ZOO``,
    which torch has given up, is used where it is set, with a CacheWarning.
    """
    if old := os.environ.get("TORCH_MODEL_ZOO"):
        advice = "torch itself ignores it: unset it, and set TORCH_HOME to move the cache"
        warnings.warn(f"The cache is TORCH_MODEL_ZOO={old}, but {advice}. {SILENCE}", CacheWarning, stacklevel=1)
        return Path(old).expanduser()
    if hub := getattr(sys.modules.get("torch.hub"), "get_dir", None):
        return Path(hub()) / "checkpoints"
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))  # noqa: PTH118
    return Path(home).expanduser() / "hub" / "checkpoints"


def offline() -> bool:
    """Whether ``ZOO_OFFLINE`` forbids to touch the network."""
    return os.environ.get("ZOO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def promised_hash(url: str) -> tuple[str, bool] | None:
    """The beginning of the SHA-256 that a file's name promises, and whether it is binding; None if there is none.

    ``resnet50-0676ba61.pth`` promises (eight hexadecimal digits or more between a hyphen and the extension). A date
    in that place (``best-20240131.pth``) and digits after an underscore (``resnet18_fbgemm_16fa66dd.pth``; letters
    *and* digits, so that a step number is not taken for one) are not binding: a mismatch there warns.
    """
    match = re.search(r"([-_])([0-9a-f]{8,64})(?:\.\w+)+$", file_name(url))
    if match is None:
        return None
    hyphen, digits = match[1] == "-", match[2]
    if not hyphen and (digits.isdigit() or digits.isalpha()):
        return None
    date = re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", digits)
    return digits, hyphen and date is None


def scheme_of(url: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://|(file):/", url)  # two letters at least: C:\ is a drive
    return (match[1] or match[2]).lower() if match else ""


def file_name(url: str) -> str:
    path = urlsplit(url).path if scheme_of(url) in ("http", "https") else url
    if scheme_of(url) == "hf":
        path = path.rpartition("@")[0] or path
    return path.replace("\\", "/").rpartition("/")[2]


def without_query(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]  # a signed URL's query is a secret: not for messages or the disk


def identity(url: str) -> str:
    """``url`` as it is written to disk: a query, which may hold a token, is replaced by its digest."""
    return url if without_query(url) == url else f"{without_query(url)}?{sha256(url.encode()).hexdigest()}"


def sha256(data: bytes = b"") -> Any:
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data)
