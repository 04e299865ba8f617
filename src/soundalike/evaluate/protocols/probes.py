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
So is every space of a model with stems, and each of its fusions that the other model does not have. With --fusion,
further rows combine all spaces of the model, by their scores and by their vectors: mean, product, maximum and
concatenation, and weighted means with --weights.

A space of stems such as vocals.melody separates every clip. If the model has melody too, the row "melody to
vocals.melody" takes the anchor as it is: a stem, which needs no separation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    triplet_rows,
)
from soundalike.evaluate.estimates import Estimate, bootstrap, paired
from soundalike.evaluate.fused_rows import Margins, check_fusion, fusion_options, margins_with_fusions
from soundalike.models import DEFAULT_MODEL, MIX, load_recipe, parse_weights

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
        """Return `--data`, `--against`, `--probe`, `--fusion` and `--weights`."""
        return [
            click.Option(
                ["--data"],
                type=click.Path(path_type=Path),
                required=True,
                metavar="DIR",
                help="Folder with clips and triplets.json.",
            ),
            click.Option(["--against"], metavar="MODEL", help="Also report the difference to another model."),
            click.Option(
                ["--probe", "chosen"], multiple=True, metavar="NAME", help="Only this probe. May be repeated."
            ),
            *fusion_options(),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return one report, and with `--against` a second one of paired differences.

        Raises UsageError, AudioError or ModelError.
        """
        check_fusion(args, args.model)
        theirs = _rival_arguments(args) if args.against else args
        triplets = _only(read_probes(args.data), args.chosen, args.data)
        clips = {clip for triplet in triplets for clip in (triplet.anchor, triplet.positive, triplet.negative)}
        encoded = encode_clips(clips, args.model, jobs=args.jobs, progress=progress)
        margins = _with_anchors_as_they_are(margins_with_fusions(encoded, triplets, args), encoded, triplets)
        outcomes = triplet_outcome(margins.values)
        options = " ".join([*(f"--probe {probe}" for probe in args.chosen), margins.options])
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
            options=f"--data DIR {options}",
            chance=50.0,
            rows=margins.rows,
            notes=notes,
        )
        if not args.against:
            return (report,)
        rival = encode_clips(clips, args.against, jobs=args.jobs, progress=progress)
        rival_margins = margins_with_fusions(rival, triplets, theirs)
        pairs = _pairs(
            margins.rows, rival_margins.rows, probes, on_stems=any(one.source != MIX for one in encoded.spaces)
        )
        if pairs is None:
            raise UsageError(
                f"{encoded.model} and {rival.model} share no space, and not every probe is named as one of "
                f"{rival.model}, which has {', '.join(rival_margins.rows)}"
            )
        rows = [name for name, _ in pairs[probes[0]]]
        rival_outcomes = triplet_outcome(rival_margins.values)
        columns = {}
        for probe, names in pairs.items():
            left = outcomes[:, [margins.rows.index(name) for name, _ in names]]
            right = rival_outcomes[:, [rival_margins.rows.index(name) for _, name in names]]
            columns[probe] = _column(left, right, triplets, probe, args.seed)
        difference = model_report(
            encoded,
            args,
            columns,
            f"Probes, {encoded.model} minus {rival.model}: {data}",
            protocol=self.name,
            options=f"--data DIR --against {rival.model} {options}",
            chance=0.0,
            rows=rows,
            notes=[
                f"Percentage points. Intervals: paired bootstrap over {songs} songs. n: triplets.",
                f"Digest of {rival.model} {rival.digest[:12]}.",
            ],
        )
        return report, difference


def _only(triplets: Sequence[Triplet], chosen: Sequence[str], folder: Path) -> tuple[Triplet, ...]:
    """The triplets of the chosen probes, or all. Raises UsageError if there is no such probe."""
    known = dict.fromkeys(triplet.space for triplet in triplets)
    if unknown := [probe for probe in chosen if probe not in known]:
        raise UsageError(f"{folder} has no probe {unknown[0]}; it has {', '.join(known)}")
    return tuple(triplet for triplet in triplets if not chosen or triplet.space in chosen)


def _rival_arguments(args: SimpleNamespace) -> SimpleNamespace:
    """The arguments for the other model: without fusions if `--weights` names spaces of stems, which it does not have.

    Raises UsageError or ModelError, as `check_fusion`.
    """
    ours = load_recipe(args.model or DEFAULT_MODEL).spaces
    stems = {space.name for space in ours if space.source != MIX}
    if args.weights not in (None, "published") and stems & parse_weights(args.weights).keys():
        return SimpleNamespace(**{**vars(args), "fusion": False, "weights": None})
    check_fusion(args, args.against)
    return args


def _pairs(
    rows: Sequence[str], rival: Sequence[str], probes: Sequence[str], *, on_stems: bool
) -> dict[str, list[tuple[str, str]]] | None:
    """Per probe, each row with that of the other model to compare it with; None if there is none."""
    shared = [name for name in rows if name in rival]
    if shared and not on_stems:
        return {probe: [(name, name) for name in shared] for probe in probes}
    if not set(probes) <= set(rival):
        return None
    # A model with one space for everything, or with spaces of stems, against one with a space per probe.
    return {probe: [(name, name if name in shared else probe) for name in rows] for probe in probes}


def _with_anchors_as_they_are(margins: Margins, encoded: EncodedClips, triplets: Sequence[Triplet]) -> Margins:
    """Add a row per space that the model has on mixes and on a stem: the anchor as it is, the others separated."""
    on_mixes = {space.name: space for space in encoded.spaces if space.source == MIX}
    anchor, positive, negative = triplet_rows(encoded, triplets)
    for space in encoded.spaces:
        plain = on_mixes.get(space.name.removeprefix(f"{space.source}."))
        if space.source == MIX or plain is None or plain.dim != space.dim:
            continue
        asked, audible = encoded.rows[plain.name][anchor].astype(np.float64), encoded.audible(plain)[anchor]
        sides = []
        for other in (positive, negative):
            cosine = np.einsum("md,md->m", asked, encoded.rows[space.name][other].astype(np.float64))
            present = audible & encoded.audible(space)[other]
            sides.append(np.where(present, cosine, space.calibration["track"].mu))
        near, far = (side[:, None] for side in sides)
        margins = replace(
            margins,
            rows=(*margins.rows, f"{plain.name} to {space.name}"),
            values=np.hstack([margins.values, near - far]),
            near=np.hstack([margins.near, near]),
            far=np.hstack([margins.far, far]),
        )
    return margins


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
