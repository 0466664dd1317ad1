"""Checkpoints of torchvision's models and of zoo's load in both, training states too. `make test-clients` installs
both."""

from __future__ import annotations

import argparse
import copy
import io
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import int8_files
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss
from torch.optim.swa_utils import AveragedModel

import zoo
import zoo_quantized.eager

pytestmark = pytest.mark.slow

FEW = {"box_batch_size_per_image": 16, "rpn_batch_size_per_image": 32, "rpn_post_nms_top_n_train": 50}
SMALL = {"min_size": 64, "max_size": 64}  # the images' size: the ratio of resizing is rounded to float32

# One model of each family: the images' shape, and arguments that make it small.
IMAGES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "alexnet": ((2, 3, 64, 64), {}),
    "convnext_tiny": ((2, 3, 64, 64), {}),
    "densenet121": ((2, 3, 64, 64), {}),
    "efficientnet_b0": ((2, 3, 64, 64), {}),
    "efficientnet_v2_s": ((2, 3, 64, 64), {}),
    "googlenet": ((2, 3, 96, 96), {"init_weights": False}),
    "inception_v3": ((2, 3, 299, 299), {"init_weights": False}),
    "maxvit_t": ((1, 3, 224, 224), {}),
    "mnasnet1_0": ((2, 3, 64, 64), {}),
    "mobilenet_v2": ((2, 3, 64, 64), {}),
    "mobilenet_v3_small": ((2, 3, 64, 64), {}),
    "regnet_y_400mf": ((2, 3, 64, 64), {}),
    "resnet18": ((2, 3, 64, 64), {}),
    "resnext50_32x4d": ((2, 3, 64, 64), {}),
    "shufflenet_v2_x0_5": ((2, 3, 64, 64), {}),
    "squeezenet1_1": ((2, 3, 64, 64), {}),
    "swin_t": ((2, 3, 64, 64), {}),
    "swin_v2_t": ((2, 3, 64, 64), {}),
    "vgg11_bn": ((2, 3, 32, 32), {"init_weights": False}),
    "vit_b_32": ((2, 3, 64, 64), {"image_size": 64}),
    "video.mc3_18": ((2, 3, 4, 32, 32), {}),
    "video.mvit_v2_s": ((1, 3, 16, 224, 224), {}),
    "video.r2plus1d_18": ((2, 3, 4, 32, 32), {}),
    "video.s3d": ((1, 3, 14, 224, 224), {}),
    "video.swin3d_t": ((1, 3, 4, 64, 64), {}),
    "segmentation.deeplabv3_mobilenet_v3_large": ((2, 3, 64, 64), {"aux_loss": True}),
    "segmentation.fcn_resnet50": ((2, 3, 64, 64), {"aux_loss": True}),
    "segmentation.lraspp_mobilenet_v3_large": ((2, 3, 64, 64), {}),
    "detection.fasterrcnn_mobilenet_v3_large_320_fpn": ((2, 3, 64, 64), {**SMALL, **FEW}),
    "detection.fasterrcnn_resnet50_fpn_v2": ((2, 3, 64, 64), {**SMALL, **FEW}),
    "detection.fcos_resnet50_fpn": ((2, 3, 64, 64), {**SMALL}),
    "detection.keypointrcnn_resnet50_fpn": ((2, 3, 64, 64), {**SMALL, **FEW}),
    "detection.maskrcnn_resnet50_fpn": ((2, 3, 64, 64), {**SMALL, **FEW}),
    "detection.retinanet_resnet50_fpn_v2": ((2, 3, 64, 64), {**SMALL}),
    "detection.ssd300_vgg16": ((1, 3, 96, 96), {}),
    "detection.ssdlite320_mobilenet_v3_large": ((2, 3, 96, 96), {}),
    "optical_flow.raft_small": ((1, 3, 128, 128), {}),
}


def built(models: ModuleType, name: str) -> nn.Module:
    """The model of ``torchvision.models`` or ``zoo.models`` with random weights."""
    space, _, builder = name.rpartition(".")
    more = {"weights_backbone": None} if space in ("detection", "segmentation") else {}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made: nn.Module = getattr(getattr(models, space) if space else models, builder)(
            weights=None, **more, **IMAGES[name][1]
        )
    return made


