"""Findings as pictures: the photos concerned, small, each with what is said of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from training.checks.finding import Finding
from training.checks.report import gravity
from training.photo_file import opened

COLUMNS = 5
ROWS = 8
_TILE = 300
"""The longest side of a photo on the sheet, in pixels."""
_TEXT = 58
"""Room for three lines under it."""
_GAP = 12
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""Pillow's own font lacks the letters of most languages."""
_LETTERS = 40
_COLOURS = {"error": "#b00020", "warning": "#8a5a00", "hint": "#1d4e89"}


@dataclass(frozen=True)
class _Tile:
    path: Path
    text: str
    colour: str


def write_sheets(file: Path, findings: list[Finding], images: Path, readable: set[str]) -> list[Path]:
    """Draw the photos of the findings, 40 a sheet, the gravest findings first.

    Returns
    -------
    The files written: ``file``, then its name with ``-2``, ``-3`` …; none if no photo is concerned.
    Further sheets of a run before are removed.

    Raises
    ------
    OSError
        If one cannot be written.
    """
    tiles = [tile for finding in sorted(findings, key=gravity) for tile in _tiles(finding, images, readable)]
    size = COLUMNS * ROWS
    pages = [tiles[start : start + size] for start in range(0, len(tiles), size)]
    files = [_page_file(file, number) for number in range(1, len(pages) + 1)]
    for page, page_file in zip(pages, files, strict=True):
        _draw(page).save(page_file, "PNG")
    _remove_from(file, len(pages) + 1)
    return files


def _page_file(file: Path, number: int) -> Path:
    return file if number == 1 else file.with_stem(f"{file.stem}-{number}")


def _remove_from(file: Path, first: int) -> None:
    for number in count(first):
        page_file = _page_file(file, number)
        if not page_file.is_file():
            return
        page_file.unlink()


def _tiles(finding: Finding, images: Path, readable: set[str]) -> Iterator[_Tile]:
    colour = _COLOURS[finding.check.severity]
    for name in finding.names:
        if name in readable:
            yield _Tile(images / name, _caption(finding, name), colour)


def _caption(finding: Finding, name: str) -> str:
    if finding.suggested is None:
        return f"{name}\n{finding.check.name}: {finding.sentence}"
    return (
        f"{name}\n{finding.labels[0]} is {1 - finding.suggested}, might be {finding.suggested}\nscored {finding.score}"
    )


def _draw(tiles: list[_Tile]) -> Image.Image:
    step = _TILE + _GAP
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * step + _GAP, rows * (step + _TEXT) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(_FONT, 13)
    for place, tile in enumerate(tiles):
        left = _GAP + place % COLUMNS * step
        top = _GAP + place // COLUMNS * (step + _TEXT)
        sheet.paste(_thumbnail(tile.path), (left, top + _TEXT))
        draw.multiline_text((left, top), _wrapped(tile.text), tile.colour, font, spacing=2)
    return sheet


def _thumbnail(path: Path) -> Image.Image:
    with opened(path) as image:
        image.draft("RGB", (_TILE, _TILE))
        photo: Image.Image = image.convert("RGB")
    photo.thumbnail((_TILE, _TILE))
    return photo


def _wrapped(text: str) -> str:
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, _LETTERS)]
    return "\n".join(lines[:3])
