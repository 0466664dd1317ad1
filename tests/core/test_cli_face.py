"""The command line as a person meets it: help, names, inputs, tables, mistakes told at once, long work, Ctrl-C."""

from __future__ import annotations

import functools
import http.server
import importlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from terminal import ROOT, in_terminal
from typer.main import get_command

import zoo
from zoo import io as zoo_io
from zoo.cli import helping, tables
from zoo.cli.app import app
from zoo.cli.completion import candidates
from zoo.registry import discovery

Run = Callable[..., SimpleNamespace]
DIGITS = "SqueezeNet1_1_Weights.DIGITS_V1"


@pytest.fixture(scope="session")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawing of a seven."""
    picture = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(picture).line([(20, 14), (44, 14), (30, 52)], fill=0, width=7)
    path = tmp_path_factory.mktemp("pictures") / "digit.png"
    picture.save(path)
    return path


# ── help ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def every_command() -> Iterator[tuple[str, Any]]:
    """The core's and those of the installed packages of this repository."""
    root: Any = get_command(app)
    for name in root.list_commands(None):
        command = root.get_command(SimpleNamespace(), name)
        yield name, command
        for sub in getattr(command, "commands", {}).values():
            yield f"{name} {sub.name}", sub


def test_every_command_has_a_sentence_examples_and_readable_names() -> None:
    names = []
    for name, command in every_command():
        names.append(name)
        page = helping.page_of(command, f"zoo {name}")
        assert re.fullmatch(r"[A-Z].*[.]", page.summary), name
        assert page.examples, name
        assert all(re.search(r"\bzoo\b", example) for example in page.examples), name
        for rows in page.sections.values():
            for left, right in rows:
                assert "<" not in left, (name, left)
                assert right, (name, left)
                assert right[0].isupper() or not right[0].isalpha() or right.startswith("cosine, "), right
    assert {"list", "show", "compare", "tasks", "plugins", "predict", "cache list", "completion", "doctor"} <= {*names}


def test_help_in_a_pipe_is_plain_and_whole(run: Run) -> None:
    for name, _ in every_command():
        got = run(*name.split(), "--help")
        assert got.status == 0
        assert "\x1b" not in got.out
        assert "Examples:" in got.out


def test_help_shows_the_options_of_the_task(run: Run) -> None:
    assert "--min-score" not in run("predict", "--help").out
    for words in (
        ["predict", "--model", "fcos_resnet50_fpn", "--help"],
        ["predict", "--help", "--model=fcos_resnet50_fpn"],
        ["predict", "--task", "object-detection", "--help"],
        ["evaluate", "--model", "fcos_resnet50_fpn", "--help"],
    ):
        out = run(*words).out
        assert re.search("Options of object-detection:\n +--min-score X", out), words
    assert "--max-detections" in run("export", "fcos_resnet50_fpn", "--help").out
    assert run("predict", "--model", "nope", "--help").status == 0


def test_a_stranger_command_gets_a_page_too(run: Run, plugin_folder: Any) -> None:
    plugin_folder.install(
        "acme",
        """
        @zoo.hookimpl
        def zoo_manifest():
            return zoo.Manifest(api_version=1, commands=[zoo.Command("dig", "acme_commands:dig", "Dig a hole.")])
        """,
    )
    (plugin_folder.path / "acme_commands.py").write_text(
        'def dig(depth: int = 3) -> int:\n    """Dig.\n\n    Examples:\n        zoo dig --depth 4\n    """\n'
    )
    zoo.refresh()
    out = run("dig", "--help").out
    assert out.splitlines()[0] == "Usage: zoo dig [OPTIONS]"
    assert "$ zoo dig --depth 4" in out
    assert re.search(r"--depth N +\[default: 3\]", out)
    assert "From zoo-acme" in run("--help").out


def test_the_reference_in_the_documentation_is_of_these_commands() -> None:
    import runpy

    made = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))["page"]()
    assert (ROOT / "docs" / "cli.md").read_text() == made, "run scripts/cli_reference.py"


