"""COCO's average precision, compared with values computed by hand."""

from __future__ import annotations

import copy
import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument, MissingPlugin, UnreadableFile
from zoo_detection import Detection
from zoo_detection.coco import KEYPOINT_NAMES
from zoo_detection.evaluation import BOX_VALUES, KEYPOINT_VALUES, METRICS, CocoEvaluator
from zoo_detection.task import compress, run_lengths

EXAMPLES = Path(__file__).parents[2] / "examples"
CATEGORIES = ("background", "cat", "dog")


def weights(*categories: str) -> zoo.Weights:
    return zoo.Weights(
        url="file:///nowhere.pth", transforms=zoo.Preset("zoo.transforms:ObjectDetection"), categories=categories
    )


class Data:
    """Annotated images of 100 × 100 pixels, ``0.png``, ``1.png`` and so on, and a model's predictions for them."""

    def __init__(self, folder: Path, n: int = 2) -> None:
        self.folder = folder
        self.content: dict[str, Any] = {
            "images": [{"id": 10 + i, "file_name": f"{i}.png", "height": 100, "width": 100} for i in range(n)],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [],
        }
        for i in range(n):
            Image.new("L", (100, 100)).save(folder / f"{i}.png")

    def annotate(self, image: int, box: list[float], category: int = 1, **more: Any) -> None:
        row = {"id": len(self.content["annotations"]), "image_id": 10 + image, "category_id": category, "bbox": box}
        self.content["annotations"].append(row | more)

    @property
    def file(self) -> Path:
        path = self.folder / "instances.json"
        path.write_text(json.dumps(self.content))
        return path

    def evaluator(self, *categories: str) -> CocoEvaluator:
        return CocoEvaluator(self.folder, self.file, weights(*(categories or CATEGORIES)))

    def metrics(self, *found: Detection) -> dict[str, float]:
        """The metrics of the detections of each image, in order."""
        evaluator = self.evaluator()
        records = [evaluator.measure(name, one) for name, one in zip(evaluator.sources, found, strict=True)]
        return evaluator.summarize(json.loads(json.dumps(records)))


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def detection(
    *boxes: list[float], labels: list[int] | None = None, scores: list[float] | None = None, **more: Any
) -> Detection:
    """Objects whose ``boxes`` are left, top, width, height."""
    xywh = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detection(
        boxes=torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1),
        labels=torch.tensor(labels or [1] * len(boxes), dtype=torch.int64),
        scores=torch.tensor(scores or [0.9] * len(boxes)),
        categories=CATEGORIES,
        image=Image.new("L", (100, 100)),
        **more,
    )


CAT, DOG = [10, 10, 20, 20], [50, 50, 40, 40]


