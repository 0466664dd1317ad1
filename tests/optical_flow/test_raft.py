"""RAFT equals the published model with every computation of correlations, and can be captured and trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import read_reference
from published import PublishedModels
from reference.fill import fill_
from torch import Tensor

import zoo
from zoo.errors import InvalidArgument
from zoo_optical_flow import sequence_loss
from zoo_optical_flow.raft import CorrBlock, InstanceNorm2d, check_frames, upsample_convex

pytestmark = pytest.mark.usefixtures("one_thread")


class TestModels(PublishedModels):
    family = "optical_flow"

    def inputs(self, name: str) -> tuple[Any, ...]:
        return (*super().inputs(name), 3)  # updates

    def check_training(self, model: Any, name: str) -> None:
        golden = read_reference(f"golden/{name}")
        flows = model.train()(*self.inputs(name))
        loss = sum(flow.square().mean() for flow in flows)
        assert loss.item() == pytest.approx(golden["train_loss"], rel=1e-4)
        loss.backward()
        norms = {n: p.grad.norm().item() for n, p in model.named_parameters() if golden["grad_norms"][n] > 1e-2}
        assert norms == {n: pytest.approx(golden["grad_norms"][n], rel=2e-3) for n in norms}


def moved(seed: int = 0, size: tuple[int, int] = (128, 136)) -> tuple[Tensor, Tensor]:
    first = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return first, torch.roll(first, (2, -3), (2, 3))


# ── correlation ──────────────────────────────────────────────────────────────────────────────────────────────────


def by_definition(first: Tensor, second: Tensor, coords: Tensor, levels: int, radius: int) -> Tensor:
    """Following the paper: pool the second map, take each position around, interpolate, multiply."""
    d = first.shape[1]
    found = []
    for level in range(levels):
        for dx in range(-radius, radius + 1):
            for dy in range(-radius, radius + 1):
                x, y = coords[:, 0] / 2**level + dx, coords[:, 1] / 2**level + dy
                size = torch.tensor([second.shape[3], second.shape[2]])
                grid = (2 * torch.stack([x, y], -1) + 1) / size - 1
                there = torch.nn.functional.grid_sample(second, grid, padding_mode="zeros", align_corners=False)
                found.append((first * there).sum(1) / d**0.5)
        second = torch.nn.functional.avg_pool2d(second, 2)
    return torch.stack(found, 1)


@pytest.fixture
def looked_up() -> tuple[Tensor, Tensor, Tensor]:
    """Features of 10×13 positions, and coordinates inside, at the edges, outside and far away."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 2, 6, 10, 13, dtype=torch.float64)
    coords = torch.rand(2, 2, 10, 13, dtype=torch.float64) * 20 - 4
    coords[0, :, 0, :3] = torch.tensor([[0, 12, 1e7], [0, 9, -1e7]])
    return first.requires_grad_(), second.requires_grad_(), coords


@pytest.mark.parametrize("correlation", ["full", "local"])
def test_correlations_are_the_papers(correlation: str, looked_up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_optical_flow.raft.CHUNK", 2000)  # several chunks, the last one smaller
    first, second, coords = looked_up
    block = CorrBlock(num_levels=2, radius=2, correlation=correlation)
    got, want = block(first, second)(coords), by_definition(first, second, coords, 2, 2)
    assert got.shape == (2, block.out_channels, 10, 13)
    torch.testing.assert_close(got, want)
    weights = torch.randn(want.shape, dtype=torch.float64)
    gradients = (torch.autograd.grad((x * weights).sum(), (first, second)) for x in (got, want))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["raft_large", "raft_small"])
def test_local_correlation_gives_the_same_flow_and_gradients(name: str) -> None:
    frames, results = moved(), {}
    for correlation in ("full", "local"):
        model = fill_(zoo.get_model(name, correlation=correlation))
        flows = model(*frames, num_flow_updates=2)
        flows[-1].square().mean().backward()
        results[correlation] = [*flows, *(p.grad / p.grad.norm() for p in model.parameters() if p.grad.norm() > 1e-2)]
    for full, local in zip(results["full"], results["local"], strict=True):
        torch.testing.assert_close(local, full, rtol=1e-3, atol=2e-4)


