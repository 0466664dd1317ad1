"""torch's quantized tensors are deprecated: only one module uses them, and one torch.ao's kernels for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zoo.errors import CheckpointError
from zoo.quantized_tensors import Parts, put_together, take_apart

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
TOUCHED_BY = "quantized_tensors.py"
NAMES = {
    "qint8", "quint8", "qint32", "quint4x2", "is_quantized", "int_repr", "dequantize", "qscheme", "q_scale",
    "q_zero_point", "q_per_channel_scales", "q_per_channel_zero_points", "q_per_channel_axis", "quantize_per_tensor",
    "quantize_per_channel", "quantize_per_tensor_dynamic", "per_tensor_affine", "per_channel_affine",
    "_make_per_tensor_quantized_tensor", "_make_per_channel_quantized_tensor", "_empty_affine_quantized",
}  # fmt: skip


def names(file: Path) -> Iterator[str]:
    """Attributes that a file reads, also with ``getattr``, and its imports from torch."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            yield from (a.value for a in node.args[1:2] if isinstance(a, ast.Constant) and isinstance(a.value, str))


def test_one_module_touches_quantized_tensors() -> None:
    found = {file.name: touched for file in SOURCES if (touched := NAMES & set(names(file)))}
    assert found.keys() == {TOUCHED_BY}, found
    assert len(found[TOUCHED_BY]) > 8  # the search finds existing uses


def test_torch_ao_is_imported_by_the_module_of_its_kernels_alone() -> None:
    def imports(file: Path) -> bool:
        for node in ast.walk(ast.parse(file.read_text())):
            texts = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            texts += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            # Also with an f-string.
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
                texts += [str(c.value) for a in node.args for c in ast.walk(a) if isinstance(c, ast.Constant)]
            if any(text.startswith(("torch.ao", "torch.quantization")) for text in texts):
                return True
        return False

    # int8.py: operators on plain tensors for programs that are read without torchao
    assert [file.name for file in SOURCES if imports(file)] == ["eager.py", "int8.py"]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8, torch.qint32])
def test_tensors_are_taken_apart_and_put_together(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    whole = torch.quantize_per_tensor(x, 0.1, 3, dtype)
    channels = torch.quantize_per_channel(x, torch.rand(4).double() + 0.01, torch.arange(4), 0, dtype)
    for t in (whole, channels):
        parts = take_apart(t)
        again = put_together(parts)
        assert again.dtype == dtype
        assert torch.equal(again.dequantize(), t.dequantize())
        assert take_apart(again).axis == parts.axis
    with pytest.raises(CheckpointError, match="not quint4x2"):
        put_together(take_apart(whole)._replace(dtype="quint4x2"))


def test_a_torch_without_quantized_tensors_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_make_per_tensor_quantized_tensor")
    parts = Parts(torch.zeros(2, dtype=torch.int8), torch.ones(1), torch.zeros(1), None, "qint8")
    with pytest.raises(CheckpointError, match="zoo convert"):
        put_together(parts)
