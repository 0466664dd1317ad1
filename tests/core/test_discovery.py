"""Plugins that are broken in every way, as real distributions on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest

import zoo
from zoo.errors import MissingPlugin, PluginError, UnknownModel

GOOD = """
@zoo.hookimpl
def zoo_manifest():
    return zoo.Manifest(api_version=1, models=[zoo.ModelSpec("acme_net", "acme:net", task="image-classification")])
"""
BROKEN = {
    "raises on import": ("raise OSError('no licence file')", "import", "no licence file"),
    "exits on import": ("import sys; sys.exit(3)", "import", "SystemExit: 3"),
    "needs what is not there": ("import not_installed_anywhere", "import", "not_installed_anywhere"),
    "has a syntax error": ("def (:", "import", "SyntaxError"),
    "raises in its hook": (
        "@zoo.hookimpl\ndef zoo_manifest():\n    raise KeyError('x')", "manifest", "KeyError",
    ),
    "exits in its hook": (
        "@zoo.hookimpl\ndef zoo_manifest():\n    raise SystemExit", "manifest", "SystemExit",
    ),
    "returns nonsense": (
        "@zoo.hookimpl\ndef zoo_manifest():\n    return ['resnet50']", "validate", "returned list",
    ),
    "needs a newer core": (
        "@zoo.hookimpl\ndef zoo_manifest():\n    return zoo.Manifest(api_version=99)", "validate", "newer zoo-core",
    ),
    "has a hook of the wrong signature": (
        "@zoo.hookimpl\ndef zoo_manifest(registry):\n    return None", "register", "registry",
    ),
    "has a hook that does not exist": (
        "@zoo.hookimpl\ndef zoo_manifset():\n    return None", "register", "Did you mean 'zoo_manifest'",
    ),
    "has no hook": ("x = 1", "register", r"no @zoo.hookimpl function zoo_manifest"),
}  # fmt: skip


def record(name: str) -> zoo.PluginRecord:
    return next(r for r in zoo.plugins() if r.name == name)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_is_set_aside_and_everything_else_is_there(plugin_folder, how):
    source, stage, reason = BROKEN[how]
    plugin_folder.install("acme", GOOD)
    before = zoo.refresh() or zoo.list_models()
    plugin_folder.install("broken", source)
    zoo.refresh()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert zoo.list_models() == before
        zoo.list_models()
    ours = [w for w in caught if issubclass(w.category, zoo.PluginWarning)]
    assert len(ours) == 1
    message = str(ours[0].message)
    assert f"Plugin 'broken' (zoo-broken 1.0) failed at stage {stage!r} and is not used" in message
    assert "ZOO_DISABLE_PLUGINS=broken" in message
    failed = record("broken")
    assert (failed.state, failed.stage) == ("failed", stage)
    assert reason in f"{type(failed.error).__name__}: {failed.error}"
    assert failed.traceback


@pytest.mark.usefixtures("quiet_plugins")
def test_asking_for_a_failed_plugins_model_carries_its_error(plugin_folder):
    plugin_folder.install("broken", "raise OSError('no licence file')")
    zoo.refresh()
    with pytest.raises(PluginError, match="no licence file") as caught:
        zoo.get_model("broken/net")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(UnknownModel, match=r"plugin that failed \(broken\)") as unknown:
        zoo.get_model("net_of_unknown_origin")
    assert isinstance(unknown.value.__cause__, OSError)


def test_a_program_that_makes_warnings_errors_finds_the_registry_complete(plugin_folder):
    plugin_folder.install("broken", "raise OSError('no licence file')")
    zoo.refresh()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(zoo.PluginWarning):
            zoo.list_models()
        assert "resnet50" in zoo.list_models()


def test_strict_mode_raises_at_once(plugin_folder, monkeypatch):
    plugin_folder.install("broken", "raise OSError('no licence file')")
    monkeypatch.setenv("ZOO_STRICT", "1")
    zoo.refresh()
    with pytest.raises(PluginError, match="no licence file"):
        zoo.list_models()


def test_plugins_can_be_chosen_and_disabled(plugin_folder, monkeypatch):
    plugin_folder.install("acme", GOOD)
    plugin_folder.install("broken", "raise OSError")
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "broken")
    zoo.refresh()
    assert "acme_net" in zoo.list_models()
    assert record("broken").state == "disabled"
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    zoo.refresh()
    assert zoo.list_models() == ["acme_net"]
    assert record("classification").state == "disabled"


def test_installing_and_removing_is_followed(plugin_folder):
    import shutil

    assert "acme_net" not in zoo.list_models()
    plugin_folder.install("acme", GOOD)
    zoo.refresh()
    assert "acme_net" in zoo.list_models()
    shutil.rmtree(next(plugin_folder.path.glob("*.dist-info")))
    zoo.refresh()
    assert "acme_net" not in zoo.list_models()


@pytest.mark.usefixtures("quiet_plugins")
def test_two_plugins_of_one_name_the_second_is_set_aside(plugin_folder):
    plugin_folder.install_models("acme", "a_net", distribution="acme-one")
    plugin_folder.install_models("acme", "b_net", distribution="acme-two")
    plugin_folder.install_models("classification", "c_net", distribution="impostor")
    zoo.refresh()
    names = zoo.list_models()
    assert "a_net" in names
    assert "resnet50" in names
    assert "b_net" not in names
    assert "c_net" not in names
    reasons = {r.distribution: str(r.error) for r in zoo.plugins() if r.state == "failed"}
    assert "acme-one already has a plugin of this name" in reasons["acme-two"]
    assert "zoo-classification already has a plugin of this name" in reasons["impostor"]


def test_a_broken_installation_on_the_path_hurts_nobody(plugin_folder):
    (plugin_folder.path / "ghost-1.0.dist-info").mkdir()
    (plugin_folder.path / "ghost-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts\nx = y")
    (plugin_folder.path / "empty-1.0.dist-info").mkdir()
    nameless = plugin_folder.path / "nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "entry_points.txt").write_text("[zoo.plugins]\nnameless = nowhere\n")
    zoo.refresh()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "resnet50" in zoo.list_models()
        assert any(r.state == "failed" for r in zoo.plugins() if "nameless" in r.name)


SLOW_OR_HEAVY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import zoo
print(json.dumps({r.name: [r.state, r.complaint] for r in zoo.plugins()}))
"""


