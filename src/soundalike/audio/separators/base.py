"""The protocol of separators. `core.plugins.load("separators", name)` creates one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from soundalike.core.types import FloatArray

__all__ = ["STEMS", "Separator", "StemBlock"]

STEMS = ("vocals", "drums", "bass", "guitar", "piano", "other", "accompaniment")
"""The names of stems. "accompaniment" is everything but the vocals; "other" is what the other names of a separator do
not cover."""
StemBlock: TypeAlias = Mapping[str, FloatArray]
"""A block of every stem: (2, t) float32 by name, all with the same t."""


class Separator(Protocol):
    """Divides recordings into stems. It is deterministic and keeps no state between calls.

    A separator whose weights are not part of this package is created with `create(weights: Path | None = None)`. The
    weights are a file or a folder. `create` raises ModelError without them, and says how to install them.
    """

    @property
    def name(self) -> str:
        """Name of the separator in recipes."""
        ...

    @property
    def version(self) -> int:
        """Version of the stems. It changes whenever they may change, with the code or with the weights."""
        ...

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that it returns, some of `STEMS`."""
        ...

    @property
    def rate(self) -> int:
        """Sample rate of the stems in Hz."""
        ...

    @property
    def licence(self) -> str:
        """Licence of the weights, an SPDX expression where possible."""
        ...

    @property
    def gate(self) -> float:
        """Level in dB relative to the mix below which a stem counts as silent, see `separators.gate`."""
        ...

    def files(self, path: Path) -> Sequence[Path]:
        """Return the files that the stems depend on besides the recording itself; most separators need none.

        Raises:
            AudioError: There are no stems of this recording.
        """
        ...

    def separate(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[StemBlock]:
        """Yield the stems of a recording in blocks.

        Concatenated, every stem has the length of the recording, or of the region, at `rate`. Memory does not grow
        with the length of the recording.

        Args:
            path: The recording.
            start: Start of the region to separate, in seconds.
            end: End of the region in seconds. None, or a time after the end, is the end of the recording.

        Raises:
            AudioError: The recording or the region is invalid, or it cannot be separated.

        Example:
            >>> separator = plugins.load("separators", "spleeter")
            >>> blocks = list(separator.separate(Path("song.flac")))
            >>> np.concatenate([block["vocals"] for block in blocks], axis=1).shape
            (2, 10584000)
        """
        ...
