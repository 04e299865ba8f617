"""Version families of a whole library, with the share of them expected by chance.

*Versions* (covers, live takes, remasters) are recordings that are more similar in melody and harmony than chance
explains:

1. The score of a pair is that of a search (`models/score.py`) at the track level, made symmetric: a space that is
   inaudible on either side counts 0. It is then standardised, because some tracks are close to everything (Schnitzer et
   al., "Local and Global Scaling Reduce Hubs in Space", JMLR 13, 2012): t = ((x - m_a) / s_a + (x - m_b) / s_b) / 2,
   where m and s are the mean and standard deviation of a track's scores with 500 seeded other tracks.
2. The null distribution is what up to a million seeded random pairs of this library score. `significance.py`
   extrapolates its tail.
3. The ten nearest tracks of every track are candidates. A pair is found if its q-value, over all n (n - 1) / 2 pairs,
   is at most the rate. Pairs that are not candidates count as p = 1: larger p-values are valid too, and can only lose
   pairs. The guarantee is that of Benjamini and Hochberg, for tests that are independent or positively dependent. Pairs
   that share a track are neither for certain, so docs/results.md reports the measured rate.
4. Pairs are joined into families, lowest p-value first. Two families become one only if the mean of t over all pairs
   between them exceeds what two random pairs per track reach, so a chain of single pairs makes no family; a pair that
   would join two families wrongly is not listed.

With fewer than 200 recordings there are too few random pairs for a null distribution. The nearest pairs are then only
ranked, by their score against the calibration of the model, as candidates without a false-discovery rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from soundalike.core.arguments import as_number
from soundalike.core.counter_hash import random_bits, random_order
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray, Space, Weights
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Track
from soundalike.models import presence
from soundalike.search.duplicates import Progress, nearest_recordings, related_recordings
from soundalike.search.recordings import (
    ROWS,
    Recordings,
    audible_recordings,
    blocks,
    different_recordings,
    read_rows,
)
from soundalike.search.significance import fit_tail, q_values

__all__ = ["DEFAULT_WEIGHTS", "Candidate", "Family", "Pair", "Versions", "find_versions", "store_versions"]

DEFAULT_WEIGHTS = {"melody": 2.0, "harmony": 1.0}
"""Chosen on 250 rendered works, besides those of docs/results.md: melody alone finds fewer covers over the same chords,
equal weights far fewer over others."""

_FEWEST = 200
"""With fewer recordings there are too few random pairs to tell how rare a score is."""
_RANDOM_PAIRS = 1_000_000
_COHORT = 500
_END, _LEAST_END, _START = 2.0, 2e-4, 10.0
"""The tail is fitted up to the score that two pairs per track exceed (most true pairs are among those), or 2e-4 of all
pairs if that is more, and from the score that ten times as many pairs exceed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two recordings that are more similar than chance explains: their score, its p-value and its q-value."""

    a: Track
    b: Track
    score: float
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class Family:
    """Versions of one piece: `members` are recordings, each with its duplicates; `pairs` connect them."""

    members: tuple[tuple[Track, ...], ...]
    pairs: tuple[Pair, ...]

    @property
    def q(self) -> float:
        """The largest q-value of its pairs."""
        return max(pair.q for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two recordings of a small library, and their score: perhaps versions of one piece, perhaps alike by chance."""

    a: Track
    b: Track
    score: float


@dataclass(frozen=True, slots=True)
class Versions:
    """Version families, lowest q-value first; with fewer than 200 recordings, candidates instead.

    Attributes:
        families: The families.
        model: The name of the model.
        weights: The weights of the spaces.
        rate: The false-discovery rate that was requested; None for candidates, whose rate is unknown.
        recordings: The number of different recordings compared.
        tests: The number of pairs of recordings.
        found: The number of pairs that connect the families.
        expected_false: How many of these are expected to be similar by chance, at most `rate` of them; None for
            candidates.
        candidates: With fewer than 200 recordings, pairs that score above 0, which is what random pairs of the model
            score on average; highest score first. Otherwise empty.
        models: The names of all models whose spaces were used, `model` first.
        not_encoded: How many tracks were left out because one of `models` has not encoded them, by its name.
    """

    families: tuple[Family, ...]
    model: str
    weights: Weights
    rate: float | None
    recordings: int
    tests: int
    found: int
    expected_false: float | None
    candidates: tuple[Candidate, ...] = ()
    models: tuple[str, ...] = ()
    not_encoded: Mapping[str, int] = field(default_factory=dict)


