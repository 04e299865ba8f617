"""What a person sees: tables, times, colours on a terminal only, and progress on standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from soundalike.core.errors import one_line
from soundalike.core.types import Match, SpaceScore, Span
from soundalike.library.catalog import Track

__all__ = [
    "Progress",
    "clock",
    "closeness",
    "corrupt",
    "count",
    "credit",
    "facts",
    "kept",
    "match_json",
    "message",
    "named",
    "near",
    "paint",
    "print_json",
    "print_table",
    "share",
]

_COLOURS = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31"}


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour if `stream` (standard output) is a terminal that wants colours (https://no-color.org)."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def message(text: str, label: str = "", colour: str = "red") -> None:
    """A line on standard error, after a coloured label."""
    print((paint(label, colour, sys.stderr) + " " if label else "") + one_line(text), file=sys.stderr)


def corrupt(paths: Sequence[str]) -> int:
    """Name the tracks that were left out because something of them is not what was written; the exit code for that."""
    for path in paths:
        message(
            f"{path}: something of it in the library is not what was written; see: soundalike library check", "damaged"
        )
    return 1 if paths else 0


def clock(seconds: float) -> str:
    """1:02:03 or 2:03 or, for what is short, 0:03.5."""
    if seconds < 59.95:
        return f"0:{seconds:04.1f}"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def count(number: int, noun: str) -> str:
    """ "1 file", "1,234 files"."""
    plural = noun if number == 1 else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def kept(cost: Mapping[str, Any]) -> str:
    """What kept features cost, from the fields of a `features.FeatureCost`."""
    size, tracks = cost["bytes"], cost["tracks"]
    each = f", {size / tracks / 1e3:,.0f} kB a track" if tracks else ""
    return f"{cost['backbone']}: {count(tracks, 'track')}, {size / 1e6:,.1f} MB{each}"


def share(part: SpaceScore) -> str:
    """One cell: a space's share of the score and the percentile of its similarity, if there is one."""
    if not part.audible:
        return "n/a"
    return f"{part.share:+.2f}" if part.percentile is None else f"{part.share:+.2f} {part.percentile:5.1f}%"


def closeness(part: SpaceScore) -> str:
    """One cell: how many per cent of random pairs are less alike in a space."""
    return "n/a" if part.percentile is None else f"{part.percentile:.0f}%"


def credit(track: Track) -> str | None:
    """Artist and title, where both are known."""
    return f"{track.artist} - {track.title}" if track.artist and track.title else None


def facts(track: Track | None) -> list[str]:
    """Two cells: beats a minute and key, empty where they are not known."""
    if track is None:
        return ["", ""]
    return [f"{track.bpm:.0f}" if track.bpm else "", track.key_tag or track.key or ""]


def named(path: str, track: Track | None = None) -> str:
    """One cell: artist and title, where both are known, and the path."""
    known = credit(track) if track else None
    return one_line(f"{known}  {near(path)}" if known else near(path))


def near(path: str) -> str:
    """A path relative to here, where that is shorter to read."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> None:
    """Columns wide enough for their cells, right-aligned but for the columns in `left`.

    On a terminal that is too narrow the last column loses its beginning: of a path, the end says most.
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    if sys.stdout.isatty():
        room = max(24, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1))
        rows = [[*row[:-1], row[-1] if len(row[-1]) <= room else "…" + row[-1][1 - room :]] for row in rows]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    print(paint(line(header), "bold"))
    for row in rows:
        print(line(row))


def print_json(value: Any) -> None:
    """`value` as JSON on standard output; numbers that JSON has no word for are defects, not output."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
        text.encode("utf-8")
    except UnicodeEncodeError:  # a path that is not UTF-8: escaped, it reads back to the same bytes
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, indent=2)
    print(text)


def match_json(match: Match) -> dict[str, Any]:
    """A match with stable keys."""
    found: dict[str, Any] = {
        **span_json(match.span),
        "score": match.score,
        "spaces": _parts_json(match.spaces),
    }
    if match.alignment:
        one = match.alignment
        found["alignment"] = {
            "semitones": one.semitones,
            "tempo_ratio": one.tempo_ratio,
            "offset": one.offset,
            "agreement": one.agreement,
        }
    if match.examples:
        found["examples"] = [
            {"path": one.path, "like": one.like, "score": one.score, "spaces": _parts_json(one.spaces)}
            for one in match.examples
        ]
    return found


def _parts_json(parts: Mapping[str, SpaceScore]) -> dict[str, Any]:
    return {
        name: {
            "similarity": part.similarity,
            "z": part.z,
            "weight": part.weight,
            "share": part.share,
            "percentile": part.percentile,
            "reference": part.percentile_source,
            "audible": part.audible,
        }
        for name, part in parts.items()
    }


def span_json(span: Span) -> dict[str, Any]:
    """A span with stable keys."""
    return {"path": span.track, "start": span.start, "end": span.end}


def weights_text(weights: Mapping[str, float]) -> str:
    """Slider positions that are not zero."""
    return ", ".join(f"{name} {value:g}" for name, value in weights.items() if value != 0)


def print_matrix(matrix: Mapping[str, Mapping[str, float]]) -> None:
    """A table of shares, 0 to 1, in %: {row: {column: share}}."""
    columns = list(next(iter(matrix.values())))
    rows = [[name, *(f"{100 * row[column]:.1f}" for column in columns)] for name, row in matrix.items()]
    print_table(["", *columns], rows, left=[0])


class Progress:
    """How far long work is, with rate and time left: one line that renews itself on a terminal, else every 10 s."""

    def __init__(self, noun: str, enabled: bool = True) -> None:
        self._noun, self._enabled = noun, enabled
        self._began = self._shown = time.monotonic()
        self._live = sys.stderr.isatty()

    def __call__(self, done: int, total: int, audio_seconds: float | None = None) -> None:
        """Say that `done` of `total` are done, with so many seconds of sound in them, where there is sound."""
        now = time.monotonic()
        due = now - self._shown >= (0.1 if self._live else 10.0)
        if not self._enabled or not (due or (self._live and done == total)):
            return
        self._shown = now
        elapsed = max(now - self._began, 1e-3)
        left = clock((total - done) * elapsed / done) if done else "?"
        speed = "" if audio_seconds is None else f"{audio_seconds / elapsed:,.0f} x real time, "
        line = f"{done:,} of {count(total, self._noun)}, {done / elapsed * 60:,.0f} a minute, {speed}{left} left"
        if self._live:
            print(f"\r\x1b[K{line}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._enabled and self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
