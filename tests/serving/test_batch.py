"""``zoo batch`` and ``zoo.BatchPredictor`` on a local cluster of Ray, whose workers are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zoo_serving")

from serving_process import read_until, started_in_a_terminal  # noqa: E402

import zoo  # noqa: E402
from zoo.cli import main  # noqa: E402
from zoo_serving import rays  # noqa: E402

DIGITS = Path(__file__).parents[2] / "examples/images/digits"
MODEL = ("--model", "squeezenet1_1", "--weights", "DIGITS_V1")
ZOO = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())"]


def make(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:06}.png").symlink_to(DIGITS / f"digit_{i % 10}.png")
    return folder


def kill_a_worker(parent: int) -> bool:
    """A worker with a model, among the child processes of ``parent``."""
    import psutil

    for process in psutil.Process(parent).children(recursive=True):
        try:
            if "ray::" in " ".join(process.cmdline()) and "MapBatches" in " ".join(process.cmdline()):
                process.kill()
                return True
        except psutil.Error:
            continue
    return False


def predicted(tmp_path: Path, count: int, chunk: int, seconds: float) -> tuple[list[dict[str, Any]], str]:
    """Rows for many pictures, with one of two workers killed halfway."""
    folder, out = make(tmp_path / "pictures", count), tmp_path / "out.parquet"
    (folder / "000003b.png").write_bytes(b"no picture")
    command = [*ZOO, "batch", folder, *MODEL, "--output", out, "--actors", 2, "--chunk", chunk]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + seconds
    while len(list(out.glob("part-*"))) < count / chunk / 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    assert kill_a_worker(process.pid)
    text, errors = process.communicate(timeout=seconds)
    assert process.returncode == 1, errors  # one file is not a picture
    assert "000003b.png" in errors
    return pq.read_table(out).to_pylist(), text


def check(rows: list[dict[str, Any]], count: int) -> None:
    assert len(rows) == count + 1
    assert len({row["input"] for row in rows}) == count + 1
    assert [Path(row["input"]).stem for row in rows if row["error"]] == ["000003b"]
    good = [row for row in rows if not row["error"]]
    assert all(row["labels"][0] == str(int(Path(row["input"]).stem) % 10) for row in good)


@pytest.mark.timeout(280)
def test_a_worker_is_killed(tmp_path: Path) -> None:
    rows, _ = predicted(tmp_path, 500, 16, 200)
    check(rows, 500)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_worker_is_killed_among_twenty_thousand(tmp_path: Path) -> None:
    rows, text = predicted(tmp_path, 20_000, 128, 2000)
    check(rows, 20_000)
    print(text)


def test_going_on_and_other_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = make(tmp_path / "pictures", 20), tmp_path / "out.parquet"
    command = [str(word) for word in ("batch", folder, *MODEL, "--output", out, "--actors", 1, "--chunk", 5)]
    assert main(command) == 0
    assert main(command) == 1
    assert "--resume" in capsys.readouterr().err
    (out / "part-00000002.parquet").unlink()
    assert main([*command, "--resume"]) == 0
    assert "3 of 4 chunks were done before" in capsys.readouterr().out
    assert pq.read_table(out).num_rows == 20
    command[command.index("DIGITS_V1")] = "IMAGENET1K_V1"
    assert main([*command, "--resume"]) == 1
    assert "another weights ('DIGITS_V1'" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    assert main(["batch", str(folder), *MODEL, "--output", str(tmp_path / "mine")]) == 1
    assert "is not a result of zoo batch" in capsys.readouterr().err


def test_map_batches_takes_the_predictor(tmp_path: Path) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        paths = [str(DIGITS / f"digit_{i}.png") for i in range(10)]
        data = ray.data.from_items(
            [{"path": path} for path in [*paths, "gone.png", "gone2.png"]], override_num_blocks=4
        )
        predictor = zoo.BatchPredictor("squeezenet1_1", "DIGITS_V1", "cpu")
        rows = data.map_batches(predictor, batch_size=3).take_all()
        found = {row["path"]: row for row in rows}
        assert [found[path]["labels"][0] for path in paths] == [*"0123456789"]
        assert [path for path, row in found.items() if row["error"]] == ["gone.png", "gone2.png"]
    finally:
        ray.shutdown()


def test_a_worker_that_cannot_work_is_told_once(tmp_path: Path) -> None:
    sources = [DIGITS / f"digit_{i}.png" for i in range(10)]
    with pytest.raises(rays.BatchError, match="nonesuch_model") as told:
        rays.batch(sources, tmp_path / "out", {"model": "x"}, {"model": "nonesuch_model"}, actors=1, chunk=5)
    assert str(told.value).count("nonesuch_model") == 1
    assert "Traceback" not in str(told.value)


def test_a_picture_that_ends_its_worker(tmp_path: Path) -> None:
    """Without Ray: a new process for each start of the worker."""
    sources = [str(DIGITS / f"digit_{i}.png") for i in range(6)]
    offsets, total = rays._plan(sources, tmp_path / "out", {"chunk": 6}, False)
    program = f"""
