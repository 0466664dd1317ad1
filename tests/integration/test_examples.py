"""The code in torchvision's documentation runs on zoo after changing its imports."""

from __future__ import annotations

import dataclasses
import textwrap
import warnings
from pathlib import Path

import int8_files
import pytest
import torch
from PIL import Image

import zoo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def resnet50_file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(zoo.get_model("resnet50").state_dict(), path)
    return path


@pytest.fixture
def run(resnet50_file, tmp_path, monkeypatch):
    """Runs an example in a folder with a picture; the official weights of ResNet-50 are replaced by a generated
    file."""
    for member in zoo.get_model_weights("resnet50"):
        monkeypatch.setattr(member, "_value_", dataclasses.replace(member.value, url=resnet50_file.as_uri()))
    picture = tmp_path / "test/assets/encode_jpeg/grace_hopper_517x606.jpg"
    picture.parent.mkdir(parents=True)
    Image.radial_gradient("L").resize((517, 606)).convert("RGB").save(picture)
    monkeypatch.chdir(tmp_path)

    def run(code: str, **names):
        exec(compile(textwrap.dedent(code), "example", "exec"), names)
        return names

    return run


def test_multi_weight_forms(run):
    names = run("""
        from zoo.models import resnet50, ResNet50_Weights

        models = [
            # Old weights with accuracy 76.130%
            resnet50(weights=ResNet50_Weights.IMAGENET1K_V1),
            # New weights with accuracy 80.858%
            resnet50(weights=ResNet50_Weights.IMAGENET1K_V2),
            # Best available weights (currently alias for IMAGENET1K_V2)
            resnet50(weights=ResNet50_Weights.DEFAULT),
            # Strings are also supported
            resnet50(weights="IMAGENET1K_V2"),
            # No weights - random initialization
            resnet50(weights=None),
        ]
    """)
    *loaded, random = [model.conv1.weight for model in names["models"]]
    assert all(torch.equal(weight, loaded[0]) for weight in loaded)
    assert not torch.equal(random, loaded[0])


def test_migration(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names = run("""
            from zoo.models import resnet50, ResNet50_Weights

            # Using pretrained weights:
            pretrained = [
                resnet50(weights=ResNet50_Weights.IMAGENET1K_V1),
                resnet50(weights="IMAGENET1K_V1"),
                resnet50(pretrained=True),  # deprecated
                resnet50(True),  # deprecated
            ]
            # Using no weights:
            plain = [
                resnet50(weights=None),
                resnet50(),
                resnet50(pretrained=False),  # deprecated
                resnet50(False),  # deprecated
            ]
        """)
    assert [w.category for w in caught] == [DeprecationWarning] * 4
    assert {w.filename for w in caught} == {"example"}
    first = names["pretrained"][0].fc.weight
    assert all(torch.equal(m.fc.weight, first) for m in names["pretrained"])
    assert {zoo.load_report(m) is None for m in names["plain"]} == {True}


def test_transforms_and_eval(run):
    names = run(
        """
        from zoo.models import resnet50, ResNet50_Weights

        # Initialize the Weight Transforms
        weights = ResNet50_Weights.DEFAULT
        preprocess = weights.transforms()

        # Apply it to the input image
        img_transformed = preprocess(img)

        # Initialize model
        weights = ResNet50_Weights.DEFAULT
        model = resnet50(weights=weights)

        # Set model to eval mode
        model.eval()
        """,
        img=Image.new("RGB", (300, 200)),
    )
    assert names["img_transformed"].shape == (3, 224, 224)
    assert not names["model"].training


@pytest.fixture
def int8(tmp_path, monkeypatch):
    """Replaces a published int8 file by one with random numbers."""

    def publish(name: str) -> None:
        entry = zoo.get_weight(name)
        path = int8_files.write(name, tmp_path)
        monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri()))

    return publish


