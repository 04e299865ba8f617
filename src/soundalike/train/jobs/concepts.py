"""`soundalike train concepts`: a network that describes genre, mood, instrument, era, tempo and key of a mix."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.train.concepts.labels import Concept, find_unusable
from soundalike.train.concepts.settings import CONCEPTS, SMALL, ConceptSettings

if TYPE_CHECKING:
    from soundalike.core.types import FloatArray
    from soundalike.train.common import CalibrationClip, Precision
    from soundalike.train.common.checkpoints import Epoch
    from soundalike.train.concepts.material import ConceptMaterial, ConceptTrack
    from soundalike.train.concepts.networks import AnyNetwork
    from soundalike.train.jobs.network_progress import NetworkProgress

__all__ = [
    "ConceptModel",
    "ConceptsJob",
    "ConceptsReport",
    "GivenMusic",
    "HeldOut",
    "Music",
    "MusicFolder",
    "RenderedMusic",
    "train_concept_network",
]

CLIPS, INPUTS = "clips", "inputs"
"""The folders below WORK for rendered clips, and for inputs of recordings and estimates of tempo and key."""
_NETWORK = "concepts"
"""The name of the network, and the prefix of the names of separate networks."""
_FILE = "concepts.onnx"
_ESTIMATED = ("tempo", "key")


@dataclass(frozen=True, slots=True)
class MusicFolder:
    """Recordings of a folder: a dataset, or one's own with the tags of their files ("folder")."""

    path: Path
    dataset: str = "folder"


@dataclass(frozen=True, slots=True)
class RenderedMusic:
    """Rendered clips, and how many of them. What `RenderedSettings` says is not given has its defaults."""

    clips: int = 1500
    tunes: str | None = None
    soundfonts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenMusic:
    """Labelled recordings with their subsets, and what to call them in the model's card."""

    name: str
    tracks: tuple[ConceptTrack, ...]


Music: TypeAlias = MusicFolder | RenderedMusic | GivenMusic


@dataclass(frozen=True, slots=True)
class ConceptModel:
    """The model to write.

    Attributes:
        out: Its folder.
        name: Its name.
        licence: The licence of the weights, an SPDX expression.
        clips: The clips to calibrate with.
        precision: How the weights are stored.
    """

    out: Path
    name: str
    licence: str
    clips: Sequence[CalibrationClip]
    precision: Precision = "float16"


