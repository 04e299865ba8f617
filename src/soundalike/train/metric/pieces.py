"""The stems of one song as mapped samples on disk.

Samples are 16-bit integers that one factor per song scales, so that no sample clips, and neither does the sum of any
instruments, which 16 bits hold too. K instruments, t samples, b blocks of `BLOCK` seconds, the last of which may be
shorter.
`audio.activity` has the level gate that tells where an instrument sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from soundalike.audio.activity import active_blocks
from soundalike.core import mapped_arrays
from soundalike.core.errors import UsageError
from soundalike.core.types import AnyArray, BoolArray, FloatArray

__all__ = ["Piece", "is_stored", "open_piece", "store_piece"]

_FORMAT = 2
_OPEN_FILES = 512
"""Mappings that stay open. Each holds a file descriptor, of which processes often may have 1,024."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The stems of one song.

    Attributes:
        name: Name of the song.
        path: The file of its samples, which is mapped when it is used.
        rate: Sampling rate in Hz.
        frames: Its length t in samples.
        scale: Factor from stored integers to samples with full scale ±1.
        active: (K, b) bool: whether an instrument sounds in a block.
    """

    name: str
    path: Path
    rate: int
    frames: int
    scale: float
    active: BoolArray

    @property
    def samples(self) -> AnyArray:
        """The stored samples, (K, t) int16, mapped. Raises UsageError if the file is gone."""
        return _mapped(self.path)["samples"]

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.frames / self.rate

    def cut(self, instrument: int | None, start: int, length: int) -> FloatArray:
        """Return samples of one instrument, or of the mix.

        Args:
            instrument: Number of the instrument; None is the mix, the sum of all.
            start: The first sample.
            length: The number of samples. Samples beyond the end are 0.

        Returns:
            (length,) float32.

        Example:
            >>> piece.cut(0, 0, 16000).shape
            (16000,)
        """
        cut = np.empty(length, np.float32)
        self.read(range(len(self.active)) if instrument is None else [instrument], start, cut)
        return cut

    def read(self, instruments: Sequence[int], start: int, out: FloatArray) -> None:
        """Fill `out` (t,) float32 with the sum of at least one instrument from a sample on, as `cut` does.

        Example:
            >>> piece.read([0, 2], 0, np.empty(16000, np.float32))
        """
        part = self.samples[:, start : start + len(out)]
        summed = part[instruments[0]]
        if len(instruments) > 1:
            summed = summed + part[instruments[1]]  # 16 bits hold every sum
            for instrument in instruments[2:]:
                summed += part[instrument]
        np.multiply(summed, np.float32(self.scale), out=out[: len(summed)])
        out[len(summed) :] = 0


def store_piece(folder: Path, key: str, stems: FloatArray, rate: int) -> None:
    """Write the stems (K, t) of a song to the file of a key, atomically.

    Raises:
        UsageError: The file cannot be written.
    """
    loudest = np.zeros(stems.shape[1], np.float32)
    for row in stems:
        loudest += np.abs(row)
    scale = max(float(loudest.max(initial=0.0)), 1e-9) / (32767 - len(stems))  # rounding adds up to 1/2 per instrument
    samples = np.empty(stems.shape, np.int16)
    for stored, row in zip(samples, stems, strict=True):  # row by row, for the memory
        stored[:] = np.rint(row / np.float32(scale))
    arrays = {
        "samples": samples,
        "scale": np.array(scale),
        "rate": np.array(rate),
        "active": active_blocks(stems, rate),
    }
    if not mapped_arrays.save(folder, key, _FORMAT, arrays):
        raise UsageError(f"cannot write to {folder}; free space on the disk, or give another folder")


def is_stored(folder: Path, key: str) -> bool:
    """Return whether the file of a key exists and is whole."""
    return mapped_arrays.load(folder, key, _FORMAT) is not None


def open_piece(name: str, folder: Path, key: str) -> Piece:
    """Open the file of a key. Raises UsageError if it is missing or invalid.

    Example:
        >>> open_piece("Track00001", Path("cache"), "0f3a").seconds
        52.3
    """
    path = folder / f"{key}.derived"
    arrays = _load(path)
    rate, frames = int(arrays["rate"]), arrays["samples"].shape[1]
    return Piece(name, path, rate, frames, float(arrays["scale"]), np.array(arrays["active"]))


def _load(path: Path) -> dict[str, AnyArray]:
    arrays = mapped_arrays.load(path.parent, path.stem, _FORMAT)
    if arrays is None:
        raise UsageError(f"{path} is missing or invalid; run the command again to read the song again")
    return arrays


_mapped = lru_cache(maxsize=_OPEN_FILES)(_load)
