"""Files of a task, replaced in one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenery.errors import DataError
from scenery.files import replace_text


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what to do if a file cannot be written: raises :class:`DataError` for ``OSError``."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}. Correct the folder's permissions or free some space, "
            "then do it again."
        ) from error


def replace_file(path: Path, text: str) -> None:
    """Give a file another text, which is on disk when this returns.

    Raises
    ------
    DataError
        If it cannot be written; it has its old text then.
    """
    with writing(path):
        replace_text(path, text)
