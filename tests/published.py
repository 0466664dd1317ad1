"""Tests that every family of published models inherits: its weights, its models and a training step are the published.

A family's file subclasses these and says what is particular to it::

    class TestWeights(PublishedWeights):
        family = "video"
        missing = "r3d_19"
        without_torch = '''
    from zoo_video import R3D_18_Weights
    assert len(R3D_18_Weights.KINETICS400_V1.meta["categories"]) == 400
    '''
"""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, ClassVar

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
    same_generator,
)
from reference.cases import inputs
from reference.fill import fill_
from torch import Tensor, nn

import zoo
from zoo.nn import StochasticDepth

LICENSES = ("unknown", "BSD-3-Clause", "CC-BY-NC-4.0")  # of published files
WITHOUT = ("torch", "numpy", "PIL", "av", "safetensors", "huggingface_hub", "typer", "rich")


class Published:
    """One family; tests are made for each of its models (``model_name``) and weights entries (``weights_name``)."""

    family: ClassVar[str]  # the reference's name of it; the package is zoo_FAMILY
    slow: ClassVar[Mapping[str, Collection[str]]] = {}  # test → its cases that are marked slow

    @functools.cached_property
    def package(self) -> Any:
        return importlib.import_module(f"zoo_{self.family}")

    @functools.cached_property
    def plugin(self) -> Any:
        return importlib.import_module(f"zoo_{self.family}.plugin")

    @functools.cached_property
    def models(self) -> list[str]:
        return models_of(self.family)

    @functools.cached_property
    def entries(self) -> dict[str, Any]:
        """``repr`` of each published weights entry → what was published of it."""
        return {name: entry for name, entry in read_reference("weights").items() if entry["model"] in self.models}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        slow = self.slow.get(metafunc.function.__name__, ())
        for argument, names in (
            ("model_name", lambda: self.models),
            ("weights_name", lambda: self.entries),
            ("trained_name", lambda: read_reference(f"train_{self.family}")),
        ):
            if argument in metafunc.fixturenames:
                cases = [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names()]
                metafunc.parametrize(argument, cases)


