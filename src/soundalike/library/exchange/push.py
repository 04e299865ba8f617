"""Push a library to Milvus, in batches: rows first, then their entries, then the manifest that commits both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.core.errors import LibraryError, UsageError
from soundalike.core.types import LEVELS, BoolArray, FloatArray, IntArray, Level
from soundalike.library.exchange.milvus_texts import NOWHERE, Entry, Places, reading_text, stored_failure, stored_sound
from soundalike.library.exchange.track_order import track_order
from soundalike.library.folder import LibraryFolder
from soundalike.library.open_rows import rows_address
from soundalike.library.stores.base import read_verified
from soundalike.library.stores.milvus_layout import (
    CATALOG,
    Layout,
    Manifest,
    StoredModel,
    create_collections,
    delete_ranges,
    open_levels,
    read_texts,
    write_rows,
    write_texts,
)
from soundalike.library.stores.milvus_server import MilvusAddress, MilvusServer
from soundalike.library.stores.row_groups import positions_of, runs

__all__ = ["PushReport", "push_library"]

_BATCH_BYTES = 1 << 24
"""The approximate size of the vectors of a batch, which is committed as a whole."""
_TRACK_BYTES = 1 << 13
Progress = Callable[[int, int, float], None]


@dataclass(slots=True)
class PushReport:
    """What a push did: tracks written, tracks that were there already, entries removed, and rows written."""

    written: int = 0
    kept: int = 0
    removed: int = 0
    rows: int = 0


def push_library(
    library: LibraryFolder, address: str, *, index: str | None = None, progress: Progress | None = None
) -> PushReport:
    """Make Milvus hold what a library holds: its rows, tracks, fingerprints and unreadable files.

    Only what Milvus lacks is written, and what the library no longer holds is removed. A batch counts only when it is
    complete, so an interrupted push can be repeated, and continues.

    Args:
        library: The library.
        address: `milvus://HOST:PORT/NAME`.
        index: "FLAT", "IVF_FLAT" or "HNSW"; None keeps that of a library that is there, and makes a new one FLAT.
        progress: Called after every batch with tracks done, all tracks, and seconds of audio in those done.

    Raises:
        UsageError: The address is invalid, or pymilvus is not installed.
        LibraryError: The server cannot be reached or written to, holds something else under the name, or the library
            holds corrupt rows.

    Example:
        >>> push_library(library, "milvus://localhost:19530/music").written
        12
    """
    if rows_address(library.path) is not None:
        raise UsageError(f"the rows of {library.path} are in Milvus already; push the library that they came from")
    with MilvusServer(MilvusAddress.parse(address)) as server, library.snapshot():
        return _Push(library, server, index).run(progress or (lambda *_: None))


def _stored_models(library: LibraryFolder) -> tuple[StoredModel, ...]:
    spaces = library.catalog.spaces()
    return tuple(
        StoredModel(name, held.digest, held.source, {one.name: one.dim for one in spaces if one.model == name})
        for name, held in library.catalog.models().items()
    )


def _open(server: MilvusServer, models: tuple[StoredModel, ...], index: str | None) -> Manifest:
    """The manifest of the library in Milvus, which is made if there is none. Raises LibraryError if it differs."""
    manifest = Manifest.read(server)
    if manifest is None:
        return create_collections(server, models, index or "FLAT")
    there, here = ([(one.name, one.digest, one.spaces) for one in group] for group in (manifest.models, models))
    if there != here:
        raise LibraryError(
            f"{server.address} holds {_named(manifest.models)}, the library holds {_named(models)}; push it under "
            "another name"
        )
    if index not in (None, manifest.index):
        raise LibraryError(f"{server.address} has the index {manifest.index}; push under another name for {index}")
    open_levels(server, manifest)
    return manifest


def _named(models: Sequence[StoredModel]) -> str:
    return " and ".join(f"{one.name} {one.digest[:8]} ({len(one.spaces)} spaces)" for one in models)


class _Push:
    """One push. To be used inside a snapshot of the library."""

    def __init__(self, library: LibraryFolder, server: MilvusServer, index: str | None) -> None:
        self._catalog, self._store, self._server = library.catalog, library.store, server
        self._source = f"{library.path} {library.catalog.database.epoch}"  # positions are used once per epoch
        models = _stored_models(library)
        if not models:
            raise LibraryError(f"the library at {library.path} holds no rows; index music into it first")
        self._layout = Layout.of(models)
        self._order = track_order(self._catalog, [model.name for model in models])
        self._manifest = _open(server, models, index)
        self._known: dict[bytes, list[int]] = {}
        self._rows: dict[str, Places] = {}
        self._number_of: dict[str, int] = {}
        self._old: dict[int, Entry] = {}
        self._used: set[str] = set()  # the rows of entries that stay
        for number, text in read_texts(server, 1, self._manifest.texts):
            with reading_text(server.address, number):
                self._note(number, Entry.parse(text))
        self._report = PushReport()

    def _note(self, number: int, entry: Entry) -> None:
        """Note an entry that Milvus holds, or that an interrupted push did not remove."""
        self._old[number] = entry
        if number in self._manifest.dropped:
            return
        self._known.setdefault(entry.digest, []).append(number)
        if entry.rows:
            self._rows[entry.rows] = entry.places
        self._number_of |= dict.fromkeys(entry.paths(), number)

    def run(self, progress: Progress) -> PushReport:
        """Write what is new, and remove what is gone."""
        total, done, seconds = len(self._order.ids), 0, 0.0
        for batch in self._batches():
            self._write([one for one in batch if not self._is_known(one[0])])
            done += sum(entry.tracks for entry, _ in batch)
            seconds += sum(entry.seconds for entry, _ in batch)
            progress(done, total, seconds)
        self._remove()
        if self._manifest.index != "FLAT" and self._report.rows:  # rows that no index covers yet are scanned
            for level in LEVELS:
                self._server.seal(level)
        return self._report

    def _batches(self) -> Iterator[list[tuple[Entry, Places]]]:
        """Everything that the library holds, with the positions of its rows there."""
        order = self._order
        owners = np.flatnonzero(order.owners())
        ends = np.append(owners[1:], len(order.ids))
        counts = sum(order.places[level][owners, 1] for level in LEVELS)
        for part in runs(_TRACK_BYTES * (ends - owners) + 4 * self._layout.width * counts, _BATCH_BYTES):
            yield [self._sound(first, end) for first, end in zip(owners[part], ends[part], strict=True)]
        failures = [stored_failure(one) for one in self._catalog.failures.all().values()]
        yield [(Entry(body, "", "", NOWHERE), NOWHERE) for body in failures]

    def _sound(self, first: int, end: int) -> tuple[Entry, Places]:
        order = self._order
        ids = order.ids[first:end].tolist()
        encoded_by = {
            one: [name for name, flags in order.encoded.items() if flags[first + at]] for at, one in enumerate(ids)
        }
        held = [name for name, flags in order.held.items() if flags[first]]
        places: dict[Level, tuple[int, int]] = {
            level: (int(rows[first, 0]), int(rows[first, 1])) for level, rows in order.places.items()
        }
        body = stored_sound(self._catalog, ids, encoded_by, held, places["passage"][1])
        return Entry(body, f"{self._source} {places}", "", NOWHERE), places

    def _is_known(self, entry: Entry) -> bool:
        """Whether Milvus holds an entry, which then stays as it is."""
        numbers = self._known.get(entry.digest)
        if not numbers:
            return False
        self._used.add(self._old.pop(numbers.pop()).rows)
        self._report.kept += entry.tracks
        return True

    def _write(self, batch: list[tuple[Entry, Places]]) -> None:
        """Write entries with the rows that Milvus lacks, and commit them in the place of earlier ones."""
        if not batch:
            return
        manifest, ends = self._manifest, dict(self._manifest.rows)
        rows = {level: self._vectors(level, batch) for level in LEVELS}
        counts = {level: np.array([places[level][1] for _, places in batch]) for level in LEVELS}
        starts = {level: np.cumsum(counts[level]) - counts[level] for level in LEVELS}
        new, entries = np.zeros(len(batch), np.bool_), []
        for at, (entry, _) in enumerate(batch):
            digest, own = hashlib.blake2b(digest_size=16), {level: int(counts[level][at]) for level in LEVELS}
            for level in LEVELS:
                digest.update(rows[level][0][starts[level][at] : starts[level][at] + own[level]].tobytes())
            found, name = NOWHERE, ""
            if own["track"]:
                name = digest.hexdigest()
                new[at] = name not in self._rows
                found = self._rows.setdefault(name, {level: (ends[level], own[level]) for level in LEVELS})
                ends = {level: ends[level] + own[level] * bool(new[at]) for level in LEVELS}
                self._used.add(name)
            entries.append(replace(entry, rows=name, places=found))
        for level, (vectors, silent) in rows.items():
            chosen = np.repeat(new, counts[level])
            write_rows(self._server, level, manifest.rows[level], vectors[chosen], silent[chosen])
        numbers = range(manifest.texts, manifest.texts + len(entries))
        write_texts(self._server, dict(zip(numbers, (entry.dump() for entry in entries), strict=True)))
        replaced = {self._number_of[path] for entry in entries for path in entry.paths() if path in self._number_of}
        self._commit(replace(manifest, rows=ends, texts=numbers.stop, dropped=manifest.dropped | replaced))
        self._report.written += sum(entry.tracks for entry in entries)
        self._report.rows += sum(ends[level] - manifest.rows[level] for level in LEVELS)

    def _vectors(self, level: Level, batch: Sequence[tuple[Entry, Places]]) -> tuple[FloatArray, BoolArray]:
        """The joined rows of some recordings at a level, and which of their spaces are silent."""
        places = np.array([places[level] for _, places in batch], np.int64).reshape(-1, 2)
        positions = positions_of(places)
        rows: dict[str, FloatArray] = {}
        for full, dim in self._layout.dims.items():
            model = full.rpartition("/")[0]
            held = np.repeat([model in entry.body.get("held", ()) for entry, _ in batch], places[:, 1])
            rows[full] = np.zeros((len(positions), dim), np.float32)
            rows[full][held] = read_verified(self._store, level, full, dim, positions[held])
        return self._layout.join(len(positions), rows)

    def _commit(self, manifest: Manifest) -> None:
        self._manifest = replace(manifest, generation=manifest.generation + 1)
        self._manifest.write(self._server)

    def _remove(self) -> None:
        """Remove the entries that the library does not hold, and rows that no entry has any more."""
        gone = np.array(sorted(set(self._old) | self._manifest.dropped), np.int64)
        if not len(gone):
            return
        self._commit(replace(self._manifest, dropped=frozenset(gone.tolist())))
        unused = {entry.rows: entry.places for entry in self._old.values() if entry.rows not in {"", *self._used}}
        for level in LEVELS:
            ranges = [(places[level][0], sum(places[level])) for places in unused.values()]
            delete_ranges(self._server, level, ranges)
        delete_ranges(self._server, CATALOG, _ranges(gone))
        self._commit(replace(self._manifest, dropped=frozenset()))
        self._report.removed = len(self._old)


def _ranges(numbers: IntArray) -> list[tuple[int, int]]:
    """Ascending numbers (n,) as ranges: first and end of each."""
    begins = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    ends = np.append(begins[1:], len(numbers))
    return [(int(numbers[first]), int(numbers[end - 1]) + 1) for first, end in zip(begins, ends, strict=True)]
