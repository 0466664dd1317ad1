"""Enter the names that have been added since in docs/ledger.txt: ``make ledger``. No name is ever taken out.

The ledger lists every model and every weights entry that this repository has ever shipped. A test fails when one of
them can no longer be had, so that nobody's program breaks over a rename: ``Manifest(renamed={"old": "new"})`` keeps an
old name of a model alive.
"""

from __future__ import annotations

from pathlib import Path

import zoo

LEDGER = Path(__file__).parents[1] / "docs" / "ledger.txt"


def shipped() -> set[str]:
    """A line for each name that the packages of this repository offer now."""
    lines = set()
    for record in zoo.plugins():
        if record.state == "failed" and record.first_party:
            raise SystemExit(record.explain())
        if record.manifest is None or not record.first_party:
            continue
        lines |= {f"model {record.name}/{old}" for old in record.manifest.renamed}
        for model in record.manifest.models:
            lines.add(f"model {record.name}/{model.name}")
            if model.weights is not None:
                lines |= {f"weights {model.weights.__name__}.{entry}" for entry in model.weights.__members__}
    return lines


def enter(ledger: Path, names: set[str]) -> list[str]:
    """Add to the file those of ``names`` that are not in it, keep it sorted, and return what was added."""
    known = set(ledger.read_text().splitlines()) if ledger.exists() else set()
    ledger.write_text("".join(f"{line}\n" for line in sorted(known | names)))
    return sorted(names - known)


if __name__ == "__main__":
    new = enter(LEDGER, shipped())
    print("\n".join(new) or "The ledger has every name already.")
