"""`soundalike train instruments`: networks that describe each instrument of a mix, in resumable stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.train.metric.settings import SMALL, MetricSettings

if TYPE_CHECKING:
    from soundalike.train.common.checkpoints import Epoch

__all__ = [
    "SAMPLES",
    "InstrumentsJob",
    "InstrumentsProgress",
    "InstrumentsReport",
    "TrainedNetwork",
    "train_instruments",
]

SAMPLES = "samples"
"""The folder below WORK for the samples of the songs."""


@dataclass(frozen=True, slots=True)
class InstrumentsJob:
    """What to train, and from what.

    Attributes:
        songs: Songs with stems: Slakh2100, or what `soundalike render songs` writes.
        work: The folder for samples and networks. A later run uses what it holds.
        method: One of `soundalike.train.metric.METHODS`.
        settings: How to train.
        redux: The file redux.json of slakh-utils, which says which tracks of Slakh2100 are used.
        recorded: Further folders with stems.csv, each with the names of its songs to train on.
    """

    songs: Path
    work: Path
    method: str
    settings: MetricSettings = SMALL
    redux: Path | None = None
    recorded: Mapping[Path, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstrumentsProgress:
    """Callbacks: a step starts; songs done, all songs and seconds of audio; a network finished an epoch."""

    step: Callable[[str], None]
    done: Callable[[int, int, float], None]
    epoch: Callable[[str, Epoch], None]


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A trained network.

    Attributes:
        name: Its stage, and its instrument if it has one: "cascade.drums".
        path: Its file.
        curve: Its learning curve.
        found: Whether it was there before this run.
        seconds: How long this run trained it.
    """

    name: str
    path: Path
    curve: tuple[Epoch, ...]
    found: bool
    seconds: float

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, the weights of which are kept."""
        return min(self.curve, key=lambda epoch: epoch.validation_loss)


@dataclass(frozen=True, slots=True)
class InstrumentsReport:
    """The networks in the order of training, the number of songs per subset, and songs that could not be read."""

    networks: tuple[TrainedNetwork, ...]
    songs: Mapping[str, int]
    failed: tuple[tuple[str, str], ...]


def train_instruments(
    job: InstrumentsJob, progress: InstrumentsProgress, *, jobs: int | None = None
) -> InstrumentsReport:
    """Train the networks of a method that are not there yet.

    Args:
        job: What to train.
        progress: Callbacks.
        jobs: The number of worker processes that read songs; None starts one per core.

    Raises:
        UsageError: torch is missing, the method is unknown, there are too few songs, or a folder cannot be read or
            written, or holds networks with other settings.
        KeyboardInterrupt: The run was interrupted; the next one continues, with the same result.

    Example:
        >>> report = train_instruments(InstrumentsJob(Path("songs"), Path("work"), "cascade-ft"), progress)
        >>> report.networks[-1].name
        'cascade_ft.other'
    """
    try:
        from soundalike.train.metric.stages import Workspace, find_stages, train_stage
    except ImportError as error:
        raise UsageError("training networks needs torch; install it with: pip install 'soundalike[train]'") from error
    from soundalike.train.metric.material import load_material

    stages = find_stages(job.method)
    make_folder(job.work, "--work")
    progress.step("reading songs")
    material = load_material(
        job.songs,
        job.settings,
        job.work / SAMPLES,
        redux=job.redux,
        recorded=job.recorded,
        jobs=jobs,
        announce=progress.step,
        progress=progress.done,
    )
    workspace = Workspace(job.work, job.settings, material)
    networks = []
    for stage in stages:
        for instrument in workspace.instruments(stage):
            name = workspace.path(stage.name, instrument).stem
            progress.step(name)
            begun = time.monotonic()
            trained = train_stage(stage, instrument, workspace, partial(progress.epoch, name))
            took = time.monotonic() - begun
            networks.append(TrainedNetwork(name, trained.path, trained.curve, trained.found, took))
    return InstrumentsReport(
        tuple(networks), {subset: len(songs) for subset, songs in material.songs.items()}, material.failed
    )
