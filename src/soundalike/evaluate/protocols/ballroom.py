"""Dances: is a recording of dance music nearer to one of its dance than to one of another?

    soundalike evaluate ballroom --data BallroomData --against dsp

The folder is that of the Ballroom dataset, with one folder of recordings per dance.

- --negatives other-class: up to ten positives of the dance and ten negatives of other dances, drawn once (--seed) for
  all rows and models.
- --negatives published: as MERIT's code draws them, from seed 42: positives are the first ten by path, and negatives
  are other ones for every row of the table. A tie counts as wrong.

Thirteen recordings occur twice; the second copy is left out unless --keep-replicas is given. Rumba-American,
Rumba-International and Rumba-Misc are one class, unless --rumba separate makes them three.

Published setting: --negatives published --keep-replicas --rumba separate --clip 30s.

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

__all__ = ["Dances", "create"]


class Dances:
    """Accuracy of every space (rows) on every dance (columns), in per cent."""

    name: ClassVar[str] = "ballroom"
    summary: ClassVar[str] = "dances of the Ballroom dataset: the rhythm probe of MERIT"

    def options(self) -> Sequence[click.Parameter]:
        """Return the options of all probes, `--rumba` and `--keep-replicas`."""
        return [
            *probe_options(("other-class", "published"), "the Ballroom dataset"),
            click.Option(
                ["--rumba"],
                type=click.Choice(["merged", "separate"]),
                default="merged",
                help="Whether the three folders of Rumba are one class (default: merged).",
            ),
            click.Option(["--keep-replicas"], is_flag=True, help="Keep the 13 recordings that occur twice."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return accuracy, accuracy with Wald intervals, distances, mAP@10, and with `--against` the difference.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "the Ballroom dataset")
        items = list(
            plugins.load(
                "datasets", self.name, root=args.data, rumba=args.rumba, keep_replicas=args.keep_replicas
            ).items()
        )
        labels, songs = [item.labels["label"] for item in items], [item.labels["song"] for item in items]
        published = args.negatives == "published"
        drawn = (
            published_triplets(labels, CLASS_ROWS)
            if published
            else draw_triplets(labels, songs, same_song=False, seed=args.seed)
        )
        options = f" --negatives {args.negatives} --rumba {args.rumba}"
        probe = LabelProbe(
            protocol=self.name,
            title=f"Dances, negatives {args.negatives}, {args.clip}",
            items=items,
            groups=songs,
            triplets=triplets_of_row(drawn),
            classes=sorted(set(labels)),
            candidates=~np.eye(len(items), dtype=np.bool_),
            options=options + (" --keep-replicas" if args.keep_replicas else ""),
            notes=[printed_note("merit", "ballroom")],
            ties=0.0 if published else 0.5,
        )
        return probe_reports(probe, args, progress)[2]


def create() -> Protocol:
    """Create the protocol."""
    return Dances()
