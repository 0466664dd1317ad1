"""A registry of vision models that grows by installing packages.

Find a model; nothing is built, and torch is not imported:

    >>> import zoo
    >>> zoo.list_models(task="object-detection")
    >>> zoo.list_models("resnet*", min_metrics={"acc@1": 80}, can="onnx")
    >>> zoo.model_info("resnet50").weights["DEFAULT"].metrics

Files in, results out:

    >>> predict = zoo.pipeline("resnet50")
    >>> predict("dog.jpg").top(5)
    >>> predict("pictures/")                             # a list of results
    >>> predict(cv2.imread("dog.jpg"), bgr=True)         # OpenCV's array
    >>> detect = zoo.pipeline("fcos_resnet50_fpn", min_score=0.3)
    >>> detect("street.jpg").draw()

The model itself, as torchvision's:

    >>> model = zoo.get_model("resnet50", weights="DEFAULT").eval()
    >>> prepare = zoo.get_weight("ResNet50_Weights.DEFAULT").transforms()
    >>> zoo.get_model("resnet50", weights="DEFAULT", num_classes=6)
    >>> zoo.backbone("resnet50", weights="DEFAULT")      # features
    >>> zoo.save(model, "mine.safetensors"); zoo.load("mine.safetensors")

With zoo-tools and zoo-training: zoo.evaluate, zoo.export, zoo.quantize,
zoo.benchmark, zoo.train. In a shell: ``zoo --help``, ``zoo doctor``.
More: help(zoo.pipeline), help(zoo.get_model), and the README.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

# Every public name and the module it comes from, imported when it is first used: importing zoo costs nothing.
# __init__.pyi says the same to type checkers and editors.
_LAZY = {
    "API_VERSION": "zoo.contract",
    "Capture": "zoo.contract",
    "Command": "zoo.contract",
    "Default": "zoo.contract",
    "Engine": "zoo.contract",
    "Evaluator": "zoo.contract",
    "Examples": "zoo.contract",
    "Exportable": "zoo.contract",
    "Format": "zoo.contract",
    "Manifest": "zoo.contract",
    "Metric": "zoo.contract",
    "ModelSpec": "zoo.contract",
    "Option": "zoo.contract",
    "Preset": "zoo.contract",
    "Repository": "zoo.contract",
    "Result": "zoo.contract",
    "Stage": "zoo.contract",
    "Task": "zoo.contract",
    "TaskSpec": "zoo.contract",
    "Weights": "zoo.contract",
    "WeightsEnum": "zoo.contract",
    "hookimpl": "zoo.contract",
    "PluginWarning": "zoo.errors",
    "ZooError": "zoo.errors",
    "ZooWarning": "zoo.errors",
    "PluginRecord": "zoo.registry",
    "ModelInfo": "zoo.registry",
    "get_model": "zoo.registry",
    "get_model_builder": "zoo.registry",
    "get_model_weights": "zoo.registry",
    "get_task": "zoo.registry",
    "get_weight": "zoo.registry",
    "list_models": "zoo.registry",
    "model_info": "zoo.registry",
    "plugins": "zoo.registry",
    "refresh": "zoo.registry",
    "register_model": "zoo.registry",
    "LoadReport": "zoo.loading",
    "builder": "zoo.loading",
    "load": "zoo.loading",
    "load_report": "zoo.loading",
    "reset_head": "zoo.loading",
    "save": "zoo.loading",
    "BatchPredictor": "zoo.running.batches",
    "Pipeline": "zoo.running.pipelines",
    "pipeline": "zoo.running.pipelines",
    "PictureTask": "zoo.running.tasks",
    "OptimizationReport": "zoo.running.optimization",
    "optimize": "zoo.running.optimization",
    "backbone": "zoo.features",
    "feature_extractor": "zoo.features",
    "feature_info": "zoo.features",
}
_MODULES = set(
    """cli compat contract draw errors features files io loading models nn ops registry running testing transforms
    utils""".split()
)
__all__ = sorted({*_LAZY, *_MODULES})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"zoo.{name}")
    else:
        value = _from_a_plugin(name)
    globals()[name] = value
    return value


def _from_a_plugin(name: str) -> Any:
    """``zoo.evaluate`` and similar functions are in separate packages."""
    from zoo.errors import MissingPlugin
    from zoo.registry.first_party import verb

    known = None if name.startswith("_") else verb(name)
    if name in _ELSEWHERE:
        raise MissingPlugin(f"zoo has no {name}: {_ELSEWHERE[name]}.")
    if known is None:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    module, ours = known
    try:
        found = importlib.import_module(module)
        return found if module == f"{ours.package}.{name}" else getattr(found, name)
    except ModuleNotFoundError as e:
        if e.name != ours.package:
            raise
        raise MissingPlugin(
            f"zoo.{name} comes with {ours.distribution}, which is not installed: pip install {ours.distribution}"
        ) from None


# Other names at the top level of torchvision, and what replaces them here.
_ELSEWHERE = {
    "tv_tensors": "its models and operators take plain tensors, including those of torchvision.tv_tensors",
    "disable_beta_transforms_warning": "zoo gives no such warning; remove the call",
    **dict.fromkeys(("get_image_backend", "set_image_backend"), "zoo.io reads pictures with Pillow; remove the call"),
    **dict.fromkeys(
        ("get_video_backend", "set_video_backend"), "zoo.io.VideoReader reads videos with PyAV; remove the call"
    ),
}


# Modules of torchvision whose names are in other modules here.
_MOVED = {"zoo._internally_replaced_utils": "load_state_dict_from_url=torch.hub:load_state_dict_from_url"}


class _Modules:
    """For ``import zoo.datasets``: finds the modules that other packages add to ``zoo``."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        parent, _, own = name.rpartition(".")
        if name in _MOVED:
            from zoo.contract.aliases import AliasFinder

            return AliasFinder(parent, {own: _MOVED[name]}.get).find_spec(name, None)
        if parent != __name__ or own.startswith("_") or own in _LAZY:
            return None
        try:
            module = _from_a_plugin(own)
        except AttributeError:
            return None
        if not isinstance(module, type(sys)):
            return None
        from zoo.contract.aliases import AliasFinder

        return AliasFinder(parent, {own: module.__name__}.get).find_spec(name, None)


sys.meta_path.append(_Modules)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
