"""What tests of several parts need: an empty cache of their own, and plugins as real distributions on the path."""

from __future__ import annotations

import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.cli import main
from zoo.registry import discovery

# Files of tests that others inherit: what an assertion in them compared is shown as in a test's own file.
pytest.register_assert_rewrite("published", "small_models")

# A shell that starts us in the background has Ctrl-C ignored, here and in every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_build_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands print as at a desk: under ``CI``, which build servers set, nothing moves on terminals."""
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache, or reaches the network by accident."""
    home = tmp_path_factory.mktemp("torch_home")
    monkeypatch.setenv("TORCH_HOME", str(home))
    for variable in (
        "ZOO_OFFLINE",
        "ZOO_MIRROR",
        "ZOO_PLUGINS",
        "ZOO_DISABLE_PLUGINS",
        "ZOO_STRICT",
        "TORCH_MODEL_ZOO",
    ):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums are added up in one order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run a command in this process: ``run("list", "--json")`` → status, out, err."""

    def command(*arguments: object) -> SimpleNamespace:
        status = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return command


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, as ``ZOO_OFFLINE=1`` has it."""
    monkeypatch.setenv("ZOO_OFFLINE", "1")


@pytest.fixture(scope="session")
def examples() -> Iterator[Path]:
    """The folder ``examples``, from which modules can be imported."""
    folder = Path(__file__).parents[1] / "examples"
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


class PluginFolder:
    """A folder on ``sys.path`` in which plugins are installed as pip would: a module and a dist-info."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, name: str, source: str, *, distribution: str | None = None, version: str = "1.0") -> None:
        """Install the plugin ``name``, its module (``NAME_plugin``) made of ``source``."""
        distribution = distribution or f"zoo-{name}"
        module = f"{distribution.replace('-', '_')}_plugin"
        (self.path / f"{module}.py").write_text("import zoo\n" + textwrap.dedent(source))
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[zoo.plugins]\n{name} = {module}\n")

    def install_models(self, name: str, *models: str, **options: str) -> None:
        """Install a plugin that offers models of these names and nothing else."""
        specs = ", ".join(f"zoo.ModelSpec({m!r}, 'nowhere:{m}', task='image-classification')" for m in models)
        self.install(
            name,
            f"""
            @zoo.hookimpl
            def zoo_manifest():
                return zoo.Manifest(api_version=1, models=[{specs}])
            """,
            **options,
        )


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """An empty :class:`PluginFolder`; what is installed there is found after ``zoo.refresh()``."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    zoo.refresh()
    yield PluginFolder(folder)
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder)):
            del sys.modules[module]
    monkeypatch.undo()
    zoo.refresh()


@pytest.fixture(scope="session")
def site_without_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``PYTHONPATH`` with all that is installed here but zoo; use it with ``python -S``."""
    site = tmp_path_factory.mktemp("site")
    for package in Path(torch.__file__).parents[1].iterdir():
        if "zoo" not in package.name.lower():
            (site / package.name).symlink_to(package)
    return site


@pytest.fixture
def without_flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if zoo-optical-flow, whose models are ``raft_*``, were not installed; whether it is or not."""
    scan = discovery.scan
    monkeypatch.setattr(discovery, "scan", lambda: (record for record in scan() if record.name != "optical_flow"))
    monkeypatch.setitem(sys.modules, "zoo_optical_flow", None)
    zoo.refresh()
    yield
    monkeypatch.undo()
    zoo.refresh()


@pytest.fixture
def quiet_plugins() -> Iterator[None]:
    """Plugins may be set aside without the warning ending the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zoo.PluginWarning)
        yield


@pytest.fixture
def local_names() -> Iterator[None]:
    """Models registered in the test are forgotten after it."""
    from zoo.registry import names

    yield
    names._local.clear()
    zoo.refresh()
