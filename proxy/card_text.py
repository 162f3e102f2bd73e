"""A model card for browsers. It may be somebody else's: no HTML of its own, no pictures, no scripts by its links."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
# A table that is wider than the page is scrolled by itself, by keys too.
_markdown.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
_markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")


@lru_cache(maxsize=8)
def as_html(card: str) -> Markup:
    """Return Markdown as HTML that fits below a page's own heading, and needs no style inside."""
    tokens = _markdown.parse(card)
    for token in tokens:
        _fit(token)
    return Markup(_markdown.renderer.render(tokens, _markdown.options, {}))


def _fit(token: Token) -> None:
    """Lower a heading by one, and say by a class how a cell is aligned: the page's policy forbids styles inside."""
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
    style = token.attrs.pop("style", None)
    if style is not None:
        token.attrs["class"] = str(style).removeprefix("text-align:")
