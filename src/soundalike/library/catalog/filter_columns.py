"""The fields of the catalogue as columns, to evaluate filters in milliseconds for a million tracks.

A number is one float64 per track, NaN where it is unknown. Text is casefolded, and its distinct values are stored
sorted in one blob of UTF-8. Each value is followed by the byte 0xFF, which UTF-8 never contains, so no search matches
across two values, and a value with a given prefix sorts before the prefix followed by 0xFF. A track stores the index of
its value, its code, or -1 where it is unknown. A text condition is evaluated on the distinct values, then looked up by
code.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, count
from pathlib import Path

import numpy as np

from soundalike.core import mapped_arrays
from soundalike.core.types import AnyArray, BoolArray, ByteArray, FloatArray, IntArray
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filters import FIELDS, NUMBERS, Filter, NumberCondition, TextCondition

__all__ = ["Columns"]

_NAME = "columns"
# Fields that are not a column of the same name. A tag takes precedence over a measurement.
_EXPRESSIONS = {
    "bpm": "coalesce(bpm_tag, tempo)",
    "key": "coalesce(key_tag, key)",
    "path": "shown_path",
    "artist": "json_extract(artists, '$[0]')",
    "genre": "json_extract(genres, '$[0]')",
}
_TEXTS = tuple(name for name in FIELDS if name not in NUMBERS)
_PARTS = ("codes", "starts", "blob")
"""The arrays of a text field, stored as `<field>.<part>`."""
_NAMES = {"ids", *NUMBERS, *(f"{name}.{part}" for name in _TEXTS for part in _PARTS)}
_SEPARATOR = b"\xff"
_UNKNOWN = -1
_NO_TRACK = -2
"""The code of a value that no track has."""
_BLOCK = 1 << 18
"""Bytes searched at a time, so that intermediate arrays stay in the processor's cache."""
_SAMPLE = 1 << 12
_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """A text field: `codes` (n,) int32 of the tracks; value i of m is `blob[starts[i]:starts[i + 1] - 1]`."""

    codes: IntArray
    starts: IntArray
    blob: ByteArray

    def code(self, value: bytes) -> int:
        """The code of a value; `_NO_TRACK` if no track has it."""
        place = self._place(value)
        return place if place < len(self.starts) - 1 and self._value(place) == value else _NO_TRACK

    def containing(self, part: bytes) -> BoolArray:
        """Which values (m,) contain `part`, which is not empty."""
        chosen = np.zeros(len(self.starts) - 1, dtype=bool)
        chosen[self._owners(_occurrences(self.blob, part))] = True
        return chosen

    def like(self, parts: Sequence[bytes]) -> BoolArray:
        """Which values (m,) consist of these parts, two or more, with anything in between."""
        prefix, *middle, suffix = parts
        # Values with the same prefix are adjacent; nothing else is searched.
        low, high = self._place(prefix), self._place(prefix + _SEPARATOR)
        first, last = int(self.starts[low]), int(self.starts[high])
        found = [(part, _occurrences(self.blob[first:last], part) + first) for part in middle if part]
        values = np.unique(self._owners(found[0][1])) if found else np.arange(low, high)
        at, ends = self.starts[values] + len(prefix), self.starts[values + 1] - 1
        for part, hits in found:
            # The first hit after the previous part; a hit in a later value does not count.
            hit = np.append(hits, last)[np.searchsorted(hits, at)]
            fits = hit + len(part) <= ends
            values, at, ends = values[fits], hit[fits] + len(part), ends[fits]
        fits = at + len(suffix) <= ends
        values, tails = values[fits], ends[fits] - len(suffix)
        for place, byte in enumerate(suffix):
            same = self.blob[tails + place] == byte
            values, tails = values[same], tails[same]
        chosen = np.zeros(len(self.starts) - 1, dtype=bool)
        chosen[values] = True
        return chosen

    def _value(self, place: int) -> bytes:
        return self.blob[self.starts[place] : self.starts[place + 1] - 1].tobytes()

    def _place(self, value: bytes) -> int:
        """The number of smaller values."""
        return bisect_left(range(len(self.starts) - 1), value, key=self._value)

    def _owners(self, positions: IntArray) -> IntArray:
        """The codes of the values at positions of the blob."""
        return np.searchsorted(self.starts, positions, side="right") - 1


