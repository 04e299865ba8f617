"""Songs of three instruments that hold one sine each: the pitches are what tells songs, and instruments, apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.train.metric.material import Material
from soundalike.train.metric.pieces import open_piece, store_piece
from soundalike.train.metric.settings import MetricSettings, NetworkSettings, SpectrumSettings

RATE = 4000
RANGES: Mapping[str, tuple[float, float]] = {"bass": (80, 250), "piano": (400, 800), "other": (1000, 1700)}
"""Pitches in Hz of each instrument."""
TINY = MetricSettings(
    spectrum=SpectrumSettings(RATE, 128, 64),
    network=NetworkSettings(instruments=tuple(RANGES), channels=(4, 6), dim=4, bands=24),
    batch=4,
    segment=0.3,
    test_segment=0.4,
    epochs=2,
    patience=None,
    steps_per_epoch=2,
    validation=4,
    fixed_triplets=4,
    lr_separators=1e-2,
    lr_extractors=5e-3,
    lr_tuning=5e-3,
    lr_direct=1e-2,
)
"""Sizes at which an epoch takes a tenth of a second."""


def toy_stems(random: np.random.Generator, seconds: float = 1.5) -> FloatArray:
    """One sine per instrument with a slow tremolo (3, t)."""
    time = np.arange(round(seconds * RATE)) / RATE
    stems = []
    for low, high in RANGES.values():
        tremolo = 1 + 0.3 * np.sin(2 * np.pi * random.uniform(1, 3) * time)
        stems.append(0.2 * tremolo * np.sin(2 * np.pi * random.uniform(low, high) * time))
    return np.array(stems, np.float32)


def toy_material(folder: Path, train: int = 5, validation: int = 4) -> Material:
    """Store songs in a folder."""
    random = np.random.default_rng(0)
    songs = {}
    for subset, count in (("train", train), ("validation", validation), ("test", 0)):
        for number in range(count):
            store_piece(folder, f"{subset}{number}", toy_stems(random), RATE)
        names = [f"{subset}{number}" for number in range(count)]
        songs[subset] = tuple(open_piece(name, folder, name) for name in names)
    return Material(tuple(RANGES), RATE, songs)
