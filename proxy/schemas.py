"""What goes in and out of the proxy, as types: they validate requests, and describe the API at ``/docs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proxy.problems import problem


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Query = TypeVar("_Query", bound="VersionQuery")


class VersionQuery(_Strict):
    """The parameters of an address that name a version."""

    version: int | None = Field(default=None, ge=0, lt=2**63, description="Number of the version to ask.")
    label: str | None = Field(
        default=None, min_length=1, description="Label of the version to ask, such as stable or canary."
    )

    @model_validator(mode="after")
    def _one_version(self: _Query) -> _Query:
        if self.version is not None and self.label is not None:
            raise ValueError("version and label name a version each; give one of them")
        return self


class ClassifyQuery(VersionQuery):
    """The parameters of the address that photos are sent to."""

    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Give the labels whose score reaches this, instead of each label's own threshold.",
    )
    top: int | None = Field(default=None, ge=1, description="Tell the so many highest scores only, the surest first.")


class Base64Photo(_Strict):
    """A photo inside JSON."""

    b64: str = Field(description="The photo's bytes in base64.", json_schema_extra={"contentEncoding": "base64"})
    file: str | None = Field(default=None, description="A name that the answer repeats.")


class UrlPhoto(_Strict):
    """A photo that the proxy fetches, from a host that its settings allow."""

    url: str = Field(description="Address of the photo.", json_schema_extra={"format": "uri"})
    file: str | None = Field(default=None, description="A name that the answer repeats.")


class JsonPhotos(_Strict):
    """Photos as JSON."""

    photos: Annotated[list[Base64Photo | UrlPhoto], Field(min_length=1)]


class Top(BaseModel):
    """The class with the highest score, whether it reaches its threshold or not."""

    index: int = Field(description="Place of the label in the model's scores.")
    label: str


class Labelled(BaseModel):
    """A photo that was answered."""

    file: str | None = Field(description="Name of the file, if the request had one.")
    version: int = Field(description="Number of the version that answered.")
    labels: list[str] = Field(description="Labels whose score reaches their threshold, the surest first.")
    labels_from: Literal["model", "setting", "index"] = Field(
        description="Who named the labels: the model itself, SCENERY_LABELS, or nobody, so that they are numbers."
    )
    scores: dict[str, float] = Field(description="Score of each label, in [0, 1].")
    top: Top


class Problem(BaseModel):
    """What went wrong, and what to do (RFC 9457)."""

    type: str = Field(description="Stable name for programs, urn:scenery:problem:…")
    title: str
    status: int
    detail: str = Field(description="A sentence for people.")


class Failed(BaseModel):
    """A photo, of several, that was not answered."""

    file: str | None
    error: Problem


class Answer(BaseModel):
    """The photos of a request, in their order."""

    model: str
    photos: list[Labelled | Failed]


class AboutModel(BaseModel):
    """What a version says of itself."""

    model: str
    version: int
    labels: list[str]
    labels_from: Literal["model", "setting", "index"]
    thresholds: dict[str, float] = Field(description="Score from which on each label is given.")
    metrics: dict[str, Any] | None = Field(description="Its figures on photos that training never saw.")
    provenance: dict[str, Any] = Field(description="Where it comes from: time, data, versions of the programs.")
    card: str | None = Field(description="Its model card, Markdown: what it is for, its data, its limits.")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """A photo was scored just now."""

    status: Literal["ready"]
    model: str
    version: int
    labels: list[str]


def read_query(request: Request) -> ClassifyQuery:
    """Return the parameters of a request's address; raises :class:`ProblemError` if one cannot be used."""
    return _read(request, ClassifyQuery) if request.query_string else _NO_QUERY


def read_version(request: Request) -> VersionQuery:
    """Return the version that a request's address names; raises as :func:`read_query` does."""
    return _read(request, VersionQuery)


def _read(request: Request, kind: type[_Query]) -> _Query:
    given = {key: values if len(values) > 1 else values[0] for key, values in request.args.lists()}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise problem("bad-parameter", _sentence(error)) from error


def read_json(content: bytes, max_photos: int) -> JsonPhotos:
    """Return the photos of a JSON body; raises :class:`ProblemError` if it is none.

    What has far more values than so many photos need is not even parsed: a megabyte of them would take seconds,
    and memory by the gigabyte.
    """
    if sum(map(content.count, _MARKS)) > _SPARE_MARKS + _PHOTO_MARKS * max_photos:
        raise problem(
            "bad-json", f"The JSON has more values than {max_photos} photos need. Send photos, fewer at a time."
        )
    try:
        return JsonPhotos.model_validate_json(content)
    except ValidationError as error:
        detail = f'{_sentence(error)} Send {{"photos": [{{"b64": "…", "file": "a.jpg"}}]}}.'
        raise problem("bad-json", detail) from error


_NO_QUERY = ClassifyQuery()
_MARKS = (b"{", b"[", b",")
"""What begins a value, or separates two; names of files may have some too."""
_PHOTO_MARKS, _SPARE_MARKS = 16, 1000
_WORDS = {"extra_forbidden": "there is no such thing here; /docs shows what there is"}


def _sentence(error: ValidationError) -> str:
    """Say what is wrong first, and where; never what was sent, which may be a photo."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    text = _WORDS.get(first["type"]) or str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{place}: {text}." if place else f"{text}."
