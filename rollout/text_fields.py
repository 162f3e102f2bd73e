"""Where the fields of a text proto stand, so that some can be replaced and all else stays as it is.

``google.protobuf.text_format`` reads such files but forgets comments and layout; people write both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<open>[{<\[])|(?P<close>[}>\]])"""
    r"""|(?P<mark>[:,;])|(?P<word>[^\s{}<>\[\]:,;"'\#]+)""",
    re.DOTALL,
)


@dataclass
class TextField:
    """A field: its name, its place in the text, and what is in it."""

    name: str
    begin: int
    end: int = 0
    """Behind the last character of its value."""
    scalar: str = ""
    """Its value as it is written, if it is no message."""
    fields: list[TextField] = field(default_factory=list)

    def named(self, name: str) -> list[TextField]:
        """Return the fields of a name, in order."""
        return [each for each in self.fields if each.name == name]


def read_fields(text: str) -> TextField:
    """Return a nameless field that holds those of ``text``, which must be a text proto that can be parsed."""
    root = TextField("", 0, len(text))
    _read(_tokens(text), root)
    return root


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return (token for token in _TOKEN.finditer(text) if token.lastgroup != "space")


def _read(tokens: Iterator[re.Match[str]], parent: TextField) -> int:
    """Read fields into ``parent`` up to its closing bracket; returns where that ends."""
    current: TextField | None = None
    for token in tokens:
        if token.lastgroup == "close":
            return token.end()
        if token.lastgroup == "open":
            current = current or TextField("", token.start())
            if current not in parent.fields:
                parent.fields.append(current)
            current.end = _read(tokens, current)
            current = None
        elif token.lastgroup == "word" and current is None:
            current = TextField(token[0], token.start(), token.end())
            parent.fields.append(current)
        elif token.lastgroup in ("word", "string") and current is not None:
            current.scalar += token[0]
            current.end = token.end()
            current = None
    return parent.end
