"""Simulated listeners: they compare clips stem by stem, weigh the stems, and answer with noise.

What they compare is never a feature of the model under test. It is either what the music was made of (programs,
patterns, registers and levels of the stems, from MIDI files and metadata), or the true stems through another model.

With d_k = s_k(X, A) - s_k(X, B) in standard deviations over the triplets, listeners with weights w find A more alike by
u = sum_k w_k d_k, in standard deviations over the triplets again. Each answers A with probability 1 / (1 + e^(-u / b)),
where b is the noise. A stem that is silent in one clip of a pair counts as average.

m triplets, k stems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from soundalike.audio.datasets import SlakhStem
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.judgements import Clip, Judgements
from soundalike.evaluate.multitracks import Multitrack
from soundalike.evaluate.terms import TermSet

__all__ = [
    "Opinions",
    "compare_parameters",
    "compare_terms",
    "draw_triplets",
    "listen",
    "parameters_of",
    "similarity_of_parameters",
]

_VOTES = {3: 26, 4: 65, 5: 152, 6: 119, 7: 65, 8: 36, 9: 17}
"""How many triplets of mixes have how many votes in Inst-Sim-ABX."""
_PATTERN = np.geomspace(0.06, 4.0, 13)
"""Edges of a histogram of the times between onsets, in seconds."""
_OCTAVE = 12.0
_LEVEL = 6.0
"""Differences of register, in semitones, and of level, in dB, that lower a similarity to 1 / e."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """What a stem is made of in one clip: MIDI programs, histogram of times between onsets, mean pitch, level in dB."""

    programs: frozenset[int]
    pattern: FloatArray
    register: float
    level: float


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What listeners compare.

    Attributes:
        stems: k names.
        differences: s_k(X, A) - s_k(X, B), (m, k), in standard deviations over the triplets.
    """

    stems: tuple[str, ...]
    differences: FloatArray


