"""Norms against their definitions; MLP's layout; Permute."""

import pytest
import torch
from torch import nn

from zoo.errors import InvalidArgument
from zoo.nn import MLP, FrozenBatchNorm2d, LayerNorm2d, Permute, linear_head


def _filled(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for name, t in norm.state_dict().items():
        if t.is_floating_point():
            t.copy_(torch.rand_like(t) + (0.5 if name == "running_var" else 0))
    return norm


@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_frozen_batch_norm_is_batch_norm_in_eval_mode_also_in_training(eps):
    reference = _filled(nn.BatchNorm2d(5, eps=eps)).eval()
    frozen = FrozenBatchNorm2d(5, eps=eps).train()
    result = frozen.load_state_dict(reference.state_dict())  # its num_batches_tracked is dropped
    assert not result.missing_keys
    assert not result.unexpected_keys
    x = torch.randn(2, 5, 3, 4)
    mean, var, weight, bias = (
        getattr(reference, name)[:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    torch.testing.assert_close(frozen(x), (x - mean) / (var + eps).sqrt() * weight + bias)
    assert torch.equal(frozen.running_mean, reference.running_mean)
    assert list(frozen.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    assert not list(frozen.parameters())


def test_frozen_batch_norm_passes_gradients_to_its_input():
    frozen = _filled(FrozenBatchNorm2d(2)).double()
    x = torch.randn(1, 2, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(frozen, x)


def test_layer_norm_2d_normalises_the_channels_of_each_pixel():
    norm = _filled(LayerNorm2d(6, eps=1e-6))
    x = torch.randn(2, 6, 3, 4)
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    expected = (x - mean) / (var + 1e-6).sqrt() * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(norm(x), expected)


def test_mlp_layout_and_values():
    mlp = MLP(3, [4, 2], activation_layer=nn.GELU, dropout=0.5)
    assert [type(m) for m in mlp] == [nn.Linear, nn.GELU, nn.Dropout, nn.Linear, nn.Dropout]
    x = torch.randn(5, 3)
    torch.testing.assert_close(mlp.eval()(x), mlp[3](nn.functional.gelu(mlp[0](x))))
    with_norm = MLP(3, [4, 2], norm_layer=nn.LayerNorm, inplace=True, bias=False)
    assert [type(m) for m in with_norm] == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout, nn.Linear, nn.Dropout]
    assert with_norm[0].bias is None
    assert with_norm[2].inplace
    with pytest.raises(InvalidArgument, match="dropout is -1"):
        MLP(3, [2], dropout=-1)


def test_permute_and_linear_head():
    assert Permute([0, 3, 1, 2])(torch.zeros(1, 2, 3, 4)).shape == (1, 4, 2, 3)
    assert linear_head(8, 3).out_features == 3
    assert isinstance(linear_head(8, 0), nn.Identity)
    with pytest.raises(InvalidArgument, match="num_classes is -1"):
        linear_head(8, -1)
