"""A file of a task, replaced in one step."""

from __future__ import annotations

from pathlib import Path

from scenery.errors import DataError
from scenery.files import replace_text


def replace_file(path: Path, text: str) -> None:
    """Give a file another text, which is on disk when this returns.

    Raises
    ------
    DataError
        If it cannot be written; it has its old text then.
    """
    try:
        replace_text(path, text)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}. Correct the folder's permissions or free some space, "
            "then do it again."
        ) from error