def draw_triplets(songs: Sequence[Multitrack], count: int, segments: int, seconds: float, seed: int) -> Judgements:
    """Draw triplets without votes: half XAB, of three songs, and half XYC, of which two are of one song.

    Args:
        songs: At least three songs, of which one has room for two segments.
        count: The number of triplets.
        segments: The number of segments of each song, evenly spaced.
        seconds: Their length.
        seed: Seed of the draws.

    Raises:
        UsageError: The songs are too few or too short.

    Example:
        >>> draw_triplets(read_multitracks(Path("songs")), 300, 5, 5.0, 0).tests[:2]
        ('XAB', 'XYC')
    """
    random = np.random.default_rng(seed)
    clips: list[Clip] = []
    of_song: list[list[int]] = []
    for song in songs:
        room = min(segments, int(song.seconds // seconds))
        starts = np.linspace(0.0, song.seconds - seconds, room).tolist()
        of_song.append(list(range(len(clips), len(clips) + room)))
        clips += [
            Clip(f"{song.song}@{start:.2f}-{start + seconds:.2f}", song.files, song.song, start, start + seconds)
            for start in starts
        ]
    usable = [own for own in of_song if own]
    several = [own for own in usable if len(own) > 1]
    if len(usable) < 3 or not several:
        raise UsageError(
            f"{len(usable)} songs last {seconds:g} s or more, {len(several)} of them twice as long; expected at "
            "least 3 songs, one of them with room for two segments"
        )
    triplets = []
    for n in range(count):
        if n % 2 == 0:
            x, a, b = (own[random.integers(len(own))] for own in _pick(usable, 3, random))
        else:
            own = several[random.integers(len(several))]
            x, a = (own[one] for one in random.choice(len(own), 2, replace=False))
            rest = [one for one in usable if one is not own]
            other = rest[random.integers(len(rest))]
            b = other[random.integers(len(other))]
            a, b = (a, b) if random.random() < 0.5 else (b, a)
        triplets.append((x, a, b))
    return Judgements(tuple(clips), np.array(triplets, dtype=np.int64), {}, tuple(["XAB", "XYC"] * count)[:count])


def _pick(songs: Sequence[list[int]], count: int, random: np.random.Generator) -> list[list[int]]:
    return [songs[n] for n in random.choice(len(songs), count, replace=False)]


def parameters_of(parts: Sequence[SlakhStem], start: float, end: float) -> Parameters | None:
    """Return what the stems of one class are made of between two times; None if nothing starts there.

    Args:
        parts: The stems.
        start: Start in seconds.
        end: End in seconds.

    Raises:
        UsageError: A MIDI file is missing, or mido is not installed.
        AudioError: A MIDI file is invalid.
    """
    onsets, pitches, programs, powers = [], [], set(), 0.0
    for part in parts:
        starts, notes = _notes(part.midi)
        inside = (starts >= start) & (starts < end)
        if inside.any():
            onsets.append(starts[inside])
            pitches.append(notes[inside])
            programs.add(part.program)
            powers += 10 ** ((part.loudness or 0.0) / 10)
    if not onsets:
        return None
    gaps = np.diff(np.unique(np.concatenate(onsets).round(3)))
    histogram = np.histogram(np.clip(gaps, _PATTERN[0], _PATTERN[-1]), _PATTERN)[0].astype(np.float64)
    # Neighbouring bins overlap, so that a small change of the tempo is a small change of the pattern.
    pattern = np.convolve(histogram, [0.5, 1.0, 0.5], mode="same")
    register = float(np.concatenate(pitches).mean())
    return Parameters(frozenset(programs), pattern, register, 10 * np.log10(powers))


@lru_cache(maxsize=256)
def _notes(path: Path) -> tuple[FloatArray, IntArray]:
    """The onsets in seconds and the pitches of a MIDI file, at its first tempo."""
    try:
        from soundalike.render.sources.midi import read_midi

        song = read_midi(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; listeners by parameters need MIDI files") from error
    except ImportError as error:
        raise UsageError(
            f"reading MIDI needs mido ({error}); install it with: pip install 'soundalike[render]'"
        ) from error
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error
    beat = 60.0 / (song.tempo or 120.0)
    if not song.tracks:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    return (
        np.concatenate([track.starts for track in song.tracks]) * beat,
        np.concatenate([track.pitches for track in song.tracks]),
    )


def similarity_of_parameters(left: Parameters, right: Parameters, *, levels: bool = True) -> float:
    """Return the mean similarity of programs, patterns, registers and, unless told otherwise, levels, 0 to 1.

    Programs are alike by the share of the General MIDI families that both have (and the same program counts double),
    patterns by their cosine, registers and levels by e to the power of minus their difference.
    """
    families = [{program // 8 for program in one.programs} for one in (left, right)]
    program = (_jaccard(left.programs, right.programs) + _jaccard(*families)) / 2
    norm = np.linalg.norm(left.pattern) * np.linalg.norm(right.pattern)
    pattern = (
        float(left.pattern @ right.pattern / norm)
        if norm > 0
        else float(not (left.pattern.any() or right.pattern.any()))
    )
    register = np.exp(-abs(left.register - right.register) / _OCTAVE)
    level = [np.exp(-abs(left.level - right.level) / _LEVEL)] if levels else []
    return float(np.mean([program, pattern, register, *level]))


def _jaccard(left: set[int] | frozenset[int], right: set[int] | frozenset[int]) -> float:
    return len(left & right) / len(left | right)


def compare_parameters(
    judgements: Judgements, songs: Sequence[Multitrack], stems: Sequence[str], *, levels: bool = True
) -> Opinions:
    """Compare the clips of triplets by what their stems are made of.

    Args:
        judgements: The triplets.
        songs: The songs, in the layout of Slakh2100.
        stems: The stems to compare; those that no triplet tells apart are left out.
        levels: Compare levels too.

    Raises:
        UsageError: The songs have no MIDI files.
    """
    parts = {song.song: song.parts for song in songs}
    known: dict[tuple[int, str], Parameters | None] = {}
    for number, clip in enumerate(judgements.clips):
        for stem in stems:
            own = [one for one in parts[clip.song] if one.path in clip.files.get(stem, ())]
            known[number, stem] = parameters_of(own, clip.start, clip.end)
    columns = []
    for stem in stems:
        near, far = (
            np.array(
                [
                    _pair(known[x, stem], known[other, stem], levels)
                    for x, other in judgements.triplets[:, [0, side]].tolist()
                ]
            )
            for side in (1, 2)
        )
        average = float(np.nanmean([near, far])) if np.isfinite([near, far]).any() else 0.0
        columns.append(np.nan_to_num(near, nan=average) - np.nan_to_num(far, nan=average))
    return _standardised(stems, np.stack(columns, axis=1))


def _pair(left: Parameters | None, right: Parameters | None, levels: bool) -> float:
    return np.nan if left is None or right is None else similarity_of_parameters(left, right, levels=levels)


def compare_terms(terms: TermSet) -> Opinions:
    """Compare the clips of triplets by true stems through a model: the mean over its spaces, each standardised.

    Example:
        >>> compare_terms(measure_terms(judgements, ["dsp"], true_stems=6)).stems
        ('drums', 'bass', 'guitar', 'piano', 'other')
    """
    stems = tuple(dict.fromkeys(term.source for term in terms.terms if term.true))
    spread = terms.features.std(axis=0)
    scaled = terms.features / np.where(spread > 0, spread, 1.0)
    columns = [scaled[:, [term.source == stem for term in terms.terms]].mean(axis=1) for stem in stems]
    return _standardised(stems, np.stack(columns, axis=1))


def _standardised(stems: Sequence[str], differences: FloatArray) -> Opinions:
    spread = differences.std(axis=0)
    used = np.flatnonzero(spread > 0).tolist()
    if not used:
        raise UsageError("no stem differs between the clips; give songs with other stems, or more of them")
    return Opinions(tuple(stems[n] for n in used), differences[:, used] / spread[used])


def listen(opinions: Opinions, weights: Mapping[str, float], noise: float, seed: int) -> IntArray:
    """Return the votes of listeners with weights, (m, 2): for A and for B. As many vote as in Inst-Sim-ABX, 3 to 9.

    Args:
        opinions: What they compare.
        weights: The weight of each stem; others weigh 0.
        noise: The scale b of the logistic noise, in standard deviations of the differences that decide; at least 0.
        seed: Seed of the noise.

    Raises:
        UsageError: No stem that differs has a weight.

    Example:
        >>> listen(opinions, {"drums": 1.0}, 0.3, 0).sum(axis=1)
    """
    utility = opinions.differences @ [weights.get(stem, 0.0) for stem in opinions.stems]
    if not utility.std() > 0:
        raise UsageError(f"the listeners weigh none of the stems that differ: {', '.join(opinions.stems)}")
    random = np.random.default_rng(seed)
    sizes = random.choice(list(_VOTES), len(utility), p=np.array(list(_VOTES.values())) / sum(_VOTES.values()))
    with np.errstate(over="ignore"):
        chance = 1 / (1 + np.exp(-utility / utility.std() / noise)) if noise > 0 else (utility > 0).astype(np.float64)
    votes = random.binomial(sizes, chance)
    return np.stack([votes, sizes - votes], axis=1)
