"""docs/plugins.md: its files are written, its commands run, and its contract is the implemented one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import inspect
import os
import re
import subprocess
import threading
import venv
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import pytest
import torch

import zoo
from zoo.contract import Catalogue, Model, Trainable, hooks as hookspecs

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Index(http.server.ThreadingHTTPServer):
    """A package index: accepts uploads from twine, and serves them to pip."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.packages: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = BytesParser().parsebytes(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
        content = parts["content"].get_payload(decode=True)
        digest = parts["sha256_digest"].get_payload()
        if not self.headers["Authorization"] or hashlib.sha256(content).hexdigest() != digest:
            self.send_error(403)
            return
        self.server.packages[parts["content"].get_filename()] = content
        self._answer(b"")

    def do_GET(self) -> None:
        *_, name = self.path.strip("/").split("/")
        if name in self.server.packages:
            self._answer(self.server.packages[name])
            return
        files = [file for file in self.server.packages if file.startswith(name.replace("-", "_") + "-")]
        links = "".join(f'<a href="/files/{file}">{file}</a>' for file in files)
        self._answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def index() -> Iterator[Index]:
    with Index() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment variables of a fresh virtual environment with its own index."""
    home = tmp_path / "venv"
    venv.create(home)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "here.pth").write_text(f"import site; site.addsitedir({str(Path(torch.__file__).parents[1])!r})\n")
    for command in ("pip", "zoo", "pytest", "twine"):
        script = home / "bin" / command
        script.write_text(f'#!/bin/sh\nexec python -m {command} "$@"\n')
        script.chmod(0o755)
    with index() as server:
        yield {
            **os.environ,
            "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_INDEX_URL": f"{server.url}/simple/",
            "PIP_NO_BUILD_ISOLATION": "0",  # use the installed build tools
            "TWINE_REPOSITORY_URL": f"{server.url}/upload/",
            "TWINE_USERNAME": "me",
            "TWINE_PASSWORD": "secret",
        }


def test_the_guide_works(shell, tmp_path):
    folder, output, blocks = tmp_path, "", BLOCK.findall(GUIDE)
    for language, text in blocks:
        named = re.match(r"# (\S+\.(?:py|toml))\n", text)
        if named:
            (folder / named[1]).write_text(text)
        elif language == "sh":
            # The working directory at the end of a block is used for the next one.
            script = f"set -euo pipefail\n{text}\npwd > {tmp_path / 'pwd'}"
            done = subprocess.run(["bash", "-c", script], cwd=folder, env=shell, capture_output=True, text=True)
            output = done.stdout
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            assert "Warning" not in done.stderr, done.stderr
            folder = Path((tmp_path / "pwd").read_text().strip())
        else:
            assert language == "text", f"what to do with {language}?"
            printed = [line.split() for line in output.splitlines()]
            for line in text.splitlines():
                assert any(" ".join(line.split()) in " ".join(p) for p in printed), f"{line!r} is not in:\n{output}"
    assert {language for language, _ in blocks} == {"sh", "toml", "python", "text"}


SECTIONS = {
    "WeightsEnum and Weights": [zoo.Weights],
    "TaskSpec, Option and Metric": [zoo.TaskSpec, zoo.Option, zoo.Metric],
    **{
        cls.__name__: [cls]
        for cls in (
            zoo.Manifest,
            zoo.Default,
            zoo.ModelSpec,
            zoo.Preset,
            zoo.Stage,
            zoo.Command,
            zoo.Engine,
            zoo.Format,
            zoo.Capture,
            zoo.Repository,
        )
    },
    **{cls.__name__: [cls] for cls in (zoo.Task, zoo.Result, zoo.Examples, zoo.Evaluator, zoo.Exportable, zoo.Capture)},
    "Trainable": [Trainable],
    "Model": [Model],
}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_field_of_the_contract_is_documented_and_no_other(title):
    section = GUIDE.split(f"### {title}\n")[1].split("\n### ")[0]
    documented = re.findall(r"^\| `(\w+)(?:\(.*\))?` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(name for cls in SECTIONS[title] for name in members(cls))


def test_every_argument_of_builder_is_documented():
    section = GUIDE.split("### builder\n")[1].split("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(inspect.signature(zoo.builder).parameters)


def test_what_a_catalogue_has_is_documented():
    section = GUIDE.split("### Catalogue\n")[1].split("\n### ")[0]
    public = {name for name, value in vars(Catalogue).items() if callable(value) and name[0] != "_"} - {"make"}
    assert public <= set(re.findall(r"`(\w+)\(", section))


def members(cls: type) -> list[str]:
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    return [name for name in {**vars(cls), **cls.__annotations__} if not name.startswith("_")] + extra(cls)


def extra(cls: type) -> list[str]:
    return ["notes", "protocol"] if cls is zoo.Evaluator else []  # optional methods


def test_every_hook_is_documented_with_its_arguments():
    section = GUIDE.split("### Hooks\n")[1].split("\n### ")[0]
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("zoo_")}
    signatures = [f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in hooks.items()]
    assert re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE) == signatures


def test_every_class_of_the_contract_has_a_section():
    contract = {name for name in zoo.__all__ if inspect.isclass(found := getattr(zoo, name)) and is_contract(found)}
    documented = {cls.__name__ for classes in SECTIONS.values() for cls in classes}
    assert contract == documented - {"Model", "Trainable"} | {"WeightsEnum"}


def is_contract(cls: type) -> bool:
    return cls.__module__.startswith("zoo.contract.")
