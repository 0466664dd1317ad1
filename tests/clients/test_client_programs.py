"""Libraries that use torchvision's models, here with zoo's models. `make test-clients` installs them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import zoo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torchvision")]


def client(name: str) -> Any:
    """The module of that name; the test is skipped if it is not installed, and fails if it cannot be imported."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    return importlib.import_module(name)


def stripes(n: int = 32, side: int = 32) -> TensorDataset:
    """Pictures [n, 3, side, side] of two classes: bright on the left, bright on the right."""
    torch.manual_seed(0)
    labels = torch.arange(n) % 2
    images = torch.rand(n, 3, side, side) * 0.1
    for image, label in zip(images, labels, strict=True):
        image[:, :, side // 2 :] += label
        image[:, :, : side // 2] += 1 - label
    return TensorDataset(images, labels)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_segmentation_models_pytorch_takes_an_encoder_of_zoo() -> None:
    """smp's ResNet encoder loads a zoo ResNet's weights, and a zoo model becomes an encoder of its registry."""
    smp = client("segmentation_models_pytorch")
    ours = zoo.models.resnet18().eval()
    unet = smp.Unet("resnet18", encoder_weights=None, classes=2).eval()
    unet.encoder.load_state_dict(ours.state_dict())  # smp's encoder drops fc itself
    images = torch.rand(1, 3, 64, 64)
    taken = zoo.feature_extractor(ours, [f"layer{i}" for i in range(1, 5)])(images)
    for theirs, mine in zip(unet.encoder(images)[2:], taken.values(), strict=True):
        assert torch.equal(theirs, mine)

    from segmentation_models_pytorch.encoders._base import EncoderMixin

    class Encoder(zoo.models.resnet.ResNet, EncoderMixin):
        def __init__(self, out_channels: list[int], depth: int, output_stride: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._depth, self._in_channels, self._out_channels = depth, 3, out_channels
            self._output_stride = output_stride
            del self.fc

        def forward(self, x: Tensor) -> list[Tensor]:
            found = [x, self.relu(self.bn1(self.conv1(x)))]
            found.append(self.layer1(self.maxpool(found[-1])))
            for layer in (self.layer2, self.layer3, self.layer4):
                found.append(layer(found[-1]))
            return found[: self._depth + 1]

    smp.encoders.encoders["zoo-resnet18"] = {
        "encoder": Encoder,
        "params": {
            "out_channels": [3, 64, 64, 128, 256, 512],
            "block": zoo.models.resnet.BasicBlock,
            "layers": [2, 2, 2, 2],
        },
    }
    twin = smp.Unet("zoo-resnet18", encoder_weights=None, classes=2).eval()
    twin.load_state_dict(unet.state_dict())
    assert torch.equal(twin(images), unet(images))


@pytest.mark.parametrize("targets", [["out_proj"], ["self_attention"], ["mlp.0", "mlp.3"], ["heads.head"]])
def test_peft_trains_and_merges_lora_on_a_vit(targets: list[str]) -> None:
    peft = client("peft")
    vit = zoo.models.vit_b_32(image_size=64, num_classes=2).eval()
    nn.init.normal_(vit.heads.head.weight, std=0.1)  # a new head is all zeros
    images = torch.rand(2, 3, 64, 64)
    before = vit(images).detach()
    model = peft.get_peft_model(vit, peft.LoraConfig(r=4, target_modules=targets))
    torch.testing.assert_close(model(images), before, msg="an untrained adapter changes nothing")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        nn.functional.cross_entropy(model(images), torch.tensor([0, 1])).backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted = model.eval()(images).detach()
    assert not torch.allclose(adapted, before, atol=1e-4)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged(images), adapted, atol=1e-4, rtol=1e-4)
    assert merged.state_dict().keys() == zoo.models.vit_b_32(image_size=64, num_classes=2).state_dict().keys()


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer4"), ("convnext_tiny", "features")])
def test_captum_attributes_to_pixels_and_layers(name: str, layer: str) -> None:
    attr = client("captum.attr")
    model = zoo.get_model(name, num_classes=3).eval()
    images = torch.rand(1, 3, 64, 64)
    baseline = images + torch.randn_like(images)
    found, delta = attr.IntegratedGradients(model).attribute(
        images, baseline, target=1, n_steps=64, return_convergence_delta=True
    )
    assert found.shape == images.shape
    assert delta.abs() < 0.1 * (model(images) - model(baseline))[0, 1].abs() + 0.01, "they sum to the difference"
    by_layer = attr.LayerGradCam(model, getattr(model, layer)).attribute(images, target=1)
    assert by_layer.shape[1] == 1
    assert by_layer.abs().sum() > 0
    assert attr.Saliency(model).attribute(images, target=1).max() > 0


def test_captum_deep_lift_and_guided_backprop_run_on_models_whose_relus_are_reused() -> None:
    attr = client("captum.attr")
    model = zoo.models.vgg11(num_classes=3, init_weights=False).eval()
    images = torch.rand(1, 3, 64, 64)
    lift = attr.DeepLift(model).attribute(images, target=2)
    gap = (model(images) - model(torch.zeros_like(images)))[0, 2]
    torch.testing.assert_close(lift.sum(), gap, atol=1e-3, rtol=1e-2)
    assert attr.GuidedBackprop(zoo.models.resnet18().eval()).attribute(images, target=2).abs().sum() > 0


def reshaped(tokens: Tensor) -> Tensor:
    """A ViT's tokens [N, 1 + h · w, C] as maps [N, C, h, w]."""
    side = int((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t", "mobilenet_v3_small"])
def test_grad_cam_shows_what_it_shows_of_torchvisions_model(name: str, torchvision: ModuleType) -> None:
    cam = client("pytorch_grad_cam")
    targets = client("pytorch_grad_cam.utils.model_targets")
    images = torch.rand(2, 3, 224, 224)
    maps, state = [], zoo.get_model(name, num_classes=3).state_dict()
    head = [key for key in state if key.endswith("weight")][-1]
    nn.init.normal_(state[head])  # a new head of ViT is all zeros
    for models in (zoo.models, torchvision.models):
        model = getattr(models, name)(weights=None, num_classes=3).eval()
        model.load_state_dict(state)
        layer, transform = {
            "resnet18": lambda m: (m.layer4[-1], None),
            "vit_b_32": lambda m: (m.encoder.layers[-1].ln_1, reshaped),
            "swin_t": lambda m: (m.features[-1][-1].norm1, lambda x: x.permute(0, 3, 1, 2)),
            "mobilenet_v3_small": lambda m: (m.features[-1], None),
        }[name](model)
        with cam.GradCAM(model=model, target_layers=[layer], reshape_transform=transform) as explain:
            maps.append(explain(input_tensor=images, targets=[targets.ClassifierOutputTarget(1)] * 2))
    assert maps[0].shape == (2, 224, 224)
    assert maps[0].max() > 0.5
    assert maps[0] == pytest.approx(maps[1], abs=1e-3)


def test_grad_cam_of_a_detector(torchvision: ModuleType) -> None:
    cam = client("pytorch_grad_cam")
    targets = client("pytorch_grad_cam.utils.model_targets")
    images = torch.rand(1, 3, 320, 320)
    maps, state = [], None
    for models in (zoo.models, torchvision.models):
        model = models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None, weights_backbone=None, box_score_thresh=0.0, box_detections_per_img=2
        ).eval()
        state = state or model.state_dict()
        model.load_state_dict(state)
        (found,) = model(images)
        goal = targets.FasterRCNNBoxScoreTarget(found["labels"], found["boxes"].detach(), iou_threshold=0.5)
        explain = cam.EigenCAM(model, [model.backbone], reshape_transform=lambda x: x["0"])
        maps.append(explain(images, targets=[goal]))
    assert maps[0].shape == (1, 320, 320)
    assert maps[0].std() > 0.01
    assert maps[0] == pytest.approx(maps[1], abs=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_lightning_fits_a_classifier(tmp_path: Path) -> None:
    lightning = client("lightning")

    class Classifier(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = zoo.models.resnet18(num_classes=2)
            self.losses: list[float] = []

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    module = Classifier()
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, DataLoader(stripes(), batch_size=8))
    assert len(module.losses) == 16
    assert sum(module.losses[-4:]) < 0.5 * sum(module.losses[:4])
    (file,) = tmp_path.rglob("*.ckpt")
    restored = Classifier.load_from_checkpoint(file)
    assert torch.equal(restored.model.fc.weight, module.model.fc.weight)


def test_torchmetrics_scores_detections_and_features() -> None:
    detection = client("torchmetrics.detection")
    classification = client("torchmetrics.classification")
    model = zoo.models.detection.ssdlite320_mobilenet_v3_large(
        weights_backbone=None, score_thresh=0.0, detections_per_img=5
    ).eval()
    found = model([torch.rand(3, 320, 320)])
    truth = [{"boxes": f["boxes"].detach(), "labels": f["labels"]} for f in found]
    metric = detection.MeanAveragePrecision()
    metric.update([{key: value.detach() for key, value in f.items()} for f in found], truth)
    assert metric.compute()["map"] == pytest.approx(1.0)
    accuracy = classification.MulticlassAccuracy(num_classes=1000, top_k=5)
    logits = zoo.models.resnet18().eval()(torch.rand(4, 3, 64, 64))
    assert accuracy(logits, logits.argmax(1)) == 1


def test_torchmetrics_takes_a_zoo_model_for_features() -> None:
    image = client("torchmetrics.image")

    body = nn.Sequential(*list(zoo.models.resnet18().children())[:-1], nn.Flatten()).eval()
    body.num_features = 512
    metric = image.fid.FrechetInceptionDistance(feature=body, normalize=True)
    pictures = torch.rand(8, 3, 64, 64)
    metric.update(pictures, real=True)
    metric.update(pictures, real=False)
    assert metric.compute().abs() < 1e-2


def test_accelerate_prepares_saves_and_restores(tmp_path: Path) -> None:
    accelerate = client("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = zoo.models.mobilenet_v3_small(num_classes=2, dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(stripes(), batch_size=8))
    losses = []
    for _ in range(4):
        for images, labels in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(images), labels)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
    assert sum(losses[-4:]) < sum(losses[:4])
    accelerator.save_state(str(tmp_path / "state"))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    nn.init.zeros_(model.features[0][0].weight)
    accelerator.load_state(str(tmp_path / "state"))
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_accelerate_builds_empty_and_dispatches(tmp_path: Path) -> None:
    accelerate = client("accelerate")
    whole = zoo.models.resnet18().eval()
    torch.save(whole.state_dict(), tmp_path / "model.bin")
    with accelerate.init_empty_weights():
        empty = zoo.models.resnet18()
    assert empty.fc.weight.is_meta
    model = accelerate.load_checkpoint_and_dispatch(
        empty, str(tmp_path / "model.bin"), device_map={"": "cpu"}, no_split_module_classes=["BasicBlock"]
    ).eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(images), whole(images))


def test_faster_coco_eval_agrees_with_pycocotools() -> None:
    faster = client("faster_coco_eval")
    coco = client("pycocotools.coco")
    cocoeval = client("pycocotools.cocoeval")
    torch.manual_seed(1)
    corner = torch.rand(6, 2) * 60
    boxes = torch.cat([corner, corner + 10 + torch.rand(6, 2) * 30], 1)
    sizes = zoo.ops.box_convert(boxes, "xyxy", "xywh")
    truth = {
        "images": [{"id": 1, "width": 128, "height": 128}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
            for i, b in enumerate(sizes.tolist())
        ],
    }
    moved = sizes + torch.randn(6, 4) * 2
    kept = zoo.ops.nms(zoo.ops.box_convert(moved, "xywh", "xyxy"), torch.linspace(1, 0.1, 6), 0.7)
    found = [{"image_id": 1, "category_id": 1, "bbox": moved[i].tolist(), "score": 1 - 0.1 * i} for i in kept.tolist()]
    figures = []
    for COCO, Eval in (
        (coco.COCO, cocoeval.COCOeval),
        (faster.COCO, faster.COCOeval_faster),
    ):
        annotations = COCO()
        annotations.dataset = truth
        annotations.createIndex()
        evaluation = Eval(annotations, annotations.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        figures.append([float(n) for n in evaluation.stats[:12]])
    assert figures[0] == pytest.approx(figures[1])
    assert 0 < figures[0][0] < 1


def test_timm_takes_weights_and_gives_its_tools() -> None:
    """timm's ResNets have torchvision's and zoo's keys; its weight averaging and optimisers accept zoo's models."""
    timm = client("timm")
    utils, optim = client("timm.utils"), client("timm.optim")
    ours, theirs = zoo.models.resnet18().eval(), timm.create_model("resnet18").eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(theirs(images), ours(images))
    ours.load_state_dict(timm.create_model("resnet18").state_dict())
    average = utils.ModelEmaV3(ours, decay=0.5)
    optimizer = optim.create_optimizer_v2(ours, opt="adamw", lr=1e-2, weight_decay=0.1)
    assert {len(group["params"]) > 0 for group in optimizer.param_groups} == {True}
    start = ours.fc.weight.detach().clone()
    nn.functional.cross_entropy(ours.train()(images), torch.tensor([1, 2])).backward()
    optimizer.step()
    average.update(ours)
    torch.testing.assert_close(average.module.fc.weight, (start + ours.fc.weight) / 2)


def test_transforms_of_torchvision_prepare_for_zoo(torchvision: ModuleType) -> None:
    """A pipeline of torchvision's transforms gives the same numbers as zoo's preset."""
    picture = (torch.rand(3, 300, 400) * 255).to(torch.uint8)
    T = torchvision.transforms
    pipeline = T.Compose(
        [
            T.ToPILImage(),
            T.Resize(256),
            T.CenterCrop(224),
            T.ToTensor(),
            T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    preset = zoo.models.ResNet18_Weights.DEFAULT.transforms()
    assert torch.equal(preset(T.ToPILImage()(picture)), pipeline(picture))


@pytest.fixture(scope="module", autouse=True)
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)
