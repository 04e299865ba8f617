"""`soundalike search` and `soundalike compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundalike.cli import show
from soundalike.cli.inputs import about, chosen_model, chosen_weights, library_path, recording
from soundalike.cli.playlist_files import check_playlist, tell_playlist, write_playlist
from soundalike.core.errors import SoundalikeError, UsageError, one_line
from soundalike.core.types import Level, Match
from soundalike.library import SHORT, LibraryFolder
from soundalike.library.catalog import Filter, parse_filter
from soundalike.models import parse_weights
from soundalike.search import Comparison, Example, Query, Result, compare_encodings, search_library

__all__ = ["run_compare", "run_search"]

_SURE = 0.3
"""Agreement under which an alignment is a guess: over 24 pairs of demo clips each, unrelated ones reached 0.17 to 0.30
and clips of the same tune 0.25 to 0.56."""


def run_search(args: argparse.Namespace) -> int:
    """Ask the library with a recording, or with several. No match is an answer too: 0."""
    start, end = args.region or (None, None)
    check_playlist(args.m3u)
    weights = chosen_weights(args)
    where = parse_filter(args.where) if args.where is not None else Filter()
    asked = [
        *(_example("--like", given) for given in args.like),
        *(_example("--unlike", given) for given in args.unlike),
    ]
    names = [args.audio, *(str(example.path) for example in asked)]
    if names.count("-") > 1:
        raise UsageError("only one of the recordings can come from standard input")
    with LibraryFolder(library_path(args)) as library, ExitStack() as opened:
        path, *others = [opened.enter_context(recording(name)) for name in names]
        result = search_library(
            library,
            Query(
                path=path,
                start=start,
                end=end,
                weights=weights,
                by=args.by,
                k=args.k,
                where=where,
                exclude_same_artist=args.exclude_same_artist,
                include_self=args.include_self,
                model=args.model,
                collapse=args.collapse,
                examples=tuple(replace(example, path=other) for example, other in zip(asked, others, strict=True)),
                hubness=args.hubness,
            ),
        )
    if args.exclude_same_artist and not result.artists:
        show.message("the query has no artist tag: nobody is left out for it")
    if args.collapse and result.versions is None:
        show.message("no version families to collapse by were looked for yet; run: soundalike versions")
    result = _as_typed(result, names)
    if args.m3u:
        write_playlist(args.m3u, [result.tracks[match.span.track] for match in result.matches])
    if args.json:
        show.print_json(_result_json(result, args.where))
    else:
        _print_result(result, args.m3u, conditions=bool(args.where or args.exclude_same_artist))
    return show.corrupt(result.corrupt)


def _example(option: str, given: Sequence[str]) -> Example:
    """What was given to --like or --unlike. Raises UsageError that names it."""
    file, *weights = given
    if len(weights) > 1:
        raise UsageError(f"{option} {file}: {len(weights)} arguments after the file; expected its weights, or nothing")
    try:
        return Example(Path(file), option == "--like", parse_weights(weights[0]) if weights else None)
    except UsageError as error:
        raise UsageError(f"{option} {file}: {error}") from error


def _as_typed(result: Result, names: Sequence[str]) -> Result:
    """The examples called what the user called them."""
    matches = tuple(
        replace(
            match, examples=tuple(replace(one, path=name) for one, name in zip(match.examples, names, strict=False))
        )
        for match in result.matches
    )
    examples = tuple(replace(one, path=Path(name)) for one, name in zip(result.examples, names, strict=False))
    return replace(result, query=replace(result.query, track=names[0]), matches=matches, examples=examples)


def _result_json(result: Result, where: str | None) -> dict[str, Any]:
    query = {**show.span_json(result.query), "level": result.level, "where": where, "searched": result.searched}
    found = {
        "query": query if result.hubness == "none" else {**query, "hubness": result.hubness},
        "models": [result.model],
        "weights": dict(result.weights),
        "matches": [{**show.match_json(match), **_versions_json(result, match)} for match in result.matches],
        "copies": list(result.copies),
        "damaged": list(result.corrupt),
    }
    if result.examples:
        found["examples"] = [
            {"path": str(one.path), "like": one.like, "weights": dict(one.weights or {})} for one in result.examples
        ]
    return found


def _versions_json(result: Result, match: Match) -> dict[str, Any]:
    """The paths of the versions that a match of a collapsed search stands for."""
    return {} if result.versions is None else {"versions": list(result.versions.get(match.span.track, ()))}


def _print_result(result: Result, playlist: Path | None, *, conditions: bool) -> None:
    query, count = result.query, show.count(result.searched, "track")
    against = f"{count}" if result.level == "track" else f"the passages of {count}"
    hubness = "" if result.hubness == "none" else f"; hubness: {result.hubness}"
    print(
        f"{one_line(query.track)}  {show.clock(query.start)} to {show.clock(query.end)}, against {against}; "
        f"weights: {show.weights_text(result.weights)}; model {result.model}{hubness}"
    )
    if result.examples:
        others = ", ".join(
            f"{'like' if one.like else 'unlike'} {one_line(one.path)} ({show.weights_text(one.weights or {})})"
            for one in result.examples[1:]
        )
        print(f"and {others}; scores are the mean over {len(result.examples)} examples")
    if not result.matches:
        print(_no_match(result, conditions))
    else:
        asked = [one.weights or {} for one in result.examples] or [result.weights]
        spaces = [name for name in result.weights if any(weights[name] != 0 for weights in asked)]
        rows = []
        for number, match in enumerate(result.matches, start=1):
            track = result.tracks[match.span.track]
            more = len((result.versions or {}).get(match.span.track, ()))
            span = f"{show.clock(match.span.start)}-{show.clock(match.span.end)}"
            rows.append(
                [
                    str(number),
                    f"{match.score:+.2f}",
                    *(show.share(match.spaces[s]) for s in spaces),
                    *show.facts(track),
                    span,
                    show.named(match.span.track, track) + (f"  +{show.count(more, 'version')}" if more else ""),
                ]
            )
        show.print_table(["#", "score", *spaces, "bpm", "key", "time", "track"], rows, left=[len(rows[0]) - 1])
    of = "an example" if result.examples else "the query"
    for copy in result.copies:
        print(show.paint(f"left out, a copy of {of}: {one_line(show.near(copy))} (--include-self keeps it)", "dim"))
    tell_playlist(playlist)


def _no_match(result: Result, conditions: bool) -> str:
    if result.searched:
        return "no match"
    return "no match: no track meets the conditions" if conditions else "no match: the library holds no other track"


def run_compare(args: argparse.Namespace) -> int:
    """Score B as an answer to A, and show the best passages of each space."""
    if args.a == args.b == "-":
        raise UsageError("only one of the two recordings can come from standard input")
    weights = chosen_weights(args)
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
            comparison = compare_encodings(model, a, b, weights, level=level, aligned=args.align, library=quantiles)
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
    for name, part in match.spaces.items():
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
