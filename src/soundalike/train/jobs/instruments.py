"""`soundalike train instruments`: networks that describe each instrument of a mix, in resumable stages."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.train.common.onnx_files import Precision
from soundalike.train.metric.methods import METHODS, TUNED_METHODS
from soundalike.train.metric.settings import SMALL, MetricSettings

if TYPE_CHECKING:
    from soundalike.train.common import CalibrationClip
    from soundalike.train.common.checkpoints import Epoch
    from soundalike.train.jobs.network_progress import NetworkProgress
    from soundalike.train.metric.stages import StageSpec, Trained, Workspace

__all__ = [
    "SAMPLES",
    "InstrumentModel",
    "InstrumentsJob",
    "InstrumentsReport",
    "TrainedNetwork",
    "train_instruments",
]

SAMPLES = "samples"
"""The folder below WORK for the samples of the songs."""


@dataclass(frozen=True, slots=True)
class InstrumentModel:
    """The model to write.

    Attributes:
        out: Its folder.
        name: Its name.
        licence: The licence of the weights, an SPDX expression.
        clips: The clips to calibrate with.
        separator: What makes the stems, for the method clean only.
        precision: How the weights are stored.
    """

    out: Path
    name: str
    licence: str
    clips: Sequence[CalibrationClip]
    separator: str | None = None
    precision: Precision = "float16"


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
        model: The model to write at the end, if any.
        labels: The folder of Inst-Sim-ABX; the networks are then tuned on its judgements, about songs of the test part.
    """

    songs: Path
    work: Path
    method: str
    settings: MetricSettings = SMALL
    redux: Path | None = None
    recorded: Mapping[Path, Sequence[str]] = field(default_factory=dict)
    model: InstrumentModel | None = None
    labels: Path | None = None


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
    """What was trained.

    Attributes:
        networks: The networks in the order of training.
        songs: The number of songs per subset.
        failed: Songs that could not be read.
        uncalibrated: Instruments that are audible in too few clips, if a model was written.
        separators: The file of the separators for the separator `unet`, if a model was written and its method has any.
    """

    networks: tuple[TrainedNetwork, ...]
    songs: Mapping[str, int]
    failed: tuple[tuple[str, str], ...]
    uncalibrated: tuple[str, ...] = ()
    separators: Path | None = None


