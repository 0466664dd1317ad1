"""Captured graphs: compiled whole, exported with any number of boxes, and as ONNX's native operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo.ops as ops

BOXES = torch.tensor([[1.0, 1, 12, 9], [2, 2, 6, 14], [3, 3, 9, 9], [1, 1, 12, 10], [0, 0, 60, 50]])
OTHERS = torch.tensor([[0.0, 2, 9, 9], [4, 4, 5, 20], [1, 1, 3, 3]])
SCORES = torch.tensor([0.3, 0.9, 0.5, 0.6, 0.1])
CLASSES = torch.tensor([0, 1, 0, 0, 1])
X = torch.randn(2, 12, 16, 20, generator=torch.Generator().manual_seed(0))
LEVELS = [X[:1], X[1:, :, ::2, ::2]]
POOL = ops.MultiScaleRoIAlign(["a", "b"], 3, 2)


def rois(boxes: Tensor) -> Tensor:
    return torch.cat([boxes.new_zeros(boxes.shape[0], 1), boxes], 1)


def pooled(boxes: Tensor) -> Tensor:
    return POOL({"a": LEVELS[0], "b": LEVELS[1]}, [boxes], [(64, 80)])


def deformed(boxes: Tensor) -> Tensor:
    return ops.deform_conv2d(X, boxes.mean() + X.new_zeros(2, 18, 16, 20), X.new_ones(4, 12, 3, 3), padding=1)


# Functions of any number of boxes, each exact where it is captured.
OF_BOXES: dict[str, Callable[[Tensor], Any]] = {
    "box_iou": lambda boxes: ops.box_iou(boxes, boxes.flip(0)),
    "complete_box_iou": lambda boxes: ops.complete_box_iou(boxes, OTHERS),
    "generalized_box_iou_loss": lambda boxes: ops.generalized_box_iou_loss(boxes, boxes.flip(0)),
    "complete_box_iou_loss": lambda boxes: ops.complete_box_iou_loss(boxes, boxes.flip(0), reduction="mean"),
    "box_convert": lambda boxes: ops.box_convert(boxes, "xyxy", "cxcywh"),
    "clip_boxes_to_image": lambda boxes: ops.clip_boxes_to_image(boxes, (5, 7)),
    "roi_align": lambda boxes: ops.roi_align(X, rois(boxes), (3, 2), 0.25, 2),
    "roi_align of a list": lambda boxes: ops.roi_align(X, [boxes, boxes], 3, 0.25, 1, True),
    "roi_pool": lambda boxes: ops.roi_pool(X, rois(boxes), (3, 2), 0.25),
    "ps_roi_align": lambda boxes: ops.ps_roi_align(X, rois(boxes), (3, 2), 0.25, 2),
    "ps_roi_pool": lambda boxes: ops.ps_roi_pool(X, rois(boxes), (3, 2), 0.25),
    "MultiScaleRoIAlign": pooled,
    "nms": lambda boxes: ops.nms(boxes, boxes.sum(1), 0.5),
    "batched_nms": lambda boxes: ops.batched_nms(boxes, boxes.sum(1), boxes[:, 0].long() % 2, 0.5),
    "nms_padded": lambda boxes: ops.nms_padded(boxes, boxes.sum(1), 0.5, 7),
}


class Module(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Any:
        return self.function(*args)


@pytest.mark.parametrize("name", [*OF_BOXES, "deform_conv2d"])
def test_compiles_whole(name: str) -> None:
    function = OF_BOXES.get(name, deformed)
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="eager")
    for boxes in (BOXES, BOXES.repeat(3, 1) + 0.5):
        torch.testing.assert_close(compiled(boxes), function(boxes))


def test_compiled_gradients() -> None:
    def loss(x: Tensor) -> Tensor:
        return ops.roi_align(x, rois(BOXES), (3, 2), 0.25, 2).square().sum()

    torch._dynamo.reset()
    x = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(x), x)
    (grad,) = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(x), x)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("name", list(OF_BOXES))
def test_exports_with_any_number_of_boxes(name: str) -> None:
    function = OF_BOXES[name]
    count = torch.export.Dim("boxes", min=0)
    exported = torch.export.export(Module(function), (BOXES,), dynamic_shapes=(({0: count},),)).module()
    for boxes in (BOXES, BOXES.repeat(3, 1) + 0.5, BOXES[:1], BOXES[:0]):
        torch.testing.assert_close(exported(boxes), function(boxes))


def test_onnx_has_native_operators_and_takes_no_boxes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def function(boxes: Tensor, scores: Tensor, classes: Tensor) -> tuple[Tensor, ...]:
        return (
            ops.roi_align(X, rois(boxes), (3, 2), 0.25, 2),
            ops.roi_align(X, rois(boxes), 3, 0.25, -1, aligned=True),
            pooled(boxes),
            ops.nms_padded(boxes, scores, 0.5, 6, classes),
            ops.nms_padded(boxes, scores, 0.5, 6, classes, scores < 0.8),
            ops.nms(boxes, 1 - scores, 0.5),
        )

    count = torch.export.Dim("boxes")
    program = torch.onnx.export(
        Module(function).eval(),
        (BOXES, SCORES, CLASSES),
        dynamo=True,
        dynamic_shapes=(({0: count}, {0: count}, {0: count}),),
        verbose=False,
    )
    assert program is not None
    kinds = [node.op_type for node in program.model_proto.graph.node]
    assert kinds.count("RoiAlign") == 4
    assert kinds.count("NonMaxSuppression") == 3
    assert "Loop" not in kinds
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [i.name for i in session.get_inputs()]
    for n in (5, 0, 1):
        inputs = (BOXES[:n], SCORES[:n], CLASSES[:n])
        outputs = session.run(None, {name: t.numpy() for name, t in zip(names, inputs, strict=True)})
        for out, expected in zip(outputs, function(*inputs), strict=True):
            torch.testing.assert_close(torch.from_numpy(out), expected, atol=1e-4, rtol=1e-4)
