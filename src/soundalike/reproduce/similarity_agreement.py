"""Agreement of networks with listeners, with and without fine-tuning on judgements (table 5).

A network chooses the sample whose row is nearer to that of the reference. Clean gets the clean stems that listeners
heard; all others get the mixes that the stems are from.

m triplets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.agreement import mean_and_deviation, paired_response_agreement, response_agreement
from soundalike.evaluate.printed import printed_remarks
from soundalike.reproduce.comparison import Comparison, Measurement
from soundalike.reproduce.similarity_layout import Layout, Measure
from soundalike.reproduce.similarity_runs import SEEDS, SimilarityRun
from soundalike.train.metric.preferences import Place, Preference
from soundalike.train.metric.triplets import Mixed

__all__ = ["Agreement", "agreement_tables", "count_table"]

_STAGES: Final = {
    "Clean": "clean",
    "Cascade": "cascade",
    "Cascade-FT": "cascade_ft",
    "Direct": "direct_da",
    "Direct-Reconst": "direct_reconst",
}
"""The rows of table 5 without PAFT."""
_TUNED: Final = {
    "Clean, clean": "clean",
    "Cascade, pseudo": "cascade",
    "Cascade, normal": "cascade-normal",
    "Cascade-PAFT, pseudo": "cascade-paft",
    "Cascade-FT, pseudo": "cascade-ft",
    "Cascade-FT, normal": "cascade-ft-normal",
    "Direct, pseudo": "direct",
    "Direct-Reconst, pseudo": "direct-reconst",
}
"""The rows with PAFT, and its ways."""
_TESTS: Final = {"XAB": ("all-diff", "All-Diff"), "XYC": ("one-shared", "One-Shared")}
_COUNTED = ("ABX data, all", "ABX data, above 75 %", "responses, all", "responses, above 75 %")


def count_table(run: SimilarityRun, layout: Layout, missing: str | None) -> Comparison:
    """Return table 1: how many judgements and responses there are.

    Args:
        run: The judgements.
        layout: Builds rows.
        missing: Why there are no judgements; None if there are.
    """

    def count(what: str, test: str, instrument: int) -> Measurement:
        own = [
            one
            for one in run.judged.judgements
            if (one.instrument, one.test) == (run.instruments[instrument], test)
            and (what.endswith("all") or one.preference())
        ]
        total = len(own) if what.startswith("ABX") else sum(sum(one.votes) for one in own)
        return Measurement(total, math.nan, math.nan, len(own))

    rows = [
        layout.row(f"{what} ({title})", "counts", None if missing else partial(count, what, test), missing)
        for what in _COUNTED
        for test, (_, title) in _TESTS.items()
    ]
    notes = ("n counts triplets.", *(() if missing else (f"Ours: {run.judged.source}.",)))
    return Comparison("Table 1: judgements", "", layout.columns, tuple(rows), notes)


def agreement_tables(run: SimilarityRun, layout: Layout, missing: str | None) -> list[Comparison]:
    """Return table 5 in four parts, and the gains by PAFT on the same judgements. For arguments see `count_table`."""
    agreement = Agreement(run)
    remarks = printed_remarks("instrument_similarity")
    source = () if missing else (f"Ours: {run.judged.source}.",)
    split = "by triplets, as published" if run.sources.split == "triplet" else "by songs"
    notes = {
        False: "All judgements. Intervals: Clopper-Pearson, as printed; they ignore that responses share triplets.",
        True: f"Mean and standard deviation of three runs on the test part, 3 of 10, split {split}.",
    }
    about = (
        "Agreement per response, majorities of more than 75 %, segments of 5 s, L2 on raw rows. Chance is 50 %. "
        "n counts responses."
    )
    found = {("XAB", False): remarks[1:3], ("XYC", False): remarks[3:4], ("XYC", True): remarks[4:5]}
    tables = []
    for test, (table, title) in _TESTS.items():
        for tuned in (False, True):
            name = f"{table}, PAFT" if tuned else table
            rows = [
                layout.row(
                    row, name, None if missing else agreement.measure(test, row, tuned=tuned), missing, mean=True
                )
                for row in layout.printed[name].rows
            ]
            kind = "w/ PAFT" if tuned else "w/o PAFT"
            remarked = (about, notes[tuned], *source, *found.get((test, tuned), ()))
            columns = (*layout.columns, "mean")
            tables.append(Comparison(f"Table 5: {title}, {kind}", "%", columns, tuple(rows), remarked))
    note = (
        "Agreement per response with PAFT (mean of three runs) minus without, on the same test part. Paired bootstrap "
        "over the songs of the references. Last column: all instruments together."
    )
    for test, (table, title) in _TESTS.items():
        rows = [
            layout.row(
                row,
                None,
                None if missing else agreement.gain(test, row),
                missing,
                last=agreement.gain_of_all(test, row),
            )
            for row in layout.printed[f"{table}, PAFT"].rows
        ]
        columns = (*layout.columns, "all")
        tables.append(Comparison(f"Beside table 5: gain by PAFT, {title}", "%", columns, tuple(rows), (note,)))
    return tables


class Agreement:
    """Measures the rows of table 5.

    Args:
        run: The networks and judgements.

    Example:
        >>> Agreement(run).measure("XAB", "Clean", tuned=False)(0)
        Measurement(value=63.1, low=60.2, high=65.9, n=1163, deviation=nan)
    """

    def __init__(self, run: SimilarityRun) -> None:
        self._run = run

    def measure(self, test: str, row: str, *, tuned: bool) -> Measure:
        """Return what measures a row for an instrument.

        Args:
            test: "XAB" or "XYC".
            row: The name of the row.
            tuned: Whether the row is with PAFT: three runs on the test part; otherwise one network on all judgements.
        """
        return lambda instrument: (self._tuned if tuned else self._untuned)(test, row, instrument)

    def gain(self, test: str, row: str) -> Measure:
        """Return what measures the gain by PAFT of a row for an instrument."""
        return lambda instrument: self._gain(test, row, [instrument])

    def gain_of_all(self, test: str, row: str) -> Callable[[], Measurement]:
        """Return what measures the gain by PAFT of a row for all instruments together."""
        return lambda: self._gain(test, row, range(len(self._run.instruments)))

    def _untuned(self, test: str, row: str, instrument: int) -> Measurement:
        own = self._of(self._run.judged.preferences, test, instrument)
        outcomes = self._outcomes(own, instrument, *self._run.network(_STAGES[row], instrument))
        found = response_agreement(outcomes[:, None], _votes(own))
        return Measurement(
            100 * float(found.value[0]), 100 * float(found.low[0]), 100 * float(found.high[0]), int(found.n[0])
        )

    def _tuned(self, test: str, row: str, instrument: int) -> Measurement:
        own = self._of(self._run.judged.tested, test, instrument)
        runs = self._runs(own, row, instrument)
        values = np.array([response_agreement(one[:, None], _votes(own)).value for one in runs])
        mean, deviation = mean_and_deviation(100 * values)
        return Measurement(float(mean[0]), np.nan, np.nan, int(_votes(own).sum()), float(deviation[0]))

    def _gain(self, test: str, row: str, instruments: Sequence[int]) -> Measurement:
        ours, theirs, votes, songs = [], [], [], []
        for instrument in instruments:
            own = self._of(self._run.judged.tested, test, instrument)
            ours.append(np.mean(self._runs(own, row, instrument), axis=0))
            start = _STAGES[row.partition(",")[0].replace("-PAFT", "")]
            theirs.append(self._outcomes(own, instrument, *self._run.network(start, instrument)))
            votes.append(_votes(own))
            songs += [one.anchor.song for one in own]
        left, right = (np.concatenate(one)[:, None] for one in (ours, theirs))
        counts = np.concatenate(votes)
        found = paired_response_agreement(left, right, counts, songs, self._run.settings.seed)
        return Measurement(
            100 * float(found.value[0]), 100 * float(found.low[0]), 100 * float(found.high[0]), int(counts.sum())
        )

    def _of(self, preferences: Sequence[Preference], test: str, instrument: int) -> list[Preference]:
        name = self._run.instruments[instrument]
        own = [one for one in preferences if (one.instrument, one.test) == (name, test)]
        if not own:
            raise UsageError(f"no judgements on {name} in the test {test}; give more labels")
        return own

    def _runs(self, own: Sequence[Preference], row: str, instrument: int) -> list[FloatArray]:
        """The outcomes of the three tuned networks."""
        return [
            self._outcomes(own, instrument, *self._run.tuned_network(_TUNED[row], seed, instrument)) for seed in SEEDS
        ]

    def _outcomes(
        self, own: Sequence[Preference], instrument: int, weights: Path, load: Callable[[], nn.Module]
    ) -> FloatArray:
        """1 where the network chooses the positive, 0 where it chooses the negative, 1/2 for a tie: (m,)."""
        places = sorted({place for one in own for place in one.places})
        judged = self._run.segments
        mixtures = [Mixed((judged.cut(place),) * len(self._run.instruments)) for place in places]
        rows = self._run.encoder.rows(weights, load, mixtures, judged.segments, instrument).astype(np.float64)
        at: dict[Place, FloatArray] = dict(zip(places, rows, strict=True))
        nearer = [
            np.linalg.norm(at[one.anchor] - at[one.negative]) - np.linalg.norm(at[one.anchor] - at[one.positive])
            for one in own
        ]
        return np.heaviside(np.array(nearer), 0.5)


def _votes(preferences: Sequence[Preference]) -> IntArray:
    return np.array([one.votes for one in preferences], dtype=np.int64)
