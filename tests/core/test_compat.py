"""A torchvision whose compiled operators are not there: a package of the tests' own with its public interface."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo.ops
from zoo import compat
from zoo.cli.running import SITE
from zoo.ops._torchvision import FAKES, KERNELS, SCHEMAS

# What torchvision does: it asks its extension, registers sizes for meta tensors, which fails where there are no
# operators, and calls the operators.
PACKAGE = {
    "__init__.py": """
        from torchvision import extension, _meta
        from torchvision.extension import _has_ops
        from torchvision import ops
        assert _has_ops()
    """,
    "extension.py": """
        def _has_ops():
            return False

        def _assert_has_ops():
            if not _has_ops():
                raise RuntimeError("Couldn't load custom C++ ops.")
    """,
    "_meta.py": """
        import torch

        @torch.library.register_fake("torchvision::nms")
        def nms(dets, scores, iou_threshold):
            return dets.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.long)
    """,
    "ops.py": """
        import torch
        from torchvision.extension import _assert_has_ops

        def nms(boxes, scores, iou_threshold):
            _assert_has_ops()
            return torch.ops.torchvision.nms(boxes, scores, iou_threshold)
    """,
}
COMPILED = """
        import torch
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", lambda dets, scores, iou_threshold: torch.tensor([42]), "CPU")

        def _has_ops():
            return True

        def _assert_has_ops():
            pass
    """
USE = """
import torch, torchvision
boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]]).float()
print(torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5).tolist())
"""


def write(
    folder: Path, files: dict[str, str], requires: str = f"torch (=={torch.__version__.partition('+')[0]})"
) -> Path:
    for name, text in files.items():
        file = folder / "torchvision" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        first = len(text) - len(text.lstrip("\n "))
        file.write_text("\n".join(line[8:] if first else line for line in text.splitlines()))
    about = folder / "torchvision-0.28.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\nRequires-Dist: {requires}\n"
    )
    return folder


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return write(tmp_path, PACKAGE)


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, cwd=folder)


def test_it_is_broken_and_made_whole(broken: Path) -> None:
    assert "torchvision::nms does not exist" in python(broken, "-c", USE).stderr
    repair = "import zoo.compat; assert zoo.compat.torchvision_operators()\nassert zoo.compat.torchvision_operators()\n"
    run = python(broken, "-W", "error", "-c", repair + USE)
    assert run.stdout == "[1, 2]\n", run.stderr
    after = "try:\n    import torchvision\nexcept RuntimeError:\n    print('failed')\n"
    run = python(broken, "-c", after + repair + USE)
    assert run.stdout == "failed\n[1, 2]\n", run.stderr


def test_compiled_operators_stay_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    whole = write(tmp_path, {**PACKAGE, "extension.py": COMPILED})
    for before in ("", "import zoo.compat; zoo.compat.watch()\n"):
        assert python(whole, "-c", before + USE).stdout == "[42]\n"
    late = "import torchvision, zoo.compat; assert zoo.compat.torchvision_operators({}) is {}\n"
    assert python(whole, "-c", late.format("", False) + USE).stdout == "[42]\n"
    run = python(whole, "-c", late.format("replace=True", True) + USE)
    assert run.stdout == "[1, 2]\n", run.stderr


def test_watching_and_listing_import_neither(broken: Path) -> None:
    code = "import sys, zoo, zoo.compat; zoo.compat.watch(); zoo.list_models()\n"
    assert python(broken, "-c", code + "print({'torch', 'torchvision'} & {*sys.modules})").stdout == "set()\n"


def test_zoo_run_runs_programs_as_they_are(broken: Path) -> None:
    (broken / "program.py").write_text(
        "import subprocess, sys\n"
        f"{USE}\n"
        "print(sys.argv[1:], __name__, sys.stdin.read())\n"
        "code = 'import torchvision, sys; print(torchvision.ops.nms.__module__); sys.exit(5)'\n"
        "sys.stdout.flush()\n"
        "print(subprocess.run([sys.executable, '-c', code]).returncode)\n"
        "sys.exit(3)\n"
    )
    # what another package of this name does is done
    (broken / "sitecustomize.py").write_text("import os; os.environ['CUSTOM'] = '1'")
    program = [sys.executable, "-m", "zoo", "run"]
    paths = os.pathsep.join([str(broken), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [*program, "program.py", "--help", "-m", "x"],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=broken,
        input="typed",
        capture_output=True,
        text=True,
    )
    lines = ["[1, 2]", "['--help', '-m', 'x'] __main__ typed", "torchvision.ops", "5"]
    assert (run.returncode, run.stdout.splitlines()) == (3, lines), run.stderr
    assert "--compact" in python(broken, "-m", "zoo", "run", "-m", "json.tool", "--help").stdout
    code = "import os, sys; print(os.environ['CUSTOM'], any('site' == p.rpartition('/')[2] for p in sys.path))"
    run = python(broken, "-m", "zoo", "run", "-c", code)
    assert run.stdout == "1 False\n", run.stderr
    missing = python(broken, "-m", "zoo", "run", "nowhere.py")
    assert missing.returncode == 1
    assert "neither a file nor a command" in missing.stderr
    assert (SITE / "sitecustomize.py").is_file()


def test_doctor_sees_what_does_not_fit(tmp_path: Path) -> None:
    folder = write(tmp_path, PACKAGE, "torch (==1.0.0)")
    run = python(folder, "-m", "zoo", "doctor", "--json")
    told = json.loads(run.stdout)["torchvision"]
    assert told.startswith("torchvision 0.28.0 is made for torch 1.0.0, and ")
    assert "zoo run" in python(folder, "-m", "zoo", "doctor").stdout


def test_doctor_sees_libraries_that_are_not_there(broken: Path) -> None:
    look = "import zoo.compat, sys; print(zoo.compat.misfit()); assert 'torch' not in sys.modules"
    assert python(broken, "-c", look).stdout == "None\n"
    library = broken / "torchvision" / "_C.so"
    library.write_bytes(b"\x7fELF\0libc10.so\0libtorch_of_another_kind.so\0libm.so.6\0")
    assert "needs libtorch_of_another_kind.so, which" in python(broken, "-c", look).stdout
    run = python(broken, "-c", "import zoo.compat; zoo.compat.torchvision_operators()\n" + USE)
    assert run.stdout == "[1, 2]\n", run.stderr


def test_no_torchvision_no_complaint() -> None:
    assert compat.misfit() is None


# ── the operators: registered here, where no torchvision is installed ────────────────────────────────────────────────


@pytest.fixture(scope="module")
def operators() -> object:
    assert compat.torchvision_operators(replace=True)
    return torch.ops.torchvision


def regions(k: int = 4, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 8, 5, 6, generator=generator, dtype=dtype)
    corner = torch.rand(k, 2, generator=generator, dtype=dtype) * 3
    boxes = torch.cat([corner, corner + 1 + torch.rand(k, 2, generator=generator, dtype=dtype) * 3], 1)
    image = torch.randint(0, 2, (k, 1), generator=generator).to(dtype)
    return features, torch.cat([image, boxes], 1)


POOLS = [
    ("roi_align", (0.9, 2, 3, 2, True), lambda x, r: zoo.ops.roi_align(x, r, (2, 3), 0.9, 2, True)),
    ("roi_align", (0.9, 2, 2, -1, False), lambda x, r: zoo.ops.roi_align(x, r, 2, 0.9)),
    ("roi_pool", (0.9, 2, 3), lambda x, r: zoo.ops.roi_pool(x, r, (2, 3), 0.9)),
    ("ps_roi_align", (0.9, 2, 2, 2), lambda x, r: zoo.ops.ps_roi_align(x, r, 2, 0.9, 2)),
    ("ps_roi_pool", (0.9, 2, 2), lambda x, r: zoo.ops.ps_roi_pool(x, r, 2, 0.9)),
]


@pytest.mark.parametrize(("name", "rest", "ours"), POOLS)
def test_pooling_operators_and_their_gradients(operators: object, name: str, rest: tuple, ours: object) -> None:
    features, rois = regions()
    operator = getattr(operators, name)

    def first(x: torch.Tensor) -> torch.Tensor:
        out = operator(x, rois, *rest)
        return out[0] if isinstance(out, tuple) else out

    assert torch.equal(first(features), ours(features, rois))
    assert torch.autograd.gradcheck(first, features.clone().requires_grad_())
    half = operator(features.half(), rois.float(), *rest)
    assert (half[0] if isinstance(half, tuple) else half).dtype == torch.float16
    nothing = operator(features, rois[:0], *rest)
    assert (nothing[0] if isinstance(nothing, tuple) else nothing).shape[0] == 0


def test_where_each_maximum_and_each_cell_is_from(operators: object) -> None:
    features, rois = regions()
    out, argmax = operators.roi_pool(features, rois, 0.9, 3, 3)
    planes = features[rois[:, 0].long()].flatten(2)
    taken = planes.gather(2, argmax.long().clamp(min=0).flatten(2)).view(out.shape)
    assert torch.equal(out, torch.where(argmax >= 0, taken, 0))
    far = torch.tensor([[0.0, 100, 100, 110, 110]], dtype=torch.float64)
    assert operators.roi_pool(features, far, 1.0, 2, 2)[1].unique().tolist() == [-1]
    _, channels = operators.ps_roi_pool(features, rois, 0.9, 2, 2)
    assert channels[0].flatten().tolist() == list(range(8))


def deformable(dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return [random(2, 4, 5, 6), random(6, 2, 3, 2), random(2, 24, 3, 6), random(2, 12, 3, 6), random(6)]


@pytest.mark.parametrize("use_mask", [True, False])
def test_deformable_convolution_and_its_gradients(operators: object, use_mask: bool) -> None:
    x, weight, offset, mask, bias = tensors = deformable()
    numbers = (2, 1, 1, 1, 1, 2, 2, 2, use_mask)
    out = operators.deform_conv2d(*tensors, *numbers)
    ours = zoo.ops.deform_conv2d(x, offset, weight, bias, (2, 1), 1, (1, 2), mask if use_mask else None)
    assert torch.equal(out, ours)
    leaves = [t.requires_grad_() for t in tensors]
    assert torch.autograd.gradcheck(lambda *given: operators.deform_conv2d(*given, *numbers), leaves)
    twice = torch.autograd.grad(operators.deform_conv2d(*leaves, *numbers).sum(), leaves[0], create_graph=True)[0]
    # the second of an installed torchvision, whose gradients stay
    with pytest.raises((zoo.errors.InvalidArgument, RuntimeError), match=r"differentiable only once|double backwards"):
        twice.sum().backward()


def test_weights_that_no_view_can_flatten() -> None:
    x, weight, offset, mask, _ = deformable()
    strided = weight.transpose(2, 3).contiguous().transpose(2, 3)
    settings = {"stride": (2, 1), "padding": 1, "dilation": (1, 2), "mask": mask}
    want, got = (zoo.ops.deform_conv2d(x, offset, w, **settings) for w in (weight, strided))
    assert torch.equal(want, got)


def test_quantized_operators(operators: object) -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], dtype=torch.uint8)
    assert operators.qnms(boxes, torch.tensor([50, 90, 30], dtype=torch.uint8), 0.5).tolist() == [1, 2]
    features, rois = torch.randint(0, 255, (1, 3, 9, 9), dtype=torch.uint8), torch.tensor([[0, 1, 1, 7, 6]]).byte()
    out = operators.qroi_align(features, rois, 0.1, 3, 1.0, 0, 1.0, 2, 2, 2, False)
    real = zoo.ops.roi_align((features.float() - 3) * 0.1, rois.float(), 2, sampling_ratio=2)
    assert out.dtype == torch.uint8
    assert ((out.float() - 3) * 0.1 - real).abs().max() <= 0.0501


def test_rotated(operators: object) -> None:
    boxes = torch.tensor([[5.0, 5, 4, 2, 30], [5, 5, 4, 2, -60]])
    assert torch.equal(operators.box_iou_rotated(boxes, boxes), zoo.ops.box_iou(boxes, boxes, "cxcywhr"))


def test_meta_and_compile(operators: object) -> None:
    features, rois = regions(dtype=torch.float32)
    for name, rest, _ in POOLS:
        real, meta = (getattr(operators, name)(*(t.to(d) for t in (features, rois)), *rest) for d in ("cpu", "meta"))
        for a, b in zip(*(out if isinstance(out, tuple) else (out,) for out in (real, meta)), strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
    tensors = deformable(torch.float32)
    numbers = (2, 1, 1, 1, 1, 2, 2, 2, True)
    meta = operators.deform_conv2d(*(t.to("meta") for t in tensors), *numbers)
    assert meta.shape == operators.deform_conv2d(*tensors, *numbers).shape

    class Pool(torch.nn.Module):
        def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
            kept = torch.ops.torchvision.nms(rois[:, 1:], rois[:, 1], 0.5)
            return torch.ops.torchvision.roi_align(x, rois[kept], 1.0, 2, 2, -1, False)

    graph = torch.export.export(Pool(), (features, rois), strict=False)
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert {"torchvision.nms.default", "torchvision.roi_align.default"} <= called
    assert torch.equal(graph.module()(features, rois), Pool()(features, rois))
    torch._dynamo.reset()
    x = features.clone().requires_grad_()
    torch.compile(Pool(), backend="aot_eager", dynamic=False)(x, rois).sum().backward()
    want = features.clone().requires_grad_()
    Pool()(want, rois).sum().backward()
    assert torch.allclose(x.grad, want.grad)


def test_every_operator_has_all_it_needs(operators: object) -> None:
    assert KERNELS.keys() == FAKES.keys() == SCHEMAS.keys() - {"_cuda_version"}
    if importlib.util.find_spec("torchvision") is None:
        assert operators._cuda_version() == -1
    for name in KERNELS:
        for key in ("CPU", "CUDA", "MPS", "Meta"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", key)
        if name not in ("nms", "qnms", "qroi_align", "box_iou_rotated"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", "Autograd")