def test_listing_and_retrieving(run, tmp_path, monkeypatch):
    path, entry = tmp_path / "mobilenet_v3_large.pth", zoo.get_model_weights("mobilenet_v3_large").DEFAULT
    torch.save(zoo.get_model("mobilenet_v3_large").state_dict(), path)
    monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri()))
    names = run("""
        import zoo
        from zoo.models import get_model, get_model_weights, get_weight, list_models
        from zoo.models.quantization import MobileNet_V3_Large_QuantizedWeights

        # List available models
        all_models = list_models()
        classification_models = list_models(module=zoo.models)
        assert len(classification_models) == 80
        assert set(classification_models) <= set(all_models)

        # Initialize models
        m1 = get_model("mobilenet_v3_large", weights=None)
        m2 = get_model("quantized_mobilenet_v3_large", weights="DEFAULT")

        # Fetch weights
        weights = get_weight("MobileNet_V3_Large_QuantizedWeights.DEFAULT")
        assert weights == MobileNet_V3_Large_QuantizedWeights.DEFAULT

        weights_enum = get_model_weights("quantized_mobilenet_v3_large")
        assert weights_enum == MobileNet_V3_Large_QuantizedWeights

        weights_enum2 = get_model_weights(zoo.models.quantization.mobilenet_v3_large)
        assert weights_enum == weights_enum2
    """)
    # Without quantize=True the weights are the float ones, of a model that can be quantized.
    assert torch.equal(names["m2"].features[0][0].weight, torch.load(path)["features.0.0.weight"])
    assert callable(names["m2"].fuse_model)
    assert not hasattr(names["m1"], "fuse_model")


def test_torch_hub(run):
    names = run(
        """
        import torch

        # Option 1: passing weights param as string
        model = torch.hub.load(root, "resnet50", source="local", weights="IMAGENET1K_V2")

        # Option 2: passing weights param as enum
        weights = torch.hub.load(root, "get_weight", source="local", weights="ResNet50_Weights.IMAGENET1K_V2")
        model2 = torch.hub.load(root, "resnet50", source="local", weights=weights)

        weight_enum = torch.hub.load(root, "get_model_weights", source="local", name="resnet50")
        found = [weight for weight in weight_enum]
        """,
        root=str(ROOT),
    )
    assert torch.equal(names["model"].fc.weight, names["model2"].fc.weight)
    assert [repr(w) for w in names["found"]] == ["ResNet50_Weights.IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V2"]


def test_classification(run, capsys):
    names = run("""
        from zoo.io import read_image
        from zoo.models import resnet50, ResNet50_Weights

        img = read_image("test/assets/encode_jpeg/grace_hopper_517x606.jpg")

        # Step 1: Initialize model with the best available weights
        weights = ResNet50_Weights.DEFAULT
        model = resnet50(weights=weights)
        model.eval()

        # Step 2: Initialize the inference transforms
        preprocess = weights.transforms()

        # Step 3: Apply inference preprocessing transforms
        batch = preprocess(img).unsqueeze(0)

        # Step 4: Use the model and print the predicted category
        prediction = model(batch).squeeze(0).softmax(0)
        class_id = prediction.argmax().item()
        score = prediction[class_id].item()
        category_name = weights.meta["categories"][class_id]
        print(f"{category_name}: {100 * score:.1f}%")
    """)
    assert names["img"].shape == (3, 606, 517)
    assert names["category_name"] in capsys.readouterr().out


def test_quantized_classification(run, int8, capsys):
    int8("ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V2")
    names = run("""
        from zoo.io import read_image
        from zoo.models.quantization import resnet50, ResNet50_QuantizedWeights

        img = read_image("test/assets/encode_jpeg/grace_hopper_517x606.jpg")

        # Step 1: Initialize model with the best available weights
        weights = ResNet50_QuantizedWeights.DEFAULT
        model = resnet50(weights=weights, quantize=True)
        model.eval()

        # Step 2: Initialize the inference transforms
        preprocess = weights.transforms()

        # Step 3: Apply inference preprocessing transforms
        batch = preprocess(img).unsqueeze(0)

        # Step 4: Use the model and print the predicted category
        prediction = model(batch).squeeze(0).softmax(0)
        class_id = prediction.argmax().item()
        score = prediction[class_id].item()
        category_name = weights.meta["categories"][class_id]
        print(f"{category_name}: {100 * score}%")
    """)
    assert names["prediction"].sum().item() == pytest.approx(1)
    assert isinstance(names["model"].layer1[0].conv1, torch.ao.nn.quantized.Conv2d)
    assert capsys.readouterr().out == f"{names['category_name']}: {100 * names['score']}%\n"


