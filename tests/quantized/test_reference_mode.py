"""Reference models compared with the int8 kernels: layer by layer on the same input, and on pictures of digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import zoo
import zoo_quantized
from zoo_quantized import states
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import sources

DIGITS = "ShuffleNet_V2_X0_5_QuantizedWeights.DIGITS_V1"


def held_out(n: int) -> tuple[Tensor, Tensor]:
    """Prepared pictures of held-out scans for the digits model, and their labels."""
    digits = load_digits()
    grey = torch.from_numpy(digits.images[-n:] * 255 / 16).round().to(torch.uint8)
    return zoo.get_weight(DIGITS).transforms()(grey[:, None].expand(-1, 3, -1, -1)), torch.from_numpy(
        digits.target[-n:]
    )


def smooth(n: int, side: int, seed: int = 0) -> Tensor:
    coarse = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


def pair(name: str, backend: str, **options: Any) -> tuple[Any, Any]:
    """An int8 model with random weights, and the reference model with the same integers."""
    torch.manual_seed(0)
    float_model = zoo.get_model(name, **options).train()
    float_model(smooth(4, 96))  # so that running statistics are not the initial ones
    int8 = zoo_quantized.quantize(float_model, [smooth(4, 96)], backend, progress=False)
    reference = zoo_quantized.quantize(float_model, [smooth(1, 96)], "reference", progress=False)
    from zoo_quantized.reference import fit

    reference.load_state_dict(fit(states.unpack(int8.state_dict()), reference))
    return int8, reference


def steps_apart(int8: nn.Module, reference: nn.Module, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """For each layer and its input in the int8 model: the reference model's output minus the int8 one's, in steps."""
    found: list[tuple[str, Tensor]] = []
    ours = dict(reference.named_modules())

    def dequantized(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [dequantized(v) for v in value]
        return value.dequantize() if isinstance(value, Tensor) and value.is_quantized else value

    def compare(path: str, own: Any, args: Any, output: Tensor) -> None:
        found.append((path, (own(*dequantized(args)) - output.dequantize()) / output.q_scale()))

    def hook(path: str) -> Any:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_quantized and hasattr(ours[path], "scale"):
                compare(path, ours[path], args, output)

        return after

    def wrapped(path: str, name: str, method: Any) -> Any:
        def call(*args: Any) -> Tensor:
            output: Tensor = method(*args)
            compare(path, getattr(ours[path], name), args, output)
            return output

        return call

    for path, module in int8.named_modules():
        if isinstance(ours.get(path), Arithmetic):
            for name in ("add", "add_relu", "mul", "cat"):
                object.__setattr__(module, name, wrapped(path, name, getattr(module, name)))
        elif path in ours:
            module.register_forward_hook(hook(path))
    int8(x)
    return iter(found)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "backend", "layers"),
    [
        ("quantized_resnet18", "fbgemm", 30),
        ("quantized_shufflenet_v2_x0_5", "x86", 74),
        ("quantized_mobilenet_v3_large", "qnnpack", 120),
        ("quantized_mobilenet_v2", "qnnpack", 64),
        pytest.param("quantized_googlenet", "fbgemm", 68, marks=pytest.mark.slow),
        pytest.param("quantized_inception_v3", "onednn", 111, marks=pytest.mark.slow),
        pytest.param("quantized_resnet50", "fbgemm", 71, marks=pytest.mark.slow),
    ],
)
def test_every_layer_agrees_with_its_kernel(name: str, backend: str, layers: int) -> None:
    if backend not in torch.backends.quantized.supported_engines:
        pytest.skip(f"torch has no {backend} here")
    options = {"aux_logits": False, "init_weights": False} if "google" in name or "inception" in name else {}
    int8, reference = pair(name, backend, **options)
    found = list(steps_apart(int8, reference, smooth(2, 96, seed=1)))
    assert len(found) == layers
    for path, off in found:
        assert off.abs().max() < 1.01, path  # the error is at most one step …
        # … and almost always 0 if the kernels do not round the bias to an integer.
        assert backend == "qnnpack" or (off.abs() > 0.5).double().mean() < 1e-3, path


@torch.no_grad()
def test_digits_end_to_end() -> None:
    """The same top class for 99 % of the pictures; also compared with the float model."""
    images, labels = held_out(200)
    int8 = zoo.get_model("quantized_shufflenet_v2_x0_5", weights=DIGITS, quantize=True)
    reference = zoo.get_model("quantized_shufflenet_v2_x0_5", weights=DIGITS, quantize="reference")
    a, b = int8(images), reference(images)
    assert (a.argmax(1) == b.argmax(1)).double().mean() >= 0.99
    assert (a - b).abs().max() < 0.1 * a.std()
    for logits in (a, b):
        assert (logits.argmax(1) == labels).double().mean() >= 0.98


@pytest.mark.slow  # the kit captures it too, within a tolerance
@torch.no_grad()
def test_compiled_and_exported_it_gives_the_same() -> None:
    images, _ = held_out(4)
    model = zoo.get_model("quantized_shufflenet_v2_x0_5", weights=DIGITS, quantize="reference")
    want = model(images)
    try:
        compiled = torch.compile(model, backend="eager", fullgraph=True)(images)
    finally:
        torch.compiler.reset()
    exported = torch.export.export(model, (images,), strict=False).module()(images)
    assert torch.equal(compiled, want)
    assert torch.equal(exported, want)


@torch.no_grad()
def test_values_between_layers_are_multiples_of_the_scale() -> None:
    images, _ = held_out(2)
    model = zoo.get_model("quantized_shufflenet_v2_x0_5", weights=DIGITS, quantize="reference")
    outputs: dict[str, Tensor] = {}
    for path in ("conv1.0", "stage3.1.cat", "stage4.0.branch2.3", "fc"):
        model.get_submodule(path).register_forward_hook(lambda m, a, o, path=path: outputs.update({path: o}))
    model(images)
    for path, output in outputs.items():
        module = model.get_submodule(path)
        integers = output / module.scale + module.zero_point
        assert (integers - integers.round()).abs().max() < 1e-3
        assert integers.min() > -0.5
        assert integers.max() < 255.5
    assert len(outputs) == 4


def test_sources_are_what_feeds_each_layer() -> None:
    model = zoo.get_model("quantized_mobilenet_v3_large")
    found = sources(model)
    assert found["features.0.0"] == "quant"
    assert found["features.1.block.0.0"] == "features.0.2"  # a hard swish
    assert found["features.4.block.2.fc1"] == "features.4.block.1.0"  # through the pooling
    assert found["features.4.block.3.0"] == "features.4.block.2.skip_mul"
    assert found["features.4.block.0.0"] == "features.3.skip_add"
    assert found["classifier.3"] == "classifier.1"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model.training


def test_it_has_int8_weights_and_nothing_to_train() -> None:
    model = zoo.get_model("quantized_shufflenet_v2_x0_5", weights=DIGITS, quantize="reference")
    assert list(model.parameters()) == []
    state = model.state_dict()
    assert all(t.dtype == torch.int8 for name, t in state.items() if name.endswith(".weight"))
    size = sum(t.numel() * t.element_size() for t in state.values())
    assert size < 0.35 * 4 * zoo.get_weight(DIGITS).value.num_params