# ── completion ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sh", ["show"]),
        ("show resnet15", ["resnet152"]),
        ("predict --mod", ["--model"]),
        ("predict --model resnet50.IMAGENET1K_V", ["resnet50.IMAGENET1K_V1", "resnet50.IMAGENET1K_V2"]),
        ("predict --model=resnet15", ["--model=resnet152"]),
        ("predict --model resnet18 --weights ", ["IMAGENET1K_V1", "DEFAULT", "none"]),
        ("show ResNet18_Weights.D", ["ResNet18_Weights.DEFAULT"]),
        ("list --task object-", ["object-detection"]),
        ("list --can onn", ["onnx"]),
        ("table semantic", ["semantic-segmentation"]),
        ("predict --model fcos_resnet50_fpn --min", ["--min-score"]),
        ("evaluate --model resnet18 --mod", ["--model"]),
        ("cache pr", ["prune"]),
        ("completion f", ["fish"]),
        ("predict --device c", ["cpu", "cuda"]),
        ("predict --model resnet50 --output ", []),
        ("nope x", []),
    ],
)
def test_what_a_shell_is_told(line: str, expected: list[str]) -> None:
    *words, begun = line.split(" ")
    assert [value for value, _ in candidates(get_command(app), words, begun)] == expected


def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    shim = tmp_path / "zoo"
    (tmp_path / "blocked.py").write_text(BLOCKED)
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/blocked.py "$@"\n')
    shim.chmod(0o755)
    script = (
        'eval "$(zoo completion bash)"; COMP_LINE="$1" COMP_POINT=${#1}; _zoo_completion zoo; echo "${COMPREPLY[*]}"'
    )
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    for line, expected in (("zoo show resnet15", "resnet152"), ("zoo predict --model 'resnet15", "resnet152")):
        done = subprocess.run(["bash", "-c", script, "bash", line], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected, done.stderr


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise SystemExit('torch is imported')
sys.meta_path.insert(0, Blocked())
from zoo.cli import main
sys.exit(main())
"""


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────────

MISTAKES = {
    "predict missing.png --model resnet50": "'missing.png' cannot be read: it does not exist",
    "predict no*.png --model resnet50": "No file matches 'no*.png'",
    "predict x.png --model resnett": "There is no model 'resnett'",
    "predict x.png --model ResNet50_Weights.V9": "'V9' is not one of ResNet50_Weights's weights",
    "predict x.png --model resnet50 --weights IMAGENET1K_V9": "resnet50 cannot load weights='IMAGENET1K_V9'",
    "predict x.png --model resnet50 --weights none": "--weights none",
    "predict x.png --model resnet50 --weights missing.pth": "missing.pth",
    "predict x.png --model resnet50 --device gpu": "--device is 'gpu'; expected auto, cpu, cuda, cuda:1 or mps",
    "predict x.png --model resnet50 --device cuda:one": "--device is 'cuda:one'",
    "predict x.png --model resnet50 --dtype int3": "--dtype is 'int3'",
    "predict x.png --model resnet50 --engine nope": "nope",
    "predict x.png --model resnet50 --task nope": "nope",
    "predict x.png --model resnet50 --format bmp": "--format is 'bmp'",
    "predict x.png --model resnet50 --coco out.json": "has no detections",
    "predict x.png --model fcos_resnet50_fpn --min-scor 0.3": "Did you mean '--min-score'",
    "predict x.png --model fcos_resnet50_fpn --min-score high": "min_score is 'high'; expected a number",
    "predict x.png --model resnet50 --set nothing": "expected NAME=VALUE",
    "predict x.png --model resnet50 --categories missing.txt": "missing.txt cannot be read",
    "evaluate --model resnet50 --images missing": "--images: there is no 'missing'",
    "evaluate --model resnet50 --images . --weights IMAGENET1K_V9": "IMAGENET1K_V9",
    "evaluate --model resnet50 --images . --device gpu": "--device is 'gpu'",
    "export resnet50 missing/out.onnx": "The folder missing for out.onnx does not exist",
    "export resnet50 out.nothing": "out.nothing",
    "export resnet50 x.png --format onnx": "already exists",
    "export resnet50 out.onnx --weights IMAGENET1K_V9": "IMAGENET1K_V9",
    "quantize resnet50 --data missing --output x.xml": "--data: there is no 'missing'",
    "benchmark resnett": "There is no model 'resnett'",
    "compare resnet50": "Expected two models or more",
    "compare resnet50 resnett": "There is no model 'resnett'",
    "compare resnet50 resnet18 --on missing.png": "'missing.png' cannot be read",
    "train --model resnet18 --data missing --output o": "--data: there is no 'missing'",
    "train --model resnet18 --data . --output o --weights IMAGENET1K_V9": "IMAGENET1K_V9",
    "data show missing --task image-classification": "PATH: there is no 'missing'",
    "list --weights --sort acc1": "no row has this metric",
    "table optical-flow --sort acc@1": "no row has this metric",
}


def test_all_that_can_be_wrong_is_told_without_torch(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    code = f"""
        import contextlib, io, json, sys, time

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "torch":
                    raise ImportError("torch is imported")

        sys.meta_path.insert(0, Blocked())
        from zoo.cli import main

        told = {{}}
        main(["list", "resnet18"])
        for line in {list(MISTAKES)!r}:
            with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
                start = time.process_time()
                status = main(line.split(" "))
            told[line] = status, err.getvalue(), time.process_time() - start
        print(json.dumps(told))
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for line, said in MISTAKES.items():
        status, err, seconds = told[line]
        assert status in (1, 2), line
        assert said in " ".join(err.split()), (line, err)
        assert "Traceback" not in err
        assert seconds < 0.3, (line, seconds)


def test_a_suggestion_is_made_once(run: Run) -> None:
    got = run("lst")
    assert got.err.count("Did you mean") == 1
    got = run("predict", "x.png", "--model", "resnet50", "--tpo", "3")
    assert "`zoo predict --help`" in got.err


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("ResNet50_Weights.DEFAULT", "IMAGENET1K_V2"),
        ("ResNet50_Weights.IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("classification/ResNet50_Weights.IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("resnet50.IMAGENET1K_V2", "IMAGENET1K_V2"),
        ("ResNet50_Weights", None),
    ],
)
def test_models_are_named_as_tables_print_them(run: Run, name: str, entry: str | None) -> None:
    info = json.loads(run("show", name, "--json").out)
    assert info["name"] == "resnet50"
    assert list(info["weights"]) == ([entry] if entry else ["IMAGENET1K_V1", "IMAGENET1K_V2"])
    assert zoo.model_info(name).name == "resnet50"


