"""Tasks: outputs of transformers' models, decoded by transformers' processors to results of zoo."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import PictureTask, Weights
from zoo.errors import InvalidArgument
from zoo.io import Picture
from zoo.loading import loaded_weights
from zoo.transforms.functional import get_dimensions
from zoo_classification.embedding import ImageEmbedding
from zoo_classification.task import Classification
from zoo_detection import Detection
from zoo_segmentation.task import Segmentation
from zoo_transformers.results import Depth, PanopticSegmentation


class TransformersTask(PictureTask):
    """Pictures are prepared one by one by the processor of the weights; those of the same size are batched."""

    def processor(self, weights: Weights, method: str) -> Any:
        """The transformers processor of these weights, which must have the decoding method.

        Raises:
            InvalidArgument: it does not have the method: the model is not for this task.
        """
        made: Any = self.transform(weights)
        found = getattr(made, "processor", None)
        if not hasattr(found, method):
            raise InvalidArgument(f"{type(found).__name__}, the processor of these weights, has no {method}().")
        return found

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Any, ...]:
        """A random picture prepared by the processor; without a processor, of the size of ``zoo.PictureTask``."""
        described = loaded_weights(model) or weights
        (noise,) = super().example(model, described, size)
        if described is None or described.transforms is None or size is not None:
            return (noise,)
        made: Any = described.transforms()
        return (made((noise[0] * 255).byte())[None],)

    def watched(self, model: nn.Module) -> Sequence[nn.Module]:
        """The complete model: processors select the largest outputs."""
        return (model,)


def sizes_of(inputs: Sequence[Picture]) -> list[tuple[int, int]]:
    """(height, width) of each picture."""
    return [(height, width) for _, height, width in map(get_dimensions, inputs)]


class Classifying(TransformersTask):
    """Image classification: labels with probabilities."""

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Classification]:
        every = outputs["logits"].float().softmax(-1).cpu()
        categories = weights.class_names(every.shape[-1])
        return [Classification(p, categories, image) for p, image in zip(every, inputs, strict=True)]


@dataclass
class Detecting(TransformersTask):
    """Object detection.

    Args:
        min_score: objects with a lower score are neither printed nor drawn.
    """

    min_score: float = 0.5

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Detection]:
        processor = self.processor(weights, "post_process_object_detection")
        found = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes_of(inputs))
        results = []
        for one, image in zip(found, inputs, strict=True):
            order = one["scores"].argsort(descending=True, stable=True)
            parts = {key: one[key][order].cpu() for key in ("boxes", "labels", "scores")}
            parts |= {"boxes": parts["boxes"].float(), "scores": parts["scores"].float()}
            names = _names(weights, parts["labels"])
            results.append(Detection(**parts, categories=names, image=image, min_score=self.min_score))
        return results


@dataclass
class SegmentingInstances(TransformersTask):
    """Instance segmentation: objects with masks.

    Args:
        min_score: objects with a lower score are removed.
    """

    min_score: float = 0.5

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Detection]:
        processor = self.processor(weights, "post_process_instance_segmentation")
        found = processor.post_process_instance_segmentation(
            outputs, threshold=self.min_score, target_sizes=sizes_of(inputs)
        )
        results = []
        for one, image in zip(found, inputs, strict=True):
            segments, labels, scores = _segments(one)
            order = scores.argsort(descending=True, stable=True)
            masks = segments[None] == order[:, None, None]
            there = masks.flatten(1).any(1)
            masks, order = masks[there], order[there]
            results.append(
                Detection(
                    _boxes(masks),
                    labels[order],
                    scores[order],
                    _names(weights, labels),
                    image,
                    masks=masks[:, None].float(),
                    min_score=self.min_score,
                )
            )
        return results


class SegmentingClasses(TransformersTask):
    """Semantic segmentation: the class of every pixel."""

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Segmentation]:
        processor = self.processor(weights, "post_process_semantic_segmentation")
        maps = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes_of(inputs))
        known = weights.config.get("num_classes") or len(weights.read_categories())
        results = []
        for one, image in zip(maps, inputs, strict=True):
            names = weights.class_names(max(known, int(one.max()) + 1))
            results.append(Segmentation(one.cpu().to(_integers(len(names))), names, image))
        return results


@dataclass
class SegmentingAll(TransformersTask):
    """Panoptic segmentation: objects and regions.

    Args:
        min_score: segments with a lower score are removed.
    """

    min_score: float = 0.8

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[PanopticSegmentation]:
        processor = self.processor(weights, "post_process_panoptic_segmentation")
        read = processor.post_process_panoptic_segmentation
        apart: dict[str, Any] = {
            "label_ids_to_fuse": set()
        }  # otherwise the processor merges segments of some classes, with a warning
        found = read(outputs, threshold=self.min_score, target_sizes=sizes_of(inputs), **taken(read, apart))
        results = []
        for one, image in zip(found, inputs, strict=True):
            segments, labels, scores = _segments(one)
            results.append(PanopticSegmentation(segments, labels, scores, _names(weights, labels), image))
        return results


class Measuring(TransformersTask):
    """Depth estimation: the depth of every pixel."""

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Depth]:
        processor = self.processor(weights, "post_process_depth_estimation")
        read: Callable[..., Any] = processor.post_process_depth_estimation
        sizes = sizes_of(inputs)
        more = taken(read, {"source_sizes": sizes})
        unit = weights.extra.get("depth", "relative")
        found = read(outputs, target_sizes=sizes, **more)
        return [Depth(one["predicted_depth"].float().cpu(), unit, im) for one, im in zip(found, inputs, strict=True)]


@dataclass
class Embedding(TransformersTask):
    """Image embeddings: the projection if the model has one, otherwise the pooled output, otherwise the class token,
    otherwise the mean of all tokens.

    Args:
        normalize: scale vectors to length 1.
    """

    normalize: bool = False

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[ImageEmbedding]:
        said = weights.transforms.arguments if weights.transforms else {}
        vectors = vectors_of(outputs, said.get("model_type") not in WITHOUT_CLASS_TOKEN).float()
        vectors = F.normalize(vectors, dim=-1) if self.normalize else vectors
        return [ImageEmbedding(vector, image) for vector, image in zip(vectors.cpu(), inputs, strict=True)]


def taken(method: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The ``options`` that a processor's method accepts, which differ between processors of a task."""
    return {name: value for name, value in options.items() if name in inspect.signature(method).parameters}


