"""Read the tags of known files again after the reader of tags has learned something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from soundalike.audio import TAGS_VERSION, read_tags
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.track import Track, tag_fields

__all__ = ["refresh_tags", "with_outdated_tags"]

_BATCH = 100


def with_outdated_tags(tracks: Iterable[Track]) -> list[Track]:
    """The tracks whose tags an older version of soundalike read."""
    return [track for track in tracks if track.tags_version < TAGS_VERSION]


def refresh_tags(catalog: Catalog, tracks: Sequence[Track], advance: Callable[[int], None]) -> None:
    """Read the tags of tracks again; no audio is decoded.

    Every batch is committed, so an interruption loses little. To be called outside a transaction.

    Args:
        catalog: The catalogue, open for writing.
        tracks: Tracks whose files are unchanged, see `with_outdated_tags`.
        advance: Called with the number of tracks that were read since the last call.
    """
    remaining = iter(tracks)
    while batch := list(islice(remaining, _BATCH)):
        corrupt = set(catalog.database.corrupt_tracks(track.id for track in batch))  # these are encoded again
        readable = [track for track in batch if track.id not in corrupt and _is_readable(track)]
        roots = catalog.paths.roots_of(track.id for track in readable)
        fresh = [(roots[track.id], _read(track)) for track in readable]
        with catalog.transaction():
            catalog.database.will_change(track.id for _, track in fresh)  # at once, not one by one
            for root, track in fresh:
                catalog.put_track(root, track)
        advance(len(batch))


def _is_readable(track: Track) -> bool:
    """Whether the file can be opened now. If not, the stored tags stay, and a later run reads them again."""
    try:
        with track.path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def _read(track: Track) -> Track:
    return replace(track, missing=False, unreadable=False, **tag_fields(read_tags(track.path)))
