"""Free memory that the C library keeps goes back to the system."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoo
from zoo.running import memory, streaming

DIGITS = Path(__file__).parents[2] / "examples/images/digits"
needs_glibc = pytest.mark.skipif(memory._trim() is None, reason="another C library than glibc")


@needs_glibc
def test_what_threads_freed_goes_back() -> None:
    """Of blocks of 64 KB, made in threads, all but some are freed: no heap can shrink by itself."""
    code = """
        import threading
        from zoo.running.memory import give_back

        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

        kept = []
        def work():
            blocks = [bytearray(b"x") * 65_536 for _ in range(1500)]
            kept.extend(blocks[::100])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        before = resident()
        gave = give_back()
        print(before, resident(), gave, all(set(block) == {120} for block in kept))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    before, after, gave, whole = done.stdout.split()
    assert gave == whole == "True"
    assert float(before) - float(after) > 150, "of 375 MB"


@needs_glibc
def test_memory_goes_back_again_only_when_the_process_has_grown() -> None:
    """Returned memory takes time to allocate again."""
    code = """
        from zoo.running.memory import SLACK, give_back

        def fragments(n):
            blocks = [bytearray(b"x") * 65_536 for _ in range(n)]
            return blocks[::100]

        kept, said = fragments(200), [give_back()]
        kept += fragments(200)
        said.append(give_back())  # 13 MB more, which are free
        kept += fragments(3 * SLACK // 65_536)
        said += [give_back(), give_back()]
        print(*said, len(kept))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:4] == ["True", "False", "True", "False"]


def test_a_stream_gives_back_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(streaming, "give_back", lambda: calls.append(1))
    pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", optimize=False)
    sources: list[Any] = sorted(DIGITS.glob("*.png")) * 2
    pixels = sum(result.image.width * result.image.height for _, result in pipe.stream(sources, batch_size=5))
    assert calls == []
    monkeypatch.setattr(streaming, "GIVE_BACK_EVERY", pixels // 2)
    assert len(list(pipe.stream(sources, batch_size=5))) == 20
    assert len(calls) == 2


def test_many_small_streams_give_back_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has a stream for each batch, and engines a call."""
    calls: list[int] = []
    monkeypatch.setattr(streaming, "give_back", lambda: calls.append(1))
    predictor = zoo.BatchPredictor("squeezenet1_1", "DIGITS_V1", "cpu")
    paths = [str(path) for path in sorted(DIGITS.glob("*.png"))]
    each = [math.prod(Image.open(path).size) for path in paths]
    monkeypatch.setattr(streaming, "GIVE_BACK_EVERY", sum(each) // 2)
    assert max(each) < sum(each) // 2
    for path in paths * 2:
        predictor({"path": [path]})
    assert 3 <= len(calls) <= 4


def test_there_need_be_nothing_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._trim.cache_clear()
    monkeypatch.setattr("sys.platform", "win32")
    assert memory.give_back() is False
    memory._trim.cache_clear()
