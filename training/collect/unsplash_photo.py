"""A photo as Unsplash describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from training.collect.found import Found
from training.collect.table import AUTHOR_LINK
from training.table import AUTHOR, LICENCE, LINK, SOURCE


def is_free(photo: Any) -> bool:
    """Tell whether a photo is none of Unsplash+, whose licence is another."""
    return not (isinstance(photo, dict) and (photo.get("plus") or photo.get("premium")))


def read_photo(photo: Any, app_name: str) -> Found:
    """Read a result of a search; links are those that credit the photographer.

    Raises
    ------
    ValueError
        If it is described in another way than is known.
    """
    try:
        user, links = photo["user"], photo["links"]
        row = {
            LICENCE: "Unsplash",
            AUTHOR: str(user["name"]),
            AUTHOR_LINK: _credited(user["links"]["html"], app_name),
            LINK: _credited(links["html"], app_name),
            SOURCE: f"unsplash/{user['username']}",
        }
        return Found(f"unsplash-{photo['id']}", str(photo["urls"]["raw"]), row, str(links["download_location"]))
    except (KeyError, TypeError) as error:
        raise ValueError(repr(error)) from error


def sized(address: str, side_pixels: int) -> str:
    """Return the URL of a photo that is at most so wide and high, and never larger than it is."""
    return _with(address, w=side_pixels, h=side_pixels, fit="max", fm="jpg", q=80)


def _credited(link: str, app_name: str) -> str:
    return _with(link, utm_source=app_name, utm_medium="referral")


def _with(url: str, **parameters: Any) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
