"""Artists, albums and songs, and how players reach one from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soundalike.serve.music_index import ARTICLES, Artist, MusicIndex
from soundalike.serve.opensubsonic.envelope import Payload, SubsonicError
from soundalike.serve.opensubsonic.records import (
    ROOT,
    album_record,
    artist_record,
    find_album,
    find_artist,
    find_track,
    song_records,
)
from soundalike.serve.opensubsonic.request import Call, Endpoint

__all__ = ["ENDPOINTS", "check_music_folder"]


def check_music_folder(call: Call) -> None:
    """Refuse a music folder that is not the one there is. Raises SubsonicError."""
    given = call.parameters.get("musicFolderId")
    if given not in (None, "", ROOT):
        raise SubsonicError(70, f"there is no music folder {given[:40]!r}; the only one is {ROOT}")


def _name(call: Call) -> str:
    return call.server.library.location.name


def _music_folders(call: Call) -> Payload:
    return {"musicFolders": {"musicFolder": [{"id": int(ROOT), "name": _name(call)}]}}


def _indexes(call: Call) -> Payload:
    """The artists by letter, if they changed since a time in milliseconds."""
    check_music_folder(call)
    index = call.index
    changed = int(1000 * index.made)
    since = call.parameters.number("ifModifiedSince", 0)
    letters = _letters(index, _folder) if since < changed else []
    return {"indexes": {"lastModified": changed, "ignoredArticles": " ".join(ARTICLES), "index": letters}}


def _artists(call: Call) -> Payload:
    check_music_folder(call)
    return {"artists": {"ignoredArticles": " ".join(ARTICLES), "index": _letters(call.index, artist_record)}}


def _letters(index: MusicIndex, record: Any) -> list[dict[str, Any]]:
    return [
        {"name": letter, "artist": [record(artist) for artist in artists]}
        for letter, artists in index.by_letter().items()
    ]


def _folder(artist: Artist) -> dict[str, Any]:
    return {"id": artist.id, "name": artist.name}


def _artist(call: Call) -> Payload:
    index = call.index
    artist = find_artist(index, call.parameters.require("id"))
    albums = [album_record(index.albums[number]) for number in artist.albums]
    return {"artist": {**artist_record(artist), "album": albums}}


def _album(call: Call) -> Payload:
    album = find_album(call.index, call.parameters.require("id"))
    return {"album": {**album_record(album), "song": song_records(call, album.songs)}}


def _song(call: Call) -> Payload:
    track = find_track(call, call.parameters.require("id"))
    songs = song_records(call, [track.id])
    return {"song": songs[0]}


def _directory(call: Call) -> Payload:
    """The music folder with artists, an artist with albums, or an album with songs."""
    given, index = call.parameters.require("id"), call.index
    if given == ROOT:
        children = [
            {"id": one.id, "parent": ROOT, "isDir": True, "title": one.name, "artist": one.name}
            for one in index.artists.values()
        ]
        return {"directory": {"id": ROOT, "name": _name(call), "child": children}}
    if given.startswith("ar-"):
        artist = find_artist(index, given)
        children = [album_record(index.albums[number]) for number in artist.albums]
        return {"directory": {"id": artist.id, "parent": ROOT, "name": artist.name, "child": children}}
    album = find_album(index, given)
    songs = song_records(call, album.songs)
    return {"directory": {"id": album.id, "parent": album.artist_id, "name": album.name, "child": songs}}


def _genres(call: Call) -> Payload:
    genres = [
        {"value": name, "songCount": songs, "albumCount": albums} for name, (songs, albums) in call.index.genres.items()
    ]
    return {"genres": {"genre": genres}}


def _no_artist_info(call: Call) -> Payload:
    find_artist(call.index, call.parameters.require("id"))
    return {"artistInfo2": {}}


def _no_album_info(call: Call) -> Payload:
    find_album(call.index, call.parameters.require("id"))
    return {"albumInfo": {}}


ENDPOINTS: Mapping[str, Endpoint] = {
    "getAlbum": _album,
    "getAlbumInfo2": _no_album_info,
    "getArtist": _artist,
    "getArtistInfo2": _no_artist_info,
    "getArtists": _artists,
    "getGenres": _genres,
    "getIndexes": _indexes,
    "getMusicDirectory": _directory,
    "getMusicFolders": _music_folders,
    "getSong": _song,
}
