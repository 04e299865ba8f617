"""Separator `given`: the stems that lie on disk with a mix, see `separators.stem_files` for the layouts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.audio.separators.base import STEMS, Separator, StemBlock
from soundalike.audio.separators.stem_files import find_stems
from soundalike.audio.stereo import StereoStream
from soundalike.audio.stream import AudioStream
from soundalike.core.errors import AudioError, SoundalikeWarning, one_line
from soundalike.core.types import FloatArray

__all__ = ["Given", "create"]


def create() -> Separator:
    """Return the separator.

    Example:
        >>> create().stems[0]
        'vocals'
    """
    return Given()


class Given:
    """The sums of the stem files of each kind, as stereo at 44.1 kHz.

    A stem without files is silence. Files that are shorter than the mix are continued with silence, and longer ones are
    cut. "accompaniment" is the sum of all stems but the vocals.
    """

    name: ClassVar[str] = "given"
    version: ClassVar[int] = 1
    stems: ClassVar[tuple[str, ...]] = STEMS
    rate: ClassVar[int] = 44_100
    licence: ClassVar[str] = "that of the recordings"
    gate: ClassVar[float] = -60.0  # recorded stems hold leakage only where microphones heard other instruments

    def files(self, path: Path) -> Sequence[Path]:
        """Return the stem files. Raises AudioError if there are none."""
        return [file for files in find_stems(path).values() for file in files]

    def separate(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[StemBlock]:
        """Yield the stems in blocks. A file that cannot be read is left out with a SoundalikeWarning."""
        readers = {
            stem: [_Reader(file, self.rate, start, end) for file in files] for stem, files in find_stems(path).items()
        }
        everything = [reader for of_stem in readers.values() for reader in of_stem]
        mix = None if path.is_dir() else StereoStream(path, self.rate, start=start, end=end)
        for size in _sizes(mix, everything):
            block = {stem: np.zeros((2, size), np.float32) for stem in self.stems}
            for stem, of_stem in readers.items():
                for reader in of_stem:
                    block[stem] += reader.read(size)
                if stem != "vocals":
                    block["accompaniment"] += block[stem]
            yield block
        if all(reader.failed for reader in everything):
            raise AudioError("none of its stem files can be read")


def _sizes(mix: Iterable[FloatArray] | None, readers: Sequence[_Reader]) -> Iterator[int]:
    """Yield the lengths of the blocks: those of the mix, or without one, seconds until the longest file ends."""
    if mix is not None:
        for block in mix:
            yield block.shape[1]
        return
    while size := max(reader.available(Given.rate) for reader in readers):
        yield size


class _Reader:
    """One stem file, read in pieces of any length; after its end it is silent.

    Attributes:
        failed: Whether it could not be read to its end.
    """

    def __init__(self, file: Path, rate: int, start: float, end: float | None) -> None:
        self._file, self._start = file, start
        self._blocks = iter(StereoStream(file, rate, start=start, end=end))
        self._held: list[FloatArray] = []
        self._count = 0
        self.failed = False

    def available(self, size: int) -> int:
        """Return how many samples can be read, at most `size`."""
        while self._count < size:
            try:
                block = next(self._blocks, None)
            except AudioError as error:
                if not self._ends_before_region():
                    self.failed = True
                    text = f"the stem file {self._file}: {error}; what could not be read is left out"
                    warnings.warn(one_line(text), SoundalikeWarning, stacklevel=2)
                block = None
            if block is None:
                break
            self._held.append(block)
            self._count += block.shape[1]
        return min(size, self._count)

    def _ends_before_region(self) -> bool:
        """Return whether the region to decode starts after the end of the file, where a stem is silent."""
        try:
            with AudioStream(self._file) as stream:
                return stream.duration is not None and 0 < stream.duration <= self._start
        except AudioError:
            return False

    def read(self, size: int) -> FloatArray:
        """Return the next samples (2, size)."""
        ready = self.available(size)
        result = np.zeros((2, size), np.float32)
        position = 0
        while position < ready:
            taken = self._held[0][:, : ready - position]
            result[:, position : position + taken.shape[1]] = taken
            position += taken.shape[1]
            self._held[0] = self._held[0][:, taken.shape[1] :]
            if not self._held[0].shape[1]:
                del self._held[0]
        self._count -= ready
        return result
