"""``torch.hub.load(checkout, "resnet50", source="local", weights="DEFAULT")``: all models, installed or not."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

dependencies = ["torch", "numpy", "PIL", "pluggy", "importlib_metadata", "huggingface_hub", "safetensors", "filelock"]

_ROOT = Path(__file__).resolve().parent


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class _Package(importlib.metadata.Distribution):
    """A package of this checkout, presented as installed: plugins are found through their metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: {self.project['name']}\nVersion: {self.project['version']}\n"
        if filename == "entry_points.txt":
            groups = self.project.get("entry-points", {}).items()
            return "\n".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for group, e in groups)
        return None

    def needs(self) -> set[str]:
        """Names of the distributions it depends on."""
        return {_plain(re.split(r"[^\w.-]", given, maxsplit=1)[0]) for given in self.project.get("dependencies", [])}

    def locate_file(self, path: Any) -> Path:
        return self.folder / "src" / path


class _Checkout(importlib.metadata.DistributionFinder):
    def __init__(self, packages: list[_Package]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        wanted = context.name if context else None
        return [p for p in self.packages if wanted in (None, p.project["name"])]


def _offer_checkout() -> None:
    """Make the packages of this checkout available that are not installed, if their dependencies are."""
    installed = {_plain(d.name) for d in importlib.metadata.distributions() if d.name}
    folders = [_ROOT / "core", *sorted(p for p in (_ROOT / "plugins").iterdir() if (p / "pyproject.toml").is_file())]
    packages = [_Package(folder) for folder in folders]
    known = installed | {p.project["name"] for p in packages}
    missing = [p for p in packages if p.project["name"] not in installed and p.needs() <= known]
    sys.path += [str(p.folder / "src") for p in missing]
    if missing:
        sys.meta_path.append(_Checkout(missing))


_offer_checkout()

import zoo  # noqa: E402
from zoo import get_model_builder, get_model_weights, list_models  # noqa: E402, F401  entry points too


def get_weight(name: str = "", weights: str = "") -> zoo.WeightsEnum:
    """The weights with a name such as ``"ResNet50_Weights.IMAGENET1K_V2"``, given as either argument."""
    return zoo.get_weight(name or weights)


def __getattr__(name: str) -> Any:
    if name in list_models():
        return get_model_builder(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*list_models(), "dependencies", "get_model_builder", "get_model_weights", "get_weight", "list_models"]
