"""Judgements of simulated listeners on single instruments of songs, for songs without judgements of people.

They compare what the stem of the instrument is made of: MIDI programs, patterns, registers and levels
(`evaluate.listeners`), never a feature of a model. Half of the triplets are All-Diff, half One-Shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from soundalike.audio.datasets.songs import instrument_of
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.evaluate.judgements import Judgements
from soundalike.evaluate.listeners import compare_parameters, draw_triplets, listen
from soundalike.evaluate.multitracks import Multitrack
from soundalike.train.metric.pieces import Piece
from soundalike.train.metric.preferences import Judgement, Place, sounds

__all__ = ["NOISE", "simulate_judgements"]

NOISE: Final = 0.3
"""Scale of the logistic noise of the votes, in standard deviations of the differences."""
_SEGMENTS = 12
"""Segments of each song that triplets are drawn from."""
_ROUNDS = 20


def simulate_judgements(
    folder: Path,
    pieces: Sequence[Piece],
    instruments: Sequence[str],
    count: int,
    seconds: float,
    seed: int,
    *,
    levels: bool = True,
) -> tuple[Judgement, ...]:
    """Let simulated listeners judge the instruments of songs.

    Args:
        folder: The songs, in the layout of Slakh2100 with MIDI files.
        pieces: The songs of the folder that they judge, as read for training.
        instruments: Names of the K instruments of the pieces.
        count: The number of triplets per instrument and test, as 240 in Inst-Sim-ABX.
        seconds: Length of the segments.
        seed: Seed of the draws and votes.
        levels: Compare levels too. They say nothing where instruments are brought to the same loudness.

    Returns:
        The judgements. Segments in which the instrument is silent are not judged.

    Raises:
        UsageError: There are no MIDI files, or too few songs with an instrument.

    Example:
        >>> judgements = simulate_judgements(Path("songs"), material.songs["test"], FIVE, 240, 5.0, seed=0)
        >>> len(judgements)
        2400
    """
    songs = {piece.name: piece for piece in pieces}
    multitracks = [one for one in _multitracks(folder, instruments, songs) if one.song in songs]
    return tuple(
        judgement
        for number, name in enumerate(instruments)
        for judgement in _of_instrument(number, name, multitracks, songs, count, seconds, seed, levels)
    )


def _multitracks(folder: Path, instruments: Sequence[str], songs: dict[str, Piece]) -> list[Multitrack]:
    found = []
    for track in plugins.load("datasets", "slakh2100", root=folder).tracks():
        files: dict[str, tuple[Path, ...]] = {}
        for stem in track.stems:
            name = instrument_of(stem.label, instruments)
            files[name] = (*files.get(name, ()), stem.path)
        if track.name in songs:
            found.append(Multitrack(track.name, files, songs[track.name].seconds, track.stems))
    return found


def _of_instrument(
    number: int,
    name: str,
    multitracks: Sequence[Multitrack],
    songs: dict[str, Piece],
    count: int,
    seconds: float,
    seed: int,
    levels: bool,
) -> list[Judgement]:
    """Draw triplets until enough of each test are audible, and let the listeners vote on them."""
    with_it = [one for one in multitracks if songs[one.song].active[number].any()]
    if len(with_it) < 3:
        raise UsageError(f"{name} sounds in {len(with_it):,} of {len(songs):,} test songs; expected at least 3 songs")
    drawn = draw_triplets(with_it, 2 * count * _ROUNDS, _SEGMENTS, seconds, seed + number)
    audible = [sounds(songs[clip.song], number, clip.start, seconds) for clip in drawn.clips]
    chosen: list[int] = []
    left = {"XAB": count, "XYC": count}
    for at, (triplet, test) in enumerate(zip(drawn.triplets.tolist(), drawn.tests, strict=True)):
        if left[test] and all(audible[clip] for clip in triplet):
            chosen.append(at)
            left[test] -= 1
    if sum(left.values()):
        raise UsageError(f"too few segments of {seconds:g} s in which {name} is audible; give more test songs")
    kept = Judgements(drawn.clips, drawn.triplets[chosen], {}, tuple(drawn.tests[at] for at in chosen))
    opinions = compare_parameters(kept, with_it, (name,), levels=levels)
    votes = listen(opinions, {name: 1.0}, NOISE, seed + number)
    places = [Place(clip.song, clip.start) for clip in kept.clips]
    return [
        Judgement(name, test, places[x], (places[a], places[b]), (first, second))
        for (x, a, b), test, (first, second) in zip(kept.triplets.tolist(), kept.tests, votes.tolist(), strict=True)
    ]
