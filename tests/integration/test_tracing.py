"""torch.fx and torch.jit.trace: every model whose input is one batch is a graph with the same results."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from one_of_a_family import SMALL, built
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import zoo_classification.plugin
import zoo_segmentation.plugin
import zoo_video.plugin
from zoo import nn as zoo_nn, ops

BACKBONES = ("fcn", "deeplabv3", "lraspp")  # on any backbone, whose stages are read by hooks
OTHER = [
    model.name
    for plugin in (zoo_classification.plugin, zoo_segmentation.plugin, zoo_video.plugin)
    for model in plugin.zoo_manifest().models
    if model.name not in SMALL and model.name not in BACKBONES
]


TRACED = ("resnet18", "shufflenet_v2_x0_5", "swin_t", "swin_v2_t", "vit_b_32", "swin3d_t", "lraspp_mobilenet_v3_large")


def run(model: nn.Module, x: Tensor) -> list[Tensor]:
    torch.manual_seed(1)  # dropout and stochastic depth
    with torch.no_grad():
        return tree_leaves(copy.deepcopy(model)(x))  # training updates the copy's batch norm


def check_fx(name: str) -> None:
    model, x = built(name)
    for mode in (False, True):
        want = run(model.train(mode), x)
        graph = torch.fx.symbolic_trace(model)
        got = run(graph, x)
        assert len(want) == len(got)
        assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
        assert dict(graph.named_parameters()).keys() <= dict(model.named_parameters()).keys()


@pytest.mark.parametrize("name", SMALL)
def test_fx_graph_gives_the_models_results(name: str) -> None:
    check_fx(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_fx_graph_of_every_other_model_gives_its_results(name: str) -> None:
    check_fx(name)


@pytest.mark.parametrize("name", ["swin_t", "swin3d_t"])
def test_fx_graph_takes_inputs_of_other_sizes(name: str) -> None:
    """Padding, shifting and masking are nodes of the graph, independent of the first input's size."""
    model, _ = built(name)
    graph = torch.fx.symbolic_trace(model.eval())
    for shape in ((1, 40, 44), (3, 28, 28), (2, 116, 60)):
        x = torch.randn(shape[0], 3, *((6,) if name == "swin3d_t" else ()), *shape[1:])
        assert torch.equal(run(graph, x)[0], run(model, x)[0])


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "shufflenet_v2_x0_5",
        "swin_t",
        "swin_v2_t",
        "vit_b_32",
        "swin3d_t",
        "mvit_v2_s",
        "lraspp_mobilenet_v3_large",
    ],
)
def test_jit_trace_gives_the_models_results(name: str) -> None:
    model, x = built(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model.eval(), x, strict=False, check_trace=False)
    for a, b in zip(run(model, x), tree_leaves(traced(x)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_layers_that_depend_on_numbers_are_nodes() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depth, self.block = zoo_nn.StochasticDepth(0.5, "row"), zoo_nn.DropBlock2d(0.3, 3)
            self.pool, self.conv = ops.RoIAlign(3, 1.0, 2), ops.DeformConv2d(3, 4, 3)
            self.others = nn.ModuleList([ops.RoIPool(3, 1.0), ops.PSRoIPool(1, 1.0), ops.PSRoIAlign(1, 1.0, 2)])

        def forward(self, x: Tensor, boxes: Tensor, offset: Tensor) -> Any:
            x = self.block(self.depth(x))
            return self.conv(x, offset), self.pool(x, [boxes]), [pool(x, [boxes]) for pool in self.others]

    model = Layers().train()
    graph = torch.fx.symbolic_trace(model)
    called = {getattr(node.target, "__name__", node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert {
        "stochastic_depth",
        "drop_block2d",
        "deform_conv2d",
        "roi_align",
        "roi_pool",
        "ps_roi_pool",
        "ps_roi_align",
    } == called
    inputs = torch.randn(1, 3, 20, 20), torch.tensor([[1.0, 2.0, 9.0, 12.0]]), torch.randn(1, 18, 18, 18)
    for _ in range(2):
        torch.manual_seed(2)
        want = tree_leaves(model(*inputs))
        torch.manual_seed(2)
        assert all(torch.equal(a, b) for a, b in zip(want, tree_leaves(graph(*inputs)), strict=True))
        model.eval()
        graph = torch.fx.symbolic_trace(model)
