"""`soundalike reproduce instrument-similarity`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
from soundalike.cli.render_songs import read_lengths
from soundalike.cli.reproduce import check_output, reproduce_paper
from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.core.options import TextType
from soundalike.train.metric import FIVE, PUBLISHED, SMALL

if TYPE_CHECKING:
    from soundalike.reproduce import Comparison, ProtocolRuns

__all__ = ["instrument_similarity"]


def _read_counts(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise ValueError(f"expected three numbers of songs, such as 120,20,45, found {text!r}")
    train, validation, test = map(int, parts)
    return train, validation, test


@command("instrument-similarity")
@argument(
    "folder",
    type=GIVEN_PATH,
    required=False,
    metavar="[DIR]",
    help="Slakh2100, or what `soundalike render songs` wrote.",
)
@option("--rendered", is_flag=True, help="Render songs instead: tunes and sounds of the test part are in no other one.")
@option(
    "--work", type=GIVEN_PATH, required=True, metavar="DIR", help="Where to keep songs, samples, networks and rows."
)
@option("--labels", type=GIVEN_PATH, metavar="DIR", help="Inst-Sim-ABX (default: simulated listeners).")
@option(
    "--small/--published",
    default=True,
    help="Sizes that train on two cores, or those of the paper (default: small).",
)
@option("-o", "--output", type=GIVEN_PATH, metavar="FILE", help="Write a page (Markdown) with all tables.")
@option(
    "--figures", type=GIVEN_PATH, metavar="DIR", help="Draw figure 7 into this folder (needs soundalike[map,plot])."
)
@option("--songs", type=TextType("N,N,N", lambda text: _read_counts(text)), default="120,20,45", metavar="N,N,N",
        help="Songs to render for training, validation and test (default: 120,20,45).")  # fmt: skip
@option(
    "--seconds",
    type=TextType("LOW..HIGH", read_lengths),
    default="60",
    metavar="LOW..HIGH",
    help="Lengths of rendered songs (default: 60).",
)
@option(
    "--segments", type=WholeNumber(), default=1000, metavar="N", help="Segments per score at least (default: 1000)."
)
@option("--judgements", type=WholeNumber(), default=240, metavar="N",
        help="Triplets that simulated listeners judge, per instrument and test (default: 240).")  # fmt: skip
@option(
    "--split",
    type=click.Choice(["triplet", "song"]),
    default="triplet",
    help="Split judgements 7 to 3 by triplets, as published, or by songs (default: triplet).",
)
@option("--redux", type=GIVEN_PATH, metavar="FILE", help="The redux.json of slakh-utils: tracks of Slakh2100 to use.")
@option("--device", default="cpu", metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu).")
@seed_option()
@jobs_option("Number of processes that render, read and train (default: one per core).")
@ray_option()
@json_option()
def instrument_similarity(
    folder: Path | None,
    rendered: bool,
    work: Path,
    labels: Path | None,
    small: bool,
    output: Path | None,
    figures: Path | None,
    songs: tuple[int, int, int],
    seconds: tuple[float, float],
    segments: int,
    judgements: int,
    split: Literal["triplet", "song"],
    redux: Path | None,
    device: str,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Train every method of the paper on similarity of instruments, and measure all its numbers.

    Imamura, Hashizume, Huang and Toda learn what each instrument of a mix sounds like: Clean, Cascade, Cascade-FT,
    Direct, Direct-Reconst, and fine-tuning on judgements of listeners (PAFT). DIR holds songs with stems; or songs are
    rendered. Without --labels, simulated listeners judge what the stems are made of, for which songs need MIDI files.

    Everything is kept in WORK. You can interrupt a run at any time: the next one continues, with the same result.
    Needs soundalike[train].

    \b
      soundalike reproduce instrument-similarity --rendered --work scratch \\
          -o similarity.md
      soundalike reproduce instrument-similarity slakh2100_flac --published \\
          --labels Inst-Sim-ABX-Dataset --device cuda --work slakh -o page.md
    """
    try:
        from soundalike.evaluate.tsne import check_tsne
        from soundalike.render.songs import SongSettings
        from soundalike.reproduce import RenderedSongs, SimilarityRun, SimilaritySources, SimilarityStudy
        from soundalike.train.common import use_all_cores
    except ModuleNotFoundError as error:
        raise UsageError("training networks needs torch; install it with: pip install 'soundalike[train]'") from error
    if (folder is None) != rendered:
        raise click.UsageError("give the folder of the songs, or --rendered", click.get_current_context())
    check_output(output)
    if figures:
        make_folder(figures, "--figures")
        check_tsne(figures / "figure7.png")
    use_all_cores()
    usual = SMALL if small else PUBLISHED
    settings = replace(usual, network=replace(usual.network, instruments=FIVE), seed=seed, device=device)
    rendered_songs = RenderedSongs(songs, SongSettings(seconds=seconds))
    sources = SimilaritySources(folder or rendered_songs, labels, redux, judgements, split)

    failed: list[str] = []

    def study(runs: ProtocolRuns) -> list[Comparison]:
        run = SimilarityRun(work, settings, sources, jobs, runs.started, runs.progress)
        found = SimilarityStudy(run, segments)
        tables = found.tables()
        failed.extend(dict.fromkeys(found.layout.failed))
        for file in found.draw(figures) if figures else ():
            print_message(f"drawn: {file}")
        return tables

    code = reproduce_paper(study, "Similarity of instruments, reproduced", output, seed, jobs, as_json)
    for problem in failed:
        print_message(problem)
    return PARTLY if failed else code