@pytest.mark.parametrize(
    "arguments",
    ["weights=MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1, quantize=True", "pretrained=True, quantize=True"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_few_lines_for_a_quantized_model(run, int8, arguments):
    int8("MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1")
    names = run(f"""
        import torch
        import zoo.models as models
        from zoo.models.quantization import MobileNet_V2_QuantizedWeights
        torch.manual_seed(0)
        model = models.quantization.mobilenet_v2({arguments})
        model.eval()
        # run the model with quantized inputs and weights
        out = model(torch.rand(1, 3, 224, 224))
    """)
    assert names["out"].shape == (1, 1000)
    assert names["out"].std() > 0
    assert names["model"].engine == "qnnpack"


QUANTIZABLE = """
    googlenet inception_v3 mobilenet_v2 mobilenet_v3_large resnet18 resnet50 resnext101_32x8d shufflenet_v2_x0_5
    shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0
""".split()


def test_constructors_of_quantizable_models():
    import zoo.models as models

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for name in QUANTIZABLE:
            own, plain = getattr(models.quantization, name)(), getattr(models, name)()
            assert own.state_dict().keys() == plain.state_dict().keys(), name
            assert callable(own.fuse_model), name


# The constructors in two older versions of the page, with random weights. The largest are built on meta: this tests
# that the names resolve and build.
CONSTRUCTORS = """
    resnet18 alexnet vgg16 squeezenet1_0 densenet161 inception_v3 googlenet shufflenet_v2_x1_0 mobilenet_v2
    mobilenet_v3_large mobilenet_v3_small resnext50_32x4d wide_resnet50_2 mnasnet1_0 efficientnet_b0 efficientnet_b1
    efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_s
    efficientnet_v2_m efficientnet_v2_l regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf
    regnet_y_16gf regnet_y_32gf regnet_y_128gf regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf
    regnet_x_16gf regnet_x_32gf vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14 convnext_tiny convnext_small convnext_base
    convnext_large swin_t
""".split()


def test_constructors():
    import zoo.models as models

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # GoogLeNet's and Inception's, on their default initialisation
        for name in CONSTRUCTORS:
            model = getattr(models, name)()
            assert sum(p.numel() for p in model.parameters()) > 1_000_000, name
    assert not models.squeezenet1_0().features[0].weight.is_meta


def test_normalize_and_compose():
    import zoo.transforms as T

    normalize = T.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    transform = T.Compose([T.Resize(256), T.CenterCrop(224), T.PILToTensor(), T.ConvertImageDtype(torch.float)])
    img = transform(Image.new("RGB", (320, 480), (255, 0, 0)))
    assert img.shape == (3, 224, 224)
    assert img[:, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert normalize(img)[0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229)
    assert torch.equal(T.ToTensor()(Image.new("RGB", (2, 2), (255, 0, 0)))[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_segmentation(run, tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = tmp_path / "fcn_resnet50.pth"
    torch.save(zoo.get_model("fcn_resnet50", weights_backbone=None, aux_loss=True).state_dict(), path)
    entry = zoo.get_model_weights("fcn_resnet50").DEFAULT
    monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri()))
    (tmp_path / "gallery/assets").mkdir(parents=True)
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(tmp_path / "gallery/assets/dog1.jpg")
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image))
    names = run("""
        from zoo.io.image import read_image
        from zoo.models.segmentation import fcn_resnet50, FCN_ResNet50_Weights
        from zoo.transforms.functional import to_pil_image

        img = read_image("gallery/assets/dog1.jpg")

        # Step 1: Initialize model with the best available weights
        weights = FCN_ResNet50_Weights.DEFAULT
        model = fcn_resnet50(weights=weights)
        model.eval()

        # Step 2: Initialize the inference transforms
        preprocess = weights.transforms(resize_size=64)

        # Step 3: Apply inference preprocessing transforms
        batch = preprocess(img).unsqueeze(0)

        # Step 4: Use the model and visualize the prediction
        prediction = model(batch)["out"]
        normalized_masks = prediction.softmax(dim=1)
        class_to_idx = {cls: idx for (idx, cls) in enumerate(weights.meta["categories"])}
        mask = normalized_masks[0, class_to_idx["dog"]]
        to_pil_image(mask).show()
    """)
    assert names["class_to_idx"]["dog"] == 12
    assert names["prediction"].shape == (1, 21, 64, 96)
    assert [image.size for image in shown] == [(96, 64)]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Replaces the published weights of a detector by a small file; the detector then works on small images."""

    def publish(name: str, change=None) -> None:
        torch.manual_seed(0)
        for entry in zoo.get_model_weights(name):
            config = {**entry.value.config, "min_size": 96, "max_size": 160}
            model = zoo.get_model(name, weights=None, weights_backbone=None, **config)
            if change is not None:
                change(model)
            path = tmp_path / f"{name}.pth"
            torch.save(model.state_dict(), path)
            monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri(), config=config))

    return publish


def everywhere_a_dog(model) -> None:
    """Every region is classified as a dog (18) with a score of 1, and is the object's box."""
    predictor = model.roi_heads.box_predictor
    for parameter in predictor.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(predictor.cls_score.bias[18:19], 12)


def test_detection(run, published, monkeypatch):
    with torch.no_grad():
        published("fasterrcnn_resnet50_fpn_v2", everywhere_a_dog)
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image))
    names = run("""
        from zoo.io.image import read_image
        from zoo.models.detection import fasterrcnn_resnet50_fpn_v2, FasterRCNN_ResNet50_FPN_V2_Weights
        from zoo.utils import draw_bounding_boxes
        from zoo.transforms.functional import to_pil_image

        img = read_image("test/assets/encode_jpeg/grace_hopper_517x606.jpg")

        # Step 1: Initialize model with the best available weights
        weights = FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT
        model = fasterrcnn_resnet50_fpn_v2(weights=weights, box_score_thresh=0.9)
        model.eval()

        # Step 2: Initialize the inference transforms
        preprocess = weights.transforms()

        # Step 3: Apply inference preprocessing transforms
        batch = [preprocess(img)]

        # Step 4: Use the model and visualize the prediction
        prediction = model(batch)[0]
        labels = [weights.meta["categories"][i] for i in prediction["labels"]]
        box = draw_bounding_boxes(img, boxes=prediction["boxes"],
                                  labels=labels,
                                  colors="red",
                                  width=4, font_size=30)
        im = to_pil_image(box.detach())
        im.show()
    """)
    boxes, scores = names["prediction"]["boxes"], names["prediction"]["scores"]
    assert set(names["labels"]) == {"dog"}
    assert scores.min() > 0.9
    assert [image.size for image in shown] == [(517, 606)]
    x, y = boxes[0].int().tolist()[:2]
    assert shown[0].getpixel((x, y)) == (255, 0, 0)
    assert names["box"].dtype == torch.uint8
    changed = (names["box"] != names["img"]).any(0).float().mean()
    assert 0 < changed < 1


