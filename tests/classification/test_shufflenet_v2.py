"""ShuffleNet V2: the channel shuffle, which must preserve the memory format."""

import pytest
import torch

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.shufflenet_v2 import InvertedResidual, ShuffleNetV2, interleave


def test_interleave_alternates_channels() -> None:
    a, b = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    assert interleave(a, b)[:, :, 0, 0].tolist() == [[0, 1, 0, 1, 0, 1]] * 2


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_interleave_is_a_concatenation_shuffled_in_two_groups(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 6, 4, 5).to(memory_format=memory_format).chunk(2, dim=1)[0]  # a slice, as in the blocks
    b = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    shuffled = torch.cat((a, b), 1).view(2, 2, 3, 4, 5).transpose(1, 2).reshape(2, 6, 4, 5)
    got = interleave(a, b)
    assert torch.equal(got, shuffled)
    assert got.is_contiguous(memory_format=memory_format)


def test_half_of_the_channels_pass_a_block_untouched() -> None:
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(InvertedResidual(8, 8, stride=1).eval()(x)[:, ::2], x[:, :4])


def test_features_stay_channels_last() -> None:
    model = zoo.get_model("shufflenet_v2_x0_5").eval().to(memory_format=torch.channels_last)
    x = torch.randn(1, 3, 64, 64).to(memory_format=torch.channels_last)
    paths = [stage.path for stage in model.feature_info]
    features = zoo.feature_extractor(model, paths)(x)
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in features.values())


@pytest.mark.parametrize(("inp", "oup", "stride"), [(8, 8, 3), (8, 7, 2), (8, 16, 1)])
def test_blocks_that_cannot_be(inp: int, oup: int, stride: int) -> None:
    with pytest.raises(InvalidArgument, match=f"from {inp} to {oup} channels with stride {stride}"):
        InvertedResidual(inp, oup, stride)


def test_stages_that_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match="expected three and five numbers"):
        ShuffleNetV2([4, 8], [24, 48, 96, 192, 1024])
