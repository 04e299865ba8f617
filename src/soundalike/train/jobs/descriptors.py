"""`soundalike train descriptors`: the tempo, from music that is rendered for it.

The evidence of every piece is stored in a working folder, so an interrupted run continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from soundalike.audio import windows
from soundalike.backbones import CompactBackbone
from soundalike.backbones.analysis import (
    FAST_HOP,
    RATE,
    TEMPO_FILE,
    TEMPO_TOLERANCE,
    TempoEstimator,
    key_correlations,
)
from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import absolute, make_folder, write_atomic
from soundalike.core.types import FloatArray
from soundalike.render.folders import sources_of
from soundalike.render.score import SplitPart
from soundalike.train.descriptors.music import DATASET_FILES, KINDS, Piece, sound_of

__all__ = ["DescriptorsJob", "DescriptorsReport", "train_descriptors"]

_PERIOD = FAST_HOP / RATE
_VALIDATION = 8  # one validation piece per eight training pieces
_FEWER = {"metronome": 8, "noise": 8}  # by how much there are fewer pieces of a kind
_SHARPNESS = np.geomspace(2.0, 50.0, 60)


@dataclass(frozen=True, slots=True)
class DescriptorsJob:
    """What to fit, and from what.

    Attributes:
        out: The folder of the weights.
        work: The folder of the evidence.
        pieces: Training pieces of each kind.
        tunes: Tunes to render; None takes what is found.
        grooves: The Groove MIDI Dataset.
        seed: Seed of the pieces and of the fit.
    """

    out: Path
    work: Path
    grooves: Path
    pieces: int = 500
    tunes: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DescriptorsReport:
    """Results on validation pieces.

    Attributes:
        pieces: Number of training and of validation pieces.
        tempo_right: Share of validation pieces with the right tempo, or of noise without a tempo, by kind.
        key_sharpness: The most likely `descriptors.KEY_SHARPNESS`, from training pieces.
        failed: Pieces that could not be rendered, with the reason.
    """

    pieces: tuple[int, int]
    tempo_right: dict[str, float]
    key_sharpness: float
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The evidence in one piece, and its ground truth."""

    kind: str
    pulse: FloatArray
    pitch_classes: FloatArray
    tempo: float
    key: int


