"""Journeys through a library: a path from one track to another in small steps, and a playlist from one seed.

Both go by whole tracks and by the law of `score.py`; what is heard of tracks outside the library is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from soundalike.catalog import Track
from soundalike.errors import AudioError, UsageError
from soundalike.filters import Filter, NumberCondition
from soundalike.fingerprint import Words, same_recording
from soundalike.library import Library, Subject
from soundalike.model import Model
from soundalike.routes import slerp, widest_path
from soundalike.score import explain, mutual_scores, query_terms, score_rows
from soundalike.spaces import resolve_weights
from soundalike.types import BoolArray, FloatArray, IntArray, Match, Span, Weights

__all__ = ["Journey", "path_between", "playlist"]

_PER_POINT = 200
"""Tracks looked at around each point of a path; with the most points, a pool of 2400."""
_POINTS = (4, 12)
"""The fewest and the most points between two tracks around which a path looks for its steps."""
_POOL = 500
"""Matches of a seed from which a playlist is chosen, or five times its length, where that is more."""


@dataclass(frozen=True, slots=True, eq=False)
class Journey:
    """Where a journey leads: `matches` in the order to hear them, and what is known of their `tracks`, by path.

    Of a path, each match is a step: its score and parts are those of it and the track before it (`query_span`), and
    the last match is the `end`; `direct` is the step from `start` to `end` in one. Of a playlist, scores are those of
    a search with the seed, `start`; `end` and `direct` are None. `note` says in words why there are fewer tracks
    than were asked for. `damaged` are tracks that were left out because something of them is not what was written.
    """

    start: Span
    end: Span | None
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    direct: Match | None = None
    note: str | None = None
    damaged: tuple[str, ...] = ()

    @property
    def smallest(self) -> float | None:
        """The smallest score of a match; None where there is none."""
        return min((match.score for match in self.matches), default=None)


@dataclass(frozen=True, slots=True, eq=False)
class _Sound:
    """By what a recording is told from others."""

    audio_hash: str
    words: Words

    def is_among(self, others: Iterable[_Sound]) -> bool:
        """Whether it is the same recording as one of these."""
        return any(self.audio_hash == other.audio_hash or same_recording(self.words, other.words) for other in others)


# From one track to another ----------------------------------------------------------------------------------------


def path_between(
    library: Library,
    a: Path,
    b: Path,
    steps: int = 8,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    where: Filter | None = None,
) -> Journey:
    """A path from A to B over `steps` tracks of the library in between, each alike to the one before it.

    The tracks around points between A and B on the sphere of each space are the pool; of all paths through it on which
    every track lies further from A towards B (`widest_path`), this is the one whose smallest score is largest. A and
    B may be any recordings; `where` holds for the tracks in between. No two of the tracks are the same recording: of
    copies on the way, the later ones are taken out of the pool, and the path is looked for again. A library with fewer
    tracks on the way gives a shorter path and a `note`. The score of a step is the mean of both directions.

    Raises UsageError for negative weights (a step of opposites leads nowhere), or where A and B are the same recording
    or hold nothing to hear in the spaces asked about; AudioError, ModelError, LibraryError.
    """
    if steps < 1:
        raise UsageError(f"asked for {steps} steps; ask for at least 1")
    with library.snapshot():
        chosen = library.model(model)
        resolved = resolve_weights(weights, chosen.spaces)
        negative = [f"{name} weighs {weight:g}" for name, weight in resolved.items() if weight < 0]
        if negative:
            raise UsageError(f"{negative[0]}: a path goes by what is alike; give weights of 0 or more")
        first, last = (_hear(library, path, chosen, resolved) for path in (a, b))
        ends = [_Sound(subject.audio_hash, subject.fingerprint) for subject in (first, last)]
        if ends[0].is_among(ends[1:]):
            raise UsageError(f"{a} and {b} are the same recording; give two that differ")
        ours = [subject.own.id for subject in (first, last) if subject.own]
        candidates = library.candidates(chosen, "track", where or Filter()).without(ours)
        points = [
            {s.name: slerp(first.track[s.name], last.track[s.name], part) for s in chosen.spaces}
            for part in np.linspace(0, 1, min(max(steps, _POINTS[0]), _POINTS[1]) + 2)[1:-1].tolist()
        ]
        queries = [query_terms(chosen.spaces, point, resolved, "track") for point in points]
        hits = library.store.search_many("track", queries, candidates.groups, _PER_POINT, candidates.wanted)
        pool = candidates.table[np.unique(np.concatenate([found.group for found in hits]))]
        spoiled = library.spoiled(chosen, "track", pool[:, 0], pool[:, 2])
        damaged, pool = _paths(library, pool[spoiled, 2]), pool[~spoiled]
        # Row 0 is A, the last one B, and the pool lies between.
        rows = {
            name: np.concatenate([first.track[name][None, :], held, last.track[name][None, :]])
            for name, held in library.rows(chosen.spaces, "track", pool[:, 0]).items()
        }
        order, tracks = _without_copies(
            library, ends, mutual_scores(chosen.spaces, rows, resolved, "track"), pool, steps
        )
        spans = [first.span, *(_whole(track) for track in tracks), last.span]
        route = [0, *order, len(pool) + 1]
        step = _Steps(library, chosen, resolved, rows)
        matches = tuple(step.match(*ab, *ends) for ab, ends in zip(pairwise(route), pairwise(spans), strict=True))
        direct = step.match(0, len(pool) + 1, first.span, last.span)
    note = None
    if len(tracks) < steps:
        met = " that meet the conditions" if where is not None else ""
        note = f"{len(tracks)} of {steps} tracks: the library holds no more between the two{met}"
    known = [*tracks, *(subject.own for subject in (first, last) if subject.own)]
    return Journey(
        first.span,
        last.span,
        chosen.name,
        resolved,
        matches,
        {str(track.path): track for track in known},
        direct,
        note,
        damaged,
    )


def _without_copies(
    library: Library, ends: Sequence[_Sound], scores: FloatArray, pool: IntArray, steps: int
) -> tuple[list[int], list[Track]]:
    """The widest path on which no recording comes twice, and its tracks; the ends come first and last in `scores`."""
    left = np.arange(len(scores))
    while True:
        order = [int(left[node]) for node in widest_path(scores[np.ix_(left, left)], steps)]
        tracks = library.catalog.tracks_of(pool[np.array(order, dtype=np.int64) - 1, 2].tolist())
        met, copies = list(ends), []
        for node, track in zip(order, tracks, strict=True):
            sound = _Sound(track.audio_hash, library.catalog.fingerprint(track.id))
            if sound.is_among(met):
                copies.append(node)
            met.append(sound)
        if not copies:
            return order, tracks
        left = np.setdiff1d(left, copies)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Explains steps between `rows`, by short name (n, d)."""

    library: Library
    model: Model
    weights: Weights
    rows: Mapping[str, FloatArray]

    def match(self, start: int, end: int, query_span: Span, span: Span) -> Match:
        """The step between two rows: the mean of both directions, in the shares too, so that they sum to the score."""
        quantiles = self.library.quantiles(self.model, "track")
        a, b = ({name: rows[node] for name, rows in self.rows.items()} for node in (start, end))
        _, forth = explain(self.model.spaces, a, b, self.weights, "track", quantiles)
        _, back = explain(self.model.spaces, b, a, self.weights, "track", quantiles)
        parts = {name: replace(part, share=(part.share + back[name].share) / 2) for name, part in forth.items()}
        return Match(span, sum(part.share for part in parts.values()), parts, query_span)


