from __future__ import annotations

import argparse
import json
import mmap as _mmap
import os
import pickle
import random
import struct
import sys
import tracemalloc
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo import loading
from zoo.errors import CheckpointError, silenced
from zoo.loading import adapt_stem
from zoo.loading.assigning import load
from zoo.loading.checkpoints import read_file


class Net(nn.Module):
    def __init__(self, classes: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5, classes)


def same(a: dict, b: dict) -> bool:
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "wrapped", "misnamed"])
def test_every_form_of_file_reads_the_same(tmp_path, form):
    state = Net().state_dict()
    path = tmp_path / "net.pth"
    if form in ("safetensors", "misnamed"):
        path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.bin")
        save_file(state, path)
    elif form == "wrapped":
        torch.save({"model": state, "epoch": 3}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    found, memory_mapped = read_file(path)
    assert same({k: found[k] for k in state}, dict(state))
    assert memory_mapped == (form != "legacy")


def test_writing_to_a_loaded_tensor_leaves_the_file_alone(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(Net().state_dict(), path)
    before = path.read_bytes()
    state, _ = read_file(path)
    for tensor in state.values():
        tensor.zero_()
    assert path.read_bytes() == before


class Harm:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys, zipped):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(1), "b": Harm()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"net\.pth is a pickle .* would run code"):
        read_file(path)
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(CheckpointError):
        read_file(path)
    harm = argparse.Namespace(b=Harm())
    torch.save({"a": torch.ones(1), "args": harm}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"It contains builtins\.print|It contains print"):
        read_file(path)
    assert capsys.readouterr().out == ""


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(("content", "what"), [
    (b"", "it is empty"), (b"<html>not found</html>", "it is a web page"),
    (b"\xef\xbb\xbf\n  <!DOCTYPE html><title>Log in</title>", "it is a web page"), (POINTER, "a Git-LFS pointer"),
    (b"\x1f\x8b\x08\0\0\0\0\0", "a compressed archive"), (b'{"error": {"code": 404}}', "it begins with b'{"),
    (b"\x89PNG\r\n\x1a\n0000IHDR", "it begins with b'.x89PNG"), (b"\0", "it begins with"),
])  # fmt: skip
def test_a_file_that_is_no_checkpoint_says_so(tmp_path, content, what):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"net\.pth is not a checkpoint: .*{what}"):
        read_file(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_truncated_file_says_so(tmp_path, form):
    path = tmp_path / "net.pth"
    if form == "safetensors":
        save_file(Net().state_dict(), path)
    else:
        torch.save(Net().state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        read_file(path)


def state_of(form: str) -> dict:
    state = Net().state_dict()
    return {"model": state, "args": argparse.Namespace(lr=0.1), "epoch": 3} if form == "trainer" else state


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "trainer"])
def test_whatever_is_damaged_is_an_error_of_the_checkpoint(tmp_path, form):
    path, flips = tmp_path / "net.pth", random.Random(form)
    if form == "safetensors":
        save_file(state_of(form), path)
    else:
        torch.save(state_of(form), path, _use_new_zipfile_serialization=form != "legacy")
    whole = path.read_bytes()
    refused = 0
    for i in range(300):
        damaged = bytearray(whole)
        for _ in range(1 + i % 3):
            damaged[flips.randrange(len(whole))] ^= 1 << flips.randrange(8)
        path.write_bytes(damaged[: flips.randrange(len(whole))] if i % 10 == 0 else damaged)
        for mmap in (False, True):
            try:
                load(Net(), loading.read_checkpoint(path, mmap=mmap))
            except CheckpointError:
                refused += 1
    assert 50 < refused < 600  # numbers alone can differ without anyone's noticing


