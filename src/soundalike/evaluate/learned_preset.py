"""Turn weights that were fitted to judgements into a preset for searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.presets import Preset
from soundalike.core.types import FloatArray
from soundalike.evaluate.judgements import Judgements
from soundalike.evaluate.terms import TermSet
from soundalike.evaluate.weight_trials import baselines, run_trials
from soundalike.models import Method, bootstrap_weights, fitter, installed_models, load_recipe

__all__ = ["LearnedWeight", "LearnedWeights", "learn_weights"]

_DIGITS = 3
_SMALLEST = 0.5 * 10**-_DIGITS


@dataclass(frozen=True, slots=True)
class LearnedWeight:
    """The weight of one space.

    Attributes:
        space: The name that the preset has for it.
        weight: The weight of the preset, in z-scores; the largest magnitude is 1.
        cosine: The fitted weight, of differences of cosines.
        low: Lower bound of its 95 % interval, NaN if it is unknown.
        high: Upper bound.
    """

    space: str
    weight: float
    cosine: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """Weights from judgements.

    Attributes:
        preset: The preset.
        weights: The weights of all terms.
        triplets: The number of triplets that they are fitted to.
        agreement: Share of the triplets that are right, 0 to 1, with their songs left out of the fit; NaN if every
            triplet shares a song with all others.
        baseline: The same for the spaces of the mix without fitted weights.
    """

    preset: Preset
    weights: tuple[LearnedWeight, ...]
    triplets: int
    agreement: float
    baseline: float


def learn_weights(
    judgements: Judgements,
    terms: TermSet,
    chosen: np.ndarray,
    answers: FloatArray,
    method: Method,
    *,
    penalty: float = 1.0,
    seed: int = 0,
    source: str = "",
    stem_model: str | None = None,
) -> LearnedWeights:
    """Fit weights to all chosen triplets, and express them as a search has them.

    A search weighs z-scores, z = (cosine - mu) / sigma, so the weight of a cosine times sigma is the weight of the
    z-score. sigma is that of whole tracks, as the model has it.

    Args:
        judgements: All triplets.
        terms: Their features.
        chosen: Positions (m,) of the triplets to fit to.
        answers: Their answers (m,) of ±1.
        method: How to fit.
        penalty: The penalty of ridge regression.
        seed: Seed of the bootstrap.
        source: Where the answers come from, for the summary.
        stem_model: The installed stem model that stands for true stems in a search.

    Raises:
        UsageError: Every weight is 0, or a space of a true stem is not in an installed stem model.

    Example:
        >>> learned = learn_weights(judgements, terms, chosen, answers, "ridge", source="labels.csv")
        >>> learned.preset.weights
        'melody=0.4,rhythm=1'
    """
    features = terms.features[chosen]
    every = judgements.songs()
    songs = [every[n] for n in chosen.tolist()]
    fit = fitter(method, penalty)
    fitted = fit(features, answers)
    low, high = bootstrap_weights(features, answers, [one[0] for one in songs], fit, seed)
    spaces, sigmas = _spaces(terms, stem_model)
    z = fitted * sigmas
    largest = float(np.abs(z).max(initial=0.0))
    if not largest > 0:
        raise UsageError("every fitted weight is 0, so there is nothing to write; collect more answers")
    shares = z / largest
    fixed = dict([list(baselines(terms.terms).items())[-1]])
    trials = run_trials(features, answers, songs, [""] * len(songs), fixed, penalty=penalty, seed=seed, splits=2)
    right = trials.left_out.mean(axis=0) if len(trials.left_out) else np.full(len(trials.rows), np.nan)
    agreement = float(right[trials.rows.index(method)])
    about = f"{agreement:.0%} right with songs left out, {right[0]:.0%} without weights" if len(trials.left_out) else ""
    summary = ", ".join(
        part for part in (f"{method} on {len(answers):,} judged triplets", source and f"of {source}", about) if part
    )
    text = ",".join(
        f"{name}={share:.{_DIGITS}g}" for name, share in zip(spaces, shares, strict=True) if abs(share) >= _SMALLEST
    )
    weights = tuple(map(LearnedWeight, spaces, shares.tolist(), fitted.tolist(), low.tolist(), high.tolist()))
    return LearnedWeights(Preset(text, summary), weights, len(answers), agreement, float(right[0]))


def _spaces(terms: TermSet, stem_model: str | None) -> tuple[list[str], FloatArray]:
    """The names of the spaces in a search, and their sigma."""
    names, sigmas = [], []
    for term in terms.terms:
        if not term.true:
            names.append((term.model, term.space))
            sigmas.append(term.sigma)
            continue
        model = stem_model or f"{term.model}-given"
        if model not in installed_models():
            raise UsageError(
                f"a search has no true stems; name the stem model that the preset is for with --stem-model "
                f"({model} is not installed)"
            )
        space = load_recipe(model).space(term.space)
        names.append((model, space.name))
        sigmas.append(space.calibration["track"].sigma)
    short: Sequence[str] = [name for _, name in names]
    shown = [name if short.count(name) == 1 else f"{model}/{name}" for model, name in names]
    return shown, np.array(sigmas)
