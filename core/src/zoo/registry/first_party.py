"""The table of this repository's own plugins: what to install, and their place under ``zoo.models``."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FirstParty:
    """One of our plugins.

    Attributes:
        plugin: its name in the registry.
        distribution: what pip installs.
        package: what Python imports; every public name can be read from it.
        namespace: its place under ``zoo.models``; empty for the top, None for none.
        prefix: prefix of its model names, which ``zoo.models`` removes.
        models: globs of the names of its models, for "install … to get it".
        tasks: tasks of its models.
        commands: commands that it adds to ``zoo``.
        engines: engines that it defines.
        names: names that it adds to the module ``zoo`` → their modules.
    """

    plugin: str
    distribution: str
    package: str
    namespace: str | None
    models: tuple[str, ...] = ()
    prefix: str = ""
    tasks: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


_CLASSIFICATION = (
    "alexnet convnext_* densenet* efficientnet_b* efficientnet_v2_* googlenet inception_v3 maxvit_* mnasnet* "
    "mobilenet_* regnet_* resnet* resnext* shufflenet_* squeezenet* swin_* vgg* vit_* wide_resnet*"
)
FIRST_PARTY = (
    FirstParty("classification", "zoo-classification", "zoo_classification", "", tuple(_CLASSIFICATION.split())),
    FirstParty(
        "quantized",
        "zoo-quantized",
        "zoo_quantized",
        "quantization",
        ("quantized_*",),
        prefix="quantized_",
        commands=("convert",),
    ),
    FirstParty(
        "segmentation",
        "zoo-segmentation",
        "zoo_segmentation",
        "segmentation",
        ("fcn_*", "deeplabv3*", "lraspp*"),
        tasks=("semantic-segmentation",),
    ),
    FirstParty(
        "detection",
        "zoo-detection",
        "zoo_detection",
        "detection",
        ("fasterrcnn*", "maskrcnn*", "keypointrcnn*", "retinanet*", "fcos*", "ssd300_*", "ssdlite*"),
        tasks=("object-detection", "instance-segmentation", "keypoint-detection"),
    ),
    FirstParty(
        "video",
        "zoo-video",
        "zoo_video",
        "video",
        ("mvit_*", "r3d_*", "mc3_*", "r2plus1d_*", "s3d", "swin3d_*"),
        tasks=("video-classification",),
    ),
    FirstParty(
        "optical_flow",
        "zoo-optical-flow",
        "zoo_optical_flow",
        "optical_flow",
        ("raft_*",),
        tasks=("optical-flow",),
    ),
    FirstParty(
        "efficientnet_lite",
        "zoo-efficientnet-lite",
        "zoo_efficientnet_lite",
        None,
        ("efficientnet_lite*",),
        tasks=("image-classification",),  # it installs zoo-classification, whose included weights classify digits
    ),
    FirstParty(
        "tools",
        "zoo-tools",
        "zoo_tools",
        None,
        commands=("evaluate", "export", "merge", "quantize", "benchmark", "matrix", "catalogue"),
        engines=("onnxruntime", "openvino"),
        names=dict.fromkeys(("Evaluation", "evaluate"), "zoo_tools.evaluation")
        | dict.fromkeys(("ExportReport", "export"), "zoo_tools.exporting")
        | dict.fromkeys(("Quantization", "quantize"), "zoo_tools.quantizing")
        | dict.fromkeys(("Benchmark", "benchmark"), "zoo_tools.benchmarking")
        | dict.fromkeys(("matrix",), "zoo_tools.capabilities"),
    ),
    FirstParty("serving", "zoo-serving", "zoo_serving", None, commands=("batch", "serve")),
    FirstParty(
        "training",
        "zoo-training",
        "zoo_training",
        None,
        commands=("data", "train", "push", "new-plugin"),
        names={
            "datasets": "zoo_training.datasets",
            "open_data": "zoo_training.data",
            "model_card": "zoo_training.cards",
        }
        | dict.fromkeys(("Training", "train"), "zoo_training.training")
        | dict.fromkeys(("NewPlugin", "new_plugin"), "zoo_training.packaging")
        | dict.fromkeys(("Published", "push_to_hub"), "zoo_training.publishing"),
    ),
)
# Plugins for models of other libraries, with the precedence of third-party plugins: plugin → what pip installs.
CATALOGUES = {"timm": "zoo-timm", "transformers": "zoo-transformers"}
TASKS_OF_CATALOGUES = dict.fromkeys(
    ("depth-estimation", "image-feature-extraction", "panoptic-segmentation"), "transformers"
)
BY_NAMESPACE = {p.namespace: p for p in FIRST_PARTY if p.namespace is not None}
BY_DISTRIBUTION = {p.distribution: p for p in FIRST_PARTY}


def provider(model: str) -> FirstParty | None:
    """Our plugin that has a model of this name, installed or not."""
    return next((p for p in FIRST_PARTY if any(fnmatch.fnmatchcase(model, glob) for glob in p.models)), None)


def provider_of_task(task: str) -> tuple[str, str] | None:
    """The plugin of this repository that has models for a task, installed or not, and what pip installs."""
    ours = next((p for p in FIRST_PARTY if task in p.tasks), None)
    if ours is not None:
        return ours.plugin, ours.distribution
    plugin = TASKS_OF_CATALOGUES.get(task)
    return None if plugin is None else (plugin, CATALOGUES[plugin])


def commands_of_ours() -> dict[str, str]:
    """Command → its distribution, installed or not."""
    return {name: p.distribution for p in FIRST_PARTY for name in p.commands}


def engines_of_ours() -> dict[str, str]:
    """Engine → its distribution, installed or not."""
    return {name: p.distribution for p in FIRST_PARTY for name in p.engines}


def verb(name: str) -> tuple[str, FirstParty] | None:
    """The module of a name of ``zoo``, and our plugin that has it; None if none of ours does."""
    return next(((p.names[name], p) for p in FIRST_PARTY if name in p.names), None)
