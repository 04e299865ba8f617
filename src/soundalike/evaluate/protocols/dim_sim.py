"""Dim-sim: does a model find the recording more similar that most listeners do?

    soundalike evaluate dim-sim --data dim-sim --model compact

The folder holds the table of judgements, clean-dim-sim.csv, or another one with --table, and the recordings, which are
tracks of the Million Song Dataset: <id>.mp3, in any folders below it. They are not part of the dataset; you supply
them. A triplet is used if at least 90 % of its listeners agree (--agreement).

- A recording is the mean of its non-overlapping sections of 3 s. With --clip excerpt, it is the 3 s that listeners
  heard.
- A triplet is right if the Euclidean distance from the anchor to the recording that listeners chose is smaller than to
  the other one. A tie counts half. A space decides nothing if one of the three recordings has no content in it.
- The rows are the spaces of the model, and all of them together. A second table has every combination of spaces, the
  best first, for models with up to eight spaces. --kiviat draws the spaces.

Intervals are exact binomial (Clopper-Pearson) at 95 %.

References: Lee, Bryan, Salamon, Jin and Nam, Disentangled multidimensional metric learning for music similarity, ICASSP
2020; Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021, which has 426 triplets at 90 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click
import numpy as np

from soundalike.core import plugins
from soundalike.core.types import FloatArray, Report, Span, Triplet
from soundalike.evaluate.base import (
    EncodedClips,
    Progress,
    Protocol,
    check_folder,
    full_span,
    model_report,
    triplet_rows,
)
from soundalike.evaluate.concepts import all_masks, mask_outcomes, masks_of
from soundalike.evaluate.estimates import clopper_pearson
from soundalike.evaluate.kiviat import draw_kiviat
from soundalike.evaluate.printed import printed_tables
from soundalike.evaluate.reports import check_plot
from soundalike.evaluate.section_rows import SECTION, encode_sections

__all__ = ["DimSimTriplets", "create"]

_MOST = 8
"""Spaces of which all combinations are tried: 255."""


class DimSimTriplets:
    """Triplet score of every space and combination of spaces (rows), in per cent."""

    name: ClassVar[str] = "dim-sim"
    summary: ClassVar[str] = "Dim-sim: which of two recordings do listeners find more similar?"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--data`, `--table`, `--agreement`, `--clip` and `--kiviat`."""
        path = click.Path(path_type=Path)
        return [
            click.Option(["--data"], type=path, required=True, metavar="DIR", help="Folder with the recordings."),
            click.Option(["--table"], type=path, metavar="FILE", help="CSV file of judgements (default: that in DIR)."),
            click.Option(
                ["--agreement"],
                type=click.FloatRange(0, 1),
                default=0.9,
                metavar="SHARE",
                help="Listeners that agree on a triplet at least, 0 to 1 (default: 0.9).",
            ),
            click.Option(
                ["--clip"],
                type=click.Choice(["song", "excerpt"]),
                default="song",
                help="Encode whole recordings, or the 3 s that listeners heard (default: song).",
            ),
            click.Option(["--kiviat"], type=path, metavar="FILE", help="Draw the spaces as a Kiviat diagram."),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return the scores of the spaces, and those of all combinations.

        Raises UsageError, AudioError or ModelError.
        """
        check_folder(args.data, "the recordings of Dim-sim")
        if args.kiviat:
            check_plot(args.kiviat, option="--kiviat")
        dataset = plugins.load("datasets", "dim_sim", root=args.data, table=args.table)
        triplets = []
        for one in dataset.triplets(args.agreement):
            anchor, positive, negative = (
                Span(str(file), start, start + SECTION) if args.clip == "excerpt" else full_span(file)
                for file, start in zip((one.anchor, one.positive, one.negative), one.starts, strict=True)
            )
            triplets.append(Triplet(anchor, positive, negative, "similarity", agreement=one.agreement))
        clips = {clip for one in triplets for clip in (one.anchor, one.positive, one.negative)}
        encoded = encode_sections(clips, args.model, jobs=args.jobs, progress=progress)
        names = [space.name for space in encoded.spaces]
        singles = self._report(encoded, args, triplets, masks_of(names) if len(names) > 1 else {names[0]: names})
        if args.kiviat:
            scores = {encoded.model: singles.values[: len(names), 0].tolist()}
            draw_kiviat(names, scores, args.kiviat, title="Dim-sim, single spaces")
        if not 1 < len(names) <= _MOST:
            return (singles,)
        return singles, self._report(encoded, args, triplets, all_masks(names), ranked=True)

    def _report(
        self,
        encoded: EncodedClips,
        args: SimpleNamespace,
        triplets: Sequence[Triplet],
        masks: Mapping[str, Sequence[str]],
        *,
        ranked: bool = False,
    ) -> Report:
        numbers = np.stack(triplet_rows(encoded, triplets), axis=1)
        wins: FloatArray = mask_outcomes(encoded.rows, numbers, masks).sum(axis=0)
        order = np.argsort(-wins, kind="stable") if ranked else np.arange(len(wins))
        names = list(masks)
        best = printed_tables("concepts")["models"]
        recordings = f"{len(encoded.index):,} {'excerpts' if args.clip == 'excerpt' else 'recordings'}"
        title = f"{len(triplets):,} triplets of {recordings}, agreement {100 * args.agreement:g} %"
        options = [
            "--data DIR",
            "--table FILE" if args.table else "",
            f"--agreement {args.agreement:g}" if args.agreement != 0.9 else "",
            f"--clip {args.clip}" if args.clip != "song" else "",
        ]
        return model_report(
            encoded,
            args,
            {"score": clopper_pearson(wins[order], np.full(len(wins), len(triplets)))},
            f"Dim-sim, combinations: {title}" if ranked else f"Dim-sim: {title}",
            protocol=self.name,
            options=" ".join(filter(None, options)),
            chance=50.0,
            rows=[names[at] for at in order],
            notes=[
                "Euclidean distances of means over sections of 3 s. Intervals: Clopper-Pearson. Ties count half.",
                f"Printed by Ribecky et al., {best.where}, on 426 triplets: "
                + ", ".join(f"{row} {score:.1f}" for row, (score,) in zip(best.rows, best.values, strict=True))
                + " %.",
            ],
        )


def create() -> Protocol:
    """Create the protocol."""
    return DimSimTriplets()
