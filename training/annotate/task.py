"""An annotation task: a folder of photos, the labels to give, and the table that comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scenery.contract import PHOTO_SUFFIXES
from scenery.errors import ConfigurationError, DataError
from scenery.locks import alone
from training.annotate.labelme import Annotation, is_annotation, read_annotation, read_flags_file
from training.config import load_data_config
from training.table import IMAGES, NAME, TABLE

Watch = Callable[[list[str]], AbstractContextManager[Iterable[str]]]
"""Shows how far a loop over names has come."""

_LOCK = ".annotate.lock"


@dataclass(frozen=True)
class Task:
    """Photos in a folder, and what is asked of them."""

    folder: Path
    csv_path: Path
    labels: list[str]
    name_column: str = NAME

    def names(self) -> list[str]:
        """Return the photos' names relative to the folder, those of folders inside too, hidden ones left out."""
        files = (path for path in self.folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        found = (path.relative_to(self.folder) for path in files)
        return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def photo(self, name: str) -> Path:
        """Return where a photo is."""
        return self.folder / name

    def annotations(self) -> tuple[dict[str, Annotation], dict[str, str]]:
        """Read what is known of the photos: annotations by name, and by name why a file cannot be read."""
        found: dict[str, Annotation] = {}
        troubles: dict[str, str] = {}
        for name in self.names():
            try:
                annotation = read_annotation(self.photo(name))
            except DataError as error:
                troubles[name] = str(error)
            else:
                found |= {name: annotation} if annotation else {}
        return found, troubles

    def orphans(self) -> list[str]:
        """Return Labelme's files that have no photo beside them."""
        stems = {str(Path(name).with_suffix("")) for name in self.names()}
        files = (path.relative_to(self.folder) for path in sorted(self.folder.rglob("[!.]*.json")))
        return [
            file.as_posix()
            for file in files
            if str(file.with_suffix("")) not in stems and is_annotation(self.folder / file)
        ]


@contextmanager
def labelled_alone(task: Task) -> Iterator[None]:
    """Keep other commands from labelling a task's photos, so that none overwrites what another one writes.

    Raises
    ------
    ConfigurationError
        If another command does, or the folder cannot be written to.
    """
    busy = ConfigurationError(
        f"Another scenery annotate labels {task.folder}. Label in the page that it serves, or end it first."
    )
    with alone(task.folder / _LOCK, busy):
        yield


def open_task(folder: Path, csv_path: Path | None, labels: list[str], data_config: Path | None) -> Task:
    """Find the photos, the labels and the table.

    Parameters
    ----------
    folder
        The photos, or what ``scenery collect`` wrote: their folder ``images`` and the table beside it.
    labels
        If empty those of ``data_config``; without one those of the folder's ``flags.txt``.

    Raises
    ------
    ConfigurationError
        If there are no labels, or they cannot be used.
    DataError
        If the folder has no photos.
    """
    photos = _photos_folder(folder)
    config = load_data_config(data_config) if data_config else None
    name_column = config.image_name_col if config else NAME
    chosen = labels or (config.targets if config else read_flags_file(photos))
    _check_labels(chosen, name_column)
    task = Task(photos, csv_path or _table_of(photos), chosen, name_column)
    if not task.names():
        raise DataError(f"{photos} has no photos ({', '.join(PHOTO_SUFFIXES)}). Name the folder that has them.")
    return task


def _photos_folder(folder: Path) -> Path:
    has_table = (folder / TABLE).is_file()
    return folder / IMAGES if has_table and (folder / IMAGES).is_dir() else folder


def _table_of(photos: Path) -> Path:
    collected = photos.resolve().parent / TABLE
    is_collected = photos.resolve().name == IMAGES and collected.is_file()
    return photos.parent / TABLE if is_collected and not (photos / TABLE).exists() else photos / TABLE


def _check_labels(labels: list[str], name_column: str) -> None:
    if not labels:
        raise ConfigurationError("There are no labels to give. Name them: --labels beach,city, or --data-config FILE.")
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ConfigurationError(f"A label can be given once only. Received: {repeated[0]} more than once.")
    if name_column in labels:
        raise ConfigurationError(f"{name_column!r} is the column of file names; call the label otherwise.")
