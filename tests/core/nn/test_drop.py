"""Stochastic depth and DropBlock: rates, expectations, shapes of what is dropped, bad arguments."""

import pytest
import torch

from zoo.errors import InvalidArgument
from zoo.nn import DropBlock2d, DropBlock3d, StochasticDepth, drop_block2d, drop_block3d, stochastic_depth


def test_row_mode_drops_samples_whole_and_keeps_the_expectation():
    torch.manual_seed(0)
    out = stochastic_depth(torch.ones(20_000, 2, 1, 1), p=0.25, mode="row")
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert torch.equal(out[:, 0], out[:, 1])
    assert out.mean().item() == pytest.approx(1, abs=0.02)


def test_batch_mode_decides_once():
    torch.manual_seed(0)
    kinds = [stochastic_depth(torch.ones(4, 3), 0.5, "batch").unique().tolist() for _ in range(40)]
    assert all(len(k) == 1 for k in kinds)
    assert {k[0] for k in kinds} == {0.0, 2.0}


def test_stochastic_depth_at_the_ends():
    x = torch.randn(3, 2)
    assert stochastic_depth(x, 0.0, "row") is x
    assert stochastic_depth(x, 0.9, "row", training=False) is x
    assert torch.equal(stochastic_depth(x, 1.0, "row"), torch.zeros(3, 2))
    assert StochasticDepth(0.9, "row").eval()(x) is x


@pytest.mark.parametrize(("p", "mode", "named"), [(-0.1, "row", "-0.1"), (1.5, "row", "1.5"), (0.1, "rows", "'rows'")])
def test_stochastic_depth_says_what_is_wrong(p, mode, named):
    with pytest.raises(InvalidArgument, match=named):
        StochasticDepth(p, mode)
    with pytest.raises(InvalidArgument, match=named):
        stochastic_depth(torch.ones(1), p, mode)


@pytest.mark.parametrize("block_size", [1, 3, 4])
@pytest.mark.parametrize(("drop", "size"), [(drop_block2d, (16, 24)), (drop_block3d, (6, 12, 8))])
def test_dropped_features_form_whole_blocks(drop, size, block_size):
    torch.manual_seed(0)
    out = drop(torch.ones(2, 3, *size), p=0.1, block_size=block_size)
    zero = (out == 0).float()
    assert 0 < zero.mean() < 0.4
    # A pixel is dropped exactly if some block of zeros covers it: opening by the block changes nothing.
    pool = torch.nn.functional.max_pool2d if len(size) == 2 else torch.nn.functional.max_pool3d
    solid = 1 - pool(1 - zero, block_size, stride=1)
    pad = [block_size - 1] * 2 * len(size)
    assert torch.equal(pool(torch.nn.functional.pad(solid, pad), block_size, stride=1), zero)


def test_drop_rate_is_about_p_and_the_mean_is_kept():
    torch.manual_seed(0)
    out = drop_block2d(torch.ones(64, 16, 28, 28), p=0.1, block_size=5)
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.015)
    assert out.mean().item() == pytest.approx(1, abs=1e-4)


def test_drop_block_in_place_off_and_oversized():
    x = torch.ones(1, 2, 8, 8)
    assert DropBlock2d(0.5, 3).eval()(x) is x
    assert DropBlock2d(0.0, 3)(x) is x
    assert drop_block2d(x, 1.0, 99, inplace=True) is x
    assert not x.any()
    assert DropBlock3d(0.1, 99)(torch.ones(1, 1, 2, 4, 4)).shape == (1, 1, 2, 4, 4)


def test_drop_block_says_what_is_wrong():
    with pytest.raises(InvalidArgument, match="p is 2"):
        DropBlock2d(2, 3)
    with pytest.raises(InvalidArgument, match="block_size is 0"):
        DropBlock3d(0.1, 0)
    with pytest.raises(InvalidArgument, match=r"\[2, 3, 4\]; expected 4 dimensions"):
        drop_block2d(torch.ones(2, 3, 4), 0.1, 3)
