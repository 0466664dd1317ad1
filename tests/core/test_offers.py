"""What plugins offer beside models: commands, engines, pieces for the tasks of others, repositories."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import zoo
from zoo import registry
from zoo.errors import ContractError, InvalidArgument, MissingPlugin, PluginError
from zoo.registry import discovery, engines_for, get_engine, open_repository, provided

Run = Callable[..., SimpleNamespace]


def install(folder: Any, name: str, offers: str, parts: str | None = None, then: Any = None, **options: str) -> None:
    """The plugin ``name`` whose manifest says ``offers``, and its module ``NAME_parts``."""
    manifest = f"@zoo.hookimpl\ndef zoo_manifest():\n    return zoo.Manifest(api_version=1, {offers})\n"
    folder.install(name, manifest, **options)
    if parts is not None:
        (folder.path / f"{name}_parts.py").write_text(textwrap.dedent(parts))
    zoo.refresh()
    if then is not None:
        then()


LABEL = 'commands=[zoo.Command("label", "acme_parts:label", "Label pictures by hand.")]'
LABEL_PARTS = """
    from typing import Annotated
    import typer
    from zoo import errors

    def label(
        context: typer.Context,
        pictures: Annotated[list[str], typer.Argument()],
        shout: Annotated[bool, typer.Option(help="Loudly.")] = False,
    ) -> int:
        '''Ask a person what is in each picture.'''
        if "nothing" in pictures:
            raise errors.InvalidArgument("there is nothing to label")
        words = [*pictures, *context.args]
        print(*(word.upper() if shout else word for word in words))
        return 3 if shout else 0
"""


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plugins_command_runs_by_both_of_its_names(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", LABEL, LABEL_PARTS)
    for name in ("label", "acme:label"):
        assert vars(run(name, "a.png", "b.png")) == {"status": 0, "out": "a.png b.png\n", "err": ""}
        assert vars(run(name, "--shout", "a.png")) == {"status": 3, "out": "A.PNG\n", "err": ""}
        got = run(name, "--help")
        assert got.status == 0
        assert f"Usage: zoo {name} [OPTIONS] " in got.out
        assert "Ask a person what is in each picture." in got.out
        got = run(name, "nothing")
        assert vars(got) == {"status": 1, "out": "", "err": "Error: there is nothing to label\n"}
        assert run(name).status == 2  # no PICTURES
    assert run("label", "a.png", "--clips", 4).out == "a.png --clips 4\n"  # parsed by the command: see read_options
    assert run("other:label", "a.png").status == 2


def test_help_lists_commands_under_their_package_without_importing_them(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", LABEL, LABEL_PARTS, distribution="acme-vision")
    got = run("--help")
    assert (got.status, got.err) == (0, "")
    core, others = got.out.partition("\nFind a model:\n")[2].split("\n\nFrom ", 1)
    others = [f"From {section}" for section in others.partition("\n\nOptions:")[0].split("\n\nFrom ")]
    own = re.findall(r"^  (\S+)  ", core, re.MULTILINE)
    assert own[:4] == ["list", "table", "show", "compare"]
    assert {"doctor", "verify-plugin", "cache", "lock"} < set(own)
    (theirs,) = [section for section in others if "acme" in section]
    assert theirs.split() == ["From", "acme-vision:", "label", "Label", "pictures", "by", "hand."]
    (ours,) = [section for section in others if "zoo-tools" in section]
    assert re.findall(r"^  (\S+)  ", ours, re.MULTILINE) == [
        "evaluate",
        "matrix",
        "quantize",
        "benchmark",
        "merge",
        "export",
        "catalogue",
    ]
    assert "acme_parts" not in sys.modules


def test_a_command_two_strangers_have_needs_its_full_name(plugin_folder: Any, run: Run) -> None:
    for name in ("left", "right"):
        parts = f"def label() -> None:\n    print('{name}')\n"
        install(plugin_folder, name, f'commands=[zoo.Command("label", "{name}_parts:label", "Label.")]', parts)
    got = run("label")
    assert (got.status, got.out) == (1, "")
    assert got.err == (
        "Error: Several plugins have a command 'label'. Choose one of them: left:label and right:label.\n"
    )
    assert [run(f"{name}:label").out for name in ("left", "right")] == ["left\n", "right\n"]
    listed = re.findall(r"^  (\S*label)  ", run("--help").out, re.MULTILINE)
    assert listed == ["left:label", "right:label"]
    assert "left:label, right:label" in " ".join(run("doctor").out.split())


def test_a_command_of_ours_goes_before_a_strangers(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", 'commands=[zoo.Command("export", "acme_parts:export", "Ship.")]', EXPORT)
    assert "Write a model to a file" in run("export", "--help").out
    assert run("acme:export").out == "shipped\n"
    assert re.findall(r"^  (\S*export)  ", run("--help").out, re.MULTILINE) == ["export", "acme:export"]


EXPORT = "def export() -> None:\n    print('shipped')\n"


def test_the_cores_own_commands_cannot_be_taken(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", 'commands=[zoo.Command("list", "acme_parts:export", "Ours.")]', EXPORT)
    assert run("list", "resnet18").out.splitlines()[1].startswith("resnet18 ")
    assert run("acme:list").out == "shipped\n"
    got = run("acme:list", "--fast")  # it takes no context, in which it could read options of a task
    assert (got.status, got.out) == (2, "")
    assert "No such option: --fast" in got.err
    assert re.findall(r"^  (\S*list)  ", run("--help").out, re.MULTILINE) == ["list", "acme:list"]


@pytest.mark.parametrize(
    ("target", "parts", "said"),
    [
        ("acme_parts:label", "import quux", "ModuleNotFoundError: No module named 'quux'"),
        ("acme_parts:label", "raise SystemExit('bye')", "SystemExit: bye"),
        ("acme_parts:lable", "def label(): ...", "ContractError: 'acme_parts:lable' cannot be resolved"),
        ("acme_parts:label", "label = 7", "TypeError"),
        ("nowhere:label", "", "No module named 'nowhere'"),
    ],
)
def test_a_command_that_cannot_be_loaded_is_an_error_of_one_line(
    plugin_folder: Any, run: Run, target: str, parts: str, said: str
) -> None:
    install(plugin_folder, "acme", f'commands=[zoo.Command("label", "{target}", "Label.")]', parts)
    got = run("label")
    assert (got.status, got.out, got.err.count("\n")) == (1, "", 1)
    assert got.err.startswith("Error: The command 'label' cannot be loaded: ")
    assert said in got.err
    assert run("--help").status == 0


APP = """
    import typer

    app = typer.Typer(help="Labels of pictures.", rich_markup_mode=None, add_completion=False)

    @app.command()
    def add(picture: str, name: str = "cat") -> int:
        print(f"{picture} is a {name}")
        return 0

    @app.command()
    def count() -> int:
        print("none")
        return 1
