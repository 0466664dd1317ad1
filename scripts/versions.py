"""The common version of all packages: print, check and set it.

    python scripts/versions.py                 print it; exit status 1 if packages differ
    python scripts/versions.py --check 0.2.0   the same, and it must be this version
    python scripts/versions.py 0.2.0           set it everywhere

Plugins of this repository require exactly the core of the same release, so ``pyproject.toml`` of every package, their
dependencies on each other, ``zoo.__version__`` and towncrier's setting change together.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+|\.dev\d+)?"
SAID = re.compile(  # in a line: the package's version, or the required version of another package
    rf"""(?P<before>^(?:__version__|version)\ =\ "|"zoo-[a-z-]+(?:\[[a-z,-]+\])?==)(?P<version>{VERSION})(?=")""",
    re.MULTILINE | re.VERBOSE,
)


def files(root: Path) -> list[Path]:
    """All files that contain the version."""
    packages = [root / "core" / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]
    return [*packages, root / "core" / "src" / "zoo" / "__init__.py", root / "pyproject.toml"]


def said(root: Path) -> dict[str, list[str]]:
    """The places of each version: ``{"0.1.0": ["core/pyproject.toml:7", …]}``."""
    found: dict[str, list[str]] = {}
    for file in files(root):
        text = file.read_text(encoding="utf-8")
        matches = list(SAID.finditer(text))
        if not matches:
            found.setdefault("none", []).append(str(file.relative_to(root)))
        for match in matches:
            line = text.count("\n", 0, match.start()) + 1
            found.setdefault(match["version"], []).append(f"{file.relative_to(root)}:{line}")
    return found


def write(root: Path, version: str) -> None:
    """Say ``version`` everywhere."""
    for file in files(root):
        text = file.read_text(encoding="utf-8")
        file.write_text(SAID.sub(rf"\g<before>{version}", text), encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", help="for example 0.2.0 or 0.2.0rc1")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(arguments)
    if args.version and not re.fullmatch(VERSION, args.version):
        parser.error(f"{args.version!r} is not a version: give one like 0.2.0, 0.2.0rc1 or 0.2.0.dev1")
    if args.version and not args.check:
        write(root, args.version)
    found = said(root)
    if list(found) == [args.version or next(iter(found))] and "none" not in found:
        print(*found)
        return 0
    for version, places in found.items():
        print(f"{version}: {', '.join(places)}", file=sys.stderr)
    print(f"All must have {args.version or 'the same version'}: python scripts/versions.py VERSION", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
