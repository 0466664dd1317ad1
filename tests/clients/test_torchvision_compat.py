"""The published torchvision with a torch that does not fit its operators. `make test-clients` installs both."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"),
]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def program(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = folder / "program.py"
    file.write_text(text)
    return python("-m", "zoo", "run", str(file))


def test_the_wheel_is_broken_zoo_says_so_and_mends_it() -> None:
    if python("-c", "import torchvision").returncode == 0:
        pytest.skip("torchvision can be imported without zoo.compat here")
    assert "zoo run" in python("-m", "zoo", "doctor").stdout
    code = (
        "import zoo.compat; print(zoo.compat.torchvision_operators()); import torchvision; print(torchvision.__name__)"
    )
    run = python("-W", "error::UserWarning", "-c", code)
    assert run.stdout.split() == ["True", "torchvision"], run.stderr
    failed = "try:\n import torchvision\nexcept RuntimeError:\n pass\nelse:\n raise SystemExit('imported')\n"
    assert python("-c", failed + code).stdout.split() == ["True", "torchvision"]


OPERATORS = """
import torch, torchvision.ops as theirs, zoo.ops as ours
torch.manual_seed(0)
features = torch.rand(2, 18, 20, 20, dtype=torch.float64)
corner = torch.rand(9, 2, dtype=torch.float64) * 12
boxes = torch.cat([corner, corner + 2 + torch.rand(9, 2, dtype=torch.float64) * 6], 1)
rois = torch.cat([torch.arange(9)[:, None] % 2, boxes], 1)
scores = torch.rand(9)
assert theirs.nms(boxes, scores, 0.2).equal(ours.nms(boxes, scores, 0.2))
assert theirs.batched_nms(boxes, scores, torch.arange(9) % 3, 0.2).equal(
    ours.batched_nms(boxes, scores, torch.arange(9) % 3, 0.2)
)
for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"):
    results = []
    for module in (theirs, ours):
        x = features.clone().requires_grad_()
        out = getattr(module, name)(x, rois, 3, 0.8)
        results.append((out, *torch.autograd.grad(out.square().sum(), x)))
    assert all(torch.allclose(a, b) for a, b in zip(*results)), name
offset, mask = torch.randn(2, 18, 20, 20).double(), torch.rand(2, 9, 20, 20).double()
results = []
for module in (theirs, ours):
    layer = module.DeformConv2d(18, 6, 3, padding=1).double()
    torch.nn.init.constant_(layer.weight, 0.1), torch.nn.init.zeros_(layer.bias)
    given = [t.clone().requires_grad_() for t in (features, offset, mask)]
    out = layer(*given)
    results.append((out, *torch.autograd.grad(out.square().sum(), [*given, layer.weight, layer.bias])))
assert all(torch.allclose(a, b) for a, b in zip(*results))
turned = torch.cat([corner, torch.rand(9, 2) * 8 + 1, torch.rand(9, 1) * 360], 1).float()
for fmt in ("cxcywhr", "xywhr"):
    assert torch.allclose(theirs.box_iou(turned, turned, fmt=fmt), ours.box_iou(turned, turned, fmt=fmt), atol=1e-5)
assert theirs.roi_align(features.to("meta"), rois.to("meta"), 3).shape == (9, 18, 3, 3)
print("agree")
"""

DETECTOR = """
import torch, torchvision
torch.manual_seed(0)
model = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
picture, target = torch.rand(3, 100, 120), {"boxes": torch.tensor([[10.0, 10, 50, 60]]), "labels": torch.tensor([3])}
sum(model([picture], [target]).values()).backward()
assert model.roi_heads.box_head.fc6.weight.grad.abs().sum() > 0
assert {"boxes", "labels", "scores"} == model.eval()([picture])[0].keys()
exported = torch.export.export(torchvision.ops.RoIAlign(2, 1.0, 2), (torch.rand(1, 3, 9, 9), torch.rand(2, 5)))
assert "torchvision.roi_align.default" in {str(node.target) for node in exported.graph.nodes}
print("ran")
"""

SCRIPT = """
import torch, torchvision
torch.manual_seed(0)
boxes = torch.rand(20, 4) * 50
boxes[:, 2:] += boxes[:, :2]
scores, classes = torch.rand(20), torch.arange(20) % 3
for function in (torchvision.ops.nms, torchvision.ops.batched_nms):
    arguments = (boxes, scores, classes, 0.3) if function is torchvision.ops.batched_nms else (boxes, scores, 0.3)
    assert torch.jit.script(function)(*arguments).equal(function(*arguments))
traced = torch.jit.trace(lambda b, s, c: torchvision.ops.batched_nms(b, s, c, 0.3), (boxes, scores, classes))
other = boxes.flip(0)
assert traced(other, scores, classes).equal(torchvision.ops.batched_nms(other, scores, classes, 0.3))
rois = torch.cat([torch.zeros(20, 1), boxes / 5], 1)
features = torch.rand(1, 2, 30, 30)
assert torch.jit.script(torchvision.ops.RoIAlign(2, 1.0, 2))(features, rois).equal(
    torchvision.ops.roi_align(features, rois, 2, 1.0, 2)
)
model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
picture = torch.rand(3, 100, 120)
want, (_, got) = model([picture]), torch.jit.script(model)([picture])
assert all(torch.allclose(got[0][key], want[0][key], atol=1e-4) for key in want[0])
print("scripted")
"""

CHILDREN = """
import subprocess, sys
from concurrent.futures import ProcessPoolExecutor
import multiprocessing

def use(n):
    import torch, torchvision
    return len(torchvision.ops.nms(torch.rand(n, 4), torch.rand(n), 1.0))

if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        print(*pool.map(use, [3, 5]), flush=True)
    sys.exit(subprocess.run([sys.executable, "-c", "import torchvision"]).returncode)
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [(OPERATORS, "agree"), (DETECTOR, "ran"), (SCRIPT, "scripted"), (CHILDREN, "3 5")],
    ids=["operators", "detector", "script", "children"],
)
def test_programs_run(tmp_path: Path, text: str, said: str) -> None:
    run = program(tmp_path, text)
    assert (run.returncode, run.stdout.strip()) == (0, said), run.stderr


CLIENTS = {
    "timm": "import timm, torch; print(timm.create_model('resnet18', num_classes=3)(torch.rand(1, 3, 64, 64)).shape)",
    "torchmetrics": (
        "import torch; from torchmetrics.detection import MeanAveragePrecision as M\n"
        "m = M(); box = torch.tensor([[0.0, 0, 9, 9]])\n"
        "m.update([dict(boxes=box, labels=torch.tensor([1]), scores=torch.tensor([0.9]))],"
        " [dict(boxes=box, labels=torch.tensor([1]))]); print(m.compute()['map'])"
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_run(tmp_path: Path, client: str) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed")
    run = program(tmp_path, CLIENTS[client])
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == {"timm": "torch.Size([1, 3])", "torchmetrics": "tensor(1.)"}[client]
