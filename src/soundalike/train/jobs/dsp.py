"""`soundalike train dsp`: projections and calibration of the fixed descriptors, from permissive audio only."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.audio import MonoStream, windows
from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import LEVELS, BoolArray, Calibration, FloatArray, IntArray, Level
from soundalike.models import Head, calibrate, unit_rows
from soundalike.train.common.projection import Projection, fit_projection, folder_accuracy, measure_scatter
from soundalike.train.common.recipe import space_entry, write_model

__all__ = ["FACTORS", "Clips", "describe_clips", "fit"]

FACTORS = ("melody", "rhythm", "timbre", "harmony")
DIMS = 128
PAIRS = 20_000
HELD_OUT = 0.2

# Chosen on held-out folders (docs/models/dsp.md): (shrink, floor) of `fit_projection`.
_SETTINGS: Mapping[str, tuple[float, float]] = {
    "melody": (0.0, 0.3),
    "rhythm": (0.0, 1.0),
    "timbre": (0.0, 0.1),
    "harmony": (0.2, 0.1),
}
_PLAIN_SUMMARY = "Fixed descriptors of melody, rhythm, timbre and harmony, without a projection."
_SUMMARY = "Fixed descriptors of melody, rhythm, timbre and harmony; no training beyond a linear projection."


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Descriptors of the passages of many clips.

    `rows` maps a feature to (n, D), `audible` to (n,); `clip` (n,) numbers the clip a passage is of, and for
    each clip `factor` (m,) says what its `folder` (m,) shares ("" and -1: nothing, a recording).
    """

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]
    clip: IntArray
    factor: tuple[str, ...]
    folder: IntArray

    def pick(self, clips: BoolArray) -> Clips:
        """Only the clips marked in (m,)."""
        keep, number = clips[self.clip], np.cumsum(clips) - 1
        return Clips(
            {name: rows[keep] for name, rows in self.rows.items()},
            {name: heard[keep] for name, heard in self.audible.items()},
            number[self.clip[keep]],
            tuple(factor for factor, chosen in zip(self.factor, clips, strict=True) if chosen),
            self.folder[clips],
        )


def describe_clips(backbone: Backbone, renders: Path, recordings: Path) -> tuple[Clips, list[dict[str, object]]]:
    """Describe every clip of the two indexes; also what they are, by licence, for the recipe.

    Raises UsageError where an index is missing or lacks a column.
    """
    found: list[tuple[Path, str, int]] = []
    folders: dict[tuple[str, str], int] = {}
    for row in _read(renders, ("path", "factor", "folder")):
        number = folders.setdefault((row["factor"], row["folder"]), len(folders))
        found.append((renders / row["path"], row["factor"], number))
    trained_on: list[dict[str, object]] = [
        {
            "name": "renders of tools/render_fit.py",
            "licence": "MIT, public domain, ODbL-1.0, CC-BY-4.0",
            "n": len(found),
        }
    ]
    counts: dict[tuple[str, str], int] = {}
    for row in _read(recordings, ("file", "source", "licence")):
        found.append((recordings / row["file"], "", -1))
        counts[row["source"], row["licence"]] = counts.get((row["source"], row["licence"]), 0) + 1
    trained_on += [{"name": name, "licence": licence, "n": n} for (name, licence), n in sorted(counts.items())]
    rows: dict[str, list[FloatArray]] = {name: [] for name in backbone.dims}
    audible: dict[str, list[BoolArray]] = {name: [] for name in backbone.dims}
    clip: list[int] = []
    for number, (path, _, _) in enumerate(found):
        heard = backbone.features(MonoStream(path, backbone.rate), windows)
        clip += [number] * len(heard.windows)
        for name in backbone.dims:
            rows[name].append(heard.rows[name])
            audible[name].append(heard.audible[name])
        if number % 200 == 199:
            print(f"listened to {number + 1} of {len(found)} clips", file=sys.stderr)
    return Clips(
        {name: np.concatenate(parts) for name, parts in rows.items()},
        {name: np.concatenate(parts) for name, parts in audible.items()},
        np.array(clip),
        tuple(factor for _, factor, _ in found),
        np.array([folder for _, _, folder in found]),
    ), trained_on


