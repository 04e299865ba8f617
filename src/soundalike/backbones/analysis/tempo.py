"""Estimate the tempo, and the probability that it is right.

Every candidate tempo is scored by a small network that sees the autocorrelation of the onsets at fractions and
multiples of its beat, per band and across bands, and the tempo itself. So the network knows what a beat looks like (a
kick or snare on it, hats that divide it, a backbeat every second one) and which tempi are usual. A softmax over the
candidates gives their probabilities. The same network scores all candidates, as a convolution along a logarithmic axis
of tempo would; compare Schreiber and Müller, "A single-step approach to musical tempo estimation using a convolutional
neural network", 2018, which also estimates a distribution over tempi.

The network is fitted to rendered music and human drumming (`soundalike.train.descriptors`). Its probabilities decide
between a tempo and its half or double, which periodicity alone cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from soundalike.audio import dsp
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = [
    "CHANNELS",
    "TEMPI",
    "TEMPO_EVIDENCE",
    "TEMPO_FILE",
    "TEMPO_TOLERANCE",
    "Tempo",
    "TempoEstimator",
    "bundled_estimator",
    "onset_correlations",
    "tempo_evidence",
]

TEMPO_FILE = "tempo.safetensors"
"""Name of the file with the weights of the network, beside this module."""
TEMPI = np.geomspace(40.0, 250.0, 124)
"""Candidate tempi in BPM, 1.5 % apart."""
TEMPO_TOLERANCE = 0.04
"""Relative error within which a tempo counts as right, as in the MIREX task of tempo estimation."""

_BANDS = 6
_ACROSS = ((0, 2), (0, 5), (2, 5))  # kick and snare, kick and cymbals, snare and cymbals; see `descriptors.onsets`
CHANNELS = 1 + _BANDS + len(_ACROSS)
"""Number of correlations: of all onsets, of each band, and across bands."""
_MULTIPLES = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 5 / 2, 3, 4, 6, 8])
_USUAL = np.array([-1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2])  # octaves from 100 BPM
TEMPO_EVIDENCE = len(_MULTIPLES) * CHANNELS + 2 + len(_USUAL)
"""Size of the evidence for one candidate."""
_WIDTH = 0.012  # relative tolerance of a lag, at least 0.6 frames
_FLOOR = 0.05  # relative to the strongest band; limits the weight of bands with hardly any onsets
_MIN_PROBABILITY = 0.5  # of a tempo that is reported; see docs/models/dsp.md for the choice


@dataclass(frozen=True, slots=True)
class Tempo:
    """A tempo in BPM, and the probability, 0 to 1, that the tempo is within 4 % of it."""

    bpm: float
    probability: float


def onset_correlations(strength: FloatArray, lags: int) -> FloatArray:
    """Return the autocorrelations of onset strength: of its sum, of each band, and across three pairs of bands.

    Args:
        strength: Onset strength (f, 6) from `descriptors.onsets`.
        lags: The largest number of lags.

    Returns:
        (at most `lags`, CHANNELS). Correlations across bands are the mean of both orders.
    """
    centred = strength - strength.mean(axis=0)
    first, second = np.array(_ACROSS).T
    total = centred.sum(axis=1, keepdims=True)
    left = np.concatenate([total, centred, centred[:, first], centred[:, second]], axis=1)
    right = np.concatenate([total, centred, centred[:, second], centred[:, first]], axis=1)
    found = dsp.cross_correlation(left, right)[:lags]
    across = found[:, 1 + _BANDS :].reshape(len(found), 2, -1).mean(axis=1)
    return np.concatenate([found[:, : 1 + _BANDS], across], axis=1)


def tempo_evidence(correlations: FloatArray, period: float, ratio: float = 1.0) -> FloatArray:
    """Return the evidence for candidate tempi: correlations at multiples of the beat, and the tempo.

    Args:
        correlations: (lags, CHANNELS) from `onset_correlations`.
        period: Seconds between lags.
        ratio: Return the evidence of the same music played `ratio` times slower.

    Returns:
        (n, TEMPO_EVIDENCE) float32 for the n candidates `TEMPI`. A lag beyond the last one counts as uncorrelated.
    """
    energy = correlations[0]
    bands = np.maximum(energy[1 : 1 + _BANDS], _FLOOR * energy[1 : 1 + _BANDS].max() + 1e-9)
    first, second = np.array(_ACROSS).T
    scale = np.concatenate([[energy[0] + 1e-9], bands, np.sqrt(bands[first] * bands[second])])
    table = correlations / scale
    lags = _MULTIPLES * 60.0 / (ratio * TEMPI[:, None]) / period
    width = np.maximum(_WIDTH * lags, 0.6)
    found = np.max([_interpolated(table, lags + shift * width) for shift in (-1, 0, 1)], axis=0)
    found[lags >= len(table) - 2] = 0.0
    pace = np.log2(TEMPI / 100.0)[:, None]
    usual = np.exp(-0.5 * np.square((pace - _USUAL) / 0.25))
    return np.concatenate([found.reshape(len(TEMPI), -1), pace, pace * pace, usual], axis=1).astype(np.float32)


def _interpolated(table: FloatArray, places: FloatArray) -> FloatArray:
    """Return the rows of a table (lags, c) at fractional places (n, m), as (n, m, c)."""
    places = np.clip(places, 0, len(table) - 2)
    below = places.astype(int)
    part = (places - below)[..., None]
    return np.asarray((1 - part) * table[below] + part * table[below + 1])


class TempoEstimator:
    """The network that scores candidate tempi.

    Args:
        weights: Matrices and biases of three layers by name: `weight_0` (TEMPO_EVIDENCE, h), `bias_0` (h,), ...,
            `weight_2` (h / 2, 1), `bias_2` (1,).

    Example:
        >>> estimator = bundled_estimator()
        >>> estimator.estimate(onset_correlations(strength, 516), 256 / 22050)
        Tempo(bpm=128.0, probability=0.97)
    """

    def __init__(self, weights: dict[str, FloatArray]) -> None:
        self._layers = [(weights[f"weight_{k}"], weights[f"bias_{k}"]) for k in range(3)]

    @classmethod
    def load(cls, path: Path) -> TempoEstimator:
        """Load the weights from a file. Raises ModelError if it is missing or invalid."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path} cannot be read ({error}); install soundalike again") from error
        width = TEMPO_EVIDENCE
        for k in range(3):
            weight, bias = found.get(f"weight_{k}"), found.get(f"bias_{k}")
            if weight is None or bias is None or weight.ndim != 2 or len(weight) != width:
                raise ModelError(f"{path} does not hold the weights of a tempo network; install soundalike again")
            width = weight.shape[1]
        return cls(found)

    def probabilities(self, evidence: FloatArray) -> FloatArray:
        """Return the probabilities of the candidates (n,) from their evidence (n, TEMPO_EVIDENCE)."""
        values = evidence
        for k, (weight, bias) in enumerate(self._layers):
            values = values @ weight + bias
            if k < len(self._layers) - 1:
                values = np.maximum(values, 0.0)
        powers = np.exp(values[:, 0].astype(np.float64) - float(values.max()))
        return np.asarray(powers / powers.sum())

    def most_probable(self, correlations: FloatArray, period: float) -> Tempo | None:
        """Return the most probable tempo, whatever its probability; None without periodicity.

        Args:
            correlations: (lags, CHANNELS) from `onset_correlations`, or their sum over passages.
            period: Seconds between lags.
        """
        if len(correlations) < 0.6 / period or correlations[0, 0] <= 0.0:
            return None
        probabilities = self.probabilities(tempo_evidence(correlations, period))
        # Candidates within the tolerance of each other are one answer.
        near = np.abs(np.log(TEMPI[:, None] / TEMPI)) <= TEMPO_TOLERANCE
        mass = near @ probabilities
        best = near[int(np.argmax(mass))] * probabilities
        bpm = float(np.exp(np.sum(best * np.log(TEMPI)) / np.sum(best)))
        return Tempo(_refined(correlations[:, 0], period, bpm), float(min(mass.max(), 1.0)))

    def estimate(self, correlations: FloatArray, period: float) -> Tempo | None:
        """Return the most probable tempo if its probability is at least 0.5. Arguments: see `most_probable`."""
        found = self.most_probable(correlations, period)
        return found if found and found.probability >= _MIN_PROBABILITY else None


def _refined(correlation: FloatArray, period: float, bpm: float) -> float:
    """Return the tempo of the peaks at one, two and four beats that lie near a tempo.

    The largest multiple gives the most precise estimate, because a frame is a smaller part of it.
    """
    lags = np.arange(len(correlation)) * period
    first = beat = 60.0 / bpm
    for multiple in (1, 2, 4):
        around = np.flatnonzero(np.abs(lags - multiple * beat) <= max(0.02 * multiple * beat, 1.5 * period))
        if len(around) and 0 < (peak := int(around[np.argmax(correlation[around])])) < len(correlation) - 1:
            left, mid, right = correlation[peak - 1 : peak + 2]
            bend = left - 2.0 * mid + right
            if bend < 0.0 and mid >= max(left, right):  # a peak, not the slope of one outside
                beat = (peak + 0.5 * (left - right) / bend) * period / multiple
    return 60.0 / float(beat if abs(beat / first - 1) < TEMPO_TOLERANCE else first)


@cache
def bundled_estimator() -> TempoEstimator:
    """Return the estimator of this distribution. Raises ModelError if its weights are missing."""
    return TempoEstimator.load(Path(__file__).with_name(TEMPO_FILE))
