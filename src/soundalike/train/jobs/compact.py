"""`soundalike train compact`: the model `compact` from scratch, in resumable steps.

Render triplets, store the spectra of every clip, train the networks of the transcriber, extract features with them, and
fit the projections. Everything but the model itself goes to a working folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.backbones import NETWORKS_VARIABLE
from soundalike.backbones.analysis import READINGS_FILE, Transcriber
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute, make_folder, read_json, write_json
from soundalike.train.data.folders import read_folders
from soundalike.train.heads.settings import HeadSettings
from soundalike.train.jobs.heads import HeadsJob, HeadsReport, train_heads

if TYPE_CHECKING:
    from soundalike.train.common.checkpoints import Epoch

__all__ = ["DIMS", "EPOCHS", "FEATURES", "RECORD", "CompactJob", "CompactReport", "Progress", "train_compact"]

FEATURES: Mapping[str, str] = {
    "melody": "melody+line",
    "rhythm": "rhythm+strokes",
    "timbre": "timbre+colour",
    "harmony": "harmony+chords",
}
"""The features that the projection of each factor uses: fixed descriptors, and descriptors of what is played."""
DIMS = 256
"""The dims of a space: 128 for each of its two features."""
RECORD = "networks.json"
"""The file beside the networks that records how they were trained."""
EPOCHS: Mapping[str, int] = {"strokes": 4, "colour": 6, "pitch": 3}
"""Epochs of each network. The colour network trains only on clips that share their band with another clip."""


@dataclass(frozen=True, slots=True)
class CompactJob:
    """What to train, and from what.

    Attributes:
        out: The folder of the model.
        work: The folder for intermediate results.
        renders: Rendered triplets; None renders them.
        folders: Folders per factor to render.
        render_seed: Seed of the renders.
        tunes: Tunes to render; None takes what is found.
        grooves: Grooves to render; None takes what is found.
        start: The `work` folder of another run, whose networks are trained further.
        epochs: Epochs of each network; None takes `EPOCHS`.
        seed: Seed of the training.
        device: "cpu" or "cuda".
    """

    out: Path
    work: Path
    renders: Path | None = None
    folders: int = 1000
    render_seed: int = 8
    tunes: Path | None = None
    grooves: Path | None = None
    start: Path | None = None
    epochs: int | None = None
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Progress:
    """Callbacks: a step starts; items done, all items and seconds of audio in it; a network finished an epoch."""

    step: Callable[[str], None]
    done: Callable[[int, int, float], None]
    epoch: Callable[[str, Epoch], None]


@dataclass(frozen=True, slots=True)
class CompactReport:
    """The curves of the networks, the report on the projections, and folders and clips that could not be read."""

    curves: Mapping[str, tuple[Epoch, ...]]
    heads: HeadsReport
    failed: tuple[tuple[Path, str], ...]


def train_compact(job: CompactJob, progress: Progress, *, jobs: int | None = None) -> CompactReport:
    """Run the steps that are not done yet.

    Args:
        job: What to train.
        progress: Callbacks.
        jobs: The number of worker processes; None starts one per core.

    Raises:
        UsageError: torch or onnx is missing, or a folder cannot be read or written.
        KeyboardInterrupt: The run was interrupted; the next one continues.
    """
    make_folder(job.out, "--out")
    make_folder(job.work, "--work")
    renders = job.renders or _render(job, progress, jobs)
    curves, failed = _train_networks(job, renders, progress, jobs)
    os.environ[NETWORKS_VARIABLE] = str(job.out.absolute())  # for this process and its workers
    progress.step("fitting key and meter")
    _fit_key_and_meter(job, renders, progress, jobs)
    progress.step("extracting features with the networks, and fitting the projections")
    factors = read_folders(renders, job.seed)
    features = {name: feature for name, feature in FEATURES.items() if name in factors}
    heads = train_heads(
        HeadsJob(
            renders,
            job.out,
            cache=job.work / "features",
            backbone="compact",
            name="compact",
            kind="linear",
            factors=tuple(features),
            features=features,
            summary="What is played, transcribed by small networks trained on rendered music, and how it sounds.",
            licence="Apache-2.0",
        ),
        HeadSettings(negatives="both", seed=job.seed, out=DIMS),
        jobs=jobs,
        embedding=progress.done,
    )
    return CompactReport(curves, heads, (*failed, *heads.failed))


def _render(job: CompactJob, progress: Progress, jobs: int | None) -> Path:
    """Render the triplets of the job; returns their folder."""
    from soundalike.render.folders import Settings, render

    progress.step(f"rendering {job.folders:,} folders of each factor")
    place = job.work / "renders"
    settings = Settings(
        seed=job.render_seed,
        suffix="flac",
        tunes=str(absolute(job.tunes)) if job.tunes else None,
        grooves=str(absolute(job.grooves)) if job.grooves else None,
    )
    report = render(place, job.folders, settings, jobs=jobs, progress=progress.done)
    if report.interrupted:
        raise KeyboardInterrupt
    return place


def _fit_key_and_meter(job: CompactJob, renders: Path, progress: Progress, jobs: int | None) -> None:
    """Fit key and meter once per version of the networks, and record their accuracy."""
    from soundalike.train.transcriber.readings import fit_readings

    version = Transcriber(job.out).version
    done = job.work / "readings.json"
    result = read_json(done) if done.exists() and (job.out / READINGS_FILE).exists() else {}
    if result.get("networks") != version:
        result = {"networks": version, **fit_readings(renders, job.out, jobs=jobs, progress=progress.done)}
        write_json(done, result)
    write_json(job.out / RECORD, read_json(job.out / RECORD) | {"readings": result})


def _train_networks(
    job: CompactJob, renders: Path, progress: Progress, jobs: int | None
) -> tuple[dict[str, tuple[Epoch, ...]], tuple[tuple[Path, str], ...]]:
    """Train and write the networks; returns their curves, and the folders that could not be read."""
    try:
        import onnx  # noqa: F401  # torch's exporter needs it: fail before hours of training, not after

        from soundalike.train.transcriber.export import export
        from soundalike.train.transcriber.fit import FitSettings, fit
        from soundalike.train.transcriber.material import gather
        from soundalike.train.transcriber.tasks import ColourTask, PitchTask, StrokeTask
    except ImportError as error:
        raise UsageError(
            "training networks needs torch and onnx; install them with: pip install 'soundalike[train]'"
        ) from error

    progress.step("storing the spectra of every clip, 180 kB each")
    material = gather(renders, job.work / "spectra", jobs=jobs, progress=progress.done)
    train, validation = material.parts["train"], material.parts["validation"]
    make_folder(job.work / "checkpoints", "--work")
    networks, curves, about = {}, {}, {}
    for task in (StrokeTask(), ColourTask(train), PitchTask()):
        settings = FitSettings(epochs=job.epochs or EPOCHS[task.name], seed=job.seed, device=job.device)
        if job.start:
            settings = replace(settings, lr=settings.lr / 3)  # smaller steps, to keep what the network has learned
        progress.step(f"training the {task.name} network, {settings.epochs} epochs")
        file = f"{task.name}.safetensors"
        networks[task.name], curves[task.name] = fit(
            task,
            train,
            validation,
            settings,
            checkpoint=job.work / "checkpoints" / file,
            start=job.start / "checkpoints" / file if job.start else None,
            progress=partial(progress.epoch, task.name),
        )
        about[task.name] = {"settings": asdict(settings), "curves": [asdict(epoch) for epoch in curves[task.name]]}
    export(networks["pitch"], networks["strokes"], networks["colour"].get_submodule("ears"), job.out)
    record = {
        "clips": {part: len(clips) for part, clips in material.parts.items()},
        "networks": about,
    }
    write_json(job.out / RECORD, record)
    return curves, material.failed
