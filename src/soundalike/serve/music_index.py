"""The artists, albums and songs of a library, as music players browse them."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from soundalike.api import Library
from soundalike.audio import MAX_TEXT
from soundalike.core.text import fold
from soundalike.library import LibraryFolder
from soundalike.library.catalog import parse_list

__all__ = [
    "ARTICLES",
    "UNKNOWN_ARTIST",
    "VARIOUS_ARTISTS",
    "Album",
    "Artist",
    "MusicIndex",
    "MusicIndexCache",
    "Song",
    "album_id",
    "album_name",
    "artist_id",
]

UNKNOWN_ARTIST = "[Unknown Artist]"
VARIOUS_ARTISTS = "Various Artists"
ARTICLES = ("The", "El", "La", "Los", "Las", "Le", "Les")
"""Words that are skipped where names are sorted."""
_COLUMNS = (
    "id", "root_id", "path", f"substr(title, 1, {MAX_TEXT})", "artists", f"substr(album, 1, {MAX_TEXT})",
    f"substr(album_artist, 1, {MAX_TEXT})", "genres", "year", "duration", "mtime_ns", "missing OR unreadable",
)  # fmt: skip
_DISC = re.compile(r"(cd|dis[ck])[ ._-]*\d{1,2}", re.IGNORECASE)
"""The name of a folder with one disc of an album."""
_PATIENCE = 10
"""An index is used for at least this many times the seconds that it took to make."""


@dataclass(frozen=True, slots=True)
class Song:
    """A track. `album` and `artists` are ids; `words` is the folded text in which searches look."""

    id: int
    album: str
    artists: tuple[str, ...]
    genres: tuple[str, ...]
    year: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Album:
    """An album. `songs` are ids of tracks in the order of their paths; `created` is in nanoseconds."""

    id: str
    name: str
    artist: str
    songs: tuple[int, ...]
    duration: float
    created: int
    year: int | None
    genres: tuple[str, ...]
    words: str

    @property
    def artist_id(self) -> str:
        """The id of the artist of the album."""
        return artist_id(self.artist)


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist with the ids of all albums on which it appears."""

    id: str
    name: str
    albums: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class MusicIndex:
    """The songs, albums and artists of a library at one moment; tracks whose files are known to be absent are left out.

    Attributes:
        songs: The songs by track id, in the order in which they were added.
        albums: The albums by id, sorted by name.
        artists: The artists by id, sorted by name.
        genres: {genre: (number of songs, number of albums)}, sorted by name.
        made: When this was read, in seconds since 1970.
    """

    songs: Mapping[int, Song]
    albums: Mapping[str, Album]
    artists: Mapping[str, Artist]
    genres: Mapping[str, tuple[int, int]]
    made: float

    @classmethod
    def of(cls, folder: LibraryFolder, absent: Iterable[int] = ()) -> MusicIndex:
        """Read a library. `absent` are the ids of root folders that are not there."""
        made = _Builder()
        with folder.catalog.snapshot():
            roots = {number: str(root).rstrip(os.sep) + os.sep for number, root in folder.catalog.paths.roots().items()}
            for number in absent:
                roots.pop(number, None)
            for batch in folder.catalog.columns(_COLUMNS):
                for number, root, path, *tags, gone in batch:
                    if not gone and root in roots:
                        made.add(number, roots[root] + os.fsdecode(path), *tags)
        return made.index()

    def by_letter(self) -> dict[str, list[Artist]]:
        """The artists by the first letter of their names; "#" for all other signs, which comes first."""
        groups: dict[str, list[Artist]] = defaultdict(list)
        for artist in self.artists.values():
            groups[_letter(artist.name)].append(artist)
        return dict(sorted(groups.items()))


class MusicIndexCache:
    """The index of a library, made again when the library changes. Threads may share it."""

    def __init__(self, library: Library) -> None:
        self._library, self._lock = library, threading.Lock()
        self._index: MusicIndex | None = None
        self._state: tuple[int, frozenset[int]] | None = None
        self._fresh_until = 0.0

    def get(self) -> MusicIndex:
        """The index. While the library changes all the time, it may lag by ten times the time that it takes to make."""
        folder = self._library.folder
        state = (folder.catalog.generation, frozenset(folder.absent_roots()))
        with self._lock:
            began = time.monotonic()
            if self._index is None or (state != self._state and began >= self._fresh_until):
                self._index, self._state = MusicIndex.of(folder, state[1]), state
                ended = time.monotonic()
                self._fresh_until = ended + _PATIENCE * (ended - began)
            return self._index


def artist_id(name: str) -> str:
    """The id of an artist: the same for names that differ only in case or in the encoding of accents.

    Example:
        >>> artist_id("Björk") == artist_id("BJÖRK")
        True
    """
    return _hashed("ar", fold(name))


