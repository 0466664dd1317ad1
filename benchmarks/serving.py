"""``zoo serve`` under load, compared with its pipeline: responses by status, pictures per second, latency, memory.

    python benchmarks/serving.py [--model efficientnet_lite0] [--connections 64] [--seconds 60] [--broken 0.05]

This process sends requests to a server in a separate process over many connections, each with the next picture as soon
as it has a response. The pictures are examples/images/photos; of a share of them, the second half is cut off. Then the
same pictures run through the pipeline alone. Client and server share the machine. Memory is that of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import harness
from harness import Report

PHOTOS = Path(__file__).parents[1] / "examples/images/photos"
HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


def pipeline_alone(model: str, files: list[Path], seconds: float) -> float:
    """Pictures per second of the pipeline, which opens them in threads."""
    import zoo

    pipe = zoo.pipeline(model)
    list(pipe.stream(files * 8, progress=False))
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += len(list(pipe.stream(files * 8, progress=False)))
    return done / (time.perf_counter() - started)


async def ask(
    port: int, data: list[bytes], broken: float, until: float, waits: list[float], seen: Counter[int]
) -> None:
    """The requests of one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        body = random.choice(data)
        body = body[: len(body) // 2] if random.random() < broken else body
        started = time.perf_counter()
        writer.write(HEAD.format(len(body)).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        seen[int(head.split()[1])] += 1
        waits.append(time.perf_counter() - started)
    writer.close()


def resident(pid: int) -> float:
    """Memory used by a process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def load(port: int, pid: int, given: argparse.Namespace) -> tuple[list[float], Counter[int], list[float]]:
    waits: list[float] = []
    seen: Counter[int] = Counter()
    data = [file.read_bytes() for file in sorted(PHOTOS.glob("*.jpg"))]
    until = time.perf_counter() + given.seconds
    asking = [ask(port, data, given.broken, until, waits, seen) for _ in range(given.connections)]
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(resident(pid))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*asking)
    watching.cancel()
    return waits, seen, memory


def main() -> int:
    parser = harness.options(__doc__, ["efficientnet_lite0"], seconds=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--broken", type=float, default=0.05)
    given = parser.parse_args()
    random.seed(0)
    model, files = given.models[0], sorted(PHOTOS.glob("*.jpg"))
    report = Report(given, connections=given.connections, seconds=given.seconds, broken=given.broken)
    command = [sys.executable, "-c", "import sys; from zoo.cli import main; sys.exit(main())", "serve", model]
    server = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        waits, seen, memory = asyncio.run(load(port, server.pid, given))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    pipeline = pipeline_alone(model, files, min(10, given.seconds))
    waits.sort()
    table = report.table(
        "load", model="model", answers="answers", second="a second|.1f", pipeline="the pipeline alone|.1f",
        median="wait: p50, s|.2f", p95="p95, s|.2f",
    )  # fmt: skip
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(seen.items()))
    table.row(
        model=model, answers=answers, second=len(waits) / given.seconds, pipeline=pipeline,
        median=statistics.median(waits), p95=waits[int(0.95 * len(waits))],
    )  # fmt: skip
    quarters = [max(memory[len(memory) * i // 4 : len(memory) * (i + 1) // 4]) for i in range(4)]
    table = report.table("memory", model="model", **{f"q{i}": f"quarter {i + 1}, MB|.0f" for i in range(4)})
    table.row(model=model, **{f"q{i}": most for i, most in enumerate(quarters)})
    unexpected = sum(count for status, count in seen.items() if status not in (200, 400, 503))
    report.target("answers other than 200, 400 and 503", unexpected, most=0)
    report.target("memory: the last quarter over the second", quarters[3] / quarters[1], most=1.02)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