# The categories and keypoints that the oldest of the pages lists.
CATEGORIES = """
    __background__, person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
    N/A, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, N/A,
    backpack, umbrella, N/A, N/A, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, N/A, wine glass, cup, fork, knife, spoon, bowl,
    banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    N/A, dining table, N/A, N/A, toilet, N/A, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
    sink, refrigerator, N/A, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""
KEYPOINTS = """
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist
    right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
"""


def test_categories_and_keypoints_of_detectors():
    from zoo.models.detection import KeypointRCNN_ResNet50_FPN_Weights, MaskRCNN_ResNet50_FPN_Weights

    names = [" ".join(name.split()) for name in CATEGORIES.split(",")]
    assert MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"] == names
    assert KeypointRCNN_ResNet50_FPN_Weights.DEFAULT.meta["keypoint_names"] == KEYPOINTS.split()


TRAINING = """
    import torch
    import zoo

    model = zoo.models.detection.fasterrcnn_resnet50_fpn(pretrained=True)
    # For training
    images, boxes = torch.rand(4, 3, 600, 1200), torch.rand(4, 11, 4)
    boxes = prepare(boxes)
    labels = torch.randint(1, 91, (4, 11))
    images = list(image for image in images)
    targets = []
    for i in range(len(images)):
        d = {}
        d['boxes'] = boxes[i]
        d['labels'] = labels[i]
        targets.append(d)
    output = model(images, targets)
    # For inference
    model.eval()
    x = [torch.rand(3, 300, 400), torch.rand(3, 500, 400)]
    predictions = model(x)
