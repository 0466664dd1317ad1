"""Every classification model is the published one: layout, initialisation, outputs; and bends as promised."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from helpers import (
    crc32,
    first_difference,
    flatten,
    initialisation_problems,
    layout,
    models_of,
    output_problems,
    read_reference,
    reference_layout,
)
from reference.cases import inputs
from reference.fill import fill_, images
from torch import Tensor, nn

import zoo

MODELS = models_of("classification")

# More than 100 million parameters each; of VGG the smallest two are left in.
BIG = {
    *("convnext_large", "efficientnet_v2_l", "regnet_x_32gf", "regnet_y_32gf", "regnet_y_128gf", "wide_resnet101_2"),
    *("vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_l_16", "vit_l_32", "vit_h_14"),
}

# What the random number generator of the machine that the reference was measured on gives; another processor or
# version of torch may round differently, and then no model can have the reference's numbers.
GENERATOR = 690042024


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def generator_numbers() -> int:
    torch.manual_seed(0)
    fillers = (nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_normal_)
    return crc32([fill(torch.empty(64, 40)) for fill in fillers])


def each(names: Iterable[str], slow: Iterable[str]) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


@pytest.mark.parametrize("name", each(MODELS, slow=BIG))
def test_model_is_the_published_one(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.get_model(name)

    assert layout(model) == reference_layout(name)
    init = read_reference("init_classification")[name]
    assert initialisation_problems(model, init["stats"]) == []
    if generator_numbers() == GENERATOR:  # all 80 draw in the published order, so they start from the same numbers
        assert crc32(model.state_dict().values()) == init["seed0_crc32"]

    fill_(model).eval()
    given = inputs(name, "classification")
    with torch.no_grad():
        problems = output_problems(flatten(model(*given)), read_reference(f"golden/{name}")["eval"])
    if problems:
        problems.append(first_difference(model, given, name))
    assert problems == []


BUILDS = read_reference("weights_builds_classification")
DIFFERENT = [name for name, build in BUILDS.items() if build["attrs"] != build["plain_attrs"]]


@pytest.mark.parametrize("name", MODELS)
def test_weights_imply_the_published_settings(name: str) -> None:
    """Every entry's layout and settings, on the meta device: what its file is loaded into."""
    plain = {n: (shape, dtype) for n, shape, dtype in reference_layout(name)}
    built: dict[str, tuple[dict[str, Any], nn.Module]] = {}
    for entry in zoo.get_model_weights(name):
        want = BUILDS.get(repr(entry))
        if want is None:  # one that was not published then
            continue
        config = repr(sorted(entry.value.config.items()))
        if config not in built:
            with torch.device("meta"):
                model = zoo.get_model(name, weights=entry)
            built[config] = ({n: (shape, dtype) for n, shape, dtype in layout(model)}, model)
        have, model = built[config]
        assert set(have) - set(plain) == set(want["added"])
        assert set(plain) - set(have) == set(want["removed"])
        changed = {n: [list(have[n][0]), have[n][1]] for n in have if n in plain and have[n] != plain[n]}
        assert changed == want["changed"]
        for attribute, value in want["attrs"].items():
            if attribute in ("params", "trainable_params"):
                counted = (p for p in model.parameters() if p.requires_grad or attribute == "params")
                assert sum(p.numel() for p in counted) == value
            else:
                assert getattr(model, attribute) == value, attribute
        assert sum(p.numel() for p in model.parameters()) == entry.value.num_params


@pytest.mark.parametrize("name", each(DIFFERENT, slow=[n for n in DIFFERENT if n.startswith(("ViT_L", "ViT_H"))]))
def test_settings_that_weights_imply_give_the_published_outputs(name: str) -> None:
    entry, build = zoo.get_weight(name), BUILDS[name]
    model = fill_(zoo.get_model(read_reference("weights")[name]["model"], **entry.value.config)).eval()
    with torch.no_grad():
        got = flatten(model((images(tuple(build["input"])) - 0.45) / 0.225))
    assert output_problems(got, build["eval"]) == []


def run_on_meta(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[zoo.Stage, list[int]]]:
    """The output, and the shape of what each stage of the model gives."""
    stages = zoo.feature_info(model)
    outputs: list[Tensor] = []
    handle = model.register_forward_hook(lambda module, given, output: outputs.append(output))
    features = zoo.feature_extractor(model, [stage.path for stage in stages])(images)
    handle.remove()
    return outputs[0], {stage: list(features[stage.path].shape) for stage in stages}


@pytest.mark.parametrize("name", MODELS)
def test_model_bends_as_promised(name: str) -> None:
    """Another number of classes and of channels, no classes, and the stages that it says it has; all on meta."""
    size = max(224, min(entry.value.min_size[0] for entry in zoo.get_model_weights(name)))
    with torch.device("meta"):
        model = zoo.get_model(name, num_classes=7, in_channels=1).eval()
        headless = zoo.get_model(name, num_classes=0).eval()
        grey, coloured = torch.empty(2, 1, size, size), torch.empty(2, 3, size, size)

    changed = []
    for (key, shape, _), (ref_key, ref_shape, _) in zip(layout(model), reference_layout(name), strict=True):
        assert key == ref_key
        changed += [(i, n, ref_n) for i, (n, ref_n) in enumerate(zip(shape, ref_shape, strict=True)) if n != ref_n]
    assert changed.count((1, 1, 3)) == 1, "the first convolution alone sees the images"
    assert set(changed) == {(1, 1, 3), (0, 7, 1000)}

    logits, features = run_on_meta(model, grey)
    assert list(logits.shape) == [2, 7]
    for stage, shape in features.items():
        sizes = dict(zip(stage.layout, shape, strict=True))
        assert (sizes["N"], sizes["C"]) == (2, stage.channels), stage
        cells = size / stage.stride
        if stage.layout == "NLC":
            assert sizes["L"] in (cells**2, cells**2 + 1), "patches, and a class token before them"
        else:
            assert 0.7 * cells < sizes["H"] == sizes["W"] < cells + 1, "convolutions without padding lose some"
    strides = [stage.stride for stage in features]
    assert strides == sorted(strides)

    pooled, _ = run_on_meta(headless, coloured)
    assert pooled.ndim == 2
    assert pooled.shape[0] == 2
    assert {n for n, *_ in layout(headless)} < {n for n, *_ in reference_layout(name)}
