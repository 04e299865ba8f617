"""Read an exported library sequentially, and validate every value (`format.py` describes the files)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from soundalike.audio import FINGERPRINT_VERSION, MAX_SECONDS, MAX_TEXT, MAX_VALUES, Fingerprint, Words, windows
from soundalike.core.types import FloatArray, Level
from soundalike.library.catalog.track import Track
from soundalike.library.exchange.format import (
    ExportedModel,
    Manifest,
    first_bad_row,
    read_manifest,
    reading,
    schema,
    upgrade_track,
)
from soundalike.library.exchange.parquet import load_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Export", "Line", "Sound"]

_LONGEST_PATH = 1 << 16  # bytes; no system has longer ones
_READ = 256
"""Lines read at a time."""
_BATCH_PASSAGES = 8192
_BATCH_TRACKS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of `tracks.parquet`: a track, the folder it was found in, and the models that encoded it."""

    number: int
    root: Path
    track: Track
    encoded_by: frozenset[str]
    passages: int
    rows_of: int | None
    fingerprint: Words | None
    fingerprint_version: int
    rows: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Copies of a file. The first has the fingerprint, and the rows of the models that encoded one of them.

    `rows` maps a level to (n, d) float32 per full name of a space.
    """

    copies: list[Line]
    rows: Mapping[Level, Mapping[str, FloatArray]] = field(default_factory=dict)

    @property
    def first(self) -> Line:
        """The copy that holds what all share."""
        return self.copies[0]

    def holds(self, model: ExportedModel) -> bool:
        """Whether there are rows of a model's spaces."""
        return next(iter(model.columns())) in self.first.rows


