"""The published torchvision in this process, repaired if it does not fit torch; `make test-clients` installs it."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import pytest

import zoo.compat


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    zoo.compat.torchvision_operators()
    return importlib.import_module("torchvision")
