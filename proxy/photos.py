"""The photos of a request: its body as it is, the files of a form, or JSON; and what is refused unread."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from proxy.deadline import Deadline
from proxy.fetch import Fetcher
from proxy.header import read_header
from proxy.problems import ProblemError, problem
from proxy.schemas import Base64Photo, UrlPhoto, read_json
from proxy.settings import Settings
from scenery import contract

RAW_TYPE = "application/octet-stream"
FORM_TYPE = "multipart/form-data"
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Photo:
    """A photo, and the name of its file if the request gave one."""

    file: str | None
    read: Callable[[Deadline], bytes]
    """Returns the encoded photo; raises :class:`ProblemError` where there is none to be had."""


class PhotoReader:
    """Finds the photos of requests, within the limits of the settings. Threads share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetcher = Fetcher(settings.url_hosts, settings.max_body_bytes) if settings.url_hosts else None

    def photos(self, request: Request, max_photos: int) -> list[Photo]:
        """Return the photos of a request, their bytes perhaps still to be had.

        Raises
        ------
        ProblemError
            If the content type is not one that is read, or there is no photo, or too many.
        """
        if request.mimetype == FORM_TYPE:
            return _counted([_of_bytes(file.filename, file.read()) for file in _files(request)], max_photos)
        if request.mimetype == JSON_TYPE:
            return _counted([self._of_json(each) for each in read_json(_body(request), max_photos).photos], max_photos)
        if request.mimetype.startswith("image/") or request.mimetype == RAW_TYPE:
            return [_of_bytes(None, _body(request))]
        raise problem(
            "unsupported-media-type",
            f"The content type is {request.mimetype or 'missing'!r}. Send the photo's bytes as image/jpeg "
            f"(or the like), files as {FORM_TYPE}, or {JSON_TYPE}.",
        )

    def content(self, photo: Photo, deadline: Deadline) -> bytes:
        """Return a photo's bytes, once their header is within the limits.

        Raises
        ------
        ProblemError
            If they cannot be had or are refused.
        """
        content = photo.read(deadline)
        self._check(content)
        return content

    def _of_json(self, photo: Base64Photo | UrlPhoto) -> Photo:
        if isinstance(photo, Base64Photo):
            return Photo(photo.file, lambda _: _decoded(photo.b64))
        return Photo(photo.file, lambda deadline: self._fetched(photo.url, deadline))

    def _fetched(self, url: str, deadline: Deadline) -> bytes:
        if self._fetcher is None:
            raise problem(
                "url-not-allowed", "This proxy fetches no photos: SCENERY_URL_HOSTS is empty. Send the bytes."
            )
        return self._fetcher.get(url, deadline.seconds_left())

    def _check(self, content: bytes) -> None:
        """Refuse what is no photo, or too large, by its header: nothing is decoded."""
        if not content:
            raise problem(contract.REFUSED_EMPTY, "The photo has no bytes. Send the photo's bytes in the body.")
        header = read_header(content, self._settings.max_frames + 1)
        if header is None:
            raise _unsupported(content)
        if header.width * header.height > self._settings.max_pixels:
            size = f"{header.width} x {header.height} pixels"
            detail = f"The photo has {size}, and at most {self._settings.max_pixels} are read. Send it smaller."
            raise problem(contract.REFUSED_PIXELS, detail)
        if header.frames > self._settings.max_frames:
            detail = f"The animation has more than {self._settings.max_frames} frames. Send one of them as a still."
            raise problem("too-many-frames", detail)


def _unsupported(content: bytes) -> ProblemError:
    if content[4:8] == b"ftyp":
        detail = "HEIC and AVIF photos are not read. Send it as JPEG; phones do that when sharing as 'most compatible'."
    else:
        detail = "The bytes are no JPEG, PNG, WebP, BMP or GIF; convert the photo to one of these."
    return problem(contract.REFUSED_FORMAT, detail)


def _counted(photos: list[Photo], most: int) -> list[Photo]:
    if len(photos) > most:
        detail = f"The request has {len(photos)} photos and at most {most} are read. Send fewer at a time."
        raise problem("too-many-photos", detail)
    return photos


def _of_bytes(file: str | None, content: bytes) -> Photo:
    return Photo(file, lambda _: content)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise problem("bad-json", f"b64 is no base64: {error}. Send the standard alphabet, with padding.") from error


def _files(request: Request) -> list[FileStorage]:
    files = [file for _, file in request.files.items(multi=True)]
    if not files:
        detail = "The form has no file. Send photos as file parts: curl -F file=@photo.jpg"
        raise problem(contract.REFUSED_EMPTY, detail)
    return files


def _body(request: Request) -> bytes:
    """Read a body whole and at once, where werkzeug would read it in pieces; a tenth of a millisecond a photo."""
    limit, length = request.max_content_length or 0, request.content_length
    if length is not None and length > limit:
        raise RequestEntityTooLarge
    content: bytes = request.environ["wsgi.input"].read(limit + 1 if length is None else length)
    if len(content) > limit:
        raise RequestEntityTooLarge
    if length is not None and len(content) < length:
        raise ClientDisconnected
    return content