def test_perfect_detections(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    data.annotate(0, CAT)
    data.annotate(0, DOG, 2)
    data.annotate(1, DOG, 2)
    metrics = data.metrics(detection(CAT, DOG, labels=[1, 2]), detection(DOG, labels=[2]))
    assert metrics.pop("box_map_large") != metrics.get("box_map")  # NaN: no object is large
    assert metrics == dict.fromkeys(
        ("box_map", "box_map_50", "box_map_75", "box_map_small", "box_map_medium"), pytest.approx(100)
    )
    assert capsys.readouterr() == ("", "")  # pycocotools prints by default


def test_half_of_the_objects_are_missed(data: Data) -> None:
    """Precision is 1 up to a recall of 0.5, which is 51 of the 101 averaged recalls."""
    data.annotate(0, CAT)
    data.annotate(1, CAT)
    assert data.metrics(detection(CAT), detection())["box_map"] == pytest.approx(100 * 51 / 101)


def test_a_false_alarm_costs_as_much_as_it_is_sure(data: Data) -> None:
    data.annotate(0, CAT)
    data.annotate(1, CAT)
    alarm = [70, 70, 10, 10]
    surest = detection(CAT, alarm, scores=[0.8, 0.9])
    assert data.metrics(surest, detection(CAT, scores=[0.7]))["box_map"] == pytest.approx(100 * 2 / 3)
    least_sure = detection(CAT, alarm, scores=[0.8, 0.1])
    assert data.metrics(least_sure, detection(CAT, scores=[0.7]))["box_map"] == pytest.approx(100)


def test_boxes_that_fit_somewhat(data: Data) -> None:
    """An IoU of 0.625 is enough for 0.5, 0.55 and 0.6, three of the ten thresholds."""
    data.annotate(0, [0, 0, 80, 80])
    metrics = data.metrics(detection([0, 0, 80, 50]), detection())
    assert metrics["box_map"] == pytest.approx(30)
    assert metrics["box_map_50"] == pytest.approx(100)
    assert metrics["box_map_75"] == 0
    assert math.isnan(metrics["box_map_large"])


def test_categories_count_alike(data: Data) -> None:
    """One of them is found and the other is not, though one has nine times as many objects."""
    for i in range(9):
        data.annotate(0, [10 * i, 0, 8, 8], 1)
    data.annotate(1, DOG, 2)
    assert data.metrics(detection(), detection(DOG, labels=[2]))["box_map"] == pytest.approx(50)
    assert data.metrics(detection(DOG, labels=[1]), detection(DOG, labels=[1]))["box_map"] == 0


def test_a_crowd_is_no_false_alarm(data: Data) -> None:
    data.annotate(0, CAT)
    data.annotate(0, [40, 40, 60, 60], iscrowd=1)
    found = detection([45, 45, 20, 20], [70, 70, 20, 20], CAT, scores=[0.9, 0.8, 0.7])
    assert data.metrics(found, detection())["box_map"] == pytest.approx(100)


def test_nothing_found_and_nothing_there(data: Data) -> None:
    assert all(math.isnan(value) for value in data.metrics(detection(), detection()).values())
    data.annotate(0, CAT)
    assert data.metrics(detection(), detection())["box_map"] == 0


def square(left: int, top: int, side: int) -> Tensor:
    mask = torch.zeros(1, 1, 100, 100)
    mask[:, :, top : top + side, left : left + side] = 0.9
    return mask


def test_masks(data: Data) -> None:
    """The boxes are perfect; one mask covers only a quarter."""
    for image in (0, 1):
        data.annotate(image, CAT, segmentation=[[10, 10, 30, 10, 30, 30, 10, 30]])
    metrics = data.metrics(detection(CAT, masks=square(10, 10, 20)), detection(CAT, masks=square(10, 10, 10)))
    assert metrics["box_map"] == pytest.approx(100)
    # Of two detections with equal scores the first is right: precision 1 up to a recall of 0.5.
    assert metrics["mask_map"] == pytest.approx(100 * 51 / 101)
    found_none = detection(masks=torch.zeros(0, 1, 100, 100))
    assert data.metrics(found_none, found_none)["mask_map"] == 0


def test_masks_that_are_not_annotated(data: Data) -> None:
    data.annotate(0, CAT)
    evaluator = data.evaluator()
    record = evaluator.measure("0.png", detection(CAT, masks=square(10, 10, 20)))
    assert "mask_map" not in evaluator.summarize([record])
    assert evaluator.notes == ["mask_map is not computed: annotations without 'segmentation'."]


def test_keypoints(data: Data) -> None:
    """An error given by COCO's constant for the nose and the object's size, for a similarity of exp(-0.5 / 4)."""
    n = len(KEYPOINT_NAMES)
    there = torch.tensor([[20.0, 20.0, 2.0]]).repeat(n, 1)
    data.annotate(0, [0, 0, 100, 100], keypoints=there.flatten().tolist(), area=10_000)
    perfect = detection([0, 0, 100, 100], keypoints=there[None], keypoints_scores=torch.ones(1, n))
    nothing = detection(keypoints=torch.zeros(0, n, 3), keypoints_scores=torch.zeros(0, n))
    metrics = data.metrics(perfect, nothing)
    of_keypoints = {name: value for name, value in metrics.items() if name.startswith("kp_map")}
    assert math.isnan(of_keypoints.pop("kp_map_medium"))
    assert of_keypoints == dict.fromkeys(("kp_map", "kp_map_50", "kp_map_75", "kp_map_large"), pytest.approx(100))

    only_nose = there.clone()
    only_nose[1:, 2] = 0
    data.content["annotations"][0]["keypoints"] = only_nose.flatten().tolist()
    off = there.clone()
    off[0, 0] += 0.5 * (2 * 0.026) * 100  # half a standard deviation of a nose in an object of 100 × 100 pixels
    similarity = math.exp(-(0.5**2) / 2)  # 0.88: enough for the first eight of ten thresholds
    metrics = data.metrics(detection([0, 0, 100, 100], keypoints=off[None]), nothing)
    assert metrics["kp_map"] == pytest.approx(10 * sum(0.5 + 0.05 * i < similarity for i in range(10)))


def test_other_keypoints_have_no_figure(data: Data) -> None:
    data.annotate(0, CAT, keypoints=[1, 1, 2] * 5)
    evaluator = data.evaluator()
    record = evaluator.measure("0.png", detection(CAT, keypoints=torch.ones(1, 5, 3)))
    assert "kp_map" not in evaluator.summarize([record])
    assert "17 keypoints, not for 5" in evaluator.notes[0]


# ── categories ───────────────────────────────────────────────────────────────────────────────────────────────────


def found_categories(evaluator: CocoEvaluator, *labels: int) -> list[int]:
    record = evaluator.measure("0.png", detection(*[CAT] * len(labels), labels=list(labels)))
    return [row["category_id"] for row in record["detections"]]


def test_categories_are_matched_by_name(data: Data) -> None:
    data.content["categories"] = [{"id": 7, "name": "dog"}, {"id": 9, "name": "Cat"}]
    evaluator = data.evaluator()
    assert found_categories(evaluator, 1, 2) == [9, 7]
    assert evaluator.notes == []


def test_categories_that_the_model_does_not_know_are_left_out_and_told(data: Data) -> None:
    data.content["categories"] += [{"id": 3, "name": "unicorn"}]
    data.annotate(0, CAT)
    data.annotate(0, DOG, 3)
    evaluator = data.evaluator("background", "rat", "cat")
    assert found_categories(evaluator, 1, 2) == [1]
    assert evaluator.notes == ["2 of 3 categories are unknown to the model and ignored: dog, unicorn."]
    record = evaluator.measure("0.png", detection(CAT, labels=[2]))
    assert evaluator.summarize([record])["box_map"] == pytest.approx(100)


def test_without_common_names_categories_are_matched_by_id(data: Data) -> None:
    evaluator = data.evaluator("fond", "chat", "chien")
    assert found_categories(evaluator, 1, 2) == [1, 2]
    assert "matched by id: 1 is 'cat' and 'chat', 2 is 'dog' and 'chien'." in evaluator.notes[0]
    nameless = CocoEvaluator(data.folder, data.file, zoo.Weights(url="file:///nowhere.pth"))
    assert found_categories(nameless, 1, 2, 5) == [1, 2]
    assert nameless.notes == []


def test_categories_that_have_nothing_in_common(data: Data) -> None:
    data.content["categories"] = [{"id": 70, "name": "unicorn"}]
    with pytest.raises(InvalidArgument, match="have 70: unicorn; the model has background, cat, dog"):
        data.evaluator()


def test_published_labels_are_cocos_ids(data: Data) -> None:
    """In the 91 names of the published weights, the index of each category is its id; ten names are the same."""
    published = zoo.get_weight("MaskRCNN_ResNet50_FPN_Weights.COCO_V1").value
    data.content["categories"] = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}]
    evaluator = CocoEvaluator(data.folder, data.file, published)
    assert found_categories(evaluator, 1, 90, 12, 2) == [1, 90]


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_of_another_size_is_refused(data: Data) -> None:
    data.content["images"][0]["width"] = 90
    with pytest.raises(InvalidArgument, match=r"'0.png' has 100 × 100 pixels, but 100 × 90 in the annotations"):
        data.evaluator().measure("0.png", detection(CAT))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.pop("images"), "it has no list 'images'"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\] has no 'file_name'"),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotations\[0\] has no 'bbox'"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"annotations\[0\] has the bbox \[1, 2, 3\]; expected"),
        (lambda c: c["annotations"][0].update(image_id=5), "refers to the image 5, which is not listed"),
        (lambda c: c["annotations"][0].update(category_id=5), "refers to the category 5, which is not listed"),
        (lambda c: c["images"][1].update(file_name="0.png"), "lists the image '0.png' 2 times"),
        (
            lambda c: [image.update(file_name=f"no-{image['id']}") for image in c["images"]],
            "contains none of the annotated",
        ),
    ],
)
def test_files_of_another_format(data: Data, change: Any, complaint: str) -> None:
    data.annotate(0, CAT)
    change(data.content)
    with pytest.raises(InvalidArgument, match=complaint):
        data.evaluator()


