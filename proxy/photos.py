"""The photos of a request: its body as it is, or the files of a multipart form."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from proxy.problems import ProblemError
from scenery import contract

_RAW_TYPES = ("application/octet-stream",)
_MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Photo:
    """An encoded photo, and the name of its file if the form gave one."""

    file: str | None
    content: bytes


def read_photos(request: Request, max_photos: int) -> list[Photo]:
    """Read the photos of a request.

    Raises
    ------
    ProblemError
        If the content type is neither ``image/…`` nor a form, or there is no photo, or too many.
    """
    if request.mimetype == _MULTIPART:
        return _form_photos(request, max_photos)
    if not request.mimetype.startswith("image/") and request.mimetype not in _RAW_TYPES:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            f"The content type is {request.mimetype or 'missing'!r}. Send the photo's bytes as image/jpeg "
            "(or the like), or files as multipart/form-data.",
        )
    content = _read_body(request)
    if not content:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, contract.REFUSED_EMPTY, "The request has no body. Send the photo's bytes in it."
        )
    return [Photo(None, content)]


def _read_body(request: Request) -> bytes:
    """Read a body whole; one without a length must be held to the limit here, or it is cut off silently."""
    if request.content_length is not None:
        return request.get_data(cache=False)
    limit = request.max_content_length or 0
    content: bytes = request.environ["wsgi.input"].read(limit + 1)
    if len(content) > limit:
        raise RequestEntityTooLarge
    return content


def _form_photos(request: Request, max_photos: int) -> list[Photo]:
    files = [file for _, file in request.files.items(multi=True)]
    if not files:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            contract.REFUSED_EMPTY,
            "The form has no file. Send photos as file parts: curl -F file=@photo.jpg",
        )
    if len(files) > max_photos:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-photos",
            f"The form has {len(files)} photos and at most {max_photos} are read. Send fewer at a time.",
        )
    return [Photo(file.filename, file.read()) for file in files]
