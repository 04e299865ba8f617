"""`soundalike reproduce`: all tables and figures of a paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    argument,
    jobs_option,
    json_option,
    option,
    ray_option,
    seed_option,
    shared_parameters,
)
from soundalike.cli.commands import Entry, Group, command
from soundalike.cli.exit_codes import DONE, PARTLY
from soundalike.cli.output import Progress, print_json, print_message, print_styled
from soundalike.cli.table import print_table
from soundalike.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from soundalike.reproduce import Comparison, ComparisonRow, ProtocolRuns

__all__ = ["check_output", "instrument_weights", "merit", "reproduce", "reproduce_paper"]

_INTRODUCTION = """\
Every number that the paper prints, beside the same number as measured here. Measured values have their 95 % interval
and n. Rows without a model or data say what they need; run the command again when it is there."""


@dataclass(frozen=True, slots=True)
class NumberRecord:
    """A number of the paper and as measured: null where there is none. `low` and `high` are the 95 % interval.

    Deviations are standard deviations over several runs of a training.
    """

    column: str
    printed: float | None
    printed_low: float | None
    printed_high: float | None
    printed_deviation: float | None
    value: float | None
    low: float | None
    high: float | None
    deviation: float | None
    n: int | None


@dataclass(frozen=True, slots=True)
class RowRecord:
    """A row of a table; `missing` says why it has no measured numbers."""

    name: str
    numbers: Sequence[NumberRecord]
    missing: str | None


@dataclass(frozen=True, slots=True)
class TableRecord:
    """A table or figure of the paper. `unit` is "%", "dB" or empty."""

    title: str
    unit: str
    rows: Sequence[RowRecord]
    notes: Sequence[str]
    commands: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReproductionRecord:
    """The tables of a paper, and the runs that failed."""

    tables: Sequence[TableRecord]
    failed: Sequence[str]


@command("merit")
@argument("folders", type=GIVEN_PATH, nargs=-1, required=True, metavar="DIR...", help="Folders of datasets.")
@option("--split", type=GIVEN_PATH, metavar="FILE", help="The split of the triplet folders; its part test is used.")
@option("--also", multiple=True, metavar="MODEL", help="Another model to measure on the same data. May be repeated.")
@option("-o", "--output", type=GIVEN_PATH, metavar="FILE", help="Write a page (Markdown) with all tables.")
@seed_option()
@jobs_option()
@ray_option()
@json_option()
def merit(
    folders: tuple[Path, ...],
    split: Path | None,
    also: tuple[str, ...],
    output: Path | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Measure every number of MERIT again, and print the paper's beside it.

    Each DIR is the folder of a dataset in its published layout: triplet folders of MERIT, MUSDB18-HQ, Ballroom,
    Covers80. What a folder holds is told by its layout. The models merit, mert and clap are used as far as they are
    installed.

    \b
      soundalike models install merit
      soundalike reproduce merit triplets MUSDB18HQ BallroomData -o merit.md
      soundalike reproduce merit MUSDB18HQ --also compact --also dsp
    """
    from soundalike.models import load_recipe
    from soundalike.reproduce import MeritStudy, find_data

    for name in also:
        load_recipe(name)
    data = find_data(folders)
    check_output(output)

    def study(runs: ProtocolRuns) -> list[Comparison]:
        return MeritStudy(data, runs, others=also, split=split).tables()

    return reproduce_paper(study, "MERIT, reproduced", output, seed, jobs, as_json)