def test_no_file_or_no_json(data: Data) -> None:
    with pytest.raises(InvalidArgument, match="expected a JSON file in COCO's format; none were given"):
        CocoEvaluator(data.folder, None, weights(*CATEGORIES))
    with pytest.raises(InvalidArgument, match="is a folder"):
        CocoEvaluator(data.folder, data.folder, weights(*CATEGORIES))
    for content in (b"{", b"\xff\xfe\x00"):
        (data.folder / "broken.json").write_bytes(content)
        with pytest.raises(UnreadableFile, match="is not JSON"):
            CocoEvaluator(data.folder, data.folder / "broken.json", weights(*CATEGORIES))
    (data.folder / "list.json").write_text("[]")
    with pytest.raises(InvalidArgument, match="it contains a list; expected an object"):
        CocoEvaluator(data.folder, data.folder / "list.json", weights(*CATEGORIES))


def test_without_faster_coco_eval_it_says_what_to_install(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingPlugin, match=r"needs faster-coco-eval: pip install 'zoo-detection\[coco\]'"):
        data.evaluator()


# ── files in practice ────────────────────────────────────────────────────────────────────────────────────────────

OUTLINE = [[10, 10, 30, 10, 30, 30, 10, 30]]


def test_null_is_as_if_absent(data: Data) -> None:
    data.annotate(0, CAT, segmentation=OUTLINE, area=None, iscrowd=None, num_keypoints=None, keypoints=None)
    data.annotate(1, CAT, segmentation=OUTLINE, area=400, iscrowd=0)
    data.content["images"][1]["width"] = data.content["images"][1]["height"] = None
    metrics = data.metrics(detection(CAT), detection(CAT))
    assert metrics["box_map"] == pytest.approx(100)
    data.content["images"][1] |= {"width": 100, "height": 100}
    metrics = data.metrics(detection(CAT, masks=square(10, 10, 20)), detection(CAT, masks=square(10, 10, 20)))
    assert metrics["mask_map"] == pytest.approx(100)
    data.content["annotations"][1]["segmentation"] = None
    evaluator = data.evaluator()
    records = [evaluator.measure(name, detection(CAT, masks=square(10, 10, 20))) for name in evaluator.sources]
    assert "mask_map" not in evaluator.summarize(records)
    assert "annotations without 'segmentation'" in evaluator.notes[0]
    data.content["categories"][0]["name"] = None
    with pytest.raises(InvalidArgument, match=r"categories\[0\] has no 'name' \(its id is 1\)"):
        data.evaluator()