def test_a_plugin_that_is_slow_or_imports_torch_works_and_is_told(plugin_folder):
    plugin_folder.install("heavy", "import torch\n" + GOOD)
    plugin_folder.install("slow", "import time; time.sleep(1.2)\n" + GOOD.replace("acme_net", "slow_net"))
    out = subprocess.run(
        [sys.executable, "-c", SLOW_OR_HEAVY],
        env={**os.environ, "PYTHONPATH": str(plugin_folder.path)},
        check=True,
        capture_output=True,
    ).stdout
    found = json.loads(out)
    assert found["heavy"][0] == found["slow"][0] == "ready"
    assert "imports torch" in found["heavy"][1]
    assert "takes 1." in found["slow"][1]


def test_a_scheme_of_a_plugin(plugin_folder, tmp_path):
    import torch

    from zoo import loading
    from zoo.errors import DownloadError

    torch.save({"w": torch.ones(2)}, tmp_path / "net.pth")
    plugin_folder.install(
        "refuses", GOOD.replace("acme_net", "r") + "\n@zoo.hookimpl\ndef zoo_open_weights(url):\n    return None"
    )
    plugin_folder.install(
        "vault",
        GOOD
        + f"""
@zoo.hookimpl
def zoo_open_weights(url, progress):
    if url.startswith("vault://"):
        if url.endswith("secret"):
            raise PermissionError("not yours")
        return {str(tmp_path / "net.pth")!r}
""",
    )
    zoo.refresh()
    assert loading.read_checkpoint("vault://net")["w"].tolist() == [1, 1]
    with pytest.raises(PluginError, match="'vault' failed to open vault://secret: PermissionError: not yours"):
        loading.read_checkpoint("vault://secret")
    with pytest.raises(DownloadError, match="unknown://"):
        loading.read_checkpoint("unknown://net")


def test_a_missing_plugin_says_what_to_install(without_flow):
    with pytest.raises(MissingPlugin, match="pip install zoo-optical-flow"):
        from zoo.models.optical_flow import raft_large  # noqa: F401
    with pytest.raises(UnknownModel, match="pip install zoo-optical-flow"):
        zoo.get_model("raft_large")
