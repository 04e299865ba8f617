"""Probes: frozen triplets of clips, each of which asks about one factor.

A folder holds the clips and `triplets.json`, a list of {probe, song, anchor, positive, negative}: the names of
three clips, what is asked (melody, ...), and the song that the triplet is made from. A space is right on a triplet if
the anchor is nearer (cosine) to the positive than to the negative. A tie counts half; so does a triplet whose anchor,
or both of whose other clips, are inaudible in the space. If one of the others is, it stands at chance (mu).

Accuracy is the mean over a probe's triplets. Triplets of one song share clips, so intervals resample songs.

With --fusion, rows of all spaces as one stand below those of the spaces: of scores and of vectors (mean, product, max,
concatenation; with --weights also weighted means).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.types import BoolArray, FloatArray, Report, Triplet
from soundalike.evaluate.base import (
    EncodedClips,
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
from soundalike.evaluate.reports import Estimate, bootstrap, paired

__all__ = ["Probes", "create", "read_probes", "unheard"]

_KEYS = ("probe", "song", "anchor", "positive", "negative")


def read_probes(folder: Path) -> tuple[Triplet, ...]:
    """The triplets of a folder: `space` is the probe, `group` the song.

    Raises UsageError if the list is missing or damaged, or names a clip that is not there.
    """
    check_folder(folder, "clips and triplets.json")
    path = folder / "triplets.json"
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} holds no list of triplets; expected [{{{', '.join(_KEYS)}}}, ...]")
    triplets = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) and entry[key] for key in _KEYS):
            raise UsageError(f"{path}: triplet {number} needs the texts {', '.join(_KEYS)}; found {str(entry)[:80]}")
        anchor, positive, negative = (full_span(folder / entry[key]) for key in ("anchor", "positive", "negative"))
        triplets.append(Triplet(anchor, positive, negative, space=entry["probe"], group=entry["song"]))
    named = {clip.track for one in triplets for clip in (one.anchor, one.positive, one.negative)}
    missing = sorted(clip for clip in named if not Path(clip).is_file())
    if missing:
        raise UsageError(f"{path} names {len(missing)} clips of {len(named)} that are not there, such as {missing[0]}")
    return tuple(triplets)


def unheard(heard: EncodedClips, triplets: Sequence[Triplet]) -> BoolArray:
    """Which triplets nothing can be said about, for anchor or both others are inaudible: (m, spaces) bool."""
    columns = []
    for space in heard.spaces:
        audible = heard.audible(space)
        anchor, positive, negative = (
            audible[heard.positions(getattr(one, side) for one in triplets)]
            for side in ("anchor", "positive", "negative")
        )
        columns.append(~anchor | ~(positive | negative))
    return np.stack(columns, axis=1)


class Probes:
    """Every space (rows) on every probe (columns): how often it is right, in per cent."""

    name: ClassVar[str] = "probes"
    summary: ClassVar[str] = "frozen triplets of real clips, each probing one factor"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """`--data`, `--against`, `--fusion` and `--weights`."""
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="folder with clips and triplets.json"
        )
        parser.add_argument("--against", metavar="MODEL", help="also say how much better it is than another model")
        add_fusion_options(parser)

    def run(self, args: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """One report, and one of paired differences with `--against`. Raises UsageError, AudioError, ModelError."""
        for model in (args.model, args.against) if args.against else (args.model,):
            check_fusion(args, model)
        triplets = read_probes(args.data)
        clips = {clip for one in triplets for clip in (one.anchor, one.positive, one.negative)}
        heard = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        margins = margins_with_fusions(heard, triplets, args)
        right = triplet_outcome(margins.values)
        probes = in_order((one.space for one in triplets), heard)
        songs = len({one.group for one in triplets})
        silent = unheard(heard, triplets).sum(axis=0)
        notes = [f"Intervals: bootstrap over {songs} songs. n: triplets. Ties count half."]
        halves = ", ".join(f"{space.name} {count:,}" for space, count in zip(heard.spaces, silent, strict=True))
        notes.append(f"Count half because the anchor or both others are inaudible: {halves} of {len(triplets):,}.")
        notes += margins.notes
        data = f"{len(triplets):,} triplets of {len(clips):,} clips"
        columns = {probe: _column(right, None, triplets, probe, args.seed) for probe in probes}
        report = model_report(
            heard,
            args,
            columns,
            f"Probes: {data}",
            protocol=self.name,
            options=f"--data DIR {margins.options}",
            chance=50.0,
            rows=margins.rows,
            notes=notes,
        )
        if not args.against:
            return (report,)
        other = encode_clips(clips, args.against, jobs=args.jobs, progress=progress)
        theirs = margins_with_fusions(other, triplets, args)
        shared = [name for name in margins.rows if name in theirs.rows]
        if not shared:
            has = ", ".join(theirs.rows)
            raise UsageError(f"{heard.model} and {other.model} share no space; {other.model} has {has}")
        ours = right[:, [margins.rows.index(name) for name in shared]]
        rival = triplet_outcome(theirs.values)[:, [theirs.rows.index(name) for name in shared]]
        columns = {probe: _column(ours, rival, triplets, probe, args.seed) for probe in probes}
        difference = model_report(
            heard,
            args,
            columns,
            f"Probes, {heard.model} minus {other.model}: {data}",
            protocol=self.name,
            options=f"--data DIR --against {other.model} {margins.options}",
            chance=0.0,
            rows=shared,
            notes=[
                f"Percentage points. Intervals: paired bootstrap over {songs} songs. n: triplets.",
                f"Digest of {other.model} {other.digest[:12]}.",
            ],
        )
        return report, difference


def _column(
    right: FloatArray, rival: FloatArray | None, triplets: Sequence[Triplet], probe: str, seed: int
) -> Estimate:
    chosen = np.array([one.space == probe for one in triplets])
    songs = [one.group for one in triplets if one.space == probe]
    return bootstrap(right[chosen], songs, seed) if rival is None else paired(right[chosen], rival[chosen], songs, seed)


def create() -> Protocol:
    """The protocol."""
    return Probes()