def album_id(album: str | None, album_artist: str | None, path: str) -> str:
    """The id of the album of a track: by its tags, or by the folder of the file where they do not name an artist.

    Args:
        album: The tag, or None.
        album_artist: The tag, or None.
        path: The path of the file.
    """
    if album and album_artist:
        return _hashed("al", "\0".join(["tags", fold(album_artist), fold(album)]))
    return _hashed("al", "\0".join(["folder", _album_folder(path), fold(album or "")]))


def album_name(album: str | None, path: str) -> str:
    """The name of the album of a track: the tag, or the name of its folder."""
    return album or _album_folder(path).rpartition(os.sep)[2] or os.sep


def _album_folder(path: str) -> str:
    """The folder of an album: that of the file, or the one above the folders of several discs."""
    folder = path.rpartition(os.sep)[0]
    above, _, name = folder.rpartition(os.sep)
    return above if _DISC.fullmatch(name) else folder


@lru_cache(maxsize=65536)
def _hashed(prefix: str, key: str) -> str:
    return f"{prefix}-{hashlib.blake2b(os.fsencode(key), digest_size=8).hexdigest()}"


def _sort_key(name: str) -> str:
    """A name without its article, for sorting."""
    article, _, rest = name.partition(" ")
    return fold(rest if rest and article.title() in ARTICLES else name)


def _letter(name: str) -> str:
    first = unicodedata.normalize("NFKD", _sort_key(name)[:1])[:1].upper()
    return first if first.isalpha() else "#"


_names = lru_cache(maxsize=65536)(parse_list)


class _Draft:
    """An album while songs are added."""

    __slots__ = ("album_artist", "artists", "created", "duration", "genres", "ids", "name", "paths", "year")

    def __init__(self, name: str, album_artist: str | None) -> None:
        self.name, self.album_artist = name, album_artist
        self.paths: list[tuple[str, int]] = []
        self.artists: dict[str, str] = {}
        self.ids: set[str] = set()
        self.genres: dict[str, None] = {}
        self.year: int | None = None
        self.duration, self.created = 0.0, 0

    def album(self, number: str) -> Album:
        """The album of the songs that were added."""
        artist = self.album_artist or (next(iter(self.artists.values())) if len(self.artists) == 1 else VARIOUS_ARTISTS)
        songs = tuple(song for _, song in sorted(self.paths))
        words = fold(f"{self.name} {artist}")
        return Album(
            number, self.name, artist, songs, self.duration, self.created, self.year, tuple(self.genres), words
        )  # fmt: skip


class _Builder:
    """Collects the rows of tracks."""

    def __init__(self) -> None:
        self._songs: dict[int, Song] = {}
        self._drafts: dict[str, _Draft] = {}
        self._ids: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._genres: Counter[str] = Counter()
        self._spelling: dict[str, str] = {}

    def add(
        self, number: int, path: str, title: str | None, artists: str | None, album: str | None,
        album_artist: str | None, genres: str | None, year: int | None, duration: float, mtime_ns: int,
    ) -> None:  # fmt: skip
        """Add a track, given the values of its columns."""
        names, key = _names(artists) or (UNKNOWN_ARTIST,), album_id(album, album_artist, path)
        ids = tuple([self._id_of(name) for name in names])
        kinds = tuple([self._spelling.setdefault(fold(genre), genre) for genre in _names(genres)])
        name = album_name(album, path)
        shown = title or path.rpartition(os.sep)[2].rpartition(".")[0]
        self._songs[number] = Song(number, key, ids, kinds, year, fold(" ".join([shown, *names, name])))
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = _Draft(name, album_artist if album else None)
        draft.paths.append((path, number))
        draft.artists.setdefault(ids[0], names[0])
        draft.ids.update(ids)
        draft.genres.update(dict.fromkeys(kinds))
        draft.year = year if draft.year is None else draft.year
        draft.duration += duration
        draft.created = max(draft.created, mtime_ns)
        self._genres.update(kinds)

    def _id_of(self, name: str) -> str:
        number = self._ids.get(name)
        if number is None:
            number = self._ids[name] = artist_id(name)
            self._shown.setdefault(number, name)
        return number

    def index(self) -> MusicIndex:
        """The index of what was added."""
        albums = sorted((draft.album(key) for key, draft in self._drafts.items()), key=lambda one: _sort_key(one.name))
        of_artist: dict[str, list[str]] = defaultdict(list)
        for album in albums:
            for number in {self._id_of(album.artist), *self._drafts[album.id].ids}:
                of_artist[number].append(album.id)
        artists = sorted(
            (Artist(number, self._shown[number], tuple(ids), fold(self._shown[number]))
             for number, ids in of_artist.items()),
            key=lambda one: _sort_key(one.name),
        )  # fmt: skip
        on_albums = Counter(genre for album in albums for genre in album.genres)
        genres = {name: (count, on_albums[name]) for name, count in sorted(self._genres.items())}
        return MusicIndex(
            self._songs, {one.id: one for one in albums}, {one.id: one for one in artists}, genres, time.time()
        )
