"""Connections by way of the web proxy that the environment names (``https_proxy``, ``no_proxy``), as curl has them."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from scenery.errors import ConfigurationError


def web_proxy_for(url: str) -> str | None:
    """Return the web proxy to ask for an address; None if its host is asked itself, as this machine always is.

    Raises
    ------
    urllib3.exceptions.LocationParseError
        If the address cannot be read.
    """
    address = parse_url(url)
    if _is_this_machine(address.host or "") or proxy_bypass(address.netloc or ""):
        return None
    named = getproxies()
    return named.get(address.scheme or "") or named.get("all")


def pool_by(web_proxy: str | None, **settings: Any) -> urllib3.PoolManager:
    """Return a pool of connections by way of a web proxy, or straight to the hosts if it is None.

    Parameters
    ----------
    web_proxy
        ``http://user:password@host:port``; without a scheme it is http, as for curl.
    settings
        Of :class:`urllib3.PoolManager`.

    Raises
    ------
    ConfigurationError
        If it is no web proxy, or one that is not spoken to, such as SOCKS.
    """
    if web_proxy is None:
        return urllib3.PoolManager(**settings)
    try:
        address = parse_url(web_proxy if "://" in web_proxy else f"http://{web_proxy}")
        headers = urllib3.make_headers(proxy_basic_auth=unquote(address.auth)) if address.auth else None
    except (LocationParseError, UnicodeError):
        address, headers = Url(), None
    if address.scheme not in ("http", "https") or not address.host:
        raise ConfigurationError(
            "The web proxy that the environment names (http_proxy, https_proxy, all_proxy) must be like "
            f"http://host:port. Correct or unset the variable. Received: {_without_password(web_proxy)!r}"
        )
    return urllib3.ProxyManager(address._replace(auth=None).url, proxy_headers=headers, **settings)


def pool_for(url: str, **settings: Any) -> urllib3.PoolManager:
    """Return a pool of connections for an address; raises as :func:`web_proxy_for` and :func:`pool_by` do."""
    return pool_by(web_proxy_for(url), **settings)


def _without_password(web_proxy: str) -> str:
    scheme, mark, rest = web_proxy.partition("://") if "://" in web_proxy else ("", "", web_proxy)
    return scheme + mark + rest.rpartition("@")[2]


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