def _read(folder: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        raise UsageError(f"{folder} has no index.csv; tools/render_fit.py and docs/models/dsp.md say how to make one")
    with index.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise UsageError(f"{index} lacks the column {', '.join(missing)}; it has {reader.fieldnames}")
        return list(reader)


def _project(clips: Clips, feature: str, factor: str) -> Projection:
    """Fit the head of one space: folders of its factor say what to ignore, all clips how music varies."""
    heard = clips.audible[feature]
    of_factor = np.array([name == factor for name in clips.factor])
    folders = np.where(of_factor, clips.folder, -1)[clips.clip]
    shrink, floor = _SETTINGS[factor]
    dims = min(DIMS, clips.rows[feature].shape[1])
    scatter = measure_scatter(clips.rows[feature][heard], folders[heard])
    return fit_projection(scatter, dims=dims, shrink=shrink, floor=floor)


def _space_rows(clips: Clips, feature: str, projection: Projection | None) -> tuple[FloatArray, FloatArray]:
    """Rows of a space: passages (n, d) and clips (m, d), unit or zero; without a projection the descriptors alone."""
    head = Head(projection.mean, projection.weight) if projection else Head()
    passages = head(clips.rows[feature], clips.audible[feature])
    sums = np.zeros((len(clips.factor), passages.shape[1]))
    np.add.at(sums, clips.clip, passages)
    return passages, unit_rows(sums)


def held_out(clips: Clips, seed: int, *, plain: bool = False) -> dict[str, dict[str, float]]:
    """Fit on four fifths of the folders; {space: {factor: triplet accuracy on the folders left out}}."""
    rng = np.random.default_rng(seed)
    drawn = np.asarray(rng.random(clips.folder.max() + 1) < HELD_OUT)
    out = drawn[clips.folder] & (clips.folder >= 0)
    train, test = clips.pick(~out), clips.pick(out)
    table: dict[str, dict[str, float]] = {}
    for space in FACTORS:
        _, rows = _space_rows(test, space, None if plain else _project(train, space, space))
        table[space] = {}
        for factor in FACTORS:
            chosen = np.array([name == factor for name in test.factor]) & rows.any(axis=1)
            table[space][factor] = folder_accuracy(rows[chosen], test.folder[chosen])
    return table


def _chance(clips: Clips, factor: str, passages: FloatArray, tracks: FloatArray, seed: int) -> dict[Level, Calibration]:
    """What random pairs look like in a space.

    A folder of the space's own factor stands in for a track when the best passage of a track is asked for: its
    clips are as alike as the passages of one.
    """
    rng = np.random.default_rng(seed)
    # Clips of one folder share something on purpose: a random pair is of two folders. Recordings stand alone.
    group = np.where(clips.folder >= 0, clips.folder, -1 - np.arange(len(clips.folder)))
    audible = np.flatnonzero(tracks.any(axis=1))
    first, second = rng.choice(audible, (2, PAIRS))
    apart = group[first] != group[second]
    track = np.einsum("nd,nd->n", tracks[first[apart]], tracks[second[apart]])
    audible = np.flatnonzero(passages.any(axis=1))
    first, second = rng.choice(audible, (2, PAIRS))
    apart = group[clips.clip[first]] != group[clips.clip[second]]
    passage = np.einsum("nd,nd->n", passages[first[apart]], passages[second[apart]])
    best = []
    folders = np.unique([folder for folder, name in zip(clips.folder, clips.factor, strict=True) if name == factor])
    for query in rng.choice(audible, PAIRS // 10):
        folder = rng.choice(folders)
        members = passages[(clips.folder == folder)[clips.clip] & passages.any(axis=1)]
        if group[clips.clip[query]] != folder and len(members):
            best.append(float((members @ passages[query]).max()))
    chance = {"track": calibrate(track, track), "passage": calibrate(passage, np.array(best))}
    return {level: chance[level] for level in LEVELS}


def fit(renders: Path, recordings: Path, out: Path, seed: int, *, plain: bool = False) -> dict[str, dict[str, float]]:
    """Fit and write the model folder `out`; returns the held-out accuracies {space: {factor: accuracy}}.

    `plain` leaves the projections out: the descriptors as they are, the baseline that says what fitting them brings.
    The same inputs and seed write the same bytes.
    """
    backbone: Backbone = plugins.load("backbones", "dsp")
    clips, trained_on = describe_clips(backbone, renders, recordings)
    accuracies = held_out(clips, seed, plain=plain)
    tensors: dict[str, FloatArray] = {}
    spaces = []
    for name in FACTORS:
        projection = None if plain else _project(clips, name, name)
        passages, tracks = _space_rows(clips, name, projection)
        if projection:
            tensors[f"{name}.mean"], tensors[f"{name}.weight"] = projection.mean, projection.weight
        chance = _chance(clips, name, passages, tracks, seed)
        head = "linear" if projection else "identity"
        spaces.append(space_entry(name, backbone, name, head, passages.shape[1], chance))
    write_model(
        out,
        name="dsp-plain" if plain else "dsp",
        summary=_PLAIN_SUMMARY if plain else _SUMMARY,
        licence="Apache-2.0",
        spaces=spaces,
        tensors=tensors,
        trained_on=trained_on,
        seed=seed,
    )
    return accuracies
