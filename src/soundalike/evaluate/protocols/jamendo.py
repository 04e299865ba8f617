"""Instruments: does a track find tracks with the same instruments?

    soundalike evaluate jamendo --data MTG-JAMENDO --against dsp

The folder holds the tables of MTG-Jamendo below data, and its audio below audio. The tracks are those of the test set
of the first split, or with --part all those with a tag of an instrument. A track has several instruments; two tracks
share a label if they have one in common.

The main measure is mAP@10 over the labels, as in MERIT's code; its paper has no such table. By default, tracks of the
query's artist that share a label are no candidates, because they share the recording too; --same-artist keeps them, as
the code does. The code matches no track of the real table, because its keys are numbers and those of the table are
track_NNNNNNN, and it would take artist, path and duration for labels. So only its measure is repeated here.

Triplets have up to ten positives by other artists and ten negatives without a common instrument, drawn once (--seed).

Reference: Bogdanov et al., The MTG-Jamendo dataset for automatic music tagging, ICML 2019 workshop.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core import plugins
from soundalike.core.types import Report
from soundalike.evaluate.base import Progress, Protocol, check_folder
from soundalike.evaluate.draws import draw_triplets, label_sets, shares_label
from soundalike.evaluate.label_probe import LabelProbe, probe_options, probe_reports, triplets_of_row

__all__ = ["Instruments", "create"]


class Instruments:
    """Accuracy and mAP@10 of every space (rows) on every instrument (columns), in per cent."""

    name: ClassVar[str] = "jamendo"
    summary: ClassVar[str] = "instruments of MTG-Jamendo: mean average precision over tags"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options of all probes, `--part` and `--same-artist`."""
        return [
            *probe_options((), "MTG-Jamendo: data and audio"),
            click.Option(
                ["--part"],
                type=click.Choice(["test", "all"]),
                default="test",
                help="The test set of split 0, or all tracks with an instrument (default: test).",
            ),
            click.Option(["--same-artist"], is_flag=True, help="Keep the query's artist among the candidates."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return accuracy, accuracy with Wald intervals, distances, mAP@10, and with `--against` the difference.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "MTG-Jamendo: data and audio")
        items = list(plugins.load("datasets", "jamendo_instruments", root=args.data, part=args.part).items())
        labels, artists = [item.labels["label"] for item in items], [item.labels["song"] for item in items]
        candidates = ~np.eye(len(items), dtype=np.bool_)
        if not args.same_artist:
            artist = np.asarray(artists, dtype=np.str_)
            candidates &= ~((artist[:, None] == artist) & shares_label(labels))
        probe = LabelProbe(
            protocol=self.name,
            title=f"Instruments, {args.clip}",
            items=items,
            groups=artists,
            triplets=triplets_of_row(draw_triplets(labels, artists, same_song=False, seed=args.seed)),
            classes=sorted(frozenset().union(*label_sets(labels))),
            candidates=candidates,
            options=f" --part {args.part}" + (" --same-artist" if args.same_artist else ""),
            notes=["Songs are artists here. A triplet has the labels of its anchor."],
        )
        return probe_reports(probe, args, progress)[2]


def create() -> Protocol:
    """Create the protocol."""
    return Instruments()
