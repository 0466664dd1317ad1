"""DenseNet: the key layout of the published files, and training with little memory."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.densenet import DenseNet, densenet121, rename_old_keys
from zoo_classification.weights.densenet import DenseNet121_Weights


def test_a_file_with_the_old_keys_loads(tmp_path: Path) -> None:
    model = densenet121().eval()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", k): v for k, v in model.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    file = tmp_path / "densenet121.pth"
    torch.save(old, file)

    loaded = densenet121(weights=dataclasses.replace(DenseNet121_Weights.DEFAULT.value, url=file.as_uri())).eval()

    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(x), model(x))
    assert "features.denseblock1.denselayer1.norm1.weight" in zoo.load_report(loaded).converted


def test_present_keys_are_left_alone() -> None:
    model = DenseNet(4, (2, 2), 8)
    assert list(rename_old_keys(dict(model.state_dict()), model)) == list(model.state_dict())


def test_memory_efficient_training_is_the_same_step() -> None:
    plain = DenseNet(8, (16,), 8, bn_size=1, num_classes=5).train()
    efficient = DenseNet(8, (16,), 8, bn_size=1, num_classes=5, memory_efficient=True).train()
    efficient.load_state_dict(plain.state_dict())
    x = torch.rand(4, 3, 32, 32)
    kept: dict[bool, int] = {}
    for model in (plain, efficient):
        sizes: list[int] = []

        def pack(t: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = model(x).square().mean()
        loss.backward()
        kept[model is efficient] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]
    for (name, p), q in zip(plain.named_parameters(), efficient.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)
    for (name, b), c in zip(plain.named_buffers(), efficient.buffers(), strict=True):
        torch.testing.assert_close(b, c, msg=name)  # the recomputation of a batch is not counted


@pytest.mark.parametrize("blocks", [1, 2, 4, 5])
def test_the_smallest_image_follows_the_number_of_blocks(blocks: int) -> None:
    model = DenseNet(4, (1,) * blocks, 8).eval()
    least = model.min_size
    assert model(torch.rand(1, 3, least, least)).shape == (1, 1000)
    if blocks > 1:
        with pytest.raises(InvalidArgument, match=f"at least {least}×{least}"):
            model(torch.rand(1, 3, least, least - 1))
        with pytest.raises(RuntimeError, match="too small"):  # the documented minimum is the true one
            model.features(torch.rand(1, 3, least - 1, least - 1))
