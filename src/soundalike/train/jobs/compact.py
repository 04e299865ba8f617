"""`soundalike train compact`: from nothing to the model `compact`, in steps of which each goes on where it was.

Render triplets; keep the spectra of every clip; teach the transcriber's networks what is played; hear every clip with
them; fit the projections. All but the model itself lies in a working folder.
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
"""What the projection of each factor hears: the sound itself, and what is played."""
DIMS = 256
"""Of a space: 128 for each of its two features."""
RECORD = "networks.json"
"""How the networks and the readings were made, beside them."""
EPOCHS: Mapping[str, int] = {"strokes": 4, "colour": 6, "pitch": 3}
"""How often each network hears all training clips; that of colour hears those alone that share their band."""


@dataclass(frozen=True, slots=True)
class CompactJob:
    """What to make `out` from: the triplets in `renders`, or `folders` of each factor rendered with `render_seed`, from
    the music in `tunes` and `grooves` or what is found.

    `work` keeps what the steps leave; `start` is the `work` of another run, whose networks learn on; `epochs` are those
    of each network (default: EPOCHS).
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
    """Who is told: that a step begins, how much of it is done (done, all, seconds of sound), and of every epoch."""

    step: Callable[[str], None]
    done: Callable[[int, int, float], None]
    epoch: Callable[[str, Epoch], None]


@dataclass(frozen=True, slots=True)
class CompactReport:
    """Curves of the networks, what the projections know of test folders, and folders and clips that failed."""

    curves: Mapping[str, tuple[Epoch, ...]]
    heads: HeadsReport
    failed: tuple[tuple[Path, str], ...]


def train_compact(job: CompactJob, progress: Progress, *, jobs: int | None = None) -> CompactReport:
    """Do what is not done yet. Raises UsageError, and KeyboardInterrupt when interrupted."""
    make_folder(job.out, "--out")
    make_folder(job.work, "--work")
    renders = job.renders or _render(job, progress, jobs)
    curves, failed = _teach(job, renders, progress, jobs)
    os.environ[NETWORKS_VARIABLE] = str(job.out.absolute())  # for this process and its workers
    progress.step("hearing key and meter in some of the clips")
    _read(job, renders, progress, jobs)
    progress.step("hearing every clip with the networks, and fitting the projections")
    there = read_folders(renders, job.seed)
    features = {name: feature for name, feature in FEATURES.items() if name in there}
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
            summary="What is played, as small networks trained on rendered music hear it, and how it sounds.",
            licence="Apache-2.0",
        ),
        HeadSettings(negatives="both", seed=job.seed, out=DIMS),
        jobs=jobs,
        embedding=progress.done,
    )
    return CompactReport(curves, heads, (*failed, *heads.failed))


def _render(job: CompactJob, progress: Progress, jobs: int | None) -> Path:
    """The rendered triplets of the job, whole."""
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


def _read(job: CompactJob, renders: Path, progress: Progress, jobs: int | None) -> None:
    """Write the readings of key and meter to the job's `out`, once for its networks; how they do goes to its record."""
    from soundalike.train.transcriber.readings import fit_readings

    version = Transcriber(job.out).version
    done = job.work / "readings.json"
    result = read_json(done) if done.exists() and (job.out / READINGS_FILE).exists() else {}
    if result.get("networks") != version:
        result = {"networks": version, **fit_readings(renders, job.out, jobs=jobs, progress=progress.done)}
        write_json(done, result)
    write_json(job.out / RECORD, read_json(job.out / RECORD) | {"readings": result})


def _teach(
    job: CompactJob, renders: Path, progress: Progress, jobs: int | None
) -> tuple[dict[str, tuple[Epoch, ...]], tuple[tuple[Path, str], ...]]:
    """Write the networks to the job's `out`; their curves, and the folders that could not be read."""
    try:
        import onnx  # noqa: F401  # torch's exporter needs it, which had better be known before hours of training

        from soundalike.train.transcriber.export import export
        from soundalike.train.transcriber.fit import FitSettings, fit
        from soundalike.train.transcriber.material import gather
        from soundalike.train.transcriber.tasks import ColourTask, PitchTask, StrokeTask
    except ImportError as error:
        raise UsageError(
            "training networks needs torch and onnx; install them with: pip install 'soundalike[train]'"
        ) from error

    progress.step("keeping the spectra of every clip, 180 kB each")
    material = gather(renders, job.work / "spectra", jobs=jobs, progress=progress.done)
    train, validation = material.parts["train"], material.parts["validation"]
    make_folder(job.work / "checkpoints", "--work")
    networks, curves, about = {}, {}, {}
    for task in (StrokeTask(), ColourTask(train), PitchTask()):
        settings = FitSettings(epochs=job.epochs or EPOCHS[task.name], seed=job.seed, device=job.device)
        if job.start:
            settings = replace(settings, lr=settings.lr / 3)  # what is known already is not to be shaken out
        progress.step(f"teaching the network of {task.name}, {settings.epochs} epochs")
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
