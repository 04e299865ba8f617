"""`soundalike search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundalike.api.records.search import example_weights, search_record
from soundalike.cli.arguments import (
    GIVEN_PATH,
    LEVEL,
    REGION,
    WholeNumber,
    argument,
    bounds_option,
    library_option,
    m3u_option,
    many_option,
    model_option,
    option,
    weights_option,
    where_option,
)
from soundalike.cli.cells import clock, count, near, weights_text
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library, named_recording, one_standard_input, typed_names
from soundalike.cli.loops import check_stem, folder_library, search_with_stem
from soundalike.cli.match_table import MatchRow, check_match_columns, copy_notes, print_matches
from soundalike.cli.models.stems import ready_stem_model
from soundalike.cli.output import (
    Progress,
    print_message,
    print_styled,
    print_warnings,
    report_corrupt,
    report_missing,
)
from soundalike.cli.references import level_text, models_text, reference_text
from soundalike.cli.stems import stems_option, suggest_separators
from soundalike.cli.suggest import suggest_examples, suggest_recordings
from soundalike.cli.table import fitted_name, print_facts
from soundalike.cli.take_files import take_files
from soundalike.core.errors import UsageError, one_line

if TYPE_CHECKING:
    from soundalike.api import Library
    from soundalike.audio import AudioInput
    from soundalike.core.types import Match
    from soundalike.search import SearchResults

__all__ = ["search"]


def _read_examples(
    ctx: click.Context, param: click.Parameter, given: Sequence[Sequence[str]]
) -> list[tuple[str, Mapping[str, float] | None]]:
    """The recordings of --like or --unlike, each with its weights."""
    if not given or ctx.resilient_parsing:  # the import takes a while, and a shell may be waiting for completions
        return []
    from soundalike.models import parse_weights

    examples: list[tuple[str, Mapping[str, float] | None]] = []
    for file, *weights in given:
        name = f"{param.opts[0]} {file}"
        if len(weights) > 1:
            message = f"{name}: {len(weights)} arguments after the file; expected its weights, or nothing"
            raise click.BadParameter(message, ctx, param)
        try:
            examples.append((file, parse_weights(weights[0]) if weights else None))
        except UsageError as error:
            raise click.BadParameter(f"{name}: {error}", ctx, param) from error
    return examples


@command("search")
@argument(
    "audio",
    shell_complete=suggest_recordings,
    metavar="AUDIO",
    help="The recording to search with, in the library or not; - for standard input.",
)
@weights_option()
@many_option(
    "--like",
    callback=_read_examples,
    shell_complete=suggest_examples,
    metavar="FILE [SPACE=W,...]",
    help="Another recording to be like, with its own weights (default: those of -w). May be repeated.",
)
@many_option(
    "--unlike",
    callback=_read_examples,
    shell_complete=suggest_examples,
    metavar="FILE [SPACE=W,...]",
    help="A recording to be unlike, with its own weights (default: those of -w). May be repeated.",
)
@option("--region", type=REGION, metavar="FROM-TO", help="Search with a part of AUDIO, such as 0:30-0:40.")
@bounds_option("--at-least", "Only matches of at least this percentile in a space, such as rhythm=95.")
@bounds_option("--at-most", "Only matches of at most this percentile in a space, such as timbre=30.")
@option("--by", type=LEVEL, help="Compare whole tracks or passages (default: passages for a region or below 30 s).")
@option(
    "--hubness",
    type=click.Choice(["none", "mutual-proximity"]),
    default="none",
    help="Lower the rank of hubs, which are close to everything: mutual-proximity, for whole tracks (default: none).",
)
@option("-k", "-n", "k", type=WholeNumber(), default=10, metavar="N", help="Number of matches (default: 10).")
@where_option()
@option("--exclude-same-artist", is_flag=True, help="Leave out tracks by any artist of the query.")
@option("--include-self", is_flag=True, help="Keep the query and its copies among the matches.")
@option("--collapse", is_flag=True, help="Show only the best version of each piece (after: soundalike versions).")
@stems_option("Search by the stems that a separator makes, such as spleeter, in a library without stems too.")
@option(
    "--shortlist",
    type=WholeNumber(),
    default=50,
    metavar="N",
    help="With --stems: how many of the tracks that are most alike by the mix to separate (default: 50).",
)
@option("--stem", metavar="STEM", help="Search with one stem of AUDIO, such as drums, for loops that sound like it.")
@option(
    "--with", "maker", metavar="SEPARATOR", shell_complete=suggest_separators, help="With --stem: what makes the stem "
    "(default: given, the stem files beside AUDIO, else an installed separator, spleeter before others)."
)  # fmt: skip
@option(
    "--in",
    "folder",
    type=GIVEN_PATH,
    metavar="FOLDER",
    help="Search a folder of audio files, which is indexed first, instead of a library.",
)
@option("--all-copies", is_flag=True, help="List every copy of a recording, not only the best file.")
@m3u_option("the matches")
@option("--play", is_flag=True, help="Open the matches with the player of your system.")
@option("--copy-to", type=GIVEN_PATH, metavar="DIR", help="Copy the files of the matches to a folder.")
@option("--link-to", type=GIVEN_PATH, metavar="DIR", help="Link the files of the matches into a folder.")
@model_option()
@library_option()
@output_options()
def search(
    audio: str,
    weights: Mapping[str, float] | None,
    like: Sequence[tuple[str, Mapping[str, float] | None]],
    unlike: Sequence[tuple[str, Mapping[str, float] | None]],
    region: tuple[float, float | None] | None,
    at_least: Sequence[Mapping[str, float]],
    at_most: Sequence[Mapping[str, float]],
    by: Any,
    hubness: Any,
    k: int,
    where: str | None,
    exclude_same_artist: bool,
    include_self: bool,
    collapse: bool,
    separator: str | None,
    shortlist: int,
    stem: str | None,
    maker: str | None,
    folder: Path | None,
    all_copies: bool,
    model: str | None,
    library_path: Path | None,
    play: bool,
    copy_to: Path | None,
    link_to: Path | None,
    output: Output,
) -> int:
    """Find what sounds like a recording.

    A query of 30 s or more is compared with whole tracks. A shorter one, or a region, is compared with passages of
    10 s, and the best passage of each track is its match.

    \b
      soundalike search song.mp3
      soundalike search song.mp3 -w melody=2,timbre=-1
                                         a similar tune with a different sound
      soundalike search song.mp3 --region 0:30-0:40
                                         what sounds like this passage?
      soundalike search song.mp3 --where 'bpm 90..110 and genre = jazz'
      soundalike search song.mp3 --like b.mp3 melody=2 --unlike c.mp3 timbre
                                         also the tune of b, not the sound of c
      soundalike search song.mp3 --at-least rhythm=95 --at-most timbre=30
                                         the same groove in another sound
      soundalike search song.mp3 --m3u alike.m3u8
                                         write the matches to a playlist
      soundalike search 'punk song'      a track of the library, by its name
      soundalike search song.mp3 --collapse
                                         one version of each piece

    A score of 0 is what two random recordings score on average, and 1 is one standard deviation more alike. The score
    is the weighted mean over the spaces. The column of a space shows its share of the score (the shares sum to the
    score) and the percentage of random pairs that are less alike. n/a means that the query or the match has no audible
    content in that space, such as melody in a drum loop.

    Random pairs are those of the library, from 200 recordings on, else those of the model. One of the many passages
    of a long track may fit by chance. For passages, the percentage is therefore that of random tracks with as many
    audible passages whose best one is less alike, and tracks are listed in that order.

    --stems adds the spaces of stems, such as vocals.melody. If the library was not indexed with them, the tracks that
    are most alike by the mix are separated first, and only these are found; what was separated is kept for later
    searches.

    \b
      soundalike search song.mp3 --stems spleeter -w vocals.melody=2,rhythm
                                         a similar voice over a similar groove

    --stem searches with one stem of AUDIO, or of a region of it, for loops and one-shots, and shows the stretch and the
    transposition that each needs. --in searches any folder of audio files: the first search indexes it, and later ones
    what has changed.

    
      soundalike search song.mp3 --stem drums --in ~/Loops
                                         loops that sound like its drums
      soundalike search song.mp3 --stem vocals --region 0:30-0:40 --in ~/Loops

    --like and --unlike follow AUDIO. With them, the score is the mean over all examples, and examples to be unlike
    count negatively. Each is scored as a search with it alone; --json shows what each contributes.
    """
    names = [audio, *(name for name, _ in [*like, *unlike])]
    one_standard_input(names)
    if folder is not None and library_path is not None:
        raise UsageError("--in and --library both say what to search; give one of them")
    if stem is None and maker is not None:
        raise UsageError("--with says what makes the stem of --stem; give --stem too, or use --stems")
    if stem is not None and separator is not None:
        raise UsageError(
            "--stem searches with one stem, and --stems by all stems; give one of them, or --stem and --with"
        )
    if stem is not None:
        check_stem(audio, stem, maker)
    unread = False
    if folder is None:
        opened = chosen_library(library_path)
    else:
        opened, unread = folder_library(folder, model, quiet=not output.is_table)
    with opened as library:
        asked: dict[str, Any] = {
            "weights": weights, "k": k, "where": where, "by": by, "region": region, "model": model,
            "exclude_same_artist": exclude_same_artist, "include_self": include_self, "collapse": collapse,
            "all_copies": all_copies,
        }  # fmt: skip
        recording = named_recording(library, audio)
        more: dict[str, Any] = {
            "like": [(named_recording(library, name), own) for name, own in like],
            "unlike": [(named_recording(library, name), own) for name, own in unlike],
            "at_least": _joined("--at-least", at_least), "at_most": _joined("--at-most", at_most), "hubness": hubness,
        }  # fmt: skip
        if stem is not None:
            results = search_with_stem(library, recording, stem, maker, {**asked, **more})
        elif separator is not None:
            results = _search_stems(library, recording, separator, shortlist, asked, more, quiet=not output.is_table)
        else:
            results = library.search(recording, **asked, **more)
    print_warnings(results.warnings)
    if exclude_same_artist and not results.artists:
        print_message("the query has no artist tag, so --exclude-same-artist has no effect")
    if collapse and results.versions is None:
        print_message("the library holds no version families, so only copies are collapsed; run: soundalike versions")

    def show() -> None:
        typed = results.renamed(typed_names(names))
        _print_results(typed, output, conditions=bool(where or exclude_same_artist))

    def answer() -> Answer:
        record = search_record(results, where)
        return Answer(record, record.matches, results.playlist_entries())

    output.print(answer, show)
    report_missing(results)
    failed = report_corrupt(results.corrupt) | unread
    if copy_to or link_to or play:
        failed |= take_files([match.path for match in results], copy_to=copy_to, link_to=link_to, play=play)
    return failed


def _search_stems(
    library: Library,
    recording: AudioInput,
    separator: str,
    shortlist: int,
    asked: dict[str, Any],
    more: dict[str, Any],
    *,
    quiet: bool,
) -> SearchResults:
    """Search by the stems that the library holds, or else by those of a shortlist."""
    base = library.folder.model(asked["model"])
    on_stems = ready_stem_model(base.source, separator, quiet=quiet)
    if on_stems in library.models:
        spaces = library.folder.model(on_stems).spaces
        weights = asked["weights"] or {space.full_name: 1.0 for space in spaces}
        return library.search(recording, **{**asked, "weights": weights}, **more)
    if more["like"] or more["unlike"] or more["at_least"] or more["at_most"] or more["hubness"] != "none":
        raise UsageError(
            "--like, --unlike, --at-least, --at-most and --hubness need the stems of every track; index them first: "
            f"soundalike index --stems {separator} DIR"
        )
    with Progress("track", enabled=not quiet) as progress:
        return library.search_stems(recording, separator, shortlist=shortlist, progress=progress, **asked)


def _joined(option: str, given: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The bounds of a repeated option as one mapping."""
    found: dict[str, float] = {}
    for one in given:
        for space, value in one.items():
            if space in found:
                raise UsageError(f"{option}: {space} has two bounds, {found[space]:g} and {value:g}; give one")
            found[space] = value
    return found