# From one seed ----------------------------------------------------------------------------------------------------


def playlist(
    library: Library,
    seed: Path,
    length: int = 30,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    where: Filter | None = None,
    *,
    spread: float = 0.3,
    tempo: tuple[float, float] | None = None,
    tempo_step: float | None = None,
) -> Journey:
    """Tracks like a seed, but not all like one another; the seed and its copies are not among them.

    Of the best matches of the seed, the next track is always the one of largest (1 - spread) x score(seed, track) -
    spread x the largest score(chosen, track) so far (maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998,
    with spread = 1 - lambda). Weights may be of any sign; between chosen tracks their sizes count.

    No recording comes twice, and no artist twice in a row (without regard to case; unknown ones are all different).
    `tempo` is the range of every track in BPM, ends included, and `tempo_step` how many per cent a track may be off
    the one before it; tempo is the tag, or what was measured, as filters have it (62 is not 124), and a track without
    one meets neither. Where nothing more can follow, the list ends early and `note` says why.

    Raises UsageError for settings outside their ranges or a seed with nothing to hear in the spaces asked about;
    AudioError, ModelError, LibraryError.
    """
    if length < 1:
        raise UsageError(f"asked for {length} tracks; ask for at least 1")
    if not 0 <= spread <= 1:
        raise UsageError(f"a spread of {spread:g}; give one from 0 (only like the seed) to 1 (only unlike each other)")
    if tempo is not None and not 0 < tempo[0] <= tempo[1] < math.inf:
        raise UsageError(f"a tempo of {tempo[0]:g} to {tempo[1]:g} BPM; give two numbers, the smaller one first")
    if tempo_step is not None and not 0 <= tempo_step <= 100:
        raise UsageError(f"a tempo step of {tempo_step:g} %; give 0 to 100")
    if tempo is not None:
        low, high = (NumberCondition("bpm", op, bpm) for op, bpm in zip((">=", "<="), tempo, strict=True))
        where = Filter((*(where or Filter()).conditions, low, high))
    with library.snapshot():
        chosen = library.model(model)
        resolved = resolve_weights(weights, chosen.spaces)
        subject = _hear(library, seed, chosen, resolved)
        ours = [subject.own.id] if subject.own is not None else []
        candidates = library.candidates(chosen, "track", where or Filter()).without(ours)
        wanted = max(_POOL, 5 * length)
        terms = query_terms(chosen.spaces, subject.track, resolved, "track")
        hits = library.store.search("track", terms, candidates.groups, wanted, candidates.wanted)
        found_ids = candidates.table[hits.group, 2]
        spoiled = library.spoiled(chosen, "track", hits.row, found_ids)
        damaged = _paths(library, found_ids[spoiled])
        scores, places = hits.score[~spoiled], hits.row[~spoiled]
        rows = library.rows(chosen.spaces, "track", places)
        pool = _Pool(library.catalog.tracks_of(found_ids[~spoiled].tolist()), tempo_step)
        sizes = {name: abs(weight) for name, weight in resolved.items()}
        met = [_Sound(subject.audio_hash, subject.fingerprint)]
        left = pool.left_at_first()
        order: list[int] = []
        redundancy = np.full(len(left), -np.inf)
        while len(order) < length and (able := left & pool.may_follow(order)).any():
            value = (1 - spread) * scores - (spread * redundancy if order else 0.0)
            best = int(np.where(able, value, -np.inf).argmax())
            left[best] = False
            sound = _Sound(pool.tracks[best].audio_hash, library.catalog.fingerprint(pool.tracks[best].id))
            if sound.is_among(met):
                continue
            met.append(sound)
            order.append(best)
            own = query_terms(chosen.spaces, {name: part[best] for name, part in rows.items()}, sizes, "track")
            redundancy = np.maximum(redundancy, score_rows(own, rows))
        matches = []
        for node in order:
            found = {name: part[node] for name, part in rows.items()}
            quantiles = library.quantiles(chosen, "track")
            score, parts = explain(chosen.spaces, subject.track, found, resolved, "track", quantiles)
            matches.append(Match(_whole(pool.tracks[node]), score, parts, subject.span))
    note = None
    if len(order) < length:
        why = pool.why_none(order, left, conditions=where is not None)
        among = f"of the {wanted} most like the seed, " if len(hits.group) == wanted else ""
        note = f"{len(order)} of {length} tracks: {among}{why}"
    known = [pool.tracks[node] for node in order] + ([subject.own] if subject.own else [])
    return Journey(
        subject.span,
        None,
        chosen.name,
        resolved,
        tuple(matches),
        {str(track.path): track for track in known},
        note=note,
        damaged=damaged,
    )


