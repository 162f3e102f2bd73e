"""Photos of Unsplash: searched by words, remembered, downloaded as the guidelines ask.

Guidelines: https://help.unsplash.com/en/articles/2511245-unsplash-api-guidelines. Photos come from the URLs that the
API gives, at the wanted size; each download is announced; photographer and photo are linked with the name of the
application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from scenery.errors import DataError
from training.collect.api import Api
from training.collect.found import Found
from training.collect.ledger import Ledger, Page
from training.collect.unsplash_photo import is_free, read_photo, sized
from training.collect.web import Web

PER_PAGE: Final = 30
"""The most that the API gives at once."""


class Unsplash:
    """A source of photos."""

    def __init__(self, api: Api, web: Web, ledger: Ledger, app_name: str, side_pixels: int) -> None:
        """Remember who asks.

        Parameters
        ----------
        ledger
            Keeps the pages of searches, which are not asked for twice, and what was announced.
        app_name
            Stands in links to Unsplash.
        side_pixels
            The longest side that photos are asked for.
        """
        self._api = api
        self._web = web
        self._ledger = ledger
        self._app_name = app_name
        self._side_pixels = side_pixels

    def search(
        self,
        words: Iterable[str],
        negatives: Iterable[str],
        without: Iterable[str],
        photos: int,
        searched: Callable[[], None],
    ) -> list[Found]:
        """Find at most so many photos a word, in Unsplash's order; one that several words find comes once.

        Parameters
        ----------
        negatives
            Words whose photos are meant to show no label: ``negative`` is 1 in their rows, unless one of ``words``
            finds them too.
        without
            Words whose photos, as many as of a word, are left out.
        searched
            Called after each word.

        Raises
        ------
        SceneryError
            As :class:`Api` does. Pages that were answered are remembered.
        """
        excluded = {each.id for word in without for each in self._first(word, photos, searched)}
        by_id: dict[str, Found] = {}
        for negative, group in (("0", words), ("1", negatives)):
            for word in group:
                for each in self._first(word, photos, searched):
                    if each.id not in excluded:
                        known = by_id.setdefault(each.id, _asked(each, negative))
                        by_id[each.id] = _also_by(known, word)
        return list(by_id.values())

    def fetch(self, found: Found, to: Path) -> None:
        """Announce a download, once, and write the photo into a file; raises what :class:`Api` and Web raise."""
        if found.announce and found.id not in self._ledger.announced:
            self._api.announce(found.announce)
            self._ledger.add("announced", id=found.id)
        self._web.download(sized(found.address, self._side_pixels), to)

    def _first(self, word: str, photos: int, searched: Callable[[], None]) -> list[Found]:
        found: list[Found] = []
        page, pages = 1, 1
        while page <= pages and len(found) < photos:
            told = self._page(word, page)
            found += told.photos
            page, pages = page + 1, told.pages
        searched()
        return found[:photos]

    def _page(self, word: str, page: int) -> Page:
        if (word, page) not in self._ledger.pages:
            answer = self._api.search(word, page, PER_PAGE)
            photos = [asdict(each) for each in self._read(answer["results"])]
            self._ledger.add("page", query=word, page=page, pages=answer["total_pages"], photos=photos)
        return self._ledger.pages[word, page]

    def _read(self, results: list[Any]) -> list[Found]:
        """Return the photos of a page that are free and can be read; raises :class:`DataError` if none can be."""
        found: list[Found] = []
        amiss: ValueError | None = None
        for photo in filter(is_free, results):
            try:
                found.append(read_photo(photo, self._app_name))
            except ValueError as error:
                amiss = error
        if amiss and not found:
            raise DataError(f"Unsplash describes its photos in another way than is known: {amiss} is amiss.")
        return found


def _asked(found: Found, negative: str) -> Found:
    return replace(found, row={**found.row, "query": "", "negative": negative})


def _also_by(found: Found, word: str) -> Found:
    queries = [each for each in found.row["query"].split("|") if each]
    return replace(found, row={**found.row, "query": "|".join(dict.fromkeys([*queries, word]))})
