"""Servables: what is served, by name and version, and the state a version is in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from serving.errors import ServingError


@dataclass(frozen=True, order=True)
class ServableId:
    """One version of one model."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.version}}}"


class State(Enum):
    """Where a version is in its life; the numbers are those of ``GetModelStatus``."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class ServableState:
    """The state of a version, and why it ended if it failed."""

    id: ServableId
    state: State
    error: ServingError | None = None
