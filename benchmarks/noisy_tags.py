"""Measure what `soundalike train concepts --library` learns where a share of the tags is wrong or missing.

    python benchmarks/noisy_tags.py LIBRARY --groups album --save docs/results

Tags are spoilt where projections are fitted: a wrong one is that of another track, drawn at random. Held-out tracks are
judged by the tags of the library. Rows of the report are the input (features or rows of the model) and what was done.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.cli.train.library_material import GROUPS, Groups, read_label_file, read_library
from soundalike.core.types import Report
from soundalike.evaluate.estimates import bootstrap
from soundalike.library import LibraryFolder
from soundalike.train.concepts import CONCEPTS, LIBRARY, TrackLabels, learn_concepts
from soundalike.train.concepts.labels import TAG_CONCEPTS
from soundalike.train.concepts.library_training import LearnedConcept

KINDS = ("right", "wrong", "missing")


def spoilt(labels: Sequence[TrackLabels], kind: str, share: float, seed: int) -> tuple[TrackLabels, ...]:
    """Return labels of which a share per concept is missing, or is that of another track."""
    random, changed = np.random.default_rng(seed), list(labels)
    for concept in CONCEPTS:
        known = [number for number, label in enumerate(labels) if label.known(concept)]
        for number, other in zip(known, random.permutation(known), strict=True):
            if random.random() < share:
                none = () if concept in TAG_CONCEPTS else None
                value = none if kind == "missing" else getattr(labels[other], concept)
                changed[number] = replace(changed[number], **{concept: value})
    return tuple(changed)


def measure(folder: Path, groups: Groups, given: Mapping[Path, TrackLabels], share: float, seed: int) -> Report:
    """Return the held-out triplets that are right, per concept, for both inputs and all kinds of tags."""
    settings = replace(LIBRARY, seed=seed, worst=0.0)  # concepts that are hardly learned are shown too
    names: list[str] = []
    table: list[list[tuple[float, float, float, int]]] = []
    for stacked in (False, True):
        with LibraryFolder(folder) as library:
            tracks, source = read_library(library, None, groups, settings.passages, given, rows=stacked)
        if stacked != source.stacked:  # the features are not kept
            continue
        for kind in KINDS:
            labels = tracks.labels if kind == "right" else spoilt(tracks.labels, kind, share, seed + 1)
            learned = learn_concepts(replace(tracks, labels=labels), CONCEPTS, settings, truth=tracks.labels)
            names.append(f"{'rows' if stacked else 'features'}, tags {kind}")
            table.append([estimate(learned.concepts.get(concept), seed) for concept in CONCEPTS])
    found = np.array(table)
    present = np.flatnonzero(found[:, :, 3].any(axis=0))
    value, low, high, n = np.moveaxis(found[:, present], 2, 0)
    return report_of(
        "concepts-tags",
        f"Concepts learned from the tags of {len(tracks.labels)} tracks, {100 * share:.0f} % of them spoilt",
        f"python benchmarks/noisy_tags.py LIBRARY --groups {groups}",
        rows=names,
        columns=[CONCEPTS[number] for number in present],
        values=100 * value,
        low=100 * low,
        high=100 * high,
        n=n,
        chance=[50.0] * len(present),
        unit="%",
        model=source.model.name,
        notes=["Triplets of held-out tracks that are right, judged by the tags of the library; n counts tracks."],
    )


def estimate(learned: LearnedConcept | None, seed: int) -> tuple[float, float, float, int]:
    """Return the mean, the ends of its interval, and the number of tracks."""
    if learned is None:
        return np.nan, np.nan, np.nan, 0
    held_out = learned.held_out
    found = bootstrap(held_out.accuracy[:, None], held_out.groups, seed)
    return float(found.value[0]), float(found.low[0]), float(found.high[0]), len(held_out.accuracy)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--groups", choices=GROUPS, default="artist", help="what is held out together")
    parser.add_argument("--labels", type=Path, help="CSV file with labels that replace those of tags")
    parser.add_argument("--share", type=float, default=0.2, help="share of the tags to spoil")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    given = read_label_file(args.labels) if args.labels else {}
    show_and_save(measure(args.library, args.groups, given, args.share, args.seed), args.save)


if __name__ == "__main__":
    main()