def test_an_entry_is_a_model_in_python_too() -> None:
    report = zoo.load_report(zoo.get_model(DIGITS))
    assert report is not None
    assert "digits" in report.source
    assert zoo.load_report(zoo.get_model(DIGITS, weights=None)) is None


def test_only_the_default_is_marked(run: Run) -> None:
    assert "ResNet50_Weights.IMAGENET1K_V2  DEFAULT\n" in run("show", "ResNet50_Weights.DEFAULT").out
    out = run("show", "ResNet50_Weights.IMAGENET1K_V1").out
    assert "ResNet50_Weights.IMAGENET1K_V1\n" in out
    assert "DEFAULT" not in out


@pytest.mark.parametrize("words", [["--model", DIGITS], ["--model", "squeezenet1_1", "--weights", DIGITS]])
def test_weights_in_every_spelling(run: Run, digit: Path, words: list[str]) -> None:
    spelt = run("predict", digit, "--json", *words)
    plain = run("predict", digit, "--json", "--model", "squeezenet1_1", "--weights", "DIGITS_V1")
    assert (spelt.status, spelt.out) == (0, plain.out)


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path, digit: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for i in (1, 2, 10):
        (tmp_path / f"d{i}.png").write_bytes(digit.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inputs_of(got: SimpleNamespace) -> list[str]:
    assert got.status == 0, got.err
    return [row["input"] for row in json.loads(got.out)]


def test_quoted_wildcards_are_inputs_in_the_order_of_their_numbers(run: Run, folder: Path) -> None:
    assert inputs_of(run("predict", "d*.png", "--model", DIGITS, "--json")) == ["d1.png", "d2.png", "d10.png"]
    (folder / "[odd].png").write_bytes((folder / "d1.png").read_bytes())
    assert inputs_of(run("predict", "[odd].png", "--model", DIGITS, "--json")) == ["[odd].png"]


def test_standard_input_is_a_picture_or_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    expected = json.loads(run("predict", "d1.png", "--model", DIGITS, "--json").out)[0]["top"]
    give((folder / "d1.png").read_bytes())
    (row,) = json.loads(run("predict", "-", "--model", DIGITS, "--json").out)
    assert (row["input"], row["top"]) == ("-", expected)
    give(b"d1.png\n# none of these\nd2.png\n")
    assert inputs_of(run("predict", "-", "--model", DIGITS, "--json")) == ["d1.png", "d2.png"]
    give(b"")
    assert "Standard input is empty" in run("predict", "-", "--model", DIGITS).err


def test_a_picture_on_the_web_is_an_input(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        got = run("predict", f"{url}/d1.png", f"{url}/missing.png", "--model", DIGITS, "--json")
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        offline = run("predict", f"{url}/d1.png", "--model", DIGITS)
        server.shutdown()
    good, bad = json.loads(got.out)
    assert (good["input"], bad["input"]) == (f"{url}/d1.png", f"{url}/missing.png")
    assert good["top"][0]["label"] in "0123456789"
    assert "404" in bad["error"]
    assert offline.status == 1
    assert "ZOO_OFFLINE" in offline.err


def test_frames_of_a_video_are_inputs_of_a_task_on_pictures(run: Run, folder: Path, digit: Path) -> None:
    pytest.importorskip("av")
    picture = torch.from_numpy(np.array(Image.open(digit).convert("RGB"))).permute(2, 0, 1)
    zoo_io.save_video(((picture, i / 10) for i in range(20)), folder / "clip.mp4", 2.0)
    command = ("predict", "clip.mp4", "--model", DIGITS, "--json", "--output", "drawn", "--frame-rate", "2")
    assert inputs_of(run(*command)) == [f"clip.mp4#t={t:.2f}" for t in (0, 0.5, 1, 1.5)]
    assert sorted(file.name for file in (folder / "drawn").glob("*.png")) == [
        f"clip_{t:06.2f}s.png" for t in (0, 0.5, 1, 1.5)
    ]
    again = run(
        "predict", "clip.mp4", "--model", DIGITS, "--json", "--output", "drawn", "--frame-rate", "2", "--resume"
    )
    assert "4 of 4 inputs have results already" in again.err
    (folder / "bad.mp4").write_bytes(b"no video at all")
    got = run("predict", "bad.mp4", "d1.png", "--model", DIGITS)
    assert got.status == 1
    assert "bad.mp4" in got.err
    assert "d1.png" in got.out


# ── list, tasks, plugins, compare ────────────────────────────────────────────────────────────────────────────────


def test_entries_are_listed_sorted_and_filtered_by_themselves(run: Run) -> None:
    rows = json.loads(run("list", "--weights", "--sort", "acc@1", "--limit", "20", "--json").out)
    values = [next(of["acc@1"] for of in row["metrics"].values() if "acc@1" in of) for row in rows]
    assert len(rows) == 20
    assert values == sorted(values, reverse=True)
    rows = json.loads(run("list", "--weights", "--task", "image-classification", "--sort", "acc@1", "--json").out)
    known = [row["metrics"] for row in rows if any(of.get("acc@1") for of in row["metrics"].values())]
    data = [next(iter(metrics)) for metrics in known]
    assert list(dict.fromkeys(data)) == [name for name, _ in groupby(data)], "rows of a data set are together"
    assert (data[0], data[-1]) == ("ImageNet-1K", "Digits")
    rows = json.loads(run("list", "regnet_y_128gf", "--weights", "--license", "cc-*", "--json").out)
    assert [row["weights"].partition(".")[2] for row in rows] == ["IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1"]
    assert [row["default"] for row in rows] == [True, False]
    rows = json.loads(run("list", "resnet*", "--weights", "--min-metric", "acc@1=82", "--json").out)
    assert {row["weights"] for row in rows} == {"ResNet152_Weights.IMAGENET1K_V2"}
    rows = json.loads(run("list", "--task", "optical-flow", "--weights", "--sort", "epe", "--json").out)
    assert rows[0]["metrics"]  # of errors the smallest first
    lines = run("list", "raft_large", "--weights", "--sort", "fl_all").out.splitlines()
    data = {line.split()[0].partition(".")[2]: line.split()[4] for line in lines[1:]}
    assert data["C_T_V2"] == "Kitti-Train", "the data set of this metric, not the first of the weights"
    assert data["C_T_SKHT_K_V2"] == "Kitti-Test"
    sizes = [row["num_params"] for row in json.loads(run("list", "--sort", "params", "--json").out)]
    known = [size for size in sizes if size is not None]
    assert known == sorted(known) == sizes[: len(known)]
    assert run("list", "--can", "onnx", "--limit", "3").status == 0


def test_tables_are_sorted_by_the_metric_and_name_one_thing_one_way(run: Run) -> None:
    lines = run("table", "object-detection").out.splitlines()
    assert lines[0].split("  ")[0] == "Weight"
    assert "Box mAP" in lines[0]
    assert "GFLOPs" in lines[0]
    assert "http" not in "".join(lines)
    end = lines.index("") if "" in lines else len(lines)
    values = [float(line.split()[1]) for line in lines[1:end]]
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert "SHAPES_V1" in lines[end - 1], "another data set than COCO"
    assert len({len(line.split()[1].partition(".")[2]) for line in lines[1:end]}) == 1
    assert [line.split()[0] for line in lines[1:end] if line.endswith("DEFAULT")]
    (several,) = (line for line in run("table", "optical-flow").out.splitlines() if ".C_T_SKHT_V1 " in line)
    assert "1.94 / 3.18" in several
    assert "Sintel-Test-Cleanpass / Sintel-Test-Finalpass" in several, "the data set of each value"


def test_tasks_and_plugins(run: Run) -> None:
    tasks = {row["name"]: row for row in json.loads(run("tasks", "--json").out)}
    assert tasks["image-classification"]["metrics"] == ["Acc@1", "Acc@5"]
    assert tasks["object-detection"]["options"] == ["min_score"]
    assert tasks["object-detection"]["models"] > 10
    found = {row["name"]: row for row in json.loads(run("plugins", "--json").out)}
    assert found["tools"]["commands"][0] == "evaluate"
    assert found["classification"]["state"] == "ready"
    assert found["detection"]["distribution"] == "zoo-detection"


def test_without_any_plugin_it_is_said_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "scan", lambda: iter(()))
    zoo.refresh()
    try:
        got = run("list")
        assert (got.status, got.out) == (1, "")
        assert "pip install zoo-classification" in got.err
        assert "pip install zoo-detection" in run("plugins").out
        assert "pip install zoo-segmentation" in run("tasks").out
        assert run("doctor").status == 0
    finally:
        monkeypatch.undo()
        zoo.refresh()


def test_models_are_compared_in_facts_and_on_pictures(run: Run, folder: Path) -> None:
    rows = {line[:20].strip(): line[20:].split() for line in run("compare", "resnet18", "resnet50").out.splitlines()}
    assert rows["Acc@1, ImageNet-1K"] == ["69.758", "80.858"]
    assert rows["Params"] == ["11.7M", "25.6M"]
    names = [DIGITS, "squeezenet1_1.DIGITS_V1"]
    found = json.loads(run("compare", *names, "--on", "d*.png", "--json").out)
    assert [one["model"] for one in found["models"]] == names
    assert [row["input"] for row in found["inputs"]] == ["d1.png", "d2.png", "d10.png"]
    assert found["agreement"] == [{"models": names, "agree": 3, "inputs": 3}]
    out = run("compare", *names, "--on", "d*.png", "--limit", "2").out
    assert "agree on 2 of 2 inputs (100%)" in out
    assert all(ms > 0 for ms in found["milliseconds"].values())


def test_numbers_of_a_column_have_as_many_places(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table([tables.Column("n", number=True)], [["37"], ["46.75"], ["-"], ["1.5M"]])
    assert capsys.readouterr().out.splitlines()[1:] == ["37.00", "46.75", " -", " 1.5M"]
    columns = [tables.Column("n", number=True, fixed=False)]
    tables.print_table(columns, [["37"], ["46.75"]])
    assert capsys.readouterr().out.splitlines()[1:] == ["37", "46.75"]
    assert tables.width("你好ab") == 6


# ── the network, long work, Ctrl-C ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", ["https://nowhere.example/x.pth", "hf://acme/net/x.pth", "hf://acme/net"])
def test_a_name_that_is_none_ends_at_once_and_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, own_cache: Path, url: str
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HF_HOME", str(own_cache / "hf"))
    start = time.monotonic()
    got = run("show" if url.count("/") == 3 else "pull", url)
    assert time.monotonic() - start < 10  # loaded machines; two seconds of waiting at most
    assert got.status == 1
    assert got.err.count("\n") == 1
    assert "Temporary failure in name resolution" in got.err
    assert not list(own_cache.rglob("*.part*"))


def test_a_hub_that_refuses_connections_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{held.getsockname()[1]}")
        monkeypatch.setenv("HF_HOME", str(own_cache / "hf"))
        got = run("pull", "hf://acme/net/x.pth")
    assert got.status == 1
    assert "cannot be reached (Connection refused)" in got.err


def test_long_work_in_a_pipe_is_told_in_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    working = importlib.import_module("zoo.cli.working")
    monkeypatch.setattr(working, "PATIENCE", 0.05)
    monkeypatch.setattr(working, "EVERY", 0.05)
    with working.working("Drawing", total=4, unit="picture") as work:
        for _ in range(4):
            time.sleep(0.1)
            work.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Drawing …")
    assert any(re.fullmatch(r"Drawing: [1-3] of 4 pictures, [\d.]+ s, about [\d.]+ s left", line) for line in lines)
    assert re.fullmatch(r"Drawing: done in [\d.]+ s", lines[-1])
    monkeypatch.setattr(working, "PATIENCE", 60)
    with working.working("Quick"):
        pass
    assert capsys.readouterr().err == ""


SLOW = """
    import time

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(api_version=1, commands=[zoo.Command("slow", "slow_commands:slow", "Take a while.")])
"""
WORK = '''
import time
from zoo import cli

def slow(seconds: float = 60.0) -> int:
    """Take a while.

    Examples:
        zoo slow
    """
    with cli.working("Working hard", total=10, unit="stone") as work:
        for _ in range(10):
            time.sleep(seconds / 10)
            work.advance()
    cli.say("done")
    return 0
'''


def test_long_work_on_a_terminal_moves_and_goes(plugin_folder: Any) -> None:
    plugin_folder.install("slow", SLOW)
    (plugin_folder.path / "slow_commands.py").write_text(WORK)
    shown = in_terminal("slow", "--seconds", "1.5")
    assert (shown.text, shown.status) == ("done\n", 0)
    assert re.search(r"Working hard.*[1-9] of 10 stones", shown.raw)
    shown = in_terminal("slow", "--seconds", "1.5", CI="true")
    assert "\x1b" not in shown.raw
    assert re.search(r"Working hard", shown.text)
    assert "Working hard: done in" in shown.text


def test_ctrl_c_is_one_line_and_130(plugin_folder: Any) -> None:
    plugin_folder.install("slow", SLOW)
    (plugin_folder.path / "slow_commands.py").write_text(WORK)
    shown = in_terminal("slow", interrupt_after="Working hard")
    assert shown.status == 130
    assert [line for line in shown.text.splitlines() if line.strip("^C ")] == ["Interrupted."]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "after"),
    [
        (f"predict pictures --model {DIGITS} --output out --workers 0", "p1.png"),
        (f"evaluate --model {DIGITS} --images sorted --output out", "Evaluating"),
        (f"benchmark {DIGITS} --no-cold --seconds 30", "torch"),
        (f"compare {DIGITS} resnet18.DEFAULT --on pictures --limit 500", "Loading"),
        (f"export {DIGITS} out.onnx", "Loading"),
    ],
)
def test_ctrl_c_in_long_commands(
    line: str, after: str, tmp_path: Path, digit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("pictures", "sorted/7"):
        (tmp_path / place).mkdir(parents=True)
        for i in range(600):
            (tmp_path / place / f"p{i}.png").write_bytes(digit.read_bytes())
    shown = in_terminal(*line.split(), interrupt_after=after, ZOO_OFFLINE="1")
    assert shown.status == 130, shown.text
    said = [part for part in shown.text.splitlines() if "Interrupted" in part]
    assert len(said) == 1
    assert "Traceback" not in shown.text
