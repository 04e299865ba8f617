"""Short sounds with labels of six concepts, in the place of songs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from conftest import write
from soundalike.audio import TrackLabels
from soundalike.backbones.analysis import InputSettings
from soundalike.train.concepts.material import ConceptTrack
from soundalike.train.concepts.settings import SMALL, InceptionSettings

RATE = 11025
SETTINGS = replace(
    SMALL,
    inputs=InputSettings(rate=RATE, seconds=0.8, bands=32, lags=48),
    network=InceptionSettings(first=4, width=2, reduced=2, blocks=3),
    batch=12,
    epochs=1,
    steps_per_epoch=2,
    validation=24,
    rate=1e-2,
)
"""Tiny networks and few batches."""
_KEYS = {"C major": 262.0, "F# minor": 370.0}
_TEMPI = (75.0, 110.0)


def sound(harmonics: int, tempo: float, pitch: float, level: float, seconds: float = 1.7) -> np.ndarray:
    """Repeated tones: overtones are the instrument, their rate is the tempo, and their pitch is the key."""
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * pitch * h * t) / h for h in range(1, harmonics + 1))
    return (level * wave * np.exp(-6 * (t % (15 / tempo)))).astype(np.float32)


def write_songs(folder: Path, count: int = 36) -> tuple[ConceptTrack, ...]:
    """Write songs and return them with their labels: of three, one each is for training, validation and test."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        instrument, tempo, key, era = random.integers(2, size=4)
        name = list(_KEYS)[key]
        samples = sound(1 + 11 * int(instrument), _TEMPI[tempo], _KEYS[name], 0.05 + 0.3 * era)
        labels = TrackLabels(
            genre=(f"genre {(instrument + tempo) % 2}",),
            mood=(f"mood {(tempo + key) % 2}",),
            instrument=(f"instrument {instrument}",),
            era=(f"era {era}",),
            tempo=_TEMPI[tempo],
            key=name,
        )
        path = write(folder / f"song{number:02d}.wav", samples, RATE)
        found.append(ConceptTrack(path, labels, path.stem, ("train", "validation", "test")[number % 3]))
    return tuple(found)