def train_descriptors(
    job: DescriptorsJob,
    *,
    jobs: int | None = None,
    step: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DescriptorsReport:
    """Render the pieces that are not there yet, fit the tempo, and write its weights to `job.out`.

    Args:
        job: What to fit.
        jobs: The number of worker processes; None starts one per core.
        step: Called with a description when a step starts.
        progress: Called with the pieces that are done and all pieces that this run renders.

    Raises:
        UsageError: torch is missing, there is no material, or a folder cannot be read or written.
    """
    try:
        from soundalike.train.descriptors.fit import Beat, fit_tempo
    except ImportError as error:
        raise UsageError("fitting needs torch; install it with: pip install 'soundalike[train]'") from error
    from safetensors.numpy import save

    for name in DATASET_FILES:
        if not (job.grooves / name).is_file():
            raise UsageError(f"{job.grooves} has no {name}; give --grooves the folder of the Groove MIDI Dataset")
    make_folder(job.out, "--out")
    make_folder(job.work, "--work")
    paths = str(absolute(job.tunes)) if job.tunes else None, str(absolute(job.grooves))
    parts: dict[SplitPart, int] = {"train": job.pieces, "validation": max(job.pieces // _VALIDATION, 1)}
    wanted = [
        Piece(kind, number, part, job.seed, *paths)
        for part, count in parts.items()
        for number in range(count)
        for kind in KINDS
        if number < count // _FEWER.get(kind, 1) or number == 0
    ]
    missing = [piece for piece in wanted if not _file(job.work, piece).exists()]
    step = step or _ignore
    if missing:
        step("reading tunes, grooves and chorales")
        # Before the workers start, or each of them would read all of it.
        sources_of(*paths)
    kept = f", {len(wanted) - len(missing):,} are there" if len(missing) < len(wanted) else ""
    step(f"rendering {len(missing):,} of {len(wanted):,} pieces{kept}")
    failed = []
    outcomes = run_tasks(partial(_store_evidence, job.work), missing, jobs)
    for done, (piece, outcome) in enumerate(outcomes, start=1):
        if isinstance(outcome, SoundalikeError):
            failed.append((_file(job.work, piece).stem, str(outcome)))
        if progress:
            progress(done, len(missing))
    # In the order of the pieces, not of completion, so that the result does not depend on it.
    train, test = (
        [
            _read(file, piece.kind)
            for piece in wanted
            if piece.part == part and (file := _file(job.work, piece)).exists()
        ]
        for part in parts
    )
    if not train:
        raise UsageError(f"no piece could be rendered ({failed[0][1]})")
    step(f"fitting the tempo to {len(train):,} pieces")
    tensors = fit_tempo([Beat(one.pulse, one.tempo) for one in train], _PERIOD, job.seed)
    content = save(tensors)
    write_atomic(job.out / TEMPO_FILE, lambda file: file.write(content))
    estimator = TempoEstimator(tensors)
    return _report(train, test, estimator, failed)


def _ignore(_: str) -> None:
    """Report nothing."""


@cache
def _backbone() -> CompactBackbone:
    return CompactBackbone()


def _file(work: Path, piece: Piece) -> Path:
    return work / f"{piece.part}-{piece.kind}-{piece.number}-{piece.seed}.npz"


def _store_evidence(work: Path, piece: Piece) -> None:
    """Render a piece and store its evidence. Run in a worker."""
    path = _file(work, piece)
    found = sound_of(piece)
    seen = _backbone().evidence([found.samples], windows)
    write_atomic(
        path,
        lambda file: np.savez(
            file,
            tempo=found.tempo,
            key=-1 if found.key is None else found.key,
            pulse=seen.pulse.astype(np.float32),
            pitch_classes=seen.pitch_classes.astype(np.float32),
        ),
    )


def _read(path: Path, kind: str) -> _Seen:
    with np.load(path, allow_pickle=False) as file:
        return _Seen(
            kind,
            file["pulse"].astype(np.float64),
            file["pitch_classes"].astype(np.float64),
            tempo=float(file["tempo"]),
            key=int(file["key"]),
        )


def _report(
    train: Sequence[_Seen],
    test: Sequence[_Seen],
    estimator: TempoEstimator,
    failed: Sequence[tuple[str, str]],
) -> DescriptorsReport:
    right: dict[str, list[bool]] = {}
    for one in test:
        tempo = estimator.estimate(one.pulse, _PERIOD)
        right.setdefault(one.kind, []).append(
            tempo is not None and abs(tempo.bpm / one.tempo - 1) <= TEMPO_TOLERANCE if one.tempo else tempo is None
        )
    return DescriptorsReport(
        pieces=(len(train), len(test)),
        tempo_right={kind: float(np.mean(values)) for kind, values in right.items()},
        key_sharpness=_key_sharpness(train),
        failed=tuple(failed),
    )


def _key_sharpness(pieces: Sequence[_Seen]) -> float:
    """Return the factor in the softmax of key correlations at which the true keys are most likely."""
    found = [
        (correlations, one.key)
        for one in pieces
        if one.key >= 0 and (correlations := key_correlations(one.pitch_classes)) is not None
    ]
    if not found:
        return 0.0
    table, true = np.stack([pair[0] for pair in found]), np.array([pair[1] for pair in found])
    likelihood = [
        float(np.mean(scaled[np.arange(len(true)), true] - np.log(np.exp(scaled).sum(axis=1))))
        for scaled in (sharpness * table for sharpness in _SHARPNESS)
    ]
    return float(_SHARPNESS[int(np.argmax(likelihood))])