def test_auto_is_full_until_the_volume_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("zoo_optical_flow.raft.gathered_products", lambda *args: calls.append(1) or torch.zeros(70, 4))
    maps = torch.randn(2, 1, 8, 7, 10)
    place = torch.zeros(1, 2, 7, 10)
    block = CorrBlock(num_levels=1, radius=0)
    block(*maps)(place)
    assert not calls
    monkeypatch.setattr("zoo_optical_flow.raft.FULL_UP_TO", 70 * 70 * 4 - 1)
    block(*maps)(place)
    assert calls


def test_nothing_is_kept_between_calls() -> None:
    model = fill_(zoo.get_model("raft_small")).eval()
    before = {name: set(vars(m)) for name, m in model.named_modules()}
    with torch.no_grad():
        once = model(*moved(), num_flow_updates=1)[0]
        model(*moved(1, (136, 128)), num_flow_updates=1)
        torch.testing.assert_close(model(*moved(), num_flow_updates=1)[0], once, rtol=0, atol=0)
    assert {name: set(vars(m)) for name, m in model.named_modules()} == before


# ── the rest of the model ────────────────────────────────────────────────────────────────────────────────────────


def test_instance_norm_is_torchs() -> None:
    x = torch.randn(2, 5, 9, 7) * 3 + 1
    torch.testing.assert_close(InstanceNorm2d(5)(x), torch.nn.InstanceNorm2d(5)(x))


def test_convex_upsampling_weighs_the_coarse_neighbours() -> None:
    flow = torch.zeros(1, 2, 3, 3)
    flow[0, :, 1, 2] = torch.tensor([1.0, -2.0])  # right of the centre
    mask = torch.full((1, 9, 8, 8, 3, 3), -1e4)
    mask[:, 4] = 0  # every position uses itself …
    mask[0, 5, 6, 7, 1, 1] = 100.0  # … except one fine position in the centre, which uses its right neighbour
    fine = upsample_convex(flow, mask.view(1, -1, 3, 3))
    assert fine.shape == (1, 2, 24, 24)
    assert fine[0, :, 8 + 6, 8 + 7].tolist() == [8, -16]
    fine[0, :, 14, 15] = 0
    assert fine[0, 0, 8:16, 16:].unique().tolist() == [8]
    fine[0, :, 8:16, 16:] = 0
    assert not fine.any()


@pytest.mark.parametrize("correlation", ["full", "local"])
def test_is_captured_whole(correlation: str) -> None:
    model = fill_(zoo.get_model("raft_small", correlation=correlation)).eval()
    frames = moved()
    with torch.no_grad():
        want = model(*frames, num_flow_updates=1)
        compiled = torch.compile(model, backend="eager", fullgraph=True)(*frames, num_flow_updates=1)
        exported = torch.export.export(model, frames, {"num_flow_updates": 1}).module()(*frames, num_flow_updates=1)
    for got in (compiled, exported):
        torch.testing.assert_close(got, want)


def test_half_precision_keeps_positions() -> None:
    model = fill_(zoo.get_model("raft_small")).eval().bfloat16()
    first, second = (frame.bfloat16() for frame in moved())
    with torch.no_grad():
        half = model(first, second, num_flow_updates=2)
        whole = model.float()(first.float(), second.float(), num_flow_updates=2)
    assert half[-1].dtype == torch.bfloat16
    assert (half[-1] - whole[-1]).norm() < 0.1 * whole[-1].norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flows_are_in_single_precision_under_autocast(dtype: torch.dtype) -> None:
    """And as close to single precision as the features allow: upsampling in half precision has 4 times the error."""
    model = fill_(zoo.get_model("raft_large")).eval()
    frames = moved()
    with torch.no_grad():
        whole = model(*frames, num_flow_updates=3)
        with torch.autocast("cpu", dtype=dtype):
            half = model(*frames, num_flow_updates=3)
    assert {flow.dtype for flow in half} == {torch.float32}
    off = (half[-1] - whole[-1]).norm(dim=1).mean() / whole[-1].norm(dim=1).mean()
    assert off < (0.03 if dtype == torch.bfloat16 else 0.004)
    # Values between two half-precision neighbours occur: nothing was rounded after the update.
    assert (half[-1].to(dtype).float() != half[-1]).double().mean() > 0.9


