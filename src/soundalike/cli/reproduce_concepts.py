"""`soundalike reproduce concepts`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    WholeNumber,
    argument,
    jobs_option,
    json_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import PARTLY
from soundalike.cli.output import print_message
from soundalike.cli.reproduce import check_output, reproduce_paper
from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.evaluate.base import check_folder
from soundalike.evaluate.reports import check_plot
from soundalike.train.concepts import PUBLISHED, SMALL

if TYPE_CHECKING:
    from soundalike.reproduce import Comparison, ProtocolRuns

__all__ = ["concepts"]


@command("concepts")
@argument(
    "folder", type=GIVEN_PATH, required=False, metavar="[DIR]", help="Folder of music with tags, or of a dataset."
)
@option("--dataset", default="folder", metavar="NAME",
        help="Dataset in DIR: labelled, gtzan, mtg_jamendo or msd_lastfm (default: tags of the files).")  # fmt: skip
@option("--rendered", is_flag=True, help="Render clips instead: tunes and sounds of the test part are in no other one.")
@option("--work", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to keep clips, inputs, networks and rows.")
@option(
    "--dim-sim", type=GIVEN_PATH, metavar="DIR", help="Recordings and judgements of Dim-sim (default: simulated ones)."
)
@option("--table", type=GIVEN_PATH, metavar="FILE", help="Judgements of Dim-sim (default: those in its folder).")
@option(
    "--small/--published",
    default=True,
    help="Sizes that train on two cores, or those of the paper (default: small).",
)
@option("-o", "--output", type=GIVEN_PATH, metavar="FILE", help="Write a page (Markdown) with all tables.")
@option("--figures", type=GIVEN_PATH, metavar="DIR", help="Draw figure 3 into this folder (needs soundalike[plot]).")
@option("--also", multiple=True, metavar="MODEL", help="Another model to measure on the judged songs. May be repeated.")
@option("--clips", type=WholeNumber(), default=2000, metavar="N", help="Clips to render (default: 2000).")
@option("--tunes", type=GIVEN_PATH, metavar="PATH", help="Folder or archive of MIDI files with melodies to render.")
@option("--triplets", type=WholeNumber(), default=1000, metavar="N", help="Triplets per concept (default: 1000).")
@option("--device", default="cpu", metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu).")
@seed_option()
@jobs_option("Number of processes that render, read and train (default: one per core).")
@ray_option()
@json_option()
def concepts(
    folder: Path | None,
    dataset: str,
    rendered: bool,
    work: Path,
    dim_sim: Path | None,
    table: Path | None,
    small: bool,
    output: Path | None,
    figures: Path | None,
    also: tuple[str, ...],
    clips: int,
    tunes: Path | None,
    triplets: int,
    device: str,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train every network of the paper on concepts, and measure all its numbers.

    Ribecky, Abeßer and Lukashevich learn genre, mood, instrument, era, tempo and key as six dimensions of one
    embedding, from mel spectrum, tempogram and chroma. The networks of table 1 are trained, and two more that show what
    each input does. DIR holds labelled recordings, or clips are rendered. Tempo and key are estimated where they have
    no label. Without --dim-sim, simulated listeners judge the test recordings by their labels. The models openl3,
    efficientat and musicnn are measured beside the networks as far as they are installed.

    Everything is kept in WORK. You can interrupt a run at any time: the next one continues, with the same result.
    Needs soundalike[train].

    \b
      soundalike reproduce concepts --rendered --work scratch -o concepts.md
      soundalike reproduce concepts mtg-jamendo-dataset --dataset mtg_jamendo \\
          --dim-sim dim-sim --published --device cuda --work jamendo -o page.md
    """
    try:
        from soundalike.reproduce import ConceptRun, ConceptSources, ConceptStudy
        from soundalike.train.common import use_all_cores
        from soundalike.train.concepts.estimates import estimate_labels
        from soundalike.train.concepts.rendered import RenderedSettings
        from soundalike.train.concepts.tracks import find_tracks
    except ModuleNotFoundError as error:
        raise UsageError("training networks needs torch; install it with: pip install 'soundalike[train]'") from error
    if (folder is None) != rendered:
        raise click.UsageError("give the folder of a dataset, or --rendered", click.get_current_context())
    if folder:
        check_folder(folder, "labelled recordings")
    check_output(output)
    if figures:
        make_folder(figures, "--figures")
        check_plot(figures / "figure3.png", option="--figures")
    use_all_cores()
    settings = replace(SMALL if small else PUBLISHED, seed=seed, device=device)

    failed: list[str] = []

    def study(runs: ProtocolRuns) -> list[Comparison]:
        tracks = None
        if folder:
            listed = find_tracks(folder, dataset, seed=seed, announce=runs.started)
            tracks = estimate_labels(listed, work, jobs=jobs, announce=runs.started, progress=runs.progress)
        rendering = RenderedSettings(tunes=str(tunes) if tunes else None)
        sources = ConceptSources(tracks, clips, rendering, dim_sim=dim_sim, table=table)
        run = ConceptRun(work, settings, sources, jobs, runs.started, runs.progress)
        found = ConceptStudy(run, [*dict.fromkeys(["efficientat", "musicnn", *also])], triplets)
        tables = found.tables()
        failed.extend(dict.fromkeys(found.failed))
        for file in found.draw(figures) if figures else ():
            print_message(f"drawn: {file}")
        return tables

    code = reproduce_paper(study, "Concepts, reproduced", output, seed, jobs, as_json)
    for problem in failed:
        print_message(problem)
    return PARTLY if failed else code