class PublishedWeights(Published):
    """Every weights entry is described as it was published, without torch; every public name is where it belongs."""

    namespace: ClassVar[str] = ""  # where torchvision has the family: ``video`` for zoo.models.video
    more_models: ClassVar[tuple[str, ...]] = ()  # that the manifest has beyond the published ones
    more_entries: ClassVar[tuple[str, ...]] = ()  # that the published models have beyond the published ones
    like_their_modules: ClassVar[tuple[str, ...]] = ()  # builders that have the names of their modules
    constants: ClassVar[tuple[str, ...]] = ()  # public names of neither classes nor functions
    missing: ClassVar[str]  # a name that the package does not have
    without_torch: ClassVar[str] = ""  # statements that must run where torch cannot be imported

    def public_names(self) -> Mapping[str, str]:
        names: Mapping[str, str] = self.plugin.public_names()
        return names

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        """Facts that entries of this family alone have."""

    def test_manifest_has_every_published_model(self) -> None:
        specs = {spec.name: spec for spec in self.plugin.zoo_manifest().models}
        assert sorted(specs) == sorted([*self.models, *self.more_models])
        for name in self.models:
            published, spec = read_reference("models")[name], specs[name]
            assert spec.builder.endswith(f":{published['builder']}")
            assert spec.weights.__name__ == published["weights"]
            assert spec.weights.DEFAULT is spec.weights[published["default"]]
        for spec in specs.values():
            assert spec.paper.count("https://arxiv.org/abs/") == 1

    def test_every_published_entry_is_there_in_order(self) -> None:
        enums = [spec.weights for spec in self.plugin.zoo_manifest().models if spec.name in self.models]
        published: dict[str, list[str]] = {}
        for name in self.entries:
            enum, _, member = name.partition(".")
            published.setdefault(enum, []).append(member)
        ours = {enum.__name__: [e.name for e in enum if repr(e) not in self.more_entries] for enum in enums}
        assert ours == published

    def test_entry_has_the_published_facts(self, weights_name: str) -> None:
        want, entry = self.entries[weights_name], zoo.get_weight(weights_name)
        assert entry.url == want["url"]
        assert entry.value.num_params == want["num_params"]
        metrics = {
            dataset: pytest.approx(values, rel=0, abs=0, nan_ok=True) for dataset, values in want["_metrics"].items()
        }
        assert entry.value.metrics == metrics
        assert entry.value.gflops == want["_ops"]
        assert entry.value.file_size == want["_file_size"]
        assert entry.value.recipe == want["recipe"]
        if "license" in want:
            assert entry.meta["license"] == want["license"]
        else:  # what has been found out since has a source
            assert (entry.value.license == "unknown") == ("license_source" not in entry.value.extra)
        assert entry.value.license in LICENSES
        assert entry.value.min_size == tuple(want["min_size"])
        assert entry.value.docs

        members = zoo.get_model_weights(want["model"]).__members__
        assert {alias for alias, member in members.items() if member is entry} == {entry.name, *want["aliases"]}

        meta = entry.meta
        categories = read_reference("categories")[want["categories"]] if "categories" in want else None
        assert meta.get("categories") == categories
        for key in ("num_params", "_ops", "_file_size", "recipe"):
            assert meta[key] == want[key], key
        self.check_entry(entry, want)

    def test_entry_builds_the_published_preprocessing(self, weights_name: str) -> None:
        want, preset = self.entries[weights_name], zoo.get_weight(weights_name).transforms()
        assert type(preset) is getattr(zoo.transforms, want["transforms"]["preset"])
        resolved = want["transforms_resolved"]
        assert {name: as_published(getattr(preset, name)) for name in resolved} == resolved
        assert all(getattr(preset, name) is value for name, value in resolved.items() if isinstance(value, bool))

    def test_names_are_there_without_torch(self) -> None:
        """Weights, the manifest and the list of names, in a Python where importing torch fails."""
        names = sorted(self.public_names())
        code = f"""
import sys
class Refused:  # not an ImportError, which some import may be ready for
    @staticmethod
    def find_spec(name, *_):
        if name in {WITHOUT}:
            raise RuntimeError(f"{{name}} is imported")
sys.meta_path.insert(0, Refused)
import zoo_{self.family} as package
from zoo_{self.family}.plugin import zoo_manifest
assert len(zoo_manifest().models) == {len(self.models) + len(self.more_models)}
assert set({names}) <= set(dir(package))
{self.without_torch}
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_every_public_name_can_be_imported_from_the_package_and_from_zoo_models(self) -> None:
        models = getattr(zoo.models, self.namespace) if self.namespace else zoo.models
        for name, module in self.public_names().items():
            public = getattr(self.package, name)
            if name not in self.constants:
                assert (public.__module__, public.__name__) == (module, name)
            assert getattr(models, name) is public, name
        with pytest.raises(AttributeError, match=f"no attribute '{self.missing}'"):
            getattr(self.package, self.missing)

    def test_a_builder_keeps_its_name_when_the_module_of_that_name_is_imported(self) -> None:
        """Whichever comes first: the import of the module, or that of the builder."""
        package = f"zoo_{self.family}"
        same = tuple(name for name, module in self.public_names().items() if module == f"{package}.{name}")
        assert same == self.like_their_modules
        module_first = f"""
import importlib, {package} as package
for name in {same}:
    module = importlib.import_module(f"{package}.{{name}}")
    assert callable(module.__dict__[name]) and getattr(package, name) is module.__dict__[name], name
"""
        builder_first = f"""
import importlib
from {package} import {", ".join(same)}
for builder in ({", ".join(same)},):
    name = builder.__name__
    assert getattr(importlib.import_module(f"{package}.{{name}}"), name) is builder
