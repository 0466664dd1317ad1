"""``zoo catalogue build``: content of the pages and catalogue.json, without a browser; tests/site uses one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from generated_catalogue import generated_facts

import zoo
from zoo import registry
from zoo.errors import InvalidArgument
from zoo_tools.catalogue import build_catalogue, collect, schema
from zoo_tools.catalogue.collecting import Paths
from zoo_tools.catalogue.rows import table_rows
from zoo_tools.catalogue.speeds import read_speeds
from zoo_tools.catalogue.words import embedded, is_link, places, short

ROOT = Path(__file__).parents[2]
Run = Callable[..., SimpleNamespace]
VOID = {"img", "meta", "link", "input", "br", "wbr", "line", "path", "circle", "rect"}


class Page(HTMLParser):
    """Parsed content of a page: elements with attributes, texts of links, ids, and unclosed elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.data = ""
        self.text = ""
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data += data
        else:
            self.text += data

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of the installed models."""
    return build_catalogue(tmp_path_factory.mktemp("catalogue") / "site", measurements=ROOT / "measurements").directory


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[str, Page]:
    return {path.relative_to(built).as_posix(): Page(path) for path in sorted(built.rglob("*.html"))}


def test_it_is_built_without_torch_by_the_command(tmp_path: Path) -> None:
    program = """
import sys
from zoo.cli import main
status = main(["catalogue", "build", sys.argv[1], "--measurements", sys.argv[2]])
print("torch" in sys.modules, "PIL" in sys.modules, status)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site"), str(ROOT / "measurements")],
        capture_output=True,
        text=True,
        check=True,
    )
    first, last = done.stdout.splitlines()
    assert last == "False False 0", done.stderr
    assert re.fullmatch(r".*index\.html: \d+ models, \d+ weights, \d+ pages in [\d.]+ s", first)
    assert (tmp_path / "site/models/classification/resnet50.html").is_file()


def test_catalogue_json_follows_its_schema(built: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert json.loads((built / "catalogue.schema.json").read_text()) == schema()
    check = jsonschema.Draft202012Validator(schema())
    check.check_schema(schema())
    facts = json.loads((built / "catalogue.json").read_text())
    assert [f"{e.json_path}: {e.message}" for e in check.iter_errors(facts)] == []
    assert list(check.iter_errors(generated_facts(3))) == []
    facts["models"][0]["weights"] = [{"name": 3}]
    assert list(check.iter_errors(facts)), "a schema that accepts anything is useless"


def test_catalogue_json_says_what_the_registry_says(built: Path) -> None:
    facts = json.loads((built / "catalogue.json").read_text())
    models = {model["full_name"]: model for model in facts["models"]}
    assert set(models) == {entry.full_name for entry in registry.registry().entries.values()}
    resnet = models["classification/resnet50"]
    info = zoo.model_info("resnet50")
    assert resnet["num_params"] == info.num_params == 25_557_032
    assert [w["tag"] for w in resnet["weights"]] == ["IMAGENET1K_V1", "IMAGENET1K_V2"]
    assert [w["default"] for w in resnet["weights"]] == [False, True]
    assert resnet["weights"][1]["metrics"] == {"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}
    assert resnet["weights"][1]["preprocessing"].startswith("resize the shorter side to 232")
    assert resnet["weights"][1]["categories"]["count"] == 1000
    assert resnet["paper"]["url"].startswith("https://arxiv.org/")
    assert "`" not in resnet["paper"]["title"]
    cells = models["classification/resnet18"]["capabilities"]["cells"]
    assert cells == registry.capabilities("resnet18")["cells"]
    assert resnet["capabilities"] == (dict(registry.capabilities("resnet50")) or None)


def test_every_weights_entry_is_a_row_of_html(pages: dict[str, Page]) -> None:
    rows = [attributes for attributes in pages["index.html"].all("tr") if "data-i" in attributes]
    entries = [f"{m['name']}.{w['tag']}" for m in collect()["models"] for w in m["weights"]]
    assert sorted(row["data-i"] for row in rows) == sorted(entries)
    assert len(rows) > 150
    text = pages["index.html"].text
    assert "80.858" in text
    assert "BSD-3-Clause" in text


def test_every_link_of_a_page_leads_somewhere(pages: dict[str, Page], built: Path) -> None:
    checked = 0
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), f"{name} has a duplicate id"
        for attributes in page.all("a", "link", "script", "img", "form"):
            link = next((attributes[key] for key in ("href", "src", "action") if key in attributes), None)
            if link is None or urlsplit(link).scheme:
                continue
            path, fragment = unquote(urlsplit(link).path), urlsplit(link).fragment
            target = ((built / name).parent / path).resolve() if path else built / name
            assert target.is_file(), f"{name} links to {link}"
            if fragment:
                assert fragment in pages[target.relative_to(built).as_posix()].ids, f"{name} links to {link}"
            checked += 1
    assert checked > 2000


def test_pages_are_well_formed_and_fetch_and_run_nothing_of_others(pages: dict[str, Page], built: Path) -> None:
    for name, page in pages.items():
        assert page.open == [], f"{name}: not closed"
        _check_harmless(name, page)
        policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    for style in built.glob("static/*.css"):
        assert "http" not in style.read_text()
        assert "@import" not in style.read_text()


def _check_harmless(name: str, page: Page) -> None:
    """Scripts are the catalogue's own files, or data; no attribute is code; all loaded files belong to the pages."""
    for tag, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], f"{name}: {tag} {attributes}"
        loaded = attributes.get("src", "") if tag != "link" else attributes["href"]
        assert not urlsplit(loaded).scheme, f"{name} fetches {loaded}"
        if tag == "script" and "src" not in attributes:
            assert attributes["type"] == "application/json", name
        if tag == "script" and "src" in attributes:
            assert re.fullmatch(r"(\.\./)*static/[\w.]+\.js", attributes["src"]), name
        assert tag not in ("iframe", "object", "embed", "base", "style"), name
        assert urlsplit(attributes.get("href", "")).scheme in ("", "http", "https"), f"{name}: {attributes}"


