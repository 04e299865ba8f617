"""Songs that sound alike, and paths between songs (the extension `sonicSimilarity`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.library.catalog import Track
from soundalike.models import presence, query_terms, resolve_weights, score_rows
from soundalike.search import Example, Query, SearchResults, find_path, search_library
from soundalike.serve.opensubsonic.envelope import Payload, SubsonicError
from soundalike.serve.opensubsonic.records import find_album, find_artist, find_track, song_records, tracks_of
from soundalike.serve.opensubsonic.request import Call, Endpoint
from soundalike.serve.requests import LARGEST_K, Recording

__all__ = ["ENDPOINTS"]

_UNKNOWN = -1.0
"""The similarity where it cannot be computed."""
_SEEDS = 5
"""Songs that stand for an artist or an album."""


def _sonic_similar_tracks(call: Call) -> Payload:
    """The songs most similar to a song; the similarity is the share of random pairs that are less similar."""
    track = find_track(call, call.parameters.require("id"))
    count = call.parameters.number("count", 10, LARGEST_K)
    found = _search(call, [track], count)
    matches = [] if found is None else found.matches
    ids = [] if found is None else [found.tracks[match.path].id for match in matches]
    similarity = [_UNKNOWN if match.percentile is None else match.percentile / 100 for match in matches]
    return _matches(call, ids, similarity)


def _matches(call: Call, ids: Sequence[int], similarity: Sequence[float]) -> Payload:
    """Songs with their similarity."""
    by_song = {f"tr-{number}": value for number, value in zip(ids, similarity, strict=True)}
    songs = song_records(call, ids)
    return {"sonicMatch": [{"entry": song, "similarity": by_song[song["id"]]} for song in songs]}


def _search(call: Call, seeds: Sequence[Track], count: int) -> SearchResults | None:
    """Search for what is like all of these tracks together. None if nothing in them can be heard."""
    if not seeds or not count:
        return None
    folder, recordings = call.server.library.folder, call.server.recordings
    with folder.snapshot():
        model = recordings.model(None)
        subjects = [recordings.subject(Recording(track=track.id), track.path, model) for track in seeds]
        query = Query(seeds[0].path, k=count, examples=tuple(Example(track.path) for track in seeds[1:]))
        try:
            return search_library(folder, query, *subjects)
        except UsageError:  # no space is audible in a seed
            return None


def _sonic_path(call: Call) -> Payload:
    """A path from one song to another. Each song has its similarity to the first one, as in a search by track."""
    start = find_track(call, call.parameters.require("startSongId"))
    end = find_track(call, call.parameters.require("endSongId"))
    count = call.parameters.number("count", 25, LARGEST_K)
    if start.id == end.id:
        return _matches(call, [start.id], [1.0])
    if count < 2:
        raise SubsonicError(0, f"count is {count}, and a path has at least 2 songs, its start and its end")
    with call.server.library.folder.snapshot():
        between = _between(call, start, end, count - 2)
        similarity = _similarity(call, start, between, end)
    return _matches(call, [start.id, *between, end.id], [1.0, *similarity])


def _between(call: Call, start: Track, end: Track, steps: int) -> list[int]:
    """The ids of the tracks between the ends of a path."""
    if not steps:
        return []
    try:
        found = find_path(call.server.library.folder, start.path, end.path, steps)
    except UsageError:  # nothing can be heard in one of them, or both are the same recording
        return []
    return [found.tracks[match.path].id for match in found.matches[:-1]]


def _similarity(call: Call, start: Track, between: Sequence[int], end: Track) -> list[float]:
    """The percentile / 100 of whole tracks as matches of the first one; -1 where nothing can be heard."""
    folder = call.server.library.folder
    model = folder.model(None)
    reference = folder.reference(model, "track")
    query, last = (call.server.recordings.subject(Recording(track=one.id), one.path, model) for one in (start, end))
    try:
        terms = query_terms(reference.spaces, query.track, resolve_weights(None, model.spaces), "track")
    except UsageError:  # nothing can be heard in the first one
        return [_UNKNOWN] * (len(between) + 1)
    positions = np.array([folder.catalog.rows_of(number, "track")[0] for number in between], np.int64)
    held = folder.rows([term.space for term in terms], "track", positions)
    rows = {name: np.concatenate([found, last.track[name][None, :]]) for name, found in held.items()}
    percentile = np.exp(reference.null([(1.0, terms)]).log_cdf(score_rows(terms, rows)))
    audible = np.any([presence(found) for found in rows.values()], axis=0)
    similarity: list[float] = np.where(audible, percentile, _UNKNOWN).tolist()
    return similarity


def _similar_songs(name: str) -> Endpoint:
    """An endpoint for songs like a song, or like the songs of an album or artist together."""

    def similar(call: Call) -> Payload:
        given, count = call.parameters.require("id"), call.parameters.number("count", 50, LARGEST_K)
        found = _search(call, _seeds(call, given), count)
        ids = [] if found is None else [found.tracks[match.path].id for match in found.matches]
        songs: list[dict[str, Any]] = song_records(call, ids)
        return {name: {"song": songs}}

    return similar


def _seeds(call: Call, given: str) -> list[Track]:
    """The song with an id, or songs from all parts of an album or of the albums of an artist."""
    index = call.index
    if given.startswith("al-"):
        ids = list(find_album(index, given).songs)
    elif given.startswith("ar-"):
        artist = find_artist(index, given)
        ids = [song for album in artist.albums for song in index.albums[album].songs
               if artist.id in index.songs[song].artists or index.albums[album].artist_id == artist.id]  # fmt: skip
    else:
        return [find_track(call, given)]
    chosen = ids[:: max(1, len(ids) // _SEEDS)][:_SEEDS]
    return [track for track, _ in tracks_of(call, chosen) if not track.silent]


ENDPOINTS: Mapping[str, Endpoint] = {
    "findSonicPath": _sonic_path,
    "getSimilarSongs": _similar_songs("similarSongs"),
    "getSimilarSongs2": _similar_songs("similarSongs2"),
    "getSonicSimilarTracks": _sonic_similar_tracks,
}
