"""Text of many tracks, stored so that conditions are evaluated on its distinct values.

Text is folded (`core.text.fold`), and its distinct values are stored sorted in one blob of UTF-8. Each value is
followed by the byte 0xFF, which UTF-8 never contains, so no search matches across two values, and a value with a given
prefix sorts before the prefix followed by 0xFF. An entry refers to a value by its index, its code, or -1 for an unknown
value. A track has one entry, or, where it may have several values, any number of entries.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, compress

import numpy as np

from soundalike.core.text import fold
from soundalike.core.types import BoolArray, ByteArray, IntArray
from soundalike.library.catalog.filters import TextCondition

__all__ = ["Texts"]

_SEPARATOR = b"\xff"
_UNKNOWN = -1
_NO_TRACK = -2
"""The code of a value that does not occur."""
_BLOCK = 1 << 18
"""Bytes searched at a time, so that intermediate arrays stay in the processor's cache."""
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A text field of n tracks, with k entries and m distinct values.

    Attributes:
        codes: (k,) int32, the value of each entry.
        tracks: (k,) int32, the track of each entry; (0,) if every track has one entry, in order.
        starts: (m + 1,) int64; value i is `blob[starts[i]:starts[i + 1] - 1]`.
        blob: uint8.
    """

    codes: IntArray
    tracks: IntArray
    starts: IntArray
    blob: ByteArray

    @classmethod
    def of(cls, values: Sequence[Sequence[str]], rows: IntArray, *, lists: bool) -> Texts:
        """Make the field from distinct rows of values, unfolded, and the number of the row of each track (n,).

        Without `lists`, a row has one value or none.
        """
        counts = np.fromiter(map(len, values), np.int64, len(values))
        folded = [_encoded(fold(value)) for row in values for value in row]
        order = sorted(range(len(folded)), key=folded.__getitem__)
        ordered = [folded[place] for place in order]
        new = np.fromiter(map(operator.ne, ordered, chain([None], ordered)), np.bool_, len(ordered))
        codes = np.zeros(len(folded), dtype=np.int32)
        codes[order] = np.cumsum(new) - 1
        distinct = list(compress(ordered, new))
        starts = np.zeros(len(distinct) + 1, dtype=np.int64)
        lengths = np.fromiter(map(len, distinct), np.int64, len(distinct))
        np.cumsum(lengths + len(_SEPARATOR), out=starts[1:])
        # The empty value at the end adds a separator after the last one.
        blob = np.frombuffer(_SEPARATOR.join([*distinct, b""]), dtype=np.uint8)
        firsts = np.cumsum(counts) - counts
        if not lists:
            code_of = np.full(len(values), _UNKNOWN, dtype=np.int32)
            code_of[counts > 0] = codes
            return cls(code_of[rows], np.zeros(0, np.int32), starts, blob)
        entries = counts[rows]
        tracks = np.repeat(np.arange(len(rows), dtype=np.int32), entries)
        # The place of each entry within its track.
        place = np.arange(len(tracks)) - np.repeat(np.cumsum(entries) - entries, entries)
        return cls(codes[np.repeat(firsts[rows], entries) + place], tracks, starts, blob)

    def matches(self, condition: TextCondition, n: int, *, lists: bool) -> BoolArray:
        """Which of n tracks meet a condition."""
        value = _encoded(condition.value)
        if condition.operator == "~":
            met = np.append(self.containing(value), False)[self.codes] if value else self.codes != _UNKNOWN
        elif b"*" in value:
            met = np.append(self.like(value.split(b"*")), False)[self.codes]  # the last entry is for unknown values
        else:
            met = self.codes == self.code(value)
        chosen = self._by_track(met, n, lists)
        if condition.operator == "!=":
            return self._by_track(self.codes != _UNKNOWN, n, lists) & ~chosen
        return chosen

    def _by_track(self, entries: BoolArray, n: int, lists: bool) -> BoolArray:
        """Which of n tracks have a chosen entry."""
        if not lists:
            return entries
        chosen = np.zeros(n, dtype=bool)
        chosen[self.tracks[entries]] = True
        return chosen

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


def _encoded(text: str) -> bytes:
    """Return the text as it is stored."""
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
