"""Arrays that can be made again from the catalogue, kept in one file so that they need not be.

`<name>.derived` holds, in this order: 8 bytes of magic, the length of the header (uint32, little-endian), the header
(JSON), the CRC-32 of all before it (uint32, little-endian), and the arrays as they lie in memory, each at a multiple of
64 bytes from the start of the file and filled up to the next with zeros. The header says of which generation of the
catalogue they are and, per array, its name, dtype, shape, offset behind the header, and the CRC-32 of its bytes with
the zeros behind them.

Nothing here is an error to a user: whoever cannot load makes the arrays anew, and whoever cannot save does without.
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
from soundalike.core.files import write_whole
from soundalike.core.types import AnyArray

__all__ = ["load", "save", "verify"]

_MAGIC = b"SNLKDRV\n"
_FORMAT = 1
_ALIGN = 64
_LENGTH = struct.Struct("<I")
_FRAME = len(_MAGIC) + 2 * _LENGTH.size
"""Bytes around the header: magic, length and checksum."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An array in a file: `offset` and `size` in bytes, the first from behind the header, the second with filling."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of itself: `start` is where the arrays begin and `total` its length, in bytes."""

    generation: int
    entries: tuple[_Entry, ...]
    start: int
    total: int


def save(folder: Path, name: str, generation: int, arrays: Mapping[str, AnyArray]) -> bool:
    """Write arrays of numbers to `<folder>/<name>.derived` in one step, durably. False where that cannot be done.

    `generation` is that of the catalogue that they were made from.
    """
    kept = {key: np.ascontiguousarray(array).reshape(array.shape) for key, array in arrays.items()}
    entries, offset = [], 0
    for key, array in kept.items():
        filling = -array.nbytes % _ALIGN
        checksum = zlib.crc32(bytes(filling), zlib.crc32(_bytes(array)))
        entries.append(_Entry(key, array.dtype.str, array.shape, offset, array.nbytes + filling, checksum))
        offset += array.nbytes + filling
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
        for array in kept.values():
            file.write(_bytes(array))
            file.write(bytes(-array.nbytes % _ALIGN))
        file.flush()
        # Nobody reads the checksums before using it: after a power cut it is whole, or not there.
        os.fsync(file.fileno())

    try:
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{name}.derived", write)
    except (UsageError, OSError):
        return False
    return True


def load(folder: Path, name: str, generation: int) -> dict[str, AnyArray] | None:
    """The arrays of `<folder>/<name>.derived`, mapped and read-only, each aligned to 64 bytes.

    None if there is no such file, or it is of another generation, format or byte order, or is not as its header says.
    What the arrays hold is not read: see `verify`.
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
    """Whether a file is whole, byte for byte: reads all of it. Never raises for a damaged or missing one."""
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            if header is None:
                return False
            file.seek(header.start)
            return all(_checksum(file, entry.size) == entry.checksum for entry in header.entries)
    except OSError:
        return False


def _bytes(array: AnyArray) -> memoryview[int]:
    return array.reshape(-1).view(np.uint8).data


def _read_header(file: BinaryIO) -> _Header | None:
    """The header of a file that is as long as it says; None if it has no such header."""
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
    # From here on it is what somebody has written, if perhaps of another version.
    try:
        content = json.loads(header)
        if (content["format"], content["byteorder"]) != (_FORMAT, sys.byteorder) or start + content["size"] != total:
            return None
        entries = tuple(_Entry(**{**entry, "shape": tuple(entry["shape"])}) for entry in content["arrays"])
        return _Header(int(content["generation"]), entries, start, total)
    except (ValueError, TypeError, KeyError):
        return None


def _array(mapped: mmap.mmap, offset: int, entry: _Entry) -> AnyArray:
    dtype: np.dtype[Any] = np.dtype(entry.dtype)
    count = math.prod(entry.shape)
    if count:
        return np.frombuffer(mapped, dtype, count, offset).reshape(entry.shape)
    empty = np.zeros(entry.shape, dtype)  # nothing can be mapped at the end of a file
    empty.flags.writeable = False
    return empty


def _checksum(file: BinaryIO, size: int) -> int:
    checksum = 0
    while size > 0:
        block = file.read(min(size, 1 << 20))
        if not block:
            return -1
        checksum = zlib.crc32(block, checksum)
        size -= len(block)
    return checksum
