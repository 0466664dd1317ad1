"""Training programs like torchvision's tutorials and reference recipes, on small generated pictures.

    python tests/clients/drivers.py --library zoo [NAME …]          (or torchvision)

prints the losses of every step as JSON, by name of the driver. Only the library differs: models and operators are
imported from it, everything else is defined here. ``driver_losses.json`` beside this file contains the output of
``--library torchvision``; run it again to renew the file. The losses are in float64, so that rounding stays small
through all steps: untrained networks amplify it a hundredfold per step.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Library = Any  # zoo or torchvision
DRIVERS: dict[str, Callable[[Library], list[float]]] = {}


SINGLE: set[str] = set()  # drivers that run only in float32


def driver(name: str, single: bool = False, **given: Any) -> Callable[..., Any]:
    """Adds the function to ``DRIVERS``; can be repeated with other names and arguments."""

    def add(function: Callable[..., list[float]]) -> Callable[..., list[float]]:
        DRIVERS[name] = functools.partial(function, **given)
        SINGLE.update([name] if single else [])
        return function

    return add


def noise(*shape: int, generator: torch.Generator) -> Tensor:
    """Random numbers in [0, 1), the same in any precision."""
    return torch.rand(shape, generator=generator, dtype=torch.float32).to(torch.get_default_dtype())


def load(library: str) -> Library:
    names = "models models.detection models.segmentation models.video models.optical_flow models.quantization ops "
    names += "transforms utils"
    for name in names.split():
        importlib.import_module(f"{library}.{name}")
    return importlib.import_module(library)


# ─── classification ──────────────────────────────────────────────────────────────────────────────────────────────────


def pictures(n: int, side: int, classes: int, frames: int | None = None) -> list[tuple[Tensor, int]]:
    """Pictures with a bar whose brightness and position depend on the class; clips [3, T, H, W] with ``frames``."""
    generator, made = torch.Generator().manual_seed(3), []
    for i in range(n):
        label = i % classes
        image = noise(3, *(() if frames is None else (frames,)), side, side, generator=generator) * 0.3
        width = side // classes
        image[..., label * width : (label + 1) * width] += 0.6
        made.append((image, label))
    return made


def set_weight_decay(model: nn.Module, norms: tuple[type[nn.Module], ...], decay: float) -> list[dict[str, Any]]:
    """No weight decay for norms, biases and position embeddings."""
    groups: dict[float, list[nn.Parameter]] = {decay: [], 0.0: []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = isinstance(module, norms) or name in ("bias", "class_token", "relative_position_bias_table")
            groups[0.0 if plain else decay].append(parameter)
    return [{"params": parameters, "weight_decay": rate} for rate, parameters in groups.items() if parameters]


def mixed(images: Tensor, labels: Tensor, classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Each picture with its neighbour in the batch, targets likewise."""
    share = float(torch._sample_dirichlet(torch.tensor([alpha, alpha]))[0])
    targets = nn.functional.one_hot(labels, classes).float()
    return images.roll(1, 0) * (1 - share) + images * share, targets.roll(1, 0) * (1 - share) + targets * share