def small(models: ModuleType, name: str) -> nn.Module:
    """The same, with a small head for models with most parameters in the published head, and an MViT with few blocks
    for small clips, which its builder cannot create."""
    if name == "video.mvit_v2_s":
        return small_mvit(models.video).double()
    model = built(models, name)
    if name in ("alexnet", "vgg11_bn"):
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Linear(256 if name == "alexnet" else 512, 10)
    if name.startswith("optical_flow"):
        return model  # torchvision's RAFT has float32 grids
    return model.double()  # so that differences are not due to rounding


def small_mvit(video: Any) -> nn.Module:
    torch.manual_seed(0)
    blocks = [
        video.mvit.MSBlockConfig(heads, channels, out, [3, 3, 3], [3, 3, 3], [1, stride, stride], [1, 2, 2])
        for heads, channels, out, stride in ((1, 96, 96, 1), (2, 96, 192, 2), (2, 192, 192, 1))
    ]
    made: nn.Module = video.MViT((64, 64), 4, blocks, True, False, True, True, stochastic_depth_prob=0.2, num_classes=5)
    return made


def loss(name: str, model: nn.Module, seed: int) -> Tensor:
    """The loss of a batch that depends on the seed; dropout and samplers start from the same random state."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, 4, 64, 64) if name == "video.mvit_v2_s" else IMAGES[name][0]
    images = torch.rand(shape, generator=generator, dtype=next(model.parameters()).dtype)
    space = name.rpartition(".")[0]
    torch.manual_seed(seed)
    if space == "detection":
        return sum(model([*images], [target(name, image) for image in images]).values(), torch.zeros(()))
    if space == "optical_flow":
        flows = model(images, images.roll(2, -1), num_flow_updates=2)
        return sum((l1_loss(flow, torch.full_like(flow, 2.0)) for flow in flows), torch.zeros(()))
    out = model(images)
    if space == "segmentation":
        labels = (images[:, 0] * 21).long().clamp(max=20)
        return sum((cross_entropy(logits, labels) for logits in out.values()), torch.zeros(()))
    heads = out if isinstance(out, tuple) else (out,)  # with the auxiliary outputs of GoogLeNet and Inception
    return sum((cross_entropy(h, torch.arange(len(images))) for h in heads if h is not None), torch.zeros(()))


def target(name: str, image: Tensor) -> dict[str, Tensor]:
    boxes = torch.tensor([[4.0, 8.0, 40.0, 50.0], [20.0, 10.0, 60.0, 56.0]], dtype=image.dtype)
    found = {"boxes": boxes, "labels": torch.ones(2, dtype=torch.int64)}
    if "mask" in name:
        found["masks"] = (image[:2] > 0.5).to(torch.uint8)
    if "keypoint" in name:
        found["keypoints"] = torch.stack([torch.full((2, 17), n) for n in (30.0, 25.0, 1.0)], -1)
    return found


class Run(NamedTuple):
    """The state of a training script."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    average: AveragedModel

    @classmethod
    def start(cls, model: nn.Module) -> Run:
        # A large eps, so that steps do not depend on the sign of rounding.
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, eps=1.0)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return cls(model.train(), optimizer, schedule, AveragedModel(model, use_buffers=True))

    def step(self, name: str, seed: int) -> None:
        self.optimizer.zero_grad()
        loss(name, self.model, seed).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.model)

    def state(self) -> dict[str, Any]:
        """The checkpoint in the form of torchvision's training scripts."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.schedule.state_dict(),
            "model_ema": self.average.state_dict(),
            "epoch": 1,
            "args": argparse.Namespace(lr=1e-3, output_dir=Path("runs")),
        }

    def resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["lr_scheduler"])
        self.average.load_state_dict(state["model_ema"])


@pytest.mark.parametrize("name", IMAGES)
def test_a_run_goes_on_from_the_checkpoint_of_either(name: str, torchvision: ModuleType) -> None:
    """Both libraries write a file after a step and read both files; the second step is the same in all four cases."""
    libraries = {"theirs": torchvision.models, "ours": zoo.models}
    start = small(torchvision.models, name).state_dict()
    files: dict[str, io.BytesIO] = {}
    for writer, models in libraries.items():
        run = Run.start(small(models, name))
        run.model.load_state_dict(start)
        run.average.module.load_state_dict(start)
        run.step(name, seed=1)
        files[writer] = io.BytesIO()
        torch.save(run.state(), files[writer])
        assert any(not torch.equal(value, start[key]) for key, value in run.model.state_dict().items())

    want: dict[str, Tensor] = {}
    for (writer, file), (reader, models) in itertools.product(files.items(), libraries.items()):
        run = Run.start(small(models, name))
        file.seek(0)
        run.resume(torch.load(file, weights_only=False))
        run.step(name, seed=2)
        assert run.schedule.get_last_lr() == [pytest.approx(0.0025)]
        end = {**run.model.state_dict(), **run.average.state_dict()}
        want = want or end
        assert end.keys() == want.keys()
        for key, value in want.items():
            rounding = 1e-6 if value.dtype == torch.float64 else 1e-4
            same_number = torch.allclose(end[key], value, atol=rounding, rtol=rounding)
            assert same_number, f"{key} is off by {(end[key] - value).abs().max()}, {writer} to {reader}"


def plain(state: dict[str, Any]) -> dict[str, Any]:
    return state


def parallel(state: dict[str, Any]) -> dict[str, Any]:
    """With the key prefix of ``DataParallel`` and ``DistributedDataParallel``."""
    return {f"module.{key}": value for key, value in state.items()}


def wrapped(state: dict[str, Any]) -> dict[str, Any]:
    return {"model": parallel(state), "epoch": 3, "args": argparse.Namespace(lr=0.1)}


def averaged(state: dict[str, Any]) -> dict[str, Any]:
    return {"model_ema": {"n_averaged": torch.tensor(7), **parallel(state)}, "epoch": 3}


@pytest.mark.parametrize("name", IMAGES)
def test_files_of_either_in_every_form(name: str, tmp_path: Path, torchvision: ModuleType) -> None:
    libraries = {"theirs": torchvision.models, "ours": zoo.models}
    forms: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], bool]] = {
        "zip": (plain, True),
        "legacy": (plain, False),
        "parallel": (parallel, True),
        "trainer": (wrapped, False),
        "average": (averaged, True),
    }
    registered = name.rpartition(".")[2]
    for writer, models in libraries.items():
        state = built(models, name).state_dict()
        for form, (change, zipped) in forms.items():
            path = tmp_path / f"{writer}-{form}.pth"
            torch.save(change(state), path, _use_new_zipfile_serialization=zipped)
            model = zoo.get_model(registered, weights=path, **IMAGES[name][1])
            same(model.state_dict(), state)
            path.unlink()
        theirs = copy.deepcopy(built(torchvision.models, name))
        for zipped in (True, False):
            torch.save(state, path, _use_new_zipfile_serialization=zipped)
            theirs.load_state_dict(torch.load(path, weights_only=True))
            same(theirs.state_dict(), state)


def same(got: dict[str, Any], want: dict[str, Any]) -> None:
    """The same entries; detectors that load a file have frozen norms, which do not count batches."""
    assert [key for key in want if key in got] == list(got)
    assert all(key.startswith("backbone.body.") and key.endswith(".num_batches_tracked") for key in want.keys() - got)
    assert all(torch.equal(got[key], want[key]) for key in got)


# ── int8 and quantization-aware training ─────────────────────────────────────────────────────────────────────────


quantization: Any = torch.ao.quantization
INT8 = (
    "GoogLeNet_QuantizedWeights.IMAGENET1K_FBGEMM_V1",
    "Inception_V3_QuantizedWeights.IMAGENET1K_FBGEMM_V1",
    "MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1",
    "MobileNet_V3_Large_QuantizedWeights.IMAGENET1K_QNNPACK_V1",
    "ResNet18_QuantizedWeights.IMAGENET1K_FBGEMM_V1",
    "ShuffleNet_V2_X0_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1",
)


@pytest.mark.parametrize("entry", INT8)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_int8_models_of_either(
    entry: str, tmp_path: Path, torchvision: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = int8_files.ENTRIES[entry]["model"]
    monkeypatch.setattr(torch.backends.quantized, "engine", "qnnpack" if "QNNPACK" in entry else "fbgemm")
    # The same rounding as torchvision's.
    monkeypatch.setattr(zoo_quantized.eager, "fastest_for", lambda engine, model: engine)
    images = torch.rand(2, 3, *((299, 299) if "inception" in name else (96, 96)))
    more = {"aux_logits": False} if "inception" in name or "googlenet" in name else {}
    first = zoo.get_model(name, weights=int8_files.write(entry, tmp_path), quantize=True)
    want = first(images)
    assert want.std() > 0
    path = tmp_path / "again.pth"
    writer: nn.Module = first
    for zipped, models in itertools.product((True, False), (torchvision.models, zoo.models, zoo.models)):
        torch.save(writer.state_dict(), path, _use_new_zipfile_serialization=zipped)
        builder = getattr(models.quantization, name.removeprefix("quantized_"))
        writer = builder(weights=None, quantize=True, **more).eval()  # ours, theirs, ours, ours, theirs, ours, ours
        assert not torch.equal(writer(images), want)
        writer.load_state_dict(torch.load(path, weights_only=True))
        assert torch.equal(writer(images), want)
        assert torch.equal(zoo.get_model(name, weights=path, quantize=True)(images), want)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_quantization_aware_training_goes_on_from_either(torchvision: ModuleType) -> None:
    """Including the fake quantizers' ranges, which are part of the state."""
    generator = torch.Generator().manual_seed(0)
    batches = torch.rand(2, 2, 3, 64, 64, generator=generator)

    def prepared(models: ModuleType) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = models.quantization.resnet18(weights=None, num_classes=2).train()
        model.fuse_model(is_qat=True)
        model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
        quantization.prepare_qat(model, inplace=True)
        return model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
        optimizer.zero_grad()
        cross_entropy(model(images), torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    libraries = {"theirs": torchvision.models, "ours": zoo.models}
    start = prepared(torchvision.models)[0].state_dict()
    outputs = []
    for writer, reader in itertools.product(libraries.values(), repeat=2):
        model, optimizer = prepared(writer)
        model.load_state_dict(start)
        step(model, optimizer, batches[0])
        file = io.BytesIO()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        model, optimizer = prepared(reader)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step(model, optimizer, batches[1])
        int8 = quantization.convert(model.eval())
        outputs.append(int8(batches[0]))
    assert outputs[0].std() > 0
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


# ── many devices ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wrap", ["DataParallel", "DistributedDataParallel"])
def test_what_a_wrapped_model_saves(wrap: str, tmp_path: Path, torchvision: ModuleType) -> None:
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for models in (torchvision.models, zoo.models):
            wrapped_model = getattr(nn.parallel, wrap)(models.resnet18(weights=None, num_classes=3))
            cross_entropy(wrapped_model(torch.rand(2, 3, 64, 64)), torch.tensor([0, 2])).backward()  # type: ignore[no-untyped-call]
            file = tmp_path / "wrapped.pth"
            torch.save({"model": wrapped_model.state_dict(), "epoch": 1}, file)
            assert next(iter(wrapped_model.state_dict())).startswith("module.")
            same(zoo.get_model("resnet18", weights=file, num_classes=3).state_dict(), wrapped_model.module.state_dict())
            for others in (torchvision.models, zoo.models):
                other = getattr(nn.parallel, wrap)(others.resnet18(weights=None, num_classes=3))
                other.load_state_dict(torch.load(file, weights_only=True)["model"])
                same(other.module.state_dict(), wrapped_model.module.state_dict())
    finally:
        distributed.destroy_process_group()