def train_instruments(job: InstrumentsJob, progress: NetworkProgress, *, jobs: int | None = None) -> InstrumentsReport:
    """Train the networks of a method that are not there yet, and write the model if asked to.

    Args:
        job: What to train.
        progress: Callbacks.
        jobs: The number of worker processes that read songs and train; None starts one per core. A GPU trains one
            network at a time.

    Raises:
        UsageError: torch is missing (or onnx, for a model), the method is unknown, there are too few songs, or a folder
            cannot be read or written, or holds networks with other settings.
        ModelError: No instrument is audible in enough of the clips.
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

    if job.labels and job.method not in TUNED_METHODS:
        known = ", ".join(TUNED_METHODS)
        raise UsageError(f"{job.method} does not learn from judgements; leave --paft out, or choose one of {known}")
    if job.model:
        _check_model(job.model, job.method)
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
        if stage.joint or job.settings.device != "cpu":
            for instrument in workspace.instruments(stage):
                name = workspace.path(stage.name, instrument).stem
                networks.append(_timed(name, progress, partial(train_stage, stage, instrument, workspace)))
        else:
            networks += _train_side_by_side(stage, workspace, progress, jobs)
    if job.labels:
        networks += _tune(job, job.labels, workspace, progress)
    songs = {subset: len(pieces) for subset, pieces in material.songs.items()}
    report = InstrumentsReport(tuple(networks), songs, material.failed)
    if job.model:
        progress.step(f"writing the model {job.model.name}")
        report = _write_model(job, job.model, workspace, report, progress)
    return report


def _train_side_by_side(
    stage: StageSpec, workspace: Workspace, progress: NetworkProgress, jobs: int | None
) -> list[TrainedNetwork]:
    """Train the networks of a stage, each on one thread."""
    from soundalike.train.common.side_by_side import train_side_by_side
    from soundalike.train.metric.stages import stage_tasks

    tasks = stage_tasks(stage, workspace)
    progress.step(f"{stage.name}: {len(tasks)} networks")
    networks = {
        name: TrainedNetwork(name, trained.path, trained.curve, trained.found, seconds)
        for name, trained, seconds in train_side_by_side(tasks, jobs, progress.epoch)
    }
    return [networks[task.name] for task in tasks]


def _timed(name: str, progress: NetworkProgress, train: Callable[[Callable[[Epoch], None]], Trained]) -> TrainedNetwork:
    progress.step(name)
    begun = time.monotonic()
    trained = train(partial(progress.epoch, name))
    return TrainedNetwork(name, trained.path, trained.curve, trained.found, time.monotonic() - begun)


def _tune(job: InstrumentsJob, labels: Path, workspace: Workspace, progress: NetworkProgress) -> list[TrainedNetwork]:
    """Tune the networks on the training part of the judgements; instruments without any stay as they are."""
    from soundalike.train.metric.paft import PAFTS, train_paft
    from soundalike.train.metric.preferences import JudgedSegments, find_preferences, read_listeners, split_preferences

    settings, songs = workspace.settings, workspace.material.songs
    names, seconds = settings.network.instruments, settings.paft_segment
    found = find_preferences(read_listeners(labels, names), songs["test"], seconds, names)
    trained, _ = split_preferences(found, settings.seed)
    judged = JudgedSegments(songs["test"], songs["train"], names, seconds)
    paft = PAFTS[TUNED_METHODS[job.method]]
    networks = []
    for number in [None] if paft.joint else range(len(names)):
        if number is None or any(one.instrument == names[number] for one in trained):
            name = f"paft.{paft.name}" + ("" if number is None else f".{names[number]}")
            tune = partial(train_paft, paft, number, settings.seed, workspace, judged, trained, "paft")
            networks.append(_timed(name, progress, tune))
    return networks


def _check_model(model: InstrumentModel, method: str) -> None:
    """Raise UsageError before hours of training, not after."""
    if importlib.util.find_spec("onnx") is None:  # torch's exporter needs it
        raise UsageError("writing a model needs onnx; install it with: pip install 'soundalike[train]'")
    if method == "clean" and model.separator is None:
        raise UsageError("the networks of clean describe stems; give the separator that makes them with --separator")
    if method != "clean" and model.separator:
        raise UsageError(f"{method} describes instruments of the mix; leave --separator {model.separator} out")
    make_folder(model.out, "--out")


def _write_model(
    job: InstrumentsJob,
    model: InstrumentModel,
    workspace: Workspace,
    report: InstrumentsReport,
    progress: NetworkProgress,
) -> InstrumentsReport:
    """Write the model, and the separators if the method has any; returns the report with what was written."""
    from soundalike.train.metric.assemble import export_method, export_stems
    from soundalike.train.metric.model_folder import About, write_instruments
    from soundalike.train.metric.paft import PAFTS
    from soundalike.train.metric.stages import find_stages

    trained_on: list[dict[str, object]] = [
        {"name": job.songs.name, "licence": model.licence, "n": report.songs["train"] + report.songs["validation"]}
    ]
    about = About(
        model.name,
        f"The instruments of a mix: {', '.join(job.settings.network.instruments)}. Method: {job.method}.",
        trained_on,
        job.settings.seed,
        _results(report),
    )
    network = job.work / f"{METHODS[job.method]}.onnx"
    paft = PAFTS[TUNED_METHODS[job.method]] if job.labels else None
    licence, precision = model.licence, model.precision
    export_method(workspace, job.method, network, licence=licence, paft=paft, precision=precision)
    separators = None
    if any(stage.name == "separators" for stage in find_stages(job.method)):
        separators = job.work / "separators.onnx"
        export_stems(workspace, separators, licence=licence, precision=precision)
    left = write_instruments(network, model.out, about, model.clips, separator=model.separator, progress=progress.done)
    return replace(report, uncalibrated=left, separators=separators)


def _results(report: InstrumentsReport) -> str:
    """The best validation results as Markdown."""
    lines = ["| network | best epoch | validation loss | right (%) |", "|---|---|---|---|"]
    for one in report.networks:
        best = one.best
        right = f"{100 * best.validation_accuracy:.1f}"
        lines.append(f"| {one.name} | {best.number} of {len(one.curve)} | {best.validation_loss:.3f} | {right} |")
    return "\n".join(lines)