class Columns:
    """The columns of one generation of a catalogue."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        """Map the columns from their file in `folder`, or compute them and, if possible, save them there.

        To be called inside `Catalog.snapshot`. Raises LibraryError if the catalogue cannot be read.
        """
        self.generation = catalog.generation
        arrays = mapped_arrays.load(folder, _NAME, self.generation)
        if arrays is None or arrays.keys() != _NAMES:
            arrays = _read(catalog)
            if mapped_arrays.save(folder, _NAME, self.generation, arrays):
                # Mapped memory can be reclaimed by the system and is shared between processes.
                arrays = mapped_arrays.load(folder, _NAME, self.generation) or arrays
        self.ids: IntArray = arrays["ids"]
        self._numbers: dict[str, FloatArray] = {name: arrays[name] for name in NUMBERS}
        self._texts = {name: _Texts(**{part: arrays[f"{name}.{part}"] for part in _PARTS}) for name in _TEXTS}

    def matches(self, where: Filter, *, exclude_artists: Collection[str] = ()) -> BoolArray:
        """Which tracks (n,), in the order of `ids`, meet a filter and are by none of some artists (case ignored).

        A track without a value never matches a condition. A track without an artist is never excluded.
        """
        chosen: BoolArray | None = None
        for condition in where.conditions:
            met = self._number(condition) if isinstance(condition, NumberCondition) else self._text(condition)
            chosen = met if chosen is None else chosen & met
        artists = self._texts["artist"]
        for artist in exclude_artists:
            others: BoolArray = artists.codes != artists.code(_encoded(artist.casefold()))
            chosen = others if chosen is None else chosen & others
        return np.ones(len(self.ids), dtype=bool) if chosen is None else chosen

    def select(self, ids: IntArray, where: Filter, *, exclude_artists: Collection[str] = ()) -> BoolArray:
        """Which of the tracks with these ids (k,) `matches` would select."""
        if len(self.ids) == 0:
            return np.zeros(len(ids), dtype=bool)
        # SQLite assigns ids without large gaps, so a table by id is no larger than the number of tracks ever added.
        chosen = np.zeros(int(self.ids[-1]) + 1, dtype=bool)
        chosen[self.ids] = self.matches(where, exclude_artists=exclude_artists)
        return chosen[ids]

    def _number(self, condition: NumberCondition) -> BoolArray:
        numbers = self._numbers[condition.field]
        met: BoolArray = _COMPARE[condition.operator](numbers, condition.value)
        # NaN differs from everything, itself included; other comparisons with it are false already.
        return met & (numbers == numbers) if condition.operator == "!=" else met

    def _text(self, condition: TextCondition) -> BoolArray:
        texts, value = self._texts[condition.field], _encoded(condition.value)
        known: BoolArray = texts.codes != _UNKNOWN
        if condition.operator == "~":
            return np.append(texts.containing(value), False)[texts.codes] if value else known
        if b"*" not in value:
            code = texts.code(value)
            return texts.codes == code if condition.operator == "=" else known & (texts.codes != code)
        chosen = texts.like(value.split(b"*"))
        # The last entry is for the code -1, unknown values.
        return np.append(chosen if condition.operator == "=" else ~chosen, False)[texts.codes]


def _encoded(text: str) -> bytes:
    # Bytes that a terminal could not decode arrive as lone surrogates; they become bytes that no value contains.
    return text.encode("utf-8", "surrogatepass")


def _occurrences(blob: ByteArray, part: bytes) -> IntArray:
    """The positions of `part` in a blob, ascending, overlaps included.

    `bytes.find` in a loop takes five times as long if there are many, and needs a copy of the blob.
    """
    sample = np.bincount(blob[:: len(blob) // _SAMPLE + 1], minlength=256)
    # Comparing the two rarest bytes of the part leaves few positions at which to compare the others.
    rarest = sorted(range(len(part)), key=lambda place: sample[part[place]])
    hits = [np.zeros(0, np.int64)]
    stop = len(blob) - len(part) + 1
    for start in range(0, stop, _BLOCK):
        end = min(start + _BLOCK, stop)
        possible = blob[start + rarest[0] : end + rarest[0]] == part[rarest[0]]
        for place in rarest[1:2]:
            possible &= blob[start + place : end + place] == part[place]
        places = np.flatnonzero(possible) + start
        for place in rarest[2:]:
            if len(places) == 0:
                break
            places = places[blob[places + place] == part[place]]
        hits.append(places)
    return np.concatenate(hits)


def _read(catalog: Catalog) -> dict[str, AnyArray]:
    """All arrays by name, in one pass over the catalogue."""
    ids: list[IntArray] = [np.zeros(0, np.int64)]
    numbers: dict[str, list[FloatArray]] = {name: [np.zeros(0)] for name in NUMBERS}
    # Distinct values, None included, are numbered in order of appearance and sorted at the end.
    numbered: dict[str, dict[str | None, int]] = {name: defaultdict(count().__next__) for name in _TEXTS}
    arrivals: dict[str, list[IntArray]] = {name: [np.zeros(0, np.int32)] for name in numbered}
    for batch in catalog.columns(["id", *(_EXPRESSIONS.get(name, name) for name in FIELDS)]):
        first, *columns = zip(*batch, strict=True)
        ids.append(np.array(first, dtype=np.int64))
        for name, column in zip(FIELDS, columns, strict=True):
            if name in NUMBERS:
                numbers[name].append(np.array(column, dtype=np.float64))  # None becomes NaN
            else:
                places = map(numbered[name].__getitem__, column)
                arrivals[name].append(np.fromiter(places, np.int32, len(column)))
    arrays: dict[str, AnyArray] = {"ids": np.concatenate(ids)}
    arrays |= {name: np.concatenate(parts) for name, parts in numbers.items()}
    for name in _TEXTS:
        # One field at a time, the largest (path) last, so that finished ones can be freed.
        texts = _texts(numbered.pop(name), np.concatenate(arrivals.pop(name)))
        arrays |= {f"{name}.{part}": getattr(texts, part) for part in _PARTS}
    return arrays


def _texts(numbered: Mapping[str | None, int], arrivals: IntArray) -> _Texts:
    """A text field from its distinct values, numbered in order of appearance, and the number of each track (n,)."""
    known = np.array([number for text, number in numbered.items() if text is not None], dtype=np.int64)
    folded = [text.casefold().encode() for text in numbered if text is not None]
    order = sorted(range(len(folded)), key=folded.__getitem__)
    values = [folded[place] for place in order]
    new = np.fromiter(map(operator.ne, values, chain([None], values)), np.bool_, len(values))
    code_of = np.full(len(numbered), _UNKNOWN, dtype=np.int32)
    code_of[known[order]] = np.cumsum(new) - 1
    values = list(compress(values, new))
    starts = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)) + len(_SEPARATOR), out=starts[1:])
    # The empty value at the end adds a separator after the last one.
    blob = np.frombuffer(_SEPARATOR.join([*values, b""]), dtype=np.uint8)
    return _Texts(code_of[arrivals], starts, blob)
