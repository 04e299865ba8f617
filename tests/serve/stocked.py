"""Libraries that are made from rows, without listening to audio."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from soundalike.core.types import FloatArray
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.models.model import Model

__all__ = ["stock", "track_of"]


def stock(path: Path, rows: Mapping[str, FloatArray], model: Model, music: Path, tracks: Iterable[Track]) -> Path:
    """A library at a path: rows by space, and the track in `music` that each one belongs to."""
    with LibraryFolder.create(path) as library:
        catalog = library.catalog
        with catalog.transaction():
            dims = [(space.name, "track", space.dim) for space in model.spaces]
            catalog.put_model(model.name, HeldModel(model.recipe.digest, model.source), dims)
        library.refresh()
        for space in model.spaces:
            library.store.write("track", space.full_name, 0, rows[space.name])
        library.store.flush()
        with catalog.transaction():
            catalog.commit_rows(model.name, "track", 0, len(rows[model.spaces[0].name]))
            for number, track in enumerate(tracks):
                track_id = catalog.put_track(music, track)
                catalog.assign_rows(track_id, "track", number, 1)
                catalog.mark_encoded(track_id, model.name)
    return path


def track_of(path: Path, status: os.stat_result | None = None, **tags: object) -> Track:
    """A track whose digests are its name. `status` is that of its file, if there is one."""
    given: dict[str, object] = {
        "path": path, "size": status.st_size if status else 1, "mtime_ns": status.st_mtime_ns if status else 1,
        "content_hash": path.stem, "audio_hash": path.stem, "duration": 60.0, "rate": 44100, "channels": 2,
        "codec": path.suffix[1:], "title": None, "artists": (), "album": None, "genres": (), "year": None,
        "bpm_tag": None, "key_tag": None, "tempo": None, "key": None, "loudness": None, "silent": False,
    }  # fmt: skip
    return Track(**given | tags)
