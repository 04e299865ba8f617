"""Triplet folders in the published layout of MERIT: one factor changed, or one kept, by construction.

    DIR/<factor>/triplets_<N>/triplet/{anchor,positive_01..05,negative[,negative_adversarial]}.wav

or without the level of the factors. Every positive is set against every negative of its folder, as in the paper, so
a folder with five positives gives five triplets a negative. The adversarial negative shares all but the factor with the
anchor: it is counted apart. A split file {"train": [folders], "test": [folders]} chooses a part.

A triplet is right if cos(anchor, positive) > cos(anchor, negative); ties, and what is inaudible, count half. The
margin is the mean of cos(anchor, positive) - cos(anchor, negative).

The paper gives Wald intervals that take triplets for independent, though those of a folder share anchor and
negative; they are repeated here for comparison, after bootstrap intervals that resample folders.

With --fusion, rows of all spaces as one stand below those of the spaces: of scores and, as in the published code, of
vectors (mean, product, max, concatenation; with --weights also weighted means).

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, section 4.4 and table 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.audio.datasets import find_clips
from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.types import Report, Triplet, TripletKind
from soundalike.evaluate.base import (
    Progress,
    Protocol,
    add_fusion_options,
    check_folder,
    check_fusion,
    encode_clips,
    full_span,
    in_order,
    margins_with_fusions,
    model_report,
    triplet_outcome,
)
from soundalike.evaluate.reports import Estimate, bootstrap, wald

__all__ = ["TripletFolders", "create", "read_split", "read_triplets"]

_NEGATIVES: Mapping[str, TripletKind] = {"negative": "neutral", "negative_adversarial": "adversarial"}
_LAYOUT = "DIR/<factor>/triplets_N/triplet/ or DIR/triplets_N/triplet/"


def read_split(text: str, part: str) -> tuple[str | None, frozenset[str]]:
    """Read FILE or FACTOR=FILE: the factor (None: all) and the names of the folders in a part of the split.

    Raises UsageError if the file is missing, damaged, or has no such part.
    """
    factor, equals, name = text.rpartition("=")
    path = Path(name)
    body = read_json(path)
    if not isinstance(body, dict) or not isinstance(body.get(part), list):
        known = ", ".join(map(str, body)) if isinstance(body, dict) else "no parts"
        raise UsageError(f"{path} has no list {part!r}; it holds {known}")
    return factor if equals else None, frozenset(map(str, body[part]))


def read_triplets(folder: Path, splits: Sequence[tuple[str | None, frozenset[str]]] = ()) -> tuple[Triplet, ...]:
    """Every triplet below `folder` that a split keeps: `space` is the factor, `group` its folder.

    Raises UsageError if the layout is another one, a file is missing, or a split names a folder that is not there.
    """
    check_folder(folder, f"triplets: {_LAYOUT}")
    factors = {folder.resolve().name: folder}
    if not _numbered(folder):
        factors = {sub.name: sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _numbered(sub)}
    if not factors:
        raise UsageError(f"{folder} holds no triplets; expected {_LAYOUT}")
    unknown = sorted({factor for factor, _ in splits if factor is not None} - set(factors))
    if unknown:
        raise UsageError(f"a split is for {unknown[0]!r}, but {folder} holds {', '.join(factors)}")
    triplets: list[Triplet] = []
    for factor, place in factors.items():
        groups = _numbered(place)
        for chosen, names in splits:
            if chosen in (None, factor):
                absent = sorted(names - {group.name for group in groups})
                if absent:
                    raise UsageError(f"the split names {len(absent)} folders that {place} lacks, such as {absent[0]}")
                groups = [group for group in groups if group.name in names]
        for group in groups:
            triplets += _triplets(group, factor)
    if not triplets:
        raise UsageError(f"the split leaves no triplet of {folder}; give another --part")
    return tuple(triplets)


def _numbered(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.glob("triplets_*") if sub.is_dir())


def _triplets(group: Path, factor: str) -> list[Triplet]:
    clips, positives = find_clips(group)
    for needed, found in (("anchor", "anchor" in clips), ("negative", "negative" in clips), ("positive_01", positives)):
        if not found:
            raise UsageError(f"{group / 'triplet'} holds no {needed}.wav; expected anchor, positive_01.. and negative")
    return [
        Triplet(
            full_span(clips["anchor"]),
            full_span(positive),
            full_span(clips[name]),
            factor,
            kind,
            f"{factor}/{group.name}",
        )
        for name, kind in _NEGATIVES.items()
        if name in clips
        for positive in positives
    ]


class TripletFolders:
    """Every space (rows) on every factor (columns), neutral and adversarial apart: accuracy and margin."""

    name: ClassVar[str] = "triplets"
    summary: ClassVar[str] = "triplet folders in the published layout, one factor controlled"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The folder, the split, `--fusion` and `--weights`."""
        parser.add_argument("data", type=Path, metavar="DIR", help=f"the triplets: {_LAYOUT}")
        parser.add_argument(
            "--split",
            action="append",
            default=[],
            metavar="[FACTOR=]FILE",
            help='JSON {"train": [folders], "test": [folders]}, of all factors or of one',
        )
        parser.add_argument("--part", default="test", metavar="NAME", help="the part of the split (default: test)")
        add_fusion_options(parser)

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Accuracy by folder, accuracy with Wald intervals, margin. Raises UsageError, AudioError, ModelError."""
        check_fusion(args, args.model)
        triplets = read_triplets(args.data, [read_split(text, args.part) for text in args.split])
        clips = {clip for one in triplets for clip in (one.anchor, one.positive, one.negative)}
        heard = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        margins = margins_with_fusions(heard, triplets, args)
        right = triplet_outcome(margins.values)
        accuracy: dict[str, Estimate] = {}
        published: dict[str, Estimate] = {}
        width: dict[str, Estimate] = {}
        for factor in in_order((one.space for one in triplets), heard):
            for kind in _NEGATIVES.values():
                chosen = np.array([(one.space, one.kind) == (factor, kind) for one in triplets])
                if chosen.any():
                    groups = [one.group for one, keep in zip(triplets, chosen, strict=True) if keep]
                    name = factor if kind == "neutral" else f"{factor}, adversarial"
                    accuracy[name] = bootstrap(right[chosen], groups, args.seed)
                    published[name] = wald(accuracy[name].value, accuracy[name].n)
                    width[name] = bootstrap(margins.values[chosen], groups, args.seed)
        split = f", {args.part} split" if args.split else ""
        data = f"{len(triplets):,} triplets in {len({one.group for one in triplets}):,} folders{split}"
        options = "DIR" + (f" --split FILE --part {args.part}" if args.split else "") + f" {margins.options}"

        report = partial(model_report, heard, args, protocol=self.name, options=options, rows=margins.rows)
        by = "Intervals: bootstrap over folders."
        return (
            report(
                accuracy, f"Triplet accuracy: {data}", chance=50.0, notes=[f"{by} Ties count half.", *margins.notes]
            ),
            report(
                published,
                f"Triplet accuracy, Wald: {data}",
                chance=50.0,
                notes=["Intervals: Wald, over triplets, as published.", *margins.notes],
            ),
            report(
                width,
                f"Triplet margin: {data}",
                chance=0.0,
                unit="",
                notes=[f"cos(a, p) - cos(a, n). {by}", *margins.notes],
            ),
        )


def create() -> Protocol:
    """The protocol."""
    return TripletFolders()
