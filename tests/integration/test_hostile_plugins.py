"""Plugins that damage the process: effects are contained where possible, otherwise the cause is reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.errors import AmbiguousModel
from zoo.registry.names import looks

PICTURE = Path(__file__).parents[2] / "examples/images/digits/digit_1.png"
GOOD = """
@zoo.hookimpl
def zoo_manifest():
    return zoo.Manifest(api_version=1, models=[zoo.ModelSpec("acme_net", "os:getcwd", task="image-classification")])
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]), **variables}


def zoo_in(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a new process, with ``folder`` first on the path."""
    command = [sys.executable, "-m", "zoo", *arguments]
    return subprocess.run(command, env=environment(folder, **variables), capture_output=True, text=True, timeout=60)


def doctor(folder: Path, **variables: str) -> tuple[dict[str, Any], str]:
    """What ``zoo doctor --json`` prints, which must be only JSON, and its stderr."""
    done = zoo_in(folder, "doctor", "--json", **variables)
    return json.loads(done.stdout), done.stderr


def raises(body: str) -> str:
    return "import sys\nclass Error(Exception):\n    def __str__(self):\n" + f"        {body}\nraise Error"


SET_ASIDE = {  # source → part of the error
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises it in its hook": ("@zoo.hookimpl\ndef zoo_manifest():\n    raise KeyboardInterrupt('x')", "Interrupt: x"),
    "an error whose text exits": (raises("raise SystemExit(9)"), "whose message cannot be shown (SystemExit)"),
    "an error whose text interrupts": (raises("raise KeyboardInterrupt"), "shown (KeyboardInterrupt)"),
    "an error without text": (raises("return 5"), "shown (TypeError)"),
    "an error whose text recurs": (raises("return str(self)"), "shown (RecursionError)"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
}
UNDONE = {  # source → the part of the process that it changed, which was restored
    "prints": ("print('Welcome!')", ""),
    "prints and flushes": ("import sys\nsys.stdout.write('Welcome!\\n'); sys.stdout.flush()", ""),
    "writes bytes": ("import sys\nsys.stdout.buffer.write(b'Welcome!\\n'); sys.stdout.buffer.flush()", ""),
    "closes stdout": ("import sys\nsys.stdout.close()", ""),
    "closes stderr": ("import sys\nsys.stderr.close()", ""),
    "closes the buffer": ("import sys\nsys.stdout.buffer.close()", ""),
    "wraps stdout and lets go": (
        "import io, sys\nio.TextIOWrapper(sys.stdout.buffer).write('Welcome!\\n')\nimport gc; gc.collect()", "",
    ),
    "replaces stdout": ("import io, sys\nsys.stdout = io.StringIO()", "sys.stdout"),
    "replaces stderr": ("import io, sys\nsys.stderr = None", "sys.stderr"),
    "replaces both": ("import io, sys\nsys.stdout = sys.stderr = io.StringIO()", "sys.stdout and sys.stderr"),
    "sets a recursion limit": ("import sys\nsys.setrecursionlimit(80)", "the recursion limit"),
    "changes the folder": ("import os\nos.chdir('/')", "the working directory"),
    "ignores Ctrl-C": ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)", "the handling of Ctrl-C"),
}  # fmt: skip


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All of them in one process: the output of commands, and the doctor's report of each plugin."""
    folder = tmp_path_factory.mktemp("site")
    for i, (source, _) in enumerate([*SET_ASIDE.values(), *((s + GOOD, c) for s, c in UNDONE.values())]):
        (folder / f"evil_{i:02}.py").write_text(f"import zoo\n{source.replace('acme_net', f'net_{i:02}')}")
        info = folder / f"evil_{i:02}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: evil-{i:02}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zoo.plugins]\nevil_{i:02} = evil_{i:02}\n")
    facts, err = doctor(folder)
    listed = zoo_in(folder, "list", "--json")
    return {"plugins": {p["name"]: p for p in facts["plugins"]}, "err": err, "listed": listed}


@pytest.mark.parametrize("how", SET_ASIDE)
def test_what_a_plugin_raises_ends_in_its_record(together: dict[str, Any], how: str) -> None:
    plugin, said = together["plugins"][f"evil_{list(SET_ASIDE).index(how):02}"], SET_ASIDE[how][1]
    assert (plugin["state"], together["plugins"]["classification"]["state"]) == ("failed", "ready")
    assert said in plugin["error"]
    assert said in together["listed"].stderr  # the warning


