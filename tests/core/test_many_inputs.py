"""Many inputs: opened ahead of the model, results that open their pictures again, and an interrupted ``zoo
predict``."""

from __future__ import annotations

import contextlib
import csv
import gc
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.running.ahead import ahead
from zoo.running.records import Records, rows

EXAMPLES = Path(__file__).parents[2] / "examples/images"
DIGITS = EXAMPLES / "digits"
MODEL = ("--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--device", "cpu")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("zoo-")]


@pytest.fixture
def digits() -> zoo.Pipeline:
    return zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", optimize=False)


def many(folder: Path, count: int, size: tuple[int, int] = (64, 48)) -> list[Path]:
    """JPEG files, of which each digit has some."""
    folder.mkdir(parents=True, exist_ok=True)
    originals = []
    for i in range(10):
        originals.append(folder / f"{i:04}.jpg")
        Image.open(DIGITS / f"digit_{i}.png").convert("RGB").resize(size).save(originals[-1])
    for i in range(10, count):
        shutil.copy(originals[i % 10], folder / f"{i:04}.jpg")
    return sorted(folder.glob("*.jpg"))


# ── ahead ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("eager", [True, False])
def test_results_keep_the_order_of_the_items(workers: int, eager: bool) -> None:
    def slow(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(ahead(slow, range(40), threads=workers, limit=7, eager=eager)) == [i * i for i in range(40)]
    assert threads() == []


def test_an_error_is_raised_in_its_place_and_ends_the_threads() -> None:
    found = ahead(lambda i: 10 // (3 - i), iter(range(9)), threads=2, limit=4)
    assert [next(found) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert threads() == []


def test_no_more_is_drawn_than_the_limit_and_nothing_when_it_is_closed() -> None:
    drawn: list[int] = []
    closed: list[bool] = []

    def items() -> Iterator[int]:
        try:
            for i in range(100):
                drawn.append(i)
                yield i
        finally:
            closed.append(True)

    found = ahead(lambda i: i, items(), threads=2, limit=5)
    assert next(found) == 0
    assert len(drawn) == 5
    found.close()
    assert closed == [True]
    assert len(drawn) == 5
    assert threads() == []


def test_what_waits_is_never_heavier_than_allowed() -> None:
    began: list[int] = []

    def work(i: int) -> int:
        began.append(i)
        return i

    found = ahead(work, range(30), threads=2, limit=20, weigh=lambda i: 10.0, heaviest=35)
    for i in found:
        time.sleep(0.005)
        assert len(began) <= i + 1 + 4  # after the first, whose weight nobody knows, three at a time

    began.clear()
    light = ahead(work, range(30), threads=2, limit=20, weigh=lambda i: 1.0, heaviest=35)
    next(light)
    for _ in range(100):
        if len(began) < 20:
            time.sleep(0.01)
    assert len(began) == 20
    light.close()


def test_threads_compute_on_one_core_and_others_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(ahead(lambda _: torch.get_num_threads(), range(8), threads=2, limit=4)) == {1}
        assert torch.get_num_threads() == 2
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(before)


# ── a pipeline ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("workers", [1, 3, "auto"])
def test_workers_change_neither_results_nor_errors_nor_their_order(
    digits: zoo.Pipeline, tmp_path: Path, workers: Any
) -> None:
    files = many(tmp_path / "in", 37)
    files[5].write_bytes(files[5].read_bytes()[:300])
    files[11].write_text("no picture")
    sources = [*files[:20], Image.open(DIGITS / "digit_3.png"), tmp_path / "gone.jpg", *files[20:]]
    alone = list(digits.stream(sources, batch_size=4, workers=0))
    together = list(digits.stream(sources, batch_size=4, workers=workers))
    assert [source for source, _ in together] == sources
    for (_, a), (_, b) in zip(alone, together, strict=True):
        if isinstance(a, Exception):
            assert (type(a), str(a)) == (type(b), str(b))
        else:
            assert torch.equal(a.probabilities, b.probabilities)
    assert sum(isinstance(result, Exception) for _, result in together) == 3
    with pytest.raises(UnreadableFile, match=r"0005\.jpg"):
        digits(files, workers=workers)
    assert threads() == []


def test_who_stops_early_leaves_no_threads(digits: zoo.Pipeline, tmp_path: Path) -> None:
    files = many(tmp_path / "in", 60)
    for number, _ in enumerate(digits.stream(files, workers=2)):
        assert threads()
        if number == 9:
            break
    gc.collect()
    assert threads() == []


def test_a_mistake_of_the_task_in_a_thread_is_raised(
    digits: zoo.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = many(tmp_path / "in", 30)

    def broken(*_: Any) -> Any:
        raise RuntimeError("the plugin's own")

    for step in ("load", "decode"):
        with monkeypatch.context() as patched:
            patched.setattr(digits.steps, step, broken)
            with pytest.raises(RuntimeError, match="the plugin's own"):
                digits(files, workers=2)
        assert threads() == []


def test_what_is_not_finite_is_told_of_its_input_alone(tmp_path: Path) -> None:
    files = many(tmp_path / "in", 20)
    pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", optimize=False)
    usual = pipe.prepare
    pipe.prepare = lambda picture: usual(picture) * (float("nan") if picture.getpixel((0, 0))[0] > 250 else 1)
    Image.new("RGB", (64, 48), "white").save(files[7])
    found = [result for _, result in pipe.stream(files, workers=2)]
    assert [i for i, result in enumerate(found) if isinstance(result, zoo.errors.NonFiniteResult)] == [7]


@pytest.mark.parametrize("workers", [-1, 1.5, "two", None, True])
def test_workers_that_cannot_be(digits: zoo.Pipeline, workers: Any) -> None:
    with pytest.raises(InvalidArgument, match="workers is"):
        zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", workers=workers)
    if workers is not None:
        with pytest.raises(InvalidArgument, match="workers is"):
            digits([DIGITS / "digit_3.png"], workers=workers)


def test_results_open_their_pictures_again(digits: zoo.Pipeline, tmp_path: Path, monkeypatch: Any) -> None:
    files = many(tmp_path, 12)
    monkeypatch.chdir(tmp_path)
    results = digits([file.name for file in files], workers=2)
    monkeypatch.chdir("/")  # where the names mean nothing
    whole = zoo.io.open_image(files[3])
    image = results[3].image
    assert image._own is None  # no pixels are held
    assert isinstance(image, Image.Image)
    assert (image.size, image.mode, image.getbands()) == ((64, 48), "RGB", ("R", "G", "B"))
    assert image == whole
    assert image.tobytes() == whole.tobytes()
    assert image.resize((9, 9)) == whole.resize((9, 9))
    assert results[3].draw().tobytes() == digits(whole).draw().tobytes()
    assert image._own is None
    copy = pickle.loads(pickle.dumps(results[3]))
    assert copy.image == whole
    assert type(image.copy()) is Image.Image
    ImageDraw.Draw(image).point((0, 0), fill=(1, 2, 3))
    results[4].draw()
    assert image.getpixel((0, 0)) == (1, 2, 3)  # what was drawn on it stays
    assert results[5].image == zoo.io.open_image(files[5])


def test_a_picture_that_changed_is_not_drawn_on(digits: zoo.Pipeline, tmp_path: Path) -> None:
    files = many(tmp_path, 10)
    kept = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", keep_images=True)(files[:2])
    before = zoo.io.open_image(files[0])
    results = digits(files)
    shutil.copy(EXAMPLES / "shapes.png", files[0])
    files[1].unlink()
    for result, said in zip(results, ("has changed", "was deleted"), strict=False):
        with pytest.raises(UnreadableFile, match=rf"{said} since it was read.*keep_images=True"):
            result.draw()
    assert results[2].draw().width > 64
    assert kept[0].image == before
    assert kept[1].draw().width > 64


def test_pairs_are_opened_again_too() -> None:
    pipe = zoo.pipeline("raft_small", "SHAPES_V1", "cpu")
    frames = EXAMPLES / "flow/frame1.png", EXAMPLES / "flow/frame2.png"
    (result,) = pipe([tuple(map(str, frames))])
    assert [type(frame).__name__ for frame in result.frames] == ["ReopenedImage"] * 2
    assert [frame == zoo.io.open_image(path) for frame, path in zip(result.frames, frames, strict=True)] == [True] * 2
    assert result.draw().width


def test_upright_pictures_stay_upright(digits: zoo.Pipeline, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.radial_gradient("L").resize((640, 320)).convert("RGB").save(tmp_path / "a.jpg", exif=exif)
    fast = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", fast_decode=True)
    for pipe in (digits, fast):
        image = pipe(tmp_path / "a.jpg").image
        assert image.size == (320, 640)
        assert image == zoo.io.open_image(tmp_path / "a.jpg")


def test_fast_decoding_is_nearly_the_same_and_draws_the_whole_picture(tmp_path: Path) -> None:
    files = many(tmp_path, 10, (1280, 960))
    whole = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu")
    fast = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", fast_decode=True)
    opened: list[tuple[int, int]] = []
    usual = fast.prepare

    def noted(picture: Image.Image) -> Any:
        opened.append(picture.size)
        return usual(picture)

    fast.prepare = noted
    a, b = whole(files), fast(files)
    assert set(opened) == {(160, 120)}  # an eighth, which is no less than what it is resized to
    assert [result.label for result in a] == [result.label for result in b] == list("0123456789")
    assert max((x.probabilities - y.probabilities).abs().max() for x, y in zip(a, b, strict=True)) > 0
    assert [result.image.size for result in b] == [(1280, 960)] * 10


def test_fast_decoding_is_refused_where_places_are_found() -> None:
    with pytest.raises(InvalidArgument, match=r"fast_decode=True: the task 'object-detection' is not prepared"):
        zoo.pipeline("ssdlite320_mobilenet_v3_large", "SHAPES_V1", "cpu", fast_decode=True)


def test_memory_is_flat(tmp_path: Path) -> None:
    """160 pictures more would be 590 MB, if their results held them."""
    files = many(tmp_path, 200, (1280, 960))
    code = """
        import resource, sys, zoo
        pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", optimize=False)
        results = pipe(sys.argv[1:], workers=2)
        print(len(results), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """
    peaks = []
    for count in (40, 200):
        found, peak = fresh("-c", textwrap.dedent(code), *files[:count]).stdout.split()
        assert int(found) == count
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 50, peaks


# ── zoo predict ──────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def start(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def fresh(*arguments: object) -> subprocess.CompletedProcess[str]:
    with start(*arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["predict", *map(str, arguments), *(() if "--model" in arguments else MODEL)])
        out, err = capsys.readouterr()
        return status, out, " ".join(err.split())

    return run


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pictures(folder: Path) -> Path:
    """Two of the same name in two folders, one at the top."""
    for place, digit in (("a/x.png", 1), ("b/deep/x.png", 2), ("top.png", 3)):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DIGITS / f"digit_{digit}.png", folder / place)
    return folder


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_the_output_has_the_inputs_tree_and_the_format(predict: Any, tmp_path: Path, form: str) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    status, _, err = predict(source, "--output", out, "--format", form)
    assert (status, err) == (0, "")
    assert tree(out) == sorted(
        ["predictions.jsonl", *(f"{name}.{end}" for name in ("a/x", "b/deep/x", "top") for end in (form, "json"))]
    )
    said = {row["input"]: row["row"]["top"] for row in rows(out / "predictions.jsonl")}
    assert json.loads((out / "a/x.json").read_text()) == {"top": said[str(source / "a/x.png")]}
    with Image.open(out / f"a/x.{form}") as image:
        assert image.format == {"jpg": "JPEG"}.get(form, form.upper())
        assert image.width > 300


def test_several_folders_lie_in_the_output_as_they_do_to_one_another(predict: Any, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in")
    predict(source / "a", source / "b", source / "top.png", "--output", tmp_path / "out", "--format", "jpg")
    assert [name for name in tree(tmp_path / "out") if not name.endswith(".json")] == [
        *("a/x.jpg", "b/deep/x.jpg", "predictions.jsonl", "top.jpg")
    ]


def test_results_that_are_there_are_told_before_anything_is_done(
    predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    predict(source, "--output", out)
    before = {name: (out / name).stat().st_mtime_ns for name in tree(out)}
    with monkeypatch.context() as patched:
        patched.setattr("zoo.running.pipelines.pipeline", lambda *a, **k: pytest.fail("the model was built"))
        status, printed, err = predict(source, "--output", out)
        assert (status, printed) == (1, "")
        assert f"has results of {source}/a/x.png and 2 other inputs already. --resume skips those" in err
        status, _, err = predict(source, "--output", out, "--resume", "--top", 2)
        assert status == 1
        assert "has results of other options ({'top': 5}; here it would be {'top': 2})" in err
        status, _, err = predict(
            source, "--output", out, "--resume", "--model", "squeezenet1_0", "--weights", DIGITS / "digit_1.png"
        )
        assert "has results of another model ('classification/squeezenet1_1'; here it" in err
    assert {name: (out / name).stat().st_mtime_ns for name in tree(out)} == before
    other = tmp_path / "other.png"
    shutil.copy(DIGITS / "digit_9.png", other)
    assert predict(other, "--output", out)[0] == 0  # an input that has none is added
    assert len(list(rows(out / "predictions.jsonl"))) == 4


def test_resume_does_what_is_left(predict: Any, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    (source / "broken.png").write_text("no picture")
    assert predict(source, "--output", out)[0] == 1
    before = {name: (out / name).stat().st_mtime_ns for name in tree(out)}
    shutil.copy(DIGITS / "digit_7.png", source / "new.png")
    shutil.copy(DIGITS / "digit_8.png", source / "broken.png")  # repaired
    shutil.copy(DIGITS / "digit_9.png", source / "top.png")  # changed
    (out / "b/deep/x.png").unlink()  # lost
    status, printed, err = predict(source, "--output", out, "--resume", "--json")
    assert status == 0
    assert err == "1 of 5 inputs have results already."
    found = {Path(row["input"]).relative_to(source).as_posix(): row for row in json.loads(printed)}
    assert {name: row["top"][0]["label"] for name, row in found.items()} == {
        "a/x.png": "1", "b/deep/x.png": "2", "broken.png": "8", "new.png": "7", "top.png": "9"
    }  # fmt: skip
    beside = [Path(name).with_suffix(".json").as_posix() for name in found]
    assert [row["output"] for row in found.values()] == [
        [str(out / name), str(out / record)] for name, record in zip(found, beside, strict=True)
    ]
    assert tree(out) == sorted([*found, *beside, "predictions.jsonl"])  # nothing twice, nothing else
    assert (out / "a/x.png").stat().st_mtime_ns == before["a/x.png"]
    assert (out / "top.png").stat().st_mtime_ns != before["top.png"]
    assert predict(source, "--output", out, "--resume")[1] == ""


def test_a_line_that_was_cut_off_is_done_again(predict: Any, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    predict(source, "--output", out, "--format", "none")
    file = out / "predictions.jsonl"
    assert tree(out) == ["predictions.jsonl"]
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (0, 5, len(lines[0]) - 1, len(lines[0]), len(lines[0]) + 30, len(whole) - 1):
        file.write_bytes(whole[:cut])
        status, printed, _ = predict(source, "--output", out, "--format", "none", "--resume", "--json")
        assert status == 0, cut
        assert [row["top"][0]["label"] for row in json.loads(printed)] == list("123"), cut
        assert len(list(rows(file))) == 3, cut
        assert predict(source, "--output", out, "--format", "none", "--resume")[1] == "", cut


def test_records_that_are_none_are_left_alone(predict: Any, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    for text in ('{"precious": 1}\n', "notes", '[{"input": "a"}]\n'):
        (out / "predictions.jsonl").write_text(text)
        for more in ([], ["--resume"], ["--overwrite"]):
            status, _, err = predict(source, "--output", out, *more)
            assert (status, "is not a file of prediction records" in err) == (1, True)
        assert (out / "predictions.jsonl").read_text() == text


def test_overwrite_replaces_its_own_and_nothing_else(predict: Any, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    predict(source, "--output", out, "--top", 1)
    (out / "top.png").rename(out / "kept.png")
    (out / "b/deep/x.txt").write_text("precious")
    before = (out / "a/x.png").stat().st_mtime_ns
    status, _, err = predict(source, "--output", out, "--overwrite", "--top", 3)
    assert (status, err) == (0, "")
    assert [name for name in tree(out) if not name.endswith(".json")] == [
        *("a/x.png", "b/deep/x.png", "b/deep/x.txt", "kept.png", "predictions.jsonl", "top.png")
    ]
    assert (out / "b/deep/x.txt").read_text() == "precious"
    assert (out / "a/x.png").stat().st_mtime_ns != before
    assert {len(row["row"]["top"]) for row in rows(out / "predictions.jsonl")} == {3}
    shutil.copy(DIGITS / "digit_5.png", source / "kept.png")
    predict(source, "--output", out, "--resume", "--top", 3)
    assert (out / "kept-2.png").exists()  # kept.png was renamed by the user, whose file it is


def test_what_was_written_is_no_input(predict: Any, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in")
    for out in (source / "out", source):
        predict(source, "--output", out)
        status, printed, _ = predict(source, "--output", out, "--resume", "--json")
        assert status == 0
        assert len(json.loads(printed)) == 3 if out != source else 6


def test_rows_in_files(predict: Any, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in")
    (source / "broken.png").write_text("no picture")
    lines, table = tmp_path / "all.jsonl", tmp_path / "all.csv"
    command = (source, "--top", 2, "--jsonl", lines, "--csv", table)
    status, printed, _ = predict(*command, "--json")
    assert status == 1
    expected = json.loads(printed)
    assert [json.loads(line) for line in lines.read_text().splitlines()] == expected
    assert [("error" in row) for row in expected] == [False, False, True, False]
    with table.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["input", "label", "probability", "error"]
    assert [(row["input"], row["label"]) for row in found] == [
        (row["input"], thing["label"]) for row in expected for thing in row.get("top", [{"label": ""}])
    ]
    assert "picture" in next(row["error"] for row in found if row["input"].endswith("broken.png"))
    for more in ([], ["--output", tmp_path / "out"]):
        status, _, err = predict(*command, *more)
        assert (status, f"--jsonl {lines} exists already." in err) == (1, True)
    assert predict(*command, "--overwrite")[0] == 1  # of the picture that is broken
    assert len(lines.read_text().splitlines()) == 4
    lines.write_text("precious\n")
    assert "was not written by --jsonl" in predict(*command, "--output", tmp_path / "o", "--resume")[2]
    assert lines.read_text() == "precious\n"
    assert "folder that does not exist" in predict(source, "--csv", tmp_path / "no/where.csv")[2]
    assert "has no detections" in predict(source, "--coco", tmp_path / "c.json")[2]
    assert not (tmp_path / "c.json").exists()


def test_all_rows_are_in_the_files_of_a_run_that_went_on(predict: Any, tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    predict(source / "a", "--output", out, "--format", "none")
    moved = tmp_path / "in"
    lines = tmp_path / "all.jsonl"
    predict(moved, "--output", out, "--format", "none", "--resume", "--jsonl", lines)
    predict(moved, "--output", out, "--format", "none", "--resume", "--jsonl", lines)  # it is replaced
    assert [Path(json.loads(line)["input"]).name for line in lines.read_text().splitlines()] == [
        "x.png", "x.png", "top.png"
    ]  # fmt: skip


def test_detections_as_a_coco_data_set(predict: Any, tmp_path: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    (tmp_path / "in/b").mkdir(parents=True)
    shutil.copy(EXAMPLES / "shapes.png", tmp_path / "in/b/one.png")
    Image.new("RGB", (50, 40)).save(tmp_path / "in/nothing.png")
    model = ("--model", "ssdlite320_mobilenet_v3_large", "--weights", "SHAPES_V1", "--device", "cpu")
    file, table = tmp_path / "all.json", tmp_path / "all.csv"
    out = ("--output", tmp_path / "out", "--format", "none")
    status, printed, _ = predict(tmp_path / "in", *model, *out, "--coco", file, "--csv", table, "--json")
    assert status == 0
    data = json.loads(file.read_text())
    weights = zoo.get_model_weights("ssdlite320_mobilenet_v3_large").SHAPES_V1.value
    names = {category["id"]: category["name"] for category in data["categories"]}
    assert names == {i: n for i, n in enumerate(weights.read_categories()) if n != "__background__"}
    coco = pycocotools.COCO(file)
    by_name = {image["file_name"]: image["id"] for image in data["images"]}
    assert set(by_name) == {"b/one.png", "nothing.png"}
    first = coco.loadImgs(by_name["b/one.png"])[0]
    assert (first["width"], first["height"]) == Image.open(EXAMPLES / "shapes.png").size
    expected = {Path(row["input"]).name: row["objects"] for row in json.loads(printed)}["one.png"]
    found = [a for a in coco.imgToAnns[by_name["b/one.png"]] if a["score"] >= 0.5]
    assert [names[a["category_id"]] for a in found] == [thing["label"] for thing in expected]
    x, y, width, height = found[0]["bbox"]
    assert [x, y, x + width, y + height] == pytest.approx(expected[0]["box"], abs=1e-3)
    assert found[0]["area"] == pytest.approx(width * height)
    copy = json.loads(json.dumps(data["annotations"]))  # to which it adds
    assert len(coco.loadRes(copy).anns) == len(copy)
    with table.open(newline="") as f:
        cells = [row for row in csv.DictReader(f) if row["input"].endswith("one.png")]
    assert [float(cells[0][name]) for name in ("x1", "y1", "x2", "y2")] == expected[0]["box"]
    again = tmp_path / "again.json"
    predict(tmp_path / "in", *model, *out, "--coco", again, "--resume")
    assert json.loads(again.read_text()) == data
    assert "--coco" in predict(tmp_path / "in", *model, *out, "--resume")[2]  # whose records would lack it


@pytest.mark.parametrize(("arguments", "said"), [
    (["--format", "gif"], "--format is 'gif'; expected one of png, jpg, webp, none."),
    (["--resume"], "--resume needs --output."),
    (["--resume", "--overwrite", "--output", "o"], "exclude each other"),
    (["--workers", "many"], "--workers is 'many'; expected a whole number from 0 on, or auto."),
    (["--workers", "-1"], "--workers is '-1'"),
])  # fmt: skip
def test_options_that_cannot_be(predict: Any, arguments: list[str], said: str) -> None:
    status, out, err = predict(DIGITS, *arguments)
    assert (status, out) == (2, "")
    assert said in err


# ── interrupted ───────────────────────────────────────────────────────────────────────────────────────────────────


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("it never came so far")


def lines_of(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_run_that_was_broken_off_goes_on(predict: Any, tmp_path: Path, sent: signal.Signals) -> None:
    """No process is left, no picture is half, no input has two results, and what was written of each is true."""
    files = many(tmp_path / "in", 60, (640, 480))
    out, lines = tmp_path / "out", tmp_path / "all.jsonl"
    command = (tmp_path / "in", "--output", out, "--workers", "2", "--jsonl", lines)
    with start("-m", "zoo", "predict", *command, *MODEL) as process:
        wait_for(lambda: lines_of(out / "predictions.jsonl") > 5, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert not children.exists() or children.read_text() == ""  # threads alone, so none can be left behind
        process.send_signal(sent)
        _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
    if sent == signal.SIGINT:
        assert "of 60 inputs have results; the same command with --resume does the others." in err
        assert not list(out.glob(".zoo-*"))
        assert "Traceback" not in err
    done = len(list(rows(out / "predictions.jsonl")))
    assert 5 <= done < 60
    assert lines_of(lines) >= done - 1
    assert all(Image.open(path).load() for path in out.glob("*.png"))
    status, printed, err = predict(*command, "--resume", "--json")
    assert (status, f"{done} of 60 inputs have results already." in err) == (0, True)
    found = json.loads(printed)
    assert [row["input"] for row in found] == [str(file) for file in files]
    assert [row["top"][0]["label"] for row in found] == [str(i % 10) for i in range(60)]
    assert [json.loads(line) for line in lines.read_text().splitlines()] == found
    assert len(list(out.glob("*.png"))) in (60, 61)  # one may have been there, and not yet been recorded


def test_a_full_disk_ends_it_and_nothing_is_lost(predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    usual = Records.add

    def full(self: Records, source: Any, *rest: Any, **more: Any) -> None:
        if Path(source).name == "top.png":
            raise OSError(28, "No space left on device")
        usual(self, source, *rest, **more)

    (source / "a/x.png").rename(source / "a.png")
    with monkeypatch.context() as patched:
        patched.setattr(Records, "add", full)
        status, _, err = predict(source, "--output", out)
    assert (status, err) == (1, "Error: [Errno 28] No space left on device")
    assert threads() == []
    assert predict(source, "--output", out, "--resume")[0] == 0
    assert len(list(rows(out / "predictions.jsonl"))) == 3


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_a_program_whose_pictures_never_come(tmp_path: Path) -> None:
    """A thread that hangs in opening a file holds up nobody for long."""
    code = """
        import time, zoo
        from pathlib import Path
        pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", workers=2)
        load = pipe.steps.load
        pipe.steps.load = lambda source: time.sleep(600) if source.name == "0020.jpg" else load(source)
        print("ready", flush=True)
        for source, _ in pipe.stream(sorted(Path(__import__("sys").argv[1]).glob("*.jpg"))):
            print(source.name, flush=True)
    """
    many(tmp_path, 40)
    with start("-c", textwrap.dedent(code), tmp_path) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline().strip() for _ in range(9)]
        assert seen == ["ready", *(f"{i:04}.jpg" for i in range(8))]
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert process.returncode in (-signal.SIGINT, 130)
    assert "KeyboardInterrupt" in err
