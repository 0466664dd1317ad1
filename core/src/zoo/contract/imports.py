"""Objects named by strings, so that listing them does not import them."""

from __future__ import annotations

import importlib
from typing import Any

from zoo.errors import ContractError


def is_import_string(target: object) -> bool:
    """Whether ``target`` has the form ``"package.module:name"``; nothing is imported."""
    module, colon, name = target.partition(":") if isinstance(target, str) else ("", "", "")
    return bool(module and colon and name.isidentifier())


def load_object(target: str) -> Any:
    """The object that an import string ``"package.module:name"`` names; its module is imported.

    Raises:
        ContractError: the string has another form, or the module has no such name.
    """
    if not is_import_string(target):
        raise ContractError(f"{target!r} is not an import string; expected the form 'package.module:name'.")
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as e:
        raise ContractError(f"{target!r} cannot be resolved: {e}.") from e