HOSTILE = """
from zoo import Command, Manifest, Metric, ModelSpec, Option, Preset, TaskSpec, Weights, WeightsEnum

X = (
    "</script><script src=//evil.example/x.js></script><img src=x onerror=alert(1)>"
    "\\"'><svg onload=alert(1)>{{7*7}}\\x1b[31m\\u202e"
)


class Evil_Weights(WeightsEnum):
    A = Weights(
        url="https://evil.example/" + X,
        num_params=5,
        metrics={X: {"acc@1": 99.0, X: 1.0, "nan": float("nan")}},
        categories=(X, X),
        recipe="javascript:alert(1)",
        license=X,
        docs=X,
        extra={"license_source": "data:text/html," + X, "paper": "javascript:alert(1)", "runtime": {X: X}},
        config={X: X},
        transforms=Preset("zoo.transforms:ImageClassification", {"crop_size": 32, "interpolation": X}),
        sha256=X,
        gflops=float("inf"),
    )
    DEFAULT = A


class Odd_Weights(WeightsEnum):
    B = Weights(url="https://evil.example/b", categories="pkg://nowhere/labels.txt")


@zoo.hookimpl
def zoo_manifest():
    both = ("image-classification", "evil-task")
    task = TaskSpec(
        "evil-task", "nowhere:Task", metrics=(Metric(X, X),), options=(Option("evil", str, X, X),), suffixes=(".x" + X,)
    )
    return Manifest(
        api_version=1,
        models=[
            ModelSpec("evil", "nowhere:evil", task=both, weights=Evil_Weights, family=X, paper=X, input={X: X}),
            ModelSpec("odd", "nowhere:odd", task="image-classification", weights=Odd_Weights),
        ],
        tasks=[task],
        commands=[Command("evil", "nowhere:evil", X)],
        notes=[X],
    )
"""


