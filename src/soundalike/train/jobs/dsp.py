"""`soundalike train dsp`: fit the projections and the calibration of the fixed descriptors, on permissive audio only.

Projections are fitted in closed form on the training and validation folders of a set of triplets, and judged on its
test folders. n passages, m clips, D dims of a feature, d dims of a space.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.audio import MonoStream, windows
from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import make_folder, read_json
from soundalike.core.types import LEVELS, BoolArray, Calibration, FloatArray, IntArray, Level
from soundalike.models import Head, unit_rows
from soundalike.train.common.calibration import calibrate_random_pairs
from soundalike.train.common.projection import Projection, fit_projection, folder_accuracy, measure_scatter
from soundalike.train.common.recipe import space_entry, write_model
from soundalike.train.data.folders import read_folders

__all__ = ["FACTORS", "Clips", "Source", "describe_clips", "find_sources", "fit"]

FACTORS = ("melody", "rhythm", "timbre", "harmony")
DIMS = 128

# (shrink, floor) of `fit_projection`, chosen by cross-validation over training folders (docs/models/dsp.md).
_SETTINGS: Mapping[str, tuple[float, float]] = {
    "melody": (0.0, 1.0),
    "rhythm": (0.0, 1.0),
    "timbre": (0.0, 0.1),
    "harmony": (0.2, 0.1),
}
# The fit has no early stopping and chooses no setting, so it uses the validation folders too.
_FITTED = ("train", "validation")
_RECORDS = ("render.json", "split.json")
_PLAIN_SUMMARY = "Fixed descriptors of melody, rhythm, timbre and harmony, without a projection."
_SUMMARY = "Fixed descriptors of melody, rhythm, timbre and harmony; no training beyond a linear projection."


@dataclass(frozen=True, slots=True)
class Source:
    """One clip to fit on, or to judge by (`test`).

    `folder` numbers the triplet folder that holds the clip (-1 for a recording). `factor` is what the clip shares with
    the anchor of its folder; it is empty for negatives and recordings, which only show how music varies.
    """

    path: Path
    folder: int = -1
    factor: str = ""
    test: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Descriptors of the passages of m clips.

    `rows` maps a feature to (n, D), `audible` to (n,). `clip` (n,) is the clip that a passage belongs to. `factor` (m)
    and `folder` (m,) are those of `Source`.
    """

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]
    clip: IntArray
    factor: tuple[str, ...]
    folder: IntArray

    def pick(self, clips: BoolArray) -> Clips:
        """Return only the clips marked in (m,)."""
        keep, number = clips[self.clip], np.cumsum(clips) - 1
        return Clips(
            {name: rows[keep] for name, rows in self.rows.items()},
            {name: audible[keep] for name, audible in self.audible.items()},
            number[self.clip[keep]],
            tuple(factor for factor, chosen in zip(self.factor, clips, strict=True) if chosen),
            self.folder[clips],
        )

    def sharing(self, factor: str) -> BoolArray:
        """Mark (m,) the anchors and positives of the folders of a factor."""
        return np.array([name == factor for name in self.factor], np.bool_)


def find_sources(renders: Path, recordings: Path, seed: int) -> tuple[list[Source], list[dict[str, object]]]:
    """List the clips of triplet folders and of an index of recordings.

    Args:
        renders: Triplet folders of every factor of FACTORS, as `soundalike render` writes them.
        recordings: Folder with an index.csv, whose columns include file, source and licence.
        seed: Draws the test folders where `renders` has no split.json.

    Returns:
        The clips, and the entries of a recipe that credit those that are fitted on.

    Raises:
        UsageError: A factor or the index is missing, or the index lacks a column.
    """
    factors = read_folders(renders, seed)
    if missing := [name for name in FACTORS if name not in factors]:
        raise UsageError(f"{renders} has no folders for {', '.join(missing)}; dsp needs {', '.join(FACTORS)}")
    sources: list[Source] = []
    number = 0
    for factor in FACTORS:
        for part, folders in factors[factor].items():
            for folder in folders:
                for clip in folder.clips:
                    shared = "" if clip in (folder.negative, folder.adversarial) else factor
                    sources.append(Source(clip, number, shared, part not in _FITTED))
                number += 1
    trained_on = [_render_credit(renders, sum(not source.test for source in sources))]
    counts: dict[tuple[str, str], int] = {}
    for row in _read_index(recordings, ("file", "source", "licence")):
        sources.append(Source(recordings / row["file"]))
        counts[row["source"], row["licence"]] = counts.get((row["source"], row["licence"]), 0) + 1
    trained_on += [{"name": name, "licence": licence, "n": n} for (name, licence), n in sorted(counts.items())]
    return sources, trained_on