import os, zoo
from zoo_serving.rays import Worker
worker = Worker({str(tmp_path / "out")!r}, dict(model="squeezenet1_1", weights="DIGITS_V1"))
load = worker.predictor.pipeline.steps.load
def crashing(source):
    if "digit_4" in str(source):
        os._exit(139)
    return load(source)
worker.predictor.pipeline.steps.load = crashing
worker({{"chunk": [0], "offset": [{offsets[0]}], "count": [{total}]}})
"""
    lives = 0
    while subprocess.run([sys.executable, "-c", program], check=False).returncode == 139 and lives < 6:
        lives += 1
    rows = pq.read_table(tmp_path / "out/part-00000000.parquet").to_pylist()
    assert lives == 3
    assert [row["labels"][:1] for row in rows] == [["0"], ["1"], ["2"], ["3"], [], ["5"]]
    assert [bool(row["error"]) for row in rows] == [False] * 4 + [True, False]
    assert "crashed 2 workers" in rows[4]["error"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    rays._plan([str(DIGITS / "digit_1.png")], tmp_path / "out", {"chunk": 1}, False)
    worker = rays.Worker(str(tmp_path / "out"), {"model": "squeezenet1_1", "weights": "DIGITS_V1"})
    given = {"chunk": [0], "offset": [0], "count": [1]}
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        assert "No space" in worker(given)["problem"][0]
    assert not list((tmp_path / "out").glob("*.parquet*"))
    assert worker(given) == {"chunk": [0], "problem": [""]}
    assert pq.read_table(tmp_path / "out/part-00000000.parquet").num_rows == 1


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """Prints one line; no process remains, and --resume computes the rest."""
    import psutil

    folder, out = make(tmp_path / "pictures", 3000), tmp_path / "out.parquet"
    arguments = ["batch", folder, *MODEL, "--output", out, "--actors", 1, "--chunk", 8]
    process, master = started_in_a_terminal(*arguments)
    try:
        shown, until = "", time.monotonic() + 120
        while not list(out.glob("part-*")) and time.monotonic() < until:
            shown += read_until(master, "(?!)", 0.3)
        children = psutil.Process(process.pid).children(recursive=True)
        os.write(master, b"\x03")
        text = read_until(master, "(?!)", 60)
        assert process.wait(60) == 130, text
        assert all(len(line) <= 80 for line in shown.replace("\r", "\n").splitlines()), shown
        told = [line.strip() for line in text.replace("\r", "\n").splitlines() if "Interrupted" in line]
        assert told == ["Interrupted; run the same command with --resume to continue."]
        assert "Traceback" not in text
        gone, alive = psutil.wait_procs(children, 30)
        assert not alive
        assert len(gone) > 1
    finally:
        process.kill()
        os.close(master)
    done = len(list(out.glob("part-*")))
    assert 0 < done < 375
    assert not list(out.glob(".part-*"))


@pytest.mark.parametrize("content", ["", "# nothing\n\n"])
def test_nothing_to_do(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text(content)
    for source in ("empty", "list.txt"):
        out = tmp_path / f"{source}.parquet"
        assert main(["batch", str(tmp_path / source), *MODEL, "--output", str(out)]) == 1
        assert source in capsys.readouterr().err
        assert not out.exists()


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The worker's disk of 64 KB is full; the error is reported once, and the run continues when there is space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        sources = [DIGITS / f"digit_{i % 10}.png" for i in range(200)]
        given: Any = (sources, disk / "out", {"model": "x"}, {"model": "squeezenet1_1", "weights": "DIGITS_V1"})
        with pytest.raises((rays.BatchError, OSError), match="No space left") as told:
            rays.batch(*given, actors=1, chunk=5)
        assert str(told.value).count("No space left") == 1
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        done = rays.batch(*given, actors=1, chunk=5, resume=True)
        assert (done.inputs, done.failed) == (200, 0)
        assert done.before > 0
        assert pq.read_table(disk / "out").num_rows == 200
    finally:
        subprocess.run(["umount", disk], check=False)
