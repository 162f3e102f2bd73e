"""Who may have photos labelled, and how often: asked before anything of a request's body is read."""

from __future__ import annotations

from flask import Flask, Request, Response, after_this_request

from proxy.exchange import running_request
from proxy.keys import Keys, require_key
from proxy.logs import note
from proxy.settings import Settings


class Guard:
    """The keys and the rates of the settings, if there are any. Threads share it."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys; raises :class:`ConfigurationError` if a setting of theirs cannot be used."""
        self._keys = Keys(settings.api_keys_file) if settings.api_keys_file else None
        self._rates = None
        if settings.rate_limit:
            from proxy.rates import Rates, check_workers

            check_workers(settings.rate_limit, settings.rate_limit_storage, settings.workers)
            self._rates = Rates(settings.rate_limit, settings.rate_limit_storage)

    def asks(self) -> bool:
        """Tell whether there is anything that a request could lack."""
        return self._keys is not None or self._rates is not None

    def let_in(self, asking: Request) -> dict[str, str]:
        """Let a request in; returns the headers that tell its caller what is left.

        Raises
        ------
        ProblemError
            If its key is missing or unknown, or it comes too often.
        """
        holder = None if self._keys is None else require_key(asking, self._keys)
        note(key_holder=holder)
        if self._rates is None:
            return {}
        from proxy.rates import caller

        return self._rates.take(holder or caller(asking.remote_addr))


def register_guard(app: Flask, guard: Guard, endpoints: frozenset[str]) -> None:
    """Ask ``guard`` before each request of some endpoints of ``app``, unless it lets in everybody."""
    if not guard.asks():
        return

    @app.before_request
    def ask() -> None:
        asking = running_request()
        if asking.endpoint in endpoints and (told := guard.let_in(asking)):

            @after_this_request
            def tell(response: Response) -> Response:
                response.headers.extend(told)
                return response
