"""`soundalike duplicates` and `soundalike versions`."""

from __future__ import annotations

import argparse
from typing import Any

from soundalike.cli import show
from soundalike.cli.inputs import chosen_weights, library_path
from soundalike.cli.playlist_files import check_playlist, tell_playlist, write_playlist
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Track
from soundalike.search import Family, Versions, find_duplicates, find_versions, store_versions

__all__ = ["run_duplicates", "run_versions"]


def run_duplicates(args: argparse.Namespace) -> int:
    """List tracks that are the same recording. None is an answer too: 0."""
    check_playlist(args.m3u)
    progress = show.Progress("track", enabled=not args.json)
    with LibraryFolder(library_path(args)) as library:
        groups = find_duplicates(library, args.model, progress)
    progress.end()
    if args.m3u:
        write_playlist(args.m3u, [track for group in groups for track in group])
    if args.json:
        show.print_json({"duplicates": [[str(track.path) for track in group] for group in groups]})
        return 0
    for number, group in enumerate(groups, start=1):
        print(f"{number}  {show.count(len(group), 'file')} of one recording")
        for track in group:
            print(f"   {show.named(str(track.path), track)}")
    spare = sum(len(group) - 1 for group in groups)
    print(f"{show.count(len(groups), 'recording')} more than once, {show.count(spare, 'file')} to spare")
    tell_playlist(args.m3u)
    return 0


def run_versions(args: argparse.Namespace) -> int:
    """List version families, and keep them in the library. None is an answer too: 0."""
    check_playlist(args.m3u)
    weights = chosen_weights(args)
    path = library_path(args)
    progress = show.Progress("track", enabled=not args.json)
    LibraryFolder(path).close()  # one that is not there is not made
    with LibraryFolder(path, writable=True) as library:
        found = find_versions(library, args.false_discovery_rate, weights, args.model, progress)
        store_versions(library, found)
    progress.end()
    if args.m3u:
        members = [member for family in found.families for member in family.members]
        write_playlist(args.m3u, [track for member in members for track in member])
    if args.json:
        show.print_json(_versions_json(found))
        return 0
    lines = [line for number, family in enumerate(found.families, start=1) for line in _lines(str(number), family)]
    if lines:
        show.print_table(["family", "score", "q", "track"], lines, left=[3])
    print(_summary(found))
    tell_playlist(args.m3u)
    return 0


def _lines(number: str, family: Family) -> list[list[str]]:
    """Every version with its surest pair's score and q-value; its duplicates below it."""
    lines = []
    for track, *copies in family.members:
        pairs = [pair for pair in family.pairs if track.id in (pair.a.id, pair.b.id)]
        surest = min(pairs, key=lambda pair: (pair.q, -pair.score))
        lines.append([number, f"{surest.score:+.2f}", f"{surest.q:.2g}", show.named(str(track.path), track)])
        lines += [[number, "", "", f"{show.named(str(one.path), one)}  (the same recording)"] for one in copies]
    return lines


def _summary(found: Versions) -> str:
    """What was found, and how much of it to believe."""
    asked = (
        f"{show.count(found.recordings, 'recording')}, {show.count(found.tests, 'pair')}; "
        f"weights: {show.weights_text(found.weights)}; model {found.model}"
    )
    if not found.found:
        return f"no pair is nearer than chance explains, at a false-discovery rate of {found.rate:g} ({asked})"
    return (
        f"{show.count(found.found, 'pair')} in {show.count(len(found.families), 'family')} of versions, of which about "
        f"{found.expected_false:.1f} are expected to be chance, at a false-discovery rate of {found.rate:g} ({asked})"
    )


def _versions_json(found: Versions) -> dict[str, Any]:
    def path(track: Track) -> str:
        return str(track.path)

    return {
        "models": [found.model],
        "weights": dict(found.weights),
        "false_discovery_rate": found.rate,
        "recordings": found.recordings,
        "tests": found.tests,
        "pairs": found.found,
        "expected_false": found.expected_false,
        "families": [
            {
                "q": family.q,
                "versions": [{"path": path(first), "copies": list(map(path, rest))} for first, *rest in family.members],
                "pairs": [
                    {"a": path(pair.a), "b": path(pair.b), "score": pair.score, "p": pair.p, "q": pair.q}
                    for pair in family.pairs
                ],
            }
            for family in found.families
        ],
    }