def test_what_a_hostile_plugin_says_is_text(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.install("evil", HOSTILE)
    zoo.refresh()
    told: list[str] = []
    site = build_catalogue(tmp_path / "out", told=told.append).directory
    assert [text.split(":")[0] for text in told] == ["evil/odd is left out"], (
        "only models that cannot be read are reported"
    )
    found = {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}
    for name in ("models/evil/evil.html", "plugins/evil.html", "tasks/evil-task.html"):
        assert "<svg onload=alert(1)>" in found[name].text, f"{name} contains it as text"
        assert "{{7*7}}" in found[name].text
        assert "\x1b" not in found[name].text
        assert "\u202e" not in found[name].text
    for name, page in found.items():
        _check_harmless(name, page)
        if page.data:
            json.loads(page.data)
    evil = next(m for m in json.loads((site / "catalogue.json").read_text())["models"] if m["name"] == "evil")
    assert evil["weights"][0]["gflops"] is None
    assert evil["weights"][0]["metrics"][next(iter(evil["weights"][0]["metrics"]))]["nan"] is None


def test_a_plugin_that_is_set_aside_is_named_as_such(plugin_folder: Any, tmp_path: Path, quiet_plugins: None) -> None:
    plugin_folder.install("broken", "raise RuntimeError('secret path /home/me')")
    zoo.refresh()
    site = build_catalogue(tmp_path / "out").directory
    page = Page(site / "plugins/broken.html")
    assert "set aside" in page.text
    assert "/home/me" not in (site / "catalogue.json").read_text()
    assert "resnet50" in (site / "index.html").read_text()


def test_names_of_pages_are_safe_and_their_own() -> None:
    paths = Paths()
    taken = [
        paths.take("models", *parts)
        for parts in (("a", "Net"), ("a", "net"), ("../..", "x/y"), ("..", ".hidden"), ("é", ""))
    ]
    assert taken == [
        "models/a/Net.html",
        "models/a/net-2.html",
        "models/x/x-y.html",
        "models/x/hidden.html",
        "models/x/x.html",
    ]


def test_figures_on_other_data_are_not_ranked_among_the_rest() -> None:
    rows = [row for row in table_rows(collect()) if row["task"]["name"] == "image-classification"]
    digits = next(row for row in rows if row["weights"]["tag"] == "DIGITS_V1")
    assert digits["metrics"][0]["value"] > 95
    assert not digits["metrics"][0]["compares"]
    ranked = [row["metrics"][0]["value"] for row in rows if row["metrics"][0]["compares"]]
    assert ranked == sorted(ranked, reverse=True)
    assert rows.index(digits) >= len(ranked)


def test_numbers_and_links() -> None:
    assert [short(x) for x in (None, 0, 0.0583, 4.089, 7.8, 97.781, 1016.7)] == [
        "–",
        "0",
        "0.0583",
        "4.09",
        "7.8",
        "97.8",
        "1,017",
    ]
    assert (places([80.858, 76.13]), places([37.0, 46.7]), places([5.0, None])) == (3, 1, 0)
    assert [is_link(x) for x in ("https://a.b/c", "javascript:alert(1)", "//a.b", "https://", "http://a b", None)] == [
        True, False, False, False, False, False,
    ]  # fmt: skip
    assert json.loads(embedded({"</script>": "<!--\u2028&"})) == {"</script>": "<!--\u2028&"}
    assert not set("<>&\u2028") & set(embedded(["</script>", "<!--\u2028&"]))


# ── speeds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _measurement(model: str, ms: float | None, **more: Any) -> dict[str, Any]:
    return {
        "model": model, "weights": None, "device": "cpu", "torch": "2.13.0+cpu", "threads": 2, "batch": 1,
        "engine": "eager", "precision": "float32", "ms": ms, "memory_mb": 500.0, "date": "2026-11-01", **more,
    }  # fmt: skip


def test_measured_times_are_on_pages_and_in_json(tmp_path: Path) -> None:
    folder = tmp_path / "measurements"
    folder.mkdir()
    rows = [
        _measurement("resnet18", 31.0),
        _measurement("classification/resnet50", 77.5),
        _measurement("resnet18", 12.0, engine="openvino"),
        _measurement("resnet18", None, engine="compile", note="no compiler"),
    ]
    machine = {"processor": "Some CPU <b>", "cores": 2}
    (folder / "a.json").write_text(json.dumps({"format": 1, "machine": machine, "measurements": rows}))
    newer = [_measurement("resnet18", 29.0, date="2026-11-20", machine=machine)]
    (folder / "b.json").write_text(json.dumps(newer))
    (folder / "other").mkdir()
    (folder / "other/cases.json").write_text(json.dumps({"format": 1, "cases": []}))
    site = build_catalogue(tmp_path / "site", measurements=folder).directory
    facts = json.loads((site / "catalogue.json").read_text())
    assert [setup["engine"] for setup in facts["setups"]] == ["eager", "openvino"]
    speeds = {m["name"]: [(s["setup"], s["ms"]) for s in m["speeds"]] for m in facts["models"] if m["speeds"]}
    assert speeds == {"resnet18": [(0, 29.0), (1, 12.0)], "resnet50": [(0, 77.5)]}, "the later date is used"
    assert (
        "Some CPU <b>, 2 threads, batch 1, openvino, float32" in Page(site / "models/classification/resnet18.html").text
    )
    row = re.search(r'<tr data-i="resnet18\.IMAGENET1K_V1".*?</tr>', (site / "index.html").read_text())
    assert row
    assert '<td class="n ms" data-v="29.0">29</td>' in row.group(0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"measurements": [{"model": "a"}]}', "no ms"),
        ('{"measurements": [{"model": "a", "ms": -1}]}', "ms=-1"),
        ('{"measurements": [{"model": "a", "ms": "fast"}]}', "ms='fast'"),
        ('{"measurements": [{"model": "a", "ms": NaN}]}', "ms=nan"),
    ],
)
def test_measurements_that_are_none_are_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        read_speeds(tmp_path)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_of_the_users_is_overwritten(tmp_path: Path, run: Run) -> None:
    site = tmp_path / "site"
    facts = generated_facts(5)
    build_catalogue(site, facts=facts)
    with pytest.raises(FileExistsError, match="--overwrite"):
        build_catalogue(site, facts=facts)
    (site / "models/made/net00009.html").write_text("of an older build")
    assert build_catalogue(site, facts=facts, overwrite=True).weights == 5
    assert not (site / "models/made/net00009.html").exists()
    (site / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        build_catalogue(site, facts=facts, overwrite=True)
    assert (site / "thesis.txt").read_text() == "mine"
    done = run("catalogue", "build", tmp_path, "--overwrite")
    assert (done.status, done.out) == (1, "")
    assert "not part of a catalogue" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_what_cannot_be_is_said_before_anything_is_built(tmp_path: Path, run: Run) -> None:
    for options, said in (
        (["--picture", "dog.jpg"], "expected NAME=FILE"),
        (["--picture", "resnet18=nowhere.jpg"], "nowhere.jpg"),
        (["--measurements", "nowhere"], "The folder 'nowhere'"),
    ):
        done = run("catalogue", "build", tmp_path / "site", *options)
        assert done.status == 1
        assert said in done.err
    photo = ROOT / "examples/images/digits/digit_3.png"
    done = run("catalogue", "build", tmp_path / "site", "--picture", f"resnet-of-18={photo}")
    assert "'resnet-of-18' is not an installed task, model or weights" in done.err
    assert list(tmp_path.iterdir()) == []


def test_pictures_and_stages_of_models_whose_weights_are_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "classification,tools")
    zoo.refresh()
    facts = collect()
    facts["models"] = [m for m in facts["models"] if m["name"] in ("squeezenet1_1", "resnet18")]
    digit = ROOT / "examples/images/digits/digit_3.png"
    site = build_catalogue(
        tmp_path / "site", facts=facts, pictures={"image-classification": [digit]}, stages=True
    ).directory
    monkeypatch.undo()
    zoo.refresh()
    models = {m["name"]: m for m in json.loads((site / "catalogue.json").read_text())["models"]}
    (picture,) = models["squeezenet1_1"]["pictures"]
    assert picture["weights"] == "DIGITS_V1"
    assert picture["lines"][0].split()[-1] == "3"
    assert (site / picture["path"]).stat().st_size > 500
    assert models["resnet18"]["pictures"] == [], "its weights are not on this machine"
    assert [(s["channels"], s["stride"]) for s in models["resnet18"]["stages"]][-1] == (512, 32)
    page = Page(site / "models/classification/squeezenet1_1.html")
    assert any(img.get("src", "").endswith(picture["path"]) for img in page.all("img"))


@pytest.mark.slow
def test_five_thousand_weights_stay_small(tmp_path: Path) -> None:
    built = build_catalogue(tmp_path / "site", facts=generated_facts(5000))
    assert (built.models, built.weights) == (5000, 5000)
    assert (built.directory / "index.html").stat().st_size < 4_000_000
    assert (built.directory / "models/made/net00000.html").stat().st_size < 20_000
