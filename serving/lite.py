"""``--prefer_tflite_model``: a session whose graph LiteRT computes in part, by the version's ``model.tflite``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from scenery import wire
from scenery.errors import ConfigurationError, VersionError
from scenery.lite import FILE_NAME, LiteGraph, require_runtime
from scenery.wire.tensors import Array
from serving.errors import ServingError, invalid_argument
from serving.saved_model import Runner


def check_runtime() -> None:
    """Raise :class:`ServingError` if LiteRT is not installed."""
    try:
        require_runtime()
    except ConfigurationError as error:
        raise ServingError("FAILED_PRECONDITION", f"--prefer_tflite_model is given. {error}") from error


def has_lite(version: Path) -> bool:
    """Tell whether a version's folder has a ``model.tflite``."""
    return (version / FILE_NAME).is_file()


class LiteSession:
    """A :class:`Runner` that leaves to another what LiteRT does not compute. Runs may come from many threads."""

    def __init__(
        self, runner: Runner, version: Path, signatures: Mapping[str, wire.SignatureDef], interpreters: int
    ) -> None:
        """Open a version's ``model.tflite``; ``runner`` is this session's own from now on.

        Raises
        ------
        ServingError
            If the file is damaged, or not of this SavedModel.
        """
        self._runner = runner
        try:
            self._graph = LiteGraph(version / FILE_NAME, signatures, interpreters)
        except VersionError as error:
            raise invalid_argument(str(error)) from error

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """Run the graph; see :meth:`serving.runtime.session.Session.run`.

        The timeout holds for TensorFlow's part: LiteRT cannot be stopped.
        """
        try:
            return self._graph.run(feeds, fetches, partial(self._runner.run, timeout_seconds=timeout_seconds))
        except ValueError as error:
            raise invalid_argument(str(error)) from error
        except RuntimeError as error:
            raise ServingError("INTERNAL", f"LiteRT failed: {error}") from error

    def close(self) -> None:
        """Free it; nothing may be running."""
        self._runner.close()
