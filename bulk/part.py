"""A part: the photos that are scored and written together, and what became of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scenery import contract

Floats = npt.NDArray[np.float32]

NOT_READABLE = "file-not-readable"
"""The code of a photo whose file is missing or may not be read."""
FAILED = "failed"
"""The code of a photo that the model could not answer, without saying that the photo is at fault."""

Photos = Sequence[str]
"""The paths of a part's photos, in order."""


@dataclass(frozen=True)
class Failure:
    """A photo without scores, as a line of the dead letters has it."""

    photo: str
    code: str
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the photo itself is at fault, so that the same model would refuse it again."""
        return self.code in contract.REFUSALS


@dataclass(frozen=True)
class ScoredPart:
    """What became of each photo of a part."""

    key: str
    version: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    photos: list[str]
    """Those that have scores, by their written names."""
    scores: list[Floats]
    """Of each of them, float32 [labels]."""
    failures: list[Failure]


def key_of(photos: Photos) -> str:
    """Return the name of a part: the same for the same photos, whoever scores them, and however often."""
    return hashlib.sha256(json.dumps(photos).encode()).hexdigest()[:16]


def written(path: str) -> str:
    r"""Return a path as outputs have it, in UTF-8: a byte that is none is written ``\xff``.

    Where ``\x`` is in what comes of that, each backslash of the path is written twice: no two paths are written alike.
    """
    encoded = os.fsencode(path)
    name = encoded.decode("utf-8", "backslashreplace")
    return encoded.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace") if r"\x" in name else name


def as_parquet(part: ScoredPart) -> bytes:
    """Return the rows of the photos that have scores, as a Parquet file.

    The columns are ``photo`` (string), ``version`` (int64), ``labels`` (list of strings, the surest first), ``top``
    (string) and, for each label, ``score_LABEL`` (float32, in [0, 1]).
    """
    scores = np.array(part.scores, np.float32).reshape(len(part.photos), len(part.labels))
    columns = {
        "photo": pa.array(part.photos, pa.string()),
        "version": pa.array([part.version] * len(part.photos), pa.int64()),
        "labels": pa.array([_labels(part, row) for row in scores], pa.list_(pa.string())),
        "top": pa.array([part.labels[place] for place in scores.argmax(axis=1)], pa.string()),
    }
    for label, column in zip(part.labels, scores.T, strict=True):
        columns[f"score_{label}"] = pa.array(column, pa.float32())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _labels(part: ScoredPart, row: Floats) -> list[str]:
    """Return the labels whose score, to six decimals as the proxy compares it, reaches their threshold."""
    return [
        part.labels[place]
        for place in np.argsort(-row, kind="stable")
        if round(float(row[place]), 6) >= part.thresholds[place]
    ]


def photos_in(parquet: bytes) -> list[str]:
    """Return the names of the photos that a part has scores of; raises ``ValueError`` if it is no such part."""
    try:
        names: list[str] = pq.read_table(io.BytesIO(parquet), columns=["photo"])["photo"].to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(str(error)) from error
    return names


def as_lines(failures: Iterable[Failure]) -> bytes:
    """Return failures as JSON, one a line."""
    return "".join(f"{json.dumps(asdict(each), ensure_ascii=False)}\n" for each in failures).encode()


def failures_in(lines: bytes) -> list[Failure]:
    """Return what :func:`as_lines` wrote; raises ``ValueError`` if it did not."""
    try:
        return [Failure(**json.loads(line)) for line in lines.splitlines()]
    except TypeError as error:
        raise ValueError(f"a line has not the keys photo, code and reason: {error}") from error
