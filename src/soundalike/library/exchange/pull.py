"""Read a library in Milvus: as an export, to be imported, or only its catalogue while the rows stay in Milvus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, FloatArray, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.held import HeldModel
from soundalike.library.exchange.format import ExportedModel, Manifest
from soundalike.library.exchange.milvus_texts import Entry, reading_text
from soundalike.library.exchange.read import Sound
from soundalike.library.folder import LibraryFolder
from soundalike.library.open_rows import put_rows_address
from soundalike.library.stores.milvus import create
from soundalike.library.stores.milvus_layout import read_texts

__all__ = ["StoredLibrary", "pull_catalog"]

_BATCH_PASSAGES, _BATCH_TRACKS = 4096, 512
Progress = Callable[[int, int, float], None]


def pull_catalog(folder: Path, address: str, progress: Progress | None = None) -> int:
    """Make a library whose tracks, tags and fingerprints are here and whose rows stay in Milvus.

    It can be searched as any other one, and is never changed: to see a later push, make it again.

    Args:
        folder: A new or empty folder.
        address: `milvus://HOST:PORT/NAME`.
        progress: Called with tracks done, an upper bound of all, and their seconds.

    Returns:
        The number of tracks.

    Raises:
        UsageError: The address is invalid, or pymilvus is not installed.
        LibraryError: The server cannot be reached, holds no such library, or the folder cannot be used.

    Example:
        >>> pull_catalog(Path("remote"), "milvus://localhost:19530/music")
        12
    """
    with StoredLibrary(address) as stored:
        with LibraryFolder.create(folder) as library:
            if len(library.catalog) or library.catalog.models():
                raise LibraryError(f"{folder} holds a library; give a new folder for the catalogue of {address}")
            tracks = stored.copy_catalog(library.catalog, progress or (lambda *_: None))
        put_rows_address(folder, address)
        return tracks


class StoredLibrary:
    """A library in Milvus, open for reading as `Export` reads a folder. Use `with`, and pass it to `import_library`."""

    def __init__(self, address: str) -> None:
        """Connect to the server at `milvus://HOST:PORT/NAME`.

        Raises:
            UsageError: The address is invalid, or pymilvus is not installed.
            LibraryError: The server cannot be reached, or holds no such library.

        Example:
            >>> with StoredLibrary("milvus://localhost:19530/music") as stored, LibraryFolder.create(path) as library:
            ...     import_library(library, stored).added
            12
        """
        self._store = create(address)
        self._server, self._held = self._store.server, self._store.manifest
        models = tuple(ExportedModel(one.name, one.digest, one.source, one.spaces) for one in self._held.models)
        most = self._held.texts - 1 - len(self._held.dropped)
        self.manifest = Manifest(most, self._held.rows["passage"], 0, models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        held = self._held
        for number, text in read_texts(self._server, 1, held.texts):
            if number not in held.dropped:
                with reading_text(self._server.address, number):
                    yield number, Entry.parse(text)

    def _sounds(self) -> Iterator[tuple[Sound, Entry]]:
        """All recordings without rows, and their entries; copies are numbered on."""
        lines = 0
        for number, entry in self._entries():
            if entry.tracks:
                with reading_text(self._server.address, number):
                    copies = entry.lines(lines)
                lines += len(copies)
                yield Sound(copies), entry

    def batches(self) -> Iterator[list[Sound]]:
        """All recordings with their rows, in batches."""
        batch: list[tuple[Sound, Entry]] = []
        tracks = passages = 0
        for sound, entry in self._sounds():
            batch.append((sound, entry))
            tracks += entry.tracks
            passages += sound.first.passages
            if tracks >= _BATCH_TRACKS or passages >= _BATCH_PASSAGES:
                yield self._with_rows(batch)
                batch, tracks, passages = [], 0, 0
        yield self._with_rows(batch)

    def _with_rows(self, batch: list[tuple[Sound, Entry]]) -> list[Sound]:
        rows: list[dict[Level, dict[str, FloatArray]]] = [{} for _ in batch]
        columns = [(model.name, *column) for model in self.manifest.models for column in model.columns().items()]
        for level in LEVELS:
            spans = [np.arange(entry.places[level][0], sum(entry.places[level])) for _, entry in batch]
            positions = np.concatenate([np.zeros(0, np.int64), *spans])
            edges = np.cumsum([len(span) for span in spans])[:-1]
            _, space, dim = columns[0]  # one checksum covers the rows of all spaces
            if self._store.corrupt(level, space, dim, positions).any():
                raise LibraryError(
                    f"rows of {self._server.address} are missing or corrupt; push the library again under another name"
                )
            for model, space, dim in columns:
                parts = np.split(self._store.read(level, space, dim, positions), edges)
                for (_, entry), found, part in zip(batch, rows, parts, strict=True):
                    if model in entry.body["held"]:
                        found.setdefault(level, {})[space] = part
        return [
            replace(sound, copies=[replace(sound.first, rows=found.get("track", {})), *sound.copies[1:]], rows=found)
            for (sound, _), found in zip(batch, rows, strict=True)
        ]

    def failures(self) -> Iterator[tuple[Path, int, int, str]]:
        """The unreadable files."""
        for number, entry in self._entries():
            if not entry.tracks:
                with reading_text(self._server.address, number):
                    yield entry.failure()

    def copy_catalog(self, catalog: Catalog, progress: Progress) -> int:
        """Write all tracks into a catalogue, at the positions that their rows have in Milvus; returns their number."""
        held, done, seconds = self._held, 0, 0.0
        with catalog.transaction():
            for model in held.models:
                dims = [(name, level, dim) for name, dim in model.spaces.items() for level in LEVELS]
                catalog.put_model(model.name, HeldModel(model.digest, model.source), dims)
                for level in LEVELS:
                    catalog.commit_rows(model.name, level, 0, held.rows[level])
            for sound, entry in self._sounds():
                for line in sound.copies:
                    track_id = catalog.put_track(line.root, line.track)
                    if sound.first.fingerprint is not None:
                        catalog.fingerprints.put(track_id, sound.first.fingerprint, sound.first.fingerprint_version)
                    for name in sorted(line.encoded_by):
                        catalog.mark_encoded(track_id, name)
                    for level in LEVELS if sound.first.passages else ():
                        catalog.assign_rows(track_id, level, *entry.places[level])
                done += entry.tracks
                seconds += entry.seconds
                progress(done, max(done, self.manifest.tracks), seconds)
            for failure in self.failures():
                catalog.failures.put(*failure)
        return done