class Export:
    """An export, open for reading once from its beginning. Use `with`.

    Opening validates `library.json`, and the columns and lengths of all files. Reading validates every value. Both
    raise UsageError, which names the file and the fault.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        with ExitStack() as opened:
            self._tracks = opened.enter_context(_Table(folder, "tracks", self.manifest, self.manifest.tracks))
            self._passages = opened.enter_context(_Table(folder, "passages", self.manifest, self.manifest.passages))
            self._failures = opened.enter_context(_Table(folder, "failures", self.manifest, self.manifest.failures))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def batches(self) -> Iterator[list[Sound]]:
        """All tracks in batches; tracks that share rows are together."""
        batch: list[Sound] = []
        tracks = passages = 0
        for sound in self._sounds():
            batch.append(sound)
            tracks += len(sound.copies)
            passages += sound.first.passages
            if tracks >= _BATCH_TRACKS or passages >= _BATCH_PASSAGES:
                yield self._with_passages(batch)
                batch, tracks, passages = [], 0, 0
        yield self._with_passages(batch)
        with reading(self._passages.path):
            if left := self._passages.left:
                raise ValueError(f"{left} passages belong to no track")

    def failures(self) -> Iterator[tuple[Path, int, int, str]]:
        """Path, size, modification time and message of the unreadable files."""
        while self._failures.left:
            with reading(self._failures.path):
                for row in self._failures.take(min(_READ, self._failures.left)).to_pylist():
                    yield _path(row["path"]), row["size"], row["mtime_ns"], row["message"][:MAX_TEXT]

    def _sounds(self) -> Iterator[Sound]:
        copies: list[Line] = []
        for line in self._lines():
            if line.rows_of is None and copies:
                yield self._sound(copies)
                copies = []
            copies.append(line)
        if copies:
            yield self._sound(copies)

    def _sound(self, copies: list[Line]) -> Sound:
        """Check that the lines of copies are consistent."""
        first = copies[0]
        sound = Sound(copies)
        encoded = frozenset[str]().union(*(line.encoded_by for line in copies))
        with reading(self._tracks.path):
            for line in copies[1:]:
                if (line.rows_of, line.passages) != (first.number, first.passages) or line.rows:
                    raise ValueError(f"line {line.number}: not a copy of the track before it")
                if line.fingerprint is not None:
                    raise ValueError(f"line {line.number}: a copy with a fingerprint of its own")
            if first.rows_of is not None or first.fingerprint is None:
                raise ValueError(f"line {first.number}: a copy of a track that does not exist")
            expected = len(windows(first.track.duration)) if encoded else 0
            if first.passages != expected:
                raise ValueError(f"line {first.number}: {first.passages} passages, expected {expected}")
            for model in self.manifest.models:
                for full in model.columns():
                    if (full in first.rows) != (model.name in encoded):
                        wrong = "unexpected" if full in first.rows else "missing"
                        raise ValueError(f"line {first.number}: {wrong} row of {full}")
        return sound

    def _lines(self) -> Iterator[Line]:
        number = 0
        while self._tracks.left:
            with reading(self._tracks.path):
                table = self._tracks.take(min(_READ, self._tracks.left))
                columns = {full: self._tracks.rows(table, full) for full in self._tracks.spaces}
                words = table.column("fingerprint").combine_chunks()
                values = table.drop_columns(["fingerprint", *columns]).to_pylist()
                lines = []
                for at, row in enumerate(values):
                    words_at = words[at].values
                    lines.append(
                        self._line(
                            number + at,
                            row,
                            None if words_at is None else words_at.to_numpy(),
                            {full: rows for full, get in columns.items() if (rows := get(at, 1)) is not None},
                        )
                    )
            number += len(lines)
            yield from lines

    def _line(
        self, number: int, row: dict[str, Any], fingerprint: Words | None, rows: Mapping[str, FloatArray]
    ) -> Line:
        if row["number"] != number:
            raise ValueError(f"line {number} has number {row['number']}")
        values = upgrade_track(row, self.manifest.format)
        for name in (
            "duration",
            "bpm_tag",
            "tempo",
            "key_confidence",
            "tempo_confidence",
            "meter_confidence",
            "loudness",
        ):
            if values[name] is not None and not math.isfinite(values[name]):
                raise ValueError(f"line {number}: {name} is {values[name]}")
        for name, lowest in (("size", 0), ("rate", 1), ("channels", 1), ("duration", 1e-9), ("passages", 0)):
            if row[name] < lowest:
                raise ValueError(f"line {number}: {name} is {row[name]}")
        if values["bit_rate"] is not None and values["bit_rate"] < 0:
            raise ValueError(f"line {number}: bit_rate is {values['bit_rate']}")
        if row["duration"] > 2 * MAX_SECONDS:  # no such recording can be indexed
            raise ValueError(f"line {number}: duration is {row['duration']}")
        known = {model.name for model in self.manifest.models}
        if None in row["encoded_by"] or not known.issuperset(row["encoded_by"]):
            raise ValueError(f"line {number}: encoded by {row['encoded_by']}, expected some of {sorted(known)}")
        version = row.get("fingerprint_version", 1)
        if fingerprint is not None and version == FINGERPRINT_VERSION and not Fingerprint.is_valid(fingerprint):
            raise ValueError(f"line {number}: the fingerprint is not one of version {version}")
        for name in ("artists", "genres"):
            if None in values[name]:
                raise ValueError(f"line {number}: {name} contains a null")
            values[name] = tuple(values[name])
        _check_lengths(number, values)
        return Line(
            number,
            _path(row["root"], folder=True),
            Track(path=_path(row["root"] + row["path"]), **values),
            frozenset(row["encoded_by"]),
            row["passages"],
            row["rows_of"],
            fingerprint,
            version,
            rows,
        )

    def _with_passages(self, batch: list[Sound]) -> list[Sound]:
        """Read the passages of some recordings, which are the next ones in the file."""
        counts = [sound.first.passages for sound in batch]
        with reading(self._passages.path):
            if sum(counts) > self._passages.left:
                raise ValueError(f"{sum(counts) - self._passages.left} passages are missing")
            table = self._passages.take(sum(counts))
            numbers = np.repeat(np.array([sound.first.number for sound in batch], np.int64), counts)
            index = np.concatenate([np.arange(count) for count in counts] or [np.zeros(0, np.int64)])
            for name, expected in (("track", numbers), ("index", index)):
                if not np.array_equal(table.column(name).to_numpy(), expected):
                    raise ValueError(f"column {name!r} does not match the tracks: lines are missing or out of order")
            columns = {full: self._passages.rows(table, full) for full in self._passages.spaces}
            at, whole = 0, []
            for sound, count in zip(batch, counts, strict=True):
                passages: dict[str, FloatArray] = {}
                for full, get in columns.items():
                    rows = get(at, count) if count else None
                    if (rows is None) == (full in sound.first.rows):
                        raise ValueError(f"{full} of track {sound.first.number}: track and passages differ")
                    if rows is not None:
                        passages[full] = rows
                at += count
                whole.append(replace(sound, rows={"track": sound.first.rows, "passage": passages}))
        return whole


class _Table:
    """A file of an export, read from its beginning. Raises errors that `reading` converts."""

    def __init__(self, folder: Path, name: str, manifest: Manifest, lines: int) -> None:
        pa = load_pyarrow()
        self.path = folder / f"{name}.parquet"
        self.spaces: dict[str, int] = {}
        if name != "failures":
            for model in manifest.models:
                self.spaces |= model.columns()
        self.left = lines
        self._schema = schema(name, manifest.models, manifest.format)
        self._pending: list[Any] = []
        with reading(self.path), ExitStack() as opened:
            file = opened.enter_context(self.path.open("rb"))
            # pre_buffer would keep everything in memory that was read.
            parquet = pa.parquet.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
            found = parquet.schema_arrow
            for column in self._schema:
                at = found.get_field_index(column.name)
                if at < 0:
                    raise KeyError(f"column {column.name!r}")
                if found.field(at).type != column.type:
                    raise ValueError(f"column {column.name!r} is {found.field(at).type}, expected {column.type}")
            if parquet.metadata.num_rows != lines:
                raise ValueError(f"{parquet.metadata.num_rows} lines, library.json says {lines}")
            self._batches = parquet.iter_batches(batch_size=4 * _READ)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def take(self, count: int) -> pa.Table:
        """The next `count` lines, at most `left`, with the known columns; nulls only where they are allowed."""
        pa = load_pyarrow()
        while sum(len(batch) for batch in self._pending) < count:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError("it is truncated")
            self._pending.append(batch.select(self._schema.names))
        taken, missing = [], count
        while missing:
            batch = self._pending.pop(0)
            taken.append(batch[:missing])
            if len(batch) > missing:
                self._pending.insert(0, batch[missing:])
            missing -= len(taken[-1])
        self.left -= count
        table = pa.Table.from_batches(taken, schema=taken[0].schema if taken else self._schema)
        for column in self._schema:
            if not column.nullable and table.column(column.name).null_count:
                raise ValueError(f"column {column.name!r} has nulls")
        return table

    def rows(self, table: pa.Table, space: str) -> Callable[[int, int], FloatArray | None]:
        """Validate the rows of a space, and return a function that gets `count` rows from a line on.

        The function returns (count, d) float32, or None if all are null; mixtures are an error.
        """
        dim = self.spaces[space]
        column = table.column(space).combine_chunks()
        present = column.is_valid().to_numpy(zero_copy_only=False)
        lengths = np.diff(column.offsets.to_numpy())[present]
        if (lengths != dim).any():
            raise ValueError(f"{space}: a row of {lengths[lengths != dim][0]} dims, expected {dim}")
        values = column.flatten()
        if values.null_count:
            raise ValueError(f"{space}: a row contains nulls")
        rows = values.to_numpy().reshape(-1, dim)
        if bad := first_bad_row(rows):
            raise ValueError(f"{space}: a row {bad[1]}, expected length 1 or all zero")
        before = np.concatenate([[0], np.cumsum(present)])

        def get(first: int, count: int) -> FloatArray | None:
            low, high = before[first], before[first + count]
            if high - low not in (0, count):
                raise ValueError(f"{space}: only some passages of a track have a row")
            return rows[low:high] if high > low else None

        return get


def _check_lengths(number: int, values: Mapping[str, Any]) -> None:
    """Raise ValueError if a text is longer, or a list has more values, than reading tags gives."""
    for name, value in values.items():
        texts = value if isinstance(value, tuple) else (value,)
        if len(texts) > MAX_VALUES:
            raise ValueError(f"line {number}: {name} has {len(texts):,} values, expected at most {MAX_VALUES}")
        longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
        if longest > MAX_TEXT:
            raise ValueError(f"line {number}: {name} has {longest:,} characters, expected at most {MAX_TEXT:,}")


def _path(name: bytes, *, folder: bool = False) -> Path:
    """An absolute path of this system; a folder ends in a separator."""
    if len(name) > _LONGEST_PATH:
        raise ValueError(f"a path of {len(name):,} bytes, expected at most {_LONGEST_PATH:,}")
    separator = os.fsencode(os.sep)
    path = Path(os.fsdecode(name))
    plain = os.fsencode(path)
    expected = plain if not folder or plain.endswith(separator) else plain + separator
    if b"\0" in name or not path.is_absolute() or name != expected:
        raise ValueError(f"{name!r} is not an absolute path on this system")
    return path
