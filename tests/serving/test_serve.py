"""``zoo serve``: a real server on loopback, with valid and invalid requests."""

from __future__ import annotations

import concurrent.futures
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from servers import FileServer, serving
from serving_process import Running

for name in ("starlette", "uvicorn", "prometheus_client", "multipart", "zoo_serving"):
    pytest.importorskip(name)

from zoo.cli import main  # noqa: E402

IMAGES = Path(__file__).parents[2] / "examples/images"
DIGIT = (IMAGES / "digits/digit_7.png").read_bytes()
DIGITS, SHAPES = "squeezenet1_1", "ssdlite320_mobilenet_v3_large"
Ask = Callable[..., SimpleNamespace]


RAW = {"Content_Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    models = (f"{DIGITS}=DIGITS_V1", f"{SHAPES}=SHAPES_V1")
    limits = ("--max-size", "1", "--max-pixels", "4000000", "--max-wait", "50ms")
    running = Running(*models, *limits)
    yield running
    running.end()


def test_predictions(server: Running) -> None:
    got = server.ask("/predict", DIGIT, **RAW)
    found = json.loads(got.body)
    assert (got.status, found["model"], found["top"][0]["label"]) == (200, DIGITS, "7")
    assert len(json.loads(server.ask("/predict?top=2", DIGIT, **RAW).body)["top"]) == 2
    shapes = json.loads(server.ask(f"/predict?model={SHAPES}", (IMAGES / "shapes.png").read_bytes(), **RAW).body)
    assert len(shapes["objects"]) > 0
    drawn = server.ask("/predict", DIGIT, Accept="image/png", **RAW)
    assert drawn.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(drawn.body)).format == "PNG"
    parts = b'--b\r\nContent-Disposition: form-data; name="file"; filename="7.png"\r\n\r\n' + DIGIT + b"\r\n--b--\r\n"
    form = server.ask("/predict", parts, Content_Type="multipart/form-data; boundary=b")
    assert json.loads(form.body)["top"] == found["top"]


def test_about_it(server: Running) -> None:
    assert json.loads(server.ask("/health").body) == {"status": "ok", "models": [DIGITS, SHAPES]}
    models = json.loads(server.ask("/models").body)["models"]
    assert [m["task"] for m in models] == ["image-classification", "object-detection"]
    assert models[0]["categories"] == [*"0123456789"]
    api = json.loads(server.ask("/openapi.json").body)
    assert set(api["paths"]) == {"/predict", "/models", "/health", "/metrics"}
    assert b"Drop a picture" in server.ask("/").body
    assert b"openapi.json" in server.ask("/docs").body
    server.ask("/predict", DIGIT, **RAW)
    text = server.ask("/metrics").body.decode()
    assert f'zoo_requests_total{{model="{DIGITS}",status="200"}}' in text
    assert "zoo_batch_size_bucket" in text


