"""docs/rollout.md shows what the commands print."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.processes import PHOTOS, ROOT
from tests.rollout.stack import SHIPPED, Load, Stack

LABELS = "beach|city|sunset|trees"


def console_blocks() -> list[tuple[str, str]]:
    """Return the commands of the document, in order, and what it shows of each."""
    text = re.sub("^   ", "", (ROOT / "docs/rollout.md").read_text(), flags=re.MULTILINE)
    blocks = re.findall(r"```console\n\$ scenery (.*)\n((?:.*\n)*?)```", text)
    assert len(blocks) == 8
    return blocks


def masked(text: str) -> str:
    """Leave out what differs from machine to machine: figures, widths, and which label is the extreme one."""
    text = re.sub(rf"of ({LABELS}) \(", "of LABEL (", text)
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", text)).strip()


def printed(stack: Stack, command: str) -> str:
    """Run a command of the document on a stack of its own."""
    more = ["--latency-ratio", "5", "--nice", "0"] if command.startswith("publish") else []
    more = ["--p99-ratio", "5"] if "--auto" in command else more
    return stack.run(*shlex.split(command), *more).replace(f"{stack.models}/", "models/")


@pytest.mark.parametrize("version", [SHIPPED], ids=["shipped"])
def test_the_commands_print_what_the_document_shows(stack):
    """From the first label to the pruning, each command of docs/rollout.md prints what stands below it."""
    photos = [photo.read_bytes() for photo in sorted(PHOTOS.glob("*.jpg"))[:40]]
    with Load(stack, photos) as load:
        for command, shown in console_blocks():
            assert masked(printed(stack, command)) == masked(shown), command
            load.more(50)
    assert not load.failures
