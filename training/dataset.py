"""From a table of labelled photos to arrays: read, split by source, decode."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from scenery import contract
from scenery.errors import DataError
from scenery.in_order import in_order
from training.config import DataConfig

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Samples:
    """Some labelled photos, not yet read: ``paths`` [n], ``targets`` float32 [n, labels] of 0 and 1."""

    paths: list[Path]
    targets: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.paths)


def read_table(csv_path: Path, config: DataConfig) -> pd.DataFrame:
    """Read the table of photos and check what the configuration says of it.

    Photos that nobody has labelled, all of whose cells are empty, are left out.

    Raises
    ------
    DataError
        If the file, a column or a photo is missing, or a label is neither 0 nor 1.
    """
    try:
        table = read_cells(csv_path, config)
    except (OSError, ValueError) as error:
        raise DataError(f"{csv_path} cannot be read as a CSV table: {error}") from error
    wanted = [config.image_name_col, *config.targets, *([config.group_col] if config.group_col else [])]
    absent = [column for column in wanted if column not in table.columns]
    if absent:
        present = ", ".join(map(str, table.columns))
        raise DataError(f"{csv_path} has no column {absent[0]!r}, which data_config names. Its columns: {present}.")
    if table.empty:
        raise DataError(f"{csv_path} has no photos, only a header. Add a line for each photo.")
    table = table[table[config.targets].notna().any(axis=1)]
    if table.empty:
        raise DataError(f"{csv_path} has no labelled photo. Label them: scenery annotate")
    for label in config.targets:
        wrong = table.index[~table[label].isin([0, 1])]
        if len(wrong):
            value = table[label][wrong[0]]
            received = "an empty cell" if pd.isna(value) else str(value)
            raise DataError(f"{csv_path}, line {wrong[0] + 2}: {label} must be 0 or 1. Received: {received}")
    missing = [name for name in table[config.image_name_col] if not (config.images_base_path / str(name)).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(table)} photos are not in {config.images_base_path}, the first is {missing[0]}. "
            "Correct images_base_path or the table."
        )
    labelled: pd.DataFrame = table.reset_index(drop=True)
    return labelled


def read_cells(csv_path: Path, config: DataConfig) -> pd.DataFrame:
    """Read a table as it stands; names and sources are texts, even if they look like numbers.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is no table.
    """
    texts = dict.fromkeys([config.image_name_col, *([config.group_col] if config.group_col else [])], str)
    table: pd.DataFrame = pd.read_csv(csv_path, dtype=texts, keep_default_na=False, na_values=[""])
    return table


def split(table: pd.DataFrame, config: DataConfig, seed: int) -> pd.Series[str]:
    """Assign each row to ``train``, ``validation`` or ``test``, keeping the photos of a source together.

    Sources go, in random order but those of many photos first, each to the part that lacks most of
    the labels the source brings; so every part ends with about its share of every label.

    Returns
    -------
    A series of part names with the table's index.

    Raises
    ------
    DataError
        If there are too few sources for three parts.
    """
    groups = sources(table, config)
    counts = table[config.targets].assign(_photos=1).groupby(groups).sum()
    train_fraction = 1 - config.validation_fraction - config.test_fraction
    fractions = np.array([train_fraction, config.validation_fraction, config.test_fraction])
    totals = counts.sum().clip(lower=1).to_numpy()
    lacking = np.ones((len(PARTS), len(totals)))
    parts: dict[object, Part] = {}
    shuffled = counts.sample(frac=1, random_state=seed).sort_values("_photos", ascending=False, kind="stable")
    for source, brought in (shuffled / totals).iterrows():
        place = int(np.argmax(lacking @ brought.to_numpy()))
        lacking[place] -= brought.to_numpy() / fractions[place]
        parts[source] = PARTS[place]
    assigned = groups.map(parts)
    if assigned.nunique() < len(PARTS):
        raise DataError(
            f"{len(counts)} sources cannot be split into {', '.join(PARTS)}. Bring photos of more sources, "
            "or leave group_col out to split single photos."
        )
    return assigned


def sources(table: pd.DataFrame, config: DataConfig) -> pd.Series[str]:
    """Return the source of each row: what must not be on two sides of a split; a photo alone is its own."""
    if config.group_col is None:
        return table[config.image_name_col].astype(str)
    groups: pd.Series[str] = table[config.group_col].fillna("").astype(str)
    groups = groups.where(groups.str.strip() != "", table[config.image_name_col].astype(str))
    if config.group_separator is None:
        return groups
    before: pd.Series[str] = groups.str.split(config.group_separator, n=1, regex=False).str[0]
    return before


def samples_of(table: pd.DataFrame, config: DataConfig) -> Samples:
    """Turn rows of a table into samples."""
    paths = [config.images_base_path / str(name) for name in table[config.image_name_col]]
    return Samples(paths, table[config.targets].to_numpy(np.float32))


def digest(samples: Samples) -> str:
    """Return a SHA-256, in hex, over the photos' bytes and their labels, in order."""
    total = hashlib.sha256()
    for path, target in zip(samples.paths, samples.targets, strict=True):
        total.update(hashlib.sha256(path.read_bytes()).digest())
        total.update(target.astype(np.uint8).tobytes())
    return total.hexdigest()


def decode_photos(
    paths: Sequence[Path],
    size: tuple[int, int],
    pad_to_aspect_ratio: bool = True,
    into: npt.NDArray[np.uint8] | None = None,
    tell: Callable[[int], object] = lambda _: None,
) -> npt.NDArray[np.uint8]:
    """Decode photos, several at a time, with the very function that the exported graph runs.

    Parameters
    ----------
    pad_to_aspect_ratio
        Whether photos keep their proportions and are padded, or are stretched.
    into
        Where to write them, if not into memory.
    tell
        Is told of photos that are ready: how many more there are.

    Returns
    -------
    uint8 [n, height, width, 3], RGB: 150 KB a photo at 224 × 224.

    Raises
    ------
    DataError
        Naming the photo that cannot be read or decoded.
    """
    import tensorflow as tf

    from scenery import preprocess

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
    def decode(image: preprocess.Tensor) -> preprocess.Tensor:
        return preprocess.decode(image, size, pad_to_aspect_ratio=pad_to_aspect_ratio)

    pixels = np.empty((len(paths), *size, 3), np.uint8) if into is None else into

    def read(job: tuple[int, Path]) -> None:
        place, path = job
        try:
            pixels[place] = decode(tf.constant(path.read_bytes()))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"{path} cannot be decoded: {reason_of(error.message)}") from error

    # Everything in it that takes time lets go of Python's lock.
    with closing(in_order(read, enumerate(paths), os.cpu_count() or 1)) as done:
        for _ in done:
            tell(1)
    return pixels


def reason_of(message: str) -> str:
    """Return what the graph or a decoder itself said, out of TensorFlow's message with its stack of calls."""
    refusal = re.search(rf"{contract.REFUSED}: [^\]]+", message)
    if refusal:
        return refusal[0]
    lines = re.split(r"\[\[|\[Op:", message)[0].strip().splitlines()
    return lines[-1] if lines else message
