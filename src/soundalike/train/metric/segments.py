"""Where segments can be cut from songs so that the target is not silent, drawn without reading any sound.

A segment is audible if its instrument sounds in `AUDIBLE` of its blocks or more (see `audio.activity`).
Segments start on blocks. Lengths and starts are in samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.audio.activity import BLOCK, audible_from
from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, IntArray
from soundalike.train.metric.pieces import Piece

__all__ = ["Cut", "Segments"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment of one song: the number of the piece, and its first sample."""

    piece: int
    start: int


class Segments:
    """Where segments of one length can be cut from n songs, so that an instrument is audible. Starts lie on blocks.

    Args:
        pieces: The songs.
        instruments: Names of the K instruments.
        seconds: Length of the segments.

    Attributes:
        pieces: The songs.
        instruments: Names of the instruments.
        length: Length of the segments in samples.
        seconds: The same in seconds.

    Raises:
        UsageError: There are no songs, or none is as long as a segment.

    Example:
        >>> segments = Segments(material.songs["train"], material.instruments, 3.0)
        >>> segments.starts(0, segments.instruments.index("bass"))[:2]
        array([    0,  1600])
    """

    def __init__(self, pieces: Sequence[Piece], instruments: Sequence[str], seconds: float) -> None:
        if not pieces:
            raise UsageError("too few songs: there are none to cut segments from")
        self.pieces = tuple(pieces)
        self.instruments = tuple(instruments)
        self.length = round(seconds * pieces[0].rate)
        self.seconds = seconds
        block = round(BLOCK * pieces[0].rate)
        width = -(-self.length // block)
        self._starts: list[list[IntArray]] = []
        for piece in self.pieces:
            if piece.rate != pieces[0].rate:
                raise UsageError(f"{piece.name} has {piece.rate:,} Hz; expected {pieces[0].rate:,} Hz, as other songs")
            count = (piece.frames - self.length) // block + 1
            rows = _audible(piece.active, width, max(count, 0))
            self._starts.append([(block * np.flatnonzero(row)).astype(np.int32) for row in rows])
        if not any(len(own) for starts in self._starts for own in starts):
            longest = max(piece.seconds for piece in self.pieces)
            raise UsageError(
                f"silent targets everywhere: no instrument is audible in a segment of {seconds:g} s of any of "
                f"{len(self.pieces):,} songs, the longest of which lasts {longest:.1f} s; give other songs"
            )
        gates = range(2 * len(self.instruments))
        self._with = [[n for n, own in enumerate(self._starts) if len(own[gate])] for gate in gates]
        self._with_two = [[n for n in self._with[gate] if self._has_two(n, gate)] for gate in gates]

    def starts(self, piece: int, instrument: int) -> IntArray:
        """Return the first samples of the segments of a song in which an instrument is audible, in ascending order."""
        return self._starts[piece][instrument]

    @property
    def present(self) -> list[int]:
        """The instruments that are audible in a segment of any song."""
        return [kind for kind in range(len(self.instruments)) if self._with[kind]]

    def songs_with(self, instrument: int) -> list[int]:
        """Return the songs that have a segment in which an instrument is audible."""
        return self._with[instrument]

    def _has_two(self, piece: int, gate: int) -> bool:
        starts = self._starts[piece][gate]
        return bool(starts[-1] - starts[0] >= self.length)

    def song(self, gate: int, rng: np.random.Generator, but: Iterable[int] = (), *, two: bool = False) -> int | None:
        """Draw a song with a segment for a gate, or `two` of them, and none of `but`; None if there is none.

        Args:
            gate: The number of an instrument, or what `rest` returns.
            rng: Source of the draw.
            but: Numbers of songs that are left out.
            two: Ask for two segments that do not overlap.
        """
        songs = (self._with_two if two else self._with)[gate]
        excluded = set(but)
        if len(songs) <= len(excluded):
            songs = [song for song in songs if song not in excluded]
        if not songs:
            return None
        while (song := songs[rng.integers(len(songs))]) in excluded:
            pass
        return song

    def cut(self, piece: int, gate: int, rng: np.random.Generator) -> Cut:
        """Draw a segment of a song in which what the gate names is audible."""
        starts = self._starts[piece][gate]
        return Cut(piece, int(starts[rng.integers(len(starts))]))

    def two_cuts(self, piece: int, gate: int, rng: np.random.Generator) -> tuple[Cut, Cut]:
        """Draw two segments of a song that do not overlap."""
        starts = self._starts[piece][gate]
        firsts = starts[(starts <= starts[-1] - self.length) | (starts >= starts[0] + self.length)]
        first = int(firsts[rng.integers(len(firsts))])
        seconds = starts[(starts <= first - self.length) | (starts >= first + self.length)]
        return Cut(piece, first), Cut(piece, int(seconds[rng.integers(len(seconds))]))

    def rest(self, target: int) -> int:
        """Return the gate of the segments in which anything but the target is audible."""
        return len(self.instruments) + target


def _audible(active: BoolArray, width: int, count: int) -> BoolArray:
    """Where segments of `width` blocks can start: (2K, count), per instrument, and for anything but each of them."""
    audible = audible_from(active, width, np.arange(count))
    others = np.greater(np.count_nonzero(audible, axis=0) - audible, 0)
    return np.concatenate([audible, others])
