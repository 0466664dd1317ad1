"""Split examples into training and validation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence

import torch

from zoo.contract import Examples
from zoo.errors import InvalidArgument


def split_indices(
    data: Examples, val: float = 0.2, seed: int = 0, group: str | None = None
) -> tuple[list[int], list[int]]:
    """Indices for training and for validation; deterministic for the same arguments, names and targets.

    Stratified: a share ``val`` of each category is held out, as closely as groups allow. If each example has one label,
    each category with at least two groups has at least one on both sides. An example with several categories, as for a
    detector, counts as the rarest of them.

    Args:
        val: validation share, between 0 and 1.
        group: a regular expression; examples whose names have the same match (of its first group, or entire) stay on
            the same side, as required for frames of one clip. A name without a match is a group by itself.

    Raises:
        InvalidArgument: invalid share or expression; too few groups to split.
    """
    if isinstance(val, bool) or not isinstance(val, int | float) or not 0 < val < 1:
        raise InvalidArgument(f"val is {val!r}; expected a share between 0 and 1.")
    members: dict[str, list[int]] = {}
    for i, key in enumerate(_groups(data.names, group)):
        members.setdefault(key, []).append(i)
    if len(members) < 2:
        what = "example" if group is None else "group"
        raise InvalidArgument(f"There are {len(members)} {what}s; a split needs at least two.")
    strata = _strata(data)
    of: dict[Hashable, list[str]] = {}
    for key, indices in members.items():
        of.setdefault(Counter(strata[i] for i in indices).most_common(1)[0][0], []).append(key)
    generator = torch.Generator().manual_seed(seed)
    labelled, deficit = hasattr(data, "labels"), 0.0
    held: set[int] = set()
    singles: list[str] = []
    for stratum in sorted(of, key=str):
        keys = [of[stratum][i] for i in torch.randperm(len(of[stratum]), generator=generator).tolist()]
        if len(keys) == 1:
            singles += keys
            continue
        wanted, taken = val * sum(len(members[key]) for key in keys) + deficit, 0
        for n, key in enumerate(keys[:-1]):  # one remains for training
            if (n or not labelled) and taken + len(members[key]) / 2 > wanted:
                break
            held.update(members[key])
            taken += len(members[key])
        deficit = 0.0 if labelled else wanted - taken  # the rounding error is carried to the next category
    if not held:  # every category is one group, or the share is small
        singles = singles or list(members)
        for key in singles[: max(1, round(val * len(singles)))]:
            held.update(members[key])
    return [i for i in range(len(data)) if i not in held], sorted(held)


def _groups(names: Sequence[str], group: str | None) -> list[str]:
    if group is None:
        return list(names)
    try:
        pattern = re.compile(group)
    except re.error as e:
        raise InvalidArgument(f"group is {group!r}, which is not a regular expression: {e}.") from e
    found = [pattern.search(name) for name in names]
    if not any(found):
        raise InvalidArgument(f"group is {group!r}, which does not match any of the names, such as {names[0]!r}.")
    return [
        f"= {name}" if m is None else "~ " + (m.group(1) or "" if pattern.groups else m.group())
        for name, m in zip(names, found, strict=True)
    ]


def _strata(data: Examples) -> list[Hashable]:
    """The category of each example: its label, or the rarest of several; None without labels."""
    if not data.counts():
        return [None] * len(data)
    if hasattr(data, "labels"):
        return list(data.labels)
    rows = getattr(data, "labels_of", None)
    if rows is None:
        return [None] * len(data)
    every = [rows(i) for i in range(len(data))]
    often = Counter(label for labels in every for label in set(labels))
    return [min(set(labels), key=lambda label: (often[label], label), default=None) for labels in every]
