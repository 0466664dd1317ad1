"""What is particular to RegNet: groups of one width, and squeeze-excitation sized by a block's input."""

from __future__ import annotations

import pytest

from zoo.errors import InvalidArgument
from zoo_classification.regnet import BlockParams, RegNet


def test_a_stage_narrower_than_the_group_width_is_one_group() -> None:
    model = RegNet(BlockParams((1, 1), (16, 64), group_width=32, se_ratio=0.25))
    blocks = [stage[0].f for stage in model.trunk_output]
    assert [f.b[0].groups for f in blocks] == [1, 2]
    assert [f.se.fc1.out_channels for f in blocks] == [8, 4]  # a quarter of what comes in: the stem's 32, then 16


@pytest.mark.parametrize("params", [BlockParams((1,), (16, 32), 8), BlockParams((1, 1), (16, 36), 8)])
def test_widths_that_do_not_fit_are_refused(params: BlockParams) -> None:
    with pytest.raises(InvalidArgument, match="block_params"):
        RegNet(params)
