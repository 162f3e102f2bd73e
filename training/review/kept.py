"""The photos that a proxy kept, as `scenery review` finds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenery.errors import ConfigurationError, DataError
from scenery.sample import ANSWER, PICTURE, Answer, Name, names_in, parse_answer, remove, sureness


@dataclass(frozen=True)
class Kept:
    """A photo that a proxy kept, and what the model answered."""

    folder: Path
    name: Name
    answer: Answer

    @property
    def picture(self) -> Path:
        """Where its small picture is."""
        return self.folder / f"{self.name}{PICTURE}"

    @property
    def sureness(self) -> float:
        """How sure the model was, from 0 to 1."""
        return sureness(self.answer.scores, self.answer.thresholds)


def read_sample(folder: Path) -> tuple[list[Kept], list[str]]:
    """Read what a proxy kept; it may go on keeping photos, and removing old ones, meanwhile.

    Returns
    -------
    The photos, those that the model was least sure of first; and for each that cannot be used a sentence.

    Raises
    ------
    DataError
        If the folder cannot be read or has no photos.
    """
    try:
        names = sorted(names_in(folder), key=str)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}). Run this as the proxy's user.") from error
    if not names:
        raise DataError(
            f"{folder} has no photos. Name the SCENERY_SAMPLE_FOLDER of a proxy; one that has just begun needs time."
        )
    found, troubles = [], []
    for name in names:
        try:
            found.append(Kept(folder, name, parse_answer((folder / f"{name}{ANSWER}").read_text())))
        except FileNotFoundError:
            continue  # the proxy has just removed it
        except (OSError, ValueError) as error:
            troubles.append(f"{name}{ANSWER} cannot be used: {error}.")
    return sorted(found, key=lambda kept: kept.sureness), troubles


def require_labels(folder: Path, labels: list[str]) -> None:
    """Require that some photo was asked for some of the labels.

    Raises
    ------
    ConfigurationError
        If none was.
    DataError
        If the folder cannot be read or has no photos.
    """
    kept, _ = read_sample(folder)
    if kept and not any(set(labels) & each.answer.scores.keys() for each in kept):
        raise ConfigurationError(
            f"The photos of {folder} were given {', '.join(kept[0].answer.scores)}, and the table has "
            f"{', '.join(labels)}. Name the config of the model that the proxy asks: --data-config-path."
        )


def remove_kept(photos: list[Kept]) -> None:
    """Remove photos from where they were kept; raises :class:`DataError` if that cannot be done."""
    for kept in photos:
        try:
            remove(kept.folder, kept.name)
        except OSError as error:
            raise DataError(
                f"{kept.picture} cannot be removed ({error.strerror}). Run this as the proxy's user, or with --copy."
            ) from error
