"""A prefilter for millions of rows: product quantisation, scanned by faiss, selects the rows that are worth scanning.

Jégou, Douze, Schmid: Product quantization for nearest neighbor search, PAMI 2011; the 4-bit fast scan of André,
Kermarrec, Le Scouarnec, VLDB 2015, as in faiss' IndexPQFastScan. The spaces of a model are concatenated into one
vector, four dims per code of 4 bits, and the query is scaled by its weights. That is half a byte for four dims, where
the int8 scan reads four bytes. Which spaces are audible is coded too, four spaces per code, without loss.

The prefilter is a cache of the rows and needs `soundalike[faiss]`. Inverted lists or graphs would be faster still, but
lose most matches if only one space has a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from soundalike.core import mapped_arrays
from soundalike.core.counter_hash import random_order
from soundalike.core.types import AnyArray, FloatArray, IntArray
from soundalike.models import Term

__all__ = ["PqPrefilter", "installed"]

_DIMS_PER_CODE = 4
_SAMPLE = 1 << 16
_CHUNK = 1 << 16
_FORMAT = 1

Read = Callable[[str, IntArray], FloatArray]
"""From the full name of a space and positions (m,), ascending, to its approximate rows (m, d) float32."""


def installed() -> bool:
    """Whether faiss is installed."""
    from importlib.util import find_spec

    return find_spec("faiss") is not None


class PqPrefilter:
    """An index of the first `rows` rows of one level of one model."""

    def __init__(self, index: Any, dims: Mapping[str, int], rows: int) -> None:
        self._index, self._dims, self.rows = index, dims, rows
        self._places = _places(dims)

    @classmethod
    def build(cls, dims: Mapping[str, int], rows: int, read: Read, progress: Callable[[int, int], None]) -> Self:
        """Train the codes on a seeded sample and encode all rows; `dims` maps full names of spaces to their dims."""
        import faiss

        width = _places(dims)["end"]
        index = faiss.IndexPQFastScan(width, width // _DIMS_PER_CODE, 4, faiss.METRIC_INNER_PRODUCT)
        sample = np.sort(random_order(0, rows)[:_SAMPLE])
        index.train(_joined(dims, sample, read))
        for first in range(0, rows, _CHUNK):
            index.add(_joined(dims, np.arange(first, min(first + _CHUNK, rows)), read))
            progress(min(first + _CHUNK, rows), rows)
        return cls(index, dims, rows)

    def save(self, folder: Path, name: str) -> bool:
        """Save it to a file; returns False if that is not possible."""
        import faiss

        arrays = {"index": faiss.serialize_index(self._index), "rows": np.array([self.rows])}
        return mapped_arrays.save(folder, name, _FORMAT, arrays)

    @classmethod
    def load(cls, folder: Path, name: str, dims: Mapping[str, int]) -> Self | None:
        """Load a saved prefilter; None if there is none with these dims."""
        import faiss

        saved = mapped_arrays.load(folder, name, _FORMAT)
        if saved is None:
            return None
        index = faiss.deserialize_index(np.array(saved["index"]))
        return cls(index, dims, int(saved["rows"][0])) if index.d == _places(dims)["end"] else None

    def candidates(self, terms: Sequence[Term], count: int) -> IntArray:
        """The positions (m,) of approximately the best `count` rows for a query, ascending."""
        query = np.zeros((1, self._index.d), np.float32)
        audible = self._places["audible"]
        for term in terms:
            name = term.space.full_name
            query[0, self._places[name] : self._places[name] + self._dims[name]] = term.scale * term.row
            query[0, audible + list(self._dims).index(name)] = term.offset
        _, found = self._index.search(query, min(count, self.rows))
        return np.sort(found[0][found[0] >= 0])


def _places(dims: Mapping[str, int]) -> dict[str, int]:
    """The offset of each space in the joined vector, a multiple of four; also of `audible`, and the `end`."""
    places, at = {}, 0
    for name, width in [*dims.items(), ("audible", len(dims))]:
        places[name] = at
        at += -(-width // _DIMS_PER_CODE) * _DIMS_PER_CODE
    return {**places, "end": at}


def _joined(dims: Mapping[str, int], positions: IntArray, read: Read) -> AnyArray:
    places = _places(dims)
    joined = np.zeros((len(positions), places["end"]), np.float32)
    for number, (name, width) in enumerate(dims.items()):
        rows = read(name, positions)
        joined[:, places[name] : places[name] + width] = rows
        joined[:, places["audible"] + number] = rows.any(axis=1)
    return joined
