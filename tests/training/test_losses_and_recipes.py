"""Mixed batches and smoothed labels of a recipe; dice and focal losses; optical flow's sequence loss; rates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from colours import pictures
from PIL import Image

import zoo
from zoo.errors import InvalidArgument
from zoo.io import save_image
from zoo_optical_flow import write_flo
from zoo_segmentation.losses import IGNORED, dice_loss, focal_loss, segmentation_loss
from zoo_training.augmentation import CutMix, MixUp, Recipe, mixed_batches, recipe
from zoo_training.schedules import constant, one_cycle, warmup_cosine
from zoo_training.training import train


def test_the_imagenet_recipe_mixes_batches_and_smooths_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[torch.Tensor] = []
    smoothed: list[float] = []
    piece = zoo.registry.provided(zoo.get_task("image-classification"), "train")
    loss = piece.loss

    def seen(self: Any, model: Any, arguments: Any, target: torch.Tensor) -> Any:
        targets.append(target)
        smoothed.append(self.label_smoothing)
        return loss(self, model, arguments, target)

    monkeypatch.setattr(piece, "loss", seen)
    data = pictures(tmp_path / "data", 10)
    runs = [
        train("squeezenet1_1", data, tmp_path / name, "DIGITS_V1", epochs=2, device="cpu", batch_size=8, **more)
        for name, more in (("a", {}), ("b", {}), ("c", {"label_smoothing": 0.0}))
        for more in ({"recipe": "imagenet", **more},)
    ]
    assert all(target.shape[1:] == (2,) and torch.allclose(target.sum(1), torch.ones(())) for target in targets)
    assert any(0.01 < share < 0.99 for target in targets for share in target.flatten().tolist())
    assert set(smoothed[:8]) == {0.1}
    assert set(smoothed[8:]) == {0.0}
    assert runs[0].history == runs[1].history != runs[2].history  # the seed determines the randomness


def test_each_batch_is_mixed_in_one_of_the_ways() -> None:
    mix = mixed_batches(Recipe("mine", lambda *given: given[:2], (MixUp(1.0), CutMix())), 3)
    assert mix is not None
    images, labels = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8), torch.tensor([0, 1, 2, 2])
    kinds = set()
    for seed in range(12):
        (mixed,), shares = mix((images,), labels, torch.Generator().manual_seed(seed))
        (again,), _ = mix((images,), labels, torch.Generator().manual_seed(seed))
        assert torch.equal(mixed, again)
        assert torch.allclose(shares.sum(1), torch.ones(4))
        flat = mixed.flatten(1)
        kinds.add("whole" if (flat == flat[:, :1]).all() else "cut")
    assert kinds == {"whole", "cut"}
    assert mixed_batches(recipe("finetune", "image-classification", 64), 3) is None
    assert mixed_batches(None, 3) is None


def test_soft_targets_of_one_class_are_that_label() -> None:
    piece = zoo.registry.provided(zoo.get_task("image-classification"), "train")(label_smoothing=0.1)
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    hard = piece.loss(lambda x: logits, (None,), labels)["loss"]
    soft = piece.loss(lambda x: logits, (None,), F.one_hot(labels, 3).float())["loss"]
    torch.testing.assert_close(hard, soft)


def test_dice_is_zero_for_the_truth_and_one_for_its_opposite() -> None:
    truth = torch.zeros(1, 4, 6, dtype=torch.int64)
    truth[:, :, 4:] = 1
    truth[:, 0] = IGNORED
    sure = 50 * F.one_hot(truth.where(truth != IGNORED, 0), 3).movedim(-1, 1).float()
    assert dice_loss(sure, truth).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(sure[:, [1, 0, 2]], truth).item() == pytest.approx(1, abs=1e-6)
    even = torch.zeros(1, 3, 4, 6)
    # 18 valid pixels, 6 of class 1: 1 - 2·n/3 / (18/9 + n) for n = 12 and 6
    expected = sum(1 - (2 * n / 3) / (2 + n) for n in (12, 6)) / 2
    assert dice_loss(even, truth).item() == pytest.approx(expected, rel=1e-6)


def test_the_focal_loss_is_cross_entropy_without_its_power_and_less_with_it() -> None:
    logits = torch.randn(2, 5, 7, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    truth = torch.randint(0, 5, (2, 7, 9), generator=torch.Generator().manual_seed(1))
    truth[0, :3] = IGNORED
    counts = truth != IGNORED
    p = logits.softmax(1).gather(1, truth.where(counts, 0)[:, None])[:, 0][counts]
    torch.testing.assert_close(focal_loss(logits, truth), ((1 - p) ** 2 * -p.log()).mean())
    torch.testing.assert_close(focal_loss(logits, truth, gamma=0), -p.log().mean())
    focal_loss(20 * logits, truth).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["cross-entropy", "dice", "focal", "cross-entropy+dice"])
def test_losses_of_nothing_are_zero_with_a_gradient_of_zero(name: str) -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = segmentation_loss({"out": logits, "aux": logits}, torch.full((1, 3, 3), IGNORED), loss=name)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    with pytest.raises(InvalidArgument, match=r"expected \[N, num_classes, H, W\]"):
        segmentation_loss({"out": logits}, torch.zeros(1, 3, 4), loss=name)


def halves(root: Path, n: int = 8) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(n):
        mask = torch.zeros(64, 80, dtype=torch.uint8)
        mask[:, 20 + 5 * i :] = 1
        picture = torch.where(mask[None] == 1, torch.tensor([30, 60, 200]).view(3, 1, 1), 200).to(torch.uint8)
        save_image(picture, root / "images" / f"{i}.png")
        Image.fromarray(mask.numpy()).save(root / "masks" / f"{i}.png")
    return root


def test_a_segmenter_is_trained_by_the_loss_that_is_named(tmp_path: Path) -> None:
    data, given = halves(tmp_path / "data"), {"epochs": 3, "batch_size": 3, "device": "cpu", "lr": 3e-3}
    done = train("lraspp_mobilenet_v3_large", data, tmp_path / "a", "SHAPES_V1", loss="dice", **given)
    assert all(0 < row["loss"] < 1 for row in done.history)
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    with Image.open(tmp_path / "a" / "predictions.png") as picture:
        assert picture.width > 200


@pytest.mark.parametrize("name", ["cross-entropy", "dice", "focal", "cross-entropy+dice"])
def test_each_loss_leads_to_the_truth(name: str) -> None:
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    truth = torch.randint(0, 3, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([logits], 0.3)
    for _ in range(30):
        optimizer.zero_grad()
        segmentation_loss({"out": logits}, truth, loss=name).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), truth)


def test_a_loss_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"loss is 'dyce'.*dice"):
        train("lraspp_mobilenet_v3_large", tmp_path, tmp_path / "a", "SHAPES_V1", loss="dyce")
    with pytest.raises(InvalidArgument, match="'image-classification' has no option 'loss' for training; it has label"):
        train("squeezenet1_1", tmp_path, tmp_path / "a", "DIGITS_V1", loss="dice")


def test_raft_learns_a_shift(tmp_path: Path) -> None:
    for name in ("images", "flow"):
        (tmp_path / "data" / name).mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for i in range(5):
        coarse = torch.rand(1, 3, 14, 16, generator=generator)
        scene = (255 * F.interpolate(coarse, (140, 152), mode="bilinear")[0]).to(torch.uint8)
        save_image(scene[:, 4:132, 8:136], tmp_path / "data" / "images" / f"{i}_1.png")
        save_image(scene[:, 4:132, 5:133], tmp_path / "data" / "images" / f"{i}_2.png")  # all moves 3 to the right
        flow = torch.zeros(2, 128, 128)
        flow[0] = 3
        write_flo(flow, tmp_path / "data" / "flow" / f"{i}.flo")
    done = train(
        "raft_small", tmp_path / "data", tmp_path / "a", "SHAPES_V1", epochs=3, batch_size=2, device="cpu", lr=1e-4,
        num_flow_updates=3,
    )  # fmt: skip
    first, *_, last = done.history
    assert last["val_epe"] < first["val_epe"]
    assert last["loss"] < first["loss"]
    model = zoo.pipeline(tmp_path / "a" / "best.safetensors", device="cpu")
    flow = model((tmp_path / "data/images/0_1.png", tmp_path / "data/images/0_2.png")).flow
    assert flow[0].median().item() == pytest.approx(3, abs=0.5)


def test_flow_is_padded_as_its_frames_are_and_not_known_there() -> None:
    piece = zoo.registry.provided(zoo.get_task("optical-flow"), "train")()
    prepare = piece.prepare(None, zoo.get_model_weights("raft_small")["DEFAULT"])
    frames = torch.zeros(3, 130, 133, dtype=torch.uint8), torch.zeros(3, 130, 133, dtype=torch.uint8)
    target = {"flow": torch.ones(2, 130, 133), "valid": torch.ones(130, 133, dtype=torch.bool)}
    first, second, flow, valid = prepare(frames, target)
    assert first.shape[1:] == second.shape[1:] == flow.shape[1:] == valid.shape == (136, 136)
    assert int(valid.sum()) == 130 * 133
    assert (flow[:, valid] == 1).all()
    with pytest.raises(InvalidArgument, match=r"sizes 136 × 136, 144 × 136; expected one size.*--recipe finetune"):
        piece.collate([(first, second, flow, valid), (F.pad(first, (0, 0, 0, 8)), second, flow, valid)])


def test_rates_rise_and_fall() -> None:
    for schedule in (warmup_cosine, one_cycle):
        rates = [schedule(step, 100, 10) for step in range(100)]
        assert max(rates) == rates[10] == 1
        assert rates[:11] == sorted(rates[:11])
        assert rates[10:] == sorted(rates[10:], reverse=True)
        assert rates[-1] < 0.02
    assert one_cycle(55, 100, 10) == pytest.approx(0.5)
    assert [constant(step, 100, 1) for step in (0, 1, 99)] == [0.5, 1, 1]
    assert not math.isnan(one_cycle(0, 1, 0))


@pytest.mark.parametrize(
    ("model", "given", "size"),
    [
        ("ssdlite320_mobilenet_v3_large", {"weights_backbone": None, "size": 96}, (96, 96)),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", {"weights_backbone": None}, (320, 320)),
        ("lraspp_mobilenet_v3_large", {"weights_backbone": None}, (520, 520)),
        ("raft_small", {}, (368, 496)),
    ],
)
def test_recipes_know_the_size_of_every_task(model: str, given: dict[str, Any], size: tuple[int, int]) -> None:
    info = zoo.model_info(model)
    piece = zoo.registry.provided(zoo.get_task(info.task), "train")()
    with torch.device("meta"):
        net = zoo.get_model(model, **given)
    assert piece.size(net, zoo.get_model_weights(model)["DEFAULT"].value) == size


def test_a_detector_is_trained_by_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = ["path,label,xmin,ymin,xmax,ymax"]
    for i in range(6):
        image = torch.full((3, 64, 80), 90, dtype=torch.uint8)
        image[:, 10 : 40 + i, 20:50] = 200
        save_image(image, tmp_path / f"data/{i}.png")
        rows.append(f"{i}.png,square,20,10,50,{40 + i}")
    (tmp_path / "data/boxes.csv").write_text("\n".join(rows))
    data = zoo.open_data(tmp_path / "data/boxes.csv", "object-detection", val=0.3)
    name, given = "ssdlite320_mobilenet_v3_large", {"epochs": 1, "batch_size": 2, "device": "cpu"}
    done = zoo.train(name, data, tmp_path / "a", "SHAPES_V1", recipe="detection", **given)
    assert math.isfinite(done.history[-1]["val_loss"])
