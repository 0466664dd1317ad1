"""The conformance kit on a sample of timm; ``zoo verify-plugin timm --full --resume`` checks all models."""

from __future__ import annotations

import pytest

import zoo.testing

pytest.importorskip("zoo_timm.models")


class TestTimm(zoo.testing.PluginConformance):
    plugin = "timm"
    tier = "full"
    models = (
        "resnet18", "convnext_atto", "mobilenetv3_small_050", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
        "regnety_002", "efficientnet_lite0", "ghostnet_100", "edgenext_xx_small", "poolformer_s12",
    )  # fmt: skip


class TestUnusual(zoo.testing.PluginConformance):
    """Models whose stages are not submodules, or that need large pictures."""

    plugin = "timm"
    tier = "model"
    models = ("hrnet_w18_small", "twins_svt_small", "mvitv2_tiny", "inception_v3")


class TestContract(zoo.testing.PluginConformance):
    """The facts of a larger sample, without torch."""

    plugin = "timm"
    tier = "contract"
    limit = 100


def test_what_timm_does_not_allow_is_said_with_its_reason():
    report = zoo.testing.verify("timm", tier="contract", models=["gcvit_*", "vit_huge_patch1*_gap_*", "legacy_s*"])
    assert report.ok, str(report)
    skipped = [r for r in report.results if r.check == "urls" and r.outcome == "skipped"]
    assert len(skipped) >= 15
    assert {r.message for r in skipped} == {
        "excepted by the plugin: the file is not on the hub, and its name has no hash"
    }
