"""A model is trained on and saved over the file that it came from: nothing is lost, and nothing changes under it.

In a process of its own each time: where the model is a view of the file, the process dies of SIGBUS.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

# How a user names the file → how a training script writes it.
NAMES = ("path", "symlink", "relative", "home", "url")
FORMS = ("safetensors", "legacy", "half", "ddp", "compiled")

# Imports once what every case needs, and forks a process for each: a line of JSON in, an exit status out.
FORKS = """
import json, os, sys, traceback
import safetensors.torch, torch, zoo, zoo.loading, zoo_classification.squeezenet

torch.set_num_threads(1)
for line in sys.stdin:
    code, form, folder = json.loads(line)
    child = os.fork()
    if not child:
        log = os.open(f"{folder}/log", os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1), os.dup2(log, 2)
        os.environ["HOME"] = folder
        try:
            exec(code, {"form": form, "folder": folder})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

COMMON = """
import os, subprocess, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
import zoo

folder = Path(folder)
real = folder / ("best.safetensors" if form == "safetensors" else "best.pth")
given = real
if form == "symlink":
    given = folder / "latest.pth"
    given.symlink_to(real)
elif form == "relative":
    os.chdir(folder)
    given = real.name
elif form == "home":
    given = f"~/{real.name}"
elif form == "url":
    given = real.as_uri()
prefix = {"ddp": "module.", "compiled": "_orig_mod."}.get(form, "")


def save(state):
    state = {f"{prefix}{key}": value.half() if form == "half" else value for key, value in state.items()}
    target = given if form in ("symlink", "relative") else real
    if form == "safetensors":
        save_file(state, target)
    else:
        torch.save(state, target, _use_new_zipfile_serialization=form != "legacy")


def load():
    return zoo.get_model("squeezenet1_1", weights=given, num_classes=10).eval()


def check(what, model, want):
    got = model.state_dict()
    assert list(got) == list(want), what
    for key, value in want.items():
        assert got[key].dtype == torch.float32, (what, key)
        assert torch.equal(got[key], value), (what, key)


published = zoo.get_model("squeezenet1_1", weights="DIGITS_V1").state_dict()
want = {key: (value.half() if form == "half" else value).float().clone() for key, value in published.items()}
picture = torch.rand(1, 3, 64, 64)
save(want)
model = load()
"""

LOOP = """
with torch.no_grad():  # one tensor is touched; the others may not have been read yet
    model.classifier[1].bias.fill_(0.5)
want["classifier.1.bias"] = torch.full((10,), 0.5)
print("save what was loaded over the file", flush=True)
save(model.state_dict())
check("the model after it was saved", model, want)
print("load it again", flush=True)
again = load()
check("the model that was loaded again", again, want)

print("save another model over the file", flush=True)
other = {key: torch.full_like(value, 0.25) for key, value in want.items()}
save(other)
check("the first model after another was saved", model, want)
check("the second model after another was saved", again, want)
check("the other model", load(), other)
with torch.no_grad():
    assert torch.equal(model(picture), again(picture))
"""

OTHERS = """
print("another process truncates the file", flush=True)
code = "import os, sys; os.truncate(sys.argv[1], int(sys.argv[2]))"
for length in (real.stat().st_size // 2, 0):
    subprocess.run([sys.executable, "-S", "-c", code, real, str(length)], check=True)
    check("the model after its file was cut short", model, want)
    with torch.no_grad():
        assert model(picture).isfinite().all()
    try:
        load()
    except zoo.errors.CheckpointError as e:
        assert real.name in str(e)
    else:
        raise AssertionError("a file cut short was loaded")
"""


Run = Callable[[str, str, Path], None]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with subprocess.Popen([sys.executable, "-c", FORKS], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as forks:
        assert forks.stdin
        assert forks.stdout

        def run_one(code: str, form: str, folder: Path) -> None:
            print(json.dumps([COMMON + code, form, str(folder)]), file=forks.stdin, flush=True)
            status = forks.stdout.readline().strip()
            if status != "0":
                said = (folder / "log").read_text()
                pytest.fail(f"exit status {status or 'none'} (-7 is SIGBUS) after:\n{said}", pytrace=False)

        yield run_one
        forks.stdin.close()


@pytest.mark.parametrize("form", [*NAMES, *FORMS])
def test_a_model_is_saved_over_the_file_that_it_came_from(run: Run, form: str, tmp_path: Path) -> None:
    run(LOOP, form, tmp_path)


@pytest.mark.parametrize("form", ["path", "safetensors", "legacy", "half"])
def test_another_process_cuts_the_file_short_while_the_model_lives(run: Run, form: str, tmp_path: Path) -> None:
    run(OTHERS, form, tmp_path)
