"""What options of commands say."""

from __future__ import annotations

import pytest

from zoo import cli


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6", 6), ("true", True), ("True", True), ("False", False), ("null", None), ("None", None),
        ("[1, 2.5]", [1, 2.5]),
        ("(3, 4)", (3, 4)), ("['a', None]", ["a", None]), ("conv", "conv"), ("'quoted'", "quoted"), ("...", "..."),
        ("{1, 2}", "{1, 2}"), ("b'x'", "b'x'"), ("open('x')", "open('x')"), ("", ""), ("[" * 9999, "[" * 9999),
    ],
)  # fmt: skip
def test_values_are_read_as_json_and_python_write_them(text: str, value: object) -> None:
    assert cli.read_assignments([f"name={text}"]) == {"name": value}