@pytest.mark.parametrize("how", UNDONE)
def test_what_a_plugin_does_to_the_process_is_undone(together: dict[str, Any], how: str) -> None:
    n, changed = len(SET_ASIDE) + list(UNDONE).index(how), UNDONE[how][1]
    plugin = together["plugins"][f"evil_{n:02}"]
    assert (plugin["state"], plugin["models"]) == ("ready", 1)
    assert plugin["complaint"] == (
        f"it changes {changed} when it is listed, which was undone; do this in the builders" if changed else ""
    )


def test_their_neighbours_are_listed_and_json_is_json(together: dict[str, Any]) -> None:
    names = {row["name"] for row in json.loads(together["listed"].stdout)}
    assert {"resnet50", *(f"net_{i:02}" for i in range(len(SET_ASIDE), len(SET_ASIDE) + len(UNDONE)))} <= names
    assert together["listed"].returncode == 0
    wrote = sum("Welcome!" in source for source, _ in UNDONE.values())
    assert together["err"].count("Welcome!") == together["listed"].stderr.count("Welcome!") == wrote


def test_what_keeps_a_stream_writes_where_it_belongs_afterwards(plugin_folder: Any) -> None:
    plugin_folder.install("evil", "import sys\nkept = sys.stdout\nprint('while listed')" + GOOD)
    code = (
        "import sys\nbefore = sys.stdout\nimport zoo\nzoo.list_models()\nassert sys.stdout is before\n"
        "import zoo_evil_plugin as p\np.kept.write('later\\n')\nprint(p.kept.isatty())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(plugin_folder.path), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("later\nFalse\n", "while listed\n")


def test_other_threads_print_where_they_did(plugin_folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plugin_folder.install("slow", "import time\nprint('from the plugin')\ntime.sleep(0.5)" + GOOD)
    zoo.refresh()
    listing = threading.Thread(target=zoo.list_models)
    listing.start()
    time.sleep(0.2)
    print("from the program")
    listing.join()
    out, err = capsys.readouterr()
    assert (out, err) == ("from the program\n", "from the plugin\n")


HANGS = {  # what hangs → source, command, part of the message
    "its module": ("import time\nprint('ready', flush=True)\ntime.sleep(60)", ["list"], "'evil' was listed"),
    "a loop": ("print('ready', flush=True)\nwhile True: pass", ["list", "--json"], "at stage 'import'"),
    "an error that it hides": (
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept BaseException: raise OSError",
        ["list"], "'evil' was listed",
    ),
    "a Ctrl-C that it ignores": (
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt: pass" + GOOD,
        ["list"], "'evil' was listed",
    ),
    "its hook": (
        "import time\n@zoo.hookimpl\ndef zoo_manifest():\n    print('ready', flush=True)\n    time.sleep(60)",
        ["show", "resnet50"], "at stage 'manifest'",
    ),
    "models without an end": (
        "import time\ndef models():\n    print('ready', flush=True)\n    while True:\n"
        "        yield zoo.ModelSpec(f'm{time.time()}', 'a:b', task='t')\n"
        "@zoo.hookimpl\ndef zoo_manifest():\n    return zoo.Manifest(api_version=1, models=models())",
        ["doctor"], "at stage 'validate'",
    ),
    "its command": (
        "@zoo.hookimpl\ndef zoo_manifest():\n"
        "    return zoo.Manifest(api_version=1, commands=[zoo.Command('dig', 'hangs:run', 'Digs.')])",
        ["dig"], "the command 'dig', 'hangs:run', was imported",
    ),
    "its builder": (
        GOOD.replace("os:getcwd", "hangs:net"), ["predict", str(PICTURE), "--model", "acme_net"], "'evil/acme_net'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", HANGS)
def test_ctrl_c_names_the_plugin_that_hangs(plugin_folder: Any, how: str) -> None:
    source, command, named = HANGS[how]
    (plugin_folder.path / "hangs.py").write_text(
        "import sys, time\nprint('ready', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    plugin_folder.install("evil", source)
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", *command],
        env=environment(plugin_folder.path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert named in err
    assert "Traceback" not in err


@pytest.mark.xfail(reason="no process can be kept from it: docs/security.md", strict=True)
@pytest.mark.parametrize(
    "source", ["import os\nos._exit(0)", "import os\nos.close(1)", "import json\njson.dumps = lambda *_, **__: 'x'"]
)
def test_what_cannot_be_contained(plugin_folder: Any, source: str) -> None:
    plugin_folder.install("evil", source + GOOD)
    assert doctor(plugin_folder.path)[0]["plugins"]


# ── ownership of names ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_distribution_that_says_it_is_ours(plugin_folder: Any) -> None:
    plugin_folder.install_models("classification", "resnet50", distribution="zoo-classification", version="9.9")
    facts, _ = doctor(plugin_folder.path)
    genuine, impostor = (p for p in facts["plugins"] if p["distribution"] == "zoo-classification")
    assert (genuine["state"], genuine["module"]) == ("ready", "zoo_classification.plugin")
    assert (impostor["state"], impostor["version"]) == ("failed", "9.9")
    assert f"{plugin_folder.path}/zoo_classification-9.9.dist-info claims to be zoo-classification" in impostor["error"]
    shown = zoo_in(plugin_folder.path, "show", "resnet50")
    assert "zoo_classification.resnet:resnet50" in shown.stdout
    assert "claims to be zoo-classification" in shown.stderr


def test_a_copy_of_ours_from_another_place_is_told(plugin_folder: Any) -> None:
    """The path decides which of the two is imported; the duplicate is reported."""
    info = plugin_folder.path / "zoo_classification-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-classification\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[zoo.plugins]\nclassification = zoo_classification.plugin\n")
    facts, _ = doctor(plugin_folder.path)
    [found] = [p for p in facts["plugins"] if p["distribution"] == "zoo-classification"]
    assert found["state"] == "ready"
    assert f"zoo-classification is on the path more than once, at {info} and " in found["complaint"]
    assert "more than once" in zoo_in(plugin_folder.path, "list", "resnet50").stderr


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("resnet50", "ResNet50", True),
        ("resnet50", "resnet5O", True),
        ("resnet101", "resnetlOl", True),
        ("vit_b_16", "vlt_b_16", True),
        ("ResNet50_Weights", "RеsNеt50_Weights", True),  # with a Cyrillic е
        ("ResNet50_Weights", "ResΝet50_Weights", True),  # with a Greek Ν
        ("hrnet", "hmet", True),
        ("swin_t", "svvin_t", True),
        ("resnet50", "resnet51", False),
        ("vit_b_16", "vit_l_16", False),
    ],
)
def test_names_that_look_alike(one: str, other: str, alike: bool) -> None:
    assert (looks(one) == looks(other)) == alike


def test_no_two_of_our_own_names_look_alike() -> None:
    names = [name.rpartition("/")[2] for name in zoo.list_models()]
    assert len({looks(name) for name in names}) == len(names) > 100


def test_a_strangers_name_that_looks_like_ours_is_marked(plugin_folder: Any) -> None:
    plugin_folder.install_models("Classification", "ResNet50", "own_net", distribution="acme")
    plugin_folder.install_models("other", "Own_Net", distribution="acme-other")
    zoo.refresh()
    names = zoo.list_models()
    assert {"Classification/ResNet50", "own_net", "Own_Net", "resnet50"} <= set(names)
    assert "ResNet50" not in names
    with pytest.raises(AmbiguousModel, match=r"looks like 'resnet50'\. Choose one of them: 'resnet50' or 'Class"):
        zoo.model_info("ResNet50")
    assert zoo.model_info("Classification/ResNet50").plugin == "Classification"
    alike = {c.name: (c.claims, c.owner) for c in zoo.registry.name_conflicts(zoo.registry.registry()) if c.alike}
    assert alike == {
        "classification": (("Classification", "classification"), "classification"),
        "resnet50": (("Classification/ResNet50", "classification/resnet50"), "classification/resnet50"),
        "Own_Net": (("Classification/own_net", "other/Own_Net"), None),
    }
    shown = zoo_in(plugin_folder.path, "doctor").stdout
    assert "look alike  resnet50: Classification/ResNet50, classification/resnet50; means classification/resnet50" in (
        shown.replace("alike ", "alike  ")
    )


def test_the_doctor_shows_no_secret(plugin_folder: Any, own_cache: Path) -> None:
    plugin_folder.install("evil", "raise OSError('https://me:HUNTER0@host/?key=HUNTER1')")
    facts = zoo_in(
        plugin_folder.path, "doctor", "--json",
        HF_TOKEN="HUNTER2", ZOO_MIRROR="https://u:HUNTER3@h/", HTTPS_PROXY="http://u:HUN@TER4@p:1",
        HF_ENDPOINT="https://h/?token=HUNTER5", http_proxy="u:HUNTER6@h:1",
    )  # fmt: skip
    text = zoo_in(plugin_folder.path, "doctor", "-v", HF_ENDPOINT="https://h/?token=HUNTER5")
    for shown in (facts, text):
        assert "HUN" not in shown.stdout + shown.stderr
        assert "TER4" not in shown.stdout + shown.stderr
    assert json.loads(facts.stdout)["environment"]["HF_ENDPOINT"] == "https://h/?…"
