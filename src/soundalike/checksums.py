"""A checksum for every row: CRC-32 of its float32 bytes, then its int8 bytes, then its byte of audibility."""

from __future__ import annotations

import zlib

import numpy as np

from soundalike.types import AnyArray, FloatArray, IntArray

__all__ = ["row_checksums"]


def row_checksums(rows: FloatArray, coarse: AnyArray, on: AnyArray) -> IntArray:
    """(n,) uint32 for `rows` (n, d) float32, `coarse` (n, d) int8 and `on` (n,), a byte each."""
    parts = [np.ascontiguousarray(part).reshape(len(rows), -1) for part in (rows, coarse, on)]
    crc = zlib.crc32
    return np.fromiter((crc(c, crc(b, crc(a))) for a, b, c in zip(*parts, strict=True)), np.uint32, len(rows))
