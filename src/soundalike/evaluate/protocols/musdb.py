"""Stem classes: is a stem nearer to one of its class than to another part of its own song?

    soundalike evaluate musdb --data MUSDB18HQ --model compact --against dsp

The folder is MUSDB18-HQ, {train,test}/<artist - title>/{vocals,drums,bass,other}.wav, or holds a table stems.csv with
the columns song, path and stem_class; stems of one class are then summed. Every stem is a query.

- --negatives same-song: the negatives are the other stems of the query's song, as MERIT's paper says.
- --negatives other-class: up to ten stems of other classes, of any song.
- --negatives published: as MERIT's code draws them, from seed 42: positives are the first ten by path, negatives ten of
  any other class, and other ones for every row of the table. A tie counts as wrong.

Otherwise positives are up to ten stems of the class from other songs, drawn once (--seed) for all rows and models.

Published setting: --negatives published --clip 30s. A stem that is silent in the first 30 seconds is inaudible, and its
similarities are the mean of random pairs, where MERIT's code embeds the silence.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, sections 4.5 and 4.6, table 3.
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
from soundalike.evaluate.draws import CLASS_ROWS, draw_triplets, published_triplets
from soundalike.evaluate.label_probe import LabelProbe, probe_options, probe_reports, triplets_of_row
from soundalike.evaluate.printed import printed_note

__all__ = ["StemClasses", "create"]


class StemClasses:
    """Accuracy of every space (rows) on every stem class (columns), in per cent."""

    name: ClassVar[str] = "musdb"
    summary: ClassVar[str] = "stem classes of MUSDB18-HQ or of stems in a table: the timbre probe of MERIT"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options of all probes."""
        return probe_options(("same-song", "other-class", "published"), "MUSDB18-HQ, or with stems.csv")

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return accuracy, accuracy with Wald intervals, distances, mAP@10, and with `--against` the difference.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "MUSDB18-HQ, or with stems.csv")
        member = "stem_table" if (args.data / "stems.csv").exists() else "musdb18hq"
        items = sorted(plugins.load("datasets", member, root=args.data).items(), key=lambda item: item.path)
        labels, songs = [item.labels["label"] for item in items], [item.labels["song"] for item in items]
        if args.negatives == "published":
            triplets = triplets_of_row(published_triplets(labels, CLASS_ROWS))
        else:
            triplets = triplets_of_row(
                draw_triplets(labels, songs, same_song=args.negatives == "same-song", seed=args.seed)
            )
        probe = LabelProbe(
            protocol=self.name,
            title=f"Stem classes, negatives {args.negatives}, {args.clip}",
            items=items,
            groups=songs,
            triplets=triplets,
            classes=sorted(set(labels)),
            candidates=~np.eye(len(items), dtype=np.bool_),
            options=f" --negatives {args.negatives}",
            notes=[printed_note("merit", "musdb")],
            ties=0.0 if args.negatives == "published" else 0.5,
        )
        return probe_reports(probe, args, progress)[2]


def create() -> Protocol:
    """Create the protocol."""
    return StemClasses()
