"""The one error of the data plane; each wire has a table that turns its code into a status."""

from __future__ import annotations


class ServingError(Exception):
    """A request, or the load of a version, failed.

    ``code`` is the name of a gRPC status (``INVALID_ARGUMENT``, ``NOT_FOUND``, …), ``message``
    is sent to the client as it is.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return code and message, as TensorFlow prints a status."""
        return f"{self.code}: {self.message}"


def invalid_argument(message: str) -> ServingError:
    """Return the error for what no retry will make right."""
    return ServingError("INVALID_ARGUMENT", message)


def not_found(message: str) -> ServingError:
    """Return the error for a model or version that is not served."""
    return ServingError("NOT_FOUND", message)