def test_ids_may_be_texts_or_large_and_names_numbers(data: Data) -> None:
    """The metrics are the same: one category is found on one of two pictures, another one is not found."""
    content = data.content
    data.annotate(0, CAT, 1)
    data.annotate(1, DOG, 2)
    found = detection(CAT), detection(CAT, labels=[2])
    before = data.metrics(*found)
    for image, id_ in zip(content["images"], ("zero", 2**70), strict=True):
        image["id"] = id_
    content["categories"] = [{"id": -7, "name": "cat"}, {"id": 2**65, "name": "dog"}]
    for row, image, category in zip(content["annotations"], ("zero", 2**70), (-7, 2**65), strict=True):
        row.update(image_id=image, category_id=category)
    assert data.metrics(*found) == before
    content["categories"][1]["name"] = 7
    assert found_categories(data.evaluator("background", "cat", "7"), 2) == [2**65]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "has an outline of 4 numbers; expected x and y of three points or more"),
        ({"segmentation": [*OUTLINE, [1, 2, 3, 4, 5, 6, 7]]}, "has an outline of 7 numbers"),
        ({"segmentation": [[]]}, "has an outline of 0 numbers"),
        ({"segmentation": OUTLINE[0]}, "has the segmentation .*expected outlines"),
        ({"segmentation": [[[1, 2], [3, 4], [5, 6]]]}, "has the segmentation .*expected outlines"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "has the segmentation .*expected outlines"),
        ({"segmentation": "none"}, "has the segmentation 'none'"),
        ({"segmentation": {"size": [100], "counts": []}}, r"size \[100\]; expected \[height, width\]"),
        ({"segmentation": {"size": [50, 100], "counts": [5000]}}, r"its image has \[100, 100\]"),
        ({"segmentation": {"size": [100, 100], "counts": [5, 5]}}, "expected whole numbers that add up to 10000"),
        ({"segmentation": {"size": [100, 100], "counts": "04"}}, "has the run lengths '04', of 4 pixels"),
        ({"segmentation": {"size": [100, 100], "counts": "\xff"}}, "of None pixels"),
        ({"segmentation": {"size": [100, 100]}}, "has the run lengths None, of no pixels"),
        ({"bbox": [1, 2, float("nan"), 4]}, r"has the bbox \[1, 2, nan, 4\]"),
        ({"bbox": [1, 2, -3, 4]}, r"has the bbox \[1, 2, -3, 4\]"),
        ({"bbox": [1, 2, "3", 4]}, "has the bbox"),
        ({"bbox": [1, 2, True, 4]}, "has the bbox"),
        ({"bbox": [1, 2, 10**400, 4]}, "has the bbox"),
        ({"bbox": [1, 2, float("inf"), 4]}, "has the bbox"),
        ({"bbox": {"left": 1}}, "has the bbox"),
        ({"area": "large"}, "has the area 'large'"),
        ({"area": -1}, "has the area -1"),
        ({"iscrowd": 2}, "has the iscrowd 2"),
        ({"iscrowd": []}, r"has the iscrowd \[\]"),
        ({"keypoints": [1, 2]}, "has the keypoints"),
        ({"keypoints": [1, 2, 2], "num_keypoints": 2}, "has the num_keypoints 2; it has 1 keypoints"),
        ({"image_id": [10]}, r"has the image_id \[10\]; expected a whole number or a string"),
        ({"category_id": 1.0}, "has the category_id 1.0"),
    ],
)
def test_what_is_wrong_is_told_with_the_annotations_id(data: Data, change: Any, complaint: str) -> None:
    data.annotate(0, CAT)
    data.annotate(1, CAT)
    data.content["annotations"][1] |= {"id": 4711, **change}
    with pytest.raises(InvalidArgument, match=rf"annotations\[1\] .*{complaint}.* \(its id is 4711\)"):
        data.evaluator()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["images"][1].update(id=10), "2 images have the id 10; expected one"),
        (lambda c: c["annotations"][1].update(id=0), "2 annotations have the id 0; expected one"),
        (lambda c: c["categories"][1].update(id=1), "2 categories have the id 1; expected one"),
        (lambda c: c["categories"][1].update(name=" CAT"), "2 categories have the name 'cat'; expected one"),
        (
            lambda c: c["images"][0].update(file_name="/etc/passwd"),
            r"images\[0\] has the file_name '/etc/passwd', which",
        ),
        (lambda c: c["images"][0].update(file_name="../x.png"), "which may lead elsewhere.*its id is 10"),
        (lambda c: c["images"][0].update(file_name="C:\\x.png"), "which may lead elsewhere"),
        (lambda c: c["images"][0].update(file_name=7), "has the file_name 7; expected the path"),
        (lambda c: c["images"][0].update(file_name="a\0b"), "has the file_name"),
        (lambda c: c["images"][0].update(width="100"), "has the width '100'; expected a whole number"),
        (lambda c: c["images"][0].update(height=0), "has the height 0"),
        (lambda c: c["images"].append(3), r"images\[2\] has no 'id'"),
        (lambda c: c["annotations"].append([]), r"annotations\[2\] has no 'image_id'"),
        (lambda c: c["images"][0].update(id=float("nan")), r"images\[0\] has the id nan"),
        (lambda c: c.update(images={}), "it has no list 'images'"),
    ],
)
def test_what_is_twice_or_of_another_type(data: Data, change: Any, complaint: str) -> None:
    data.annotate(0, CAT)
    data.annotate(1, CAT)
    change(data.content)
    with pytest.raises(InvalidArgument, match=complaint):
        data.evaluator()


