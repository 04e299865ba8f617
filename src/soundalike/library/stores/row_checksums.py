"""A checksum for every row: CRC-32 of its bytes in one sidecar after the other."""

from __future__ import annotations

import zlib
from math import prod

import numpy as np

from soundalike.core.types import AnyArray, IntArray

__all__ = ["row_checksums"]


def row_checksums(*parts: AnyArray) -> IntArray:
    """(n,) uint32 of what `parts`, each (n, ...), hold of every row: of rows that are searched the float32 and int8
    components, then the byte that says whether it is audible.
    """
    sums = [0] * len(parts[0])
    for part in parts:
        rows: AnyArray = np.ascontiguousarray(part).reshape(len(part), prod(part.shape[1:]))
        sums = [zlib.crc32(row, before) for row, before in zip(rows, sums, strict=True)]
    return np.array(sums, np.uint32)
