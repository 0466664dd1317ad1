"""A loop on a CPU takes memory again that the step before has freed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from zoo_training.heap import kept_heap

with kept_heap() as _done:
    needs_glibc = pytest.mark.skipif(not _done, reason="not glibc, or malloc is configured by the environment")

STEPS = """
    import contextlib, ctypes, resource, sys
    from zoo_training.heap import kept_heap

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]

    def step():
        blocks = [libc.malloc(24 << 20) for _ in range(4)]
        for block in blocks:
            ctypes.memset(block, 1, 24 << 20)
        for block in reversed(blocks):
            libc.free(block)

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            step()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def resident():
        return int(open("/proc/self/statm").read().split()[1]) >> 8

    step()
    usual = faults()
    with kept_heap() as done:
        step()
        kept = faults()
        during = resident()
    print(usual, kept, during - resident(), done)
"""


def run(**environment: str) -> list[str]:
    code = textwrap.dedent(STEPS)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@needs_glibc
def test_steps_have_the_memory_of_the_one_before_and_the_system_has_it_afterwards() -> None:
    usual, kept, given_back, done = run()
    assert done == "True"
    pages = 5 * 4 * 24 * 256  # of five steps
    assert int(usual) > 0.6 * pages
    assert int(kept) < 0.1 * pages
    assert int(given_back) > 80, "MB of 96"


@needs_glibc
def test_what_a_user_says_of_malloc_holds() -> None:
    usual, kept, _, done = run(MALLOC_ARENA_MAX="2")
    assert done == "False"
    assert int(kept) == pytest.approx(int(usual), rel=0.2)
