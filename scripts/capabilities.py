"""Copy the results of ``zoo matrix`` into the packages, whose wheels include them: measurements/capabilities → plugins.

zoo matrix --resume && python scripts/capabilities.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEPT = ("version", "torch", "device", "date", "inputs")  # keys of a model to copy; the machine is only in measurements/


def packed(measured: dict[str, Any]) -> str:
    """The part of a plugin's file that the wheel includes."""
    models = {}
    for name, entry in measured["models"].items():
        cells = {cell: {k: v for k, v in r.items() if k != "seconds"} for cell, r in entry["cells"].items()}
        models[name] = {**{key: entry[key] for key in KEPT}, "cells": cells}
    return json.dumps({"format": measured["format"], "plugin": measured["plugin"], "models": models}, indent=1) + "\n"


def places() -> list[tuple[Path, Path]]:
    """Each file, and its destination in the plugin of the same name."""
    found = sorted((ROOT / "measurements/capabilities").glob("*.json"))
    return [(file, ROOT / f"plugins/{file.stem}/src/zoo_{file.stem}/capabilities.json") for file in found]


def main() -> None:
    for file, target in places():
        target.write_text(packed(json.loads(file.read_text())))
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
