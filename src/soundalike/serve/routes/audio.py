"""Sound for players: files, excerpts, waveforms and covers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field, FiniteFloat, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from soundalike import __version__
from soundalike.audio import Cover, read_cover
from soundalike.core.errors import AudioError
from soundalike.serve.answers import json_response
from soundalike.serve.problems import PROBLEMS, ProblemError
from soundalike.serve.requests import Seconds
from soundalike.serve.routes.tracks import TrackNumber
from soundalike.serve.sound.excerpts import Excerpt, make_excerpt
from soundalike.serve.sound.media_types import MEDIA_TYPES
from soundalike.serve.sound.peaks import Envelope, make_envelope
from soundalike.serve.sound.responses import (
    StoredFile,
    bytes_response,
    file_response,
    range_headers,
    range_responses,
)
from soundalike.serve.state import Server, State

__all__ = ["router"]

router = APIRouter(tags=["audio"], responses=PROBLEMS)
T = TypeVar("T")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_EXCERPT_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
_COVER_TYPES = ("image/gif", "image/jpeg", "image/png", "image/webp")
_LARGEST_COVER = 10 * 1024 * 1024
_ALIGNMENT = """
Without parameters this is the file itself (the decoded recording of an upload). Any parameter asks for an excerpt: 16
bits, at most two channels, at most 48 kHz, with fades of 10 ms where the recording is cut, at most 1200 s long and 128
MB large (about 12 minutes of WAV in stereo). Both answer Range requests, so that an audio element can seek. In some
players MP3 begins with a few hundredths of a second of silence; use WAV or FLAC for sound that must start on time.

To play B so that it meets A, send both to `/compare` with `align`. `matches[0].alignment` is about the pair of
`passages` that most spaces with a weight share, the first one of several: A from `a.start` and B from `b.start`. B is A
transposed by `alignment.semitones`, and `alignment.tempo_ratio` times as fast. So play A from `a.start`, and B from
`b.start + alignment.offset` with

- `semitones = -alignment.semitones`,
- `tempo_ratio = 1 / alignment.tempo_ratio`.

