"""Training of classifiers: targets are labels, the loss is cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Weights
from zoo.contract import Trainable
from zoo.errors import InvalidArgument

AUXILIARY = 0.3  # weight of auxiliary heads' losses, as in GoogLeNet's paper, https://arxiv.org/abs/1409.4842


class Preparation:
    """Preprocess the picture as the weights define; the label is unchanged."""

    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Any) -> tuple[Tensor, int]:
        return self.transform(image), int(target["label"])


class Training(Trainable):
    """The ``"train"`` component of image classification.

    Args:
        label_smoothing: label smoothing of the cross entropy, in [0, 1).
    """

    as_predicted = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise InvalidArgument(f"label_smoothing is {label_smoothing!r}; expected a number in [0, 1).")
        self.label_smoothing = label_smoothing

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        if weights.transforms is None:
            raise InvalidArgument("The weights define no preprocessing; pass zoo.Weights(transforms=zoo.Preset(…)).")
        return Preparation(weights.transforms())

    def collate(self, examples: Sequence[tuple[Tensor, int]]) -> tuple[tuple[Tensor], Tensor]:
        images, labels = zip(*examples, strict=True)
        return (torch.stack(images),), torch.tensor(labels)

    def check(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor, categories: Sequence[str]) -> None:
        """Check that the model has one class per category, and that the labels are valid."""
        training = model.training
        with torch.no_grad():
            outputs = model.eval()(arguments[0][:1], *arguments[1:])
        model.train(training)
        classes = (outputs if isinstance(outputs, Tensor) else outputs[0]).shape[-1]
        if classes != len(categories):
            raise InvalidArgument(f"The model has a head for {classes} classes, but the data have {len(categories)}.")
        if not 0 <= int(targets.min()) <= int(targets.max()) < classes:
            raise InvalidArgument(
                f"The labels are {int(targets.min())} to {int(targets.max())}; the model has {classes} classes, from 0."
            )

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy with labels [N], or class probabilities [N, num_classes], as from mixup; the losses of
        auxiliary heads are added with a weight of 0.3."""
        outputs = model(*arguments)
        logits, *others = [outputs] if isinstance(outputs, Tensor) else [o for o in outputs if o is not None]
        losses = {"loss": F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)}
        if others:
            losses["auxiliary"] = AUXILIARY * torch.stack([F.cross_entropy(o, targets) for o in others]).sum()
        return losses

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        outputs = model(*arguments)
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        right = (logits.argmax(1) == targets).double().mean()
        return {"loss": F.cross_entropy(logits, targets), "acc@1": 100 * right}
