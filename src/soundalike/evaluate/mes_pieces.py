"""The pieces of music estimation scores: songs with stems, cut into segments, with what is audible in each.

Segments start every `hop` seconds from the beginning of a song. All files of a song should have the same length; the
shortest one ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from soundalike.audio.activity import BLOCK, active_blocks, audible_from
from soundalike.audio.datasets import SongFiles, find_songs
from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.evaluate.base import Progress
from soundalike.evaluate.terms import Source

__all__ = ["FIVE", "SIX", "Cutting", "StemPiece", "read_pieces"]

FIVE = ("drums", "bass", "piano", "guitar", "other")
"""The instruments of the paper; "other" is what it calls residuals: all but the four."""
SIX = ("drums", "bass", "guitar", "piano", "vocals", "other")
"""The instruments with vocals, which are then no part of "other"."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How songs are cut: the length of segments and the distance between their starts, in seconds."""

    seconds: float = 10.0
    hop: float = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class StemPiece:
    """A song.

    Attributes:
        name: Its name.
        files: The files of every instrument that it has, which are summed.
        audible: For every instrument, whether it is audible in each of s segments, (s,) bool.
        cutting: How it is cut.
    """

    name: str
    files: Mapping[str, tuple[Path, ...]]
    audible: Mapping[str, BoolArray]
    cutting: Cutting

    def __len__(self) -> int:
        return len(next(iter(self.audible.values())))

    def source(self, segment: int, instruments: Sequence[str]) -> Source:
        """Return what some of the instruments play in a segment; those that the song lacks are silent."""
        start = segment * self.cutting.hop
        files = tuple(file for name in instruments for file in self.files.get(name, ()))
        return Source(files, start, start + self.cutting.seconds)


def read_pieces(
    root: Path,
    instruments: Sequence[str],
    part: str,
    cutting: Cutting,
    *,
    redux: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[StemPiece, ...]:
    """Read songs, and measure in which segments their instruments are audible.

    Args:
        root: Slakh2100, what `soundalike render songs` writes, or recordings that stems.csv lists.
        instruments: Names of the instruments; stems of other classes belong to "other".
        part: "train", "validation" or "test"; "all" for all songs. Those of stems.csv have no parts.
        cutting: How songs are cut. Songs that are shorter than a segment are left out.
        redux: The file redux.json of slakh-utils.
        jobs: The number of worker processes.
        progress: Called after every song.

    Raises:
        UsageError: There are no songs, or none is long enough.
        AudioError: A file cannot be decoded.

    Example:
        >>> pieces = read_pieces(Path("songs"), FIVE, "test", Cutting())
        >>> pieces[0].audible["drums"]
        array([ True,  True, False])
    """
    from soundalike.core.executors.base import run_tasks

    found = find_songs(root, instruments, redux=redux)
    songs = {song.name: song for song in found if part == "all" or song.subset == part or (root / "stems.csv").exists()}
    if not songs:
        held = ", ".join(sorted({song.subset for song in found}))
        raise UsageError(f"{root} has no songs of the part {part}; it has {held}")
    pieces: dict[str, StemPiece] = {}
    outcomes = run_tasks(partial(_measure, tuple(instruments), cutting), songs.values(), jobs)
    seconds = 0.0
    try:
        for done, (song, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, SoundalikeError):
                raise outcome
            audible, length = outcome
            if audible.shape[1]:
                of_name = dict(zip(instruments, audible, strict=True))
                pieces[song.name] = StemPiece(song.name, song.stems, of_name, cutting)
            seconds += length
            if progress:
                progress(done, len(songs), seconds)
    finally:
        outcomes.close()
    if not pieces:
        raise UsageError(f"all {len(songs)} songs are shorter than a segment of {cutting.seconds:g} s")
    return tuple(pieces[name] for name in songs if name in pieces)


def _measure(instruments: Sequence[str], cutting: Cutting, song: SongFiles) -> tuple[BoolArray, float]:
    """Which instruments are audible in which segments of a song, (K, s), and its length. Runs in a worker process."""
    from soundalike.audio import load

    signals: dict[str, list[FloatArray]] = {name: [] for name in instruments}
    rates = set()
    for name, files in song.stems.items():
        for file in files:
            try:
                audio = load(file)
            except AudioError as error:
                raise AudioError(f"{file}: {error}") from error
            signals[name].append(audio.samples.mean(axis=0))
            rates.add(audio.rate)
    if len(rates) != 1:
        raise AudioError(f"the stems of {song.name} have {', '.join(f'{r:,}' for r in sorted(rates))} Hz; expected one")
    rate = rates.pop()
    length = min(len(signal) for own in signals.values() for signal in own)
    stems = np.stack(
        [np.sum([one[:length] for one in signals[name]] or [np.zeros(length)], axis=0) for name in signals]
    )
    active = active_blocks(stems.astype(np.float32), rate)
    count = int((length / rate - cutting.seconds) / cutting.hop + 1e-6) + 1 if length / rate >= cutting.seconds else 0
    starts = np.round(np.arange(count) * cutting.hop / BLOCK).astype(np.int64)
    return audible_from(active, round(cutting.seconds / BLOCK), starts), length / rate
