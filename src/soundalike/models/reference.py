"""What similarities are measured against: one reference for z-scores, percentiles and the order of matches.

The reference of a library is its own random pairs, from 200 different recordings on; below that it is the calibration
of the model. Mean, standard deviation and percentiles always come from the same pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from soundalike.core.counter_hash import random_shares
from soundalike.core.types import BoolArray, Calibration, FloatArray, IntArray, Level, PercentileSource, Space
from soundalike.models.null_distribution import NullDistribution
from soundalike.models.score import Term, calibrate, combine_terms, presence

__all__ = ["PairSample", "Reference"]

_ENOUGH = 200
"""With fewer audible pairs, a space keeps the calibration of the model."""
_CONDITIONED = 2000
"""With fewer pairs that are audible like the query, all pairs count."""
_PAIRS = 1 << 17
"""The number of random pairs. The standard error of a mean is then 0.3 % of a standard deviation (1 / sqrt(131,072),
computed), besides that of the recordings drawn. By a bootstrap over 106 recordings with `dsp`, scaled to 4,096, this is
1.0 to 1.3 % for mu and 0.4 to 0.8 % for sigma (`python benchmarks/reference.py`)."""
_LEAST_SHIFTS = 16
_LEAST_LAST = 5e-4
_VERSIONS = 2.0
"""Random pairs per recording that may be versions of each other; the tail is fitted below them."""
_CACHED = 64


@dataclass(frozen=True, slots=True, eq=False)
class PairSample:
    """Random pairs of rows: row x of n with the rows `shifts` (j,) further on, cyclically.

    Attributes:
        similarity: Per short space name (j, n) float32.
        audible: Per short space name (n,) bool, which rows are audible.
        shifts: (j,) int64.
        recordings: The number of recordings that the rows come from; 0 for no limit.
    """

    similarity: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]
    shifts: IntArray
    recordings: int

    @classmethod
    def of(cls, rows: Mapping[str, FloatArray], recordings: int) -> Self:
        """Pair rows (n, d) by short space name; row x is of recording x modulo `recordings`, at least 3 of them."""
        count = len(next(iter(rows.values())))
        most = max(_LEAST_SHIFTS, _PAIRS // count)
        # Half of the shifts give every pair; those that pair a recording with itself are left out.
        shifts = np.array([one for one in range(1, count // 2 + 1) if one % recordings][:most], dtype=np.int64)
        similarity = {}
        for name, part in rows.items():
            found = np.empty((len(shifts), count), np.float32)
            for number, shift in enumerate(shifts.tolist()):
                np.einsum("nd,nd->n", part, np.roll(part, -shift, axis=0), out=found[number])
            similarity[name] = found
        return cls(similarity, {name: presence(part) for name, part in rows.items()}, shifts, recordings)

    @classmethod
    def independent(cls, spaces: Sequence[Space], level: Level) -> Self:
        """Draw pairs from calibrations, as if spaces were independent and always audible."""
        shape = (_LEAST_SHIFTS, _PAIRS // _LEAST_SHIFTS)
        similarity = {}
        for number, space in enumerate(spaces):
            quantiles = np.array(space.calibration[level].quantiles)
            drawn = np.interp(random_shares(number, _PAIRS), np.linspace(0, 1, len(quantiles)), quantiles)
            similarity[space.name] = drawn.reshape(shape).astype(np.float32)
        audible = {space.name: np.ones(shape[1], np.bool_) for space in spaces}
        return cls(similarity, audible, np.arange(1, 1 + _LEAST_SHIFTS), 0)

    def both(self, space: str) -> BoolArray:
        """Which pairs (j, n) are audible on both sides."""
        audible = self.audible[space]
        return audible & np.stack([np.roll(audible, -shift) for shift in self.shifts.tolist()])

    def scores(self, queries: Sequence[tuple[float, Sequence[Term]]]) -> FloatArray:
        """The scores (m,) of random rows for random queries with the audible spaces, weights and signs of `queries`.

        Rows that are audible in no term are left out, as they never match.
        """
        shape = (len(self.shifts), len(next(iter(self.audible.values()))))
        total, asked = np.zeros(shape), np.ones(shape, np.bool_)
        matched = np.zeros(shape[1], np.bool_)
        for number, (coefficient, terms) in enumerate(queries):
            # Another random query for every example, and the same candidate for all.
            turn = np.roll(np.arange(shape[0]), -number)
            for term in terms:
                audible = self.audible[term.space.name]
                query = np.stack([np.roll(audible, -shift) for shift in self.shifts[turn].tolist()])
                found = coefficient * (term.scale * self.similarity[term.space.name][turn] + term.offset)
                total += np.where(query & audible, found, 0.0)
                asked &= query
                matched |= audible
        asked &= matched
        if np.count_nonzero(asked) < _CONDITIONED:
            asked = np.broadcast_to(matched, shape)
        return total[asked]

    @property
    def last(self) -> float:
        """The share of pairs that may be versions of each other."""
        return _LEAST_LAST if self.recordings < 2 else max(_VERSIONS / (self.recordings - 1), _LEAST_LAST)


@dataclass(eq=False)
class Reference:
    """Calibrated spaces at one level, and the null distributions of scores. Threads may share one.

    Attributes:
        spaces: The spaces of a model, each with the calibration in use.
        level: The level.
        recordings: The number of different recordings of the library; 0 without a library.
        sample: Random pairs of the library; None where the model is the reference.
    """

    spaces: tuple[Space, ...]
    level: Level
    recordings: int = 0
    sample: PairSample | None = None
    _nulls: dict[object, NullDistribution] = field(default_factory=dict)
    _independent: PairSample | None = None

    @classmethod
    def of_library(cls, spaces: Sequence[Space], level: Level, sample: PairSample, recordings: int) -> Self:
        """Calibrate spaces on pairs of a library. A space with fewer than 200 audible pairs keeps its calibration."""
        calibrated = []
        for space in spaces:
            similarities = sample.similarity[space.name][sample.both(space.name)]
            if len(similarities) >= _ENOUGH and float(np.ptp(similarities)) > 0:
                own = replace(calibrate(similarities), source="library")
                space = replace(space, calibration={**space.calibration, level: own})
            calibrated.append(space)
        return cls(tuple(calibrated), level, recordings, sample)

    @property
    def source(self) -> PercentileSource:
        """ "library" if any space is measured against the library, else "model"."""
        return "library" if any(self._own(space) for space in self.spaces) else "model"

    def calibration(self, space: str) -> Calibration:
        """The calibration of a space by its short name."""
        return next(one for one in self.spaces if one.name == space).calibration[self.level]

    def null(self, queries: Sequence[tuple[float, Sequence[Term]]]) -> NullDistribution:
        """The distribution of the scores of random pairs under the weights of a request.

        Args:
            queries: The coefficient and the terms of each example, as for `combine_terms`. Their rows do not matter.
        """
        key = tuple((c, tuple((t.space.name, t.scale, t.offset) for t in terms)) for c, terms in queries)
        combined = combine_terms(queries) if len(queries) > 1 else queries[0][1]
        bound = sum(max(0.0, abs(term.scale) + term.offset) for term in combined)
        found = self._nulls.get((key, bound))
        if found is None:
            names = {term.space.name for _, terms in queries for term in terms}
            own = all(self._own(space) for space in self.spaces if space.name in names)
            sample = self.sample if own and self.sample is not None else self._drawn()
            scores = sample.scores(queries)
            found = NullDistribution.of(scores, bound, sample.last)
            if len(self._nulls) >= _CACHED:
                self._nulls.clear()
            self._nulls[key, bound] = found
        return found

    def _own(self, space: Space) -> bool:
        return space.calibration[self.level].source == "library"

    def _drawn(self) -> PairSample:
        if self._independent is None:
            self._independent = PairSample.independent(self.spaces, self.level)
        return self._independent
