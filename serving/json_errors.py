"""What is wrong with a text that is no JSON, in the words of RapidJSON, which TF Serving uses.

Source: the messages of RapidJSON's ``error/en.h``; the offset is in bytes.
"""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_DIGITS = re.compile(r"\d+")
_MOST_DIGITS = 308
"""What a double holds."""
_WORDS = ("true", "false", "null")


def explain(body: bytes, error: Exception) -> str:
    """Return RapidJSON's message for a document that Python's ``json`` refused with ``error``."""
    if isinstance(error, RecursionError):
        return "The document is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return f"Invalid encoding in string. at offset: {error.start}"
    if not isinstance(error, json.JSONDecodeError):  # more digits than Python converts
        runs = _DIGITS.finditer(body.decode(errors="replace"))
        place = next((run.start() for run in runs if len(run[0]) > _MOST_DIGITS), 0)
        return f"Number too big to be stored in double. at offset: {place}"
    text = error.doc
    message, place = _message(error.msg, text, error.pos)
    return f"{message} at offset: {len(text[:place].encode(errors='surrogatepass'))}"


def _message(reason: str, text: str, place: int) -> tuple[str, int]:
    if reason.startswith("Expecting value"):
        return "Invalid value.", place + _matching(text, place)
    if reason.startswith(("Expecting property name", "Illegal trailing comma before end of object")):
        return "Missing a name for object member.", _next(text, place)
    if reason.startswith("Illegal trailing comma"):
        return "Invalid value.", _next(text, place + 1)
    if reason.startswith("Expecting ':'"):
        return "Missing a colon after a name of object member.", place
    if reason.startswith("Expecting ','"):
        if _innermost(text, place) == "[":
            return "Missing a comma or ']' after an array element.", place
        return "Missing a comma or '}' after an object member.", place
    if reason.startswith("Extra data"):
        return "The document root must not be followed by other values.", place
    if reason.startswith("Unterminated string"):
        return "Missing a closing quotation mark in string.", len(text)
    if "\\u" in reason:
        return "Incorrect hex digit after \\u escape in string.", place
    if "escape" in reason:
        return "Invalid escape character in string.", place
    return "Invalid encoding in string.", place


def _matching(text: str, place: int) -> int:
    """Return how many characters of a misspelt ``true``, ``false`` or ``null`` are right."""
    for word in _WORDS:
        length = 0
        while length < len(word) and text[place + length : place + length + 1] == word[length]:
            length += 1
        if length:
            return length
    return 0


def _next(text: str, place: int) -> int:
    return place + len(text[place:]) - len(text[place:].lstrip())


def _innermost(text: str, place: int) -> str:
    """Return the bracket that is open at ``place``."""
    opened: list[str] = []
    for token in _TOKEN.finditer(text, 0, place):
        if token[0] in "[{":
            opened.append(token[0])
        elif token[0] in "]}" and opened:
            opened.pop()
    return opened[-1] if opened else "{"