def test_a_small_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.pth"
    torch.save({"a": torch.zeros(1000)}, tmp_path / "net.pth")
    with zipfile.ZipFile(tmp_path / "net.pth") as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for entry in source.infolist():
            with z.open(zipfile.ZipInfo(entry.filename), "w") as f:
                f.write(source.read(entry))
        for i in range(3):
            entry = zipfile.ZipInfo(f"net/data/{i + 1}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with z.open(entry, "w") as f:
                for _ in range(64):
                    f.write(bytes(1 << 20))
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    try:
        for mmap in (False, True):
            with pytest.raises(CheckpointError, match=r"would unpack to 20\d,\d\d\d,\d\d\d; it is refused"):
                read_file(path, mmap=mmap)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("whole", [True, False])
def test_an_archive_that_someone_compressed_is_read_whole(tmp_path, whole):
    state = {"a": torch.randn(1000)}
    torch.save(state, tmp_path / "net.pth")
    with (
        zipfile.ZipFile(tmp_path / "net.pth") as source,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as z,
    ):
        for entry in source.infolist():
            how = zipfile.ZIP_STORED if entry.filename.endswith(".pkl") and not whole else zipfile.ZIP_DEFLATED
            z.writestr(entry.filename, source.read(entry), compress_type=how)
    found, mapped = read_file(tmp_path / "packed.pth")
    assert same(found, state)
    assert not mapped


def test_a_class_that_is_not_plain_data_is_named(tmp_path):
    np = pytest.importorskip("numpy")
    path = tmp_path / "net.pth"
    for content, named in [
        ({"model": Net().state_dict(), "best": np.float64(1), "net": Net()}, "Net"),
        ({"model": Net().state_dict(), "path": Path("runs"), "hook": os.getpid}, "posix|nt"),
    ]:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=rf"It contains .*({named})"):
            read_file(path)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated")
def test_other_archives_are_told_for_what_they_are(tmp_path):
    path = tmp_path / "net.pth"
    torch.jit.trace(nn.ReLU(), torch.ones(1)).save(path)
    with pytest.raises(CheckpointError, match="is a TorchScript program"):
        read_file(path)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("weights/net.pth", b"0")
    with pytest.raises(CheckpointError, match=r"is a zip archive of weights/net\.pth; expected"):
        read_file(path)


@pytest.mark.skipif(sys.byteorder != "little", reason="the tensor's stride is patched in little endian")
def test_a_tensor_that_claims_more_numbers_than_the_file_has_is_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(7, 3)}, path)
    data = path.read_bytes()
    strides = b"K\x03K\x01\x86"  # BININT1 3, BININT1 1, TUPLE2
    assert data.count(strides) == 1
    path.write_bytes(data.replace(strides, b"K\xffK\x01\x86"))
    for mmap in (False, True):
        with pytest.raises(CheckpointError, match="damaged or truncated"):
            read_file(path, mmap=mmap)


HEADER = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize("change", [
    {"a": {**HEADER["a"], "dtype": "F31"}}, {"a": {**HEADER["a"], "shape": [-2]}}, {"a": {**HEADER["a"], "shape": [3]}},
    {"a": {**HEADER["a"], "shape": 2}}, {"a": {**HEADER["a"], "data_offsets": [8, 0]}}, {"a": 3}, [],
    {"a": {**HEADER["a"], "data_offsets": [0, 8, 9]}}, {**HEADER, "b": HEADER["a"]}, {},
    {"a": {**HEADER["a"], "shape": [True, 2]}},
])  # fmt: skip
@pytest.mark.parametrize("mmap", [False, True])
def test_a_safetensors_header_that_is_not_the_files_is_refused(tmp_path, change, mmap):
    def write(header):
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + struct.pack("<ff", 1, 2))

    path = tmp_path / "net.safetensors"
    write({"__metadata__": {"by": "hand"}, **HEADER})  # 8 + 97 bytes, so that nothing is aligned
    assert read_file(path, mmap=mmap)[0]["a"].tolist() == [1, 2]
    write(change)
    with pytest.raises(CheckpointError, match=r"damaged or truncated|is not a checkpoint"):
        read_file(path, mmap=mmap)


@pytest.mark.parametrize("mmap", [False, True])
def test_safetensors_of_every_type_are_what_the_library_reads(tmp_path, mmap):
    torch.manual_seed(0)
    names = (
        "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 complex64 int64 int32 int16 int8 uint64 uint32 "
        "uint16 uint8 bool"
    )
    state = {n: torch.randint(0, 2, (3, 5)).to(getattr(torch, n)) for n in names.split()}
    state |= {"none": torch.zeros(0, 4), "one": torch.tensor(3.0)}
    save_file(state, tmp_path / "all.safetensors")
    found, want = read_file(tmp_path / "all.safetensors", mmap=mmap)[0], load_file(tmp_path / "all.safetensors")
    assert found.keys() == want.keys() == state.keys()
    for name, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == (want[name].dtype, want[name].shape)
        assert tensor.reshape(-1).view(torch.uint8).tolist() == want[name].reshape(-1).view(torch.uint8).tolist()
    found["one"] += 1
    assert load_file(tmp_path / "all.safetensors")["one"] == 3


