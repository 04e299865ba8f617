"""Lists of albums and songs, and search by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from soundalike.core.text import fold
from soundalike.serve.music_index import Album, Artist, MusicIndex, Song
from soundalike.serve.opensubsonic.browsing import check_music_folder
from soundalike.serve.opensubsonic.envelope import Payload, SubsonicError
from soundalike.serve.opensubsonic.records import album_record, artist_record, song_records
from soundalike.serve.opensubsonic.request import Call, Endpoint

__all__ = ["ENDPOINTS"]

T = TypeVar("T", Song, Album, Artist)
_MOST = 500
"""Items of one list, as the specification has it."""


def _album_list(call: Call) -> Payload:
    check_music_folder(call)
    kind, parameters = call.parameters.require("type"), call.parameters
    size, offset = parameters.number("size", 10, _MOST), parameters.number("offset", 0)
    choose = _ALBUM_LISTS.get(kind)
    if choose is None:
        raise SubsonicError(0, f"type is {kind[:40]!r}, expected one of {', '.join(_ALBUM_LISTS)}")
    found = choose(call, list(call.index.albums.values()))
    return {"albumList2": {"album": [album_record(album) for album in found[offset : offset + size]]}}


def _random_albums(_: Call, albums: list[Album]) -> list[Album]:
    random.shuffle(albums)
    return albums


def _newest_albums(_: Call, albums: list[Album]) -> list[Album]:
    return sorted(albums, key=lambda album: album.created, reverse=True)


def _albums_by_name(_: Call, albums: list[Album]) -> list[Album]:
    return albums


def _albums_by_artist(call: Call, albums: list[Album]) -> list[Album]:
    place = {number: n for n, number in enumerate(call.index.artists)}
    return sorted(albums, key=lambda album: place.get(album.artist_id, 0))


def _albums_by_year(call: Call, albums: list[Album]) -> list[Album]:
    """The albums of a range of years; from the later year to the earlier one if they are given so."""
    for name in ("fromYear", "toYear"):
        call.parameters.require(name)
    first, last = call.parameters.number("fromYear", 0), call.parameters.number("toYear", 0)
    low, high = min(first, last), max(first, last)
    found = [(album.year, album) for album in albums if album.year is not None and low <= album.year <= high]
    return [album for _, album in sorted(found, key=lambda one: one[0], reverse=first > last)]


def _albums_by_genre(call: Call, albums: list[Album]) -> list[Album]:
    genre = fold(call.parameters.require("genre"))
    return [album for album in albums if any(fold(name) == genre for name in album.genres)]


def _no_albums(_: Call, __: list[Album]) -> list[Album]:
    """Nothing is recorded about what people play, rate or star."""
    return []


_ALBUM_LISTS: Mapping[str, Callable[[Call, list[Album]], list[Album]]] = {
    "random": _random_albums,
    "newest": _newest_albums,
    "highest": _no_albums,
    "frequent": _no_albums,
    "recent": _no_albums,
    "starred": _no_albums,
    "alphabeticalByName": _albums_by_name,
    "alphabeticalByArtist": _albums_by_artist,
    "byYear": _albums_by_year,
    "byGenre": _albums_by_genre,
}


def _random_songs(call: Call) -> Payload:
    check_music_folder(call)
    parameters = call.parameters
    size = parameters.number("size", 10, _MOST)
    first, last, genre = parameters.year("fromYear"), parameters.year("toYear"), parameters.get("genre")
    found = _of_genre(call.index, genre) if genre else list(call.index.songs.values())
    if first is not None or last is not None:
        low, high = first or 0, last if last is not None else 10**19
        found = [song for song in found if song.year is not None and low <= song.year <= high]
    random.shuffle(found)
    records: list[Payload] = []
    for first in range(0, len(found), max(1, size)):  # songs whose files are gone drop out, and others take their place
        records += song_records(call, [song.id for song in found[first : first + size - len(records)]])
        if len(records) >= size:
            break
    return {"randomSongs": {"song": records}}


def _songs_by_genre(call: Call) -> Payload:
    check_music_folder(call)
    count, offset = call.parameters.number("count", 10, _MOST), call.parameters.number("offset", 0)
    found = _of_genre(call.index, call.parameters.require("genre"))[offset : offset + count]
    return {"songsByGenre": {"song": song_records(call, [song.id for song in found])}}


def _of_genre(index: MusicIndex, genre: str) -> list[Song]:
    wanted = fold(genre)
    names = {name for name in index.genres if fold(name) == wanted}
    return [song for song in index.songs.values() if names.intersection(song.genres)]


def _search(call: Call) -> Payload:
    """Artists, albums and songs whose names hold every word; no words find everything."""
    check_music_folder(call)
    # Some clients send a pair of quotation marks for everything, and an asterisk after a word.
    words = [fold(word) for word in call.parameters.require("query").replace('"', " ").replace("*", " ").split()]
    index = call.index
    artists = _page(call, "artist", index.artists.values(), words)
    albums = _page(call, "album", index.albums.values(), words)
    songs = _page(call, "song", index.songs.values(), words)
    return {
        "searchResult3": {
            "artist": [artist_record(one) for one in artists],
            "album": [album_record(one) for one in albums],
            "song": song_records(call, [one.id for one in songs]),
        }
    }


def _page(call: Call, kind: str, items: Iterable[T], words: Sequence[str]) -> list[T]:
    count, offset = call.parameters.number(f"{kind}Count", 20, _MOST), call.parameters.number(f"{kind}Offset", 0)
    found = (item for item in items if all(word in item.words for word in words))
    return list(islice(found, offset, offset + count))


def _nothing(name: str, parameter: str | None = None) -> Endpoint:
    """An endpoint for what this server does not keep."""

    def empty(call: Call) -> Payload:
        if parameter is not None:
            call.parameters.require(parameter)
        return {name: {}}

    return empty


ENDPOINTS: Mapping[str, Endpoint] = {
    "getAlbumList2": _album_list,
    "getPlaylists": _nothing("playlists"),
    "getRandomSongs": _random_songs,
    "getSongsByGenre": _songs_by_genre,
    "getStarred2": _nothing("starred2"),
    "getTopSongs": _nothing("topSongs", "artist"),
    "search3": _search,
}
