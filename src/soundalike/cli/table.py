"""Tables that fit the terminal: columns that leave where there is no room, and names that are cut in the middle."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from soundalike.cli.output import print_styled

__all__ = [
    "Cell",
    "cell_width",
    "column_blocks",
    "cut_apart",
    "cut_middle",
    "fitted_name",
    "has_blocks",
    "print_facts",
    "print_matrix",
    "print_table",
    "terminal_width",
]

Cell: TypeAlias = "str | Sequence[tuple[str, str]]"
"""A text, or parts of one, each with a rich style such as "bold"."""

_NARROW = 24
"""The stretching column keeps this width, or its widest cell, before other columns leave."""
_GAP = "  "


def terminal_width() -> int | None:
    """Return the width of the terminal in cells; None if standard output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_blocks() -> bool:
    """Return whether standard output can show the characters of bars."""
    try:
        "█░".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def cell_width(text: str) -> int:
    """Return the number of terminal cells of a text: 2 for wide characters and emoji, 0 for combining marks."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut_middle(text: str, width: int, start: float = 0.5) -> str:
    """Cut the middle of a text that is wider than `width` cells: names differ at their ends.

    Args:
        text: The text.
        width: The number of cells.
        start: The part of them that the start of the text gets, 0 to 1.

    Example:
        >>> cut_middle("Some Artist - Some Title (Remastered)", 20)
        'Some Artis…mastered)'
    """
    if cell_width(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    head = _longest_start(text, int(start * width))
    return f"{head}…{_longest_end(text, width - 1 - cell_width(head))}"


_STARTS = (0.5, 0.33, 0.67, 0.0)
"""Parts of a cut text that its start gets, in the order of preference."""


def cut_apart(texts: Sequence[str], width: int) -> list[str]:
    """Cut texts to `width` cells, all at the same place, where most of them still differ from one another.

    Example:
        >>> cut_apart(["Trio - Tune, rock, the Trio", "Trio - Tune, swing, the Trio"], 18)
        ['Trio …ck, the Trio', 'Trio …ng, the Trio']
    """
    ways = [[cut_middle(text, width, start) for text in texts] for start in _STARTS]
    return max(ways, key=lambda cut: len(set(cut)))


def _longest_start(text: str, width: int) -> str:
    used = 0
    for place, character in enumerate(text):
        used += cell_width(character)
        if used > width:
            return text[:place]
    return text


def _longest_end(text: str, width: int) -> str:
    kept = text[max(0, len(text) - 4 * width - 8) :]
    while kept and cell_width(kept) > width:
        kept = kept[1:]
    while kept and cell_width(kept[0]) == 0:  # a combining mark without its letter
        kept = kept[1:]
    return kept


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    left: Sequence[int] = (),
    stretch: int = -1,
    ranks: Mapping[int, int] | None = None,
    notes: Mapping[int, Sequence[str]] | None = None,
) -> None:
    """Print columns that are as wide as their widest cell.

    On a terminal, a table that is too wide loses columns by their rank, the highest first, and then the middle of the
    texts in the stretching column. Anything else gets all columns, and whole texts.

    Args:
        header: The titles of the columns.
        rows: One sequence of cells per line.
        left: The indices of the columns that are aligned left; the others are aligned right.
        stretch: The index of the column whose texts may be cut.
        ranks: Per index of a column that may leave, the order: columns with higher numbers leave first.
        notes: Per index of a row, lines to print below it.
    """
    stretch %= len(header)
    widths = [max(cell_width(_text(line[column])) for line in [header, *rows]) for column in range(len(header))]
    shown, room = list(range(len(header))), terminal_width()
    if room is not None:
        shown = _fitting(widths, stretch, ranks or {}, room)
        taken = sum(widths[column] + len(_GAP) for column in shown if column != stretch)
        widths[stretch] = min(widths[stretch], max(_NARROW // 2, room - taken))
    names = cut_apart([_text(line[stretch]) for line in [header, *rows]], widths[stretch])
    for number, line in enumerate([header, *rows]):
        parts: list[tuple[str, str]] = []
        for column in shown:
            cell = line[column]
            if column == stretch:
                cell = names[number]
            space = " " * (widths[column] - cell_width(_text(cell)))
            styled = [(cell, "" if number else "bold")] if isinstance(cell, str) else list(cell)
            parts += [*styled, (space, "")] if column in left else [(space, ""), *styled]
            parts.append((_GAP, ""))
        while parts and not parts[-1][0].strip():
            parts.pop()
        parts[-1:] = [(text.rstrip(), style) for text, style in parts[-1:]]
        print_styled(*parts)
        indent = " " * (widths[shown[0]] + len(_GAP) if shown[0] != stretch else len(_GAP))
        for note in (notes or {}).get(number - 1, ()):
            print_styled((indent + (note if room is None else cut_middle(note, room - len(indent))), "dim"))


def column_blocks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[int]]:
    """Divide the columns of a table into blocks that fit the terminal, each with the first column for the names.

    Args:
        header: The titles of the columns.
        rows: One sequence of cells per line.

    Returns:
        The indices of the columns of each block; one block with all columns if standard output is no terminal.

    Example:
        >>> column_blocks(["", "melody", "rhythm"], [["compact", "94.2", "90.9"]])
        [[0, 1, 2]]
    """
    room = terminal_width()
    widths = [max(cell_width(line[column]) for line in [header, *rows]) + len(_GAP) for column in range(len(header))]
    blocks: list[list[int]] = [[0]]
    for column in range(1, len(header)):
        names = min(widths[0], max(_NARROW, (room or 0) // 2) + len(_GAP))
        taken = names + sum(widths[one] for one in blocks[-1][1:]) - len(_GAP)
        if room is not None and len(blocks[-1]) > 1 and taken + widths[column] > room:
            blocks.append([0])
        blocks[-1].append(column)
    return blocks


def _fitting(widths: Sequence[int], stretch: int, ranks: Mapping[int, int], room: int) -> list[int]:
    """The columns that remain in a terminal of `room` cells."""
    shown = list(range(len(widths)))
    least = min(widths[stretch], _NARROW)
    for column in sorted(ranks, key=lambda one: -ranks[one]):
        if sum(widths[one] + len(_GAP) for one in shown if one != stretch) + least <= room:
            break
        shown.remove(column)
    return shown


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else "".join(text for text, _ in cell)


def fitted_name(name: str, others: int = 0) -> str:
    """Return the name of a recording, cut in the middle if a line of the terminal cannot hold it.

    Args:
        name: The name.
        others: The cells that the line needs for other texts.
    """
    room = terminal_width()
    return name if room is None else cut_middle(name, max(_NARROW, room - others))


def print_facts(*facts: str, style: str = "", indent: int = 0) -> None:
    """Print facts, joined by semicolons; on a terminal, lines break between facts, and not inside them where possible.

    Args:
        facts: The texts; empty ones are left out.
        style: A rich style.
        indent: The number of spaces before every line.
    """
    room, given, before = terminal_width(), [fact for fact in facts if fact], " " * indent
    if not given:
        return
    if room is None:
        print_styled((before + "; ".join(given), style))
        return
    room = max(_NARROW, room - indent)
    lines = [""]
    for number, fact in enumerate(given):
        text = fact + (";" if number + 1 < len(given) else "")
        joined = f"{lines[-1]} {text}".lstrip()
        lines[-1:] = [joined] if cell_width(joined) <= room or not lines[-1] else [lines[-1], text]
        if cell_width(lines[-1]) > room:
            lines[-1:] = _wrapped(lines[-1], room)
    for line in lines:
        print_styled((before + line, style))


def _wrapped(text: str, room: int) -> list[str]:
    """Break a text between words, and inside words that are wider than a line of `room` cells."""
    from rich.cells import chop_cells

    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        lines[-1:] = [joined] if cell_width(joined) <= room else [*filter(None, lines[-1:]), *chop_cells(word, room)]
    return lines


def print_matrix(matrix: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of shares as percentages: {row: {column: 0 to 1}}."""
    columns = list(next(iter(matrix.values())))
    rows = [[name, *(f"{100 * row[column]:.1f}" for column in columns)] for name, row in matrix.items()]
    print_table(["", *columns], rows, left=[0], stretch=0)
