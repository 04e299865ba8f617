"""Search with one stem of a recording: which loops and one-shots sound like its drums, and what each needs to fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundalike.audio import HOP, WINDOW
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import Match, Space, Span
from soundalike.library import LibraryFolder, Subject
from soundalike.models import SearchSpaces, is_silent
from soundalike.search.align import AlignmentFrames, alignment_frames
from soundalike.search.loop_fit import ONE_SHOT, LoopFit, fit_loop
from soundalike.search.query import Query
from soundalike.search.results import SearchResults
from soundalike.search.search import search_library

if TYPE_CHECKING:
    from soundalike.audio.separators import Separator

__all__ = ["MAKES", "choose_separator", "default_weights", "search_loops", "search_stem_file"]

_WEIGHTS: Mapping[str, Sequence[str]] = {
    "drums": ("rhythm", "timbre"),
    "vocals": ("melody", "timbre"),
    "bass": ("melody", "rhythm", "timbre"),
    "guitar": ("harmony", "rhythm", "timbre"),
    "piano": ("harmony", "rhythm", "timbre"),
    "other": ("harmony", "rhythm", "timbre"),
    "accompaniment": ("harmony", "rhythm", "timbre"),
}
"""The spaces that count for each stem if no weights are given."""
MAKES: Mapping[str, Sequence[str]] = {
    "spleeter": ("vocals", "accompaniment"),
    "demucs": ("drums", "bass", "other", "vocals"),
    "demucs6": ("drums", "bass", "other", "vocals", "guitar", "piano"),
}
"""What the separators of this package make. One that is not installed cannot be asked."""
_PITCH_SPACES = ("melody", "harmony")
_MARGIN = 5.0
"""Seconds on either side of the passage of the query that a loop is aligned with."""
Separating = Callable[[str], None]
Encode = Callable[[Path, SearchSpaces], Subject]
"""Encode the query's region of a file."""


def _load(name: str) -> Separator:
    loaded: Separator = plugins.load("separators", name)
    return loaded


def choose_separator(
    path: Path, stem: str, name: str | None = None, load: Callable[[str], Separator] = _load
) -> Separator:
    """Load the separator that is to make a stem of a recording.

    Args:
        path: The recording.
        stem: The stem, such as "drums".
        name: The name of the separator. None takes `given` if there are stem files of this kind beside the recording,
            else the first that is installed and makes the stem, spleeter before others.
        load: Loads a separator; pass one that keeps those that it has loaded.

    Raises:
        UsageError: There is no such separator, or none that is installed makes the stem.
        ModelError: The separator that was named is not installed.
        AudioError: The separator that was named is `given`, and there are no stem files.

    Example:
        >>> choose_separator(Path("song.mp3"), "vocals").name
        'spleeter'
    """
    from soundalike.audio.separators import STEMS, find_stems

    if name is not None:
        chosen = load(name)
        if stem not in chosen.stems:
            raise UsageError(f"{name} has no stem {stem!r}; it has {', '.join(chosen.stems)}")
        return chosen
    if stem not in STEMS:
        raise UsageError(f"unknown stem {stem!r}; expected one of {', '.join(STEMS)}")
    with suppress(AudioError):
        found = find_stems(path)
        if stem in found or (stem == "accompaniment" and set(found) - {"vocals"}):
            return load("given")
    reasons = []
    for other in sorted(_others(), key=lambda one: one != "spleeter"):
        if stem not in MAKES.get(other, STEMS):
            continue
        try:
            separator = load(other)
        except ModelError as error:
            reasons.append(str(error))
            continue
        if stem in separator.stems:
            return separator
    makers = [name for name, stems in MAKES.items() if stem in stems]
    raise UsageError(
        f"{path}: no stem files of {stem} lie beside it, and no separator that makes {stem} "
        f"({', '.join(makers)}) is installed; {reasons[0] if reasons else 'put the files beside it'}"
    )


def _others() -> list[str]:
    return [name for name in plugins.names("separators") if name != "given"]


def default_weights(stem: str, spaces: Sequence[Space]) -> dict[str, float] | None:
    """Return the weights for loops like a stem: those of its factors that the model has, else None for all.

    Example:
        >>> default_weights("drums", load_once("compact").spaces)
        {'rhythm': 1.0, 'timbre': 1.0}
    """
    names = {space.name for space in spaces}
    return {name: 1.0 for name in _WEIGHTS.get(stem, ()) if name in names} or None


def search_loops(
    library: LibraryFolder,
    query: Query,
    stem: str,
    separator: str | None = None,
    *,
    separating: Separating | None = None,
) -> SearchResults:
    """Find the loops and one-shots of a library that sound like one stem of a recording.

    The stem is encoded like any recording, and compared with the passages of the tracks, since a loop is a stem
    itself. Recordings of the same sound count as matches too; the query itself does not.

    Args:
        library: The library of loops.
        query: The recording, which need not be in the library, or a region of it. Without weights, those of
            `default_weights` count. Without a level, passages are compared. It has no further examples.
        stem: The stem, such as "drums".
        separator: The name of the separator; None is the one that `choose_separator` takes.
        separating: Called with the name of the separator if the recording has to be separated first.

    Returns:
        The matches. `stretch` and `semitones` are what each needs, see `fit_loop`; `stem` and `separator` are set.

    Raises:
        UsageError: No separator makes the stem, the stem is silent, or the query has further examples.
        AudioError: The recording cannot be read or separated.
        ModelError: The separator is not installed, or the library does not hold the model.

    Example:
        >>> with LibraryFolder(Path("loops-library")) as library:
        ...     search_loops(library, Query("song.mp3", start=30.0, end=40.0), "drums").separator
        'spleeter'
    """
    from soundalike.audio.separators import is_separated, separated_stems

    if query.examples:
        raise UsageError("further examples do not go with a stem; leave them out")
    path = absolute(Path(query.path))
    chosen = choose_separator(path, stem, separator)
    try:
        if separating is not None and not is_separated(chosen, path):
            separating(chosen.name)
        file = separated_stems(chosen, path)[stem]
    except AudioError as error:
        raise AudioError(f"{query.path}: {error}") from error

    def encode(one: Path, spaces: SearchSpaces) -> Subject:
        return library.subject(one, spaces, query.start, query.end)

    return search_stem_file(library, replace(query, path=path), file, encode, stem=stem, separator=chosen.name)


