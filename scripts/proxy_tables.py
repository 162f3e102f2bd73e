"""Write the tables of docs/proxy.md from the program: its errors and its settings.

python scripts/proxy_tables.py            write the file
python scripts/proxy_tables.py --check    exit 1 if it is not what would be written
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

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


def filled(text: str) -> str:
    """Return a text with its tables between their marks."""
    for name, table in (("problems", kinds_table()), ("settings", settings())):
        marks = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(
            f"{marks[0]}.*{marks[1]}", lambda _, t=table, m=marks: f"{m[0]}\n{t}\n{m[1]}", text, flags=re.DOTALL
        )
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
    print("docs/proxy.md is not what the program says. Run: python scripts/proxy_tables.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