def test_convex_upsampling_is_a_weighted_mean_of_nine() -> None:
    flow, mask = torch.randn(2, 2, 3, 4, dtype=torch.float64), torch.randn(2, 576, 3, 4, dtype=torch.float64)
    fine = upsample_convex(flow, mask)
    padded = torch.nn.functional.pad(8 * flow, (1, 1, 1, 1))
    weights = mask.view(2, 9, 8, 8, 3, 4).softmax(1)
    for n, c, y, x in [(0, 0, 0, 0), (1, 1, 23, 31), (0, 1, 10, 17), (1, 0, 5, 30)]:
        around = padded[n, c, y // 8 : y // 8 + 3, x // 8 : x // 8 + 3].flatten()
        want = (around * weights[n, :, y % 8, x % 8, y // 8, x // 8]).sum()
        assert fine[n, c, y, x].item() == pytest.approx(want.item())


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 3, 130, 136)] * 2, r"130×136.*multiples of 8.*pad_frames"),
        ([(1, 3, 136, 130)] * 2, r"136×130.*multiples of 8.*pad_frames"),  # either side counts
        ([(1, 3, 120, 128)] * 2, "120×128.*at least 128×128"),
        ([(1, 3, 128, 128), (2, 3, 128, 128)], "two of the same shape"),
        ([(3, 128, 128)] * 2, "batch dimension"),
        ([(1, 1, 128, 128)] * 2, "1 channels"),
    ],
)
def test_frames_that_cannot_be_are_refused(shapes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check_frames(*(torch.zeros(shape) for shape in shapes))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="num_flow_updates is 0"):
        zoo.get_model("raft_small")(*moved(), num_flow_updates=0)
    with pytest.raises(InvalidArgument, match=r"correlation is 'lokal'.*Did you mean 'local'"):
        zoo.get_model("raft_small", correlation="lokal")


def test_parts_can_be_replaced() -> None:
    block = CorrBlock(radius=3, correlation="local")
    assert zoo.get_model("raft_small", corr_block=block).corr_block is block


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sequence_loss_by_hand() -> None:
    target = torch.tensor([[[[1.0, 0.0]], [[2.0, float("nan")]]]])  # [1, 2, 1, 2]: the second pixel is unknown
    first, second = torch.zeros_like(target), torch.tensor([[[[1.0, 5.0]], [[4.0, 5.0]]]])
    first.requires_grad_()
    loss = sequence_loss([first, second], target, torch.tensor([[[True, False]]]), gamma=0.5)
    # |(0, 0) - (1, 2)| has weight 0.5, |(1, 4) - (1, 2)| has weight 1; averaged over two channels.
    assert loss.item() == pytest.approx(0.5 * (1 + 2) / 2 + (0 + 2) / 2)
    loss.backward()
    assert first.grad.flatten().tolist() == [-0.25, 0, -0.25, 0]
    assert sequence_loss([second], target, torch.zeros(1, 1, 2)).item() == 0

    everywhere = sequence_loss([first.detach()], torch.ones(1, 2, 1, 2))
    assert everywhere.item() == 1
    with pytest.raises(InvalidArgument, match="expected the same shape"):
        sequence_loss([first], torch.ones(1, 2, 2, 2))
    with pytest.raises(InvalidArgument, match="valid has shape"):
        sequence_loss([first], target, torch.ones(1, 2, 2, 2))


def test_sequence_loss_leaves_out_what_moves_too_far_and_holds_its_sums() -> None:
    target = torch.zeros(1, 2, 1, 3)
    target[0, :, 0] = torch.tensor([[3.0, 400.0, 0.0], [4.0, 0.0, 399.0]])
    flow = torch.zeros_like(target)
    assert sequence_loss([flow], target).item() == pytest.approx((3 + 4 + 399) / 4)
    assert sequence_loss([flow], target, max_flow=None).item() == pytest.approx((3 + 4 + 399 + 400) / 6)
    assert sequence_loss([flow], target, torch.tensor([[[0, 1, 1]]]), max_flow=10).item() == 0
    wide = torch.full((1, 2, 256, 512), 3.0, dtype=torch.float16)  # their sum, 786,432, overflows in half precision
    assert sequence_loss([torch.zeros_like(wide)], wide).item() == 3


def test_a_few_steps_learn_a_pair() -> None:
    torch.manual_seed(0)
    frames = moved()
    target = torch.tensor([-3.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 128, 136)
    model = zoo.get_model("raft_small").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = sequence_loss(model(*frames, num_flow_updates=2), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
