"""Convert the network of the PyPI package musicnn to safetensors, without TensorFlow.

The package (ISC licence) holds a TensorFlow checkpoint: an index in the table format of LevelDB, which maps names to
protocol buffers with shape, offset and size, and a file of raw tensors (tensorflow/core/util/tensor_bundle). This
module reads both, and never imports the package.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray

__all__ = ["convert", "installed_package", "read_checkpoint"]

_MAGIC = 0xDB4775248B80FB57  # of a LevelDB table, in its last eight bytes
_FOOTER = 48
_TRAILER = 5  # bytes after a block: kind of compression and checksum
_FLOAT = 1  # DT_FLOAT
_MODEL = "MTT_musicnn"
_REMEDY = "install the package with `pip install --no-deps musicnn`, or give the path of its wheel or folder"


def installed_package() -> Path | None:
    """Return the folder of the installed package musicnn; None if it is not installed. It is not imported.

    Example:
        >>> installed_package()
        PosixPath('/usr/lib/python3/site-packages/musicnn')
    """
    try:
        return Path(str(distribution("musicnn").locate_file("musicnn")))
    except PackageNotFoundError:
        return None


def convert(source: Path, out: Path) -> None:
    """Write the network that tags MagnaTagATune, `MTT_musicnn`, as safetensors.

    Args:
        source: The wheel of musicnn 0.1.0, the folder of the package, or its folder `MTT_musicnn`.
        out: The file to write.

    Raises:
        ModelError: `source` holds no such checkpoint, or it is damaged or cannot be read.

    Example:
        >>> convert(Path("musicnn-0.1.0-py3-none-any.whl"), Path("musicnn.safetensors"))
    """
    from safetensors.numpy import save

    content = save(dict(read_checkpoint(source)))
    write_atomic(out, lambda file: file.write(content))


def read_checkpoint(source: Path) -> Mapping[str, FloatArray]:
    """Return the tensors of the network by the names of its checkpoint, without the state of the optimiser.

    Args:
        source: The wheel of musicnn 0.1.0, the folder of the package, or its folder `MTT_musicnn`.

    Raises:
        ModelError: `source` holds no such checkpoint, or it is damaged or cannot be read.

    Example:
        >>> read_checkpoint(Path("musicnn-0.1.0-py3-none-any.whl"))["dense/kernel"].shape
        (1506, 200)
    """
    index, data = _files(source)
    try:
        return dict(_tensors(index, data))
    except (IndexError, struct.error, ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"the checkpoint in {source} is damaged ({error}); {_REMEDY}") from error


def _files(source: Path) -> tuple[bytes, bytes]:
    """Return the index and the data of the checkpoint."""
    names = (".index", ".data-00000-of-00001")
    try:
        if source.is_file():
            with zipfile.ZipFile(source) as archive:
                index, data = (archive.read(f"musicnn/{_MODEL}/{name}") for name in names)
        else:
            folder = next(
                (one for one in (source, source / _MODEL, source / "musicnn" / _MODEL) if (one / names[0]).is_file()),
                source,
            )
            index, data = ((folder / name).read_bytes() for name in names)
    except (FileNotFoundError, NotADirectoryError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source} holds no checkpoint of {_MODEL}; {_REMEDY}") from error
    except OSError as error:
        raise ModelError(f"{error.filename or source} cannot be read ({error.strerror}); {_REMEDY}") from error
    return index, data


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, FloatArray]]:
    """Yield the names and values of the tensors of the network."""
    if len(index) < _FOOTER or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
        raise ValueError("its index is no table")
    footer = index[-_FOOTER:]
    _, position = _varint(footer, 0)  # the handle of the metaindex
    _, position = _varint(footer, position)
    for _, handle in _entries(_block(index, footer, position)):
        for key, value in _entries(_block(index, handle, 0)):
            name = key.decode()
            if not name or "/Adam" in name or name.rpartition("/")[2] in ("beta1_power", "beta2_power"):
                continue
            numbers, shape = _entry(value)
            if numbers.get(1) != _FLOAT:
                continue
            start, size = numbers.get(4, 0), numbers.get(5, 0)
            if start + size > len(data):
                raise ValueError(f"its data ends within {name}")
            yield name, np.frombuffer(data[start : start + size], "<f4").reshape(shape)


def _entry(message: bytes) -> tuple[dict[int, int], list[int]]:
    """Return the numbers (1 type, 4 offset, 5 size) and the shape of a BundleEntryProto."""
    numbers: dict[int, int] = {}
    shape: list[int] = []
    for field, value in _fields(message):
        if isinstance(value, int):
            numbers[field] = value
        elif field == 2 and isinstance(value, bytes):  # TensorShapeProto, with one message per dimension
            for dimension in [one for _, one in _fields(value) if isinstance(one, bytes)]:
                shape += [size for _, size in _fields(dimension) if isinstance(size, int)]
    return numbers, shape


def _block(table: bytes, handle: bytes, position: int) -> bytes:
    """Return the block that a handle refers to."""
    offset, position = _varint(handle, position)
    size, _ = _varint(handle, position)
    if table[offset + size]:
        raise ValueError("its index is compressed")
    return table[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block. A key repeats the beginning of the one before it."""
    restarts = struct.unpack("<I", block[-4:])[0]
    end, position, key = len(block) - 4 * (restarts + 1), 0, b""
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        size, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + size]
        position += size


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the numbers and values of the fields of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 0:
            number, position = _varint(message, position)
            yield tag >> 3, number
            continue
        size = {1: 8, 5: 4}.get(tag & 7)
        if size is None:
            size, position = _varint(message, position)
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position`, in seven bits per byte from the lowest, and the position after it."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 127) << shift
        shift, position = shift + 7, position + 1
        if byte < 128:
            return number, position