def _read_index(folder: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        raise UsageError(f"{folder} has no index.csv; expected one with the columns {', '.join(columns)}")
    with index.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise UsageError(f"{index} lacks the column {', '.join(missing)}; it has {reader.fieldnames}")
        return list(reader)


def _render_credit(renders: Path, clips: int) -> dict[str, object]:
    """Return the recipe's entry for the triplets: the sources of the fitted folders as their renderer recorded them."""
    record, split = (read_json(renders / name) if (renders / name).is_file() else {} for name in _RECORDS)
    if not isinstance(record, dict) or record.get("made_by") != "soundalike render":
        return {"name": "triplet folders of the user's own", "licence": "unknown", "n": clips}
    # Soundfonts that only test folders use have no part in the weights.
    used = _fitted_sounds(split)
    sounds = [f"{name}: {licence}" for name, licence in record["sounds"].items() if used is None or name in used]
    licence = "; ".join([*record["sources"]["credits"], *sounds])
    return {"name": "soundalike render", "licence": licence, "n": clips, "seed": record["settings"]["seed"]}


def _fitted_sounds(split: Any) -> set[str] | None:
    """Return the soundfonts, kits and voices of the fitted folders; None if the split does not list them."""
    try:
        return {name for part in _FITTED for name in split["sources"][part]["banks"]}
    except (KeyError, TypeError):
        return None


@cache
def _backbone() -> Backbone:
    """Return the backbone, loaded once per process."""
    backbone: Backbone = plugins.load("backbones", "dsp")
    return backbone


def _describe(path: Path) -> tuple[Mapping[str, FloatArray], Mapping[str, BoolArray], float]:
    """Return rows and audible passages of one clip, and its duration in seconds. Runs in a worker process."""
    features = _backbone().features(MonoStream(path, _backbone().rate), windows)
    return dict(features.rows), dict(features.audible), features.duration


def describe_clips(
    sources: Sequence[Source], *, jobs: int | None = None, progress: Callable[[int, int, float], None] | None = None
) -> Clips:
    """Describe the passages of every clip.

    Args:
        sources: The clips.
        jobs: Number of worker processes (default: one per core).
        progress: Called with the number of clips done, that of all clips, and the seconds of audio in those done.

    Returns:
        The descriptors, in the order of `sources`.

    Raises:
        AudioError: A clip cannot be read.
    """
    paths = list(dict.fromkeys(source.path for source in sources))
    described: dict[Path, tuple[Mapping[str, FloatArray], Mapping[str, BoolArray]]] = {}
    seconds = 0.0
    outcomes = run_tasks(_describe, paths, jobs)
    try:
        for path, outcome in outcomes:
            if isinstance(outcome, AudioError):
                raise AudioError(f"{path}: {outcome}") from outcome
            if isinstance(outcome, Exception):
                raise outcome
            rows, audible, duration = outcome
            described[path] = rows, audible
            seconds += duration
            if progress:
                progress(len(described), len(paths), seconds)
    finally:
        outcomes.close()
    found = [described[source.path] for source in sources]
    names = _backbone().dims
    counts = [len(next(iter(audible.values()))) for _, audible in found]
    return Clips(
        {name: np.concatenate([rows[name] for rows, _ in found]) for name in names},
        {name: np.concatenate([audible[name] for _, audible in found]) for name in names},
        np.repeat(np.arange(len(sources)), counts),
        tuple(source.factor for source in sources),
        np.array([source.folder for source in sources]),
    )


def _project(clips: Clips, feature: str, factor: str) -> Projection:
    """Fit the head of one space: folders of its factor show what to ignore, all clips how music varies."""
    audible = clips.audible[feature]
    folders = np.where(clips.sharing(factor), clips.folder, -1)[clips.clip]
    shrink, floor = _SETTINGS[factor]
    dims = min(DIMS, clips.rows[feature].shape[1])
    scatter = measure_scatter(clips.rows[feature][audible], folders[audible])
    return fit_projection(scatter, dims=dims, shrink=shrink, floor=floor)


def _space_rows(clips: Clips, feature: str, projection: Projection | None) -> tuple[FloatArray, FloatArray]:
    """Return the rows of a space for passages (n, d) and clips (m, d), unit or zero."""
    head = Head(projection.mean, projection.weight) if projection else Head()
    passages = head(clips.rows[feature], clips.audible[feature])
    sums = np.zeros((len(clips.factor), passages.shape[1]))
    np.add.at(sums, clips.clip, passages)
    return passages, unit_rows(sums)


def _accuracies(clips: Clips, projections: Mapping[str, Projection | None]) -> dict[str, dict[str, float]]:
    """Return {space: {factor: `folder_accuracy` over the anchors and positives of the factor}}."""
    table: dict[str, dict[str, float]] = {}
    for space, projection in projections.items():
        _, rows = _space_rows(clips, space, projection)
        table[space] = {}
        for factor in FACTORS:
            chosen = clips.sharing(factor) & rows.any(axis=1)
            table[space][factor] = folder_accuracy(rows[chosen], clips.folder[chosen])
    return table


def _calibrate(clips: Clips, passages: FloatArray, tracks: FloatArray, seed: int) -> dict[Level, Calibration]:
    """Estimate the null distribution of a space from random pairs, for each level."""
    rng = np.random.default_rng(seed)
    # Clips of one folder share something by design, so a random pair comes from two. Each recording stands alone.
    group = np.where(clips.folder >= 0, clips.folder, -1 - np.arange(len(clips.folder)))
    calibrations = {
        "track": calibrate_random_pairs(tracks, group, rng),
        "passage": calibrate_random_pairs(passages, group[clips.clip], rng),
    }
    return {level: calibrations[level] for level in LEVELS}


def fit(
    renders: Path,
    recordings: Path,
    out: Path,
    seed: int,
    *,
    plain: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, dict[str, float]]:
    """Fit the model, judge it on the test folders, and write it.

    The same inputs and seed write the same bytes on the same machine with the same number of BLAS threads.

    Args:
        renders: Triplet folders of every factor of FACTORS, as `soundalike render` writes them.
        recordings: Folder with an index.csv, whose columns include file, source and licence.
        out: Folder to write the model to.
        seed: Draws the random pairs of the calibration, and the test folders where `renders` has no split.json.
        plain: Leave the projections out. The descriptors alone are the baseline that shows what fitting adds.
        jobs: Number of worker processes (default: one per core).
        progress: Called with the number of clips done, that of all clips, and the seconds of audio in those done.

    Returns:
        Accuracy of the written model on the test folders, {space: {factor: 0..1}}: how often a clip is closer to one of
        its own folder than to one of another, chance level 0.5.

    Raises:
        UsageError: An input is missing or incomplete, or `out` cannot be written to.
        AudioError: A clip cannot be read.

    Example:
        >>> accuracies = fit(Path("renders"), Path("recordings"), Path("models/dsp"), seed=0)
        >>> accuracies["melody"]["melody"] > 0.9
        True
    """
    sources, trained_on = find_sources(renders, recordings, seed)
    make_folder(out, "--out")
    clips = describe_clips(sources, jobs=jobs, progress=progress)
    test = np.array([source.test for source in sources])
    fitted, held_out = clips.pick(~test), clips.pick(test)
    projections = {name: None if plain else _project(fitted, name, name) for name in FACTORS}
    tensors: dict[str, FloatArray] = {}
    spaces = []
    for name, projection in projections.items():
        passages, tracks = _space_rows(fitted, name, projection)
        if projection:
            tensors[f"{name}.mean"], tensors[f"{name}.weight"] = projection.mean, projection.weight
        calibration = _calibrate(fitted, passages, tracks, seed)
        head = "linear" if projection else "identity"
        spaces.append(space_entry(name, _backbone(), name, head, passages.shape[1], calibration))
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
    return _accuracies(held_out, projections)
