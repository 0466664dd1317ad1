"""Add new names to docs/ledger.txt: ``make ledger``. Names are never removed.

The ledger lists every model and all weights that this repository has ever shipped. A test fails if one of them is no
longer available, so that renaming does not break programs: ``Manifest(renamed={"old": "new"})`` keeps an old name of a
model available.
"""

from __future__ import annotations

from pathlib import Path

import zoo

LEDGER = Path(__file__).parents[1] / "docs" / "ledger.txt"


def shipped() -> set[str]:
    """One line for each name that the packages of this repository provide now."""
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
    """Add new ``names`` to the file, keep it sorted, and return the added ones."""
    known = set(ledger.read_text().splitlines()) if ledger.exists() else set()
    ledger.write_text("".join(f"{line}\n" for line in sorted(known | names)))
    return sorted(names - known)


if __name__ == "__main__":
    new = enter(LEDGER, shipped())
    print("\n".join(new) or "The ledger is complete.")
