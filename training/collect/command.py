"""The command of this package: ``scenery collect``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scenery.errors import DataError

_FOLDER = click.Path(file_okay=False, path_type=Path)


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all sources have."""
    options = (
        click.option("--out", type=_FOLDER, default="photos", show_default=True, help="The folder to fill."),
        click.option("--side", "side_pixels", type=click.IntRange(32, 8192), default=1080, show_default=True,
                     help="Longest side of a photo in pixels; larger ones are made smaller."),
        click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Photos at a time."),
        click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


_TIMEOUT = click.option(
    "--timeout", "timeout_seconds", type=click.FloatRange(0, 3600, min_open=True), default=30, show_default=True,
    help="Longest wait for a connection, for an answer, and for a whole photo, in seconds each.",
)  # fmt: skip


# \b keeps click from joining the lines that follow.
@click.group()
def collect() -> None:
    """Gather photos into a folder: by a search, from a table of URLs, from another folder.

    \b
      scenery collect unsplash beach "city street" --negative kitchen --photos 200
      scenery collect csv list.csv
      scenery collect folder ~/Pictures/holiday

    OUT/images gets the photos, and OUT/data.csv a row for each: name, licence, author, links, source. Each run adds
    to what is there; a photo that looks like one that is there already is left out.

    Run the same command again to go on with one that was interrupted, or to try once more what failed: what
    OUT/collect.jsonl remembers is not asked for twice. A photo whose row or file you removed does not come back.

    A photo that cannot be had stops nothing. The exit status is 1 if none could be had at all.

    Photos are upright, at most --side pixels wide and high, and without the place and time that cameras note in
    them. Labels come from people: scenery annotate is next.
    """  # noqa: D301  click's own sign


@collect.command()
@click.argument("words", nargs=-1, metavar="WORD...")
@click.option("--negative", "negatives", multiple=True, metavar="WORD",
              help="Also search this, for photos that show none of your labels. Once for each.")  # fmt: skip
@click.option("--without", multiple=True, metavar="WORD",
              help="Leave out the photos that this word finds. Once for each.")  # fmt: skip
@click.option("--photos", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most, a word.")
@click.option("--wait", is_flag=True, help="Wait when the requests of the hour are used up, and go on.")
@click.option(
    "--tokens", "tokens_file", type=click.Path(dir_okay=False, path_type=Path), default="tokens.json",
    show_default=True, help='Holds {"unsplash": "the access key"}, unless UNSPLASH_ACCESS_KEY is set.',
)  # fmt: skip
@click.option("--app-name", default="scenery", show_default=True,
              help="Name of your application at Unsplash, for links that credit photographers.")  # fmt: skip
@click.option("--api-url", default="https://api.unsplash.com", show_default=True, help="Where the API is.")
@_TIMEOUT
@_shared
def unsplash(
    words: tuple[str, ...],
    negatives: tuple[str, ...],
    without: tuple[str, ...],
    photos: int,
    wait: bool,
    tokens_file: Path,
    app_name: str,
    api_url: str,
    **settings: Any,
) -> None:
    """Search Unsplash for each WORD ("several words" in quotes).

    You need a key: https://unsplash.com/developers. A demo key may ask 50 times an hour; a search asks once for 30
    photos, and each download is announced, as Unsplash's guidelines want, by one more. When the requests are used
    up, run the same command again an hour later, or --wait.

    The columns query and negative tell which words found a photo, and whether only a --negative one did; they are
    hints, no labels. Photos of Unsplash+, which has another licence, are left out.

    Unsplash restricts what its photos may be used for in machine learning: read https://unsplash.com/data and the
    terms of its API first, and ask where they do not allow what you plan.
    """
    words, negatives, without = (_cleaned(each) for each in (words, negatives, without))
    if not words and not negatives:
        raise click.UsageError("Name a word to search for, such as beach.")
    from training.collect.api import Api
    from training.collect.key import read_key
    from training.collect.run import Settings, running, shown_progress
    from training.collect.unsplash import Unsplash

    key = read_key(os.environ, tokens_file, _warn)
    with running(Settings(**settings)) as run:
        source = Unsplash(
            Api(run.web, key, api_url, wait, _warn), run.web, run.ledger, app_name, run.settings.side_pixels
        )
        with shown_progress(len(words) + len(negatives) + len(without), "searching") as advance:
            found = source.search(words, negatives, without, photos, advance)
        if not found:
            raise DataError(f"Unsplash has no photos of {', '.join([*words, *negatives])}. Try other words.")
        run.collect(found, source.fetch)


def _cleaned(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that are some, each once, with single spaces."""
    return tuple(dict.fromkeys(" ".join(word.split()) for word in words if word.strip()))


@collect.command("csv")
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="TABLE")
@click.option("--url-column", default="url", show_default=True, help="The column of URLs, http or https.")
@_TIMEOUT
@_shared
def csv_table(table: Path, url_column: str, **settings: Any) -> None:
    """Download the photos of a CSV TABLE with a column of URLs.

    Its other columns come along: a table with labels stays one.
    """
    from training.collect.listed import find_listed
    from training.collect.run import Settings, running

    found = find_listed(table, url_column)
    with running(Settings(**settings)) as run:
        run.collect(found, lambda photo, to: run.web.download(photo.address, to))


@collect.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@_shared
def folder(directory: Path, **settings: Any) -> None:
    """Copy the photos of DIR and of the folders inside.

    DIR stays as it is. Photos of one folder inside DIR have it as their source, so that a split keeps them together.
    """
    from training.collect.folder import copy, find_in_folder
    from training.collect.run import Settings, running

    found = find_in_folder(directory, settings["out"])
    with running(Settings(**settings)) as run:
        run.collect(found, copy)


def _warn(message: str) -> None:
    click.echo(message, err=True)
