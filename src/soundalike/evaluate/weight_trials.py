"""How well fitted weights predict listeners: random splits, splits that leave songs out, and weights with intervals.

m triplets, k terms, r rows: baselines and methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray, Report
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.reports import make_report
from soundalike.evaluate.terms import Term, TermSet
from soundalike.models import (
    METHODS,
    Method,
    bootstrap_weights,
    fitter,
    predicted_right,
    split_by_song,
    stratified_splits,
)

__all__ = ["Trials", "agreement_reports", "baselines", "run_trials", "weight_report"]

_SPLITS = 100
_TEST = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Outcomes of baselines and methods on the same triplets and splits.

    Attributes:
        rows: r names; baselines come first.
        baselines: The number of baselines.
        splits: Share of the test triplets that are right, per random split, (100, r).
        left_out: Outcomes (p, r) of triplets with songs that no weights were fitted on.
        left_out_songs: The songs of X of these p triplets.
        left_out_tests: Their tests.
        train: The number of training triplets of a random split.
    """

    rows: tuple[str, ...]
    baselines: int
    splits: FloatArray
    left_out: FloatArray
    left_out_songs: tuple[str, ...]
    left_out_tests: tuple[str, ...]
    train: int


def baselines(terms: Sequence[Term]) -> dict[str, FloatArray]:
    """Return the weights (k,) of the baselines, which are not fitted: those of the first model on the mix.

    They are the cosine of each space, and if there are several, all z-scores with weight 1, as a search without weights
    has them.

    Example:
        >>> list(baselines(terms.terms))
        ['cosine, melody', 'cosine, rhythm', 'cosine, timbre', 'cosine, harmony', 'all spaces, weights 1']
    """
    found: dict[str, FloatArray] = {}
    own = [n for n, term in enumerate(terms) if term.model == terms[0].model and term.source == "mix"]
    total = np.zeros(len(terms))
    for n in own:
        found[f"cosine, {terms[n].space}"] = np.eye(len(terms))[n]
        total[n] = 1 / terms[n].sigma
    if len(own) > 1:
        found["all spaces, weights 1"] = total
    return found


def run_trials(
    features: FloatArray,
    answers: FloatArray,
    songs: Sequence[tuple[str, str, str]],
    tests: Sequence[str],
    fixed: dict[str, FloatArray],
    *,
    penalty: float,
    seed: int,
    splits: int = _SPLITS,
    methods: Sequence[Method] = METHODS,
) -> Trials:
    """Fit on parts of the triplets and test on the rest, by all methods, with the baselines on the same test parts.

    Args:
        features: (m, k).
        answers: (m,) of ±1.
        songs: The songs of X, A and B of every triplet.
        tests: m names of tests.
        fixed: Weights (k,) of the baselines.
        penalty: The penalty of ridge regression.
        seed: Seed of the splits.
        splits: The number of random splits, 70 % to train and 30 % to test.
        methods: How weights are fitted.

    Example:
        >>> trials = run_trials(features, answers, songs, tests, baselines(terms), penalty=1.0, seed=0)
        >>> trials.splits.mean(axis=0)
    """
    fits = {method: fitter(method, penalty) for method in methods}

    def outcomes(train: np.ndarray, test: np.ndarray) -> FloatArray:
        weights = [*fixed.values(), *(fit(features[train], answers[train]) for fit in fits.values())]
        return np.stack([predicted_right(features[test], answers[test], one) for one in weights], axis=1)

    shares, size = [], 0
    for train, test in stratified_splits(answers, splits, _TEST, seed):
        shares.append(outcomes(train, test).mean(axis=0))
        size = len(train)
    rows = (*fixed, *fits)
    parts = [(outcomes(train, test), test) for train, test in split_by_song(songs)]
    tested = np.concatenate([test for _, test in parts]) if parts else np.zeros(0, dtype=np.int64)
    return Trials(
        rows,
        len(fixed),
        np.stack(shares),
        np.concatenate([values for values, _ in parts]) if parts else np.zeros((0, len(rows))),
        tuple(songs[n][0] for n in tested),
        tuple(tests[n] for n in tested),
        size,
    )


