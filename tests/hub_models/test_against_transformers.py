"""Tiny models of every family: zoo's results equal those of transformers' own pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import ZooError

hf = pytest.importorskip("transformers")
tiny = pytest.importorskip("tiny_transformers")

COFFEE = Path(__file__).parents[2] / "examples/images/photos/coffee.jpg"
KINDS = {
    "Classification": "image-classification",
    "Detection": "object-detection",
    "Segmentation": "image-segmentation",
    "PanopticSegmentation": "image-segmentation",
    "Depth": "depth-estimation",
    "ImageEmbedding": "image-feature-extraction",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Family → its folder, created on first access."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            tiny.save(family, made[family])
        return made[family]

    return folder


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.open(COFFEE).convert("RGB").resize((120, 80))


def theirs(kind: str, folder: Path, picture: Image.Image, **options: Any) -> Any:
    if kind == "image-feature-extraction":
        options |= {"pool": True}
    return hf.pipeline(kind, model=str(folder), device="cpu")(picture, **options)


HALVES = ("clip", "siglip", "metaclip_2")
BY_ITSELF = ("clip_projection", "vit_mae", "vit_mae_pretraining", "msn_model", "ijepa_model")  # tested below


@pytest.mark.parametrize("family", [f for f in tiny.FAMILIES if f not in (*HALVES, *BY_ITSELF)])
def test_results_are_those_of_transformers_own_pipeline(family: str, folders: Any, picture: Image.Image) -> None:
    ours = zoo.pipeline(folders(family), device="cpu")
    result = ours(picture)
    kind = KINDS[type(result).__name__]
    COMPARED[type(result).__name__](result, lambda **options: theirs(kind, folders(family), picture, **options))
    report = zoo.load_report(ours.model)
    assert len(report.loaded) == len(ours.model.state_dict())
    assert not report.reinitialised
    assert zoo.model_info(folders(family)).weights["DEFAULT"].license == "apache-2.0"


def same_labels(result: Any, run: Any) -> None:
    want = {row["label"]: row["score"] for row in run(top_k=5)}
    assert set(want) == set(tiny.LABELS) == set(result.categories)
    assert dict(result.top(5)) == pytest.approx(want, abs=1e-6)


def same_objects(result: Any, run: Any) -> None:
    want = run(threshold=0.15)
    found = result.above(0.15)
    assert len(found) == len(want) > 3
    rows = zip(found.names, found.scores.tolist(), found.boxes.int().tolist(), strict=True)
    for (name, score, box), row in zip(rows, sorted(want, key=lambda row: -row["score"]), strict=True):
        assert (name, box) == (row["label"], list(row["box"].values()))
        assert score == pytest.approx(row["score"], abs=1e-6)


def same_classes(result: Any, run: Any) -> None:
    want = run()
    assert {row["label"] for row in want} == set(result.areas)
    for row in want:
        mask = torch.from_numpy(np.array(row["mask"])) > 0
        assert torch.equal(mask, result.class_map == result.categories.index(row["label"]))


def same_depths(result: Any, run: Any) -> None:
    want = run()["predicted_depth"].squeeze()
    assert result.values.shape == want.shape == (80, 120)
    torch.testing.assert_close(result.values, want, atol=1e-5, rtol=1e-5)


def same_vectors(result: Any, run: Any) -> None:
    torch.testing.assert_close(result.vector, torch.tensor(run()[0]).flatten(), atol=1e-5, rtol=1e-5)


COMPARED = {
    "Classification": same_labels,
    "Detection": same_objects,
    "Segmentation": same_classes,
    "PanopticSegmentation": lambda result, run: None,  # tested below
    "Depth": same_depths,
    "ImageEmbedding": same_vectors,
}


@pytest.mark.parametrize("family", ["mask2former", "maskformer", "maskformer_resnet", "eomt"])
@pytest.mark.parametrize("way", ["panoptic", "instance", "semantic"])
def test_universal_models_segment_in_each_way(family: str, way: str, folders: Any, picture: Image.Image) -> None:
    score = {} if way == "semantic" else {"min_score": 0.21}
    result = zoo.pipeline(folders(family), device="cpu", task=f"{way}-segmentation", **score)(picture)
    limits = {} if way == "semantic" else {"threshold": 0.21, "overlap_mask_area_threshold": 0.8}
    want = theirs("image-segmentation", folders(family), picture, subtask=way, **limits)
    if way == "semantic":
        return same_classes(result, lambda: want)
    masks = [torch.from_numpy(np.array(row["mask"])) > 0 for row in want]
    own = [result.mask(i) for i in range(len(result))] if way == "panoptic" else list(result.masks[:, 0] > 0)
    pairs = [(row["label"], round(row["score"], 5), mask) for row, mask in zip(want, masks, strict=True) if mask.any()]
    found = [*zip(result.names, [round(s, 5) for s in result.scores.tolist()], own, strict=True)]
    found = [row for row in found if row[2].any()]
    assert len(found) == len(pairs) >= (0 if (family, way) == ("eomt", "panoptic") else 1)  # its segments overlap
    for label, value, mask in pairs:
        assert any(
            (label, pytest.approx(value, abs=2e-5)) == (name, s) and torch.equal(mask, m) for name, s, m in found
        )
    return None


@pytest.mark.parametrize("family", HALVES)
def test_of_a_model_of_pictures_and_texts_the_half_that_sees(family: str, folders: Any, picture: Image.Image) -> None:
    ours = zoo.pipeline(folders(family), device="cpu")
    whole = hf.AutoModel.from_pretrained(folders(family)).eval()
    pixels = hf.AutoImageProcessor.from_pretrained(folders(family))(picture, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        want = whole.get_image_features(pixels)
    want = getattr(want, "pooler_output", want)[0]
    torch.testing.assert_close(ours(picture).vector, want, atol=1e-5, rtol=1e-5)
    assert not any("text" in name for name, _ in ours.model.named_parameters())
    assert any(name.startswith("text_model") for name in zoo.load_report(ours.model).ignored) or family == "siglip"


@pytest.mark.parametrize(
    ("family", "pick"),
    [
        ("clip_projection", lambda outputs: outputs.image_embeds),
        ("msn_model", lambda outputs: outputs.last_hidden_state[:, 0]),  # the class token
        ("ijepa_model", lambda outputs: outputs.last_hidden_state.mean(1)),  # it has none
    ],
)
def test_encoders_that_their_pipeline_does_not_pool(family: str, pick: Any, folders: Any, picture: Image.Image) -> None:
    whole = getattr(hf, tiny.FAMILIES[family][0]).from_pretrained(folders(family)).eval()
    pixels = hf.AutoImageProcessor.from_pretrained(folders(family))(picture, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        want = pick(whole(pixels))[0]
    torch.testing.assert_close(zoo.pipeline(folders(family), device="cpu")(picture).vector, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["vit_mae", "vit_mae_pretraining"])
def test_what_was_trained_on_parts_of_pictures_sees_the_whole(family: str, folders: Any, picture: Image.Image) -> None:
    encode = zoo.pipeline(folders(family), device="cpu")
    one = encode(picture).vector
    torch.testing.assert_close(one, encode(picture).vector, atol=1e-5, rtol=1e-5)  # deterministic
    whole = hf.ViTMAEModel.from_pretrained(folders(family), mask_ratio=0.0).eval()
    pixels = hf.AutoImageProcessor.from_pretrained(folders(family))(picture, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        torch.testing.assert_close(one, whole(pixels).last_hidden_state[0, 0], atol=1e-5, rtol=1e-5)


def test_a_model_of_pictures_and_texts_that_is_not_served_is_refused(tmp_path: Path) -> None:
    config = {
        "model_type": "chinese_clip",
        "architectures": ["ChineseCLIPModel"],
        "text_config": {},
        "vision_config": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ZooError, match=r"for images and texts\. Only the image encoders of clip, metaclip_2, siglip"):
        zoo.pipeline(tmp_path)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 9},
            "not pixels: not supported",
        ),
        ({"model_type": "bert", "architectures": ["BertForPreTraining"], "vocab_size": 9}, "takes tokens, not pixels"),
        (
            {"model_type": "oneformer", "architectures": ["OneFormerForUniversalSegmentation"]},
            "needs text in addition",
        ),
        (
            {"model_type": "owlvit", "architectures": ["OwlViTForObjectDetection"], "text_config": {}},
            "a model for images and texts",
        ),
    ],
)
def test_models_that_read_words_are_refused_when_they_are_opened(config: Any, why: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ZooError, match=why):
        zoo.model_info(tmp_path)


@pytest.mark.parametrize("family", ["detr", "segformer", "glpn", "dinov2", "d_fine", "deformable_detr", "eomt"])
def test_pictures_of_different_sizes_go_together(family: str, folders: Any, picture: Image.Image) -> None:
    ours = zoo.pipeline(folders(family), device="cpu")
    several = [picture, picture.rotate(180), picture.resize((60, 90)), picture.crop((0, 0, 100, 50))]
    for one, together in zip(several, ours(several), strict=True):
        assert ours(one).lines() == together.lines()


def test_a_tensor_is_a_picture_too(folders: Any, picture: Image.Image) -> None:
    from zoo.transforms.functional import pil_to_tensor

    ours = zoo.pipeline(folders("vit"), device="cpu")
    assert ours(pil_to_tensor(picture)).top(5) == ours(picture).top(5)
