"""Saved models that are malicious, damaged, or from elsewhere: each is refused with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import zoo
from zoo.errors import CheckpointError, DownloadError, UnknownModel

NAMES = list("abc")


@pytest.fixture
def tuned(tmp_path):
    """A saved model of three classes."""
    return zoo.save(zoo.get_model("squeezenet1_1", num_classes=3), tmp_path / "tuned.safetensors", categories=NAMES)


def rewritten(path: Path, **changes: object) -> Path:
    """The same file with other metadata."""
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        facts = json.loads(f.metadata()["zoo"])
    other = path.with_name("other.safetensors")
    save_file(tensors, other, {"zoo": json.dumps({**facts, **changes})})
    return other


HOSTILE = {
    "format": ({"format": 9, "versions": {"zoo-core": "7.0"}}, "saved by zoo-core '7.0', in format 9"),
    "no format": ({"format": "1"}, "the format is missing"),
    "path": ({"model": "../../etc/passwd"}, "expected 'plugin/model'"),
    "dots": ({"model": "a/..b..c"}, "expected 'plugin/model'"),
    "type": ({"model": ["resnet18"]}, "model is"),
    "preset": ({"preprocessing": {"target": "os:system", "arguments": {"command": "true"}}}, "'os:system'"),
    "preset's type": ({"preprocessing": "os:system"}, "expected dict"),
    "weights": ({"arguments": {"weights": "https://127.0.0.1/x.pth"}}, "not an argument of an architecture"),
    "weights_backbone": ({"arguments": {"weights_backbone": "DEFAULT"}}, "not an argument of an architecture"),
    "mmap": ({"arguments": {"mmap": True}}, "not an argument of an architecture"),
    "url": ({"arguments": {"backbone": "hf://org/name"}}, "a path or URL, which is not allowed"),
    "nested url": ({"arguments": {"a": [{"b": "https://127.0.0.1/x.safetensors"}]}}, "a path or URL"),
    "file": ({"arguments": {"backbone": "/etc/passwd"}}, "a path or URL, which is not allowed"),
    "arguments": ({"arguments": [1, 2]}, "arguments is"),
    "categories": ({"categories": [1, None]}, "categories are not all text"),
    "metrics": ({"weights": {"metrics": {"a": {"b": "c"}}}}, "metrics are not"),
    "size": ({"weights": {"num_params": "many"}}, "num_params is"),
    "too few categories": ({"categories": ["a"]}, "1 categories for a model of 3 classes"),
    "format 0": ({"format": 0}, "the format is missing"),
    "format true": ({"format": True}, "the format is missing"),
    "direction": ({"model": "classification/\u202eresnet18"}, r"\\u202eresnet18"),
    "dtype": ({"dtype": 5}, "dtype is"),
    "min_size": ({"weights": {"min_size": [1, 2, 3]}}, "min_size is"),
    "task": ({"task": "optical-flow"}, "its task is 'optical-flow'"),
    "frame rate": ({"weights": {"extra": {"frame_rate": "15"}}}, "frame_rate is '15'"),
    "no frames": ({"weights": {"extra": {"num_frames": 0}}}, "num_frames is 0; expected a positive number"),
    "keypoints": ({"weights": {"extra": {"keypoint_names": [1]}}}, "keypoint_names is .*expected names"),
    "skeleton": ({"weights": {"extra": {"skeleton": [[1, "a"]]}}}, "skeleton is .*expected pairs"),
    **{
        f"preset with {arguments}": (
            {"preprocessing": {"target": "zoo.transforms:ImageClassification", "arguments": arguments}}, said,
        )
        for arguments, said in (
            ({}, "needs the argument 'crop_size'"),
            ({"crop_size": 64, "crop": 64}, "takes no argument 'crop'; it takes antialias, crop_size"),
            ({"crop_size": None}, "argument crop_size is None; expected a number of pixels"),
            ({"crop_size": 0}, "crop_size is 0"),
            ({"crop_size": []}, "crop_size is"),
            ({"crop_size": 10**12}, "crop_size is 1000000000000"),
            ({"crop_size": 64, "resize_size": 1.5}, "resize_size is 1.5"),
            ({"crop_size": 64, "mean": "x"}, "mean is 'x'; expected a number for each channel"),
            ({"crop_size": 64, "std": [0.5, 0, 0.5]}, "std is .*not 0"),
            ({"crop_size": 64, "std": [0.5]}, "cannot be built with"),
            ({"crop_size": 64, "interpolation": "best"}, "interpolation is 'best'; expected one of nearest"),
            ({"crop_size": 64, "antialias": "yes"}, "antialias is 'yes'; expected true or false"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_metadata_are_refused_by_name(tuned, kind):
    changes, said = HOSTILE[kind]
    path = rewritten(tuned, **changes)
    for opened in (zoo.load, *([] if "cannot be built" in said else [zoo.model_info])):
        with pytest.raises(CheckpointError, match=said.replace("(", r"\(")):
            opened(path)


def test_metadata_that_are_no_json(tuned, tmp_path):
    for text in ("{", "[" * 100_000, "null"):
        path = tmp_path / "bad.safetensors"
        save_file({"a": torch.ones(1)}, path, {"zoo": text})
        with pytest.raises(CheckpointError):
            zoo.model_info(path)
    path.write_bytes((1 << 31).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="longer than the file"):
        zoo.load(path)


ARGUMENTS = {
    "unknown": ({"nonsense": 1}, "nonsense"),
    "the builder's own": ({"version": "9"}, "version"),
    "vast": ({"num_classes": 10**13}, "cannot be built with the file's arguments"),
    "text": ({"num_classes": "3"}, "whole number"),
    "infinite": ({"dropout": float("inf")}, "probability"),
    "nested": ({"x": json.loads("[" * 200 + "]" * 200)}, "cannot be built"),
    "of another model": ({"num_classes": 4}, r"\[3, 512, 1, 1\], model \[4, 512, 1, 1\]"),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_that_cannot_be_are_told(tuned, kind):
    arguments, said = ARGUMENTS[kind]
    with pytest.raises((CheckpointError, zoo.errors.InvalidArgument), match=said):
        zoo.load(rewritten(tuned, arguments={"num_classes": 3, **arguments}, categories=None))


def test_what_a_later_version_adds_is_left_alone(tuned):
    about = {"num_params": 5, "later": [1]}
    again = zoo.load(rewritten(tuned, later={"x": 1}, weights=about, versions={"zoo-core": 5, "y": None}))
    assert zoo.loading.loaded_weights(again).num_params == 5


def header(path, change):
    """The same file with its header changed."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    change(entries, next(name for name in entries if name != "__metadata__"))
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return path


