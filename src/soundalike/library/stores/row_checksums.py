"""A checksum per row: the CRC-32 of its bytes in all sidecar files."""

from __future__ import annotations

import zlib
from math import prod

import numpy as np

from soundalike.core.types import AnyArray, IntArray

__all__ = ["row_checksums"]


def row_checksums(*parts: AnyArray) -> IntArray:
    """The checksums (n,) uint32 of n rows, given `parts` of shape (n, ...) each.

    For rows that are searched, these are the float32 components, the int8 components, and the presence byte.
    """
    sums = [0] * len(parts[0])
    for part in parts:
        rows: AnyArray = np.ascontiguousarray(part).reshape(len(part), prod(part.shape[1:]))
        sums = [zlib.crc32(row, before) for row, before in zip(rows, sums, strict=True)]
    return np.array(sums, np.uint32)
