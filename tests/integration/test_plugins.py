"""Plugins in practice: distributions and wheels on the path, many at once, some of them hostile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import AmbiguousModel, UnknownTask, UnknownWeights


def run(
    *arguments: object, path: Path | str = "", python: object = sys.executable, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Python in a new process, with ``path`` before the installed packages."""
    environment = {**os.environ, "PYTHONPATH": str(path), **variables}
    done = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True)
    assert not (check and done.returncode), done.stdout + done.stderr
    return done


# ── broken in different ways ─────────────────────────────────────────────────────────────────────────────────────

LIST = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import zoo
    names = [n for n in zoo.list_models() if n.startswith("net_")]
    again = [n for n in zoo.list_models(task="image-classification", max_params=1e4) if n.startswith("net_")]
print(json.dumps({
    "names": names, "again": again, "torch": "torch" in sys.modules, "stdout": None,
    "warnings": [str(w.message) for w in caught if issubclass(w.category, zoo.PluginWarning)],
    "other": [str(w.message) for w in caught if not issubclass(w.category, zoo.PluginWarning)],
}))
"""
HEALTHY = """
class Net_{i}_Weights(zoo.WeightsEnum):
    V1 = zoo.Weights(url="https://example.org/net-{i:08x}.pth", num_params={i}, metrics={{"Shapes": {{"acc@1": 90.0}}}})
    DEFAULT = V1

@zoo.hookimpl
def zoo_manifest():
    options = dict(task="image-classification", weights=Net_{i}_Weights)
    models = [zoo.ModelSpec(f"net_{i:02d}_{{size}}", "nets:net", **options) for size in ("small", "large")]
    return zoo.Manifest(api_version=1, models=models)
