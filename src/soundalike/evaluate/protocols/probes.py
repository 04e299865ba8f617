"""Probes: a fixed set of triplets of real clips, each of which tests one factor.

    soundalike evaluate probes --data PROBES --model compact --against dsp

A folder holds the clips and `triplets.json`, a list of {probe, song, anchor, positive, negative}: the factor that is
tested (melody, ...), the song from which the triplet is made, and the file names of three clips. A space is right on a
triplet if the anchor is more similar, by cosine, to the positive than to the negative. A tie counts half. A triplet
also counts half if its anchor, or both its positive and its negative, are inaudible in the space. If only one of the
two is inaudible, its similarity is the mean of random pairs (mu).

The result is the accuracy of every space on every probe. Triplets of one song share clips, so the 95 % intervals are
bootstrapped over songs.

With --against, a second table gives the difference to another model, with paired intervals. The spaces are those that
both models have. If they share none, each space is compared with the other model's space that is named as the probe.
With --fusion, further rows combine all spaces of the model, by their scores and by their vectors: mean, product,
maximum and concatenation, and weighted means with --weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import read_json
from soundalike.core.types import BoolArray, FloatArray, Report, Triplet
from soundalike.evaluate.base import (
    EncodedClips,
    Progress,
    Protocol,
    check_folder,
    encode_clips,
    full_span,
    model_report,
    order_columns,
    triplet_outcome,
)
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.fused_rows import check_fusion, fusion_options, margins_with_fusions

__all__ = ["Probes", "create", "inaudible_triplets", "read_probes"]

_KEYS = ("probe", "song", "anchor", "positive", "negative")


def read_probes(folder: Path) -> tuple[Triplet, ...]:
    """Read the triplets of a folder.

    Args:
        folder: Holds the clips and `triplets.json`.

    Returns:
        The triplets; `space` is the probe and `group` the song.

    Raises:
        UsageError: `triplets.json` is missing or invalid, or names a clip that does not exist.

    Example:
        >>> probes = sorted({triplet.space for triplet in read_probes(Path("probes"))})
    """
    check_folder(folder, "clips and triplets.json")
    path = folder / "triplets.json"
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} holds no list of triplets; expected [{{{', '.join(_KEYS)}}}, ...]")
    triplets = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) and entry[key] for key in _KEYS):
            raise UsageError(
                f"{path}: triplet {number} needs non-empty strings for {', '.join(_KEYS)}; found {str(entry)[:80]}"
            )
        anchor, positive, negative = (full_span(folder / entry[key]) for key in ("anchor", "positive", "negative"))
        triplets.append(Triplet(anchor, positive, negative, space=entry["probe"], group=entry["song"]))
    clips = {clip.track for triplet in triplets for clip in (triplet.anchor, triplet.positive, triplet.negative)}
    missing = sorted(clip for clip in clips if not Path(clip).is_file())
    if missing:
        raise UsageError(f"{path}: {len(missing)} of {len(clips)} clips do not exist, such as {missing[0]}")
    return tuple(triplets)


def inaudible_triplets(encoded: EncodedClips, triplets: Sequence[Triplet]) -> BoolArray:
    """Return which triplets are undecided because the anchor, or both other clips, are inaudible: (m, spaces) bool."""
    columns = []
    for space in encoded.spaces:
        audible = encoded.audible(space)
        anchor, positive, negative = (
            audible[encoded.positions(getattr(triplet, role) for triplet in triplets)]
            for role in ("anchor", "positive", "negative")
        )
        columns.append(~anchor | ~(positive | negative))
    return np.stack(columns, axis=1)


class Probes:
    """Accuracy of every space (rows) on every probe (columns), in per cent."""

    name: ClassVar[str] = "probes"
    summary: ClassVar[str] = "fixed triplets of real clips, each testing one factor"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--data`, `--against`, `--fusion` and `--weights`."""
        return [
            click.Option(
                ["--data"],
                type=click.Path(path_type=Path),
                required=True,
                metavar="DIR",
                help="Folder with clips and triplets.json.",
            ),
            click.Option(["--against"], metavar="MODEL", help="Also report the difference to another model."),
            *fusion_options(),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return one report, and with `--against` a second one of paired differences.

        Raises UsageError, AudioError or ModelError.
        """
        for model in (args.model, args.against) if args.against else (args.model,):
            check_fusion(args, model)
        triplets = read_probes(args.data)
        clips = {clip for triplet in triplets for clip in (triplet.anchor, triplet.positive, triplet.negative)}
        encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        margins = margins_with_fusions(encoded, triplets, args)
        outcomes = triplet_outcome(margins.values)
        probes = order_columns((triplet.space for triplet in triplets), encoded)
        songs = len({triplet.group for triplet in triplets})
        inaudible = inaudible_triplets(encoded, triplets).sum(axis=0)
        counts = ", ".join(f"{space.name} {count:,}" for space, count in zip(encoded.spaces, inaudible, strict=True))
        notes = [
            f"Intervals: bootstrap over {songs} songs. n: triplets. Ties count half.",
            f"Count half because the anchor or both other clips are inaudible: {counts} of {len(triplets):,}.",
            "One row per space of the model, one column per probe: what anchor and positive share.",
            *margins.notes,
        ]
        data = f"{len(triplets):,} triplets of {len(clips):,} clips"
        columns = {probe: _column(outcomes, None, triplets, probe, args.seed) for probe in probes}
        report = model_report(
            encoded,
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
        rival = encode_clips(clips, args.against, jobs=args.jobs, progress=progress)
        rival_margins = margins_with_fusions(rival, triplets, args)
        rows = [name for name in margins.rows if name in rival_margins.rows]
        pairs = {probe: [(name, name) for name in rows] for probe in probes}
        if not rows:  # a model with one space for everything, against one with a space per probe
            rows = list(margins.rows)
            pairs = {probe: [(name, probe) for name in rows] for probe in probes}
            if not set(probes) <= set(rival_margins.rows):
                raise UsageError(
                    f"{encoded.model} and {rival.model} share no space, and not every probe is named as one of "
                    f"{rival.model}, which has {', '.join(rival_margins.rows)}"
                )
        theirs = triplet_outcome(rival_margins.values)
        columns = {}
        for probe, names in pairs.items():
            left = outcomes[:, [margins.rows.index(name) for name, _ in names]]
            right = theirs[:, [rival_margins.rows.index(name) for _, name in names]]
            columns[probe] = _column(left, right, triplets, probe, args.seed)
        difference = model_report(
            encoded,
            args,
            columns,
            f"Probes, {encoded.model} minus {rival.model}: {data}",
            protocol=self.name,
            options=f"--data DIR --against {rival.model} {margins.options}",
            chance=0.0,
            rows=rows,
            notes=[
                f"Percentage points. Intervals: paired bootstrap over {songs} songs. n: triplets.",
                f"Digest of {rival.model} {rival.digest[:12]}.",
            ],
        )
        return report, difference


def _column(
    outcomes: FloatArray, rival: FloatArray | None, triplets: Sequence[Triplet], probe: str, seed: int
) -> Estimate:
    """The mean outcome on one probe, or the mean paired difference to the outcomes of a rival, (m, r) each."""
    chosen = np.array([triplet.space == probe for triplet in triplets])
    songs = [triplet.group for triplet in triplets if triplet.space == probe]
    if rival is None:
        return bootstrap(outcomes[chosen], songs, seed)
    return paired(outcomes[chosen], rival[chosen], songs, seed)


def create() -> Protocol:
    """Create the protocol."""
    return Probes()
