"""`soundalike path` and `soundalike playlist`."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from typing import Any

from soundalike.cli import show
from soundalike.cli.inputs import chosen_weights, library_path, recording
from soundalike.cli.playlist_files import check_playlist, tell_playlist, write_playlist
from soundalike.core.errors import UsageError, one_line
from soundalike.core.types import Match
from soundalike.library import LibraryFolder
from soundalike.library.catalog import parse_filter
from soundalike.search import Journey, build_playlist, find_path

__all__ = ["run_path", "run_playlist"]

_RANGE = re.compile(r"(\d{1,4}(?:\.\d+)?)\.\.(\d{1,4}(?:\.\d+)?)")


def run_path(args: argparse.Namespace) -> int:
    """Go from A to B."""
    if args.a == args.b == "-":
        raise UsageError("only one of the two recordings can come from standard input")
    options = _options(args)
    with LibraryFolder(library_path(args)) as library, recording(args.a) as a, recording(args.b) as b:
        journey = find_path(library, a, b, args.n, **options)
    if args.m3u:
        spans = [journey.start, *(match.span for match in journey.matches)]
        write_playlist(args.m3u, [journey.tracks[span.track] for span in spans if span.track in journey.tracks])
    if args.json:
        *between, last = journey.matches
        show.print_json(
            {
                "query": {"a": args.a, "b": args.b, "steps": args.n, "where": args.where},
                **_journey_json(replace(journey, matches=tuple(between))),
                "arrival": {**show.match_json(last), "path": args.b},
                "direct": journey.direct.score if journey.direct else None,
                "smallest": journey.smallest,
            }
        )
        return show.corrupt(journey.corrupt)
    _print_head(f"{one_line(args.a)} to {one_line(args.b)}", journey)
    spaces = _spaces(journey)
    start = journey.tracks.get(journey.start.track)
    rows = [["A", *[""] * (1 + len(spaces)), *show.facts(start), one_line(args.a)]]
    for number, match in enumerate(journey.matches, start=1):
        arrived = number == len(journey.matches)
        rows.append(_row("B" if arrived else str(number), match, journey, args.b if arrived else None))
    _print_table(spaces, rows)
    if journey.direct:
        print(f"smallest step {journey.smallest:+.2f}; from A to B in one {journey.direct.score:+.2f}")
    _print_end(args, journey)
    return show.corrupt(journey.corrupt)


def run_playlist(args: argparse.Namespace) -> int:
    """Choose tracks like a seed. A list that ends early is an answer too: 0."""
    options = _options(args)
    tempo = _tempo(args.tempo) if args.tempo is not None else None
    with LibraryFolder(library_path(args)) as library, recording(args.seed) as seed:
        journey = build_playlist(
            library, seed, args.n, **options, spread=args.spread, tempo=tempo, tempo_step=args.tempo_step
        )
    if args.m3u:
        write_playlist(args.m3u, [journey.tracks[match.span.track] for match in journey.matches])
    if args.json:
        query = {"path": args.seed, "length": args.n, "where": args.where, "spread": args.spread,
                 "tempo": list(tempo) if tempo else None, "tempo_step": args.tempo_step}  # fmt: skip
        show.print_json({"query": query, **_journey_json(journey)})
        return show.corrupt(journey.corrupt)
    _print_head(one_line(args.seed), journey)
    spaces = _spaces(journey)
    _print_table(spaces, [_row(str(number), match, journey) for number, match in enumerate(journey.matches, start=1)])
    _print_end(args, journey)
    return show.corrupt(journey.corrupt)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What both commands ask with, read before any work is done."""
    check_playlist(args.m3u)
    return {
        "weights": chosen_weights(args),
        "model": args.model,
        "where": parse_filter(args.where) if args.where is not None else None,
    }


def _tempo(text: str) -> tuple[float, float]:
    found = _RANGE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"cannot read the tempo {text!r}; expected LOW..HIGH in BPM, such as 118..126")
    return float(found[1]), float(found[2])


def _journey_json(journey: Journey) -> dict[str, Any]:
    return {
        "models": [journey.model],
        "weights": dict(journey.weights),
        "matches": [show.match_json(match) for match in journey.matches],
        "note": journey.note,
        "damaged": list(journey.corrupt),
    }


def _spaces(journey: Journey) -> list[str]:
    return [name for name, weight in journey.weights.items() if weight != 0]


def _row(number: str, match: Match, journey: Journey, name: str | None = None) -> list[str]:
    """A line of the table; `name` is what the user called the track."""
    track = journey.tracks.get(match.span.track)
    shares = [show.share(match.spaces[space]) for space in _spaces(journey)]
    named = one_line(name) if name is not None else show.named(match.span.track, track)
    return [number, f"{match.score:+.2f}", *shares, *show.facts(track), named]


def _print_head(title: str, journey: Journey) -> None:
    print(f"{title}; weights: {show.weights_text(journey.weights)}; model {journey.model}")


def _print_table(spaces: list[str], rows: list[list[str]]) -> None:
    if rows:
        show.print_table(["#", "score", *spaces, "bpm", "key", "track"], rows, left=[len(rows[0]) - 1])


def _print_end(args: argparse.Namespace, journey: Journey) -> None:
    if journey.note:
        print(journey.note)
    tell_playlist(args.m3u)
