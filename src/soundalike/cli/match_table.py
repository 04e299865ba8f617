"""The table of matches that `search`, `path` and `playlist` print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soundalike.api.records.matches import camelot
from soundalike.cli.cells import (
    check_columns,
    clock,
    count,
    near,
    rarity,
    share,
    share_bar,
    tempo_and_key,
    track_names,
)
from soundalike.cli.table import Cell, cell_width, has_blocks, print_facts, print_table, terminal_width
from soundalike.core.errors import one_line
from soundalike.core.palette import space_colours

if TYPE_CHECKING:
    from soundalike.core.types import Match
    from soundalike.library.catalog import Track

__all__ = ["MATCH_COLUMNS", "MatchRow", "check_match_columns", "copy_notes", "print_matches"]

_LISTED = 3
"""Copies, and versions, that are listed below a match."""
_WIDE = 110
"""From this width on, spaces show shares and percentages; below, bars."""
_BAR = 6
_NAME = 32
_WHOLE = 0.5
"""Seconds by which the end of the last passage may differ from that of the track."""


@dataclass(frozen=True, slots=True)
class MatchRow:
    """A line of the table: a match, what the library knows of its track, and what is printed below it.

    `match` is None for a recording that was not scored, such as the start of a path. `number` and `name` replace the
    rank and the name of the track.
    """

    path: str
    track: Track | None
    match: Match | None
    number: str
    name: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of single cells: whether it is aligned left, and the order in which it leaves a narrow table."""

    cell: Callable[[MatchRow], str]
    left: bool = False
    rank: int = 0


def _of_match(text: Callable[[Match], str]) -> Callable[[MatchRow], str]:
    return lambda row: "" if row.match is None else text(row.match)


def _of_track(text: Callable[[Track], object]) -> Callable[[MatchRow], str]:
    return lambda row: "" if row.track is None else one_line(str(text(row.track) or ""))


_COLUMNS: Mapping[str, _Column] = {
    "#": _Column(lambda row: row.number),
    "score": _Column(_of_match(lambda match: f"{match.score:+.2f}")),
    "percentile": _Column(_of_match(lambda match: rarity(match.percentile)), rank=5),
    "bpm": _Column(lambda row: tempo_and_key(row.track)[0], rank=2),
    "key": _Column(lambda row: tempo_and_key(row.track)[1], left=True, rank=1),
    "camelot": _Column(_of_track(lambda track: camelot(track.known_key)), left=True),
    "stretch": _Column(_of_match(lambda match: "" if match.stretch is None else f"{match.stretch:.3f}")),
    "semitones": _Column(_of_match(lambda match: "" if match.semitones is None else f"{match.semitones:+d}")),
    "time": _Column(lambda row: _times(row), rank=4),
    "length": _Column(lambda row: clock(row.track.duration) if row.track else "", rank=3),
    "artist": _Column(_of_track(lambda track: track.artist), left=True),
    "title": _Column(_of_track(lambda track: track.title), left=True),
    "album": _Column(_of_track(lambda track: track.album), left=True),
    "genre": _Column(_of_track(lambda track: track.genre), left=True),
    "year": _Column(_of_track(lambda track: track.year)),
    "path": _Column(lambda row: one_line(row.path), left=True),
}

MATCH_COLUMNS = ("#", "track", "spaces", *list(_COLUMNS)[1:])
"""The names that `--columns` takes, besides those of spaces."""


def copy_notes(kind: str, paths: Sequence[str]) -> list[str]:
    """Return the lines that list copies, or versions, below a match: the first few of them.

    Args:
        kind: "copy" or "version".
        paths: The paths.
    """
    more = len(paths) - _LISTED
    notes = [f"{kind}: {one_line(near(path))}" for path in paths[:_LISTED]]
    return [*notes, *([f"and {count(more, kind)} more (--json lists all)"] if more > 0 else [])]


def check_match_columns(columns: Sequence[str] | None, spaces: Sequence[str]) -> None:
    """Raise UsageError if a column of `--columns` is neither in `MATCH_COLUMNS` nor a space."""
    check_columns(columns, list(dict.fromkeys([*MATCH_COLUMNS, *spaces])))