def _print_results(results: SearchResults, output: Output, *, conditions: bool) -> None:
    check_match_columns(output.columns, list(results.weights))
    query, tracks = results.query, count(results.searched, "track")
    against = tracks if results.level == "track" else f"the passages of {tracks}"
    reason = level_text(results.level_reason, "an example" if results.examples else "the query")
    name = fitted_name(one_line(query.track), 32)
    if results.stem is not None:
        name = f"{results.stem} of {name} by {results.separator}"
    print_facts(
        f"{name}  {clock(query.start)} to {clock(query.end)}",
        f"against {against}{reason}",
        f"weights: {weights_text(results.weights)}",
        models_text(results.models),
        "" if results.hubness == "none" else f"hubness: {results.hubness}",
        "ordered by percentile" if results.level == "passage" else "",
    )
    if results.shortlist is not None:
        print_facts(
            f"only the {count(results.shortlist, 'track')} most alike by the mix were compared by their stems "
            "(--shortlist); to compare all: soundalike index --stems SEPARATOR DIR"
        )
    if results.examples:
        others = [
            f"{'like' if one.like else 'unlike'} {fitted_name(one_line(one.path), 50)} "
            f"({weights_text(example_weights(one))})"
            for one in results.examples[1:]
        ]
        print_facts(f"and {', '.join(others)}", f"scores are the mean over {len(results.examples)} examples")
    scores = [match.spaces for match in results.matches]
    print_facts(reference_text(results.reference, results.recordings, results.models, scores))
    bounded = [f"{name} at least {value:g}%" for name, value in results.at_least.items()]
    bounded += [f"{name} at most {value:g}%" for name, value in results.at_most.items()]
    if bounded:
        print_facts(f"bounds: {', '.join(bounded)}")
    if results.matches:
        _print_matches(results, output)
    elif results.searched:
        print("no match: no track meets the bounds" if bounded else "no match")
    else:
        print("no match: " + ("no track meets the conditions" if conditions else "the library holds no other track"))
    original = "an example" if results.examples else "the query"
    for copy in results.copies:
        print_styled((f"left out, a copy of {original}: {one_line(near(copy))} (--include-self keeps it)", "dim"))


def _print_matches(results: SearchResults, output: Output) -> None:
    used = [example_weights(one) for one in results.examples] or [results.weights]
    spaces = [name for name in results.weights if any(weights[name] != 0 for weights in used)]
    rows = [
        MatchRow(match.path, results.tracks[match.path], match, str(match.rank), notes=_notes(results, match))
        for match in results
    ]
    print_matches(
        rows, spaces, parts=results.level == "passage", fit=results.stem is not None, wide=output.wide,
        columns=output.columns,
    )  # fmt: skip


def _notes(results: SearchResults, match: Match) -> list[str]:
    """What is printed below a match."""
    versions = (results.versions or {}).get(match.path, ())
    relation = [match.relation] if match.relation else []
    return [*relation, *copy_notes("copy", match.copies), *copy_notes("version", versions)]
