"""Files in protobuf's text format, which flags name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from scenery import wire
from serving.errors import ServingError, invalid_argument, not_found


def read_text_proto(path: Path, message_class: Any) -> Any:
    """Read one message.

    Raises
    ------
    ServingError
        If the file cannot be read or parsed.
    """
    return parse_text_proto(read_text(path), path, message_class)


def read_text(path: Path) -> str:
    """Read a file; raises :class:`ServingError` if it cannot be read."""
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise not_found(f"{path}; {error.strerror}") from error
    except OSError as error:
        raise ServingError("FAILED_PRECONDITION", f"{path}; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error


def parse_text_proto(text: str, path: Path, message_class: Any) -> Any:
    """Parse the text of ``path``; raises :class:`ServingError` if it is no such message."""
    try:
        return text_format.Parse(text, message_class(), descriptor_pool=wire.pool)
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error