"""


def test_a_typer_app_brings_its_subcommands(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", 'commands=[zoo.Command("labels", "acme_parts:app", "Labels.")]', APP)
    for name in ("labels", "acme:labels"):
        assert vars(run(name, "add", "a.png", "--name", "dog")) == {"status": 0, "out": "a.png is a dog\n", "err": ""}
        assert vars(run(name, "count")) == {"status": 1, "out": "none\n", "err": ""}
        assert run(name, "remove").status == 2
        shown = run(name, "--help").out
        assert f"Usage: zoo {name} [OPTIONS] COMMAND" in shown
        assert "Labels of pictures." in shown
        assert shown.partition("Commands:")[2].split() == ["add", "count"]


def test_a_misspelt_command_of_a_plugin_is_suggested(plugin_folder: Any, run: Run) -> None:
    install(plugin_folder, "acme", LABEL, LABEL_PARTS)
    for typed, meant in (("lable", "label"), ("evalute", "evaluate"), ("lst", "list")):
        got = run(typed)
        assert got.status == 2
        assert f"No such command '{typed}'. Did you mean " in got.err
        assert f"'{meant}'" in got.err
    assert run("zzzzz").status == 2


def test_a_plugin_that_is_set_aside_has_no_commands(plugin_folder: Any, run: Run) -> None:
    bad = 'commands=[zoo.Command("label", "acme_parts:label", "Label."), zoo.Command("l", "no string", "Label.")]'
    with pytest.warns(zoo.PluginWarning, match=r"l: 'no string' is not of the form 'package\.module:name'"):
        install(plugin_folder, "acme", bad, LABEL_PARTS, then=zoo.plugins)
    assert run("label", "a.png").status == 2


class NoTools:
    """Imports of zoo_tools fail as where it is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "zoo_tools":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if zoo-tools were not installed; whether it is or not."""
    scan = discovery.scan
    monkeypatch.setattr(discovery, "scan", lambda: (record for record in scan() if record.name != "tools"))
    for module in [name for name in sys.modules if name.partition(".")[0] == "zoo_tools"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [NoTools(), *sys.meta_path])
    for name in ("evaluate", "Evaluation", "export", "ExportReport"):
        monkeypatch.delitem(vars(zoo), name, raising=False)
    zoo.refresh()
    yield
    monkeypatch.undo()
    zoo.refresh()


@pytest.mark.usefixtures("without_tools")
def test_without_zoo_tools_its_commands_say_what_to_install(run: Run) -> None:
    for name in ("evaluate", "export"):
        got = run(name, "--model", "resnet18")
        assert (got.status, got.out) == (2, "")
        assert f"'{name}' comes with zoo-tools, which is not installed: pip install zoo-tools" in got.err
        assert "Traceback" not in got.err
    assert "evaluate" not in run("--help").out


@pytest.mark.usefixtures("without_tools")
def test_without_zoo_tools_its_names_say_what_to_install() -> None:
    for name in ("evaluate", "Evaluation", "export", "ExportReport"):
        with pytest.raises(MissingPlugin, match=rf"zoo\.{name} comes with zoo-tools, .*: pip install zoo-tools$"):
            getattr(zoo, name)
    assert not hasattr(zoo, "evaluator")


def test_with_zoo_tools_its_names_are_there() -> None:
    assert zoo.evaluate.__module__ == zoo.Evaluation.__module__ == "zoo_tools.evaluation"
    assert zoo.export.__module__ == zoo.ExportReport.__module__ == "zoo_tools.exporting"


def test_listing_and_help_need_no_torch(plugin_folder: Any) -> None:
    install(plugin_folder, "acme", LABEL, LABEL_PARTS)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    code = (
        "import sys; sys.modules['torch'] = None; from zoo.cli import main;"
        "sys.exit(main(['--help']) or main(['label', 'a.png']) or 'acme_parts' not in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\na.png\n")


# ── what a verb needs of a task ──────────────────────────────────────────────────────────────────────────────────


def test_a_plugin_provides_for_the_tasks_of_others(plugin_folder: Any) -> None:
    task = zoo.get_task("image-classification")
    assert provided(task, "distil") is None
    parts = "distil = 'a recipe'\nevaluate = 'not asked'\n"
    pieces = {("image-classification", verb): f"acme_parts:{verb}" for verb in ("distil", "evaluate")}
    install(plugin_folder, "acme", f"provides={pieces}", parts)
    assert provided(task, "distil") == "a recipe"
    assert provided(task, "evaluate").__module__ == "zoo_classification.evaluation"  # what the task says goes before
    assert provided(zoo.get_task("optical-flow"), "distil") is None
    assert "acme_parts" in sys.modules


def test_of_two_that_provide_the_same_the_first_by_name_does(plugin_folder: Any) -> None:
    for name in ("zeta", "alpha"):
        offers = f"provides={{('image-classification', 'distil'): '{name}_parts:piece'}}"
        install(plugin_folder, name, offers, f"piece = '{name}'")
    assert provided(zoo.get_task("image-classification"), "distil") == "alpha"


def test_what_is_provided_and_not_there_is_told(plugin_folder: Any) -> None:
    install(plugin_folder, "acme", "provides={('image-classification', 'distil'): 'acme_parts:distil'}", "")
    with pytest.raises(ContractError, match="'acme_parts:distil' cannot be resolved"):
        provided(zoo.get_task("image-classification"), "distil")


# ── engines ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_engines_are_found_by_name_and_by_what_they_open(plugin_folder: Any) -> None:
    engines = 'engines=[zoo.Engine("fast", "acme_parts:Fast", (".fast", ".onnx")), zoo.Engine("bare", "acme_parts:B")]'
    install(plugin_folder, "acme", engines)
    fast = zoo.Engine("fast", "acme_parts:Fast", (".fast", ".onnx"))
    assert get_engine("fast") == get_engine("acme/fast") == fast
    assert get_engine("bare").suffixes == ()
    assert engines_for(".fast") == ["fast"]
    assert "fast" in engines_for(".onnx")
    assert engines_for(".jpg") == []
    with pytest.raises(InvalidArgument, match=r"There is no engine 'fats'; installed are .*fast.*Did you mean 'fast'"):
        get_engine("fats")
    with pytest.raises(InvalidArgument, match="There is no engine 'other/fast'"):
        get_engine("other/fast")
    assert "acme_parts" not in sys.modules


def test_an_engine_two_strangers_have_needs_its_full_name(plugin_folder: Any) -> None:
    for name in ("left", "right"):
        install(plugin_folder, name, f'engines=[zoo.Engine("fast", "{name}_parts:Fast")]')
    with pytest.raises(InvalidArgument, match=r"'fast'.*left/fast, right/fast"):
        get_engine("fast")
    assert get_engine("right/fast").target == "right_parts:Fast"


# ── repositories ─────────────────────────────────────────────────────────────────────────────────────────────────

OPENER = """
    from pathlib import Path

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(api_version=1)

    @zoo.hookimpl
    def zoo_open_repository(path):
        if (path / "broken.json").exists():
            raise ValueError("it is broken")
        if not (path / "NAME.json").exists():
            return None
        return zoo.Repository("NAME_parts:build", zoo.Weights(url=(path / "w.pt").as_uri()))
"""


def test_a_repository_is_opened_by_the_plugin_that_knows_it(plugin_folder: Any, tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        plugin_folder.install(name, OPENER.replace("NAME", name))
    zoo.refresh()
    folder = tmp_path / "repository"
    folder.mkdir()
    assert open_repository(folder) is None
    (folder / "beta.json").touch()
    found = open_repository(folder)
    assert found == zoo.Repository("beta_parts:build", zoo.Weights(url=f"file://{folder}/w.pt"))
    (folder / "alpha.json").touch()
    assert open_repository(folder).builder == "alpha_parts:build"
    (folder / "broken.json").touch()
    with pytest.raises(PluginError, match=r"Plugin 'alpha' failed to open .*repository: ValueError: it is broken"):
        open_repository(folder)


def test_a_plugin_that_fails_to_open_a_repository_does_not_stop_another(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.install("alpha", OPENER.replace("NAME", "alpha").replace('"broken.json"', '"beta.json"'))
    plugin_folder.install("beta", OPENER.replace("NAME", "beta"))
    zoo.refresh()
    (tmp_path / "beta.json").touch()
    assert open_repository(tmp_path).builder == "beta_parts:build"
    assert registry.open_repository is open_repository
