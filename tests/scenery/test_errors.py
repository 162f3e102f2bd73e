"""The errors that are raised on purpose, and what they quote."""

from __future__ import annotations

import pytest

from scenery.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("\nIt failed.\nAt 0x7f"), "It failed"),
        (RuntimeError(), "RuntimeError()"),
        (AssertionError(" \n"), "AssertionError(' \\n')"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    """Other libraries raise errors of many lines, and of none."""
    assert first_line(error) == line
