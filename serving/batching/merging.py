"""Feeds of several calls to those of one run, and its outputs to theirs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate

import numpy as np

from scenery.wire.tensors import Array
from serving.errors import ServingError, invalid_argument


def merge_key(feeds: Mapping[str, Array], fetches: Sequence[str], any_length: bool) -> Hashable:
    """Return what calls must agree in to be merged."""
    kinds = ((name, array.dtype, array.ndim if any_length else array.shape[1:]) for name, array in feeds.items())
    return frozenset(kinds), tuple(fetches)


def batch_rows(feeds: Mapping[str, Array]) -> int:
    """Return the 0th dimension that all feeds share, 0 if there are none; raises :class:`ServingError` otherwise."""
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid_argument("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) > 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop() if sizes else 0


def cut_into_pieces(feeds: Mapping[str, Array], rows: int, limit: int) -> list[tuple[Mapping[str, Array], int]]:
    """Cut feeds into pieces of ``limit`` rows, the last of what is left; returns each with its number of rows."""
    if rows <= limit:
        return [(feeds, rows)]
    return [
        ({name: array[begin : begin + limit] for name, array in feeds.items()}, min(limit, rows - begin))
        for begin in range(0, rows, limit)
    ]


def concatenate(arrays: Sequence[Array], repeats: int = 0) -> Array:
    """Join arrays along the 0th dimension, the last row ``repeats`` times more.

    Where their other dimensions differ, each is padded at the end to the longest: with zeros,
    strings with empty ones.
    """
    if repeats:
        arrays = [*arrays, np.repeat(arrays[-1][-1:], repeats, axis=0)]
    if len(arrays) == 1:
        return arrays[0]
    shapes = [array.shape[1:] for array in arrays]
    if len(set(shapes)) == 1:
        return np.concatenate(arrays)
    longest = [max(extents) for extents in zip(*shapes, strict=True)]
    joined: Array = np.zeros((sum(map(len, arrays)), *longest), arrays[0].dtype)
    if joined.dtype.hasobject:
        joined.fill(b"")
    for array, end in zip(arrays, accumulate(map(len, arrays)), strict=True):
        place = (slice(end - len(array), end), *map(slice, array.shape[1:]))
        joined[place] = array
    return joined


def split(outputs: list[Array], sizes: list[int], padded_rows: int) -> list[list[Array]]:
    """Cut outputs of ``padded_rows`` rows into those of each task; raises :class:`ServingError` if they have others."""
    if any(output.ndim == 0 for output in outputs):
        raise ServingError("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
    if any(len(output) != padded_rows for output in outputs):
        raise ServingError(
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    ends = accumulate(sizes)
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]
