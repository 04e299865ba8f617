"""Agreement of a model with listeners who said which of two samples sounds more like a reference.

m triplets, r rows of a table, such as spaces. An outcome is 1 where the model chooses the sample that the majority
chose, 0 where it chooses the other one, and 1/2 for a tie. Votes are (m, 2): those for the majority's sample, and those
for the other one.

- Per triplet: every triplet counts once, and the model is right if it agrees with the majority.
- Per response: every response counts once, those of the minority included. This is what the paper prints: the widths of
  its intervals fit its numbers of responses, not those of triplets.

Responses to one triplet are not independent, so the exact binomial interval per response, which is printed, is too
narrow. Differences of two models are paired and have intervals from a bootstrap over the songs of the reference.

References: Imamura et al., Music Similarity Representation Learning Focusing on Individual Instruments with Source
Separation and Human Preference, 2025, section 4.2.3, tables 1 and 5; Clopper and Pearson, 1934.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from soundalike.audio.datasets import Ballot, has_majority
from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.estimates import Estimate, clopper_pearson, paired

__all__ = [
    "JudgementCounts",
    "count_judgements",
    "majority_votes",
    "mean_and_deviation",
    "paired_response_agreement",
    "per_response",
    "response_agreement",
    "triplet_agreement",
]


@dataclass(frozen=True, slots=True)
class JudgementCounts:
    """Numbers of triplets and of responses to them: all, and those of triplets on which a majority agrees."""

    triplets: int
    triplets_with_majority: int
    responses: int
    responses_with_majority: int


def count_judgements(ballots: Iterable[Ballot], question: str, majority: Fraction) -> JudgementCounts:
    """Count triplets and responses, as table 1 of the paper does.

    Args:
        ballots: The pooled votes, of one instrument and test.
        question: What the listeners compared; only votes on it count as responses.
        majority: The share of the votes of which strictly more must agree.

    Example:
        >>> drums = [one for one in ballots if (one.instrument, one.test) == ("drums", "XAB")]
        >>> count_judgements(drums, "total", Fraction(3, 4)).triplets_with_majority
        115
    """
    votes = [ballot.votes[question] for ballot in ballots]
    agreed = [one for one in votes if has_majority(one, majority)]
    return JudgementCounts(len(votes), len(agreed), sum(map(sum, votes)), sum(map(sum, agreed)))


def majority_votes(ballots: Iterable[Ballot], question: str, majority: Fraction) -> IntArray:
    """Return the votes for the majority's sample and for the other one, of the m triplets with a majority: (m, 2).

    Args:
        ballots: The pooled votes.
        question: What the listeners compared.
        majority: The share of the votes of which strictly more must agree.

    Example:
        >>> ballot = Ballot("bass", "XAB", "x", ("a", "b"), {"total": (1, 5)})
        >>> majority_votes([ballot], "total", Fraction(3, 4)).tolist()
        [[5, 1]]
    """
    votes = [ballot.votes[question] for ballot in ballots]
    agreed = [(max(one), min(one)) for one in votes if has_majority(one, majority)]
    return np.array(agreed, dtype=np.int64).reshape(-1, 2)


def triplet_agreement(outcomes: FloatArray) -> Estimate:
    """Return the agreement per triplet with its Clopper-Pearson interval.

    Args:
        outcomes: (m, r).

    Example:
        >>> triplet_agreement(np.array([[1.0], [0.0], [1.0], [1.0]])).value.tolist()
        [0.75]
    """
    return clopper_pearson(outcomes.sum(axis=0), np.full(outcomes.shape[1], len(outcomes)))


def per_response(outcomes: FloatArray, votes: IntArray) -> tuple[FloatArray, IntArray]:
    """Return the outcome of every response, and the triplet that it is about.

    Args:
        outcomes: (m, r) outcomes of triplets.
        votes: (m, 2).

    Returns:
        (n, r) outcomes and (n,) numbers of triplets: triplet by triplet, the majority's responses first.

    Example:
        >>> per_response(np.array([[1.0]]), np.array([[3, 1]]))[0].ravel().tolist()
        [1.0, 1.0, 1.0, 0.0]
    """
    both = np.stack([outcomes, 1 - outcomes], axis=1).reshape(-1, outcomes.shape[1])
    return np.repeat(both, votes.ravel(), axis=0), np.repeat(np.arange(len(votes)), votes.sum(axis=1))


def response_agreement(outcomes: FloatArray, votes: IntArray) -> Estimate:
    """Return the agreement per response with its Clopper-Pearson interval, as printed in table 5.

    Args:
        outcomes: (m, r) outcomes of triplets.
        votes: (m, 2).

    Example:
        >>> response_agreement(np.array([[1.0], [0.0]]), np.array([[3, 1], [4, 0]])).value.tolist()
        [0.375]
    """
    return triplet_agreement(per_response(outcomes, votes)[0])


def paired_response_agreement(
    ours: FloatArray, theirs: FloatArray, votes: IntArray, songs: Sequence[str], seed: int = 0
) -> Estimate:
    """Return the gain in agreement per response of one model over another one on the same triplets.

    Args:
        ours: (m, r) outcomes of triplets.
        theirs: (m, r) outcomes of triplets.
        votes: (m, 2).
        songs: The songs of the m references; whole songs are drawn.
        seed: Seed of the bootstrap.

    Returns:
        Differences of shares with their intervals, which are NaN with fewer than two songs.

    Raises:
        ValueError: The shapes differ, or there are no responses.

    Example:
        >>> gain = paired_response_agreement(with_paft, without_paft, votes, songs)
    """
    left, triplet = per_response(ours, votes)
    return paired(left, per_response(theirs, votes)[0], [songs[number] for number in triplet], seed)


def mean_and_deviation(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the sample standard deviation over s training runs, as "mean ± deviation" of table 5.

    The paper does not say which deviation it prints; here the sum of squares is divided by s - 1.

    Args:
        values: (s, r), one row per run.

    Returns:
        (r,) means and (r,) deviations, which are NaN for a single run.

    Example:
        >>> mean, deviation = mean_and_deviation(np.array([[70.0], [72.0], [74.0]]))
        >>> mean.tolist(), deviation.tolist()
        ([72.0], [2.0])
    """
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return values.mean(axis=0), deviation
