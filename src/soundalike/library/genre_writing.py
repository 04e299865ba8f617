"""Give tracks genres that their files do not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from soundalike.library.folder import LibraryFolder

__all__ = ["put_genres"]


def put_genres(library: LibraryFolder, genres: Mapping[int, tuple[str, ...]]) -> int:
    """Store genres of tracks in the catalogue; files stay as they are.

    A track that has genres keeps them, and a corrupt entry stays as it is. The genres stay until the tags of the file
    are read again because it has changed.

    Args:
        library: The library, open for writing.
        genres: The genres by the id of a track.

    Returns:
        The number of tracks that were changed.

    Example:
        >>> put_genres(library, {1: ("Jazz",)})
        1
    """
    catalog = library.catalog
    corrupt = set(catalog.database.corrupt_tracks(genres))
    with catalog.transaction():
        chosen = [one for one in catalog.tracks_of(list(genres)) if not one.genres and one.id not in corrupt]
        roots = catalog.paths.roots_of(one.id for one in chosen)
        catalog.database.will_change(one.id for one in chosen)
        for one in chosen:
            catalog.put_track(roots[one.id], replace(one, genres=genres[one.id]))
    return len(chosen)
