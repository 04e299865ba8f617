"""The fields of the catalogue as columns, to evaluate filters in milliseconds for a million tracks.

A number is one float64 per track, NaN where it is unknown. `text_columns.py` stores text.
"""

from __future__ import annotations

import operator
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from soundalike.core import mapped_arrays
from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.core.types import AnyArray, BoolArray, FloatArray, IntArray
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filters import (
    FIELDS,
    LISTS,
    NUMBERS,
    AllOf,
    AnyOf,
    Expression,
    Filter,
    Not,
    NumberCondition,
    QueryCondition,
    TextCondition,
)
from soundalike.library.catalog.text_columns import Texts
from soundalike.library.catalog.track import parse_list

__all__ = ["Columns"]

_NAME = "columns"
# Fields that are not a column of the same name. A tag takes precedence over a measurement.
_EXPRESSIONS = {
    "bpm": "coalesce(bpm_tag, tempo)",
    "key": "coalesce(key_tag, key)",
    "path": "shown_path",
    "artist": "artists",
    "genre": "genres",
}
_TEXTS = tuple(name for name in FIELDS if name not in NUMBERS)
_PARTS = ("codes", "tracks", "starts", "blob")
"""The arrays of a text field, stored as `<field>.<part>`."""
_UNICODE = f"unicode.{unicodedata.unidata_version}"
"""An empty array. Folded text depends on the version of Unicode, so columns of another one are computed again."""
_NAMES = {"ids", _UNICODE, *NUMBERS, *(f"{name}.{part}" for name in _TEXTS for part in _PARTS)}
_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
        self._texts = {name: Texts(**{part: arrays[f"{name}.{part}"] for part in _PARTS}) for name in _TEXTS}

    def matches(self, where: Filter, *, exclude_artists: Collection[str] = ()) -> BoolArray:
        """Which tracks (n,), in the order of `ids`, meet a filter and are by none of some artists (case ignored).

        A track without a value never matches a condition. A track without an artist is never excluded.
        """
        excluded = [Not(TextCondition("artist", "=", fold(artist))) for artist in exclude_artists]
        return self._all([*where.conditions, *excluded])

    def select(self, ids: IntArray, where: Filter, *, exclude_artists: Collection[str] = ()) -> BoolArray:
        """Which of the tracks with these ids (k,) `matches` would select."""
        if len(self.ids) == 0:
            return np.zeros(len(ids), dtype=bool)
        # SQLite assigns ids without large gaps, so a table by id is no larger than the number of tracks ever added.
        chosen = np.zeros(int(self.ids[-1]) + 1, dtype=bool)
        chosen[self.ids] = self.matches(where, exclude_artists=exclude_artists)
        return chosen[ids]

    def _all(self, parts: Sequence[Expression]) -> BoolArray:
        chosen = np.ones(len(self.ids), dtype=bool)
        for part in parts:
            chosen &= self._one(part)
        return chosen

    def _one(self, expression: Expression) -> BoolArray:
        match expression:
            case NumberCondition(field, symbol, value):
                numbers = self._numbers[field]
                met: BoolArray = _COMPARE[symbol](numbers, value)
                # NaN differs from everything, itself included; other comparisons with it are false already.
                return met & (numbers == numbers) if symbol == "!=" else met
            case TextCondition(field):
                return self._texts[field].matches(expression, len(self.ids), lists=field in LISTS)
            case AllOf(parts):
                return self._all(parts)
            case AnyOf(parts):
                chosen = np.zeros(len(self.ids), dtype=bool)
                for part in parts:
                    chosen |= self._one(part)
                return chosen
            case Not(part):
                return ~self._one(part)
            case QueryCondition(field, symbol):
                raise UsageError(
                    f"'{field} {symbol} query' needs a query, as search and playlist have; write a value instead of "
                    "query, or put it in quotes if it is the value"
                )


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
    arrays[_UNICODE] = np.zeros(0, np.uint8)
    for name in _TEXTS:
        # One field at a time, the largest (path) last, so that finished ones can be freed.
        values = [_values(name, text) for text in numbered.pop(name)]
        texts = Texts.of(values, np.concatenate(arrivals.pop(name)), lists=name in LISTS)
        arrays |= {f"{name}.{part}": getattr(texts, part) for part in _PARTS}
    return arrays


def _values(field: str, text: str | None) -> Sequence[str]:
    """The values of a field from the text in the catalogue."""
    if text is None:
        return ()
    return parse_list(text) if field in LISTS else (text,)
