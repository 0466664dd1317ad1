"""ConvNeXt: the drop probabilities of its blocks."""

from __future__ import annotations

import pytest

from zoo.errors import InvalidArgument
from zoo.nn import StochasticDepth
from zoo_classification.convnext import ConvNeXt


def test_stochastic_depth_grows_linearly_over_all_blocks() -> None:
    model = ConvNeXt([(8, 2), (16, 3)], stochastic_depth_prob=0.4)
    assert [m.p for m in model.modules() if isinstance(m, StochasticDepth)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [(s.channels, s.stride) for s in model.feature_info] == [(8, 4), (16, 8)]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="stochastic_depth_prob"):
        ConvNeXt([(8, 1)], stochastic_depth_prob=1.5)
    with pytest.raises(InvalidArgument, match="block_setting is empty"):
        ConvNeXt([])