def test_deep_nesting_and_endless_numbers(data: Data) -> None:
    for content, complaint in (
        (b'{"images":' + b"[" * 200_000, "nested too deeply"),
        (b"[" + b"9" * 10_000 + b"]", "is not JSON"),
    ):
        (data.folder / "deep.json").write_bytes(content)
        with pytest.raises(UnreadableFile, match=complaint):
            CocoEvaluator(data.folder, data.folder / "deep.json", weights(*CATEGORIES))


def test_masks_as_run_lengths(data: Data) -> None:
    """Run lengths, plain or in COCO's compressed form, with the same pixels as the outline."""
    runs = run_lengths(square(10, 10, 20)[0, 0] > 0.5)
    for counts in (runs["counts"], compress(runs["counts"])):
        data.content["annotations"].clear()
        for i in (0, 1):
            data.annotate(i, CAT, segmentation={"size": [100, 100], "counts": counts}, area=400)
        found = detection(CAT, masks=square(10, 10, 20))
        assert data.metrics(found, found)["mask_map"] == pytest.approx(100)


# ── the witness ──────────────────────────────────────────────────────────────────────────────────────────────────


def by_pycocotools(truth: dict[str, Any], found: list[dict[str, Any]], kind: str, field: str) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    known = COCO()
    known.dataset = copy.deepcopy(truth)
    known.createIndex()
    guessed = known.loadRes([{k: r[k] for k in ("image_id", "category_id", "score", field)} for r in found])
    scores = COCOeval(known, guessed, kind)
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    return [float(v) for v in scores.stats]


