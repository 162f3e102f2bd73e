"""The errors that Scenery raises on purpose, each with a message that says what to do.

SceneryError
├── ConfigurationError    a file, flag or environment variable holds what it must not
├── DataError             a table or a photo cannot be used
├── ExportError           a model cannot be turned into a servable version
├── RolloutError          a version cannot be given to, or taken from, those it is for
├── VersionError          a folder of versions, or a version, is not as it must be
├── ScoringError          many photos cannot be scored on; what is finished stays
└── StackError            a process that serves could not be started, or ended by itself

The command line prints such an error as one line and exits with status 1; every other
exception is a defect and keeps its traceback.
"""

from __future__ import annotations


class SceneryError(Exception):
    """The root: catch this to catch everything that Scenery raises on purpose."""


class ConfigurationError(SceneryError):
    """A configuration file, flag or environment variable holds a value that cannot be used."""


class DataError(SceneryError):
    """A table of labels or a photo is missing, unreadable or contradicts the configuration."""


class ExportError(SceneryError):
    """A trained model could not be turned into a servable version, or failed its check."""


class VersionError(SceneryError):
    """A model's folder of numbered versions is missing, a version is taken already, or is not what it must be."""


class RolloutError(SceneryError):
    """A version could not be made the stable one or the canary, or taken back; what served goes on."""


class ScoringError(SceneryError):
    """A run over many photos could not go on; what it has finished stays, and another run goes on with it."""


class StackError(SceneryError):
    """The model server or the proxy could not be started, or ended by itself."""


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, without its full stop; never an empty one."""
    text = str(getattr(error, "message", "") or error).strip()
    return text.splitlines()[0].rstrip(".") if text else repr(error)