def print_matches(
    rows: Sequence[MatchRow],
    spaces: Sequence[str],
    *,
    parts: bool = False,
    fit: bool = False,
    wide: bool = False,
    columns: Sequence[str] | None = None,
) -> None:
    """Print matches in as many columns as the terminal has room for.

    Args:
        rows: The lines.
        spaces: The spaces to show.
        parts: Whether passages were compared, whose percentiles decide the order.
        fit: Show the stretch and the transposition that each match needs.
        wide: Show shares and percentages of the spaces in a terminal of any width.
        columns: The columns, instead of those that fit; see `MATCH_COLUMNS`.
    """
    names, folder = track_names([(row.path, row.track) for row in rows if row.name is None])
    shown = iter(names)
    names = [one_line(row.name) if row.name is not None else next(shown) for row in rows]
    excerpts = any(_is_excerpt(row) for row in rows)
    chosen = columns or ["#", "track", "score", *(["percentile"] if parts or wide else []), "spaces",
                         *(["stretch", "semitones"] if fit else []), "bpm", "key",
                         *(["time"] if excerpts else [])]  # fmt: skip
    numbers = (
        wide
        or columns is not None
        or _has_room_for_numbers(rows, spaces, names, others=12 * parts + 20 * fit + 15 * excerpts)
    )
    header: list[str] = []
    cells: list[list[Cell]] = [[] for _ in rows]
    left: list[int] = []
    ranks: dict[int, int] = {}
    legend = ""
    for name in chosen:
        if name == "spaces":
            titles, blocks, legend = _space_cells(rows, spaces, numbers=numbers)
            left += [] if numbers else [len(header)]
            header += titles
            for line, block in zip(cells, blocks, strict=True):
                line += block
            continue
        column = _COLUMNS.get(name) or _space_column(name)
        if name == "track" or column.left:
            left.append(len(header))
        if column.rank:
            ranks[len(header)] = column.rank
        for line, row, shown_name in zip(cells, rows, names, strict=True):
            line.append(shown_name if name == "track" else column.cell(row))
        header.append(name)
    stretch = next((header.index(name) for name in ("track", "path", "title") if name in header), len(header) - 1)
    if columns is not None:
        ranks = {}
    print_table(
        header, cells, left=left, stretch=stretch, ranks=ranks, notes={n: row.notes for n, row in enumerate(rows)}
    )
    print_facts(f"paths below {one_line(folder)}" if folder else "", legend, style="dim")


def _is_excerpt(row: MatchRow) -> bool:
    """Whether a match is a part of its track."""
    if row.match is None:
        return False
    span = row.match.span
    return span.start > 0 or row.track is None or span.end < row.track.duration - _WHOLE


def _times(row: MatchRow) -> str:
    if row.match is None or not _is_excerpt(row):
        return ""
    return f"{clock(row.match.span.start)}-{clock(row.match.span.end)}"


def _space_column(name: str) -> _Column:
    return _Column(lambda row: share(row.match.spaces[name]) if row.match and name in row.match.spaces else "")


def _has_room_for_numbers(rows: Sequence[MatchRow], spaces: Sequence[str], names: Sequence[str], others: int) -> bool:
    """Whether shares and percentages fit beside the names, with `others` cells for further columns."""
    room = terminal_width()
    if room is None:
        return True
    others += sum(2 + max(len(name), 16) for name in spaces) + len("##  +0.00  120  C#m  ")
    return room >= _WIDE and room - others >= min(_NAME, max(map(cell_width, names), default=0))


def _space_cells(
    rows: Sequence[MatchRow], spaces: Sequence[str], *, numbers: bool
) -> tuple[list[str], list[list[Cell]], str]:
    """The titles and the cells of the spaces, and what explains them: numbers, or one column of bars."""
    if numbers:
        blocks: list[list[Cell]] = [[_space_column(name).cell(row) for name in spaces] for row in rows]
        return list(spaces), blocks, ""
    room = terminal_width() or _WIDE
    width = max(1, min(_BAR, room * 34 // 100 // max(1, len(spaces)) - 1))
    titles = [name[: width + 2] for name in spaces]
    legend = ""
    if len(set(titles)) < len(titles) or width < 3:
        titles = [str(number) for number in range(1, len(spaces) + 1)]
        legend = "bars: " + ", ".join(f"{number} {name}" for number, name in enumerate(spaces, start=1))
    widths = [max(width, len(title)) for title in titles]
    largest = max((abs(row.match.spaces[name].share) for row in rows if row.match for name in spaces), default=0.0)
    colours, ascii_only = space_colours(spaces), not has_blocks()
    bars: list[list[Cell]] = []
    for row in rows:
        parts = [
            (_bar(row, name, largest, width, ascii_only=ascii_only).ljust(cells + 1), colours[name])
            for name, cells in zip(spaces, widths, strict=True)
        ]
        bars.append([parts])
    return [" ".join(title.ljust(cells) for title, cells in zip(titles, widths, strict=True)).rstrip()], bars, legend


def _bar(row: MatchRow, space: str, largest: float, width: int, *, ascii_only: bool) -> str:
    if row.match is None:
        return " " * width
    one = row.match.spaces[space]
    return share_bar(one.share, largest, width, ascii_only=ascii_only) if one.audible else ".".ljust(width)
