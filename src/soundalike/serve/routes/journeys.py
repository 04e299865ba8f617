"""Paths and playlists."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from soundalike.api.records.journeys import (
    PathRecord,
    PlaylistQueryRecord,
    PlaylistRecord,
    path_record,
    playlist_record,
)
from soundalike.search import PlaylistEntry, as_filter, as_weights, build_playlist, find_path, make_playlist
from soundalike.serve.answers import json_response
from soundalike.serve.problems import PROBLEMS
from soundalike.serve.requests import M3uRequest, PathRequest, PlaylistRequest
from soundalike.serve.state import State

__all__ = ["router"]

router = APIRouter(tags=["paths and playlists"], responses=PROBLEMS)


@router.post("/path", response_model=PathRecord)
def path(server: State, asked: PathRequest) -> Response:
    """Find a path of small steps from one recording to another; whole recordings are compared."""
    known = server.recordings
    where = None if asked.where is None else as_filter(asked.where)
    known.model(asked.model)
    with known.named([asked.a, asked.b]) as names:
        found = find_path(
            server.library.folder, known.path(asked.a), known.path(asked.b), asked.steps, as_weights(asked.weights),
            asked.model, where,
        ).renamed(names)  # fmt: skip
    return json_response(path_record(found, asked.steps, asked.where))


@router.post("/playlist", response_model=PlaylistRecord)
def playlist(server: State, asked: PlaylistRequest) -> Response:
    """Choose tracks that are like a recording but not all like one another."""
    known = server.recordings
    known.model(asked.model)
    with known.named([asked.seed]) as names:
        found = build_playlist(
            server.library.folder, known.path(asked.seed), asked.length, as_weights(asked.weights), asked.model,
            None if asked.where is None else as_filter(asked.where), spread=asked.spread, tempo=asked.tempo,
            tempo_step=asked.tempo_step, half_double=asked.half_double, harmonic=asked.harmonic,
        ).renamed(names)  # fmt: skip
    query = PlaylistQueryRecord(
        found.query.track, asked.length, asked.where, asked.spread, asked.tempo, asked.tempo_step, asked.half_double,
        asked.harmonic,
    )  # fmt: skip
    return json_response(playlist_record(found, query))


@router.post(
    "/playlists/m3u",
    response_class=Response,
    responses={200: {"content": {"audio/x-mpegurl": {}}, "description": "An extended M3U playlist, UTF-8."}},
)
def m3u(server: State, asked: M3uRequest) -> Response:
    """Write a playlist of tracks as M3U8, with the paths of the server. Names with line breaks are left out."""
    entries = [PlaylistEntry.of(server.recordings.track(number)) for number in asked.tracks]
    content = make_playlist(entries).content
    return Response(
        content,
        media_type="audio/x-mpegurl; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="soundalike.m3u8"'},
    )