WITHOUT_CLASS_TOKEN = ("ijepa",)  # among models that return tokens without pooling


def vectors_of(outputs: Any, class_token: bool = True) -> Tensor:
    """The embedding of each picture, [N, D]; ``class_token`` tells whether the first token is a class token.

    Raises:
        InvalidArgument: the model has no suitable output.
    """
    for key in ("image_embeds", "pooler_output"):
        if isinstance(outputs.get(key), Tensor):
            found: Tensor = outputs[key]
            return found.flatten(1)
    last = outputs.get("last_hidden_state")
    if not isinstance(last, Tensor) or last.ndim < 3:
        raise InvalidArgument(f"The model returns {', '.join(outputs)}; expected pooler_output or last_hidden_state.")
    if last.ndim > 3:
        return last.flatten(2).mean(-1)
    return last[:, 0] if class_token else last.mean(1)


def _names(weights: Weights, labels: Tensor) -> list[str]:
    known = len(weights.read_categories())
    most = int(labels.max()) if len(labels) else -1
    return weights.class_names(known if most < known else most + 1)


def _integers(classes: int) -> torch.dtype:
    return torch.uint8 if classes <= 256 else torch.int64


def _segments(one: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Segments numbered from 0, -1 for none; their labels and scores."""
    given, about = one["segmentation"].cpu().long(), one["segments_info"]
    numbered = torch.full_like(given, -1)
    for i, row in enumerate(about):
        numbered[given == row["id"]] = i
    labels = torch.tensor([row["label_id"] for row in about], dtype=torch.int64)
    return numbered, labels, torch.tensor([row.get("score", 1.0) for row in about], dtype=torch.float32)


def _boxes(masks: Tensor) -> Tensor:
    """The bounding boxes of the masks, which must not be empty: bool [n, H, W] → float [n, 4], xyxy."""
    boxes = torch.zeros(len(masks), 4)
    for i, mask in enumerate(masks):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        boxes[i] = torch.stack([columns[0, 0], rows[0, 0], columns[-1, 0] + 1, rows[-1, 0] + 1]).float()
    return boxes