@driver("classification_resnet", model="resnet18", side=64, ema=True)
@driver("classification_mobilenet", model="mobilenet_v3_small", side=64, optimizer="rmsprop")
@driver("classification_efficientnet", model="efficientnet_b0", side=64, mixup=0.2, ema=True)
@driver("classification_shufflenet", model="shufflenet_v2_x0_5", side=64)
@driver("classification_squeezenet", model="squeezenet1_1", side=64, rate=0.01)
@driver("classification_regnet", model="regnet_y_400mf", side=64)
@driver("classification_vit", model="vit_b_32", side=64, optimizer="adamw", rate=1e-4, image_size=64, mixup=0.2)
@driver("classification_swin", model="swin_t", side=64, optimizer="adamw", rate=1e-4)
@driver("classification_convnext", model="convnext_tiny", side=64, optimizer="adamw", rate=1e-4)
@driver("video_r3d", model="video.r3d_18", side=32, frames=4, n=12)
@driver("video_swin3d", model="video.swin3d_t", side=32, frames=4, n=12, optimizer="adamw", rate=1e-4)
def classification(
    library: Library,
    model: str,
    side: int,
    optimizer: str = "sgd",
    rate: float = 0.05,
    mixup: float = 0.0,
    ema: bool = False,
    n: int = 24,
    frames: int | None = None,
    **kwargs: Any,
) -> list[float]:
    """An epoch with label smoothing, warm-up, cosine, clipped gradients; then validation, also of the averaged
    model."""
    space, _, name = f".{model}".rpartition(".")
    models = getattr(library.models, space[1:]) if space[1:] else library.models
    classes, data = 4, pictures(n, side, 4, frames)
    net = models.__dict__[name](weights=None, num_classes=classes, **kwargs)
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    groups = set_weight_decay(net, norms, 1e-4)
    made: Any = {
        "sgd": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        "rmsprop": functools.partial(torch.optim.RMSprop, momentum=0.9, eps=0.0316, alpha=0.9),
        "adamw": torch.optim.AdamW,
    }[optimizer](groups, lr=rate)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = DataLoader(data, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(4))  # type: ignore[arg-type]
    warm = torch.optim.lr_scheduler.LinearLR(made, 0.1, total_iters=1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(made, len(loader))
    scheduler = torch.optim.lr_scheduler.SequentialLR(made, [warm, cosine], milestones=[1])
    average = torch.optim.swa_utils.AveragedModel(net, avg_fn=lambda a, b, _: 0.5 * a + 0.5 * b, use_buffers=True)
    losses = []
    for images, labels in loader:
        target = labels
        if mixup:
            images, target = mixed(images, labels, classes, mixup)
        loss = criterion(net(images), target)
        made.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        made.step()
        scheduler.step()
        if ema:
            average.update_parameters(net)
        losses.append(loss.item())
    for tested in [net.eval(), average.eval()][: 2 if ema else 1]:
        with torch.inference_mode():
            logits = torch.cat([tested(torch.stack([x for x, _ in data[i : i + 8]])) for i in range(0, n, 8)])
        losses.append(criterion(logits, torch.tensor([y for _, y in data])).item())
    return losses


@driver("classification_auxiliary", model="googlenet", side=64)
@driver("classification_auxiliary_v3", model="inception_v3", side=299, n=4)
def auxiliary(library: Library, model: str, side: int, n: int = 12) -> list[float]:
    """Auxiliary classifiers, whose losses have a weight of 0.3 each."""
    net = library.models.__dict__[model](weights=None, num_classes=3, aux_logits=True, init_weights=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    criterion, losses = nn.CrossEntropyLoss(label_smoothing=0.1), []
    for images, labels in DataLoader(pictures(n, side, 3), batch_size=min(4, n // 2)):  # type: ignore[arg-type]
        out = net(images)
        loss = criterion(out.logits, labels) + 0.3 * sum(criterion(x, labels) for x in out[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@driver("quantization_aware", single=True, model="mobilenet_v2")
@driver("quantization_aware_resnet", single=True, model="resnet18")
def quantization_aware(library: Library, model: str) -> list[float]:
    """Fused, with fake quantization; observers and statistics of norms are frozen for the last steps."""
    net = library.models.quantization.__dict__[model](weights=None, quantize=False, num_classes=3)
    net.fuse_model(is_qat=True)
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("qnnpack")
    torch.ao.quantization.prepare_qat(net, inplace=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for i, (images, labels) in enumerate(DataLoader(pictures(16, 48, 3), batch_size=4)):  # type: ignore[arg-type]
        if i == 2:
            net.apply(torch.ao.quantization.disable_observer)
            net.apply(torch.nn.intrinsic.qat.freeze_bn_stats)
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ─── segmentation ────────────────────────────────────────────────────────────────────────────────────────────────────


def segmented(n: int, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A square of class 1 or 2 on class 0, with an ignored edge."""
    generator = torch.Generator().manual_seed(5)
    for i in range(n):
        image, target = noise(3, side, side, generator=generator) * 0.3, torch.zeros(side, side, dtype=torch.long)
        x, y = torch.randint(4, side // 2, (2,), generator=generator).tolist()
        target[y - 1 : y + side // 3 + 1, x - 1 : x + side // 3 + 1] = 255
        target[y : y + side // 3, x : x + side // 3] = 1 + i % 2
        image[i % 2, y : y + side // 3, x : x + side // 3] += 0.6
        yield image, target


@driver("segmentation_fcn", model="fcn_resnet50", aux_loss=True)
@driver("segmentation_deeplab", model="deeplabv3_mobilenet_v3_large", aux_loss=True)
@driver("segmentation_deeplab_resnet", model="deeplabv3_resnet50")
@driver("segmentation_lraspp", model="lraspp_mobilenet_v3_large")
def segmentation(library: Library, model: str, **kwargs: Any) -> list[float]:
    """The auxiliary classifier has a weight of 0.5 and ten times the learning rate; polynomial decay with power 0.9."""
    net = library.models.segmentation.__dict__[model](weights=None, weights_backbone=None, num_classes=3, **kwargs)
    groups = [{"params": [p for p in part.parameters() if p.requires_grad]} for part in (net.backbone, net.classifier)]
    if kwargs.get("aux_loss"):
        groups.append({"params": list(net.aux_classifier.parameters()), "lr": 0.1})
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-4)
    data = list(segmented(8, 64))
    loader = DataLoader(data, batch_size=4, drop_last=True)  # type: ignore[arg-type]
    falling = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=len(loader), power=0.9)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=1)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, falling], milestones=[1])

    def criterion(found: dict[str, Tensor], target: Tensor) -> Tensor:
        each = {key: nn.functional.cross_entropy(x, target, ignore_index=255) for key, x in found.items()}
        return each["out"] + 0.5 * each["aux"] if "aux" in each else each["out"]

    losses = []
    for images, target in loader:
        loss = criterion(net(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    with torch.inference_mode():
        losses.append(
            criterion(net.eval()(torch.stack([x for x, _ in data])), torch.stack([y for _, y in data])).item()
        )
    return losses


# ─── detection ───────────────────────────────────────────────────────────────────────────────────────────────────────


class People(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Bright upright boxes on noise, with masks and three keypoints each, in the format of the tutorial's data set."""

    # The ratio of resizing these is exact in float32, to which torchvision rounds it even in float64.
    SIZES = ((128, 160), (160, 128), (128, 128))

    def __init__(self, library: Library, n: int = 6) -> None:
        self.boxes_of, self.n = library.ops.boxes.masks_to_boxes, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        generator = torch.Generator().manual_seed(i)
        height, width = self.SIZES[i % 3]
        image, masks = noise(3, height, width, generator=generator) * 0.3, []
        for k in range(1 + i % 2):
            x, y = 10 + 55 * k + 2 * i, 12 + 3 * i
            mask = torch.zeros(height, width, dtype=torch.uint8)
            mask[y : y + 50, x : x + 28] = 1
            image[:, mask.bool()] += 0.5
            masks.append(mask)
        found = torch.stack(masks)
        boxes = self.boxes_of(found).to(image)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        # No keypoint on the edge of a heat map's cell, where rounding decides its cell.
        points = torch.stack([boxes[:, :2] + 3.3, middle + 0.3, boxes[:, 2:] - 3.3], 1)
        return image, {
            "boxes": boxes,
            "labels": torch.ones(len(masks), dtype=torch.int64),
            "masks": found,
            "keypoints": torch.cat([points, torch.full((len(masks), 3, 1), 2.0)], 2).float(),
            "image_id": i,
            "area": (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 2] - boxes[:, 0]),
            "iscrowd": torch.zeros(len(masks), dtype=torch.int64),
        }


FEWER = {"rpn_post_nms_top_n_train": 200, "rpn_post_nms_top_n_test": 100, "box_batch_size_per_image": 64}


def collated(batch: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*batch, strict=True))


def epoch(library: Library, net: nn.Module, rate: float = 0.005) -> list[float]:
    """All losses of every step; then the detections."""
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], rate, 0.9, weight_decay=0.0005)
    loader = DataLoader(People(library), batch_size=2, collate_fn=collated)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=len(loader) - 1)
    losses = []
    net.train()
    for images, targets in loader:
        each = net(list(images), [dict(t) for t in targets])
        total = sum(each.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        warm.step()
        losses += [each[key].item() for key in sorted(each)]
    with torch.no_grad():  # as in programs that validate in train mode
        images, targets = next(iter(loader))
        assert net(list(images), [dict(t) for t in targets]).keys() == each.keys()
        found = net.eval()(list(images))
    assert {"boxes", "labels", "scores"} <= set(found[0])
    drawn = library.utils.draw_bounding_boxes((images[0] * 255).byte(), targets[0]["boxes"], colors="red")
    assert drawn.shape == images[0].shape
    return losses


@driver("tutorial_mobilenet", backbone="mobilenet_v2", out_channels=1280)
@driver("tutorial_mobilenet_v3", backbone="mobilenet_v3_small", out_channels=576)
@driver("tutorial_squeezenet", backbone="squeezenet1_1", out_channels=512)
def custom_backbone(library: Library, backbone: str, out_channels: int) -> list[float]:
    """The tutorial's Faster R-CNN on the features of a classifier."""
    from_detection = library.models.detection
    features = library.models.get_model(backbone, weights=None).features
    features.out_channels = out_channels
    anchors = from_detection.rpn.AnchorGenerator(sizes=((32, 64, 128, 256, 512),), aspect_ratios=((0.5, 1.0, 2.0),))
    pool = library.ops.MultiScaleRoIAlign(featmap_names=["0"], output_size=7, sampling_ratio=2)
    net = from_detection.FasterRCNN(
        features, num_classes=2, rpn_anchor_generator=anchors, box_roi_pool=pool, min_size=96, max_size=128, **FEWER
    )
    return epoch(library, net)


@driver("tutorial_mask_rcnn", model="maskrcnn_resnet50_fpn")
@driver("tutorial_faster_rcnn", model="fasterrcnn_resnet50_fpn")
@driver("tutorial_keypoint_rcnn", model="keypointrcnn_resnet50_fpn")
def new_predictors(library: Library, model: str, **kwargs: Any) -> list[float]:
    """The tutorial's model for other classes: the predictors are replaced."""
    detection = library.models.detection
    net = detection.__dict__[model](weights=None, weights_backbone=None, min_size=96, max_size=128, **FEWER, **kwargs)
    width = net.roi_heads.box_predictor.cls_score.in_features
    net.roi_heads.box_predictor = detection.faster_rcnn.FastRCNNPredictor(width, 2)
    if "mask" in model:
        width = net.roi_heads.mask_predictor.conv5_mask.in_channels
        net.roi_heads.mask_predictor = detection.mask_rcnn.MaskRCNNPredictor(width, 256, 2)
    if "keypoint" in model:
        width = net.roi_heads.keypoint_predictor.kps_score_lowres.in_channels
        net.roi_heads.keypoint_predictor = detection.keypoint_rcnn.KeypointRCNNPredictor(width, 3)
    return epoch(library, net)


@driver("new_head_retinanet")
def new_head(library: Library) -> list[float]:
    """RetinaNet for other classes, with other anchors: the classification head is replaced."""
    detection = library.models.detection
    net = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=96, max_size=128)
    channels, per_cell = net.backbone.out_channels, net.head.classification_head.num_anchors
    head = detection.retinanet.RetinaNetClassificationHead(
        channels, per_cell, 2, norm_layer=functools.partial(nn.GroupNorm, 32)
    )
    net.head.classification_head = head
    net.anchor_generator = detection.anchor_utils.AnchorGenerator(
        tuple((x, int(x * 1.3), int(x * 1.6)) for x in (16, 32, 64, 128, 256)), ((0.5, 1.0, 2.0),) * 5
    )
    return epoch(library, net)


@driver("recipe_faster_rcnn", model="fasterrcnn_mobilenet_v3_large_320_fpn", size={"min_size": 96, "max_size": 128})
@driver("recipe_faster_rcnn_v2", model="fasterrcnn_resnet50_fpn_v2", size={"min_size": 96, "max_size": 128})
@driver("recipe_retinanet", model="retinanet_resnet50_fpn_v2", size={"min_size": 96, "max_size": 128})
@driver("recipe_fcos", model="fcos_resnet50_fpn", size={"min_size": 96, "max_size": 128})
@driver("recipe_ssd", model="ssd300_vgg16", size={})
@driver("recipe_ssdlite", model="ssdlite320_mobilenet_v3_large", size={})
def recipe(library: Library, model: str, size: dict[str, int]) -> list[float]:
    kwargs: dict[str, Any] = {"weights_backbone": None, **size}
    if "rcnn" in model:
        kwargs |= {"rpn_score_thresh": 0.0, **FEWER}
    net = library.models.get_model(model, weights=None, num_classes=2, **kwargs)
    return epoch(library, net, 0.0005 if "ssd300" in model else 0.005)


# ─── optical flow ────────────────────────────────────────────────────────────────────────────────────────────────────


@driver("optical_flow_raft", single=True, model="raft_small")
def optical_flow(library: Library, model: str) -> list[float]:
    """The sequence loss: later updates have larger weights."""
    generator = torch.Generator().manual_seed(6)
    net = library.models.optical_flow.__dict__[model](weights=None)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=1e-5, eps=1e-8)
    first = noise(1, 3, 128, 128, generator=generator) * 2 - 1
    truth = torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, 128, 128)
    second = first.roll((-1, 2), (2, 3))
    losses = []
    for _ in range(2):
        steps = net(first, second, num_flow_updates=3)
        loss = sum(0.8 ** (len(steps) - i - 1) * (x - truth).abs().mean() for i, x in enumerate(steps))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def run(library: str, name: str, dtype: torch.dtype = torch.float64) -> list[float]:
    """Losses of one driver; those in ``SINGLE`` always run in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if name in SINGLE else dtype)
    try:
        torch.manual_seed(0)
        return DRIVERS[name](load(library))
    finally:
        torch.set_default_dtype(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=["zoo", "torchvision"], default="zoo")
    parser.add_argument("names", nargs="*", default=sorted(DRIVERS), metavar="NAME")
    given = parser.parse_args()
    before = "{"
    for name in given.names:
        losses = [float(f"{loss:.10g}") for loss in run(given.library, name)]
        print(f"{before}\n  {json.dumps(name)}: {json.dumps(losses)}", end="", flush=True)
        before = ","
    print("\n}")


if __name__ == "__main__":
    main()
