"""`soundalike compare`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.api.records.comparison import comparison_record
from soundalike.cli.arguments import (
    LEVEL,
    REGION,
    argument,
    json_option,
    library_option,
    model_option,
    option,
    weights_option,
)
from soundalike.cli.cells import clock, rarity, share_bar, weights_text
from soundalike.cli.commands import command
from soundalike.cli.inputs import absolute_name, chosen_library, one_standard_input, recording
from soundalike.cli.models.stems import ready_stem_model
from soundalike.cli.output import print_json, print_warnings
from soundalike.cli.references import level_text, models_text, reference_text
from soundalike.cli.stems import default_separator, stems_option
from soundalike.cli.suggest import suggest_files
from soundalike.cli.table import Cell, fitted_name, has_blocks, print_facts, print_table
from soundalike.core.errors import UsageError, one_line
from soundalike.core.palette import space_colours

if TYPE_CHECKING:
    from soundalike.core.types import Alignment
    from soundalike.search import Comparison, MatrixCell, StemMatrix

__all__ = ["compare"]

_RELIABLE = 0.3
"""An alignment with a lower agreement is a guess: over 24 pairs of demo clips each, unrelated clips reached 0.17 to
0.30 and clips of the same tune 0.25 to 0.56."""


@command("compare")
@argument("a", shell_complete=suggest_files, metavar="A", help="The query; - for standard input.")
@argument("b", shell_complete=suggest_files, metavar="B", help="The recording to score as a match of A.")
@weights_option()
@option("--region", type=REGION, metavar="FROM-TO", help="Use only this part of A, such as 0:30-0:40.")
@option("--region-b", type=REGION, metavar="FROM-TO", help="Use only this part of B.")
@option(
    "--by", type=LEVEL, help="Compare whole tracks or passages (default: passages for a region or if A is below 30 s)."
)
@option("--align", is_flag=True, help="Also find the transposition, tempo ratio and offset.")
@stems_option("Compare the stems that a separator makes of both recordings, such as spleeter.")
@option("--matrix", is_flag=True, help="Compare the mix and every stem in every factor, as a table.")
@model_option()
@library_option()
@json_option()
def compare(
    a: str,
    b: str,
    weights: Mapping[str, float] | None,
    region: tuple[float, float | None] | None,
    region_b: tuple[float, float | None] | None,
    by: Any,
    align: bool,
    separator: str | None,
    matrix: bool,
    model: str | None,
    library_path: Path | None,
    as_json: bool,
) -> int:
    """Score how alike two recordings are, and where.

    B is scored as a match of A, exactly as in a search. The table shows each space with its two most similar passages.

    \b
      soundalike compare a.wav b.wav
      soundalike compare a.wav b.wav --align
                                         also transposition, tempo ratio, offset
      soundalike compare a.wav b.wav --library music
                                         percentiles within a library

    The z of a space is 0 for what two random recordings reach on average, and 1 is one standard deviation more alike.
    The score is the weighted mean of z over the spaces; the shares sum to it. The percentile is the percentage of
    random pairs that are less alike. Random pairs are those of the library, if one is given that holds 200 recordings,
    else those of the model. If A is shorter than 30 s, or a region is given, B is scored by its best passage.

    \b
      soundalike compare a.wav b.wav --stems spleeter
                                         vocals and accompaniment in every space
      soundalike compare a.wav b.wav --matrix
                                         mix and stems as rows, spaces as columns

    A cell of the matrix holds the z of one space and its percentile; n/a is a stem that is silent in A or B. The
    separator of --matrix is that of --stems, else the one that the library holds stems of, else spleeter.
    """
    from soundalike import api
    from soundalike.models import DEFAULT_MODEL, split_stem_model

    one_standard_input([a, b])
    options: dict[str, Any] = {
        "weights": weights, "region": region, "region_b": region_b, "by": by, "align": align,
    }  # fmt: skip
    first, second = recording(a), recording(b)
    if matrix and (weights is not None or align):
        raise UsageError("--matrix compares every space by itself; leave out --weights and --align")
    table: StemMatrix | None = None
    with nullcontext() if library_path is None else chosen_library(library_path) as library:
        opened = api if library is None else library
        name = DEFAULT_MODEL if library is None and model is None else model
        if matrix:
            base = library.folder.model(model).name if library is not None else str(name)
            if (parts := split_stem_model(base)) is not None:
                base, separator = parts[0], separator or parts[1]
            separator = separator or default_separator(library, base)
            ready_stem_model(base, separator, quiet=as_json)
            del options["weights"], options["align"]
            table = opened.compare_stems(first, second, separator, model=base, **options)
            found = table.mix
        elif separator is not None:
            base = library.folder.model(model).name if library is not None else str(name)
            on_stems = ready_stem_model(base, separator, quiet=as_json)
            opened = library if library is not None and on_stems in library.models else api
            found = opened.compare(first, second, model=on_stems, **options)
        else:
            found = opened.compare(first, second, model=name, **options)
    print_warnings(found.warnings)
    if as_json:
        print_json(comparison_record(absolute_name(a), absolute_name(b), found, table))
    elif table is not None:
        _print_matrix(a, b, table)
    else:
        _print_comparison(a, b, found, aligned=align)
    return 0


_BAR = 10
_HEARD = 3
"""Cells of a matrix whose most similar passages are named."""


def _print_matrix(a: str, b: str, matrix: StemMatrix) -> None:
    """Print one row per source and one column per factor, and where the most similar cells can be heard."""
    mix = matrix.mix
    for letter, name in (("A", a), ("B", b)):
        print(f"{letter}  {fitted_name(one_line(name), 3)}")
    kind = "whole tracks" if mix.level == "track" else f"best passages of B{level_text(mix.level_reason, 'A')}"
    print_facts(f"models {mix.model} and {matrix.stems.model}", kind, "z and percentile of every cell")
    print_facts(reference_text(mix.reference, mix.recordings, [mix.model], [mix.match.spaces]))
    rows = [
        [source, *(_cell_text(matrix.cells.get((source, factor))) for factor in matrix.factors)]
        for source in matrix.sources
    ]
    print_table(["", *matrix.factors], rows, left=[0], stretch=0)
    audible = [cell for cell in matrix if cell.score.z is not None and cell.pair is not None]
    for cell in sorted(audible, key=lambda one: -(one.score.z or 0.0))[:_HEARD]:
        pair = cell.pair
        if pair is not None:
            spans = [f"{clock(span.start)}-{clock(span.end)}" for span in (pair.a, pair.b)]
            print_facts(f"{cell.source} {cell.factor}: A {spans[0]}, B {spans[1]}")


def _cell_text(cell: MatrixCell | None) -> str:
    if cell is None:
        return ""
    return "n/a" if cell.score.z is None else f"{cell.score.z:+.1f} {rarity(cell.score.percentile):>5}"


def _print_comparison(a: str, b: str, found: Comparison, *, aligned: bool) -> None:
    match = found.match
    kind = "whole tracks" if found.level == "track" else f"best passage of B{level_text(found.level_reason, 'A')}"
    for letter, name in (("A", a), ("B", b)):
        print(f"{letter}  {fitted_name(one_line(name), 3)}")
    print_facts(f"score {match.score:+.2f}", f"percentile {rarity(match.percentile)}", kind)
    print_facts(f"weights: {weights_text(found.weights)}", models_text(found.models))
    print_facts(reference_text(found.reference, found.recordings, found.models, [match.spaces]))
    rows: list[list[Cell]] = []
    largest = max(abs(one.share) for one in match.spaces.values())
    colours = space_colours(match.spaces)
    for name, one in match.spaces.items():
        pair = found.pairs[name]
        spans = [f"{clock(span.start)}-{clock(span.end)}" for span in (pair.a, pair.b)] if pair else ["n/a", "n/a"]
        numbers = [f"{one.similarity:+.3f}", f"{one.z:+.2f}", rarity(one.percentile)] if one.audible else ["n/a"] * 3
        bar = share_bar(one.share, largest, _BAR, ascii_only=not has_blocks())
        rows.append([name, [(bar, colours[name])], f"{one.share:+.2f}", f"{one.weight:g}", *numbers, *spans])
    header = ["space", "", "share", "weight", "similarity", "z", "percentile", "best in A", "best in B"]
    print_table(header, rows, left=[0, 1], stretch=0, ranks={1: 1, 3: 3, 4: 2})
    if match.alignment:
        print_facts(*_describe_alignment(match.alignment))
    elif aligned:
        print("aligned: n/a, as neither melody nor harmony is audible in both recordings")


def _describe_alignment(one: Alignment) -> tuple[str, str]:
    guess = "" if one.agreement >= _RELIABLE else "no reliable alignment; the best guess is that "
    return (
        f"aligned: {guess}B is A transposed by {one.semitones:+d} semitones, at {one.tempo_ratio:.3f} of its tempo",
        f"A's passage begins {one.offset:+.2f} s into B's (agreement {one.agreement:.2f})",
    )
