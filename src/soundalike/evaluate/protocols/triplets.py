"""Triplet folders in the published layout of MERIT: one factor is shared or changed by construction.

    soundalike evaluate triplets DIR --split DIR/split.json --model compact

The layout is

    DIR/<factor>/triplets_<N>/triplet/
        {anchor,positive_01..05,negative[,negative_adversarial]}.wav

as `soundalike render` writes it. The level of the factors may be missing. Every positive is combined with every
negative of its folder, so a folder with five positives gives five triplets per negative. With --all-anchors, as in the
paper, every positive is an anchor too, with the others as its positives: 25 triplets instead of five. The adversarial
negative shares everything except the factor with the anchor and has its own columns. A split file {"train": [folders],
"test": [folders]} selects a part of the folders (--split, --part).

A triplet is right if cos(anchor, positive) > cos(anchor, negative). A tie counts half. If a clip is
inaudible in the space, the similarity of its pair is the mean of random pairs (mu). The margin is the mean of
cos(anchor, positive) - cos(anchor, negative).

There are four tables: accuracy with 95 % intervals bootstrapped over folders; accuracy with the Wald intervals of the
paper, for comparison; margins; and the distances that they are the differences of, 1 - cosine, from the anchor to the
positive (d_AP) and to the negative (d_AN). Wald intervals treat triplets as independent, although those of one folder
share the anchor and the negative, and are therefore too narrow.

With --fusion, further rows combine all spaces of the model, by their scores and, as in the published code, by their
vectors: mean, product, maximum and concatenation, and weighted means with --weights.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, section 4.4 and table 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.options import Argument
from soundalike.core.types import Report, Triplet, TripletKind
from soundalike.evaluate.base import (
    Progress,
    Protocol,
    check_folder,
    encode_clips,
    full_span,
    model_report,
    order_columns,
    triplet_outcome,
)
from soundalike.evaluate.estimates import Estimate, bootstrap, wald
from soundalike.evaluate.fused_rows import check_fusion, fusion_options, margins_with_fusions
from soundalike.evaluate.training_folders import training_note

__all__ = ["TripletFolders", "create", "read_split", "read_splits", "read_triplets"]

_NEGATIVES: Mapping[str, TripletKind] = {"negative": "neutral", "negative_adversarial": "adversarial"}
_LAYOUT = "DIR/<factor>/triplets_N/triplet/ or DIR/triplets_N/triplet/"


_LAID_OUT = "One row per space of the model, one column per factor of the folders."


def read_split(text: str, part: str) -> tuple[str | None, frozenset[str]]:
    """Read one part of a split file.

    Args:
        text: FILE, or FACTOR=FILE if the split is for one factor.
        part: The name of the part, such as "test".

    Returns:
        The factor (None: all factors) and the names of the folders in the part.

    Raises:
        UsageError: The file is missing, is not JSON, or has no such part.

    Example:
        >>> read_split("melody=split.json", "test")
        ('melody', frozenset({'triplets_7', 'triplets_9'}))
    """
    factor, equals, name = text.rpartition("=")
    path = Path(name)
    body = read_json(path)
    if not isinstance(body, dict) or not isinstance(body.get(part), list):
        known = ", ".join(map(str, body)) if isinstance(body, dict) else "no parts"
        raise UsageError(f"{path} has no list {part!r}; it holds {known}")
    return factor if equals else None, frozenset(map(str, body[part]))


def read_splits(text: str, part: str) -> list[tuple[str | None, frozenset[str]]]:
    """Read one part of a split file, which may have a split per factor, as `soundalike train heads` writes it.

    See `read_split` for the arguments.

    Example:
        >>> read_splits("mine/split.json", "test")
        [('melody', frozenset({'triplets_7'})), ('rhythm', frozenset({'triplets_9'}))]
    """
    factor, _, name = text.rpartition("=")
    body = read_json(Path(name))
    own = body.get("factors") if isinstance(body, dict) else None
    if not isinstance(own, dict):
        return [read_split(text, part)]
    found: list[tuple[str | None, frozenset[str]]] = []
    for one, parts in own.items():
        names = parts.get(part) if isinstance(parts, dict) else None
        if factor in ("", one) and isinstance(names, list):
            found.append((one, frozenset(map(str, names))))
    if not found:
        raise UsageError(f"{name} has no list {part!r} for {factor or 'any factor'}; it holds {', '.join(own)}")
    return found


def read_triplets(
    folder: Path, splits: Sequence[tuple[str | None, frozenset[str]]] = (), *, all_anchors: bool = False
) -> tuple[Triplet, ...]:
    """Read the triplets below a folder.

    Args:
        folder: The folder, with or without a level of factors.
        splits: Results of `read_split`; only the folders that they name are read. Without splits all are read.
        all_anchors: Whether every positive is an anchor too, with the other positives of its folder, as in MERIT
            (section 3.1): k^2 triplets instead of k per negative.

    Returns:
        The triplets; `space` is the factor and `group` the folder, as "melody/triplets_1".

    Raises:
        UsageError: The layout is not as expected, a file is missing, or a split names a folder that does not exist.

    Example:
        >>> triplets = read_triplets(Path("renders"), [read_split("renders/split.json", "test")])
    """
    check_folder(folder, f"triplets: {_LAYOUT}")
    factors = {folder.resolve().name: folder}
    if not _numbered_folders(folder):
        factors = {sub.name: sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _numbered_folders(sub)}
    if not factors:
        raise UsageError(f"{folder} holds no triplets; expected {_LAYOUT}")
    unknown = sorted({factor for factor, _ in splits if factor is not None} - set(factors))
    if unknown:
        raise UsageError(f"a split is for {unknown[0]!r}, but {folder} holds {', '.join(factors)}")
    triplets: list[Triplet] = []
    for factor, factor_folder in factors.items():
        groups = _numbered_folders(factor_folder)
        for split_factor, names in splits:
            if split_factor in (None, factor):
                missing = sorted(names - {group.name for group in groups})
                if missing:
                    raise UsageError(
                        f"{len(missing)} folders of the split do not exist in {factor_folder}, such as {missing[0]}"
                    )
                groups = [group for group in groups if group.name in names]
        for group in groups:
            triplets += _folder_triplets(group, factor, all_anchors)
    if not triplets:
        raise UsageError(f"the split selects no triplet of {folder}; give another --part")
    return tuple(triplets)


def _numbered_folders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.glob("triplets_*") if sub.is_dir())


def _folder_triplets(group: Path, factor: str, all_anchors: bool) -> list[Triplet]:
    from soundalike.audio.datasets import find_clips

    clips, positives = find_clips(group)
    for needed, found in (("anchor", "anchor" in clips), ("negative", "negative" in clips), ("positive_01", positives)):
        if not found:
            raise UsageError(f"{group / 'triplet'} holds no {needed}.wav; expected anchor, positive_01.. and negative")
    pairs = [(clips["anchor"], positive) for positive in positives]
    pairs += permutations(positives, 2) if all_anchors else ()
    return [
        Triplet(
            full_span(anchor),
            full_span(positive),
            full_span(clips[name]),
            factor,
            kind,
            f"{factor}/{group.name}",
        )
        for name, kind in _NEGATIVES.items()
        if name in clips
        for anchor, positive in pairs
    ]


class TripletFolders:
    """Accuracy and margin of every space (rows) on every factor (columns), neutral and adversarial separately."""

    name: ClassVar[str] = "triplets"
    summary: ClassVar[str] = "triplet folders in the published layout, one factor controlled"

    def options(self) -> Sequence[click.Parameter]:
        """Return the folder, `--split`, `--part`, `--fusion` and `--weights`."""
        return [
            Argument(["data"], type=click.Path(path_type=Path), metavar="DIR", help=f"Folder of triplets: {_LAYOUT}."),
            click.Option(
                ["--split"],
                multiple=True,
                metavar="[FACTOR=]FILE",
                help='JSON file {"train": [folders], "test": [folders]}, for all factors or for one.',
            ),
            click.Option(["--part"], default="test", metavar="NAME", help="Part of the split (default: test)."),
            click.Option(
                ["--all-anchors"], is_flag=True, help="Take every positive as an anchor too, as MERIT's paper does."
            ),
            *fusion_options(),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return accuracy with bootstrap intervals, accuracy with Wald intervals, margins, and distances.

        Raises UsageError, AudioError or ModelError.
        """
        check_fusion(args, args.model)
        splits = [one for text in args.split for one in read_splits(text, args.part)]
        triplets = read_triplets(args.data, splits, all_anchors=args.all_anchors)
        clips = {clip for triplet in triplets for clip in (triplet.anchor, triplet.positive, triplet.negative)}
        trained = training_note(args.model, {one.group: Path(one.anchor.track) for one in triplets})
        encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        margins = margins_with_fusions(encoded, triplets, args)
        outcomes = triplet_outcome(margins.values)
        accuracy: dict[str, Estimate] = {}
        published: dict[str, Estimate] = {}
        margin: dict[str, Estimate] = {}
        distance: dict[str, Estimate] = {}
        for factor in order_columns((triplet.space for triplet in triplets), encoded):
            for kind in _NEGATIVES.values():
                chosen = np.array([(triplet.space, triplet.kind) == (factor, kind) for triplet in triplets])
                if chosen.any():
                    groups = [triplet.group for triplet, use in zip(triplets, chosen, strict=True) if use]
                    name = factor if kind == "neutral" else f"{factor}, adversarial"
                    accuracy[name] = bootstrap(outcomes[chosen], groups, args.seed)
                    published[name] = wald(accuracy[name].value, accuracy[name].n)
                    margin[name] = bootstrap(margins.values[chosen], groups, args.seed)
                    for side, cosines in (("d_AP", margins.near), ("d_AN", margins.far)):
                        distance[f"{name}, {side}"] = bootstrap(1 - cosines[chosen], groups, args.seed)
        split = f", {args.part} split" if args.split else ""
        data = f"{len(triplets):,} triplets in {len({triplet.group for triplet in triplets}):,} folders{split}"
        chosen_part = f" --split FILE --part {args.part}" if args.split else ""
        options = f"DIR{chosen_part}{' --all-anchors' if args.all_anchors else ''} {margins.options}"

        report = partial(model_report, encoded, args, protocol=self.name, options=options, rows=margins.rows)
        remarks = [*([trained] if trained else []), _LAID_OUT, *margins.notes]
        intervals = "Intervals: bootstrap over folders."
        return (
            report(
                accuracy,
                f"Triplet accuracy: {data}",
                chance=50.0,
                notes=[f"{intervals} Ties count half.", *remarks],
            ),
            report(
                published,
                f"Triplet accuracy, Wald: {data}",
                chance=50.0,
                notes=["Intervals: Wald, over triplets, as published.", *remarks],
            ),
            report(
                margin,
                f"Triplet margin: {data}",
                chance=0.0,
                unit="",
                notes=[f"cos(anchor, positive) - cos(anchor, negative). {intervals}", *remarks],
            ),
            report(
                distance,
                f"Triplet distances: {data}",
                chance=float("nan"),
                unit="",
                notes=[f"1 - cosine; - where a clip has no fused vector. {intervals}", *remarks],
            ),
        )


def create() -> Protocol:
    """Create the protocol."""
    return TripletFolders()