@dataclass(frozen=True, slots=True)
class ConceptsJob:
    """What to train, and from what.

    Attributes:
        music: The recordings: of one kind, or of several together.
        work: The folder for clips, inputs and networks. A later run uses what it holds.
        settings: How to train.
        chosen: Whether the concepts of the settings were chosen: one that cannot be learned is then an error. Otherwise
            it is left out.
        separate: Whether each concept has a network of its own, on the input that carries it.
        segments: Segments of a recording at most.
        estimate: Whether to estimate tempo and key where there is no label.
        model: The model to write at the end, if any.
    """

    music: tuple[Music, ...]
    work: Path
    settings: ConceptSettings = SMALL
    chosen: bool = False
    separate: bool = False
    segments: int = 8
    estimate: bool = True
    model: ConceptModel | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The test recordings: n tracks with their labels, songs, and the mean embedding of each, (n, d) per concept."""

    tracks: tuple[ConceptTrack, ...]
    rows: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class ConceptsReport:
    """What was trained.

    Attributes:
        paths: The file of the network, or those of the networks.
        settings: How they were trained, with the concepts that could be learned.
        curves: The learning curves by the names of the networks.
        found: Whether all were there before this run.
        seconds: How long this run trained them.
        tracks: Recordings per subset.
        segments: Segments per subset.
        labelled: Labelled recordings per concept.
        left_out: Concepts that cannot be learned, with the reasons.
        failed: Recordings that could not be read, with the reasons.
        held_out: The test recordings, described by the network.
    """

    paths: tuple[Path, ...]
    settings: ConceptSettings
    curves: Mapping[str, tuple[Epoch, ...]]
    found: bool
    seconds: float
    tracks: Mapping[str, int]
    segments: Mapping[str, int]
    labelled: Mapping[str, int]
    left_out: Mapping[str, str]
    failed: tuple[tuple[str, str], ...]
    held_out: HeldOut

    @property
    def best(self) -> Mapping[str, Epoch]:
        """The epochs with the lowest validation loss, the weights of which are kept."""
        return {name: min(curve, key=lambda epoch: epoch.validation_loss) for name, curve in self.curves.items()}


def train_concept_network(job: ConceptsJob, progress: NetworkProgress, *, jobs: int | None = None) -> ConceptsReport:
    """Train a network unless it is there already, and write the model if asked to.

    Args:
        job: What to train.
        progress: Callbacks.
        jobs: The number of worker processes that render and read recordings, and train separate networks; None starts
            one per core.

    Raises:
        UsageError: torch is missing (or onnx, for a model), there are too few labels, or a folder cannot be read or
            written, or holds a network with other settings or music.
        ModelError: No clip is audible to calibrate with.
        KeyboardInterrupt: The run was interrupted; the next one continues, with the same result.

    Example:
        >>> music = (MusicFolder(Path("gtzan"), "gtzan"),)
        >>> report = train_concept_network(ConceptsJob(music, Path("work")), progress)
        >>> report.settings.concepts
        ('genre', 'tempo', 'key')
    """
    try:
        from soundalike.train.common.side_by_side import NetworkTask, train_side_by_side
        from soundalike.train.concepts.networks import ConceptBank
        from soundalike.train.concepts.stage import load_concepts, train_concepts, train_concepts_on
    except ImportError as error:
        raise UsageError("training networks needs torch; install it with: pip install 'soundalike[train]'") from error
    from soundalike.train.concepts.material import load_material

    if job.model:
        _check_model(job.model)
    make_folder(job.work, "--work")
    tracks, failed = _find_tracks(job, progress, jobs)
    settings, left_out = _choose_concepts(job, tracks)
    if job.separate:
        settings = _without_unused_inputs(settings)
    reading = partial(load_material, settings=settings.inputs, cache=job.work / INPUTS, segments=job.segments)
    material = reading(tracks, jobs=jobs, announce=progress.step, progress=progress.done)
    progress.step(f"training {', '.join(settings.concepts)}")
    began = time.monotonic()
    if job.separate:
        opened = partial(reading, material.tracks, jobs=1)
        own = {f"{_NETWORK}.{concept}": settings.of_concept(concept) for concept in settings.concepts}
        tasks = [
            NetworkTask(name, partial(train_concepts_on, one, opened, material.digest, job.work, name))
            for name, one in own.items()
        ]
        found = {
            name: trained
            for name, trained, _ in train_side_by_side(tasks, jobs if settings.device == "cpu" else 1, progress.epoch)
        }
        trained = {name: found[name] for name in own}
        network: AnyNetwork = ConceptBank([load_concepts(trained[name].path, one) for name, one in own.items()]).eval()
    else:
        only = train_concepts(
            settings, material, job.work, lambda epoch: progress.epoch(_NETWORK, epoch), name=_NETWORK
        )
        trained, network = {_NETWORK: only}, load_concepts(only.path, settings)
    seconds = time.monotonic() - began
    report = ConceptsReport(
        paths=tuple(one.path for one in trained.values()),
        settings=settings,
        curves={name: one.curve for name, one in trained.items()},
        found=all(one.found for one in trained.values()),
        seconds=seconds,
        tracks={subset: sum(one.subset == subset for one in material.tracks) for subset in material.rows},
        segments={subset: len(rows) for subset, rows in material.rows.items()},
        labelled={name: sum(one.labels.known(name) for one in tracks) for name in CONCEPTS},
        left_out=left_out,
        failed=(*failed, *material.failed),
        held_out=_describe_held_out(network, material, settings),
    )
    if job.model:
        progress.step(f"writing the model {job.model.name}")
        _write_model(job, job.model, network, report, progress)
    return report


def _check_model(model: ConceptModel) -> None:
    """Raise UsageError before hours of training, not after."""
    if importlib.util.find_spec("onnx") is None:  # torch's exporter needs it
        raise UsageError("writing a model needs onnx; install it with: pip install 'soundalike[train]'")
    make_folder(model.out, "--out")


def _find_tracks(
    job: ConceptsJob, progress: NetworkProgress, jobs: int | None
) -> tuple[tuple[ConceptTrack, ...], tuple[tuple[str, str], ...]]:
    """Return the labelled recordings, rendered first if asked for, and the clips that could not be rendered."""
    from soundalike.train.concepts.estimates import estimate_labels
    from soundalike.train.concepts.rendered import RenderedSettings, render_tracks
    from soundalike.train.concepts.tracks import find_tracks

    exact: list[ConceptTrack] = []
    failed: list[tuple[str, str]] = []
    tracks: list[ConceptTrack] = []
    for music in job.music:
        if isinstance(music, RenderedMusic):
            settings = RenderedSettings(job.settings.seed, tunes=music.tunes, soundfonts=music.soundfonts)
            found = render_tracks(
                job.work / CLIPS, music.clips, settings, jobs=jobs, progress=progress.done, preparing=progress.step
            )
            exact += found.tracks if len(job.music) == 1 else map(_with_exact_labels, found.tracks)
            failed += found.failed
        elif isinstance(music, MusicFolder):
            tracks += find_tracks(music.path, music.dataset, seed=job.settings.seed, announce=progress.step)
        else:
            tracks += music.tracks
    if tracks and job.estimate and set(_ESTIMATED) & set(job.settings.concepts):
        given = tuple(tracks)
        tracks = [*estimate_labels(given, job.work / INPUTS, jobs=jobs, announce=progress.step, progress=progress.done)]
    return (*exact, *tracks), tuple(failed)


def _without_unused_inputs(settings: ConceptSettings) -> ConceptSettings:
    """Return the settings with the inputs that networks of one concept each read."""
    used = {name for concept in settings.concepts for name in settings.of_concept(concept).inputs.names}
    names = tuple(name for name in settings.inputs.names if name in used)
    return replace(settings, inputs=replace(settings.inputs, names=names))


def _with_exact_labels(clip: ConceptTrack) -> ConceptTrack:
    """Return a clip without the proxies, which real music never has: they would tell clips from recordings."""
    return replace(clip, labels=replace(clip.labels, genre=(), mood=(), era=()))


def _choose_concepts(job: ConceptsJob, tracks: Sequence[ConceptTrack]) -> tuple[ConceptSettings, dict[str, str]]:
    """Return the settings with the concepts that can be learned, and those that cannot, with the reasons."""
    concepts: tuple[Concept, ...] = job.settings.concepts
    left_out: dict[str, str] = {}
    for subset in ("validation", "train"):
        labels = [track.labels for track in tracks if track.subset == subset]
        left_out |= {name: f"{subset} tracks: {reason}" for name, reason in find_unusable(concepts, labels).items()}
    if left_out and job.chosen:
        name, reason = next(iter(left_out.items()))
        raise UsageError(f"{name} cannot be learned; {reason}")
    learned = tuple(name for name in concepts if name not in left_out)
    if not learned:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"nothing can be learned from {len(tracks):,} recordings; {reasons}")
    return replace(job.settings, concepts=learned), left_out


def _describe_held_out(network: AnyNetwork, material: ConceptMaterial, settings: ConceptSettings) -> HeldOut:
    """Return the test recordings with the mean embedding of their segments, as the paper averages them."""
    import numpy as np

    from soundalike.train.concepts.stage import embed_segments

    rows = material.rows["test"]
    embeddings = embed_segments(network, material, rows)
    numbers, place = np.unique(material.track_of[rows], return_inverse=True)
    means = np.zeros((len(numbers), settings.size))
    np.add.at(means, place, embeddings)
    means /= np.maximum(np.bincount(place, minlength=len(numbers)), 1)[:, None]
    parts: dict[str, FloatArray] = {
        name: means[:, k * settings.dim : (k + 1) * settings.dim].astype(np.float32)
        for k, name in enumerate(settings.concepts)
    }
    return HeldOut(tuple(material.tracks[number] for number in numbers), parts)


def _write_model(
    job: ConceptsJob,
    model: ConceptModel,
    network: AnyNetwork,
    report: ConceptsReport,
    progress: NetworkProgress,
) -> None:
    from soundalike.backbones.analysis import ConceptGraph
    from soundalike.train.concepts.export import export_concepts
    from soundalike.train.concepts.network_model import About, write_network_model

    file = job.work / _FILE
    export_concepts(network, report.settings, file, licence=model.licence, precision=model.precision)
    source = {
        "name": "; ".join(map(_name_of, job.music)),
        "licence": model.licence,
        "n": report.tracks["train"] + report.tracks["validation"],
    }
    results = "\n".join(
        f"- {name.removeprefix(f'{_NETWORK}.')}: epoch {best.number} of {len(report.curves[name])} with the lowest "
        f"validation loss, {best.validation_loss:.4f}; {100 * best.validation_accuracy:.1f} % of all triplets right "
        "(chance: 50 %)."
        for name, best in report.best.items()
    )
    about = About(model.name, [source], job.settings.seed, results)
    settings = report.settings
    graph = ConceptGraph(settings.concepts, settings.dim, model.licence, settings.inputs)
    write_network_model(file, graph, model.out, about, model.clips, progress=progress.done)


def _name_of(music: Music) -> str:
    if isinstance(music, RenderedMusic):
        return "clips of the renderer"
    return music.name if isinstance(music, GivenMusic) else f"{music.dataset}: {music.path.name}"