def agreement_reports(
    trials: Trials, title: str, model: str, command: str, seed: int, notes: Sequence[str]
) -> list[Report]:
    """Return the agreement with listeners, and the gain of the fitted weights over the best baseline.

    Args:
        trials: The outcomes.
        title: What was judged.
        model: The names of the models.
        command: The command that makes the reports.
        seed: Seed of the bootstrap.
        notes: Remarks.
    """
    count = len(trials.splits)
    held = np.full(len(trials.rows), count)
    unknown = np.full(len(trials.rows), np.nan)
    columns = {
        f"{count} random splits": Estimate(trials.splits.mean(axis=0), unknown, unknown, held),
        "their sd": Estimate(trials.splits.std(axis=0, ddof=1 if count > 1 else 0), unknown, unknown, held),
    }
    tests = np.array(trials.left_out_tests)
    songs = np.array(trials.left_out_songs)
    if len(trials.left_out):
        columns["songs left out"] = bootstrap(trials.left_out, trials.left_out_songs, seed)
        for test in sorted(set(trials.left_out_tests) - {""}) if len(set(trials.left_out_tests)) > 1 else ():
            of_test = tests == test
            columns[f"songs left out, {test}"] = bootstrap(trials.left_out[of_test], songs[of_test].tolist(), seed)
    about = [
        f"Random splits: {trials.train:,} triplets to fit, the rest to test; mean and standard deviation of the test "
        "parts, which share songs with the fit.",
        "Songs left out: weights are fitted without any song of the tested triplets. Intervals: bootstrap over the "
        "songs of X.",
        *notes,
    ]
    reports = [_report(columns, trials.rows, 50.0, f"Agreement with listeners, {title}", model, command, about, "%")]
    best = int(trials.splits[:, : trials.baselines].mean(axis=0).argmax())
    gains = trials.splits[:, trials.baselines :] - trials.splits[:, [best]]
    fitted = trials.rows[trials.baselines :]
    low, high = np.quantile(gains, [0.025, 0.975], axis=0)
    columns = {f"{count} random splits": Estimate(gains.mean(axis=0), low, high, held[: len(fitted)])}
    if len(trials.left_out):
        base = np.repeat(trials.left_out[:, [best]], len(fitted), axis=1)
        columns["songs left out"] = paired(trials.left_out[:, trials.baselines :], base, trials.left_out_songs, seed)
    about = [
        f"Over {trials.rows[best]}, the best of the baselines on the test parts. Random splits: the middle 95 % of the "
        "splits, which is no confidence interval. Songs left out: paired bootstrap over the songs of X.",
        *notes,
    ]
    gain = _report(columns, fitted, 0.0, f"Gain of fitted weights, {title}", model, command, about, "%")
    return [*reports, gain]


def weight_report(
    terms: TermSet,
    features: FloatArray,
    answers: FloatArray,
    songs: Sequence[str],
    title: str,
    model: str,
    command: str,
    *,
    penalty: float,
    seed: int,
    notes: Sequence[str],
) -> Report:
    """Return the weights that all triplets give, by all methods, with bootstrap intervals over the songs of X.

    The last column is the spread of the term: a weight times its spread is how much it moves decisions.
    """
    columns: dict[str, Estimate] = {}
    n = np.full(features.shape[1], len(answers))
    for method in METHODS:
        fit = fitter(method, penalty)
        low, high = bootstrap_weights(features, answers, songs, fit, seed)
        columns[method] = Estimate(fit(features, answers), low, high, n)
    unknown = np.full(features.shape[1], np.nan)
    columns["spread of f"] = Estimate(features.std(axis=0), unknown, unknown, n)
    about = [
        "Weights of differences of cosines, fitted to all triplets. Intervals: bootstrap over the songs of X. A weight "
        "times the spread of its term is its part in decisions.",
        *notes,
    ]
    return _report(columns, terms.names, float("nan"), f"Weights, {title}", model, command, about, "")


def _report(
    columns: dict[str, Estimate],
    rows: Sequence[str],
    chance: float,
    title: str,
    model: str,
    command: str,
    notes: Sequence[str],
    unit: str,
) -> Report:
    chances = [float("nan") if name == "their sd" else chance for name in columns]
    return make_report(
        columns,
        rows=rows,
        chance=chances,
        protocol=command.split()[2],
        title=title,
        model=model,
        unit=unit,
        command=command,
        notes=notes,
    )
