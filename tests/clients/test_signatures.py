"""Public classes, methods and functions are called as torchvision 0.28's: every call that torchvision accepts is
accepted here.

``signatures.txt`` contains them, one per line, from ``inspect.signature``: a name and its arguments; ``=`` marks
defaults, keyword-only arguments follow ``*``.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from zoo.errors import MissingPlugin

LINES = (Path(__file__).parent / "signatures.txt").read_text().splitlines()
P = inspect.Parameter

# What zoo does not have. For TorchScript and the older ONNX exporter, which are supported differently:
# expand_masks_tracing_scale, eager_outputs of the classifiers, get_result_from_…_blocks. Steps that are functions on
# tensors here, with nothing to subclass: the windows of MaxViT (its attention is a class), shifted_window_attention
# (partition, attend and join of the attention are separate methods and functions). An internal class of feature
# extraction: DualGraphModule. For a compiled kernel in Python: lazy_compile, maybe_cast.
ABSENT = """
    models.detection.roi_heads.expand_masks_tracing_scale models.feature_extraction.DualGraphModule
    models.feature_extraction.DualGraphModule.add_submodule
    models.feature_extraction.DualGraphModule.delete_all_unused_submodules
    models.feature_extraction.DualGraphModule.delete_submodule
    models.feature_extraction.DualGraphModule.print_readable models.feature_extraction.DualGraphModule.recompile
    models.feature_extraction.DualGraphModule.to_folder models.googlenet.GoogLeNet.eager_outputs
    models.inception.Inception3.eager_outputs models.maxvit.SwapAxes models.maxvit.WindowDepartition
    models.maxvit.WindowPartition models.swin_transformer.shifted_window_attention
    models.video.swin_transformer.shifted_window_attention_3d
    ops.feature_pyramid_network.FeaturePyramidNetwork.get_result_from_inner_blocks
    ops.feature_pyramid_network.FeaturePyramidNetwork.get_result_from_layer_blocks ops.roi_align.lazy_compile
    ops.roi_align.maybe_cast
""".split()


def resolved(name: str) -> object:
    """The object of that name in ``zoo``: the longest path of modules, then attributes."""
    parts = name.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(f"zoo.{'.'.join(parts[:depth])}")
        except ModuleNotFoundError:
            continue
        for part in parts[depth:]:
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        return found.__func__ if isinstance(found, staticmethod | classmethod) else found
    raise AttributeError(name)


def refused(line: str, found: object) -> list[str]:
    """The arguments in ``line`` that ours do not accept in the same way."""
    arguments = line.partition("(")[2].rstrip(")")
    words = arguments.split(", ") if arguments else []
    try:
        ours = list(inspect.signature(found).parameters.values())  # type: ignore[arg-type]
    except ValueError:
        return []  # a function of torch without a signature
    if ours and ours[0].name in ("self", "cls"):
        ours = ours[1:]
    by_name = {p.name: p for p in ours}
    places = [p.name for p in ours if p.kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)]
    any_name = any(p.kind is P.VAR_KEYWORD for p in ours)
    any_place = any(p.kind is P.VAR_POSITIONAL for p in ours)
    problems, keyword = [], False
    for i, word in enumerate(words):
        if word == "*":
            keyword = True
            continue
        name = word.removesuffix("=")
        if name not in by_name and not any_name:
            problems.append(f"{name} is not taken")
        elif not keyword and (places[i : i + 1] or [name if any_place else ""]) != [name]:
            problems.append(f"{name} is not at place {i}")
        elif word.endswith("=") and name in by_name and by_name[name].default is P.empty:
            problems.append(f"{name} has no default")
    given = {word.removesuffix("=") for word in words}
    unknown = [p for p in ours if p.name not in given and p.kind in (P.POSITIONAL_OR_KEYWORD, P.KEYWORD_ONLY)]
    return problems + [f"{p.name} must be given" for p in unknown if p.default is P.empty]


@pytest.mark.parametrize("space", sorted({line.partition("(")[0].split(".")[1] for line in LINES}))
def test_what_torchvision_takes_is_taken(space: str) -> None:
    wrong = {}
    for line in LINES:
        name = line.partition("(")[0]
        if name.split(".")[1] != space or name in ABSENT:
            continue
        try:
            problems = refused(line, resolved(name))
        except (AttributeError, MissingPlugin) as error:
            problems = [str(error)]
        if problems:
            wrong[name] = problems
    assert not wrong


def test_what_is_absent_is_absent() -> None:
    """So that the list above stays true."""
    names = {line.partition("(")[0] for line in LINES}
    assert names >= set(ABSENT)
    for name in ABSENT:
        try:
            found = resolved(name)
        except (AttributeError, MissingPlugin):
            continue
        lines = [line for line in LINES if line.partition("(")[0] == name]
        assert refused(lines[0], found), name
