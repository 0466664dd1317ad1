from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo import loading
from zoo.errors import CheckpointError
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


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys, zipped):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(1), "b": Harm()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"net\.pth is a pickle .* would run code"):
        read_file(path)
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(CheckpointError):
        read_file(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n0000IHDR"])
def test_a_file_that_is_no_checkpoint_says_so(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"net\.pth is no checkpoint"):
        read_file(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_truncated_file_says_so(tmp_path, form):
    path = tmp_path / "net.pth"
    if form == "safetensors":
        save_file(Net().state_dict(), path)
    else:
        torch.save(Net().state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        read_file(path)


def test_a_file_without_tensors_says_what_it_holds(tmp_path):
    path = tmp_path / "net.pth"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="holds a list; expected a state dict"):
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
    assert "2 reinitialised: fc.weight, fc.bias" in str(report)


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
