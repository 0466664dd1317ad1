"""Int8 models and what runs them: OpenVINO, or torch's own compiler.

A module here takes and returns what the float model does. It is made from an exported program of that model and
batches of what the model is fed, by NNCF or by torchao; the packages are imported when they are used.
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_unflatten

from zoo.errors import InvalidArgument, MissingExtra
from zoo_tools.formats import KEY
from zoo_tools.quiet import quietly

Batch = tuple[Tensor, ...]


class Int8Model(nn.Module):
    """What both have in common.

    Attributes:
        devices: it runs on the CPU.
        quantization: what :func:`zoo.quantize` did.
        facts: JSON, what a file of it says of itself; empty where that is not known.
        structure: of the outputs, as ``torch.utils._pytree`` has it.
    """

    devices = ("cpu",)
    suffix = ""
    quantization: Any = None
    facts: str = ""

    def __init__(self, structure: TreeSpec) -> None:
        super().__init__()
        self.structure = structure
        self.eval()

    def compute(self, inputs: Batch) -> Sequence[Tensor]:
        """The outputs' tensors in order."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Any:
        return tree_unflatten(list(self.compute(tuple(t.float() for t in inputs))), self.structure)

    def save(self, path: Path) -> None:
        """Write a file that runs without the model's code; :attr:`facts` are kept in it."""
        raise NotImplementedError


# ── OpenVINO ─────────────────────────────────────────────────────────────────────────────────────────────────────


