"""Write the tables of docs/training.md from the program: the keys of the two YAML files.

python scripts/training_tables.py            write the file
python scripts/training_tables.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
from pathlib import Path

from marked_tables import write_or_check

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


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, {"data_config": keys(DataConfig), "training_config": keys(TrainingConfig)}))