"""


def test_detection_training_and_inference(run, published):
    published("fasterrcnn_resnet50_fpn")
    with pytest.warns(DeprecationWarning, match="before torchvision 0.13"):
        # The page's boxes are random numbers, here made valid.
        names = run(
            TRAINING, prepare=lambda boxes: torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:] + 1], -1)
        )
    assert set(names["output"]) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert all(loss.isfinite() for loss in names["output"].values())
    check_inference(names["predictions"], {"boxes", "labels", "scores"})
    as_shown = [{**target, "boxes": torch.rand(11, 4)} for target in names["targets"]]
    with pytest.raises(ValueError, match="image 0: no coordinate is above 1"):
        names["model"].train()(names["images"], as_shown)


def check_inference(predictions, fields):
    assert len(predictions) == 2
    for prediction, (height, width) in zip(predictions, [(300, 400), (500, 400)], strict=True):
        assert set(prediction) == fields
        n = len(prediction["boxes"])
        shapes = {"boxes": (4,), "labels": (), "scores": (), "masks": (1, height, width)}
        shapes |= {"keypoints": (17, 3), "keypoints_scores": (17,)}
        for field, value in prediction.items():
            assert value.shape == (n, *shapes[field])
        x1, y1, x2, y2 = prediction["boxes"].unbind(1)
        assert bool(((x1 >= 0) & (x1 <= x2) & (x2 <= width) & (y1 >= 0) & (y1 <= y2) & (y2 <= height)).all())
        assert prediction["labels"].dtype == torch.int64
        for field in {"scores", "masks"} & fields:
            assert bool(((prediction[field] >= 0) & (prediction[field] <= 1)).all())


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", set()),
        pytest.param("fasterrcnn_mobilenet_v3_large_fpn", set(), marks=pytest.mark.slow),
        pytest.param("retinanet_resnet50_fpn", set(), marks=pytest.mark.slow),
        pytest.param("maskrcnn_resnet50_fpn", {"masks"}, marks=pytest.mark.slow),
        pytest.param("keypointrcnn_resnet50_fpn", {"keypoints", "keypoints_scores"}, marks=pytest.mark.slow),
    ],
)
def test_detection_inference(run, published, name, more):
    published(name)
    with pytest.warns(DeprecationWarning, match="before torchvision 0.13"):
        names = run(f"""
            import torch
            import zoo

            model = zoo.models.detection.{name}(pretrained=True)
            model.eval()
            x = [torch.rand(3, 300, 400), torch.rand(3, 500, 400)]
            predictions = model(x)
        """)
    check_inference(names["predictions"], {"boxes", "labels", "scores"} | more)


def test_video(run, tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    torch.manual_seed(0)
    path = tmp_path / "r3d_18.pth"
    torch.save(zoo.get_model("r3d_18").state_dict(), path)
    entry = zoo.get_model_weights("r3d_18").DEFAULT
    monkeypatch.setattr(entry, "_value_", dataclasses.replace(entry.value, url=path.as_uri()))
    clip = tmp_path / "test/assets/videos/v_SoccerJuggling_g23_c01.avi"
    clip.parent.mkdir(parents=True)
    frames, _, _ = zoo.io.read_video(ROOT / "examples/videos/moving_shapes.gif", output_format="THWC")
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for frame in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    names = run("""
        from zoo.io.video import read_video
        from zoo.models.video import r3d_18, R3D_18_Weights

        vid, _, _ = read_video("test/assets/videos/v_SoccerJuggling_g23_c01.avi", output_format="TCHW")
        vid = vid[:32]  # optionally shorten duration

        # Step 1: Initialize model with the best available weights
        weights = R3D_18_Weights.DEFAULT
        model = r3d_18(weights=weights)
        model.eval()

        # Step 2: Initialize the inference transforms
        preprocess = weights.transforms()

        # Step 3: Apply inference preprocessing transforms
        batch = preprocess(vid).unsqueeze(0)

        # Step 4: Use the model and print the predicted category
        prediction = model(batch).squeeze(0).softmax(0)
        label = prediction.argmax().item()
        score = prediction[label].item()
        category_name = weights.meta["categories"][label]
        print(f"{category_name}: {100 * score}%")
    """)
    assert names["vid"].shape == (32, 3, 96, 96)
    assert names["batch"].shape == (1, 3, 32, 112, 112)
    assert names["prediction"].sum().item() == pytest.approx(1)
    assert names["category_name"] == names["weights"].meta["categories"][names["label"]]
