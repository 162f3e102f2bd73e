"""Safe headers on every answer of an application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

from scenery.safe_headers import safe_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_IMAGES, _FORMS = "'self' blob: data:", "'self'"
_HEADERS = tuple(safe_headers(_IMAGES, _FORMS).items())
_INLINE = tuple(safe_headers(_IMAGES, _FORMS, inline=True).items())


class SafeHeaders:
    """Puts the headers on every answer that does not set its own; outside of Flask, where that costs least."""

    def __init__(self, app: WSGIApplication, inline_below: str) -> None:
        """Wrap an application.

        Parameters
        ----------
        inline_below
            The path below which pages may have scripts and styles inside.
        """
        self._app = app
        self._inline_below = inline_below

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            own = {name for name, _ in headers}
            headers += [each for each in self._headers(environ) if each[0] not in own]
            return start_response(status, headers, *error)

        return self._app(environ, start)

    def _headers(self, environ: WSGIEnvironment) -> Iterable[tuple[str, str]]:
        return _INLINE if environ["PATH_INFO"].startswith(self._inline_below) else _HEADERS


def register_safe_headers(app: Flask, inline_below: str) -> None:
    """Put the headers on every answer of ``app``."""
    app.wsgi_app = SafeHeaders(app.wsgi_app, inline_below)  # type: ignore[method-assign]