def test_a_shared_mapping_that_torch_was_told_to_make_does_not_write_to_the_file(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(Net().state_dict(), path)
    before = path.read_bytes()
    with torch.serialization.set_default_mmap_options(_mmap.MAP_SHARED):
        state, _ = read_file(path)
    for tensor in state.values():
        tensor.zero_()
    del state
    assert path.read_bytes() == before


def test_int8_files_read_in_many_threads_leave_the_filters_of_warnings_alone(tmp_path):
    with silenced("torch.quantize_per_tensor"):
        torch.save({"a": torch.quantize_per_tensor(torch.ones(3), 0.5, 0, torch.qint8)}, tmp_path / "int8.pth")
    before, torches = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: read_file(tmp_path / "int8.pth")[0]["a"].int_repr().tolist(), range(64)))
    finally:
        sys.setswitchinterval(torches)
    assert found == [[2, 2, 2]] * 64
    assert warnings.filters == before


def test_a_file_without_tensors_says_what_it_holds(tmp_path):
    path = tmp_path / "net.pth"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="contains a list; expected a state dict"):
        read_file(path)


def test_what_does_not_fit_is_named_and_the_model_stays_as_it_was():
    model, state = Net(), Net().state_dict()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state["extra.weight"] = state.pop("conv.bias")
    state["norm.weight"] = torch.ones(7)
    with pytest.raises(CheckpointError) as caught:
        load(model, dict(state), source="net.pth")
    message = str(caught.value)
    assert "net.pth does not fit" in message
    assert "1 keys missing from the file: conv.bias" in message
    assert "1 keys in the file that the model does not have: extra.weight" in message
    assert "norm.weight [7], model [5]" in message
    assert same(dict(model.state_dict()), before)


def test_another_head_says_which_num_classes_to_pass():
    with pytest.raises(CheckpointError, match="Pass num_classes=9 to keep the file's head"):
        load(Net(), dict(Net(classes=9).state_dict()), head=["fc"])


def test_a_new_head_is_left_alone_and_reported():
    model, state = Net(classes=2), Net().state_dict()
    head = model.fc.weight.clone()
    report = load(model, dict(state), head=["fc"], new_head=True)
    assert report.reinitialised == ("fc.weight", "fc.bias")
    assert report.ignored == ("fc.weight", "fc.bias")
    assert torch.equal(model.fc.weight, head)
    assert torch.equal(model.conv.weight, state["conv.weight"])
    assert "2 tensors reinitialised, to be trained: fc.weight, fc.bias" in str(report)


def test_half_precision_takes_the_models_dtype():
    state = {k: v.half() if v.is_floating_point() else v for k, v in Net().state_dict().items()}
    model = Net()
    report = load(model, state)
    assert {t.dtype for t in model.state_dict().values() if t.is_floating_point()} == {torch.float32}
    assert torch.equal(model.conv.weight, state["conv.weight"].float())
    assert "conv.weight" in report.converted


def test_files_older_than_num_batches_tracked_load():
    state = {k: v for k, v in Net().state_dict().items() if not k.endswith("num_batches_tracked")}
    model = Net()
    load(model, state)
    assert model.norm.num_batches_tracked == 0


def test_the_stem_is_adapted_by_the_documented_rule():
    weight = torch.randn(5, 3, 3, 3)
    grey = torch.rand(1, 1, 8, 8)
    rgb = nn.functional.conv2d(grey.expand(1, 3, 8, 8), weight)
    torch.testing.assert_close(nn.functional.conv2d(grey, adapt_stem(weight, 1)), rgb)
    for channels in (2, 4, 6, 7):
        adapted = adapt_stem(weight, channels)
        assert adapted.shape == (5, channels, 3, 3)
        torch.testing.assert_close(adapted[:, -1], weight[:, (channels - 1) % 3] * 3 / channels)
    six = torch.rand(1, 3, 8, 8).repeat(1, 2, 1, 1)
    torch.testing.assert_close(
        nn.functional.conv2d(six, adapt_stem(weight, 6)), nn.functional.conv2d(six[:, :3], weight)
    )


def test_convert_and_ignore():
    state = {f"old.{k}": v for k, v in Net().state_dict().items()} | {"aux.weight": torch.ones(1)}
    model = Net()
    report = load(
        model,
        state,
        convert=lambda state, model: {k.removeprefix("old."): v for k, v in state.items()},
        ignore=["aux."],
    )
    assert report.ignored == ("aux.weight",)
    assert set(report.converted) == set(report.loaded) == set(Net().state_dict())


def test_read_takes_a_url(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(Net().state_dict(), path)
    assert set(loading.read_checkpoint(path.as_uri())) == set(Net().state_dict())
