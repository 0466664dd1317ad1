"""The description in an exported file: JSON of version 1; docs/exporting.md explains each field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.contract import Exportable, Preset, TaskSpec, Weights
from zoo.files import redacted
from zoo.loading import built_by
from zoo.registry import EXPORT_VERSION, facts_of, in_words


@dataclass(frozen=True)
class Described:
    """The facts about a model that is exported.

    Attributes:
        name: name of the model.
        task: its task.
        weights: the loaded weights.
        categories: in label order.
        preset: the preprocessing that the file's input needs, or that is part of the file.
        inside: what the file contains in addition to the model.
        half: whether it computes in float16.
        options: the given options of the task.
    """

    name: str
    task: TaskSpec
    weights: Weights | None
    categories: Sequence[str]
    preset: Preset | None
    inside: Sequence[str]
    half: bool
    options: Mapping[str, Any]

    def facts(
        self, model: nn.Module, ready: Exportable, outputs: Mapping[str, Tensor], free: Mapping[str, Any], **more: Any
    ) -> dict[str, Any]:
        """The complete description as JSON values."""
        plugin, distribution = _plugin_of(model)
        known = self.weights or Weights(url="")
        known = replace(known, num_params=sum(p.numel() for p in model.parameters()) or known.num_params)
        return {
            "version": EXPORT_VERSION,
            "model": self.name,
            "plugin": plugin,
            "task": self.task.name,
            "weights": redacted(known.url) or None,
            "categories": list(self.categories),
            "preprocessing": self.preset and {"target": self.preset.target, "arguments": dict(self.preset.arguments)},
            "preprocessing_steps": in_words(self.preset) if self.preset else None,
            "inside": list(self.inside),
            "inputs": [
                {**port(name, t, free.get(name, {})), "holds": ready.layouts.get(name, "")}
                for name, t in zip(ready.inputs, ready.arguments, strict=True)
            ],
            "outputs": [port(name, t, free.get(f"out:{name}", {})) for name, t in outputs.items()],
            "multiples": dict(ready.multiples),
            "half": self.half,
            "options": dict(self.options),
            "about": json.loads(json.dumps(facts_of(known), default=str)),
            "versions": {"zoo-core": zoo.__version__, "torch": str(torch.__version__), **distribution},
            "zoo": zoo.__version__,
            **more,
        }


def port(name: str, t: Tensor, axes: Mapping[int, str]) -> dict[str, Any]:
    """An input or output: its name, type and shape, in which free axes are given by name."""
    shape = [axes.get(i, size) for i, size in enumerate(t.shape)]
    return {"name": name, "dtype": str(t.dtype).removeprefix("torch."), "shape": shape}


def _plugin_of(model: nn.Module) -> tuple[str | None, dict[str, str]]:
    """The plugin of a model's builder, and its distribution with version."""
    builder = built_by(model)
    entries = registry.registry().entries.values()
    found = next((e for e in entries if e.spec.builder == builder), None) if builder else None
    if found is None:
        return None, {}
    name = found.plugin.distribution
    try:
        return found.plugin.name, {name: version(name)} if name else {}
    except PackageNotFoundError:
        return found.plugin.name, {}
