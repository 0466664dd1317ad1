"""The installed plugins: one record per entry point, without imports."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract import check_name, short
from zoo.errors import ContractError
from zoo.registry.first_party import BY_DISTRIBUTION
from zoo.registry.records import LOCAL, PluginRecord

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

GROUP = "zoo.plugins"


def named_in(variable: str) -> set[str]:
    return {name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()}


def scan() -> Iterator[PluginRecord]:
    """One record per entry point of the group, our own first, then by name and distribution."""
    only, disabled = named_in("ZOO_PLUGINS"), named_in("ZOO_DISABLE_PLUGINS")
    records: dict[tuple[str, str, bool], PluginRecord] = {}
    places: dict[str, list[str]] = {}  # of our own distributions
    for broken, distribution in _distributions():
        with broken.guard("scan"):
            # Most are unrelated, and are not parsed.
            concerned = distribution is not None and GROUP in (distribution.read_text("entry_points.txt") or "")
            for point in distribution.entry_points.select(group=GROUP) if concerned else ():
                record = PluginRecord(point.name, "", *_name_and_version(distribution))
                ours = BY_DISTRIBUTION.get(record.distribution or "")
                if (only and point.name not in only) or point.name in disabled:
                    record.state = "disabled"
                else:
                    with record.guard("scan"):
                        record.target = _module_of(point)
                        if ours and not record.first_party:
                            raise ContractError(
                                f"{_place(distribution)} claims to be {ours.distribution}, whose plugin "
                                f"{ours.plugin!r} is in {ours.package}, but names {short(point.value)}. If you do "
                                "not know it, remove it"
                            )
                # Of a distribution that is on the path twice (in a source tree and installed), the first is used.
                records.setdefault((point.name, record.distribution or "", record.state == "failed"), record)
                if ours and (place := _place(distribution)) not in places.setdefault(ours.distribution, []):
                    places[ours.distribution].append(place)
        if broken.state == "failed" and not (only or broken.name in disabled):
            records.setdefault((broken.name, "", True), broken)
    for record in records.values():
        if record.first_party and record.state == "ready" and len(places[record.distribution or ""]) > 1:
            twice = " and ".join(places[record.distribution or ""])
            record.complaint = f"{record.distribution} is on the path more than once, at {twice}; uninstall one"
    yield from sorted(records.values(), key=lambda r: (not r.first_party, r.name, r.distribution or ""))


def _distributions() -> Iterator[tuple[PluginRecord, Any]]:
    """The installed distributions, each with a record for its problems, and a record for each finder that fails."""
    from importlib_metadata import DistributionFinder

    context = DistributionFinder.Context()  # type: ignore[no-untyped-call]
    for finder in sys.meta_path:
        broken = PluginRecord(name=type(finder).__name__)
        found: list[Any] = []
        with broken.guard("scan"):
            found.extend(getattr(finder, "find_distributions", lambda context: ())(context))
        for distribution in found:
            yield PluginRecord(name=_path_name(distribution)), distribution
        if broken.state == "failed":
            yield broken, None


def _module_of(point: EntryPoint) -> str:
    if check_name("plugin", point.name) == LOCAL:
        raise ContractError(f"the name {LOCAL!r} is reserved for the models of a session; choose another")
    if not re.fullmatch(r"[\w.]+", point.value):
        raise ContractError(f"the entry point {point.name!r} names {short(point.value)}; expected the name of a module")
    return point.value


def _name_and_version(distribution: Any) -> tuple[str, str]:
    """From its metadata, without the slow parser of the email module."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    found = dict(re.findall(r"^(Name|Version): *(.+?) *$", text.partition("\n\n")[0], re.MULTILINE))
    if len(found) < 2:
        raise ContractError("its metadata have no name and version; it is partially installed")
    return found["Name"], found["Version"]


def _place(distribution: object) -> str:
    return os.path.realpath(str(getattr(distribution, "_path", "")))


def _path_name(distribution: object) -> str:
    """A name for a distribution whose metadata may be unreadable: that of its folder."""
    path = getattr(distribution, "_path", None)
    return Path(str(path)).name if path is not None else repr(distribution)
