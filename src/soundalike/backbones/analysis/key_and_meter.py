"""Estimate key and meter from a transcription by two logistic regressions.

The regressions are fitted on rendered clips with known key and meter (`soundalike.train.transcriber.readings`), so
their probabilities are calibrated on rendered music.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from soundalike.backbones.analysis.descriptors import KEYS
from soundalike.backbones.analysis.transcriber import STROKES
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = [
    "KEY_SOURCES",
    "METERS",
    "METER_EVIDENCE",
    "READINGS_FILE",
    "KeyMeterClassifier",
    "key_evidence",
    "meter_evidence",
]

READINGS_FILE = "readings.safetensors"
"""Name of the file with the weights of both regressions."""
METERS = ("4/4", "3/4", "6/8", "9/8")
KEY_SOURCES = 3
"""Number of sources of evidence for the key: chroma, chord tones, lead pitches."""

# Lags in beats of the estimated tempo: multiples of halves and thirds.
_MULTIPLES = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0, 4 / 3, 1.5, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0, 6.0)
_TOLERANCE = 0.03  # relative tolerance of a lag: musicians do not keep the beat more exactly
_FLOOR = 0.05  # relative to the strongest stroke; limits the weight of strokes that are hardly present
_MIN_KEY, _MIN_METER = 0.3, 0.8  # probabilities of a key and a meter that are reported

METER_EVIDENCE = len(_MULTIPLES) * (1 + len(STROKES)) + 2
"""Size of the evidence for the meter."""


class KeyMeterClassifier:
    """Two logistic regressions, for the key and the meter.

    Args:
        key: Weights (2, KEY_SOURCES, 12) of C major and C minor. They are rotated for the other tonics.
        key_bias: Biases (2,) of major and minor.
        meter: Weights (METER_EVIDENCE, m) of the m meters in `METERS`.
        meter_bias: Biases (m,).
    """

    def __init__(self, key: FloatArray, key_bias: FloatArray, meter: FloatArray, meter_bias: FloatArray) -> None:
        self._key = np.stack([np.roll(key, tonic, axis=2) for tonic in range(12)], axis=1).reshape(24, -1)
        self._key_bias = np.repeat(key_bias, 12)
        self._meter, self._meter_bias = meter, meter_bias

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the weights from a folder of networks. Raises ModelError if they are missing or invalid."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / READINGS_FILE
        try:
            found = load_file(path)
            shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path} cannot be read ({error}); install the model again") from error
        expected = {
            "key": (2, KEY_SOURCES, 12),
            "key_bias": (2,),
            "meter": (METER_EVIDENCE, len(METERS)),
            "meter_bias": (len(METERS),),
        }
        if shapes != expected:
            raise ModelError(f"{path} holds {shapes}; expected {expected}: install the model again")
        return cls(**found)

    def key(self, evidence: FloatArray) -> tuple[str, float] | None:
        """Return the most probable key and its probability.

        None if the probability is below 0.3, or the evidence is all zero.

        `evidence` is the result of `key_evidence`, (KEY_SOURCES, 12).
        """
        if not evidence.any():
            return None
        probabilities = _softmax(self._key @ evidence.ravel() + self._key_bias)
        best = int(np.argmax(probabilities))
        return (KEYS[best], float(probabilities[best])) if probabilities[best] >= _MIN_KEY else None

    def meter(self, evidence: FloatArray) -> tuple[str, float] | None:
        """Return the most probable meter and its probability, or None if that is below 0.8.

        `evidence` is the result of `meter_evidence`, (METER_EVIDENCE,).
        """
        probabilities = _softmax(evidence @ self._meter + self._meter_bias)
        best = int(np.argmax(probabilities))
        return (METERS[best], float(probabilities[best])) if probabilities[best] >= _MIN_METER else None


def key_evidence(chroma: FloatArray, tones: FloatArray, lead: FloatArray) -> FloatArray:
    """Return the evidence for the key.

    Args:
        chroma: Chroma (12,) from A, summed over time.
        tones: Probabilities of chord tones (12,) from A, summed over time.
        lead: Probabilities of lead pitches (n,) from A, summed over time; n is a multiple of 12.

    Returns:
        (KEY_SOURCES, 12) from C. Each row is centred and has length 1, or is zero.
    """
    found = np.stack([chroma, tones, lead.reshape(-1, 12).sum(axis=0)]).astype(np.float64)
    found = np.roll(found - found.mean(axis=1, keepdims=True), -3, axis=1)
    length = np.sqrt(np.sum(np.square(found), axis=1, keepdims=True))
    return np.where(length > 1e-6, found / np.maximum(length, 1e-6), 0.0)


def meter_evidence(pulse: FloatArray, strokes: FloatArray, tempo: float, period: float) -> FloatArray:
    """Return the evidence for the meter: autocorrelations at multiples of the beat, and the tempo.

    Args:
        pulse: Autocorrelation (f,) of all onsets.
        strokes: Autocorrelations (f, s) of the strokes.
        tempo: Tempo in BPM.
        period: Seconds between lags.

    Returns:
        (METER_EVIDENCE,).
    """
    scale = np.maximum(strokes[0], _FLOOR * strokes[0].max()) + 1e-9
    correlations = np.column_stack([pulse / (pulse[0] + 1e-9), strokes / scale])
    found = np.zeros((len(_MULTIPLES), correlations.shape[1]))
    for row, multiple in zip(found, _MULTIPLES, strict=True):
        lag = multiple * 60.0 / tempo / period
        first, last = max(1, round(lag * (1 - _TOLERANCE))), round(lag * (1 + _TOLERANCE)) + 1
        if last <= len(correlations):
            row[:] = correlations[first:last].max(axis=0)
    pace = np.log2(tempo / 120.0)
    return np.concatenate([found.ravel(), [pace, pace * pace]])


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
