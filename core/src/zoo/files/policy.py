"""Rules for downloading and loading files on a machine: ``ZOO_POLICY=file.toml``, or one variable per rule."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoo.errors import InvalidArgument, PolicyError, suggest
from zoo.files.names import enabled, file_name, scheme_of
from zoo.files.redaction import redacted


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The current rules. Each is a key of the file and a variable ``ZOO_<KEY>``, which takes precedence.

    Attributes:
        https_only: refuse ``http://``, also as a mirror or the hub's endpoint.
        allow_downgrade: follow redirects from https to http, which are refused otherwise.
        allowed_hosts: the only hosts to download from, including redirects; ``*.example.org`` is allowed. None: all.
        safetensors_only: refuse files that are not safetensors.
        allowed_licenses: licences of weights as in ``Weights.license``, wildcards allowed; the licence of a bare URL is
            ``"unknown"``. None: all.
        max_download: largest size of a file in bytes; ``"500 MB"`` in the file or variable. None: no limit.
    """

    https_only: bool = False
    allow_downgrade: bool = False
    allowed_hosts: tuple[str, ...] | None = None
    safetensors_only: bool = False
    allowed_licenses: tuple[str, ...] | None = None
    max_download: int | None = None

    def check_address(self, url: str) -> None:
        """Raise for a server that is not allowed."""
        if self.https_only and scheme_of(url) != "https":
            raise PolicyError(f"{redacted(url)} is refused: https_only is set.")
        host = urlsplit(url).hostname or ""
        if self.allowed_hosts is not None and not _matches(host, self.allowed_hosts):
            raise PolicyError(
                f"{redacted(url)} is refused: its host {host} is not one of allowed_hosts "
                f"({', '.join(self.allowed_hosts) or 'none'})."
            )

    def check_wanted(self, url: str, license: str) -> None:  # noqa: A002  the field's name
        """Raise before the download for a file that is known not to be allowed."""
        if self.safetensors_only and file_name(url).lower().endswith((".pth", ".pt", ".bin", ".ckpt", ".pkl")):
            raise PolicyError(f"{redacted(url)} is refused: it is not safetensors, and safetensors_only is set.")
        if self.allowed_licenses is not None and not _matches(license, self.allowed_licenses):
            raise PolicyError(
                f"{redacted(url)} is refused: its licence is {license!r}, and allowed_licenses are "
                f"{', '.join(self.allowed_licenses) or 'none'}."
            )

    def check_size(self, url: str, size: int | None) -> None:
        if self.max_download is not None and size is not None and size > self.max_download:
            raise PolicyError(f"{redacted(url)} is refused: it is larger than max_download, {self.max_download} bytes.")

    def check_content(self, url: str, path: Path) -> None:
        """Raise for a file of a format that is not allowed. The content decides, not the name."""
        if self.safetensors_only:
            with path.open("rb") as f:
                start = f.read(9)
            if start[8:] != b"{" or not 2 <= int.from_bytes(start[:8], "little") <= path.stat().st_size - 8:
                raise PolicyError(f"{redacted(url)} is refused: it is not safetensors, and safetensors_only is set.")


def policy() -> Policy:
    """The rules that ``ZOO_POLICY`` and the variables set.

    Raises:
        InvalidArgument: the file cannot be read or has unknown keys or invalid values. Nothing is downloaded then.
    """
    rules: dict[str, Any] = {}
    if path := os.environ.get("ZOO_POLICY"):
        import tomllib

        try:
            rules = tomllib.loads(Path(path).expanduser().read_text())
        except (OSError, ValueError) as e:
            raise InvalidArgument(f"ZOO_POLICY={path} cannot be read as TOML: {e}.") from e
    known = {field.name: field.default for field in fields(Policy)}
    for key in rules:
        if key not in known:
            raise InvalidArgument(f"ZOO_POLICY={path}: {key!r} is not one of {', '.join(known)}.{suggest(key, known)}")
    for key, default in known.items():
        if given := os.environ.get(variable := f"ZOO_{key.upper()}"):
            rules[key] = enabled(variable) if isinstance(default, bool) else given
    return Policy(**{key: _value(key, value) for key, value in rules.items()})


def _value(key: str, given: Any) -> Any:
    if key in ("allowed_hosts", "allowed_licenses"):
        listed = given.split(",") if isinstance(given, str) else given
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            return tuple(item.strip() for item in listed if item.strip())
        expected = "a list of names"
    elif key == "max_download":
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", str(given).strip(), re.IGNORECASE | re.ASCII)
        if match and not isinstance(given, bool):
            return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
        expected = 'a number of bytes, or "500 MB"'
    else:
        if isinstance(given, bool):
            return given
        expected = "true or false"
    raise InvalidArgument(f"{key} of the policy is {given!r}; expected {expected}.")


def _matches(given: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(given.lower(), pattern.lower()) for pattern in patterns)
