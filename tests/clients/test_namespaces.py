"""Programs that read ``torchvision.models`` as a namespace run on ``zoo.models``."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys
from unittest import mock

import pytest
import torch

import zoo
from zoo import models

SPACES = ["", "quantization", "segmentation", "detection", "video", "optical_flow"]


def space(name: str):
    return getattr(models, name) if name else models


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_the_choices_of_a_training_script():
    names = sorted(
        name
        for name in models.__dict__
        if name.islower() and not name.startswith("__") and callable(models.__dict__[name])
    )
    helpers = {"get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"}
    assert set(names) == {*zoo.list_models(plugin="classification"), *helpers}
    assert models.__dict__["squeezenet1_1"](num_classes=3)(torch.rand(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("name", SPACES)
def test_what_can_be_called_by_a_small_name_is_a_model(name):
    found = {n for n, value in vars(space(name)).items() if n.islower() and n[0] != "_" and callable(value)}
    want = {
        n.removeprefix("quantized_")
        for n in zoo.list_models(module=space(name))
        if zoo.model_info(n).weights  # models on any backbone are built by get_model
    }
    assert found - {"get_model", "get_model_builder", "get_model_weights", "get_weight", "list_models"} == want


def test_listing_imports_no_torch():
    code = (
        "import sys, zoo.models as m\n"
        f"for s in {SPACES[1:]}: dir(getattr(m, s)); list(getattr(m, s).__dict__); getattr(m, s).__all__\n"
        "dir(m); list(vars(m)); 'resnet50' in vars(m); m.__all__; m.detection; m.Weights; m._api\n"
        "print('torch' in sys.modules)"
    )
    assert python(code) == "False\n"


@pytest.mark.parametrize("name", SPACES)
def test_dir_vars_and_all_are_one(name):
    of = space(name)
    assert dir(of) == list(vars(of))
    assert set(of.__all__) == {n for n in dir(of) if not n.startswith("_")}
    everything: dict[str, object] = {}
    exec(f"from {of.__name__} import *", everything)
    assert set(of.__all__) <= set(everything)
    for helper in ("annotations", "Any", "importlib", "sys", "lazy_package", "plugin", "Sequence"):
        assert helper not in dir(of)


def test_vars_is_a_dict():
    names = vars(models)
    assert isinstance(names, dict)
    assert names["resnet18"] is names.get("resnet18") is models.resnet18
    assert names.get("resnet17") is None
    with pytest.raises(KeyError, match="resnet17"):
        names["resnet17"]
    assert dict(names)["resnet18"] is {**names}["resnet18"] is names.copy()["resnet18"] is models.resnet18


def test_what_is_added_is_there():
    def my_net():
        return "mine"

    models.__dict__["my_net"] = my_net
    try:
        assert models.my_net is my_net
        assert "my_net" in dir(models)
        models.my_other = my_net
        assert models.__dict__["my_other"] is my_net
    finally:
        del models.__dict__["my_net"]
        del models.my_other
    assert not hasattr(models, "my_net")
    assert "my_other" not in vars(models)


def test_mock_replaces_a_builder():
    with mock.patch("zoo.models.resnet18", return_value="mocked"):
        assert models.resnet18() == "mocked"
    assert models.resnet18 is importlib.import_module("zoo_classification.resnet").resnet18


def test_builders_are_functions():
    build = models.__dict__["resnet18"]
    assert build == zoo.get_model_builder("resnet18")
    assert inspect.isfunction(build)
    assert build.__name__ == "resnet18"
    assert build.__doc__.startswith("ResNet-18")
    assert "weights" in inspect.signature(build).parameters
    assert pickle.loads(pickle.dumps(build)) is build
    assert ("resnet18", build) in inspect.getmembers(models, inspect.isfunction)


def test_modules_are_there_without_being_imported():
    code = (
        "from zoo import models\n"
        "print(models.resnet.BasicBlock.__name__, models.detection.faster_rcnn.FastRCNNPredictor.__name__,\n"
        "  models.segmentation.deeplabv3.DeepLabHead.__name__, models.detection.retinanet.RetinaNetHead.__name__,\n"
        "  models.vision_transformer.VisionTransformer.__name__, models.optical_flow.raft.RAFT.__name__)"
    )
    assert (
        python(code).split() == "BasicBlock FastRCNNPredictor DeepLabHead RetinaNetHead VisionTransformer RAFT".split()
    )


BOTH = "alexnet googlenet mobilenet_v2 video.s3d quantization.googlenet segmentation.fcn segmentation.deeplabv3".split()
BOTH += ["detection.fcos", "detection.retinanet", "segmentation.lraspp", "quantization.mobilenet_v2"]


@pytest.mark.parametrize("first", ["zoo", "plugin", "builder"])
def test_a_module_never_replaces_the_builder_of_its_name(first):
    code = f"""
import importlib, threading
from zoo import models
from zoo.registry.first_party import BY_NAMESPACE
def get(path):
    value = models
    for part in path.split("."): value = getattr(value, part)
    return value
def use(path):
    space, _, name = path.rpartition(".")
    if {first!r} == "builder": assert callable(get(path)), path
    if {first!r} == "plugin": importlib.import_module(BY_NAMESPACE[space].package + "." + name)
    module = importlib.import_module("zoo.models." + path)
    assert callable(get(path)), path
    package = importlib.import_module(BY_NAMESPACE[space].package)
    assert callable(getattr(package, name)) or space in ("segmentation", "detection"), path
    assert any(isinstance(v, type) for v in vars(importlib.import_module(package.__name__ + "." + name)).values())
failed = []
def run(path):
    try: use(path)
    except BaseException as e: failed.append((path, e))
threads = [threading.Thread(target=run, args=(path,)) for path in {BOTH} * 2]
for t in threads: t.start()
for t in threads: t.join()
print(failed)
"""
    assert python(code) == "[]\n"


def test_a_name_of_a_module_and_of_a_builder_is_both():
    assert models.segmentation.fcn.FCNHead(8, 2)[-1].out_channels == 2
    model = models.segmentation.fcn(backbone="resnet18", num_classes=3)
    assert model.classifier[-1].out_channels == 3
    assert not callable(vars(models.segmentation)["fcn"]), "a program would take it for a model"


def test_what_is_not_there_is_named_with_what_is_like_it():
    with pytest.raises(
        AttributeError, match=r"module 'zoo\.models' has no attribute 'resnet51'\. Did you mean 'resnet50'"
    ):
        models.resnet51  # noqa: B018
    with pytest.raises(AttributeError, match=r"'zoo\.models\.detection' has no attribute 'fasterrcnn_resnet50'"):
        models.detection.fasterrcnn_resnet50  # noqa: B018
    with pytest.raises(ImportError, match=r"cannot import name .resnet51. from .zoo\.models."):
        from zoo.models import resnet51  # noqa: F401


def test_namespaces_may_be_reloaded() -> None:
    code = (
        "import importlib, zoo.models as m, zoo.models.detection as d\n"
        "before = m.resnet18\n"
        "for _ in range(2):\n"
        "    assert importlib.reload(m) is m and importlib.reload(d) is d\n"
        "assert m.resnet18 is before and 'resnet18' in vars(m) and 'fasterrcnn_resnet50_fpn' in dir(d)\n"
        "assert m.__spec__.origin.endswith('__init__.py')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
