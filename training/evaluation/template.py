"""The templates of this folder, and how figures are written in them."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#&~])")


UNKNOWN = "none"
"""What a figure is that cannot be told."""


def render(name: str, **values: Any) -> str:
    """Fill in a template; in HTML, every value is escaped."""
    environment = Environment(
        loader=PackageLoader("training.evaluation", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "interval": interval, "plain": plain, "seconds": seconds}
    return environment.get_template(name).render(values)


def figure(value: float | None, unknown: str = UNKNOWN) -> str:
    """Write a figure between 0 and 1 with three decimals."""
    return unknown if value is None else f"{value:.3f}"


def interval(bounds: list[float] | None, unknown: str = UNKNOWN) -> str:
    """Write the bounds of an interval."""
    return unknown if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def seconds(value: float) -> str:
    """Write a duration as people say it."""
    return f"{value:.0f} seconds" if value < 120 else f"{value / 60:.0f} minutes"


def plain(text: object, most: int = 40) -> str:
    """Write a text of a user's table as one short line in which Markdown and HTML mean nothing."""
    line = " ".join(str(text).split())
    short = line if len(line) <= most else line[: most - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", short)
