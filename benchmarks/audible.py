"""Share of rendered clips in which each space is audible, by the parts that play.

    python benchmarks/audible.py TRIPLETS [--model compact] [--part test] [--save DIR]

TRIPLETS come from `soundalike render`. Rows are line-ups of parts, columns are spaces, and values are per cent of the
clips. Melody should need the lead, harmony should need comp or bass, and rhythm should need any part.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from common import report_of, show_and_save
from soundalike.evaluate.base import encode_clips, full_span
from soundalike.evaluate.estimates import bootstrap
from soundalike.models.recipes import load_recipe
from soundalike.render.score.music import ROLES
from soundalike.render.score.truth import read_truth
from soundalike.train.data.folders import read_folders


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triplets", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--part", default="test")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    lineups: dict[tuple[str, ...], list[tuple[Path, str]]] = defaultdict(list)
    for parts in read_folders(args.triplets, 0).values():
        for folder in parts[args.part]:
            for clip in (folder.anchor, folder.negative):
                if clip is not None:
                    playing = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams").parts
                    lineup = tuple(role for role in ROLES if role in playing)
                    lineups[lineup].append((clip, str(folder.anchor.parents[1])))
    encoded = encode_clips(
        [full_span(clip) for clips in lineups.values() for clip, _ in clips], args.model, jobs=args.jobs
    )
    rows = {}
    for lineup, clips in sorted(lineups.items(), key=lambda item: (len(item[0]), item[0])):
        positions = encoded.positions(full_span(clip) for clip, _ in clips)
        table = np.stack([encoded.audible(space)[positions] for space in encoded.spaces], axis=1)
        rows[" + ".join(lineup)] = bootstrap(100.0 * table, [folder for _, folder in clips], 0)
    report = report_of(
        "bench-audible",
        f"Audible in rendered clips, {args.part} folders",
        f"python benchmarks/audible.py TRIPLETS --model {args.model}",
        rows=list(rows),
        columns=[f"{space.name} (%)" for space in encoded.spaces],
        values=[row.value for row in rows.values()],
        low=[row.low for row in rows.values()],
        high=[row.high for row in rows.values()],
        n=[row.n for row in rows.values()],
        notes=("Intervals: bootstrap over folders. Lead: a tune; comp: chords.",),
        model=load_recipe(args.model).name,
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
