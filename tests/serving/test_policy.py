"""The version policy, as a table."""

from __future__ import annotations

import pytest

from serving.policy import Action, Load, Snapshot, Unload, next_action
from serving.servable import State

START, LOADING, AVAILABLE, UNLOADING, END = State


@pytest.mark.parametrize(
    ("versions", "action"),
    [
        ([], None),
        ([(1, START, True)], Load(1)),
        ([(1, START, True), (2, START, True)], Load(2)),
        ([(1, LOADING, True)], None),
        ([(1, AVAILABLE, True)], None),
        ([(1, AVAILABLE, False), (2, START, True)], Load(2)),
        ([(1, AVAILABLE, False), (2, LOADING, True)], None),
        ([(1, AVAILABLE, False), (2, AVAILABLE, True)], Unload(1)),
        ([(1, AVAILABLE, False), (2, END, True)], None),
        ([(1, AVAILABLE, False)], Unload(1)),
        ([(1, AVAILABLE, False), (2, AVAILABLE, False), (3, AVAILABLE, True)], Unload(1)),
        ([(1, UNLOADING, False), (2, AVAILABLE, True)], None),
        ([(1, AVAILABLE, False), (2, AVAILABLE, True), (3, START, True)], Unload(1)),
        ([(1, START, False), (2, AVAILABLE, True)], None),
        ([(1, END, False), (2, AVAILABLE, True)], None),
    ],
)
def test_what_is_done_next(versions: list[tuple[int, State, bool]], action: Action | None):
    """The serving version goes only when an aspired one is AVAILABLE, or when none is aspired."""
    assert next_action(Snapshot(*version) for version in versions) == action