def find_versions(
    library: LibraryFolder,
    rate: float = 0.05,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    progress: Progress | None = None,
) -> Versions:
    """Find families of versions of the same piece.

    With fewer than 200 different recordings that are audible in the weighted spaces, the answer is candidates: pairs
    ranked by score, without families.

    Args:
        library: The library.
        rate: The false-discovery rate, between 0 and 1: the expected share of pairs that are similar by chance.
        weights: Weights of the spaces; None takes melody 2 and harmony 1.
        model: The name of the model; None takes the default one.
        progress: Called with tracks done and all tracks.

    Raises:
        UsageError: The rate is outside 0 to 1, or the scores of random pairs hardly differ.
        LibraryError: Rows of the library are corrupt.
        ModelError: The library does not hold the model.

    Example:
        >>> for family in find_versions(library, rate=0.01).families:
        ...     print(family.q, [track.title for track, *_ in family.members])
    """
    rate = as_number(rate, "false_discovery_rate")
    if not 0 < rate < 1:
        raise UsageError(f"the false-discovery rate is {rate:g}; expected a number between 0 and 1, such as 0.05")
    with library.snapshot():
        chosen = library.spaces(model, weights or ())
        resolved = chosen.weights(DEFAULT_WEIGHTS if weights is None else weights)
        models, not_encoded = tuple(one.name for one in chosen.models), library.arrays.not_encoded(chosen)
        lacking = {name: len(ids) for name, ids in not_encoded.items() if len(ids)}
        recordings = different_recordings(library, chosen)
        recordings = recordings.only(audible_recordings(library, chosen, resolved, recordings.rows))
        left, right = nearest_recordings(library, chosen, resolved, recordings.rows, progress)
        merged = recordings.merged(related_recordings(library, chosen.models[0], recordings, left, right).copies())
        count = len(merged.rows)
        tests = count * (count - 1) // 2
        pairs = np.unique(np.sort(np.stack([merged.now[left], merged.now[right]], axis=1), axis=1), axis=0)
        left, right = pairs[pairs[:, 0] != pairs[:, 1]].T
        if count < _FEWEST:
            scorer = _Scorer(library, chosen.spaces, resolved, merged.rows)
            candidates = _candidates(library, merged, left, right, scorer.raw(left, right))
            return Versions((), models[0], resolved, None, count, tests, 0, None, candidates, models, lacking)
        scorer = _Scorer(library, library.reference(chosen, "track").spaces, resolved, merged.rows)
        last = max(_END / (count - 1), _LEAST_END)
        try:
            tail = fit_tail(scorer.standard(*_random_pairs(count)), first=_START * last, last=last)
        except ValueError as error:
            raise UsageError(
                f"the scores of random pairs in the library at {library.path} hardly differ: {error}"
            ) from error
        p = tail.p_values(scorer.standard(left, right))
        q = q_values(p, tests)
        order = np.argsort(p, kind="stable")
        order = order[q[order] <= rate]
        left, right, p, q = left[order], right[order], p[order], q[order]
        grown = _grow(left, right, lambda a, b: scorer.mean_between(a, b) > tail.end)
        tracks = {unit: tuple(library.catalog.tracks_of(merged.members[unit])) for units in grown for unit in units}
        family_of = {unit: number for number, units in enumerate(grown) for unit in units}
        pairs_of: list[list[Pair]] = [[] for _ in grown]
        for a, b, *values in zip(left.tolist(), right.tolist(), scorer.raw(left, right), p, q, strict=True):
            if a in family_of and family_of[a] == family_of.get(b):
                pairs_of[family_of[a]].append(Pair(tracks[a][0], tracks[b][0], *map(float, values)))
    families = [
        Family(tuple(tracks[unit] for unit in units), tuple(pairs))
        for units, pairs in zip(grown, pairs_of, strict=True)
    ]
    families.sort(key=lambda family: (family.q, family.members[0][0].id))
    found = sum(len(family.pairs) for family in families)
    expected = found * max((family.q for family in families), default=0.0)
    tallied = rate, count, tests, found, expected
    return Versions(tuple(families), models[0], resolved, *tallied, (), models, lacking)


def store_versions(library: LibraryFolder, found: Versions) -> None:
    """Store version families in the catalogue, for searches that collapse them. Raises LibraryError.

    Candidates are not stored; families stored before them stay.
    """
    if found.rate is None:
        return
    with library.catalog.transaction():
        library.catalog.families.put(
            [[track.id for member in family.members for track in member] for family in found.families]
        )


