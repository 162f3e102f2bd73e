"""A version as a model server with ``--prefer_tflite_model`` runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scenery.errors import VersionError
from scenery.lite import FILE_NAME, LiteGraph
from scenery.loaded import LoadedVersion


class LiteVersion(LoadedVersion):
    """A version whose ``model.tflite`` answers what it can; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Load a version.

        Raises
        ------
        ConfigurationError
            If LiteRT is not installed.
        VersionError
            If a model server could not load the version, or its ``model.tflite``.
        """
        super().__init__(folder)
        try:
            graph = LiteGraph(folder / FILE_NAME, self.signatures, self.session.graph.as_graph_def())
        except BaseException:
            self.session.close()
            raise
        self.session = _Session(self.session, graph)


class _Session:
    """Stands where the ``Session`` of a version did."""

    def __init__(self, session: Any, graph: LiteGraph) -> None:
        self._session = session
        self._graph = graph

    def run(self, fetches: Mapping[str, str], feeds: Mapping[str, Any], options: Any = None) -> dict[str, Any]:
        """Run the graph; see ``tf.compat.v1.Session.run``."""
        names = list(fetches.values())
        try:
            answers = self._graph.run(feeds, names, partial(self._run_by_tensorflow, options=options))
        except RuntimeError as error:
            raise VersionError(f"LiteRT fails: {error}") from error
        return dict(zip(fetches, answers, strict=True))

    def _run_by_tensorflow(self, feeds: Mapping[str, Any], fetches: Sequence[str], options: Any) -> Any:
        return self._session.run(fetches, feeds, options=options)

    def close(self) -> None:
        """Free the session."""
        self._session.close()