"""
FIVE = {  # plugin → its source, and the reported stage and reason
    "broken_import": ("import there_is_no_such_package", "import", "No module named 'there_is_no_such_package'"),
    "broken_exit": ("@zoo.hookimpl\ndef zoo_manifest():\n    raise SystemExit('bye')", "manifest", "SystemExit: bye"),
    "broken_hook": ("@zoo.hookimpl\ndef zoo_models():\n    return []", "register", "zoo_models() is not a hook of zoo"),
    "broken_manifest": ("@zoo.hookimpl\ndef zoo_manifest():\n    return {'a': 1}", "validate", "returned dict"),
    "broken_metadata": (HEALTHY.format(i=99), "scan", "no name and version"),
}


def test_five_of_twenty_plugins_are_broken(plugin_folder):
    for i in range(15):
        plugin_folder.install(f"healthy_{i:02d}", HEALTHY.format(i=i))
    for name, (source, _, _) in FIVE.items():
        plugin_folder.install(name, source)
    info = plugin_folder.path / "zoo_broken_metadata-1.0.dist-info"
    (info / "METADATA").unlink()

    seen = json.loads(run("-c", LIST, path=plugin_folder.path).stdout)
    assert seen["names"] == seen["again"] == sorted(f"net_{i:02d}_{s}" for i in range(15) for s in ("small", "large"))
    assert not seen["torch"]
    assert seen["other"] == []
    assert len(seen["warnings"]) == 5

    doctor = run("-m", "zoo", "doctor", "--json", path=plugin_folder.path, check=False)
    assert doctor.returncode == 1
    failed = {p["name"]: p for p in json.loads(doctor.stdout)["plugins"] if p["state"] == "failed"}
    text = run("-m", "zoo", "doctor", path=plugin_folder.path, check=False).stdout
    for name, (_, stage, reason) in FIVE.items():
        known_as = info.name if name == "broken_metadata" else name  # without metadata, by its folder's name
        assert failed[known_as]["stage"] == stage
        assert reason in failed[known_as]["error"]
        assert [w for w in seen["warnings"] if known_as in w and reason in w and "ZOO_DISABLE_PLUGINS" in w]
        assert reason in text
    assert len(failed) == 5
    strict = run("-m", "zoo", "doctor", path=plugin_folder.path, check=False, ZOO_STRICT="1").stdout
    assert strict.splitlines()[-1] == text.splitlines()[-1]


MODEL = 'zoo.ModelSpec({name!r}, "nets:net", task="image-classification"{more})'


def manifest(models: str = "[]", more: str = "") -> str:
    return f"@zoo.hookimpl\ndef zoo_manifest():\n    return zoo.Manifest(api_version=1, models={models}{more})\n"


def spec(name: str, more: str = "") -> str:
    return MODEL.format(name=name, more=f", {more}" if more else "")


WEIGHTS = "class W(zoo.WeightsEnum):\n    A = zoo.Weights(url='file:///a.pth', {})\n"
STRANGE: dict[str, tuple[str, str, str]] = {  # plugin → source, state or stage, part of the message
    "generator": (manifest(f"(s for s in [{spec('of_generator')}])"), "ready", ""),
    "raises_halfway": (manifest("(1 / 0 for _ in 'x')"), "validate", "ZeroDivisionError"),
    "wrong_items": (manifest("[None, object(), 'resnet50']"), "validate", "models contains None"),
    "many_wrong_items": (manifest("range(50)"), "validate", "and 40 problems more"),
    "long_name": (manifest(f"[{spec('x' * 10_000)}]"), "validate", "(10002 characters) is not a model name"),
    "no_models": (manifest("None"), "validate", "TypeError"),
    "renames_a_list": (manifest(more=", renamed=['a']"), "validate", "ValueError"),
    "manifest_raises": (
        "class Sly(zoo.Manifest):\n"
        "    def __getattribute__(self, name):\n"
        "        if name == 'models': raise OSError('not today')\n"
        "        return super().__getattribute__(name)\n"
        "@zoo.hookimpl\ndef zoo_manifest():\n    return Sly(api_version=1)",
        "validate",
        "not today",
    ),
    "spec_raises": (
        "class Sly(zoo.ModelSpec):\n    @property\n    def parameters(self): raise OSError('not today')\n"
        + manifest(f"[{spec('of_subclass').replace('zoo.ModelSpec', 'Sly')}]"),
        "ready",
        "",
    ),
    "params_as_text": (manifest(f"[{spec('big', 'num_params=' + repr('25M'))}]"), "validate", "num_params is '25M'"),
    "flat_metrics": (
        WEIGHTS.format("metrics={'acc@1': 80.0}") + manifest(f"[{spec('flat', 'weights=W')}]"),
        "validate",
        "{data set: {metric: number}}",
    ),
    "same_weights_twice": (
        "class W(zoo.WeightsEnum):\n    A = zoo.Weights(url='a')\n    A = zoo.Weights(url='b')",
        "import",
        "W.A is defined twice",
    ),
    "two_enums_of_a_name": (
        "def enum(u): return zoo.WeightsEnum('W', {'A': zoo.Weights(url=u)})\n"
        + manifest(f"[{spec('one', 'weights=enum(1 * chr(97))')}, {spec('two', 'weights=enum(2 * chr(97))')}]"),
        "validate",
        "two: another enum of its weights is called W",
    ),
    "task_without_steps": (
        manifest(more=", tasks=[zoo.TaskSpec('t', 'invalid')]"),
        "validate",
        "implementation 'invalid' is not of the form",
    ),
    "lying_module": (
        "def __dir__(): raise OSError('nothing to see here')\n" + manifest(),
        "register",
        "nothing to see here",
    ),
    "unspeakable": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "import",
        "whose message cannot be shown",
    ),
    "asks_while_asked": ("zoo.list_models()", "import", "used while plugins are being listed"),
    "loses_the_path": ("import sys; sys.path.clear()\n" + manifest(f"[{spec('of_path')}]"), "ready", "sys.path"),
    "replaces_the_path": ("import sys; sys.path = None\n" + manifest(f"[{spec('of_none')}]"), "ready", "sys.path"),
    "silences_all": ("import warnings; warnings.simplefilter('ignore')\n" + manifest(), "ready", ""),
    "recursive": ("def f(): f()\nf()", "import", "RecursionError"),
    "async_hook": ("@zoo.hookimpl\nasync def zoo_manifest(): ...", "validate", "returned coroutine"),
    "local": (manifest(), "scan", "reserved for the models of a session"),
    "builders_missing": (manifest(f"[{spec('of_nowhere')}]"), "ready", ""),
}  # fmt: skip
RECORDS = """
import json, sys, threading
path = list(sys.path)
import zoo
barrier, found = threading.Barrier(8), []
def ask():
    barrier.wait()
    found.append((zoo.list_models(), zoo.list_models(max_params=1e6, task="image-classification")))
