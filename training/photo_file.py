"""A photo's file, opened with care: in the formats that a model decodes, and no larger than it decodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from scenery import contract
from scenery.errors import DataError


class UnreadablePhotoError(DataError):
    """A photo cannot be read or decoded."""

    def __init__(self, path: Path, reason: str) -> None:
        """Name the photo, and tell why."""
        super().__init__(f"{path} cannot be read as a photo: {reason}.")
        self.reason = reason
        """Why, without the photo's name."""


@contextmanager
def opened(
    path: Path, formats: tuple[str, ...] = contract.PHOTO_FORMATS, content: bytes | None = None
) -> Iterator[Image.Image]:
    """Open a photo; what goes wrong while it is decoded, in the block, is told in the same way.

    Parameters
    ----------
    formats
        What it may be, in Pillow's names: others of Pillow's decoders run programs, or are seldom looked at. JPEG's
        reads what several lenses took, too.
    content
        Its bytes, where somebody has read them already.

    Raises
    ------
    UnreadablePhotoError
        If it is no such photo, damaged, or has more pixels than a model decodes.
    """
    try:
        with Image.open(path if content is None else BytesIO(content), formats=formats) as image:
            if image.width * image.height > contract.MAX_PIXELS:
                told = f"{image.width} x {image.height} pixels, and at most {contract.MAX_PIXELS:,} are read"
                raise UnreadablePhotoError(path, f"it has {told}")
            yield image
    except UnidentifiedImageError as error:
        raise UnreadablePhotoError(path, f"it is none of {', '.join(formats)}, or damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePhotoError(path, f"it has more than {contract.MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        strerror = error.strerror if isinstance(error, OSError) else None
        raise UnreadablePhotoError(path, strerror or str(error) or "it is damaged") from error
