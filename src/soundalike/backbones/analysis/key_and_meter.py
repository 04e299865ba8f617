"""Key and meter as people filter by them, read from what the transcriber heard by two logistic regressions.

They are fitted on rendered clips whose key and meter are known (`soundalike.train.transcriber.readings`), so that how
sure they are is how often they are right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from soundalike.backbones.analysis.descriptors import KEYS
from soundalike.backbones.analysis.transcriber import STROKES
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["KEY_SOURCES", "METERS", "METER_EVIDENCE", "READINGS_FILE", "Readings", "key_evidence", "meter_evidence"]

READINGS_FILE = "readings.safetensors"
METERS = ("4/4", "3/4", "6/8", "9/8")
KEY_SOURCES = 3
"""Chroma, tones of the chord, pitches that lead."""

# In beats, where a beat is what `descriptors.tempo` finds: halves, thirds and their multiples.
_MULTIPLES = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0, 4 / 3, 1.5, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0, 6.0)
_NEAR = 0.03  # of a lag: beats are not kept more exactly
_FLOOR = 0.05  # of the strongest stroke: what is hardly heard says nothing
_SURE = 0.8

METER_EVIDENCE = len(_MULTIPLES) * (1 + len(STROKES)) + 2
"""Numbers that the meter is read from."""


class Readings:
    """The two regressions: `key` (2, KEY_SOURCES, 12) weights for a tonic of C, major and minor, and `key_bias` (2,);
    `meter` (METER_EVIDENCE, m) and `meter_bias` (m,).
    """

    def __init__(self, key: FloatArray, key_bias: FloatArray, meter: FloatArray, meter_bias: FloatArray) -> None:
        self._key = np.stack([np.roll(key, tonic, axis=2) for tonic in range(12)], axis=1).reshape(24, -1)
        self._key_bias = np.repeat(key_bias, 12)
        self._meter, self._meter_bias = meter, meter_bias

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Those of a folder of networks. Raises ModelError if they are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / READINGS_FILE
        try:
            found = load_file(path)
            shapes = {name: tuple(one.shape) for name, one in found.items()}
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
        """The most probable key and its probability, from `key_evidence` (KEY_SOURCES, 12); None if there is none."""
        if not evidence.any():
            return None
        chances = _softmax(self._key @ evidence.ravel() + self._key_bias)
        best = int(np.argmax(chances))
        return KEYS[best], float(chances[best])

    def meter(self, evidence: FloatArray) -> str | None:
        """The meter, from `meter_evidence`, where it is probable enough."""
        chances = _softmax(evidence @ self._meter + self._meter_bias)
        best = int(np.argmax(chances))
        return METERS[best] if chances[best] >= _SURE else None


def key_evidence(chroma: FloatArray, tones: FloatArray, lead: FloatArray) -> FloatArray:
    """What a key is read from: chroma (12,) and chord tones (12,) from A, and lead (n,), n a multiple of 12, from A,
    each summed over time. Returns (KEY_SOURCES, 12) from C, each centred and of length 1, or zero.
    """
    found = np.stack([chroma, tones, lead.reshape(-1, 12).sum(axis=0)]).astype(np.float64)
    found = np.roll(found - found.mean(axis=1, keepdims=True), -3, axis=1)
    length = np.sqrt(np.sum(np.square(found), axis=1, keepdims=True))
    return np.where(length > 1e-6, found / np.maximum(length, 1e-6), 0.0)


def meter_evidence(pulse: FloatArray, strokes: FloatArray, tempo: float, period: float) -> FloatArray:
    """What a meter is read from: autocorrelations of onsets (f,) and of each stroke (f, s), f frames of `period`
    seconds, at multiples of the beat of `tempo`, and the tempo itself. Returns (METER_EVIDENCE,).
    """
    scale = np.maximum(strokes[0], _FLOOR * strokes[0].max()) + 1e-9
    all_of_them = np.column_stack([pulse / (pulse[0] + 1e-9), strokes / scale])
    found = np.zeros((len(_MULTIPLES), all_of_them.shape[1]))
    for row, multiple in zip(found, _MULTIPLES, strict=True):
        lag = multiple * 60.0 / tempo / period
        first, last = max(1, round(lag * (1 - _NEAR))), round(lag * (1 + _NEAR)) + 1
        if last <= len(all_of_them):
            row[:] = all_of_them[first:last].max(axis=0)
    pace = np.log2(tempo / 120.0)
    return np.concatenate([found.ravel(), [pace, pace * pace]])


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
