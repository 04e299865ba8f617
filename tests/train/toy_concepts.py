"""Small labelled music for concept networks: inputs that show genre, tempo and key, each in one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.audio import TrackLabels
from soundalike.backbones.analysis import InputSettings
from soundalike.train.concepts.material import ConceptMaterial, ConceptTrack
from soundalike.train.concepts.settings import SMALL, ConceptSettings, InceptionSettings

GENRES = ("rock", "jazz", "folk")
TEMPI = (70.0, 90.0, 110.0)
KEYS = ("C major", "F# minor", "A major")


def toy_settings(**changes: Any) -> ConceptSettings:
    """Tiny networks of three inputs and three concepts."""
    inputs = InputSettings(bands=24, lags=36, chroma=12, seconds=0.2)
    network = InceptionSettings(first=4, width=2, reduced=2, side=6, blocks=3)
    settings = replace(
        SMALL, inputs=inputs, network=network, concepts=("genre", "tempo", "key"), dim=8, batch=16, epochs=6,
        steps_per_epoch=8, validation=32, rate=1e-2,
    )  # fmt: skip
    return replace(settings, **changes)


def toy_material(settings: ConceptSettings, tracks: int = 60, seed: int = 0) -> ConceptMaterial:
    """Two segments of every track; two thirds of the tracks are for training, the others for validation."""
    random = np.random.default_rng(seed)
    classes = random.integers(3, size=(tracks, 3))
    subsets = ["train" if number % 3 else "validation" for number in range(tracks)]
    listed = tuple(
        ConceptTrack(
            Path(f"{number}.wav"),
            TrackLabels(genre=(GENRES[genre],), tempo=TEMPI[tempo], key=KEYS[key]),
            str(number),
            subsets[number],
        )
        for number, (genre, tempo, key) in enumerate(classes)
    )
    track_of = np.repeat(np.arange(tracks), 2)
    arrays = {}
    for column, name in enumerate(settings.inputs.names):
        bins = settings.inputs.bins(name)
        values = random.normal(0, 0.3, (2 * tracks, bins, settings.inputs.frames))
        for segment, track in enumerate(track_of):
            values[segment, (1 + 2 * classes[track, column]) * bins // 6] += 2.0
        arrays[name] = values.astype(np.float16)
    of = np.array(subsets)[track_of]
    rows = {subset: np.flatnonzero(of == subset) for subset in ("train", "validation", "test")}
    return ConceptMaterial(
        listed, track_of, np.zeros(2 * tracks, np.float32), rows, arrays, digest=f"toy {tracks} {seed}"
    )