For s seconds of A, cut s / `alignment.tempo_ratio` seconds of B; the excerpt then lasts s seconds. If
`b.start + alignment.offset` is negative, play B from 0, and A from
`a.start - (b.start + alignment.offset) * alignment.tempo_ratio`.
"""

_SEPARATED = """
The stem has the length of the track. It comes from the cache of separated stems; if the track is not in it, the answer
is 409, and a job `stems` separates it. Parameters are those of `/tracks/{track_id}/audio`.
"""
StemName = Annotated[str, InPath(max_length=100)]


class SoundQuery(BaseModel, frozen=True):
    """Which part of a recording to play, and how."""

    start: Seconds | None = Field(None, description="Start of the excerpt in seconds.")
    end: Seconds | None = Field(None, description="End of the excerpt in seconds; none is the end of the recording.")
    semitones: Annotated[FiniteFloat, Field(ge=-24, le=24)] | None = Field(
        None, description="Transposition; the tempo stays."
    )
    tempo_ratio: Annotated[FiniteFloat, Field(ge=0.25, le=4)] | None = Field(
        None, description="1.25 plays 25 % faster; the pitch stays."
    )
    format: Literal["wav", "flac", "mp3"] | None = Field(None, description="The format of the excerpt; wav if none.")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        _check_region(self.start, self.end)
        return self

    def excerpt(self) -> Excerpt | None:
        """The excerpt that is asked for; None for the file itself."""
        given: dict[str, Any] = {name: value for name, value in self if value is not None}
        return Excerpt(**given) if given else None


class PeaksQuery(BaseModel, frozen=True):
    """Which waveform to draw."""

    count: Annotated[int, Field(ge=1, le=10_000)] = Field(1000, description="The number of bins.")
    start: Seconds | None = Field(None, description="Start of the region in seconds.")
    end: Seconds | None = Field(None, description="End of the region in seconds; none is the end of the recording.")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        _check_region(self.start, self.end)
        return self


def _check_region(start: float | None, end: float | None) -> None:
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"the region runs from {start or 0.0:g} s to {end:g} s, expected start < end")


@dataclass(frozen=True, slots=True)
class Peaks:
    """The lowest and the highest sample of each of `count` bins of equal length over `duration` seconds.

    Samples are of the mono mix, and 1 is full scale. `count` is less than what was asked for only in recordings of
    fewer samples.
    """

    duration: float
    count: int
    low: list[float]
    high: list[float]


@dataclass(frozen=True, slots=True)
class _Named:
    """A recording: its file, what a user calls it, and what problem documents call it."""

    path: Path
    name: str
    label: str


async def _track(server: Server, number: int) -> _Named:
    found = await run_in_threadpool(server.recordings.track, number)
    return _Named(found.path, found.path.name, f"track {number}")


def _upload(server: Server, key: str) -> _Named:
    found = server.uploads.get(key)
    return _Named(found.path, f"{Path(found.name).stem}{found.path.suffix}", f"the upload {found.name!r}")


_AUDIO: dict[str, Any] = {
    "response_class": Response,
    "responses": range_responses(dict.fromkeys(MEDIA_TYPES, _BINARY)),
    "description": _ALIGNMENT,
    "openapi_extra": range_headers(),
}
_STEM: dict[str, Any] = {**_AUDIO, "description": _SEPARATED}
_PICTURE: dict[str, Any] = {
    "response_class": Response,
    "responses": range_responses(dict.fromkeys(_COVER_TYPES, _BINARY)),
    "openapi_extra": range_headers(),
}


@router.head("/tracks/{track_id}/audio", **_AUDIO)
@router.get("/tracks/{track_id}/audio", **_AUDIO)
async def track_audio(
    server: State, request: Request, track_id: TrackNumber, query: Annotated[SoundQuery, Query()]
) -> Response:
    """Play a track, or an excerpt of it."""
    return await _audio(server, request, await _track(server, track_id), query.excerpt())


@router.head("/uploads/{upload_id}/audio", **_AUDIO)
@router.get("/uploads/{upload_id}/audio", **_AUDIO)
async def upload_audio(
    server: State, request: Request, upload_id: str, query: Annotated[SoundQuery, Query()]
) -> Response:
    """Play an upload, or an excerpt of it."""
    return await _audio(server, request, _upload(server, upload_id), query.excerpt())


@router.head("/tracks/{track_id}/stems/{separator}/{stem}", **_STEM)
@router.get("/tracks/{track_id}/stems/{separator}/{stem}", **_STEM)
async def stem_audio(
    server: State,
    request: Request,
    track_id: TrackNumber,
    separator: StemName,
    stem: StemName,
    query: Annotated[SoundQuery, Query()],
) -> Response:
    """Play one stem of a track, or an excerpt of it."""
    found = await run_in_threadpool(_stem, server, track_id, separator, stem)
    return await _audio(server, request, found, query.excerpt())


def _stem(server: Server, number: int, separator: str, stem: str) -> _Named:
    track = server.recordings.track(number)
    StoredFile.of(track.path, f"track {number}")
    found = server.stems.separator(separator)
    if stem not in found.stems:
        raise ProblemError(404, f"{found.name} makes no stem {stem!r}; it makes {', '.join(found.stems)}")
    return _Named(
        server.stems.files(found, track)[stem], f"{track.path.stem}.{stem}.flac", f"the {stem} of track {number}"
    )


async def _audio(server: Server, request: Request, recording: _Named, excerpt: Excerpt | None) -> Response:
    if excerpt is None:
        return await run_in_threadpool(file_response, request, recording.path, recording.name, recording.label)
    file = await run_in_threadpool(StoredFile.of, recording.path, recording.label)
    key = (file.key, excerpt)
    data = await server.sounds.excerpt(key, lambda: _labelled(recording, lambda: make_excerpt(file.path, excerpt)))
    name = f"{Path(recording.name).stem}.{excerpt.format}"
    return bytes_response(request, data, _EXCERPT_TYPES[excerpt.format], _etag(key), name)


@router.get("/tracks/{track_id}/peaks", response_model=Peaks)
async def track_peaks(server: State, track_id: TrackNumber, query: Annotated[PeaksQuery, Query()]) -> Response:
    """Return the waveform of a track, or of a region of it, to draw."""
    return await _peaks(server, await _track(server, track_id), query)


@router.get("/uploads/{upload_id}/peaks", response_model=Peaks)
async def upload_peaks(server: State, upload_id: str, query: Annotated[PeaksQuery, Query()]) -> Response:
    """Return the waveform of an upload, or of a region of it, to draw."""
    return await _peaks(server, _upload(server, upload_id), query)


async def _peaks(server: Server, recording: _Named, query: PeaksQuery) -> Response:
    file = await run_in_threadpool(StoredFile.of, recording.path, recording.label)
    start, end = query.start or 0.0, query.end

    def make() -> Envelope:
        return _labelled(recording, lambda: make_envelope(file.path, start, end))

    envelope = await server.sounds.envelope((file.key, start, end), make)
    low, high = (one.astype("float64").round(3).tolist() for one in envelope.bins(query.count))
    return json_response(Peaks(round(envelope.duration, 3), len(low), low, high))


@router.head("/tracks/{track_id}/cover", **_PICTURE)
@router.get("/tracks/{track_id}/cover", **_PICTURE)
async def track_cover(server: State, request: Request, track_id: TrackNumber) -> Response:
    """Return the picture in the tags of a track."""
    recording = await _track(server, track_id)
    file = await run_in_threadpool(StoredFile.of, recording.path, recording.label)
    cover = await run_in_threadpool(_cover, recording)
    suffix = cover.media_type.removeprefix("image/")
    return bytes_response(request, cover.data, cover.media_type, _etag(file.key), f"cover.{suffix}")


def _cover(recording: _Named) -> Cover:
    try:
        found = read_cover(recording.path)
    except OSError:
        raise ProblemError(404, f"the file of {recording.label} is not readable; check its permissions") from None
    if found is None or found.media_type not in _COVER_TYPES or len(found.data) > _LARGEST_COVER:
        raise ProblemError(
            404, f"the tags of {recording.label} hold no JPEG, PNG, WebP or GIF picture of at most 10 MB"
        )
    return found


def _labelled(recording: _Named, make: Callable[[], T]) -> T:
    """What `make` returns; an error names the recording."""
    try:
        return make()
    except AudioError as error:
        raise AudioError(f"{recording.name}: {error}") from error


def _etag(key: object) -> str:
    return hashlib.blake2b(repr((__version__, key)).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
