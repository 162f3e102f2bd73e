"""Write the tables of docs/proxy.md from the program: its errors and its settings.

python scripts/proxy_tables.py            write the file
python scripts/proxy_tables.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from marked_tables import write_or_check

from proxy.problems import kinds_table
from proxy.settings import PREFIX, Settings

TARGET = Path(__file__).parent.parent / "docs" / "proxy.md"


def settings() -> str:
    """Return the table of settings."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | |", "|---|---|---|", *rows])


def _shown(default: object) -> str:
    return "" if default in (None, ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, {"problems": kinds_table(), "settings": settings()}))