class OpenVINOInt8(Int8Model):
    """Integers as NNCF found them, run by OpenVINO. Any batch size; calls from several threads run side by side.

    Attributes:
        ir: the ``openvino.Model``.
    """

    suffix = ".xml"

    def __init__(self, ir: Any, structure: TreeSpec) -> None:
        super().__init__(structure)
        self.ir = ir
        self._compiled: Any = None
        self._requests = threading.local()

    def compute(self, inputs: Batch) -> Sequence[Tensor]:
        request = getattr(self._requests, "own", None)
        if request is None:
            if self._compiled is None:
                self._compiled = compile_ir(self.ir)
            request = self._requests.own = self._compiled.create_infer_request()
        results = request.infer([t.detach().numpy() for t in inputs], share_inputs=True)
        return [torch.from_numpy(results[i].copy()) for i in range(len(self._compiled.outputs))]

    def save(self, path: Path) -> None:
        """Two files, ``NAME.xml`` and ``NAME.bin``; integers stay so, and no float becomes a half."""
        import openvino as ov

        self.ir.set_rt_info(self.facts, [KEY])
        ov.save_model(self.ir, path, compress_to_fp16=False)

    def __deepcopy__(self, memo: Any) -> OpenVINOInt8:
        twin = OpenVINOInt8(self.ir, self.structure)  # which nothing changes
        for name, value in vars(self).items():
            if name not in ("ir", "_compiled", "_requests"):
                twin.__dict__[name] = copy.deepcopy(value, memo)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model.xml")
            files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
        kept = {name: v for name, v in vars(self).items() if name not in ("ir", "_compiled", "_requests")}
        return {**kept, "ir": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import openvino as ov

        files = state["ir"]
        ir = ov.Core().read_model(files["model.xml"], files["model.bin"])
        self.__dict__.update(state, ir=ir, _compiled=None, _requests=threading.local())


def compile_ir(ir: Any) -> Any:
    """For the least time until an answer, with as many threads as torch has."""
    import openvino as ov

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return ov.Core().compile_model(ir, "CPU", settings)


def by_openvino(ir: Any, batches: Sequence[Batch], structure: TreeSpec) -> tuple[Int8Model, int]:
    """NNCF's post-training quantization of a model of OpenVINO.

    Returns:
        The model, and how many of its operations have weights in int8.

    Raises:
        MissingExtra: openvino or nncf is not installed.
    """
    check_packages("openvino")
    with quietly():
        import nncf

        attends = any(op.get_type_name() == "ScaledDotProductAttention" for op in ir.get_ops())
        quantized = nncf.quantize(
            ir,
            nncf.Dataset(list(batches), lambda batch: [t.numpy() for t in batch]),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
        )
    integers = sum(op.get_element_type().get_type_name() in ("i8", "u8") for op in _constants(quantized))
    return OpenVINOInt8(quantized, structure), integers


def _constants(ir: Any) -> Iterator[Any]:
    return (op for op in ir.get_ops() if op.get_type_name() == "Constant" and len(op.get_output_shape(0)) > 1)


# ── torch's compiler ─────────────────────────────────────────────────────────────────────────────────────────────


class CompiledInt8(Int8Model):
    """Integers as torchao found them, in a graph that inductor compiles with frozen weights: for each shape of the
    inputs when it first comes, which takes half a minute and a C++ compiler.

    Attributes:
        graph: the graph, which quantizes and dequantizes around its operations.
        example: what it was exported with.
    """

    suffix = ".pt2"
    graph: Any
    example: Batch

    def __init__(self, graph: Any, structure: TreeSpec, example: Batch) -> None:
        super().__init__(structure)
        self.__dict__.update(graph=graph, example=example)  # no submodule: it cannot be switched to training
        self._compiled: Any = None

    def compute(self, inputs: Batch) -> Sequence[Tensor]:
        if self._compiled is None:
            self.__dict__["_compiled"] = frozen(self.graph)
        return torch.utils._pytree.tree_leaves(self._compiled(*inputs))

    def save(self, path: Path) -> None:
        """A program that ``torch.export.load`` reads."""
        with quietly(), torch.no_grad():
            program = torch.export.export(self.graph, self.example, dynamic_shapes=any_batch(self.example))
            torch.export.save(program, path, extra_files={KEY: self.facts})

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_compiled": None}

    def __deepcopy__(self, memo: Any) -> CompiledInt8:
        twin = CompiledInt8(self.graph, self.structure, self.example)
        twin.__dict__.update({k: v for k, v in vars(self).items() if k != "_compiled"})
        return twin


def load_operators() -> None:
    """Make torch know the operators that quantize and dequantize in graphs of torchao's."""
    if importlib.util.find_spec("torchao") is not None:
        with quietly():
            importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")
    else:
        with quietly():
            importlib.import_module("torch.ao.quantization.fx._decomposed")


def frozen(graph: Any) -> Callable[..., Any]:
    """A graph that quantizes and dequantizes, compiled by inductor, which makes int8 operators of it: for each shape of
    the inputs when it first comes."""
    import torch._inductor.config as inductor

    compiled: Any = torch.compile(graph, dynamic=False)

    def run(*inputs: Tensor) -> Any:
        with torch.no_grad(), inductor.patch(freezing=True):
            return compiled(*inputs)

    return run


def by_torch(program: Any, batches: Sequence[Batch], structure: TreeSpec) -> tuple[Int8Model, int]:
    """torchao's post-training quantization (PT2E) of an exported program, for x86 processors.

    Returns:
        The model, and how many of its operations have weights in int8.

    Raises:
        MissingExtra: torchao is not installed.
    """
    check_packages("torch")
    with quietly():
        from torchao.quantization.pt2e import quantize_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    with quietly(), torch.no_grad():
        quantizer = x86.X86InductorQuantizer()
        quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
        prepared = quantize_pt2e.prepare_pt2e(program.module(), quantizer)
        for batch in batches:
            prepared(*batch)
        graph = _without_floats(quantize_pt2e.convert_pt2e(prepared))
    integers = sum(t.dtype == torch.int8 and t.ndim > 1 for t in graph.state_dict().values())
    return CompiledInt8(graph, structure, program.example_inputs[0]), integers


def _without_floats(graph: Any) -> Any:
    """The graph without the weights that integers stand for now."""
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name in [name for name in graph.state_dict() if name not in used]:
        owner, _, attribute = name.rpartition(".")
        delattr(graph.get_submodule(owner), attribute)
    return graph


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────


PACKAGES = {
    "openvino": (("openvino", "nncf", "onnx", "onnxscript"), "int8"),
    "torch": (("torchao",), "int8-torch"),
}
"""Engine → the packages that it needs, and the extra that has them."""


def capture(model: nn.Module, example: Batch) -> Any:
    """The exported program of a model, for any batch size where the model allows one.

    Raises:
        InvalidArgument: the model cannot be captured.
    """
    with quietly(), torch.no_grad():
        problem: Exception | None = None
        # Strictly first: each use of a shared ReLU is then one of its own, which torchao's quantizer needs.
        for strict in (True, False):
            try:
                return torch.export.export(model, example, dynamic_shapes=any_batch(example), strict=strict)
            except Exception as e:  # noqa: BLE001  whatever the passes of a compiler raise
                problem = e
    said = next(iter(str(problem).strip().splitlines()), "no reason given")
    raise InvalidArgument(f"{type(model).__name__} cannot be captured by torch.export, so not quantized: {said}")


def any_batch(example: Batch) -> Any:
    """``dynamic_shapes`` with one number of inputs for all arguments."""
    dim = torch.export.Dim("batch", min=1, max=4096)
    return tuple({0: dim} for _ in example)


def check_packages(engine: str) -> None:
    """Raise if what ``engine`` needs is not installed; nothing of it is imported.

    Raises:
        MissingExtra: with what to install.
    """
    packages, extra = PACKAGES[engine]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingExtra(
            f"Quantization for {engine} needs {' and '.join(packages)}; not installed: {', '.join(missing)}. "
            f"pip install 'zoo-tools[{extra}]'"
        )
