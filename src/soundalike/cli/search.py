"""`soundalike search` and `soundalike compare`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundalike.cli import show
from soundalike.cli.inputs import about, chosen_model, library_path, recording
from soundalike.cli.playlist import check_playlist, write_playlist
from soundalike.compare import Comparison, compare
from soundalike.errors import SoundalikeError, UsageError, one_line
from soundalike.filters import Filter, parse_filter
from soundalike.library import SHORT, Library, Query, Result
from soundalike.spaces import parse_weights
from soundalike.types import Level, Match

__all__ = ["run_compare", "run_search"]

_SURE = 0.3
"""Agreement under which an alignment is a guess: over 24 pairs of demo clips each, unrelated ones reached 0.17 to 0.30
and clips of the same tune 0.25 to 0.56."""


def run_search(args: argparse.Namespace) -> int:
    """Ask the library with a recording. No match is an answer too: 0."""
    start, end = args.region or (None, None)
    if args.m3u:
        check_playlist(args.m3u)
    with Library(library_path(args)) as library, recording(args.audio) as path, about(args.audio):
        result = library.search(
            Query(
                path=path,
                start=start,
                end=end,
                weights=parse_weights(args.weights) if args.weights is not None else None,
                by=args.by,
                k=args.k,
                where=parse_filter(args.where) if args.where is not None else Filter(),
                exclude_same_artist=args.exclude_same_artist,
                include_self=args.include_self,
                model=args.model,
                collapse=args.collapse,
            )
        )
    if args.exclude_same_artist and result.artist is None:
        show.message("the query has no artist tag: nobody is left out for it")
    if args.collapse and result.versions is None:
        show.message("no version families to collapse by were looked for yet; run: soundalike versions")
    result = replace(result, query=replace(result.query, track=args.audio))
    if args.m3u:
        write_playlist(args.m3u, [result.tracks[match.span.track] for match in result.matches])
    if args.json:
        show.print_json(_result_json(result, args.where))
    else:
        _print_result(result, args.m3u, conditions=bool(args.where or args.exclude_same_artist))
    return show.damaged(result.damaged)


def _result_json(result: Result, where: str | None) -> dict[str, Any]:
    return {
        "query": {**show.span_json(result.query), "level": result.level, "where": where, "searched": result.searched},
        "models": [result.model],
        "weights": dict(result.weights),
        "matches": [{**show.match_json(match), **_versions_json(result, match)} for match in result.matches],
        "copies": list(result.copies),
        "damaged": list(result.damaged),
    }


def _versions_json(result: Result, match: Match) -> dict[str, Any]:
    """The paths of the versions that a match of a collapsed search stands for."""
    return {} if result.versions is None else {"versions": list(result.versions.get(match.span.track, ()))}


def _print_result(result: Result, playlist: Path | None, *, conditions: bool) -> None:
    query, count = result.query, show.count(result.searched, "track")
    against = f"{count}" if result.level == "track" else f"the passages of {count}"
    print(
        f"{one_line(query.track)}  {show.clock(query.start)} to {show.clock(query.end)}, against {against}; "
        f"weights: {show.weights_text(result.weights)}; model {result.model}"
    )
    if not result.matches:
        print(_no_match(result, conditions))
    else:
        spaces = [name for name, weight in result.weights.items() if weight != 0]
        rows = []
        for number, match in enumerate(result.matches, start=1):
            track = result.tracks[match.span.track]
            more = len((result.versions or {}).get(match.span.track, ()))
            span = f"{show.clock(match.span.start)}-{show.clock(match.span.end)}"
            rows.append(
                [
                    str(number),
                    f"{match.score:+.2f}",
                    *(show.share(match.parts[s]) for s in spaces),
                    *show.facts(track),
                    span,
                    show.named(match.span.track, track) + (f"  +{show.count(more, 'version')}" if more else ""),
                ]
            )
        show.print_table(["#", "score", *spaces, "bpm", "key", "time", "track"], rows, left=[len(rows[0]) - 1])
    for copy in result.copies:
        print(
            show.paint(f"left out, a copy of the query: {one_line(show.near(copy))} (--include-self keeps it)", "dim")
        )
    if playlist:
        print(f"playlist written: {one_line(playlist)}")


def _no_match(result: Result, conditions: bool) -> str:
    if result.searched:
        return "no match"
    return "no match: no track meets the conditions" if conditions else "no match: the library holds no other track"


def run_compare(args: argparse.Namespace) -> int:
    """Score B as an answer to A, and show the best passages of each space."""
    if args.a == args.b == "-":
        raise UsageError("only one of the two recordings can come from standard input")
    weights = parse_weights(args.weights) if args.weights is not None else None
    with chosen_model(args) as (model, library), recording(args.a) as path_a, recording(args.b) as path_b:
        encodings = []
        for name, path, region in ((args.a, path_a, args.region), (args.b, path_b, args.region_b)):
            with about(name):
                start, end = region or (0.0, None)
                encodings.append(model.encode(path, start=start, end=end))
        a, b = encodings
        part = args.region or args.region_b or a.info.duration < SHORT
        level: Level = args.by or ("passage" if part else "track")
        quantiles = library.quantiles(model, level) if library else None
        try:
            comparison = compare(model, a, b, weights, level=level, aligned=args.align, library=quantiles)
        except SoundalikeError as error:
            raise type(error)(f"{args.a} and {args.b}: {error}") from error
    if args.json:
        show.print_json(_comparison_json(args, comparison))
    else:
        _print_comparison(args, comparison)
    return 0


def _comparison_json(args: argparse.Namespace, comparison: Comparison) -> dict[str, Any]:
    match = comparison.match
    query = match.query_span
    pairs: dict[str, Any] = {}
    for name, pair in comparison.pairs.items():
        pairs[name] = pair and {
            "a": {"start": pair.a.start, "end": pair.a.end},
            "b": {"start": pair.b.start, "end": pair.b.end},
            "similarity": pair.similarity,
        }
    return {
        "query": {
            "path": args.a,
            "start": query.start if query else 0.0,
            "end": query.end if query else 0.0,
            "level": comparison.level,
        },
        "models": [comparison.model],
        "weights": dict(comparison.weights),
        "matches": [{**show.match_json(match), "path": args.b}],
        "passages": pairs,
    }


def _print_comparison(args: argparse.Namespace, comparison: Comparison) -> None:
    match = comparison.match
    kind = "whole tracks" if comparison.level == "track" else "best passage of B"
    print(
        f"A {one_line(args.a)}\nB {one_line(args.b)}\nscore {match.score:+.2f} ({kind}; "
        f"weights: {show.weights_text(comparison.weights)}; model {comparison.model})"
    )
    rows = []
    for name, part in match.parts.items():
        pair = comparison.pairs[name]
        spans = [f"{show.clock(s.start)}-{show.clock(s.end)}" for s in (pair.a, pair.b)] if pair else ["n/a", "n/a"]
        shown = (
            [f"{part.similarity:+.3f}", f"{part.z:+.2f}", f"{part.percentile:.1f}%"] if part.audible else ["n/a"] * 3
        )
        rows.append([name, *shown, f"{part.weight:g}", f"{part.share:+.2f}", *spans])
    show.print_table(
        ["space", "similarity", "z", "percentile", "weight", "share", "best in A", "best in B"], rows, left=[0]
    )
    one = match.alignment
    if one:
        sure = "" if one.agreement >= _SURE else "no reliable alignment; the best guess is that "
        print(
            f"aligned: {sure}B is A transposed by {one.semitones:+d} semitones, at {one.tempo_ratio:.3f} of its tempo; "
            f"A's passage begins {one.offset:+.2f} s into B's (agreement {one.agreement:.2f})"
        )
    elif args.align:
        print("aligned: neither pitch nor onsets to go by")
