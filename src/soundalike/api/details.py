"""What a library knows about one track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from soundalike.core.errors import UsageError
from soundalike.core.text import fold, quoted
from soundalike.library import LibraryFolder, is_current, is_there
from soundalike.library.catalog import AnyOf, Filter, TextCondition, Track

__all__ = ["TrackDetails", "find_tracks", "known_id", "select_tracks", "track_details"]


@dataclass(frozen=True, slots=True)
class TrackDetails:
    """What a library knows about one track.

    Attributes:
        track: Its tags, and what was measured.
        models: The models that encoded it.
        passages: The number of its passages.
        features: The backbones whose features are stored.
        copies: Paths of other tracks with the same audio whose files exist.
        versions: Paths of the other tracks in its version family whose files exist.
        there: Whether the file exists.
        current: Whether the file still has the size and time that it had when it was indexed.
    """

    track: Track
    models: tuple[str, ...]
    passages: int
    features: tuple[str, ...]
    copies: tuple[str, ...]
    versions: tuple[str, ...]
    there: bool
    current: bool


def known_id(library: LibraryFolder, path: Path) -> int:
    """The id of the track at an absolute path. Raises UsageError if the library does not hold it."""
    found = library.catalog.id_at(path)
    if found is None:
        if below := sum(path in track.path.parents for track in library.catalog.tracks()):
            mark = "'" if '"' in str(path) else '"'
            raise UsageError(
                f"{path} is a folder with {below:,} {'track' if below == 1 else 'tracks'}; give the path of a track, "
                f"as listed by: soundalike library ls --where {quoted(f'path ~ {mark}{path}{mark}')}"
            )
        raise UsageError(
            f"{path} is not in the library at {library.path}; add it with: soundalike index {quoted(path)}"
        )
    return found


def track_details(library: LibraryFolder, path: Path) -> TrackDetails:
    """Everything the library knows about the track at an absolute path. Raises UsageError if it does not hold it."""
    with library.snapshot():
        catalog = library.catalog
        (track,) = catalog.tracks_of([known_id(library, path)])
        relatives = [one for one in catalog.families.of(track.id) if one != track.id]
        copies = catalog.tracks("audio_hash = ? AND tracks.id != ?", (track.audio_hash, track.id))
        return TrackDetails(
            track=track,
            models=tuple(catalog.models_of(track.id)),
            passages=catalog.rows_of(track.id, "passage")[1],
            features=tuple(catalog.features.backbones_of(track.id)),
            copies=_paths_there(copies),
            versions=_paths_there(catalog.tracks_of(relatives)),
            there=is_there(track.path),
            current=is_current(track),
        )


def _paths_there(tracks: Iterable[Track]) -> tuple[str, ...]:
    return tuple(str(track.path) for track in tracks if is_there(track.path))


def select_tracks(library: LibraryFolder, where: Filter) -> list[Track]:
    """The tracks that meet a filter, in the order in which they were added."""
    with library.snapshot():
        if where == Filter():
            return library.catalog.tracks()
        columns = library.arrays.columns()
        return library.catalog.tracks_of(columns.ids[columns.matches(where)].tolist())


def find_tracks(library: LibraryFolder, text: str) -> list[Track]:
    """The tracks whose artist, title, album or path contain every word; only the best of them, see `Library.find`."""
    words = [fold(word) for word in text.split()]
    fields = ("artist", "title", "album", "path")
    conditions = tuple(AnyOf(tuple(TextCondition(field, "~", word) for field in fields)) for word in words)
    found = select_tracks(library, Filter(conditions))
    for name in (_own_name, _name_with_album):
        if named := [track for track in found if all(word in name(track) for word in words)]:
            return named
    return found


def _own_name(track: Track) -> str:
    """What a person calls a track: its artist, its title and the name of its file."""
    return fold(" ".join([*track.artists, track.title or "", track.path.stem]))


def _name_with_album(track: Track) -> str:
    """The name of a track with those of its album and its folder."""
    return " ".join([_own_name(track), fold(track.album or ""), fold(track.path.parent.name)])