def test_the_figures_are_those_of_pycocotools(tmp_path: Path) -> None:
    """Boxes, masks and keypoints with errors, of two categories and with crowds, on twenty pictures."""
    random = torch.Generator().manual_seed(0)
    n, k = 20, len(KEYPOINT_NAMES)
    data = Data(tmp_path, n)
    found = []
    for image in range(n):
        boxes, labels, masks, points = [], [], [], []
        for j in range(5):
            left, top, width, height = (torch.rand(4, generator=random) * 45 + 5).round().tolist()
            category = 1 + j % 2
            xy = torch.rand(k, 2, generator=random) * torch.tensor([width, height]) + torch.tensor([left, top])
            seen = torch.cat([xy, torch.full((k, 1), 2.0)], 1)
            corners = [left, top, left + width, top, left + width, top + height, left, top + height]
            data.annotate(
                image,
                [left, top, width, height],
                category,
                segmentation=[corners],
                keypoints=seen.flatten().tolist(),
                num_keypoints=k,
                area=width * height,
                iscrowd=0 if j < 4 else 1,
            )
            if j == 4:  # a crowd is annotated by its pixels
                runs = run_lengths(square(int(left), int(top), int(min(width, height)))[0, 0] > 0.5)
                data.content["annotations"][-1] |= {"segmentation": runs}
            for _ in range(2):
                off = torch.randn(4, generator=random) * 3
                box = [
                    left + off[0].item(),
                    top + off[1].item(),
                    width + off[2].abs().item(),
                    height + off[3].abs().item(),
                ]
                boxes.append(box)
                labels.append(category if torch.rand(1, generator=random) < 0.8 else 3 - category)
                mask = torch.zeros(1, 100, 100)
                x, y, w, h = (int(v) for v in box)
                mask[0, max(y, 0) : y + h, max(x, 0) : x + w] = 1
                masks.append(mask)
                points.append(seen + torch.cat([torch.randn(k, 2, generator=random) * 2, torch.zeros(k, 1)], 1))
        scores = torch.rand(len(boxes), generator=random).tolist()
        found.append(
            detection(*boxes, labels=labels, scores=scores, masks=torch.stack(masks), keypoints=torch.stack(points))
        )
    metrics = data.metrics(*found)
    rows = [row for i, one in enumerate(found) for row in one.to_coco(10 + i)]
    truth = {**data.content, "annotations": [{**r, "id": r["id"] + 1} for r in data.content["annotations"]]}
    for kind, field, endings in (
        ("bbox", "bbox", BOX_VALUES),
        ("segm", "segmentation", BOX_VALUES),
        ("keypoints", "keypoints", KEYPOINT_VALUES),
    ):
        want = by_pycocotools(truth, rows, kind, field)[: len(endings)]
        got = [metrics[METRICS[kind] + ending] for ending in endings]
        assert got == pytest.approx([100 * v if v >= 0 else math.nan for v in want], abs=1e-9, nan_ok=True), kind
        assert 1 < got[0] < 99


