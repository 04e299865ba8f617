"""Pairs of covers: is a version of a song nearer to its other version than to other songs?

    soundalike evaluate covers80 --data coversongs --against dsp

The folder is that of Covers80: covers32k/<song>/<file>.mp3, list1.list and list2.list.

- --negatives other-song: fifty versions of other songs per pair, drawn once (--seed) for all rows and models. Both
  versions of the pair meet them. Pairs are those of the lists.
- --negatives published: as MERIT's code draws them, from seed 42, other ones for every row of the table. Pairs are the
  first two files of a folder; a third version can be a negative. A tie counts as wrong.

With --fusion, --weights tuned finds the weights of the spaces, in steps of 0.1, with which the weighted mean of the
scores is most often right on these same pairs, as MERIT's paper does ("tuned on Covers80"). A note says how often it is
right on pairs that were left out of the tuning, in five parts. --weights published are the .4, .4 and .2 of its code.

The last table has the similarities of pairs: the three of figure 4, where they exist, and the six most similar ones.

Published setting: --negatives published --clip 30s --fusion --weights published.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, sections 4.5 to 4.8, table 3.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item, Report
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, check_folder, model_report
from soundalike.evaluate.draws import PAIR_ROWS, draw_pairs, published_pairs
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.fused_rows import check_fusion
from soundalike.evaluate.label_probe import LabelProbe, clip_option, probe_options, probe_reports, triplets_of_row
from soundalike.evaluate.printed import printed_note, printed_tables
from soundalike.evaluate.recordings import encode_items, item_span
from soundalike.evaluate.tuned_weights import tune_weights

__all__ = ["Covers", "create", "pairs_of"]

_PROFILES = 6


def pairs_of(items: Sequence[Item]) -> list[tuple[int, int]]:
    """Return the numbers of the two versions of every song, in the order of the items.

    Example:
        >>> pairs_of(list(plugins.load("datasets", "covers80", root=Path("coversongs")).items()))[0]
        (0, 1)
    """
    first = {item.labels["label"]: n for n, item in enumerate(items) if item.labels["version"] == "1"}
    second = {item.labels["label"]: n for n, item in enumerate(items) if item.labels["version"] == "2"}
    return [(number, second[song]) for song, number in first.items()]


class Covers:
    """Accuracy of every space (rows) on pairs of covers, in per cent."""

    name: ClassVar[str] = "covers80"
    summary: ClassVar[str] = "pairs of Covers80: the melody probe of MERIT, with profiles of pairs"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options of all probes."""
        return probe_options(("other-song", "published"), "Covers80")

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return accuracy, accuracy with Wald intervals, distances, mAP@10, with `--against` the difference; profiles.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "Covers80")
        published = args.negatives == "published"
        kind = "folders" if published else "lists"
        items = list(plugins.load("datasets", self.name, root=args.data, pairs=kind).items())
        pairs, songs = pairs_of(items), [item.labels["label"] for item in items]
        triplets = triplets_of_row(
            published_pairs(pairs, len(items), PAIR_ROWS) if published else draw_pairs(pairs, songs, seed=args.seed)
        )
        notes = [printed_note("merit", "covers80")]
        args, encoded = copy.copy(args), None
        if args.weights == "tuned":
            if not args.fusion:
                raise UsageError("--weights tuned needs --fusion; add --fusion or remove --weights")
            args.weights = None
            check_fusion(args, args.model)
            encoded = encode_items(items, args.model, args.clip, jobs=args.jobs, progress=progress)
            order = encoded.positions(item_span(item) for item in items)
            tuned_on = triplets("weighted mean")
            args.weights, note = tune_weights(encoded, order, tuned_on, [songs[anchor] for anchor in tuned_on[:, 0]])
            notes.append(note)
        probe = LabelProbe(
            protocol=self.name,
            title=f"Covers, negatives {args.negatives}, {args.clip}",
            items=items,
            groups=songs,
            triplets=triplets,
            classes=(),
            candidates=~np.eye(len(items), dtype=np.bool_),
            options=f" --negatives {args.negatives}",
            notes=notes,
            ties=0.0 if published else 0.5,
        )
        encoded, _, reports = probe_reports(probe, args, progress, encoded)
        return (*reports, _profiles(encoded, items, pairs, args))


def _profiles(
    encoded: EncodedClips, items: Sequence[Item], pairs: Sequence[tuple[int, int]], args: SimpleNamespace
) -> Report:
    """The similarities of pairs in every space: one row per pair."""
    order = encoded.positions(item_span(item) for item in items)
    left, right = order[[first for first, _ in pairs]], order[[second for _, second in pairs]]
    cosines = np.stack([encoded.similarity(space, left, right) for space in encoded.spaces], axis=1)
    names = [items[first].labels["label"] for first, _ in pairs]
    printed = printed_tables("merit")["profiles"]
    known = [names.index(row) for row in printed.rows if row in names]
    highest = [n for n in np.argsort(-cosines.mean(axis=1), kind="stable").tolist() if n not in known][:_PROFILES]
    chosen = [*known, *highest]
    unknown = np.full(len(chosen), np.nan)
    columns = {
        space.name: Estimate(cosines[chosen, column], unknown, unknown, np.ones(len(chosen), np.int64))
        for column, space in enumerate(encoded.spaces)
    }
    values = "; ".join(
        f"{row} {', '.join(f'{value:.2f}' if value == value else '-' for value in numbers)}"
        for row, numbers in zip(printed.rows, printed.values, strict=True)
    )
    return model_report(
        encoded,
        args,
        columns,
        f"Profiles of pairs of covers, {args.clip}: {len(pairs):,} pairs",
        protocol="covers80",
        options=f"--data DIR --negatives {args.negatives}{clip_option(args)}",
        chance=[space.calibration["track"].mu for space in encoded.spaces],
        unit="",
        rows=[names[n] for n in chosen],
        notes=[
            "Cosines. Chance: the mean of random pairs.",
            f"Printed in MERIT, {printed.where} (melody, rhythm, timbre): {values}.",
        ],
    )


def create() -> Protocol:
    """Create the protocol."""
    return Covers()
