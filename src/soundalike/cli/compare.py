"""`soundalike compare`."""

from __future__ import annotations

from collections.abc import Mapping
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
from soundalike.cli.output import print_json, print_warnings
from soundalike.cli.references import level_text, reference_text
from soundalike.cli.suggest import suggest_files
from soundalike.cli.table import Cell, fitted_name, has_blocks, print_facts, print_table
from soundalike.core.errors import one_line
from soundalike.core.palette import space_colours

if TYPE_CHECKING:
    from soundalike.core.types import Alignment
    from soundalike.search import Comparison

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
    """
    from soundalike import api
    from soundalike.models import DEFAULT_MODEL

    one_standard_input([a, b])
    options: dict[str, Any] = {
        "weights": weights, "region": region, "region_b": region_b, "by": by, "align": align,
    }  # fmt: skip
    first, second = recording(a), recording(b)
    if library_path is None:
        found = api.compare(first, second, model=DEFAULT_MODEL if model is None else model, **options)
    else:
        with chosen_library(library_path) as library:
            found = library.compare(first, second, model=model, **options)
    print_warnings(found.warnings)
    if as_json:
        print_json(comparison_record(absolute_name(a), absolute_name(b), found))
    else:
        _print_comparison(a, b, found, aligned=align)
    return 0


_BAR = 10


def _print_comparison(a: str, b: str, found: Comparison, *, aligned: bool) -> None:
    match = found.match
    kind = "whole tracks" if found.level == "track" else f"best passage of B{level_text(found.level_reason, 'A')}"
    for letter, name in (("A", a), ("B", b)):
        print(f"{letter}  {fitted_name(one_line(name), 3)}")
    print_facts(f"score {match.score:+.2f}", f"percentile {rarity(match.percentile)}", kind)
    print_facts(f"weights: {weights_text(found.weights)}", f"model {found.model}")
    print_facts(reference_text(found.reference, found.recordings, found.model, [match.spaces]))
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
