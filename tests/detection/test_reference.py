"""Every detector equals the published one in layout, initialisation, detections, losses and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from helpers import flatten, layout, models_of, read_reference, reference_layout
from published import Published, PublishedModels, settings
from reference.cases import build_kwargs, inputs, targets
from reference.fill import fill_
from torch import Tensor, nn

import zoo

pytestmark = pytest.mark.usefixtures("one_thread")

BUILDS = read_reference("weights_builds_detection")


def detection_problems(got: Mapping[str, Tensor], want: Mapping[str, Any]) -> list[str]:
    """Detections that are missing or differ by more than rounding; equal scores may be in any order."""
    problems = []
    for i in range(sum(key.endswith(".boxes") for key in want)):
        ref = {f: torch.tensor(want[f"{i}.{f}"]["values"]) for f in ("boxes", "labels", "scores")}
        boxes, labels, scores = (got[f"{i}.{f}"] for f in ("boxes", "labels", "scores"))
        if list(boxes.shape) != want[f"{i}.boxes"]["shape"]:
            problems.append(f"image {i}: boxes {list(boxes.shape)}, reference {want[f'{i}.boxes']['shape']}")
            continue
        far = torch.cdist(ref["boxes"].view(-1, 4), boxes, p=float("inf"))
        far += 1e3 * (ref["scores"][:, None] - scores).abs() + 1e6 * (ref["labels"][:, None] != labels)
        nearest = far.min(1)
        if nearest.values.max() > 0.02:
            problems.append(f"image {i}: {int((nearest.values > 0.02).sum())} detections are off")
            continue
        if not torch.equal(nearest.indices, torch.arange(len(boxes))):
            continue  # masks and keypoints are sampled from ordered data
        for field in ("masks", "keypoints", "keypoints_scores"):
            facts = want.get(f"{i}.{field}")
            if facts is None:
                continue
            values = got[f"{i}.{field}"].flatten()[:: facts["step"]][: len(facts["values"])]
            off = (values - torch.tensor(facts["values"])).abs() > 2e-3 * facts["std"]
            if list(got[f"{i}.{field}"].shape) != facts["shape"] or off.double().mean() > 0.005:
                problems.append(f"image {i}: {field} {off.double().mean():.2%} of the values are off")
    return problems


def trained(name: str, model: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
    """Losses, and norms of the gradients of their sum, in train mode."""
    given = inputs(name, "detection")[0]
    losses = model.train()(given, targets(name, given))
    sum(losses.values()).backward()
    norms = {n: float("nan") if p.grad is None else p.grad.norm().item() for n, p in model.named_parameters()}
    return {key: loss.item() for key, loss in losses.items()}, norms


class TestModels(PublishedModels):
    family = "detection"
    slow = {  # noqa: RUF012
        "test_model_is_the_published_one": [
            *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn"),
            *("maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn", "retinanet_resnet50_fpn_v2", "ssd300_vgg16"),
        ]
    }

    def arguments(self, name: str) -> dict[str, Any]:
        return build_kwargs(name, "detection")

    def problems(self, got: Mapping[str, Tensor], want: Mapping[str, Any]) -> list[str]:
        return detection_problems(got, want)

    def check_training(self, model: Any, name: str) -> None:
        golden = read_reference(f"golden/{name}")
        losses, norms = trained(name, model)
        assert list(losses) == list(golden["train_losses"])
        assert losses == pytest.approx(golden["train_losses"], rel=1e-4)
        assert set(norms) == set(golden["grad_norms"])
        # Batch norms amplify rounding in the backward pass; the gradient of a bias before one is only rounding.
        assert norms == pytest.approx(golden["grad_norms"], rel=2e-2, abs=1e-5 * max(golden["grad_norms"].values()))


class TestSettings(Published):
    family = "detection"

    def test_weights_imply_the_published_settings(self, weights_name: str) -> None:
        """The norms and trained parameters of every entry, on the meta device."""
        entry, want = zoo.get_weight(weights_name), BUILDS[weights_name]
        model_name = self.entries[weights_name]["model"]
        with torch.device("meta"):
            model = zoo.get_model(model_name, weights=entry)
        have, plain = layout(model), reference_layout(model_name)
        assert set(have) <= set(plain)
        removed = {n for n, _, _ in set(plain) - set(have)}
        assert len(removed) == want["removed"]
        assert all(n.endswith("num_batches_tracked") for n in removed)
        counted = settings(model, ("params", "trainable_params"))
        assert counted == {key: want[key] for key in counted}
        assert counted["params"] == entry.value.num_params
        frozen = {m.eps for m in model.modules() if isinstance(m, zoo.nn.FrozenBatchNorm2d)}
        assert sorted(frozen) == want.get("frozen_bn_eps", [])


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * ("ResNet50" in n)) for n, build in BUILDS.items() if "eval" in build],
)
def test_settings_that_weights_imply_give_the_published_detections(name: str) -> None:
    """Frozen batch norm, with an eps of 0 if the entry requires it."""
    model_name = read_reference("weights")[name]["model"]
    kwargs = {**zoo.get_weight(name).value.config, **build_kwargs(model_name, "detection")}
    model = fill_(zoo.get_model(model_name, **kwargs)).eval()
    with torch.no_grad():
        got = flatten(model(*inputs(model_name, "detection")))
    assert detection_problems(got, BUILDS[name]["eval"]) == []


@pytest.mark.parametrize("name", [n for n in models_of("detection") if "_v2" not in n and not n.startswith("ssd")])
def test_batch_norm_is_frozen_if_the_backbone_starts_from_weights(name: str) -> None:
    with torch.device("meta"):
        random, started = (zoo.get_model(name, weights_backbone=w) for w in (None, "DEFAULT"))
        two = zoo.get_model(name, trainable_backbone_layers=2)

    def kinds(model: nn.Module) -> set[str]:
        return {type(m).__name__ for m in model.backbone.body.modules() if "BatchNorm" in type(m).__name__}

    assert kinds(random) == {"BatchNorm2d"}
    assert all(p.requires_grad for p in random.parameters())
    assert kinds(started) == {"FrozenBatchNorm2d"}
    trainable = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (two, started)]
    assert trainable[0] < trainable[1] < sum(p.numel() for p in started.parameters())
