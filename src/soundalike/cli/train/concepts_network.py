"""`soundalike train concepts` on recordings: train a network on their full inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_interrupted, print_json, print_message
from soundalike.cli.table import print_table
from soundalike.cli.train.library_material import Groups, group_of, labels_of
from soundalike.cli.train.progress import Curves, curves, model_argument, network_progress
from soundalike.core.errors import UsageError, one_line
from soundalike.train.concepts import CONCEPTS, PUBLISHED, SMALL

if TYPE_CHECKING:
    from soundalike.backbones.analysis import TempogramKind
    from soundalike.train.concepts import Concept, ConceptSettings, TrackLabels
    from soundalike.train.jobs import ConceptsJob, ConceptsReport, GivenMusic

__all__ = ["ConceptNetworkRecord", "HeldOutRecord", "choose_settings", "library_music", "train_on_recordings"]

_TRIPLETS = 1000


@dataclass(frozen=True, slots=True)
class HeldOutRecord:
    """The accuracy of a concept on `n` triplets of test recordings, with a 95 % interval; chance is 0.5.

    `own` is that of its dimension, `together` that of all dimensions; null if there are no triplets, and `lacking` says
    why. The limits of an interval are null if the test recordings are of one song.
    """

    concept: str
    labelled: int
    own: Sequence[float | None] | None
    together: Sequence[float | None] | None
    n: int
    lacking: str | None


@dataclass(frozen=True, slots=True)
class ConceptNetworkRecord:
    """The network, or one per concept; `found` says whether all were there before.

    `left_out` has the concepts that could not be learned.

    `tracks` and `segments` count those of each subset. `out` is the folder of the model, if one was asked for.
    """

    work: str
    files: Sequence[str]
    found: bool
    seconds: float
    inputs: Sequence[str]
    concepts: Sequence[HeldOutRecord]
    left_out: Mapping[str, str]
    tracks: Mapping[str, int]
    segments: Mapping[str, int]
    best_epochs: Mapping[str, int]
    curves: Curves
    out: str | None
    failed: Sequence[str]


def choose_settings(
    *,
    published: bool,
    inputs: str,
    tempogram: TempogramKind,
    dimensions: str,
    embedding: int | None,
    epochs: int | None,
    steps: int | None,
    seed: int,
    device: str,
) -> ConceptSettings:
    """Return the settings of a training from the options of the command.

    Raises:
        UsageError: An input or concept is unknown, or the embedding cannot be divided among the concepts.
    """
    usual = PUBLISHED if published else SMALL
    wanted = [name.strip() for name in dimensions.split(",") if name.strip()] or CONCEPTS
    if unknown := [name for name in wanted if name not in CONCEPTS]:
        raise UsageError(f"unknown dimension {unknown[0]}; known: {', '.join(CONCEPTS)}")
    concepts = tuple(name for name in CONCEPTS if name in wanted)
    size = embedding or usual.dim * len(concepts)
    if size % len(concepts):
        raise UsageError(
            f"an embedding of {size} dims cannot be divided among {len(concepts)} concepts; expected a multiple"
        )
    names = tuple(name.strip() for name in inputs.split(",") if name.strip())
    chosen = replace(usual.inputs, tempogram=tempogram)
    return replace(
        usual,
        inputs=replace(chosen, names=names) if names else chosen,
        concepts=concepts,
        dim=size // len(concepts),
        epochs=epochs or usual.epochs,
        steps_per_epoch=steps or usual.steps_per_epoch,
        seed=seed,
        device=device,
    )


def library_music(
    library_path: Path | None, groups: Groups, given: Mapping[Path, TrackLabels], seed: int
) -> GivenMusic:
    """Return the available recordings of a library with the labels that their tags give.

    Raises:
        LibraryError: The library cannot be read.
        UsageError: It holds no available recordings.
    """
    from soundalike.train.concepts.material import ConceptTrack
    from soundalike.train.concepts.tracks import split_songs
    from soundalike.train.jobs import GivenMusic

    with chosen_library(library_path) as library, library.folder.snapshot():
        found = [
            ConceptTrack(track.path, given.get(track.path) or labels_of(track), group_of(track, groups), "")
            for track in library.folder.catalog.tracks()
            if not track.missing
        ]
        name = library.location.name
    if not found:
        raise UsageError(f"the library {name} holds no recordings that are there; index some first")
    return GivenMusic(f"library {name}", split_songs(found, seed))


def train_on_recordings(job: ConceptsJob, *, jobs: int | None, as_json: bool) -> int:
    """Train a network, print what was measured on the test recordings, and return the exit code."""
    from soundalike.train.common import use_all_cores
    from soundalike.train.jobs import train_concept_network

    use_all_cores()
    try:
        with network_progress("recording", quiet=as_json) as progress:
            report = train_concept_network(job, progress, jobs=jobs)
    except KeyboardInterrupt:
        print_interrupted()
        return INTERRUPTED
    for name, reason in report.failed:
        print_message(f"{one_line(name)}: {one_line(reason)}", "failed")
    record = _record(job, report)
    if as_json:
        print_json(record)
    else:
        _print(record)
    return 1 if report.failed else 0


def _record(job: ConceptsJob, report: ConceptsReport) -> ConceptNetworkRecord:
    return ConceptNetworkRecord(
        work=str(job.work),
        files=[str(path) for path in report.paths],
        found=report.found,
        seconds=round(report.seconds, 3),
        inputs=report.settings.inputs.names,
        concepts=[_held_out(job, report, at, name) for at, name in enumerate(report.settings.concepts)],
        left_out=report.left_out,
        tracks=report.tracks,
        segments=report.segments,
        best_epochs={name: best.number for name, best in report.best.items()},
        curves=curves(report.curves),
        out=str(job.model.out) if job.model else None,
        failed=[f"{name}: {reason}" for name, reason in report.failed],
    )


def _held_out(job: ConceptsJob, report: ConceptsReport, at: int, concept: Concept) -> HeldOutRecord:
    """Judge the dimension of a concept, and all dimensions together, on triplets of test recordings."""
    from soundalike.audio import alike_matrix
    from soundalike.evaluate.concepts import alike_triplets, mask_outcomes
    from soundalike.evaluate.estimates import bootstrap

    tracks, rows = report.held_out.tracks, report.held_out.rows
    labelled = report.labelled[concept]
    seed = job.settings.seed
    songs = [track.song for track in tracks]
    alike = alike_matrix(concept, [track.labels for track in tracks])
    try:
        triplets = alike_triplets(alike, songs, seed + at, count=_TRIPLETS, what=concept)
    except UsageError as error:
        return HeldOutRecord(concept, labelled, None, None, 0, str(error))
    outcomes = mask_outcomes(rows, triplets, {"own": (concept,), "together": tuple(rows)})
    found = bootstrap(outcomes, [songs[anchor] for anchor in triplets[:, 0]], seed)
    own, together = (
        [None if value != value else float(value) for value in (found.value[k], found.low[k], found.high[k])]
        for k in range(2)
    )
    return HeldOutRecord(concept, labelled, own, together, len(triplets), None)


def _print(record: ConceptNetworkRecord) -> None:
    rows = [[one.concept, f"{one.labelled:,}", _shown(one.own), _shown(one.together)] for one in record.concepts]
    print_table(["concept", "labelled", "own dimension", "all dimensions"], rows, left=[0, 2, 3])
    for one in record.concepts:
        if one.lacking:
            print(f"{one.concept}: not judged, {one_line(one.lacking)}")
    for name, reason in record.left_out.items():
        print(f"{name}: n/a, {one_line(reason)}")
    print(
        f"in %: triplets of {record.tracks['test']:,} test recordings that are right, of {_TRIPLETS:,} per concept, "
        "with a 95 % interval; chance is 50"
    )
    for file in record.files:
        print(f"network written: {one_line(file)}")
    if record.out:
        print(f"model written: {one_line(record.out)}; try it with --model {model_argument(record.out)}")


def _shown(value: Sequence[float | None] | None) -> str:
    if value is None or value[0] is None:
        return "-"
    if value[1] is None or value[2] is None:
        return f"{100 * value[0]:.1f}"
    return f"{100 * value[0]:.1f}, {100 * value[1]:.1f} to {100 * value[2]:.1f}"