def _candidates(
    library: LibraryFolder, recordings: Recordings, left: IntArray, right: IntArray, scores: FloatArray
) -> tuple[Candidate, ...]:
    """The pairs (m,), (m,) that score above 0, highest score first."""
    found = []
    for n in np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > 0)].tolist():
        a, b = (library.catalog.tracks_of(recordings.members[int(side[n])])[0] for side in (left, right))
        found.append(Candidate(a, b, float(scores[n])))
    return tuple(found)


# Scores -------------------------------------------------------------------------------------------------------------


class _Scorer:
    """Scores of pairs of recordings (numbers (m,) of each side), raw and standardised, in calibrated `spaces`."""

    def __init__(
        self, library: LibraryFolder, spaces: Sequence[Space], weights: Mapping[str, float], rows: IntArray
    ) -> None:
        self._library, self._rows = library, rows
        total = sum(abs(weight) for weight in weights.values())
        self._terms = [
            (space, weights[space.name] / (space.calibration["track"].sigma * total), space.calibration["track"].mu)
            for space in spaces
            if weights[space.name]
        ]

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray]:
        """The mean and standard deviation (n,) of each recording's scores with a seeded cohort of others."""
        count = len(self._rows)
        chosen = random_order(0, count)[:_COHORT]
        cohort = [read_rows(self._library, space, self._rows[chosen]) for space, _, _ in self._terms]
        mean, deviation = np.empty(count), np.empty(count)
        for part in blocks(count, ROWS):
            scores = np.zeros((part.stop - part.start, len(chosen)))
            for (space, scale, mu), others in zip(self._terms, cohort, strict=True):
                own = read_rows(self._library, space, self._rows[part])
                both = presence(own)[:, None] & presence(others)
                scores += scale * np.where(both, own @ others.T - mu, 0.0)
            scores[np.arange(part.start, part.stop)[:, None] == chosen] = np.nan
            mean[part], deviation[part] = np.nanmean(scores, axis=1), np.nanstd(scores, axis=1)
        # If all others are equally near, only rounding is left: such a recording is never beyond chance.
        return mean, np.where(deviation > 1e-5, deviation, np.inf)

    def raw(self, left: IntArray, right: IntArray) -> FloatArray:
        """The scores (m,) float64; an inaudible space counts 0 with its full weight."""
        scores: FloatArray = np.zeros(len(left))
        for part in blocks(len(left), ROWS):
            for space, scale, mu in self._terms:
                a, b = (read_rows(self._library, space, self._rows[side[part]]) for side in (left, right))
                both = presence(a) & presence(b)
                scores[part] += scale * np.where(both, np.einsum("nd,nd->n", a, b) - mu, 0.0)
        return scores

    def standard(self, left: IntArray, right: IntArray) -> FloatArray:
        """The scores (m,) float64 in standard deviations of each side, averaged over the two sides."""
        scores = self.raw(left, right)
        mean, deviation = self._moments
        sides = [(scores - mean[side]) / deviation[side] for side in (left, right)]
        return (sides[0] + sides[1]) / 2

    def mean_between(self, a: Sequence[int], b: Sequence[int]) -> float:
        """The mean of `standard` over all pairs between `a` and `b`."""
        return float(self.standard(np.repeat(a, len(b)), np.tile(b, len(a))).mean())


def _random_pairs(count: int) -> tuple[IntArray, IntArray]:
    """Pairs (m,), (m,) of different numbers below `count`: all of them, or a million seeded ones."""
    if count * (count - 1) // 2 <= _RANDOM_PAIRS:
        left, right = np.triu_indices(count, 1)
        return left, right
    left = (random_bits(1, _RANDOM_PAIRS) % np.uint64(count)).astype(np.int64)
    apart = 1 + (random_bits(2, _RANDOM_PAIRS) % np.uint64(count - 1)).astype(np.int64)
    return left, (left + apart) % count


def _grow(
    left: IntArray, right: IntArray, alike: Callable[[Sequence[int], Sequence[int]], bool]
) -> list[tuple[int, ...]]:
    """Families of two or more from pairs (m,), (m,), lowest p-value first; `alike` decides whether two may merge."""
    family: dict[int, list[int]] = {}
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        ours, theirs = family.setdefault(a, [a]), family.setdefault(b, [b])
        if ours is not theirs and alike(ours, theirs):
            ours += theirs
            family.update(dict.fromkeys(theirs, ours))
    return sorted({tuple(sorted(one)) for one in family.values() if len(one) > 1})