def search_stem_file(
    library: LibraryFolder, query: Query, file: Path, encode: Encode, *, stem: str, separator: str, offset: int = 0
) -> SearchResults:
    """Search as `search_loops` does, with a stem that was separated before.

    Args:
        library: The library of loops.
        query: The recording, by its absolute path, or a region of it.
        file: The file of the stem.
        encode: Encodes the region of the query of a file, which is the stem or the recording.
        stem: The stem.
        separator: The name of the separator that made it.
        offset: The number of matches to skip, of the k of the query.

    Raises:
        UsageError: The stem is silent.
        AudioError: The recording or the stem cannot be read.
        ModelError: The library does not hold the model.
    """
    path = Path(query.path)
    name = f"{path}: the stem {stem} of {separator}"
    try:
        silent = is_silent(file)
    except AudioError as error:
        raise AudioError(f"{name}: {error}") from error
    if silent:
        raise UsageError(f"{name} is silent; choose another stem or separator")
    with library.snapshot():
        spaces = library.spaces(query.model, query.named_spaces)
        weights = query.weights or default_weights(stem, spaces.models[0].spaces)
        asked = replace(query, path=file, weights=weights, by=query.by or "passage", k=query.k + 1, include_self=True)
        try:
            subject = encode(file, spaces)
            found = search_library(library, asked, subject)
        except (AudioError, UsageError) as error:
            text = str(error).removeprefix(f"{file}: ")
            raise type(error)(f"{name}: {text}") from error
        matches = [match for match in found if Path(match.path) != path][offset : query.k]
        bpm = _tempo(encode, spaces, path, stem, subject) if matches else None
        fitter = _Fitter(library, spaces, subject, found, bpm=bpm, unpitched=stem == "drums")
        fitted = tuple(fitter.fitted(match, rank) for rank, match in enumerate(matches, start=offset + 1))
    tracks = {match.path: found.tracks[match.path] for match in fitted}
    return replace(found, matches=fitted, tracks=tracks, stem=stem, separator=separator).renamed({str(file): str(path)})


class _Fitter:
    """What matches need to fit the query, each aligned with the passage of the query that it is most similar to."""

    def __init__(
        self,
        library: LibraryFolder,
        spaces: SearchSpaces,
        subject: Subject,
        found: SearchResults,
        *,
        bpm: float | None,
        unpitched: bool,
    ) -> None:
        self._library, self._spaces, self._subject, self._found = library, spaces, subject, found
        self._frames: dict[int, AlignmentFrames] = {}
        self._bpm, self._unpitched = bpm, unpitched

    def fitted(self, match: Match, rank: int) -> Match:
        """Return a match with what it needs."""
        track = self._found.tracks[match.path]
        fit = LoopFit(None, None)
        with suppress(AudioError):  # the file has changed since it was indexed
            fit = fit_loop(
                self._query_frames(match),
                alignment_frames(match.span),
                track.duration,
                query_bpm=self._bpm,
                bpm=track.bpm,
                pitched=self._is_pitched(match, track.duration),
            )
        return replace(match, rank=rank, stretch=fit.stretch, semitones=fit.semitones)

    def _is_pitched(self, match: Match, seconds: float) -> bool:
        """Return whether a match and the query have pitch. One-shots are too short for the spaces to tell."""
        scores = [match.spaces[name] for name in _PITCH_SPACES if name in match.spaces]
        return not self._unpitched and (seconds < ONE_SHOT or not scores or any(one.audible for one in scores))

    def _query_frames(self, match: Match) -> AlignmentFrames:
        """Return the frames of the query around the passage that is most similar to a match."""
        passage = self._most_similar_passage(match)
        if passage not in self._frames:
            span = self._subject.span
            middle = span.start + passage * HOP
            start, end = max(span.start, middle - _MARGIN), min(span.end, middle + WINDOW + _MARGIN)
            self._frames[passage] = alignment_frames(Span(span.track, start, end))
        return self._frames[passage]

    def _most_similar_passage(self, match: Match) -> int:
        """Return the number of the passage of the query that is most similar to a match."""
        first, _ = self._library.catalog.rows_of(self._found.tracks[match.path].id, "passage")
        held = self._library.rows(self._spaces.spaces, "passage", np.array([first + round(match.span.start / HOP)]))
        weights = self._found.weights
        total = sum(
            weights[space.name]
            / space.calibration["passage"].sigma
            * self._subject.passages[space.name]
            @ held[space.name][0]
            for space in self._spaces.spaces
        )
        return int(np.argmax(total))


def _tempo(encode: Encode, spaces: SearchSpaces, path: Path, stem: str, subject: Subject) -> float | None:
    """Return the tempo of the query: of drums their own, of other stems, which may rest, that of the mix."""
    own = subject.description.bpm if subject.description else None
    if own and stem == "drums":
        return own
    mix = encode(path, SearchSpaces.of(spaces.models[0])).description
    return (mix.bpm if mix else None) or own