threads = [threading.Thread(target=ask) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert len(found) == 8 and all(f == found[0] for f in found), found
assert sys.path == path
print(json.dumps({
    "names": found[0][0],
    "records": {r.name: [r.state, r.stage, f"{type(r.error).__name__}: {r.error}", r.complaint] for r in zoo.plugins()},
}))
"""


def test_strange_plugins_are_set_aside_and_their_neighbours_are_all_there(plugin_folder):
    for name, (source, _, _) in STRANGE.items():
        plugin_folder.install(name, source)
    plugin_folder.install_models("zz_last", "net_of_the_last")
    result = run("-W", "always", "-c", RECORDS, path=plugin_folder.path)
    found = json.loads(result.stdout)
    records = found["records"]
    for name, (_, stage, said) in STRANGE.items():
        state, reached, error, complaint = records[name]
        if stage == "ready":
            assert state == "ready", (name, error)
            assert said in complaint
        else:
            assert (state, reached) == ("failed", stage), (name, error)
            assert said in error, (name, error)
            assert result.stderr.count(f"Plugin '{name}' ") == 1, name
    assert {"of_generator", "of_none", "of_subclass", "of_path", "net_of_the_last"} <= set(found["names"])
    assert "resnet50" in found["names"]
    assert max(map(len, result.stderr.splitlines())) < 1000


BROKEN_FINDER = """
import sys, warnings
class Finder:
    def find_spec(self, name, path, target=None): return None
    def find_distributions(self, context): raise OSError("the network drive is gone")
sys.meta_path.insert(0, Finder())
sys.path[:0] = ["/no/such/folder", sys.argv[1]]
import zoo
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert "resnet50" in zoo.list_models()
said = str(caught[0].message)
assert "Plugin 'Finder' failed at stage 'scan' and is not used: OSError: the network drive is gone" in said
assert len(caught) == 1, caught
"""


def test_what_else_is_broken_on_the_path_hurts_nobody(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    run("-c", BROKEN_FINDER, str(tmp_path / "broken.zip"), path=tmp_path)


def test_a_builder_that_is_not_there_is_found_by_the_doctor(plugin_folder):
    (plugin_folder.path / "nets.py").write_text("def there(): ...\n")
    models = ", ".join(
        f"zoo.ModelSpec({name!r}, {builder!r}, task='t')"
        for name, builder in [("a", "nets:there"), ("b", "nets:their"), ("c", "nests:there"), ("d", "nets.sub:there")]
    )
    plugin_folder.install("acme", manifest(f"[{models}]"))
    doctor = run("-m", "zoo", "doctor", "--json", path=plugin_folder.path, ZOO_PLUGINS="acme")
    [acme] = [p for p in json.loads(doctor.stdout)["plugins"] if p["name"] == "acme"]
    assert (acme["state"], acme["stage"], acme["models"]) == ("ready", "build", 4)
    assert acme["complaint"] == (
        "b's builder their is not in nets; c's builder is in nests, which does not exist; "
        "d's builder is in nets.sub, which does not exist"
    )


def test_the_doctor_has_nothing_to_say_of_our_own_builders():
    from zoo.registry import discovery

    for record in discovery.Plugins().records:
        discovery.check_builders(record)
        assert not record.complaint, record.complaint


@pytest.mark.parametrize("source", ["import sys; sys.exit(2)", "net = 'no function'", "raise RuntimeError('broken')"])
def test_a_builder_that_cannot_be_loaded_leaves_the_program_and_the_plugin(plugin_folder, source):
    (plugin_folder.path / "nets.py").write_text(source)
    plugin_folder.install("acme", manifest(f"[{spec('acme_net')}]"))
    zoo.refresh()
    with pytest.raises(zoo.errors.PluginError, match="The builder of 'acme/acme_net', 'nets:net', cannot be loaded"):
        zoo.get_model("acme_net")
    [record] = [r for r in zoo.plugins() if r.name == "acme"]
    assert (record.state, record.stage) == ("ready", "build")
    assert "cannot be loaded" in record.complaint
    assert "acme_net" in zoo.list_models()


# ── names that several claim ─────────────────────────────────────────────────────────────────────────────────────


def weights_plugin(enum: str, model: str) -> str:
    source = f"class {enum}(zoo.WeightsEnum):\n    V1 = zoo.Weights(url='https://example.org/{model}.pth')\n"
    return source + manifest(f"[{spec(model, f'weights={enum}')}]")


def test_weights_of_one_name_are_told_apart_by_their_plugins(plugin_folder):
    plugin_folder.install("acme", weights_plugin("Net_Weights", "a"))
    plugin_folder.install("zeta", weights_plugin("Net_Weights", "z"))
    plugin_folder.install("yoyo", weights_plugin("ResNet50_Weights", "y"))
    zoo.refresh()
    with pytest.raises(UnknownWeights, match=r"'acme/Net_Weights.V1' and 'zeta/Net_Weights.V1'"):
        zoo.get_weight("Net_Weights.V1")
    assert zoo.get_weight("acme/Net_Weights.V1").url.endswith("/a.pth")
    assert zoo.get_weight("zeta/Net_Weights.V1").url.endswith("/z.pth")
    assert zoo.get_weight("ResNet50_Weights.IMAGENET1K_V1") is zoo.get_model_weights("resnet50").IMAGENET1K_V1
    assert zoo.get_weight("classification/ResNet50_Weights.DEFAULT") is zoo.get_model_weights("resnet50").DEFAULT
    assert zoo.get_weight("yoyo/ResNet50_Weights.V1").url.endswith("/y.pth")
    assert conflicts() == {
        "Net_Weights": (("acme/Net_Weights", "zeta/Net_Weights"), None),
        "ResNet50_Weights": (
            ("classification/ResNet50_Weights", "yoyo/ResNet50_Weights"),
            "classification/ResNet50_Weights",
        ),
    }


def conflicts() -> dict[str, tuple[tuple[str, ...], str | None]]:
    from zoo import registry

    return {c.name: (c.claims, c.owner) for c in registry.name_conflicts(registry.registry())}


def task(name: str, task: str) -> str:
    return f"zoo.TaskSpec({name!r}, 't:{task}')"


def test_a_task_that_several_bring_is_each_ones_own(plugin_folder):
    for plugin in ("acme", "zeta"):
        tasks = f"[{task('depth-estimation', plugin)}, {task('image-classification', plugin)}]"
        plugin_folder.install(plugin, manifest(more=f", tasks={tasks}"))
    zoo.refresh()
    with pytest.raises(UnknownTask, match="'acme/depth-estimation' and 'zeta/depth-estimation'"):
        zoo.get_task("depth-estimation")
    assert zoo.get_task("zeta/depth-estimation").implementation == "t:zeta"
    assert zoo.get_task("depth-estimation", plugin="acme").implementation == "t:acme"
    assert zoo.get_task("image-classification").implementation == "zoo_classification.task:ClassificationTask"
    assert zoo.get_task("image-classification", plugin="acme").implementation == "t:acme"
    with pytest.raises(UnknownTask, match="Did you mean 'acme/depth-estimation'"):
        zoo.get_task("acne/depth-estimation")
    claims = conflicts()
    assert claims["depth-estimation"] == (("acme/depth-estimation", "zeta/depth-estimation"), None)
    assert claims["image-classification"][1] == "classification/image-classification"


def renaming(model: str, old: str) -> str:
    return manifest(f"[{spec(model)}]", f", renamed={{{old!r}: {model!r}}}")


def test_an_old_name_that_another_plugin_has_now_or_had_too(plugin_folder, monkeypatch):
    plugin_folder.install("acme", renaming("new_acme", "shared_old"))
    plugin_folder.install("zeta", renaming("new_zeta", "shared_old"))
    plugin_folder.install("yoyo", renaming("new_yoyo", "net"))
    plugin_folder.install_models("wave", "net")
    zoo.refresh()
    with pytest.raises(AmbiguousModel, match="'acme/new_acme' and 'zeta/new_zeta'"):
        zoo.model_info("shared_old")
    with pytest.warns(DeprecationWarning, match="'zeta/shared_old' is called 'new_zeta' now"):
        assert zoo.model_info("zeta/shared_old").name == "new_zeta"
    assert zoo.model_info("net").full_name == "wave/net"  # a current name takes precedence over a former one
    assert conflicts()["net"] == (("wave/net", "yoyo/new_yoyo"), "wave/net")
    # A former name of our model stays reserved, even if another plugin uses it later.
    [yoyo] = [r for r in zoo.plugins() if r.name == "yoyo"]
    monkeypatch.setattr(type(yoyo), "first_party", property(lambda self: self.name in ("classification", "yoyo")))
    with pytest.warns(DeprecationWarning, match="'net' is called 'new_yoyo' now"):
        assert zoo.model_info("net").full_name == "yoyo/new_yoyo"
    assert "wave/net" in zoo.list_models()
    assert "net" not in zoo.list_models()


# ── a wheel with its own task, scheme and weights ────────────────────────────────────────────────────────────────

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "zoo-dots"
version = "2.1"
dependencies = ["zoo-core"]

[project.entry-points."zoo.plugins"]
dots = "zoo_dots.plugin"

[tool.hatch.build.targets.wheel]
packages = ["zoo_dots"]
"""
DOTS = {
    "pyproject.toml": PYPROJECT,
    "zoo_dots/__init__.py": "",
    "zoo_dots/plugin.py": """
        from pathlib import Path
        import os
        import zoo
        from zoo_dots.weights import Counter_Weights

        @zoo.hookimpl
        def zoo_manifest():
            task = zoo.TaskSpec(
                "dot-counting", "zoo_dots.task:DotTask", suffixes=(".dots",), required=("num_params",),
                metrics=(zoo.Metric("off by", "Off by", higher_is_better=False),),
            )
            counter = zoo.ModelSpec("counter", "zoo_dots.net:counter", task="dot-counting", weights=Counter_Weights)
            return zoo.Manifest(api_version=1, models=[counter], tasks=[task])

        @zoo.hookimpl
        def zoo_open_weights(url):
            if url.startswith("vault://"):
                return Path(os.environ["VAULT"]) / url.removeprefix("vault://")
    """,
    "zoo_dots/weights.py": """
        from zoo import Weights, WeightsEnum

        class Counter_Weights(WeightsEnum):
            IN_WHEEL = Weights(url="pkg://zoo_dots/counter.pth", num_params=2, metrics={"Dots": {"off by": 0.5}})
            IN_VAULT = Weights(url="vault://double.pth", num_params=2, metrics={"Dots": {"off by": 7.0}})
            DEFAULT = IN_WHEEL
    """,
    "zoo_dots/net.py": """
        import torch, zoo
        from zoo_dots.weights import Counter_Weights

        class Counter(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.dot = torch.nn.Conv2d(1, 1, 1)

            def forward(self, x):
                return self.dot(x).sum((-3, -2, -1))

        @zoo.builder(Counter_Weights)
        def counter(**kwargs):
            return Counter(**kwargs)
    """,
    "zoo_dots/task.py": """
        from dataclasses import dataclass
        from pathlib import Path
        import torch
        import zoo
        from zoo.errors import UnreadableFile

        @dataclass
        class Count(zoo.Result):
            dots: int
            def lines(self, k=5): return [f"{self.dots} dots"]
            def to_dict(self, k=5): return {"dots": self.dots}

        class DotTask(zoo.PictureTask):
            def load(self, source):
                text = Path(source).read_text()
                if set(text) - set("# \\n"):
                    raise UnreadableFile(f"{source} has more in it than dots.")
                return text

            def transform(self, weights):
                return lambda text: torch.tensor([[[float(c == "#") for c in text]]])

            def collate(self, prepared):
                size = max(p.shape[-1] for p in prepared)
                return (torch.stack([torch.nn.functional.pad(p, (0, size - p.shape[-1])) for p in prepared]),)

            def decode(self, outputs, inputs, weights):
                return [Count(round(x)) for x in outputs.tolist()]
    """,
}  # fmt: skip


@pytest.fixture(scope="module")
def dots_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a plugin, built as an author builds it."""
    folder = tmp_path_factory.mktemp("dots")
    for name, text in DOTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    torch.save({"dot.weight": torch.ones(1, 1, 1, 1), "dot.bias": torch.zeros(1)}, folder / "zoo_dots/counter.pth")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(command, cwd=folder, check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a virtual environment that can import all installed packages."""
    venv.create(tmp_path / "venv")
    site = next(tmp_path.glob("venv/lib/python*/site-packages"))
    (site / "here.pth").write_text(f"import site; site.addsitedir({str(Path(torch.__file__).parents[1])!r})\n")
    return tmp_path / "venv" / "bin" / "python"


FOLLOW = """
import subprocess, sys, zoo
pip, wheel = [sys.executable, "-m", "pip"], sys.argv[1]
assert "counter" not in zoo.list_models()
subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
assert "counter" not in zoo.list_models()  # until it is looked for
zoo.refresh()
assert zoo.list_models(task="dot-counting") == ["counter"]
info = zoo.model_info("counter")
assert (info.distribution, info.version, info.plugin) == ("zoo-dots", "2.1", "dots")
subprocess.run([*pip, "uninstall", "--quiet", "--yes", "zoo-dots"], check=True)
zoo.refresh()
assert "counter" not in zoo.list_models()
assert "torch" not in sys.modules
"""


def test_a_running_program_follows_pip(python, dots_wheel):
    run("-c", FOLLOW, dots_wheel, python=python)


PIPELINE = """
import zoo
from zoo.cli import main
count = zoo.pipeline("counter", device="cpu")
assert [r.dots for r in count(["a.dots", "b.dots"])] == [3, 4]
assert zoo.pipeline("counter", "IN_VAULT", device="cpu")("a.dots").dots == 6
assert zoo.pipeline("counter", "vault://double.pth", device="cpu")("b.dots").dots == 8
assert main(["predict", "a.dots", "b.dots", "--model", "counter", "--weights", "IN_VAULT", "--device", "cpu"]) == 0
assert main(["pull", "Counter_Weights.IN_VAULT"]) == 0
assert main(["list", "--task", "dot-counting"]) == 0
"""


def test_a_task_and_a_scheme_of_a_plugin_work_everywhere(python, dots_wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", dots_wheel, python=python)
    (tmp_path / "a.dots").write_text("# #\n #\n")
    (tmp_path / "b.dots").write_text("####\n")
    (tmp_path / "c.dots").write_text("no dots")
    torch.save({"dot.weight": torch.full((1, 1, 1, 1), 2.0), "dot.bias": torch.zeros(1)}, tmp_path / "double.pth")
    shown = run("-c", PIPELINE, python=python, VAULT=str(tmp_path)).stdout
    assert "6 dots" in shown
    assert "8 dots" in shown
    *_, head, counter = shown.splitlines()
    assert head.split() == ["Name", "Task", "Params", "GFLOPs", "Off", "by"]
    assert counter.split() == ["counter", "dot-counting", "2", "-", "0.5"]

    command = ["-m", "zoo", "predict", "--model", "counter", "--device", "cpu", "--json", "."]
    predicted = run(*command, python=python, check=False)
    a, b, c = json.loads(predicted.stdout)
    assert (a["dots"], b["dots"]) == (3, 4)
    assert "more in it than dots" in c["error"]
    assert predicted.returncode == 1
