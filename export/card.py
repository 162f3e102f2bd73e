"""The model card: what a version is for, how it was made and how good it is, in Markdown."""

from __future__ import annotations

from pathlib import Path

from scenery import contract
from scenery.errors import ExportError
from scenery.lite import FILE_NAME as LITE_FILE

FILE_NAME = "model_card.md"
"""In a run folder."""


def read_card(path: Path) -> str | None:
    """Return a card; None if there is none.

    Raises
    ------
    ExportError
        If it is no text, or too long to travel in a graph.
    OSError
        If it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) > contract.MAX_MODEL_CARD_BYTES:
        raise ExportError(
            f"{path} may have {contract.MAX_MODEL_CARD_BYTES} bytes, because model servers keep it in memory and send "
            f"it to those who ask. Shorten it. Received: {len(content)} bytes"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ExportError(f"{path} must be text in UTF-8. Save it again. {error}") from error


def with_version(card: str, model_name: str, number: int, lite: str | None = None) -> str:
    """Return a card that says below its heading which version it is of; only export knows the number.

    Parameters
    ----------
    lite
        The precision of its ``model.tflite``; None if it has none.
    """
    line = f"Version {number} of the model `{model_name}`."
    if lite is not None:
        line += f" Its `{LITE_FILE}` computes in {lite}."
    heading, _, rest = card.lstrip().partition("\n")
    if heading.startswith("# "):
        return f"{heading}\n\n{line}\n\n{rest.lstrip()}"
    return f"{line}\n\n{card.lstrip()}"
