"""A catalogue of any number of weights, without plugins that have them."""

from __future__ import annotations

from typing import Any

LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "unknown")
METRICS = [
    {"key": "acc@1", "title": "Acc@1", "higher_is_better": True, "data": "ImageNet-1K"},
    {"key": "acc@5", "title": "Acc@5", "higher_is_better": True, "data": "ImageNet-1K"},
]


def generated_facts(n: int) -> dict[str, Any]:
    """Facts as ``zoo_tools.catalogue.collect`` gives them, of one task and ``n`` weights of as many models."""
    models = [_model(i) for i in range(n)]
    task = {
        "name": "image-classification",
        "page": "tasks/image-classification.html",
        "plugins": ["made"],
        "metrics": METRICS,
        "options": [],
        "verbs": [],
        "suffixes": [".jpg"],
        "inputs_per_sample": 1,
        "models": n,
        "weights": n,
    }
    plugin = {
        "name": "made",
        "page": "plugins/made.html",
        "distribution": "zoo-made",
        "version": "1.0",
        "state": "ready",
        "first_party": False,
        "models": n,
        "weights": n,
        "tasks": [task["name"]],
        "brings_tasks": [],
        "commands": [],
        "engines": [],
        "formats": [],
        "notes": [],
    }
    return {
        "format": 1,
        "zoo_core": "0.1.0",
        "capabilities": {"onnx": "ONNX that onnxruntime runs with the same outputs"},
        "setups": [],
        "plugins": [plugin],
        "tasks": [task],
        "models": models,
    }


def _model(i: int) -> dict[str, Any]:
    name = f"net{i:05d}"
    weights = {
        "name": f"{name}.V1",
        "tag": "V1",
        "default": True,
        "url": f"https://example.org/{name}.safetensors",
        "num_params": 1_000_000 + 7919 * i % 90_000_000,
        "gflops": round(0.1 + i * 37 % 400 / 10, 1),
        "ops_unit": "GFLOPs",
        "file_size": 4.0 + i % 350,
        "metrics": {"ImageNet-1K": {"acc@1": round(55 + i * 13 % 3300 / 100, 3), "acc@5": round(80 + i % 190 / 10, 3)}},
        "license": LICENCES[i % 4],
        "license_source": None,
        "recipe": None,
        "docs": "",
        "min_size": None,
        "categories": None,
        "preprocessing": "scale to [0, 1]",
        "config": {},
        "runtime": None,
        "sha256": None,
    }
    return {
        "name": name,
        "full_name": f"made/{name}",
        "plugin": "made",
        "tasks": ["image-classification"],
        "family": f"family{i % 40}",
        "paper": None,
        "num_params": weights["num_params"],
        "builder": f"made.nets:{name}",
        "input": {},
        "enum": f"{name}_Weights",
        "weights": [weights],
        "capabilities": None,
        "speeds": [],
        "stages": None,
        "pictures": [],
        "page": f"models/made/{name}.html",
    }
