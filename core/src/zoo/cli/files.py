"""``zoo pull · lock · bundle · unbundle``: download files ahead of time, lock them, and move them to other machines.
torch is not imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from zoo import registry
from zoo.cli import output, views
from zoo.contract import WeightsEnum
from zoo.errors import ZooError
from zoo.files import bundle as bundles, hub, redacted
from zoo.files.lockfile import Lock, LockedFile, lock_url, read_lock
from zoo.files.names import scheme_of
from zoo.files.notes import full_hash
from zoo.registry.locking import changed_versions, versions_of

_NAMES = "Models (resnet50), weights (ResNet50_Weights.IMAGENET1K_V1), wildcards for either ('resnet*'), or URLs."
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_NAMES, show_default=False)]
Every = Annotated[bool, typer.Option("--all", help="Take all weights of each model, not only DEFAULT.")]


def pull(
    names: Names = None,
    every: Every = False,
    force: Annotated[bool, typer.Option("--force", help="Download files again that are in the cache.")] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Download exactly the files in zoo.lock (or ZOO_LOCK).")
    ] = False,
) -> int:
    """Download weights ahead of time.

    Prints the name, size and path of each file. A file that cannot be downloaded is reported, the others are still
    downloaded, and the exit status is 1.

    Examples:
        zoo pull resnet50
        zoo pull 'resnet*' --all
        zoo pull ResNet50_Weights.IMAGENET1K_V1 hf://org/name/model.safetensors
        zoo pull --locked
    """
    wanted, _, failed = _wanted(names or (), every, locked)
    width = max((len(file.names[0]) for file in wanted.values()), default=0)
    for url, file in wanted.items():
        label = file.names[0]
        try:
            path = _fetch(url, file, force)
        except ZooError as e:
            output.print_error(f"{label}: {e}" if label != redacted(url) else e)
            failed = True
        else:
            output.say(f"{label:<{width}}  {output.megabytes(path.stat().st_size):>9}  {path}")
    return int(failed)


def lock(
    names: Names = None,
    every: Every = False,
    to: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = Path("zoo.lock"),
) -> int:
    """Record the exact files of weights that a project uses.

    The lock file has the URL, size, full hash and licence of each file, and the versions of the plugins. Missing files
    are downloaded. `zoo pull --locked` downloads them elsewhere; with ZOO_LOCK=zoo.lock no other file is loaded.

    Examples:
        zoo lock resnet50 fasterrcnn_resnet50_fpn
        zoo lock resnet50 --output weights.lock
    """
    os.environ.pop("ZOO_LOCK", None)  # this file is replaced
    found, failed = _lock(names or (), every)
    if failed:
        return 1
    to.write_text(found.dump())
    output.say(
        f"{output.counted(len(found.files), 'file')}, {output.megabytes(sum(f.size for f in found.files))}, in {to}"
    )
    return 0


def bundle(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="The zip file to write.")],
    names: Names = None,
    every: Every = False,
) -> int:
    """Pack files of weights into one archive for a machine without a network.

    Packs the files that are named, or all that zoo.lock lists.

    Examples:
        zoo bundle weights.zip resnet50
        zoo bundle weights.zip
    """
    packed, failed = _lock(names, every) if names else (read_lock(_lock_path()), False)
    if failed:
        return 1
    bundles.pack(archive, packed, lambda file: _fetch(file.url, file))
    output.say(f"{output.counted(len(packed.files), 'file')}, {output.megabytes(archive.stat().st_size)}, in {archive}")
    return 0


def unbundle(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="An archive written by `zoo bundle`.")],
) -> int:
    """Copy the files of an archive into the cache.

    No network is needed. Each file is checked against its hash.

    Examples:
        zoo unbundle weights.zip
    """
    for file, path in bundles.unpack(archive):
        output.say(f"{', '.join(file.names) or file.url}  {output.megabytes(file.size):>9}  {path}")
    return 0


def _lock_path() -> str:
    return os.environ.get("ZOO_LOCK") or "zoo.lock"


def _fetch(url: str, file: LockedFile, force: bool = False) -> Path:
    return registry.fetch(url, force=force, sha256=file.sha256 or None, license=file.license)


def _wanted(names: Sequence[str], every: bool, locked: bool) -> tuple[dict[str, LockedFile], list[WeightsEnum], bool]:
    """Each file once, by its URL; the enum members; whether something was not found."""
    if locked == bool(names):
        raise typer.BadParameter("expected either names of files to download or --locked")
    wanted: dict[str, LockedFile] = {}
    members: list[WeightsEnum] = []
    failed = False
    if locked:
        found = read_lock(_lock_path())
        for problem in changed_versions(found.versions):
            output.print_error(problem)
            failed = True
        wanted = {file.url: replace(file, names=(", ".join(file.names) or file.url,)) for file in found.files}
    for name in names:
        try:
            named = [] if "://" in name else views.find_weights(name, every=every)
        except ZooError as e:
            output.print_error(e)
            failed = True
            continue
        members += named
        if not named:
            wanted.setdefault(name, LockedFile(url=name, size=0, sha256="", names=(redacted(name),)))
        for w, label in [(member.value, repr(member)) for member in named]:
            wanted.setdefault(
                w.url, LockedFile(url=w.url, size=0, sha256=w.sha256 or "", license=w.license, names=(label,))
            )
    return wanted, members, failed


def _lock(names: Sequence[str], every: bool) -> tuple[Lock, bool]:
    wanted, members, failed = _wanted(names, every, locked=False)
    files = []
    for url, file in wanted.items():
        try:
            path = _fetch(url, file)
        except ZooError as e:
            output.print_error(f"{file.names[0]}: {e}")
            failed = True
            continue
        commit = hub.commit_of(url, path) if scheme_of(url) == "hf" else ""
        size, digest = path.stat().st_size, full_hash(path)
        files.append(replace(file, url=lock_url(url), size=size, sha256=digest, commit=commit))
    return Lock(files=tuple(files), versions=versions_of(members)), failed
