"""`soundalike train concepts --library`: learn concepts from the tags of a library."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from soundalike.cli.cells import count
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_interrupted, print_json
from soundalike.cli.table import print_table
from soundalike.cli.train.library_material import Groups, read_label_file, read_library
from soundalike.cli.train.progress import model_argument
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.train.concepts import Concept, LearnedConcepts

__all__ = ["LibraryConceptsRecord", "train_on_library"]


@dataclass(frozen=True, slots=True)
class EstimateRecord:
    """A mean over `n` tracks with its 95 % interval (null with one group), and what chance gives."""

    value: float
    low: float | None
    high: float | None
    n: int
    chance: float


@dataclass(frozen=True, slots=True)
class LearnedConceptRecord:
    """A concept. `lacking` says why it was not learned; what follows is then null.

    `accuracy` is the share of triplets of held-out tracks that are right, and `tags` the share of held-out tracks whose
    first suggested tag is one of theirs; `calibration_error` is that of the probabilities of suggestions.
    """

    concept: str
    lacking: str | None
    labelled: int
    accuracy: EstimateRecord | None
    tags: EstimateRecord | None
    calibration_error: float | None


@dataclass(frozen=True, slots=True)
class LibraryConceptsRecord:
    """The model that was learned from a library, and how good it is. `input` is "features" or "rows"."""

    library: str
    out: str
    model: str
    input: str
    tracks: int
    passages: int
    groups: int
    seconds: float
    concepts: Sequence[LearnedConceptRecord]


def train_on_library(
    library_path: Path | None,
    out: Path,
    name: str | None,
    licence: str,
    *,
    model: str | None = None,
    groups: Groups = "artist",
    label_file: Path | None = None,
    concepts: Sequence[str] = (),
    seed: int = 0,
    as_json: bool = False,
) -> int:
    """Learn concepts from a library, write the model, and print what was measured.

    Args:
        library_path: The library; None is the default one.
        out: The folder of the model.
        name: The name of the model; None is that of its folder.
        licence: The licence of its weights.
        model: The model of the library to stand on; None is that of searches.
        groups: What is held out together.
        label_file: A CSV file with labels that replace those of tags.
        concepts: The concepts to learn; all if there are none.
        seed: The seed of the training.
        as_json: Print JSON.

    Returns:
        The exit code.
    """
    from soundalike.core.names import check_name
    from soundalike.train.concepts import CONCEPTS, LIBRARY, learn_concepts, write_concepts

    began = time.monotonic()
    called = name or out.absolute().name
    check_name("model", called)
    settings, wanted = replace(LIBRARY, seed=seed), cast("tuple[Concept, ...]", tuple(concepts or CONCEPTS))
    given = read_label_file(label_file) if label_file else {}
    with chosen_library(library_path) as library:
        tracks, source = read_library(library.folder, model, groups, settings.passages, given)
        location = library.location
    with Progress("projection", enabled=not as_json) as progress:
        try:
            learned = learn_concepts(tracks, wanted, settings, progress)
        except KeyboardInterrupt:
            progress.end()
            print_interrupted()
            return INTERRUPTED
    write_concepts(out, called, licence, learned, tracks, source, seed)
    labelled = {concept: len(tracks.known(concept)) for concept in (*learned.concepts, *learned.lacking)}
    record = LibraryConceptsRecord(
        library=str(location),
        out=str(out),
        model=source.model.name,
        input="rows" if source.stacked else "features",
        tracks=len(tracks.labels),
        passages=len(tracks.passages),
        groups=len(set(tracks.groups)),
        seconds=round(time.monotonic() - began, 1),
        concepts=_records(learned, labelled, wanted, seed),
    )
    if as_json:
        print_json(record)
    else:
        _print(record, groups)
    return 0


def _records(
    learned: LearnedConcepts, labelled: Mapping[Concept, int], concepts: Sequence[Concept], seed: int
) -> list[LearnedConceptRecord]:
    import numpy as np

    from soundalike.evaluate.estimates import bootstrap, clopper_pearson

    records = []
    for concept in concepts:
        one = learned.concepts.get(concept)
        if one is None:
            records.append(LearnedConceptRecord(concept, learned.lacking[concept], labelled[concept], None, None, None))
            continue
        held_out = one.held_out
        found = bootstrap(held_out.accuracy[:, None], held_out.groups, seed)
        value, low, high = (float(part[0]) for part in (found.value, found.low, found.high))
        accuracy = EstimateRecord(value, _finite(low), _finite(high), len(held_out.accuracy), 0.5)
        tags = None
        if right := len(held_out.tags_right):
            hits = int(held_out.tags_right.sum())
            share = clopper_pearson(np.array([hits]), np.array([right]))
            tags = EstimateRecord(hits / right, float(share.low[0]), float(share.high[0]), right, held_out.tags_chance)
        error = None if one.calibration is None else _finite(one.calibration.error)
        records.append(LearnedConceptRecord(concept, None, one.labelled, accuracy, tags, error))
    return records


def _finite(number: float) -> float | None:
    return number if number == number else None


def _print(record: LibraryConceptsRecord, groups: str) -> None:
    print(
        f"{count(record.tracks, 'track')}, {count(record.passages, 'passage')}, {record.input} of {record.model}, "
        f"{count(record.groups, 'group')} (by {groups})"
    )
    rows = [
        [one.concept, f"{one.labelled:,}", _shown(one.accuracy), _shown(one.tags), _percent(one.calibration_error)]
        for one in record.concepts
        if one.lacking is None
    ]
    print_table(["concept", "labelled", "triplets right (%)", "tags right (%)", "off by (%)"], rows, left=[0, 2, 3])
    for one in record.concepts:
        if one.lacking:
            print(f"{one.concept}: n/a, {one_line(one.lacking)}")
    print("triplets right: of tracks in held-out groups, with a 95 % interval; chance is 50")
    print("tags right: the first suggestion for a held-out track; the most frequent tag in brackets")
    print("off by: how far the probabilities of suggestions are from how often they are right")
    print(f"model written in {record.seconds:.0f} s: {one_line(record.out)}; add it to the library with")
    print(f"  soundalike index --library {one_line(record.library)} --model {model_argument(record.out)} DIR")


def _shown(one: EstimateRecord | None) -> str:
    if one is None:
        return "-"
    interval = "" if one.low is None or one.high is None else f" {100 * one.low:.1f} to {100 * one.high:.1f}"
    chance = f" [{100 * one.chance:.0f}]" if one.chance != 0.5 else ""
    return f"{100 * one.value:.1f}{interval}, n {one.n:,}{chance}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
