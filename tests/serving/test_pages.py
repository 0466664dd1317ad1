"""Run all commands of docs/serving.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from serving_process import Running

for name in ("starlette", "uvicorn", "prometheus_client", "multipart", "zoo_serving"):
    pytest.importorskip(name)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_block(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/images/digits/digit_7.png", tmp_path / "digit.png")
    shutil.copy(ROOT / "examples/images/shapes.png", tmp_path)
    started, asked = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    arguments = shlex.split(started)
    assert arguments[:2] == ["zoo", "serve"]
    at = arguments.index("--port")
    running = Running(*arguments[2:at], *arguments[at + 2 :])
    try:
        script = asked.replace("localhost:8000", running.url.removeprefix("http://"))
        script = "set -e\n" + script.replace("curl ", "curl --fail-with-body --silent --write-out '\\n' ", 2)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        answers = [json.loads(line) for line in done.stdout.splitlines() if line]
        assert [answer["top"][0]["label"] for answer in answers] == ["7", "7"]
        assert len(answers[0]["top"]) == 3
        assert Image.open(tmp_path / "drawn.png").format == "PNG"
        table = PAGE.split("| path | answers |")[1].split("\n\n")[0]
        for path in re.findall(r"`(?:POST )?(/\w*(?:\.json)?)`", table):
            assert running.ask(path).status == (405 if path == "/predict" else 200), path
    finally:
        running.end()


def test_the_bounds_are_those_of_the_command() -> None:
    import typer
    from typer.main import get_command

    from zoo_serving.commands.serving import serve

    app = typer.Typer()
    app.command()(serve)
    defaults = {option.opts[0]: option.default for option in get_command(app).params}
    for option, value in re.findall(r"\| `(--[\w-]+)` (\d+)", PAGE):
        assert float(defaults[option]) == float(value), option
