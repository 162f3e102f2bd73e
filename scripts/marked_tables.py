"""Documents whose tables a program writes, each between the marks ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(target: Path, tables: Mapping[str, str]) -> int:
    """Write the tables into a document, or with ``--check`` tell whether they are there; returns the exit status."""
    before = target.read_text()
    after = before
    for name, table in tables.items():
        filled = f"<!-- {name} -->\n{table}\n<!-- /{name} -->"
        after = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _, f=filled: f, after, flags=re.DOTALL)
    if "--check" not in sys.argv:
        target.write_text(after)
        return 0
    if before == after:
        return 0
    print(f"docs/{target.name} is not what the program says. Run: python scripts/{Path(sys.argv[0]).name}")
    return 1