def png(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("L", (width, height)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("path", "data", "headers", "status", "said"),
    [
        ("/predict", b"no picture", RAW, 400, "not in a picture format"),
        ("/predict", b"", RAW, 400, "empty"),
        ("/predict", DIGIT[:60], RAW, 400, "cannot be read"),
        ("/predict", b"x" * (1 << 20) + b"x" * 5000, RAW, 413, "bytes"),
        ("/predict", png(3000, 2000), RAW, 413, "3000 × 2000 pixels"),
        ("/predict?model=resnet", DIGIT, RAW, 404, DIGITS),
        ("/predict?top=0", DIGIT, RAW, 422, "from 1 to 1000"),
        ("/predict", DIGIT, {**RAW, "Accept": "text/html"}, 406, "application/json"),
        ("/predict", b'{"url": "http://127.0.0.1/x"}', {"Content_Type": "application/json"}, 403, "not allowed"),
        ("/predict", b"[", {"Content_Type": "application/json"}, 400, "not JSON"),
        ("/predict", b"--b--\r\n", {"Content_Type": "multipart/form-data; boundary=b"}, 400, "no file"),
        ("/predict", b"--b--\r\n", {"Content_Type": "multipart/form-data"}, 400, ""),
        ("/nothing", None, {}, 404, ""),
        ("/predict", None, {}, 405, ""),
    ],
)
def test_bad_requests(
    server: Running, path: str, data: bytes | None, headers: dict[str, str], status: int, said: str
) -> None:
    got = server.ask(path, data, **headers)
    assert got.status == status, got.body
    assert said in json.loads(got.body)["error"]
    assert server.ask("/predict", DIGIT, **RAW).status == 200


def test_requests_at_a_time_go_through_the_model_together(server: Running) -> None:
    def size() -> tuple[float, float]:
        lines = dict(
            line.rsplit(" ", 1) for line in server.ask("/metrics").body.decode().splitlines() if line[0] != "#"
        )
        of = f'{{model="{DIGITS}"}}'
        return float(lines[f"zoo_batch_size_sum{of}"]), float(lines[f"zoo_batch_size_count{of}"])

    pictures, batches = size()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: server.ask("/predict", one(i), **RAW), range(48)))
    assert [json.loads(a.body)["top"][0]["label"] for a in answers] == [str(i % 10) for i in range(48)]
    more_pictures, more_batches = size()
    assert more_pictures - pictures == 48
    assert more_batches - batches < 40


def one(i: int) -> bytes:
    return (IMAGES / f"digits/digit_{i % 10}.png").read_bytes()


def test_token_urls_overload_and_draining() -> None:
    with serving(FileServer()) as files:
        files.files["/img/7.png"] = DIGIT
        base = f"http://127.0.0.1:{files.server_address[1]}"
        running = Running(
            DIGITS,
            "--weights",
            "DIGITS_V1",
            "--concurrency",
            "2",
            "--max-wait",
            "1s",
            "--allow-urls",
            f"{base}/img/",
            ZOO_SERVE_TOKEN="secret",
        )
        try:
            token = {"Authorization": "Bearer secret"}
            refused = running.ask("/predict", DIGIT, **RAW)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert running.ask("/models", Authorization="Bearer other").status == 401
            assert running.ask("/health").status == 200
            by_url = {"Content_Type": "application/json", **token}
            got = running.ask("/predict", json.dumps({"url": f"{base}/img/7.png"}).encode(), **by_url)
            assert json.loads(got.body)["top"][0]["label"] == "7"
            assert running.ask("/predict", json.dumps({"url": f"{base}/other"}).encode(), **by_url).status == 403
            assert running.ask("/predict", json.dumps({"url": f"{base}/img/gone"}).encode(), **by_url).status == 400
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda i: running.ask("/predict", one(i), **RAW, **token), range(8)))
            assert {a.status for a in answers} == {200, 503}
            assert all(a.headers["retry-after"] for a in answers if a.status == 503)
            late: list[Any] = []
            asking = threading.Thread(target=lambda: late.append(running.ask("/predict", DIGIT, **RAW, **token)))
            asking.start()
            time.sleep(0.4)  # it waits for the rest of its batch
            assert running.end() in (0, -signal.SIGTERM)
            asking.join()
            assert late[0].status == 200
        finally:
            running.process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonesuch"], "nonesuch"),
        ([DIGITS, "--max-wait", "soon"], "5ms"),
        ([DIGITS, SHAPES, "--weights", "DIGITS_V1"], "MODEL=WEIGHTS"),
        ([DIGITS, DIGITS], "twice"),
        (["raft_small"], "several files"),
        ([DIGITS, "--allow-urls", "https://a.org"], "host and path"),
    ],
)
def test_what_cannot_be_served(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "batch"])
def test_the_help_fits_a_terminal(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"zoo {command}" in shown
    assert max(map(len, shown.splitlines())) <= 80
