"""``zoo predict --shard``: parts of one list, killed and resumed, merged into one file; inputs in tars, lists, URLs."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from zoo.errors import InvalidArgument
from zoo.running.sharding import Shard

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples/images/digits"
MODEL = ("--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--format", "none")
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    shutil.copytree(DIGITS, folder)
    return folder


def predict(run: Run, inputs: object, out: Path, *more: object) -> SimpleNamespace:
    return run("predict", inputs, *MODEL, "--output", out, *more)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("total", [0, 1, 3, 16, 17, 1000])
def test_shards_share_out_every_input_once(total: int) -> None:
    every = list(range(total))
    parts = [list(Shard(i, 16).part(every)) for i in range(1, 17)]
    assert [one for part in parts for one in part] == every
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["17/16", "0/4", "3", "3/", "-1/4", "a/b", "1/0", "1.5/2", "1/4/4", ""])
def test_a_shard_that_is_none(run: Run, tmp_path: Path, pictures: Path, text: str) -> None:
    got = predict(run, pictures, tmp_path / "out", f"--shard={text}")
    assert (got.status, "expected I/N" in got.err) == (1, True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidArgument):
        Shard.parse(text)


def test_merged_shards_are_one_run(run: Run, tmp_path: Path, pictures: Path) -> None:
    (pictures / "digit_5b.png").write_bytes(b"no picture")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert predict(run, pictures, whole).status == 1
    statuses = [predict(run, pictures, parts, "--shard", f"{i}/4").status for i in (3, 1, 4, 2)]
    assert sorted(statuses) == [0, 0, 0, 1]
    for folder in (whole, parts):
        got = run("merge", folder, "--output", f"{folder}.jsonl")
        assert got.status == 1
        assert "digit_5b.png" in got.err
    one, merged = read(Path(f"{whole}.jsonl")), read(Path(f"{parts}.jsonl"))
    assert [row["input"] for row in one] == [row["input"] for row in merged]
    assert len(merged) == 11
    assert [row["input"] for row in merged if "error" in row] == [str(pictures / "digit_5b.png")]
    for a, b in zip(one, merged, strict=True):
        assert [t["label"] for t in a.get("top", [])] == [t["label"] for t in b.get("top", [])]
    run("merge", parts, "--output", tmp_path / "all.csv")
    with (tmp_path / "all.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["input"] for row in table] == [row["input"] for row in merged]
    assert [bool(row["error"]) for row in table] == ["error" in row for row in merged]
    assert run("merge", parts, "--output", tmp_path / "all.csv").status == 1  # nothing is overwritten
    pq = pytest.importorskip("pyarrow.parquet")
    run("merge", parts, "--output", tmp_path / "all.parquet")
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert [row["top"] for row in rows] == [row.get("top") for row in merged]


def test_empty_shards(run: Run, tmp_path: Path, pictures: Path) -> None:
    for i in range(1, 17):
        assert predict(run, pictures, tmp_path / "out", "--shard", f"{i}/16").status == 0
    assert run("merge", tmp_path / "out", "--output", tmp_path / "all.jsonl").status == 0
    assert len(read(tmp_path / "all.jsonl")) == 10


def test_what_is_missing_or_twice(run: Run, tmp_path: Path, pictures: Path) -> None:
    out, target = tmp_path / "out", tmp_path / "all.jsonl"
    assert "no records" in run("merge", tmp_path, "--output", target).err
    predict(run, pictures, out, "--shard", "1/3")
    got = run("merge", out, "--output", target)
    assert (got.status, "2/3, 3/3" in got.err) == (1, True)
    for i in (2, 3):
        predict(run, pictures, out, "--shard", f"{i}/3")
    file = out / "predictions-00002-of-00003.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert "lacks 1 of 3 inputs" in run("merge", out, "--output", target).err
    first = (out / "predictions-00001-of-00003.jsonl").read_bytes().splitlines(keepends=True)[1]
    file.write_bytes(b"".join(lines[:-1]) + first)
    assert "digit_0.png is in" in run("merge", out, "--output", target).err
    assert not target.exists()
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert predict(run, pictures, out, "--shard", "2/3", "--resume").status == 0
    assert run("merge", out, "--output", target).status == 0
    assert len({row["input"] for row in read(target)}) == 10


def test_outputs_of_another_run_in_the_folder(run: Run, tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    predict(run, pictures, out, "--shard", "1/2")
    other = run(
        "predict", pictures, "--model", "squeezenet1_1", "--weights", "IMAGENET1K_V1", "--output", out, "--shard", "2/2"
    )
    assert (other.status, "other weights" in other.err) == (1, True)
    assert "in 2 shards" in predict(run, pictures, out, "--shard", "1/3").err
    assert "--shard" in predict(run, pictures, out).err
    assert "in the folder" in predict(run, pictures, pictures / "out", "--shard", "1/2").err
    (pictures / "new.png").write_bytes((pictures / "digit_1.png").read_bytes())
    got = predict(run, pictures, out, "--shard", "2/2")
    assert (got.status, "another list of inputs" in got.err) == (1, True)
    assert "--shard needs --output" in run("predict", pictures, *MODEL, "--shard", "1/2").err


def test_a_shard_is_killed_in_the_middle(run: Run, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for i in range(300):
        shutil.copy(DIGITS / f"digit_{i % 10}.png", pictures / f"{i:04}.png")
    command = [sys.executable, "-m", "zoo.cli", "predict", pictures, *MODEL, "--output", out, "--workers", "0"]
    command = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", *map(str, command[3:])]
    process = subprocess.Popen([*command, "--shard", "1/2", "--batch-size", "1"], stdout=subprocess.DEVNULL)
    file = out / "predictions-00001-of-00002.jsonl"
    until = time.monotonic() + 60
    while not (file.exists() and file.read_bytes().count(b"\n") > 10) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = file.read_bytes().count(b"\n") - 1
    assert 10 <= done < 150
    assert (
        "lacks"
        in (predict(run, pictures, out, "--shard", "2/2"), run("merge", out, "--output", tmp_path / "x.jsonl"))[1].err
    )
    got = predict(run, pictures, out, "--shard", "1/2", "--resume")
    assert (got.status, f"{done} of 150 inputs have results already" in got.err) == (0, True)
    assert run("merge", out, "--output", tmp_path / "all.jsonl").status == 0
    assert [Path(row["input"]).stem for row in read(tmp_path / "all.jsonl")] == [f"{i:04}" for i in range(300)]


def test_a_full_disk(run: Run, tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", "predict", str(pictures)]
    command += [*MODEL, "--output", str(out), "--shard", "1/1"]
    full = subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
        env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")},  # it writes a file
        capture_output=True,
        text=True,
        check=False,
    )
    assert (full.returncode, "Traceback" in full.stderr, "large" in full.stderr) == (1, False, True)
    assert predict(run, pictures, out, "--shard", "1/1", "--resume").status == 0
    assert run("merge", out, "--output", tmp_path / "all.jsonl").status == 0
    assert len(read(tmp_path / "all.jsonl")) == 10


def test_lists(run: Run, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"pictures/digit_{i}.png" for i in (3, 1, 4, 1, 5)]
    Path("list.txt").write_text("# digits\n\n" + "\n".join(names) + "\npictures/gone.png\n")
    got = predict(run, "list.txt", tmp_path / "out")
    assert (got.status, "gone.png" in got.err) == (1, True)
    run("merge", tmp_path / "out", "--output", tmp_path / "all.jsonl")
    rows = read(tmp_path / "all.jsonl")
    assert [row["input"] for row in rows] == [*dict.fromkeys(names), "pictures/gone.png"]
    assert [row["top"][0]["label"] for row in rows[:-1]] == ["3", "1", "4", "5"]
    Path("empty.txt").write_text("\n")
    got = predict(run, "empty.txt", tmp_path / "out2")
    assert (got.status, "has no inputs" in got.err) == (1, True)
    assert "does not exist" in predict(run, "none.txt", tmp_path / "out2").err


def pack(target: Path, folder: Path) -> None:
    with tarfile.open(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
            label = tarfile.TarInfo(f"{file.stem}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(file.stem[-1].encode()))


def test_tars(run: Run, tmp_path: Path, pictures: Path) -> None:
    (pictures / "digit_7.png").write_bytes(b"no picture")
    pack(tmp_path / "digits.tar", pictures)
    out = tmp_path / "out"
    for i in (1, 2):
        predict(run, tmp_path / "digits.tar", out, "--shard", f"{i}/2")
    assert run("merge", out, "--output", tmp_path / "all.jsonl").status == 1
    rows = read(tmp_path / "all.jsonl")
    assert [row["input"] for row in rows] == [f"{tmp_path}/digits.tar/digit_{i}.png" for i in range(10)]
    assert [row["top"][0]["label"] if "top" in row else None for row in rows] == [*"0123456", None, *"89"]
    again = predict(run, tmp_path / "digits.tar", out, "--shard", "1/2", "--resume")
    assert "5 of 5 inputs have results already" in again.err
    drawn = run("predict", tmp_path / "digits.tar", *MODEL[:-1], "png", "--output", tmp_path / "drawn")
    assert drawn.status == 1
    assert Image.open(tmp_path / "drawn/digit_3.png").size[0] > 0
    damaged = (tmp_path / "digits.tar").read_bytes()
    (tmp_path / "short.tar").write_bytes(damaged[:5000])
    assert "cannot be read as a tar archive" in predict(run, tmp_path / "short.tar", tmp_path / "o3").err
    (tmp_path / "x.tar.gz").write_bytes(b"")
    assert "is compressed" in predict(run, tmp_path / "x.tar.gz", tmp_path / "o3").err
    (tmp_path / "none.tar").write_bytes(b"not a tar" * 200)
    assert "cannot be read as a tar archive" in predict(run, tmp_path / "none.tar", tmp_path / "o3").err


def test_urls(run: Run, tmp_path: Path, pictures: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/shards/{file.name}": file.read_bytes() for file in pictures.iterdir()})
    pack(tmp_path / "digits.tar", pictures)
    memory.pipe("/tars/digits.tar", (tmp_path / "digits.tar").read_bytes())
    try:
        for n, url in enumerate(
            ["memory://shards", "memory://shards/*.png", "memory://tars/digits.tar", "memory://tars"]
        ):
            assert predict(run, url, tmp_path / f"out{n}", "--shard", "1/1").status == 0, url
            run("merge", tmp_path / f"out{n}", "--output", tmp_path / f"{n}.jsonl")
            assert [row["top"][0]["label"] for row in read(tmp_path / f"{n}.jsonl")] == [*"0123456789"]
        gone = predict(run, "memory://shards/gone.png", tmp_path / "gone")
        assert (gone.status, "cannot be read" in gone.err) == (1, True)
        assert "cannot be opened" in predict(run, "nonsense://x", tmp_path / "gone2").err
    finally:
        memory.rm("/shards", recursive=True)
        memory.rm("/tars", recursive=True)


def test_fsspec_is_named_where_it_is_missing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    got = predict(run, "s3://bucket/pictures", tmp_path / "out")
    assert (got.status, "zoo-core[fsspec]" in got.err) == (1, True)


def test_a_picture_that_crashes_the_decoder(
    run: Run, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Image.open

    def crashing(file: object, *arguments: object, **options: object) -> Image.Image:
        if os.fspath(file).endswith("digit_4.png"):  # type: ignore[call-overload]
            raise SystemError("decoder error -9")
        return real(file, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", crashing)
    got = predict(run, pictures, tmp_path / "out", "--shard", "1/1")
    assert (got.status, "decoder error -9" in got.err) == (1, True)
    assert run("merge", tmp_path / "out", "--output", tmp_path / "all.jsonl").status == 1
    assert sum("error" in row for row in read(tmp_path / "all.jsonl")) == 1
