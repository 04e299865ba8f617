"""Songs, albums and artists as OpenSubsonic describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soundalike.library import is_there
from soundalike.library.catalog import Track
from soundalike.serve.music_index import (
    UNKNOWN_ARTIST,
    Album,
    Artist,
    MusicIndex,
    album_id,
    album_name,
    artist_id,
)
from soundalike.serve.opensubsonic.envelope import SubsonicError
from soundalike.serve.opensubsonic.request import Call
from soundalike.serve.sound.media_types import media_type

__all__ = [
    "ROOT",
    "album_record",
    "artist_record",
    "find_album",
    "find_artist",
    "find_track",
    "song_records",
    "tracks_of",
]

ROOT = "1"
"""The id of the one music folder."""
_LATEST = 253_402_300_799
"""The last second of the year 9999."""


def tracks_of(call: Call, ids: Sequence[int]) -> list[tuple[Track, Path]]:
    """The tracks with these ids, in this order, and their root folders; those without a file are left out."""
    catalog = call.server.library.folder.catalog
    with catalog.snapshot():
        # The index may be older than the catalogue, so some tracks may be gone.
        found = catalog.tracks("tracks.id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))
        roots = catalog.paths.roots_of(ids)
    tracks = {track.id: track for track in found if is_there(track.path)}
    return [(tracks[number], roots[number]) for number in ids if number in tracks]


def find_track(call: Call, given: str) -> Track:
    """The track of a song. Raises SubsonicError if there is none, or its file is not there."""
    prefix, _, number = given.partition("-")
    if prefix == "tr" and number.isascii() and number.isdigit() and len(number) < 19:
        for track, _ in tracks_of(call, [int(number)]):
            return track
    raise SubsonicError(70, f"there is no song with the id {given[:40]!r}")


def find_album(index: MusicIndex, given: str) -> Album:
    """The album with an id. Raises SubsonicError if there is none."""
    try:
        return index.albums[given]
    except KeyError:
        raise SubsonicError(70, f"there is no album with the id {given[:40]!r}") from None


def find_artist(index: MusicIndex, given: str) -> Artist:
    """The artist with an id. Raises SubsonicError if there is none."""
    try:
        return index.artists[given]
    except KeyError:
        raise SubsonicError(70, f"there is no artist with the id {given[:40]!r}") from None


def song_records(call: Call, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Songs as `Child` records, in the order of their track ids."""
    return [_song(track, root) for track, root in tracks_of(call, ids)]


def _song(track: Track, root: Path) -> dict[str, Any]:
    artists, path = track.artists or (UNKNOWN_ARTIST,), str(track.path)
    album = album_id(track.album, track.album_artist, path)
    # The rate of PCM and FLAC is not stored: that of the file, with tags and pictures, stands for it.
    bit_rate = track.bit_rate or (8 * track.size / track.duration if track.duration > 0 else 0)
    return {
        "id": f"tr-{track.id}",
        "parent": album,
        "isDir": False,
        "title": track.title or track.path.stem,
        "album": album_name(track.album, path),
        "artist": ", ".join(artists),
        "year": track.year,
        "genre": track.genres[0] if track.genres else None,
        "coverArt": f"tr-{track.id}",
        "size": track.size,
        "contentType": media_type(track.path.name),
        "suffix": track.path.suffix[1:].lower(),
        "duration": round(track.duration),
        "bitRate": round(bit_rate / 1000),
        "samplingRate": track.rate,
        "channelCount": track.channels,
        "path": os.path.relpath(path, root),
        "isVideo": False,
        "created": _time(track.mtime_ns),
        "albumId": album,
        "artistId": artist_id(artists[0]),
        "type": "music",
        "mediaType": "song",
        "bpm": round(track.bpm or 0),
        "displayArtist": ", ".join(artists),
        "artists": [{"id": artist_id(name), "name": name} for name in artists],
        "genres": _genres(track.genres),
    }


def album_record(album: Album) -> dict[str, Any]:
    """An album as an `AlbumID3` record, which also has the fields of a folder."""
    return {
        "id": album.id,
        "parent": album.artist_id,
        "isDir": True,
        "title": album.name,
        "name": album.name,
        "album": album.name,
        "artist": album.artist,
        "artistId": album.artist_id,
        "coverArt": album.id,
        "songCount": len(album.songs),
        "duration": round(album.duration),
        "created": _time(album.created),
        "year": album.year,
        "genre": album.genres[0] if album.genres else None,
        "displayArtist": album.artist,
        "artists": [{"id": album.artist_id, "name": album.artist}],
        "genres": _genres(album.genres),
    }


def artist_record(artist: Artist) -> dict[str, Any]:
    """An artist as an `ArtistID3` record."""
    return {"id": artist.id, "name": artist.name, "albumCount": len(artist.albums)}


def _genres(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def _time(nanoseconds: int) -> str:
    """A time as ISO 8601."""
    seconds = min(max(nanoseconds // 10**9, 0), _LATEST)
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