# ── from pictures to figures ─────────────────────────────────────────────────────────────────────────────────────


class Oracle(nn.Module):
    """Finds the shapes of pictures whose blue channel encodes each pixel's shape: 20 × its index, plus its label. So
    its masks are exact. It misses every ``miss``-th shape."""

    def __init__(self, miss: int = 0) -> None:
        super().__init__()
        self.miss = miss

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        results = []
        for image in images:
            codes = (image[2] * 255).round().long()
            seen = [c for c in codes.unique().tolist() if c and not (self.miss and (c // 20) % self.miss == 0)]
            masks = torch.stack([codes == c for c in seen]) if seen else torch.zeros(0, *codes.shape).bool()
            boxes = [[x.min(), y.min(), x.max() + 1, y.max() + 1] for y, x in (m.nonzero().T for m in masks)]
            results.append(
                {
                    "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                    "labels": torch.tensor([c % 20 for c in seen], dtype=torch.int64),
                    "scores": torch.full((len(seen),), 0.9),
                    "masks": masks[:, None].float(),
                }
            )
        return results


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Eight generated pictures of shapes and their annotations, with category ids in another order."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from shapes import CLASSES, make_picture

    images, objects = [], []
    (tmp_path / "pictures").mkdir()
    for i in range(8):
        picture = make_picture(4_000_000 + i, (72, 96))
        pixels = picture.image.copy()
        pixels[..., 2] = sum(m * (20 * (k + 1) + picture.labels[k]) for k, m in enumerate(picture.masks))
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": 72, "width": 96})
        for box, label, mask in zip(picture.boxes.tolist(), picture.labels.tolist(), picture.masks, strict=True):
            left, top, right, bottom = box
            flat = mask.T.flatten()
            ends = [0, *(torch.from_numpy(flat[1:] != flat[:-1]).nonzero()[:, 0] + 1).tolist(), flat.size]
            runs = [after - before for before, after in pairwise(ends)]
            counts = {"size": [72, 96], "counts": [0, *runs] if flat[0] else runs}
            objects.append(
                {
                    "image_id": i,
                    "category_id": 60 - label,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": int(mask.sum()),
                    "segmentation": counts,
                }
            )
    categories = [{"id": 60 - label, "name": name} for label, name in enumerate(CLASSES) if label]
    file = tmp_path / "shapes.json"
    file.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))
    return tmp_path / "pictures", file


NAMES = ("background", "circle", "square", "triangle", "star", "ring")


def test_generated_pictures_of_shapes(shapes: tuple[Path, Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"weights": weights(*NAMES), "task": "instance-segmentation", "device": "cpu"}
    result = zoo.evaluate(Oracle(), *shapes, **options, batch_size=3, output=tmp_path / "out")
    assert result.measured == 8
    assert result.metrics["box_map"] == result.metrics["mask_map"] == pytest.approx(100)
    assert result.metrics["box_map_50"] == pytest.approx(100)
    truth = json.loads(shapes[1].read_text())["annotations"]
    worse = zoo.evaluate(Oracle(miss=2), *shapes, **options)
    # Without false alarms, the AP of a category is the share of the 101 recalls that is reached.
    seen = [row for row in truth if nth_on_its_image(truth, row) % 2]
    reached = []
    for category in {row["category_id"] for row in truth}:
        found, there = (sum(row["category_id"] == category for row in rows) for rows in (seen, truth))
        reached.append(sum(k * there <= 100 * found for k in range(101)) / 101)
    assert worse.metrics["box_map"] == pytest.approx(100 * sum(reached) / len(reached))
    assert 20 < worse.metrics["box_map"] < 90


def nth_on_its_image(truth: list[dict[str, Any]], row: dict[str, Any]) -> int:
    return 1 + [other for other in truth if other["image_id"] == row["image_id"]].index(row)


def test_a_missing_picture_is_named_and_its_objects_do_not_count(shapes: tuple[Path, Path]) -> None:
    (shapes[0] / "5.png").unlink()
    result = zoo.evaluate(Oracle(), *shapes, weights=weights(*NAMES), task="object-detection", device="cpu")
    assert (result.measured, list(result.failures)) == (7, ["5.png"])
    assert result.metrics["box_map"] == pytest.approx(100)
