"""``zoo run`` puts this file on PYTHONPATH: every Python process imports a module of this name when it starts.

It waits for torchvision, and runs the environment's own module of this name.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_here = str(Path(__file__).parent)
sys.path[:] = [folder for folder in sys.path if folder != _here]

with contextlib.suppress(ImportError):  # another Python, where zoo is not installed
    from zoo.compat import watch

    watch()

_next = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
if _next is not None and _next.loader is not None:
    _module = importlib.util.module_from_spec(_next)
    sys.modules["sitecustomize"] = _module
    _next.loader.exec_module(_module)
