"""Duplicates and version families of a whole library, with the share of them that chance is expected to have made.

*Duplicates* are the same recording: equal sound, or equal fingerprints. Nothing is a duplicate for being alike.

*Versions* (covers, live takes, remasters) are recordings so near in melody and harmony that chance does not explain it:

1. The score of a pair is the law's (`score.py`) at the track level, but symmetric: a space that is inaudible on either
   side counts 0. Then it is standardised, for some tracks are near to everything (Schnitzer et al., "Local and Global
   Scaling Reduce Hubs in Space", JMLR 13, 2012): t = ((x - m_a) / s_a + (x - m_b) / s_b) / 2, where m and s are mean
   and spread of a track's scores with 500 seeded others.
2. Chance is what up to a million seeded random pairs of this very library score; its tail is carried on by `chance.py`.
3. Every track's nearest ten are candidates. Found are those whose q-value, out of all n (n - 1) / 2 pairs, is at most
   the rate. A pair that is not looked at counts as p = 1: larger p-values are valid ones too, and can only lose pairs.
   The guarantee is that of Benjamini and Hochberg, for tests that are independent or positively dependent; pairs that
   share a track are dependent in ways nobody can vouch for, so docs/results.md says what was measured.
4. Pairs are joined to families, surest first; two families become one only if the mean of t over all pairs across
   is beyond what two random pairs a track reach. A chain of single pairs makes no family: such a pair is not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.audio import same_recording
from soundalike.core.errors import LibraryError, UsageError
from soundalike.core.types import FloatArray, IntArray, Space, Weights
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Track
from soundalike.library.stores import Groups
from soundalike.models import Model, presence, query_terms, resolve_weights
from soundalike.search.significance import fit_tail, q_values

__all__ = ["DEFAULT_WEIGHTS", "Family", "Pair", "Versions", "find_duplicates", "find_versions", "store_versions"]

DEFAULT_WEIGHTS = {"melody": 2.0, "harmony": 1.0}
"""Chosen on 250 rendered works, besides those of docs/results.md: melody alone finds fewer covers over the same chords,
equal weights far fewer over others."""

Progress = Callable[[int, int], None]
"""Told how many of how many tracks have been asked for their neighbours."""

_NEIGHBOURS = 10
_BLOCK = 256
_ROWS = 8192
_FEWEST = 200
"""Recordings under which random pairs are too few to say how rare a score is."""
_RANDOM_PAIRS = 1_000_000
_COHORT = 500
_END, _LEAST_END, _START = 2.0, 2e-4, 10.0
"""The tail is fitted up to the score that two pairs a track exceed (true pairs are mostly among them), or a share of
2e-4 of all pairs, where that is more; and from the score that ten times as many exceed."""
_COPY_COSINE = 0.7
"""Mean cosine over the spaces from which fingerprints are compared. Of 80 copies of rendered clips through MP3 at 64 to
128 kbit/s, cut, shifted and made softer, the least alike had 0.78; of 499,500 pairs of other clips none had 0.7."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two recordings that are near beyond chance: the law's score, how probable chance makes it, and its q-value."""

    a: Track
    b: Track
    score: float
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class Family:
    """Versions of one piece: `members` are recordings, each with its duplicates; `pairs` hold them together."""

    members: tuple[tuple[Track, ...], ...]
    pairs: tuple[Pair, ...]

    @property
    def q(self) -> float:
        """The q-value of its least sure pair."""
        return max(pair.q for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class Versions:
    """Version families, surest first, held together by `found` of the `tests` pairs of so many `recordings`.

    About `expected_false` of these are expected to be alike by chance: at most `rate` of them.
    """

    families: tuple[Family, ...]
    model: str
    weights: Weights
    rate: float
    recordings: int
    tests: int
    found: int
    expected_false: float


def find_duplicates(
    library: LibraryFolder, model: str | None = None, progress: Progress | None = None
) -> tuple[tuple[Track, ...], ...]:
    """Tracks that are the same recording, two or more a group, in the order in which they were added.

    Fingerprints are compared between each track and its nearest in all spaces, if they are alike at all. Raises
    LibraryError, ModelError.
    """
    with library.snapshot():
        chosen = library.model(model)
        sounds = _sounds(library, chosen)
        weights = dict.fromkeys((space.name for space in chosen.spaces), 1.0)
        left, right = _candidates(library, chosen, weights, sounds.rows, progress)
        merged = sounds.merged(_same_recordings(library, chosen, sounds, left, right))
        groups = [ids for ids in merged.members if len(ids) > 1]
        return tuple(tuple(library.catalog.tracks_of(ids)) for ids in sorted(groups))


def find_versions(
    library: LibraryFolder,
    rate: float = 0.05,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    progress: Progress | None = None,
) -> Versions:
    """Version families at a false-discovery `rate`, by `weights` over spaces (default: melody 2, harmony 1).

    Raises UsageError for a rate outside 0 to 1, or fewer than 200 recordings in which these spaces hear something;
    LibraryError, ModelError.
    """
    if not 0 < rate < 1:
        raise UsageError(f"a false-discovery rate of {rate:g}; give one between 0 and 1, such as 0.05")
    with library.snapshot():
        chosen = library.model(model)
        resolved = resolve_weights(DEFAULT_WEIGHTS if weights is None else weights, chosen.spaces)
        sounds = _sounds(library, chosen)
        sounds = sounds.only(_audible(library, chosen, resolved, sounds.rows))
        left, right = _candidates(library, chosen, resolved, sounds.rows, progress)
        merged = sounds.merged(_same_recordings(library, chosen, sounds, left, right))
        count = len(merged.rows)
        if count < _FEWEST:
            raise UsageError(
                f"the library at {library.path} holds {count} recordings that can be compared; version families need "
                f"{_FEWEST}, for how rare a likeness is shows in random pairs: index more music"
            )
        pairs = np.unique(np.sort(np.stack([merged.now[left], merged.now[right]], axis=1), axis=1), axis=0)
        left, right = pairs[pairs[:, 0] != pairs[:, 1]].T
        scorer = _Scorer(library, chosen, resolved, merged.rows)
        last = max(_END / (count - 1), _LEAST_END)
        try:
            tail = fit_tail(scorer.standard(*_random_pairs(count)), first=_START * last, last=last)
        except ValueError as error:
            raise UsageError(f"random pairs of the library at {library.path} hardly differ: {error}") from error
        tests = count * (count - 1) // 2
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
    return Versions(tuple(families), chosen.name, resolved, rate, count, tests, found, expected)


def store_versions(library: LibraryFolder, found: Versions) -> None:
    """Keep version families in the catalogue, for searches that collapse them. Raises LibraryError."""
    with library.catalog.transaction():
        library.catalog.families.put(
            [[track.id for member in family.members for track in member] for family in found.families]
        )


# Recordings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Sounds:
    """Different sounds: the row (n,) of each, and the ids of the tracks that are it. `now`: its number by the old."""

    rows: IntArray
    members: tuple[tuple[int, ...], ...]
    now: IntArray

    def only(self, wanted: IntArray) -> _Sounds:
        """Those numbered `wanted` (m,)."""
        return _Sounds(self.rows[wanted], tuple(self.members[n] for n in wanted), np.arange(len(wanted)))

    def merged(self, pairs: Sequence[tuple[int, int]]) -> _Sounds:
        """With both sounds of every pair as one, under the lower number."""
        lead = list(range(len(self.rows)))
        for a, b in pairs:
            low, high = sorted((_root(lead, a), _root(lead, b)))
            lead[high] = low
        leads = np.array([_root(lead, n) for n in range(len(lead))], dtype=np.int64)
        first, now = np.unique(leads, return_inverse=True)
        members: list[tuple[int, ...]] = [()] * len(first)
        for old, new in enumerate(now.tolist()):
            members[new] = tuple(sorted(members[new] + self.members[old]))
        return _Sounds(self.rows[first], tuple(members), now)


def _root(lead: list[int], n: int) -> int:
    while lead[n] != n:
        lead[n] = n = lead[lead[n]]
    return n


def _sounds(library: LibraryFolder, model: Model) -> _Sounds:
    """Every different sound that a model has heard, by `audio_hash`: copies that share rows have the same."""
    groups = library.arrays.table(model.name, "track")
    corrupt = groups[library.find_corrupt(model, "track", groups[:, 0], groups[:, 2]), 2]
    if len(corrupt):
        raise LibraryError(
            f"{library.catalog.tracks_of(corrupt[:1].tolist())[0].path} is damaged in the library at {library.path}"
            f"{f' and {len(corrupt) - 1} more' if len(corrupt) > 1 else ''}; see: soundalike library check --repair"
        )
    first_of = dict(library.catalog.same_sound().tolist())
    sound = np.array([first_of[one] for one in groups[:, 2].tolist()], dtype=np.int64)
    _, first, number = np.unique(sound, return_index=True, return_inverse=True)
    members: list[list[int]] = [[] for _ in first]
    for n, track_id in zip(number.tolist(), groups[:, 2].tolist(), strict=True):
        members[n].append(track_id)
    return _Sounds(groups[first, 0], tuple(tuple(sorted(ids)) for ids in members), np.arange(len(first)))


def _read(library: LibraryFolder, space: Space, positions: IntArray) -> FloatArray:
    return library.store.read("track", space.full_name, space.dim, positions)


def _audible(library: LibraryFolder, model: Model, weights: Mapping[str, float], rows: IntArray) -> IntArray:
    """Numbers (m,) of the sounds in which a space with a weight hears something."""
    heard = np.zeros(len(rows), dtype=bool)
    for space in model.spaces:
        for part in _parts(len(rows), _ROWS) if weights[space.name] else ():
            heard[part] |= presence(_read(library, space, rows[part]))
    return np.flatnonzero(heard)


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def _candidates(
    library: LibraryFolder, model: Model, weights: Mapping[str, float], rows: IntArray, progress: Progress | None
) -> tuple[IntArray, IntArray]:
    """Every sound with its nearest others: numbers (m,) of who asks, and (m,) of who answers."""
    order = np.argsort(rows)  # a store reads in the order of rows quickest
    groups = Groups.of(np.stack([rows[order], np.ones_like(rows)], axis=1))
    asking, answering = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    active = [space for space in model.spaces if weights[space.name]]
    for part in _parts(len(rows), _BLOCK):
        block = {space.name: _read(library, space, rows[part]) for space in active}
        heard = np.flatnonzero(np.any([presence(one) for one in block.values()], axis=0))
        queries = [query_terms(active, {name: one[n] for name, one in block.items()}, weights, "track") for n in heard]
        found = library.store.search_many("track", queries, groups, _NEIGHBOURS + 1)
        for n, hits in zip(heard + part.start, found, strict=True):
            answers = order[hits.group]
            others = answers != n
            asking.append(np.full(np.count_nonzero(others), n))
            answering.append(answers[others])
        if progress:
            progress(part.stop, len(rows))
    return np.concatenate(asking), np.concatenate(answering)


def _same_recordings(
    library: LibraryFolder, model: Model, sounds: _Sounds, left: IntArray, right: IntArray
) -> list[tuple[int, int]]:
    """Which of the pairs (left, right) of sounds are the same recording, by their fingerprints."""
    pairs = np.unique(np.sort(np.stack([left, right], axis=1), axis=1), axis=0)
    same = []
    for part in _parts(len(pairs), _ROWS):
        total, heard = np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)
        for space in model.spaces:
            a, b = (_read(library, space, sounds.rows[side]) for side in pairs[part].T)
            total += np.einsum("nd,nd->n", a, b)
            heard += presence(a) & presence(b)
        for a, b in pairs[part][total >= _COPY_COSINE * np.maximum(heard, 1)].tolist():
            words = [library.catalog.fingerprint(sounds.members[one][0]) for one in (a, b)]
            if same_recording(*words):
                same.append((a, b))
    return same


