"""Labelme's files: beside each photo a JSON with a flag for every label.

Labelme keeps top-level keys that it does not know, and writes its own number as ``version`` when a person saves.
So a file that Scenery wrote says ``"version": "scenery"``, and under :data:`MARK` whether a person confirmed it;
any other version is a person's work. Source: ``labelme/_label_file.py`` of Labelme 6.3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, TypeGuard

from scenery.errors import DataError
from training.annotate.file import replace_file
from training.photo_file import opened

FLAGS_FILE = "flags.txt"
"""In the folder of photos: a label a line, for ``labelme --flags``."""

VERSION = "scenery"
MARK = "scenery"
_KEYS = frozenset({"flags", "imagePath", "shapes"})
"""By which its files are told from other people's."""
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)
"""Orientations that swap height and width; Labelme gives the size as the photo is seen."""


@dataclass(frozen=True)
class Annotation:
    """What is known of a photo's labels."""

    flags: dict[str, bool]
    confirmed: bool
    """Whether a person saved it; otherwise the flags are a model's guess."""
    scores: dict[str, float] = field(default_factory=dict)
    """A model's scores by label, in [0, 1]; empty if none was asked."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Where the model's labels begin; empty if unknown."""


def annotation_path(photo: Path) -> Path:
    """Return where Labelme keeps a photo's flags."""
    return photo.with_suffix(".json")


def read_annotation(photo: Path) -> Annotation | None:
    """Read a photo's flags; None if there is no file of them.

    Raises
    ------
    DataError
        If the file is damaged, or belongs to another photo whose name differs in the suffix only.
    """
    document = _read(photo)
    return _annotation(annotation_path(photo), document) if document else None


def write_annotation(
    photo: Path,
    flags: Mapping[str, bool],
    scores: Mapping[str, float] | None,
    confirmed: bool,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Write a photo's flags in one step; shapes and whatever else the file has stay.

    Parameters
    ----------
    scores, thresholds
        A model's, by label, in [0, 1]; None leaves what the file has.
    confirmed
        Whether a person saw these flags.

    Raises
    ------
    DataError
        If the photo is none, or its file is damaged, belongs to another photo or cannot be written.
    """
    before = _read(photo) or {}
    mark = before.get(MARK, {}) | {"confirmed": confirmed}
    mark |= {} if scores is None else {"scores": _rounded(scores)}
    mark |= {} if thresholds is None else {"thresholds": _rounded(thresholds)}
    height, width = _size(photo)
    document = {
        "version": VERSION,
        "flags": dict(flags),
        "shapes": before.get("shapes", []),
        "imagePath": photo.name,
        "imageData": before.get("imageData"),
        "imageHeight": height,
        "imageWidth": width,
        MARK: mark,
    }
    replace_file(annotation_path(photo), json.dumps(before | document, indent=2) + "\n")


def is_annotation(path: Path) -> bool:
    """Tell whether a JSON file is one of Labelme's."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return _is_labelmes(document)


def write_flags_file(folder: Path, labels: Iterable[str]) -> Path | None:
    """Write the labels for ``labelme --flags``; raises :class:`DataError`.

    Returns
    -------
    Where the file as it was is kept, if there was one with other labels.
    """
    path, before, labels = folder / FLAGS_FILE, read_flags_file(folder), list(labels)
    if before == labels:
        return None
    backup = path.with_name(f"{FLAGS_FILE}.bak") if before else None
    if backup:
        replace_file(backup, path.read_text())
    replace_file(path, "".join(f"{label}\n" for label in labels))
    return backup


def read_flags_file(folder: Path) -> list[str]:
    """Return the labels of a folder's flag file, none if there is no such file; raises :class:`DataError`."""
    path = folder / FLAGS_FILE
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. It must hold a label a line.") from error


def _read(photo: Path) -> dict[str, Any] | None:
    path = annotation_path(photo)
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Mend it, or move it away and label the photo anew."
        ) from error
    if not _is_labelmes(document) or not isinstance(document.get(MARK, {}), dict):
        raise DataError(f"{path} is no file of Labelme's. Move it away, or rename the photo: its labels go there.")
    name = PureWindowsPath(str(document.get("imagePath", photo.name))).name  # knows both kinds of slashes
    if name != photo.name and (photo.parent / name).is_file():
        raise DataError(f"{photo.name} and {name} share {path.name}. Rename one of the photos.")
    return document


def _is_labelmes(document: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(document, dict) and document.keys() >= _KEYS


def _annotation(path: Path, document: dict[str, Any]) -> Annotation:
    flags, mark = document.get("flags") or {}, document.get(MARK) or {}
    try:
        saved = document.get("version") != VERSION or bool(mark.get("confirmed"))
        scores, thresholds = (
            {str(label): float(value) for label, value in mark.get(key, {}).items()} for key in ("scores", "thresholds")
        )
        if all(isinstance(flag, bool) for flag in flags.values()):
            return Annotation(flags, saved, scores, thresholds)
    except (AttributeError, TypeError, ValueError):
        pass
    raise DataError(f'{path} must have "flags" with true or false for each label. Received: {flags!r}')


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {label: round(float(value), 6) for label, value in values.items()}


def _size(photo: Path) -> tuple[int, int]:
    """Return height and width in pixels, as the photo is seen."""
    with opened(photo) as image:
        width, height = image.size
        turned = image.getexif().get(_EXIF_ORIENTATION) in _EXIF_TURNED
    return (width, height) if turned else (height, width)
