"""Photos that a proxy keeps to learn from: the folder's names and texts, to whoever writes or reads it.

A kept photo is a pair, ``2026-11-23-unsure-0f3a….jpg`` and the same in ``.json``. The JSON comes last and goes
first: whoever finds one finds its picture too, but for the moment in which the pair is removed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, cast, get_args

Reason = Literal["unsure", "uniform"]
"""Why a photo is kept: the model was unsure of it, or chance drew it among all photos."""

REASONS: tuple[Reason, ...] = get_args(Reason)
PICTURE = ".jpg"
ANSWER = ".json"

_NAME = re.compile(rf"(\d{{4}}-\d\d-\d\d)-({'|'.join(REASONS)})-([0-9a-f]{{16}})")


@dataclass(frozen=True)
class Name:
    """What a kept photo is called; it tells nothing of who sent it, and not what it shows."""

    day: date
    reason: Reason
    draw: str
    """16 random hex digits. Where there are too many photos, those of the smallest draws stay."""

    def __str__(self) -> str:
        """Return the name without a suffix."""
        return f"{self.day}-{self.reason}-{self.draw}"


@dataclass(frozen=True)
class Answer:
    """What a version answered to a kept photo."""

    version: int
    scores: dict[str, float]
    """By label, in [0, 1]."""
    thresholds: dict[str, float]
    """By label; a label is given where its score reaches its threshold."""

    @property
    def labels(self) -> list[str]:
        """The labels that were given."""
        return [label for label, score in self.scores.items() if score >= self.thresholds[label]]


def new_name(day: date, reason: Reason) -> Name:
    """Draw a name."""
    return Name(day, reason, secrets.token_hex(8))


def parse_name(stem: str) -> Name | None:
    """Return the name that a file's stem is; None if it is another file's."""
    match = _NAME.fullmatch(stem)
    try:
        return Name(date.fromisoformat(match[1]), cast(Reason, match[2]), match[3]) if match else None
    except ValueError:  # no such day
        return None


def text_of(answer: Answer) -> str:
    """Return what :func:`parse_answer` reads."""
    return json.dumps(vars(answer), indent=1) + "\n"


def parse_answer(text: str) -> Answer:
    """Return the answer that a text tells; raises ``ValueError`` if it tells none."""
    told = json.loads(text)
    try:
        scores, thresholds = (
            {str(label): float(value) for label, value in told[key].items()} for key in ("scores", "thresholds")
        )
        answer = Answer(int(told["version"]), scores, thresholds)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it has no version, scores and thresholds ({error!r})") from error
    if not scores or scores.keys() != thresholds.keys():
        raise ValueError("its scores and thresholds are not of the same labels")
    return answer


def names_in(folder: Path) -> list[Name]:
    """Return the photos that a folder keeps whole; raises ``OSError`` if it cannot be read."""
    found = (parse_name(file.stem) for file in folder.iterdir() if file.suffix == ANSWER)
    return [name for name in found if name is not None]


def remove(folder: Path, name: Name) -> None:
    """Remove a kept photo, if it is still there; raises ``OSError``."""
    for suffix in (ANSWER, PICTURE):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def sureness(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> float:
    """Tell how sure a model is of a photo: 0 where some score is at its threshold, 1 where all are 0 or 1.

    A label's own sureness is how far its score has come from its threshold towards 0 or 1, as a share of the way;
    the photo's is that of its least sure label. A plain distance would call every photo unsure whose label has a
    threshold near 0. To learn from the least sure ones is uncertainty sampling (Lewis and Gale 1994,
    arXiv:cmp-lg/9407020).
    """
    return min(_way(score, thresholds[label]) for label, score in scores.items())


def _way(score: float, threshold: float) -> float:
    whole = 1 - threshold if score >= threshold else threshold
    return abs(score - threshold) / whole if whole > 0 else 0.0
