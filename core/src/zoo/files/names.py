"""The parts of a URL: its scheme, its file's name, the hash in the name. Also the path of the cache."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from zoo.errors import CacheWarning, DownloadError
from zoo.files.redaction import redacted

SILENCE = 'To silence this: warnings.filterwarnings("ignore", category=zoo.errors.CacheWarning).'


def cache_dir() -> Path:
    """The folder of downloaded files: torch's own, ``~/.cache/torch/hub/checkpoints`` unless configured otherwise.

    ``torch.hub.set_dir``, ``TORCH_HOME`` and ``XDG_CACHE_HOME`` move it, as they do for torch. ``TORCH_MODEL_ZOO``,
    which torch no longer supports, is used if it is set, with a CacheWarning.
    """
    if old := os.environ.get("TORCH_MODEL_ZOO"):
        advice = "torch itself ignores it: unset it, and set TORCH_HOME to move the cache"
        warnings.warn(f"The cache is TORCH_MODEL_ZOO={old}, but {advice}. {SILENCE}", CacheWarning, stacklevel=1)
        return Path(old).expanduser()
    if hub := getattr(sys.modules.get("torch.hub"), "get_dir", None):
        return Path(hub()) / "checkpoints"
    home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))  # noqa: PTH118
    return Path(home).expanduser() / "hub" / "checkpoints"


def enabled(variable: str) -> bool:
    """Whether an environment variable is set to a true value."""
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def offline() -> bool:
    """Whether ``ZOO_OFFLINE`` forbids network access."""
    return enabled("ZOO_OFFLINE")


def promised_hash(url: str) -> tuple[str, bool] | None:
    """The beginning of the SHA-256 in a file's name, and whether it is binding; None if there is none.

    ``resnet50-0676ba61.pth`` has one (eight hexadecimal digits or more between a hyphen and the extension). A date in
    that place (``best-20240131.pth``) and digits after an underscore (``resnet18_fbgemm_16fa66dd.pth``; letters *and*
    digits, so that a step number is not taken for a hash) are not binding: a mismatch gives a warning.
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


_PARAMETERS = re.compile(r";[^/]*")  # of a part of a path: /model.pth;session=…


def file_name(url: str) -> str:
    path = _PARAMETERS.sub("", urlsplit(url).path) if scheme_of(url) in ("http", "https") else url
    if scheme_of(url) == "hf":
        path = path.rpartition("@")[0] or path
    return path.replace("\\", "/").rpartition("/")[2]


_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE)  # Windows opens these in every folder


def check_names(names: list[str], url: str) -> list[str]:
    """``names``, the parts of a relative path from ``url``, if none leads outside.

    Raises:
        DownloadError: a part is empty, ``.``, ``..``, a drive, a device, unprintable or over 200 bytes long.
    """
    for name in names:
        what = (
            "is not a file name"
            if name.strip(". ") == "" or name[-1] in ". " or "\\" in name or re.match("[A-Za-z]:", name)
            else "is the name of a device"
            if _DEVICE.fullmatch(name)
            else "has characters that cannot be printed"
            if not name.isprintable()
            else "is longer than 200 bytes"
            if len(name.encode()) > 200
            else None
        )
        if what:
            raise DownloadError(
                f"{redacted(url)!r} names no file: {name[:40]!r} {what}. Expected a URL that ends in a file name."
            )
    return names


# Parameters that sign a request or identify the user: they change while the file stays the same.
_SIGNING = re.compile(
    r"x-(amz|goog|oss|cos|ms|bce)-.*|(.*[-_])?(signature|sig|sign|hmac|token|auth|authorization|api-?key|auth_?key|"
    r"password|secret)|(aws|google|oss)?access(key)?-?id|key-pair-id|policy|exp(ir(es|y|ation))?|hdn(ts|ea)|credential",
    re.IGNORECASE,
)
_BESIDE_IT = frozenset("sv ss srt sp st se spr sr sip si skoid sktid skt ske sks skv md5 hash keyname".split())


def identity(url: str) -> str:
    """``url`` in the form that is written to disk: without login, signature and fragment.

    Other query and path parameters distinguish files but may be secret: they are replaced by a digest.
    """
    if not scheme_of(url):
        return url
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += parse_qsl("".join(_PARAMETERS.findall(parts.path)), keep_blank_values=True, separator=";")
    signing = {name for name, _ in query if _SIGNING.fullmatch(name)}
    kept = [(n, v) for n, v in query if not (n in signing or (signing and n.lower() in _BESIDE_IT))]
    digest = f"zoo-digest={sha256(repr(kept).encode()).hexdigest()}" if kept else ""
    if [name for name, _ in query] == ["zoo-digest"]:
        digest = parts.query  # it is a digest already
    host = parts.netloc.rpartition("@")[2]
    host = host.lower() if parts.scheme in ("http", "https") else host
    return parts._replace(netloc=host, path=_PARAMETERS.sub("", parts.path), query=digest, fragment="").geturl()


def sha256(data: bytes = b"") -> Any:
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data)