class _Pool:
    """The tracks (n,) that a playlist is chosen from, and which of them may follow which."""

    def __init__(self, tracks: Sequence[Track], tempo_step: float | None) -> None:
        self.tracks, self._step = tracks, tempo_step
        self._bpm = np.array([math.nan if track.bpm is None else track.bpm for track in tracks])
        artists = [track.artist.casefold() if track.artist else None for track in tracks]
        numbers = {name: number for number, name in enumerate(sorted({name for name in artists if name}))}
        self._artist = np.array([numbers[name] if name else -1 for name in artists], dtype=np.int64)

    def left_at_first(self) -> BoolArray:
        """Which tracks (n,) can be anywhere in the list: with a tempo step, those of a known tempo."""
        return np.ones(len(self.tracks), dtype=bool) if self._step is None else ~np.isnan(self._bpm)

    def may_follow(self, order: Sequence[int]) -> BoolArray:
        """Which tracks (n,) keep to the rules after those in `order`."""
        return self._other_artist(order) & self._near_tempo(order)

    def _other_artist(self, order: Sequence[int]) -> BoolArray:
        last = self._artist[order[-1]] if order else -1
        return (self._artist != last) | (self._artist == -1)

    def _near_tempo(self, order: Sequence[int]) -> BoolArray:
        if self._step is None or not order:
            return np.ones(len(self.tracks), dtype=bool)
        last = self._bpm[order[-1]]
        return np.abs(self._bpm - last) <= self._step / 100 * last

    def why_none(self, order: Sequence[int], left: BoolArray, *, conditions: bool) -> str:
        """Which rule none of the tracks that are left keeps to."""
        if not left.any():
            met = " that meets the conditions" if conditions else ""
            tempo = " of a known tempo" if self._step is not None else ""
            return f"no other recording{tempo}{met} is left"
        rules = []
        if not self._other_artist(order)[left].all():
            rules.append(f"by another artist than {self.tracks[order[-1]].artist}")
        if not self._near_tempo(order)[left].all():
            rules.append(f"within {self._step:g} % of {self._bpm[order[-1]]:.1f} BPM")
        return f"none is left {' and '.join(rules)}"


# Both -------------------------------------------------------------------------------------------------------------


def _hear(library: Library, path: Path, model: Model, weights: Weights) -> Subject:
    """What a recording sounds like; errors name it. Raises AudioError, UsageError if there is nothing to hear."""
    try:
        subject = library.subject(path, model)
        query_terms(model.spaces, subject.track, weights, "track")
    except (AudioError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error
    return subject


def _paths(library: Library, ids: IntArray) -> tuple[str, ...]:
    return tuple(str(track.path) for track in library.catalog.tracks_of(ids.tolist()))


def _whole(track: Track) -> Span:
    return Span(str(track.path), 0.0, track.duration)
