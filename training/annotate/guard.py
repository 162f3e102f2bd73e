"""Who may use the page: the browser that was given its address, and no other page in it."""

from __future__ import annotations

import hmac

from flask import Flask, Response, abort, request

from scenery.safe_headers import safe_headers

_HOSTS = ["127.0.0.1", "localhost"]


def register_guard(app: Flask, token: str) -> None:
    """Let an application answer only below ``/TOKEN/``, asked for by this machine's name, from its own pages.

    The name keeps out pages whose own name was made to point here (DNS rebinding), the origin other pages.
    """
    app.config["TRUSTED_HOSTS"] = _HOSTS

    @app.before_request
    def check() -> None:
        if request.headers.get("Origin", request.host_url.rstrip("/")) != request.host_url.rstrip("/"):
            abort(403, "Another page may not use this one.")
        if not hmac.compare_digest(request.path.split("/")[1].encode(), token.encode()):
            abort(404, "Open the address that the terminal shows; each start has its own.")

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in safe_headers().items():
            response.headers.setdefault(name, value)
        return response
