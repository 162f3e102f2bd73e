"""Write the tables of docs/training.md from the program: the keys of the two YAML files.

python scripts/training_tables.py            write the file
python scripts/training_tables.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path

from training.config import DataConfig, TrainingConfig

TARGET = Path(__file__).parent.parent / "docs" / "training.md"


def keys(config: type) -> str:
    """Return the table of a configuration's keys: their defaults, and what is written below them."""
    told = _told(config)
    rows = [f"| `{field.name}` | {_shown(field)} | {told[field.name]} |" for field in dataclasses.fields(config)]
    return "\n".join(["| key | default | |", "|---|---|---|", *rows])


def _told(config: type) -> dict[str, str]:
    """Return the docstring below each field."""
    (tree,) = ast.parse(inspect.getsource(config)).body
    assert isinstance(tree, ast.ClassDef)
    told, name = {}, ""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            told[name] = ""
        elif isinstance(node, ast.Expr) and name:
            told[name] = inspect.cleandoc(ast.literal_eval(node.value)).replace("\n", " ").replace("``", "`")
    return told


def _shown(field: dataclasses.Field[object]) -> str:
    if field.default is field.default_factory is dataclasses.MISSING:
        return "needed"
    if field.default_factory is not dataclasses.MISSING:
        return ""
    return f"`{json.dumps(field.default)}`"


def filled(text: str) -> str:
    """Return a text with its tables between their marks."""
    for name, config in (("data_config", DataConfig), ("training_config", TrainingConfig)):
        marks = f"<!-- {name} -->", f"<!-- /{name} -->"
        table = f"{marks[0]}\n{keys(config)}\n{marks[1]}"
        text = re.sub(f"{marks[0]}.*{marks[1]}", lambda _, t=table: t, text, flags=re.DOTALL)
    return text


def main() -> int:
    """Write or check the file; returns the exit status."""
    before = TARGET.read_text()
    after = filled(before)
    if "--check" not in sys.argv:
        TARGET.write_text(after)
        return 0
    if before == after:
        return 0
    print("docs/training.md is not what the program says. Run: python scripts/training_tables.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
