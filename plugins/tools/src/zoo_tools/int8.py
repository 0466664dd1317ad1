"""Int8 models and their runtimes: OpenVINO, or torch's compiler.

A module here has the same inputs and outputs as the float model. It is made from an exported program of that model and
calibration batches, by NNCF or by torchao; the packages are imported when they are used.
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
    """Base class of the int8 models.

    Attributes:
        devices: the devices it runs on: the CPU.
        quantization: the report of :func:`zoo.quantize`.
        facts: JSON description that is written to a file; empty if not known.
        structure: structure of the outputs, as a spec of ``torch.utils._pytree``.
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
        """The output tensors in order."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Any:
        return tree_unflatten(list(self.compute(tuple(t.float() for t in inputs))), self.structure)

    def save(self, path: Path) -> None:
        """Write a file that runs without the model's code; it contains :attr:`facts`."""
        raise NotImplementedError


# ── OpenVINO ─────────────────────────────────────────────────────────────────────────────────────────────────────


class OpenVINOInt8(Int8Model):
    """An int8 model from NNCF, run by OpenVINO. Accepts any batch size; calls from several threads run in parallel.

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
        """Write two files, ``NAME.xml`` and ``NAME.bin``, without conversion of integers or floats."""
        import openvino as ov

        self.ir.set_rt_info(self.facts, [KEY])
        ov.save_model(self.ir, path, compress_to_fp16=False)

    def __deepcopy__(self, memo: Any) -> OpenVINOInt8:
        twin = OpenVINOInt8(self.ir, self.structure)  # the original is not modified
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
    """Settings for the lowest latency, with the same number of threads as torch."""
    import openvino as ov

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return ov.Core().compile_model(ir, "CPU", settings)


def by_openvino(ir: Any, batches: Sequence[Batch], structure: TreeSpec) -> tuple[Int8Model, int]:
    """NNCF's post-training quantization of an OpenVINO model.

    Returns:
        The model, and the number of its operations with int8 weights.

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
    """An int8 model from torchao: a graph that inductor compiles with frozen weights, once for each new input shape;
    this takes about half a minute and needs a C++ compiler.

    Attributes:
        graph: the graph with quantize and dequantize operations.
        example: the inputs it was exported with.
    """

    suffix = ".pt2"
    graph: Any
    example: Batch

    def __init__(self, graph: Any, structure: TreeSpec, example: Batch) -> None:
        super().__init__(structure)
        self.__dict__.update(graph=graph, example=example)  # not a submodule: it cannot be switched to training
        self._compiled: Any = None

    def compute(self, inputs: Batch) -> Sequence[Tensor]:
        if self._compiled is None:
            self.__dict__["_compiled"] = frozen(self.graph)
        return torch.utils._pytree.tree_leaves(self._compiled(*inputs))

    def save(self, path: Path) -> None:
        """Write an exported program for ``torch.export.load``."""
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
    """Register torchao's quantize and dequantize operators with torch."""
    if importlib.util.find_spec("torchao") is not None:
        with quietly():
            importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")
    else:
        with quietly():
            importlib.import_module("torch.ao.quantization.fx._decomposed")


def frozen(graph: Any) -> Callable[..., Any]:
    """A graph with quantize and dequantize operations, compiled by inductor to int8 operators, once for each new input
    shape."""
    import torch._inductor.config as inductor

    compiled: Any = torch.compile(graph, dynamic=False)

    def run(*inputs: Tensor) -> Any:
        with torch.no_grad(), inductor.patch(freezing=True):
            return compiled(*inputs)

    return run


def by_torch(program: Any, batches: Sequence[Batch], structure: TreeSpec) -> tuple[Int8Model, int]:
    """torchao's post-training quantization (PT2E) of an exported program, for x86 processors.

    Returns:
        The model, and the number of its operations with int8 weights.

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
    """The graph without the float weights that int8 weights have replaced."""
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
"""Engine → the packages it needs, and the extra that installs them."""


def capture(model: nn.Module, example: Batch) -> Any:
    """The exported program of a model, with a variable batch size if the model allows it.

    Raises:
        InvalidArgument: the model cannot be captured.
    """
    with quietly(), torch.no_grad():
        problem: Exception | None = None
        # strict=True first: each use of a shared ReLU then has its own node, as torchao's quantizer needs.
        for strict in (True, False):
            try:
                return torch.export.export(model, example, dynamic_shapes=any_batch(example), strict=strict)
            except Exception as e:  # noqa: BLE001  compiler passes can raise anything
                problem = e
    said = next(iter(str(problem).strip().splitlines()), "no reason given")
    raise InvalidArgument(
        f"{type(model).__name__} cannot be captured by torch.export, and so cannot be quantized: {said}"
    )


def any_batch(example: Batch) -> Any:
    """``dynamic_shapes`` with the same batch size for all arguments."""
    dim = torch.export.Dim("batch", min=1, max=4096)
    return tuple({0: dim} for _ in example)


def check_packages(engine: str) -> None:
    """Raise if a package that ``engine`` needs is not installed; nothing is imported.

    Raises:
        MissingExtra: the message says what to install.
    """
    packages, extra = PACKAGES[engine]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingExtra(
            f"Quantization for {engine} needs {' and '.join(packages)}; not installed: {', '.join(missing)}. "
            f"pip install 'zoo-tools[{extra}]'"
        )