HEADERS = {
    "overlap": lambda h, k: h[k].update(data_offsets=[0, 4]),
    "before the file": lambda h, k: h[k].update(data_offsets=[-8, 4]),
    "broken shape": lambda h, k: h[k].update(shape=[1.5]),
    "vast shape": lambda h, k: h[k].update(shape=[2**62, 2**62]),
    "type": lambda h, k: h[k].update(dtype="os.system"),
    "no type": lambda h, k: h[k].update(dtype=["F32"]),
    "nothing": lambda h, k: h.update({k: None}),
    "number": lambda h, k: h["__metadata__"].update(zoo=5),
    "packed": lambda h, k: h["__metadata__"].update({"zoo.packed": "[" * 100_000}),
    "packed type": lambda h, k: h["__metadata__"].update({"zoo.packed": json.dumps({k: {"kind": "os.system"}})}),
    "packed call": lambda h, k: h["__metadata__"].update(
        {"zoo.packed": json.dumps({k: {"kind": "dtype", "name": "load"}})}
    ),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_damaged_headers_are_told(tuned, kind):
    with pytest.raises(CheckpointError):
        zoo.load(header(tuned, HEADERS[kind]))


def test_a_vast_header_is_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as f:
        f.write((200_000_000).to_bytes(8, "little") + b'{"a":"')
        f.truncate(300_000_000)
    with pytest.raises(CheckpointError, match="longer than the format allows"):
        zoo.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", b"PK"]
)
def test_other_files_of_that_name_are_told(content, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        zoo.load(tmp_path / "a.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="no pipes")
def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(DownloadError, match="There is no file"):
            zoo.load(tmp_path / f"{name}.safetensors")


def test_a_model_that_nothing_installed_has(tuned):
    path = rewritten(tuned, model="acme/net", versions={"zoo-core": "0.1", "zoo-acme": "2"})
    with pytest.raises(UnknownModel, match="pip install zoo-acme"):
        zoo.load(path)
    path = rewritten(tuned, model="acme/net", versions={"zoo-core": "0.1", "x; rm -rf /": "2"})
    with pytest.raises(UnknownModel, match="Register it"):
        zoo.load(path)


def test_files_that_are_no_saved_models(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match=r"was not written by zoo\.save"):
        zoo.load(tmp_path / "bare.safetensors")
    with pytest.raises(zoo.errors.DownloadError, match="There is no file"):
        zoo.pipeline(str(tmp_path / "absent.safetensors"))
