"""The tracks of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.responses import Response

from soundalike.api.records.tracks import TrackDetailsRecord, TrackRecord
from soundalike.library.catalog import Track
from soundalike.serve.answers import json_response
from soundalike.serve.problems import PROBLEMS, ProblemError
from soundalike.serve.requests import TrackId
from soundalike.serve.state import Server, State

__all__ = ["TrackNumber", "router"]

router = APIRouter(tags=["tracks"], responses=PROBLEMS)
TrackNumber = Annotated[int, InPath(ge=1, lt=2**63, description="The number of a track.")]


@dataclass(frozen=True, slots=True)
class TracksPage:
    """Some of the tracks that were asked for; `total` counts all of them."""

    tracks: Sequence[TrackRecord]
    total: int
    offset: int


@router.get("/tracks", response_model=TracksPage)
def list_tracks(
    server: State,
    q: Annotated[str | None, Query(max_length=1000, description="Words of artist, title, album or path.")] = None,
    where: Annotated[str | None, Query(max_length=4000, description="Conditions, such as bpm 90..110.")] = None,
    number: Annotated[
        list[TrackId] | None, Query(alias="id", max_length=1000, description="Only the tracks with these ids.")
    ] = None,
    path: Annotated[list[str] | None, Query(max_length=100, description="Only the tracks at these full paths.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> Response:
    """List tracks in the order in which they were added, or those that a name may mean.

    With `id` or `path`, these tracks in the order in which they are named; those that the library lacks are left out.
    """
    if number is not None or path is not None:
        if q is not None or where is not None:
            raise ProblemError(400, "id and path name tracks; leave out q and where")
        named = _named(server, number or [], path or [])
        return json_response(_page(named[offset : offset + limit], len(named), offset))
    if q is not None and q.split():
        found = server.library.find(q)
        if where is not None:
            wanted = {track.id for track in server.library.tracks(where)}
            found = [track for track in found if track.id in wanted]
        return json_response(_page(found[offset : offset + limit], len(found), offset))
    if where is not None:
        found = server.library.tracks(where)
        return json_response(_page(found[offset : offset + limit], len(found), offset))
    catalog = server.library.folder.catalog
    with server.library.folder.snapshot():
        page, total = catalog.page(offset, limit), len(catalog)
    return json_response(_page(page, total, offset))


def _named(server: Server, numbers: Sequence[int], paths: Sequence[str]) -> list[Track]:
    catalog = server.library.folder.catalog
    with server.library.folder.snapshot():
        there = set(catalog.ids().tolist())
        found = catalog.tracks_of([number for number in dict.fromkeys(numbers) if number in there])
        others = [catalog.track_at(Path(path)) for path in dict.fromkeys(paths) if "\0" not in path]
        return [*found, *(track for track in others if track is not None)]


def _page(tracks: Sequence[Track], total: int, offset: int) -> TracksPage:
    return TracksPage([TrackRecord.of(track) for track in tracks], total, offset)


Field = Literal["title", "artist", "album", "genre", "year", "bpm", "key", "loudness", "duration"]


@dataclass(frozen=True, slots=True)
class TrackColumns:
    """Properties of all tracks, one list per field, in the order of `ids`."""

    ids: Sequence[int]
    fields: Mapping[str, Sequence[str | float | None]]


@router.get("/track-columns", response_model=TrackColumns)
def track_columns(server: State, field: Annotated[list[Field], Query(min_length=1, max_length=9)]) -> Response:
    """List a few properties of all tracks at once, to colour or sort them."""
    tracks = server.library.tracks()
    values: dict[str, list[str | float | None]] = {name: [_value(track, name) for track in tracks] for name in field}
    return json_response(TrackColumns([track.id for track in tracks], values))


def _value(track: Track, name: str) -> str | float | None:
    found: str | float | None = track.known_key if name == "key" else getattr(track, name)
    return float(found) if isinstance(found, np.floating) else found


@router.get("/tracks/{track_id}", response_model=TrackDetailsRecord)
def show_track(server: State, track_id: TrackNumber) -> Response:
    """Show what the library knows about a track: tags, measurements, models, copies, versions."""
    return json_response(TrackDetailsRecord.of(server.library.show(server.recordings.track(track_id).path)))
