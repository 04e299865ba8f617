"""A cache of arrays that are derived from the catalogue, in one memory-mapped file per name.

A file `<name>.derived` contains, in this order:

1. the magic number (8 bytes),
2. the length of the header (uint32, little-endian),
3. the header (JSON),
4. the CRC-32 of everything before it (uint32, little-endian),
5. the bytes of the arrays. Each array starts at a multiple of 64 bytes and is padded with zeros.

The header records the generation of the catalogue and, per array, its name, dtype, shape, offset from the end of the
header, padded size, and the CRC-32 of its bytes with the padding.

Nothing here raises an error for the user. If loading fails, the caller computes the arrays again; if saving fails, it
continues without a cache.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.core.types import AnyArray

__all__ = ["load", "save", "verify"]

_MAGIC = b"SNLKDRV\n"
_FORMAT = 1
_ALIGN = 64
_LENGTH = struct.Struct("<I")
_FRAME = len(_MAGIC) + 2 * _LENGTH.size
"""Bytes around the header: magic number, length and checksum."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One array in a file. `offset` counts bytes from the end of the header; `size` is in bytes, with the padding."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of a file. The arrays begin at byte `start`; the file has `total` bytes."""

    generation: int
    entries: tuple[_Entry, ...]
    start: int
    total: int


def save(folder: Path, name: str, generation: int, arrays: Mapping[str, AnyArray]) -> bool:
    """Write arrays to `<folder>/<name>.derived`, atomically and durably.

    Args:
        folder: The folder of the file; it is created if its parent exists.
        name: Name of the file without the suffix.
        generation: Generation of the catalogue that the arrays were derived from.
        arrays: Arrays of bool or numeric dtypes, of any shape and memory layout.

    Returns:
        Whether the file was written.

    Example:
        >>> save(Path("cache"), "groups", 7, {"ids": np.arange(5)})
        True
    """
    contiguous = {key: np.ascontiguousarray(array).reshape(array.shape) for key, array in arrays.items()}
    entries, offset = [], 0
    for key, array in contiguous.items():
        padding = -array.nbytes % _ALIGN
        checksum = zlib.crc32(bytes(padding), zlib.crc32(_bytes(array)))
        entries.append(_Entry(key, array.dtype.str, array.shape, offset, array.nbytes + padding, checksum))
        offset += array.nbytes + padding
    content = {
        "format": _FORMAT,
        "byteorder": sys.byteorder,
        "generation": generation,
        "size": offset,
        "arrays": [asdict(entry) for entry in entries],
    }
    header = json.dumps(content).encode()
    header += b" " * (-(len(header) + _FRAME) % _ALIGN)
    framed = _MAGIC + _LENGTH.pack(len(header)) + header

    def write(file: BinaryIO) -> None:
        file.write(framed + _LENGTH.pack(zlib.crc32(framed)))
        for array in contiguous.values():
            file.write(_bytes(array))
            file.write(bytes(-array.nbytes % _ALIGN))

    try:
        folder.mkdir(exist_ok=True)
        # `load` does not verify checksums; `write_atomic` syncs the file before it gets its name.
        write_atomic(folder / f"{name}.derived", write)
    except (UsageError, OSError):
        return False
    return True


def load(folder: Path, name: str, generation: int) -> dict[str, AnyArray] | None:
    """Map the arrays of `<folder>/<name>.derived`.

    Only the header is read and checked. `verify` checks the content of the arrays.

    Args:
        folder: The folder of the file.
        name: Name of the file without the suffix.
        generation: Generation of the catalogue that the arrays must come from.

    Returns:
        The arrays by name, read-only and aligned to 64 bytes. None if the file is missing or inconsistent with its
        header, or of another generation, format or byte order.

    Example:
        >>> load(Path("cache"), "groups", 7)["ids"]
        array([0, 1, 2, 3, 4])
    """
    try:
        with (folder / f"{name}.derived").open("rb") as file:
            header = _read_header(file)
            if header is None or header.generation != generation:
                return None
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return {entry.name: _array(mapped, header.start + entry.offset, entry) for entry in header.entries}
    except (OSError, ValueError, TypeError):
        return None


def verify(path: Path) -> bool:
    """Return whether all checksums of a file match. Reads the whole file. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        header = _read_header(file)
        if header is None:
            return False
        file.seek(header.start)
        return all(_checksum(file, entry.size) == entry.checksum for entry in header.entries)


def _bytes(array: AnyArray) -> memoryview[int]:
    """Return the bytes of a contiguous array without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _read_header(file: BinaryIO) -> _Header | None:
    """Return the header, or None if it is invalid or does not match the length of the file."""
    total = os.fstat(file.fileno()).st_size
    opening = file.read(len(_MAGIC) + _LENGTH.size)
    if len(opening) < len(_MAGIC) + _LENGTH.size or not opening.startswith(_MAGIC):
        return None
    (length,) = _LENGTH.unpack(opening[len(_MAGIC) :])
    start = length + _FRAME
    if start > total or start % _ALIGN:
        return None
    header, checksum = file.read(length), file.read(_LENGTH.size)
    if _LENGTH.pack(zlib.crc32(header, zlib.crc32(opening))) != checksum:
        return None
    # The checksum matches, so the header is intact, but another version may have written it.
    try:
        content = json.loads(header)
        if (content["format"], content["byteorder"]) != (_FORMAT, sys.byteorder) or start + content["size"] != total:
            return None
        entries = tuple(_Entry(**{**entry, "shape": tuple(entry["shape"])}) for entry in content["arrays"])
        return _Header(int(content["generation"]), entries, start, total)
    except (ValueError, TypeError, KeyError):
        return None


def _array(mapped: mmap.mmap, offset: int, entry: _Entry) -> AnyArray:
    """Return a read-only view of the array at byte `offset` of the file."""
    dtype: np.dtype[Any] = np.dtype(entry.dtype)
    count = math.prod(entry.shape)
    if count:
        return np.frombuffer(mapped, dtype, count, offset).reshape(entry.shape)
    empty = np.zeros(entry.shape, dtype)  # an empty array has no bytes to map
    empty.flags.writeable = False
    return empty


def _checksum(file: BinaryIO, size: int) -> int:
    """Return the CRC-32 of the next `size` bytes; -1 if the file ends before."""
    checksum = 0
    while size > 0:
        block = file.read(min(size, 1 << 20))
        if not block:
            return -1
        checksum = zlib.crc32(block, checksum)
        size -= len(block)
    return checksum