@command("instrument-weights")
@argument("folders", type=GIVEN_PATH, nargs=-1, required=True, metavar="DIR...", help="Inst-Sim-ABX, and Slakh2100.")
@option("--also", multiple=True, metavar="MODEL", help="Another model to measure on the same data. May be repeated.")
@option("--stem-model", multiple=True, metavar="MODEL", help="A stem model to measure with those of --also.")
@option("-o", "--output", type=GIVEN_PATH, metavar="FILE", help="Write a page (Markdown) with all tables.")
@seed_option()
@jobs_option()
@ray_option()
@json_option()
def instrument_weights(
    folders: tuple[Path, ...],
    also: tuple[str, ...],
    stem_model: tuple[str, ...],
    output: Path | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Measure every number of the paper on weights per instrument, and print the paper's beside it.

    Vohra and Akama weigh the stems of CLAP and MuQ-MuLan as listeners do. Each DIR is the folder of a dataset: that of
    Inst-Sim-ABX, with csvs/ and sample_configs/, and that of Slakh2100. With the labels alone, triplets are counted.
    The models clap and muq, and their stem models, are used as far as they are installed.

    \b
      soundalike reproduce instrument-weights Inst-Sim-ABX-Dataset slakh
      soundalike reproduce instrument-weights Inst-Sim-ABX-Dataset slakh \\
        --also compact --stem-model compact-spleeter -o weights.md
    """
    from soundalike.models import load_recipe
    from soundalike.reproduce import InstrumentWeightStudy, find_listening_data

    for name in (*also, *stem_model):
        load_recipe(name)
    data = find_listening_data(folders)
    check_output(output)

    def study(runs: ProtocolRuns) -> list[Comparison]:
        return InstrumentWeightStudy(data, runs, others=also, stem_models=stem_model).tables()

    return reproduce_paper(study, "Weights per instrument, reproduced", output, seed, jobs, as_json)


def check_output(output: Path | None) -> None:
    """Raise UsageError if a page cannot be written, before any work, which would be lost."""
    if output and output.is_dir():
        raise UsageError(f"cannot write {output}: it is a folder; give a file")
    if output and not output.absolute().parent.is_dir():
        raise UsageError(f"cannot write {output}: its folder does not exist")


def reproduce_paper(
    study: Callable[[ProtocolRuns], list[Comparison]],
    title: str,
    output: Path | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Measure the tables of a study, print them, and write the page."""
    from soundalike.core.files import write_atomic
    from soundalike.reproduce import ProtocolRuns, markdown_page

    with Progress("clip", enabled=not as_json) as progress:

        def started(what: str) -> None:
            print_message(what)
            progress.restart()

        runs = ProtocolRuns(seed=seed, jobs=jobs, progress=progress, started=started)
        tables = study(runs)
    if as_json:
        print_json(ReproductionRecord([_record(table) for table in tables], runs.failed))
    else:
        for table in tables:
            _print(table)
    if output:
        page = markdown_page(title, _INTRODUCTION, tables)
        write_atomic(output, lambda file: file.write(page.encode()))
        if not as_json:
            print(f"written: {one_line(output)}")
    if runs.failed and not runs.succeeded:
        raise UsageError(runs.failed[0])
    for problem in runs.failed:
        print_message(problem)
    return PARTLY if runs.failed else DONE


def _record(table: Comparison) -> TableRecord:
    rows = [
        RowRecord(row.name, [_number_record(row, at, column) for at, column in enumerate(table.columns)], row.missing)
        for row in table.rows
    ]
    return TableRecord(table.title, table.unit, rows, table.notes, table.commands)


def _number_record(row: ComparisonRow, at: int, column: str) -> NumberRecord:
    low, high, deviation = (
        _finite(numbers[at]) if numbers else None for numbers in (row.low, row.high, row.deviations)
    )
    one = row.measured[at]
    return NumberRecord(
        column,
        _finite(row.printed[at]),
        low,
        high,
        deviation,
        one.value if one else None,
        _finite(one.low) if one else None,
        _finite(one.high) if one else None,
        _finite(one.deviation) if one else None,
        one.n if one else None,
    )


def _finite(number: float) -> float | None:
    return None if math.isnan(number) else number


def _print(table: Comparison) -> None:
    from soundalike.reproduce import comparison_lines

    print_styled((table.title, "bold"))
    header, *lines = comparison_lines(table)
    if table.columns:
        print_table(header, lines, left=[0], stretch=0)
    for remark in [*dict.fromkeys(row.missing for row in table.rows if row.missing), *table.notes]:
        print_styled((remark, "dim"))
    print()


reproduce: click.Command = Group(
    "reproduce",
    {
        "merit": Entry("reproduce:merit", "MERIT: melody, rhythm and timbre heads on MERT"),
        "instrument-weights": Entry("reproduce:instrument_weights", "weights per instrument that listeners agree with"),
        "instrument-similarity": Entry(
            "reproduce_similarity:instrument_similarity", "networks for one instrument of a mix"
        ),
        "concepts": Entry(
            "reproduce_concepts:concepts", "genre, mood, instrument, era, tempo and key in one embedding"
        ),
    },
    title="papers",
    help="Measure all tables and figures of a paper again, with its printed numbers beside them.",
    params=shared_parameters("json"),
)
