"""A rollback needs no number: what was stable is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.memory import Memory

ALL = [1, 2, 3]


def promote(memory: Memory, stable: int | None, fails: bool = False) -> None:
    with memory.remembered(stable):
        if fails:
            raise RuntimeError


def test_it_goes_back_step_by_step(tmp_path: Path):
    """Each rollback leads to the version before, and never to one that was gone back from."""
    memory = Memory(tmp_path)
    assert memory.last_good(1, ALL) is None
    promote(memory, 1)
    promote(memory, 2)
    assert memory.last_good(3, ALL) == 2
    memory.forget_from(2)
    assert memory.last_good(2, ALL) == 1
    memory.forget_from(1)
    assert memory.last_good(1, ALL) is None


def test_a_promotion_that_fails_changes_nothing(tmp_path: Path):
    """After a failed promotion a rollback leads where it would have led before."""
    memory = Memory(tmp_path)
    promote(memory, 1)
    with pytest.raises(RuntimeError):
        promote(memory, 2, fails=True)
    assert memory.last_good(2, ALL) == 1
    memory.forget_from(1)
    assert memory.last_good(1, ALL) is None


def test_a_canary_is_remembered_until_it_is_decided(tmp_path: Path):
    """A command that is killed leaves the note by which a rollback knows what to undo; one that fails does not."""
    memory = Memory(tmp_path)
    promote(memory, 1)
    with memory.trying(3):
        assert Memory(tmp_path).canary == 3
    assert memory.canary == 3
    with pytest.raises(RuntimeError):
        promote(memory, 2, fails=True)
    assert memory.canary == 3
    memory.forget_canary()
    assert memory.canary is None
    with pytest.raises(RuntimeError), memory.trying(4):
        raise RuntimeError
    assert memory.canary is None
    assert memory.last_good(2, ALL) == 1


def test_a_version_that_is_gone_is_passed_over(tmp_path: Path):
    """If the last good version was removed by hand, the one before it is the last good one."""
    memory = Memory(tmp_path)
    promote(memory, 1)
    promote(memory, 2)
    assert memory.last_good(3, [1, 3]) == 1


def test_a_damaged_file_is_no_memory(tmp_path: Path):
    """It is taken for an empty one, and written anew."""
    (tmp_path / ".rollout.json").write_text("{")
    memory = Memory(tmp_path)
    assert memory.last_good(2, ALL) is None
    promote(memory, 1)
    assert memory.last_good(2, ALL) == 1