"""
        for code in (module_first, builder_first) if same else ():
            subprocess.run([sys.executable, "-c", code], check=True)


class PublishedTable(Published):
    """The documentation's table of all weights: metrics, parameters, GFLOPS and recipe of each row, as printed."""

    dataset: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]

    def test_table_is_the_one_that_was_published(self) -> None:
        rows = read_reference(f"table_{self.family}")
        assert sorted(row["weights"] for row in rows) == sorted(self.entries)
        for row in rows:
            entry = zoo.get_weight(row["weights"]).value
            printed = {
                "weights": row["weights"],
                **{name: f"{entry.metrics[self.dataset][name]:g}" for name in self.metrics},
                "params": f"{entry.num_params / 1e6:.1f}M",
                "gflops": f"{round(entry.gflops, 2):g}",
                "recipe": entry.recipe,
            }
            assert printed == row


@pytest.mark.usefixtures("one_thread")
class PublishedModels(Published):
    """Every model is the published one: layout, initialisation and outputs."""

    def arguments(self, name: str) -> dict[str, Any]:
        """Those of the builder with which the initialisation was measured."""
        return {}

    def inputs(self, name: str) -> tuple[Any, ...]:
        return inputs(name, self.family)

    def case(self, model: nn.Module, name: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """The model whose outputs were measured, and the outputs: of ``model``, or of another one if necessary."""
        return model, read_reference(f"golden/{name}")["eval"]

    def problems(self, got: Mapping[str, Tensor], want: Mapping[str, Any]) -> list[str]:
        return output_problems(got, want)

    def check_training(self, model: Any, name: str) -> None:
        """What else was measured of the filled model; it is in eval mode."""

    def test_model_is_the_published_one(self, model_name: str) -> None:
        same_numbers = same_generator()
        torch.manual_seed(0)
        arguments = self.arguments(model_name)
        model = zoo.get_model(model_name, **arguments)

        assert layout(model) == reference_layout(model_name)
        init = read_reference(f"init_{self.family}")[model_name]
        if arguments.get("init_weights", True):
            assert initialisation_problems(model, init["stats"]) == []
            if same_numbers:  # models draw in the published order, so they start from the same numbers
                assert crc32(model.state_dict().values()) == init["seed0_crc32"]

        model, golden = self.case(model, model_name)
        fill_(model).eval()
        given = self.inputs(model_name)
        with torch.no_grad():
            problems = self.problems(flatten(model(*given)), golden)
        if problems:
            problems.append(first_difference(model, given, model_name))
        assert problems == []
        self.check_training(model, model_name)


class PublishedSettings(Published):
    """What weights imply is what was published: the layout and the settings that their files are loaded into."""

    def test_weights_imply_the_published_settings(self, model_name: str) -> None:
        """On the meta device."""
        plain = {n: (shape, dtype) for n, shape, dtype in reference_layout(model_name)}
        built: dict[str, nn.Module] = {}
        for entry in zoo.get_model_weights(model_name):
            if repr(entry) not in self.entries:
                continue
            want = read_reference(f"weights_builds_{self.family}")[repr(entry)]
            config = repr(sorted(entry.value.config.items()))
            if config not in built:
                with torch.device("meta"):
                    built[config] = zoo.get_model(model_name, weights=entry)
            model = built[config]
            have = {n: (shape, dtype) for n, shape, dtype in layout(model)}
            assert {n: [list(have[n][0]), have[n][1]] for n in have if n not in plain} == want["added"]
            assert [n for n in plain if n not in have] == want["removed"]
            changed = {n: [list(have[n][0]), have[n][1]] for n in have if n in plain and have[n] != plain[n]}
            assert changed == want["changed"]
            assert settings(model, want["attrs"]) == want["attrs"]
            assert sum(p.numel() for p in model.parameters()) == entry.value.num_params


class PublishedBends(Published):
    """Models bend as promised: another number of classes and of channels, no classes, features of their stages."""

    num_classes: ClassVar[int]
    without_stages: ClassVar[Collection[str]] = ()

    def smallest(self, name: str) -> tuple[int, ...]:
        """Size of an input that the model takes: (frames,) height, width."""
        raise NotImplementedError

    def check_stage(self, stage: zoo.Stage, sizes: Mapping[str, int], side: int) -> None:
        raise NotImplementedError

    def test_model_bends_as_promised(self, model_name: str) -> None:
        """All on the meta device."""
        size = self.smallest(model_name)
        with torch.device("meta"):
            model = zoo.get_model(model_name, num_classes=7, in_channels=1).eval()
            headless = zoo.get_model(model_name, num_classes=0).eval()
            grey, coloured = torch.empty(2, 1, *size), torch.empty(2, 3, *size)

        changed = []
        for (key, shape, _), (ref_key, ref_shape, _) in zip(layout(model), reference_layout(model_name), strict=True):
            assert key == ref_key
            changed += [(i, n, ref_n) for i, (n, ref_n) in enumerate(zip(shape, ref_shape, strict=True)) if n != ref_n]
        assert changed.count((1, 1, 3)) == 1, "the first convolution alone sees the input"
        assert set(changed) == {(1, 1, 3), (0, 7, self.num_classes)}

        assert bool(getattr(model, "feature_info", [])) == (model_name not in self.without_stages)
        logits, features = run_on_meta(model, grey)
        assert list(logits.shape) == [2, 7]
        for stage, shape in features.items():
            sizes = dict(zip(stage.layout, shape, strict=True))
            assert (sizes["N"], sizes["C"]) == (2, stage.channels), stage
            self.check_stage(stage, sizes, size[-1])
        strides = [stage.stride for stage in features]
        assert strides == sorted(strides)

        pooled, _ = run_on_meta(headless, coloured)
        assert (pooled.ndim, len(pooled)) == (2, 2)
        assert {n for n, *_ in layout(headless)} < {n for n, *_ in reference_layout(model_name)}


class PublishedTraining(Published):
    """Train mode: outputs, auxiliary ones too, running statistics and gradients are the published models'."""

    def test_training_step_is_the_published_one(self, trained_name: str) -> None:
        want = read_reference(f"train_{self.family}")[trained_name]
        model = fill_(zoo.get_model(trained_name, **want["kwargs"])).train()
        for module in model.modules():
            if isinstance(module, nn.Dropout | StochasticDepth):
                module.p = 0.0
        (given,) = inputs(trained_name, self.family)
        outputs = flatten(model(torch.cat([given, given.flip(-1)])))
        sum(output.square().mean() for output in outputs.values()).backward()

        assert output_problems(outputs, want["train"], tolerance=2e-3) == []
        state = model.state_dict()
        for key, (mean, std) in want["running_stats"].items():
            got = state[key].double()
            assert got.mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-3 * std + 1e-6), key
            assert got.std().item() == pytest.approx(std, rel=1e-3, abs=1e-6), key
        assert all(buffer.item() == 1 for key, buffer in state.items() if key.endswith("num_batches_tracked"))
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        assert set(gradients) == set(want["grad_norms"])
        top = max(want["grad_norms"].values())
        for key, norm in want["grad_norms"].items():
            assert gradients[key].norm().item() == pytest.approx(norm, rel=1e-2, abs=1e-5 * top), key


def as_published(value: Any) -> Any:
    """An argument of preprocessing in the reference's form: ``InterpolationMode.BILINEAR``, lists."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    return list(value) if isinstance(value, list | tuple) else value


def settings(model: nn.Module, names: Collection[str]) -> dict[str, Any]:
    """These settings of a model: ``params`` and ``trainable_params`` are counted, others are attributes."""
    counted = {
        "params": sum(p.numel() for p in model.parameters()),
        "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    return {name: counted[name] if name in counted else getattr(model, name) for name in names}


def run_on_meta(model: nn.Module, given: Tensor) -> tuple[Tensor, dict[zoo.Stage, list[int]]]:
    """The output, and the shape of what each stage of the model gives."""
    if not getattr(model, "feature_info", []):
        return model(given), {}
    stages = zoo.feature_info(model)
    outputs: list[Tensor] = []
    handle = model.register_forward_hook(lambda module, given, output: outputs.append(output))
    features = zoo.feature_extractor(model, [stage.path for stage in stages])(given)
    handle.remove()
    return outputs[0], {stage: list(features[stage.path].shape) for stage in stages}
