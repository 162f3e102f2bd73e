"""Headers that keep browsers from doing more with an answer than it is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_POLICY = "Content-Security-Policy"
_HEADERS = {
    _POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Source: OWASP's HTTP Headers Cheat Sheet."""

_INLINE = _HEADERS[_POLICY].replace(
    "script-src 'self'; style-src 'self'", "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)


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
        if environ["PATH_INFO"].startswith(self._inline_below):
            return (_HEADERS | {_POLICY: _INLINE}).items()
        return _HEADERS.items()


def register_safe_headers(app: Flask, inline_below: str) -> None:
    """Put the headers on every answer of ``app``."""
    app.wsgi_app = SafeHeaders(app.wsgi_app, inline_below)  # type: ignore[method-assign]
