"""What a photo's first bytes say: its format, its size in pixels, its frames. Nothing is decoded.

Sizes are read as ``scenery.preprocess`` reads them in the graph, so that what the model would refuse for its size
can be refused before it is sent. Whatever the bytes are, reading them takes bounded time and raises nothing: a file
of more blocks than an honest one has is reported with as many frames as were to be counted, so that a limit on frames
refuses it; a JPEG of more segments has no size, as in the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from

_MAX_STEPS = 4096
"""Segments, chunks or blocks that are walked beside those of frames; the graph walks as many segments of a JPEG."""
_STEPS_A_FRAME = 6
"""Steps more for each frame of a GIF: its timing, its description, and blocks of pixels in one run and a rest."""
_LONG = 128
"""Bytes of a GIF's sub-block from which on encoders fill one after the other to the same size."""
_RUN = 128
"""Equal long sub-blocks that are walked at once, so that large frames cost hardly more steps than small ones."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments that begin with the photo's size: SOF0 to SOF15."""
_JPEG_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
"""Markers without a length behind them."""
_JPEG_ENDS = frozenset((0xD9, 0xDA))
"""Markers behind which no size comes: the end, and the first scan."""


@dataclass(frozen=True)
class Header:
    """What a photo says of itself."""

    kind: str
    """``jpeg``, ``png``, ``webp``, ``bmp`` or ``gif``."""
    width: int
    height: int
    """In pixels, before any EXIF orientation, and 0 if the header gives no size. Of a GIF the largest extent."""
    frames: int
    """1 for a still; for an animation never more than were to be counted."""


def read_header(content: bytes, stop_frames: int = 1000) -> Header | None:
    """Read the header of an encoded photo; None if it is none of the five formats.

    Parameters
    ----------
    content
        The whole file, or as much of it as there is.
    stop_frames
        Look at no more frames than these: one more than are allowed.
    """
    kind = _kind(content)
    return None if kind is None else Header(kind, *_READERS[kind](content, stop_frames))


def _kind(content: bytes) -> str | None:
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if content.startswith(b"RIFF") and content.startswith(b"WEBP", 8):
        return "webp"
    if content.startswith(b"BM"):
        return "bmp"
    return "gif" if content.startswith(b"GIF8") else None


_Found = tuple[int, int, int]
"""Width, height, frames."""

_NO_SIZE: _Found = (0, 0, 1)


def _jpeg(content: bytes, _: int) -> _Found:
    """Walk the segments to the frame header, as libjpeg does. Source: ITU-T T.81, annex B."""
    at = 2
    last = len(content) - 9
    for _ in range(_MAX_STEPS):
        if at > last:
            break
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xFF:  # something between two segments
            at += 1
        elif marker in _JPEG_SIZES:
            height, width = unpack_from(">HH", content, at + 5)
            return width, height, 1
        elif marker in _JPEG_ENDS:
            break
        else:
            at += 2 if marker in _JPEG_ALONE else 2 + max(2, content[at + 2] << 8 | content[at + 3])
    return _NO_SIZE


def _png(content: bytes, stop_frames: int) -> _Found:
    """Read the first chunk, and the animation's if there is one. Source: the PNG specification, third edition."""
    if len(content) < 24:
        return _NO_SIZE
    width, height = unpack_from(">ii", content, 16)
    return max(0, width), max(0, height), _png_frames(content, stop_frames)


def _png_frames(content: bytes, stop_frames: int) -> int:
    at = 8
    last = len(content) - 12
    for _ in range(_MAX_STEPS):
        if at > last:
            return 1
        length, name = unpack_from(">I4s", content, at)
        if name == b"acTL":
            (frames,) = unpack_from(">I", content, at + 8)
            return max(1, min(int(frames), stop_frames))
        if name == b"IDAT":
            return 1
        at += 12 + length
    return stop_frames


def _webp(content: bytes, stop_frames: int) -> _Found:
    """Read the first chunk, and count the frames if it tells of an animation. Source: RFC 9649, section 2."""
    first = content[12:16]
    if first == b"VP8L" and len(content) >= 25:
        (bits,) = unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 1
    if len(content) < 30:
        return _NO_SIZE
    if first == b"VP8 ":
        width, height = unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF, 1
    if first == b"VP8X":
        width, height = int.from_bytes(content[24:27], "little"), int.from_bytes(content[27:30], "little")
        return 1 + width, 1 + height, _webp_frames(content, stop_frames) if content[20] & 2 else 1
    return _NO_SIZE


def _webp_frames(content: bytes, stop_frames: int) -> int:
    at, frames = 12, 0
    last = len(content) - 8
    for _ in range(_MAX_STEPS + stop_frames):
        if at > last or frames >= stop_frames:
            return max(1, frames)
        name, length = unpack_from("<4sI", content, at)
        frames += name == b"ANMF"
        at += 8 + length + length % 2
    return stop_frames


def _bmp(content: bytes, _: int) -> _Found:
    """Read the header of either generation; a negative height is that of a photo stored from the top."""
    if len(content) < 26:
        return _NO_SIZE
    if content[14:18] == b"\x0c\0\0\0":
        return *unpack_from("<HH", content, 18), 1
    width, height = unpack_from("<ii", content, 18)
    return max(0, width), abs(height), 1


def _gif(content: bytes, stop_frames: int) -> _Found:
    """Walk the blocks to the end, since any frame may reach out of the screen. Source: GIF89a specification."""
    if len(content) < 13:
        return _NO_SIZE
    width, height, flags = unpack_from("<HHB", content, 6)
    at, frames, steps = 13 + _table_bytes(flags), 0, _MAX_STEPS + _STEPS_A_FRAME * stop_frames
    while at < len(content) and frames < stop_frames:
        block = content[at]
        if block == 0x2C and at + 10 <= len(content):
            left, top, frame_width, frame_height, flags = unpack_from("<HHHHB", content, at + 1)
            width, height = max(width, left + frame_width), max(height, top + frame_height)
            frames += 1
            at += 11 + _table_bytes(flags)
        elif block == 0x21:
            at += 2
        else:
            break
        at, steps = _behind_blocks(content, at, steps - 1)
        if steps <= 0:
            return width, height, stop_frames
    return width, height, max(1, frames)


def _table_bytes(flags: int) -> int:
    """Bytes of the colour table that ``flags`` announce."""
    return 3 << 1 + (flags & 7) if flags & 0x80 else 0


def _behind_blocks(content: bytes, at: int, steps: int) -> tuple[int, int]:
    """Walk sub-blocks until their end or that of ``steps``; returns the place behind, and the steps that are left."""
    end = len(content)
    while steps > 0 and at < end and (size := content[at]):
        steps -= 1
        behind = at + 1 + size
        if size >= _LONG and behind < end and content[behind] == size:
            behind = _behind_run(content, at)
            steps -= 2  # it takes as long as three
        at = behind
    return at + 1, steps


def _behind_run(content: bytes, at: int) -> int:
    """Return where a sub-block ends, and those of the same size that follow it at once."""
    size = content[at]
    run = content[at : at + _RUN * (1 + size) : 1 + size]
    return at + (1 + size) * (len(run) - len(run.lstrip(bytes((size,)))))


_READERS: dict[str, Callable[[bytes, int], _Found]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "bmp": _bmp,
    "gif": _gif,
}