# Chance -------------------------------------------------------------------------------------------------------------


class _Scorer:
    """Scores of pairs of sounds (numbers (m,) of either side), as they are and standardised."""

    def __init__(self, library: LibraryFolder, model: Model, weights: Mapping[str, float], rows: IntArray) -> None:
        self._library, self._rows = library, rows
        total = sum(abs(weight) for weight in weights.values())
        self._terms = [
            (space, weights[space.name] / (space.calibration["track"].sigma * total), space.calibration["track"].mu)
            for space in model.spaces
            if weights[space.name]
        ]
        self._mean, self._spread = self._moments()

    def _moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and spread (n,) of each sound's scores with a seeded cohort of others."""
        count = len(self._rows)
        chosen = np.random.default_rng(0).permutation(count)[:_COHORT]
        cohort = [_read(self._library, space, self._rows[chosen]) for space, _, _ in self._terms]
        mean, spread = np.empty(count), np.empty(count)
        for part in _parts(count, _ROWS):
            scores = np.zeros((part.stop - part.start, len(chosen)))
            for (space, scale, mu), others in zip(self._terms, cohort, strict=True):
                own = _read(self._library, space, self._rows[part])
                both = presence(own)[:, None] & presence(others)
                scores += scale * np.where(both, own @ others.T - mu, 0.0)
            scores[np.arange(part.start, part.stop)[:, None] == chosen] = np.nan
            mean[part], spread[part] = np.nanmean(scores, axis=1), np.nanstd(scores, axis=1)
        # Where all are equally near, what is left is rounding: such a sound is no more than chance to anybody.
        return mean, np.where(spread > 1e-5, spread, np.inf)

    def raw(self, left: IntArray, right: IntArray) -> FloatArray:
        """The law's score (m,) float64, both spaces' weights counting where one of them is inaudible."""
        scores: FloatArray = np.zeros(len(left))
        for part in _parts(len(left), _ROWS):
            for space, scale, mu in self._terms:
                a, b = (_read(self._library, space, self._rows[side[part]]) for side in (left, right))
                both = presence(a) & presence(b)
                scores[part] += scale * np.where(both, np.einsum("nd,nd->n", a, b) - mu, 0.0)
        return scores

    def standard(self, left: IntArray, right: IntArray) -> FloatArray:
        """The score (m,) float64 in standard deviations of either side's own, averaged over the two."""
        scores = self.raw(left, right)
        sides = [(scores - self._mean[side]) / self._spread[side] for side in (left, right)]
        return (sides[0] + sides[1]) / 2

    def mean_between(self, a: Sequence[int], b: Sequence[int]) -> float:
        """The mean of `standard` over all pairs of one of `a` with one of `b`."""
        return float(self.standard(np.repeat(a, len(b)), np.tile(b, len(a))).mean())


def _random_pairs(count: int) -> tuple[IntArray, IntArray]:
    """Pairs (m,), (m,) of different numbers under `count`: all of them, or as many seeded ones as are enough."""
    if count * (count - 1) // 2 <= _RANDOM_PAIRS:
        left, right = np.triu_indices(count, 1)
        return left, right
    random = np.random.default_rng(0)
    left = random.integers(count, size=_RANDOM_PAIRS)
    return left, (left + random.integers(1, count, size=_RANDOM_PAIRS)) % count


def _grow(
    left: IntArray, right: IntArray, alike: Callable[[Sequence[int], Sequence[int]], bool]
) -> list[tuple[int, ...]]:
    """Families of two or more from pairs (m,), (m,), the surest first; `alike` says whether two may become one."""
    family: dict[int, list[int]] = {}
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        ours, theirs = family.setdefault(a, [a]), family.setdefault(b, [b])
        if ours is not theirs and alike(ours, theirs):
            ours += theirs
            family.update(dict.fromkeys(theirs, ours))
    return sorted({tuple(sorted(one)) for one in family.values() if len(one) > 1})
