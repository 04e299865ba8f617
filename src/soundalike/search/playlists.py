"""A playlist from one seed: tracks like it that are not all like one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from soundalike.audio import camelot_code, compatible_keys, is_artist, parse_key
from soundalike.core.arguments import as_count, as_number, shown
from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.core.types import BoolArray, Match
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Filter, NumberCondition, Track, half_and_double
from soundalike.models import explain, query_terms, score_rows
from soundalike.search.copies import CopyFinder
from soundalike.search.journey import Journey, Recording, encode_whole, paths_of, whole_track
from soundalike.search.query import relative_to
from soundalike.search.results import describe_match

__all__ = ["build_playlist"]

_POOL = 500
"""Matches of the seed from which a playlist is chosen, or five times its length if that is more."""


def build_playlist(
    library: LibraryFolder,
    seed: Path,
    length: int = 30,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    where: Filter | None = None,
    *,
    spread: float = 0.3,
    tempo: tuple[float, float] | None = None,
    tempo_step: float | None = None,
    half_double: bool = False,
    harmonic: bool = False,
) -> Journey:
    """Choose tracks that are like a seed but not all like one another.

    From the best matches of the seed, the next track is always the one with the largest (1 - spread) x score(seed,
    track) - spread x max score(chosen, track) (maximal marginal relevance, Carbonell and Goldstein, SIGIR 1998, with
    spread = 1 - lambda). Between chosen tracks, the absolute values of the weights count. The seed and its copies are
    left out. No recording comes twice, and each is listed by its best file that fits, with its other files as `copies`.
    No artist comes twice in a row (case ignored; unknown artists all differ). A tempo is the tag, or what was measured;
    62 BPM is not 124, unless `half_double` is set.

    Args:
        library: The library.
        seed: A recording, in the library or not.
        length: The number of tracks.
        weights: Weights of the spaces, any sign; None weighs each 1.
        model: The name of the model.
        where: Conditions on the tracks; `query` in them is the seed.
        spread: Variety, 0 to 1: 0 takes the best matches.
        tempo: The lowest and highest tempo in BPM; a track without a tempo never matches.
        tempo_step: The largest change of tempo from one track to the next, in percent, 0 to 100.
        half_double: Let half and double of a tempo count as this tempo, in `tempo` and `tempo_step`.
        harmonic: Let the keys of consecutive tracks mix well (`soundalike.audio.compatible_keys`). Tracks of an unknown
            key are left out.

    Returns:
        The tracks in order, with the scores of a search; fewer, and a `note` saying why, if no other track fits.

    Raises:
        UsageError: A setting is out of range, or the seed has no audible content in the weighted spaces.
        AudioError: The seed cannot be read.
        ModelError: The library does not hold the model.

    Example:
        >>> len(build_playlist(library, Path("song.mp3"), 20, spread=0.5))
        20
    """
    length, spread = as_count(length, "length"), as_number(spread, "spread")
    if not 0 <= spread <= 1:
        raise UsageError(f"the spread is {spread:g}; expected 0 (the best matches) to 1 (most variety)")
    if tempo_step is not None and not 0 <= as_number(tempo_step, "tempo_step") <= 100:
        raise UsageError(f"the tempo step is {tempo_step:g} %; expected 0 to 100")
    if tempo is not None:
        low, high = _tempo_range(tempo)
        between = NumberCondition("bpm", ">=", low), NumberCondition("bpm", "<=", high)
        in_range = (half_and_double(low, high),) if half_double else between
        where = Filter((*(where or Filter()).conditions, *in_range))
    with library.snapshot():
        chosen = library.spaces(model, weights or ())
        resolved = chosen.weights(weights)
        subject = encode_whole(library, seed, chosen, resolved)
        conditions = relative_to(where or Filter(), subject)
        ours = [subject.own.id] if subject.own is not None else []
        candidates = library.candidates(chosen, "track", conditions).without(ours)
        wanted = max(_POOL, 5 * length)
        reference = library.reference(chosen, "track")
        terms = query_terms(reference.spaces, subject.track, resolved, "track")
        hits = library.store.search("track", terms, candidates.groups, wanted, candidates.wanted)
        found_ids = candidates.table[hits.group, 2]
        bad = library.find_corrupt(chosen, "track", hits.row, found_ids)
        absent = ~bad & library.find_absent(found_ids)
        corrupt, missing = paths_of(library, found_ids[bad]), paths_of(library, found_ids[absent])
        usable = ~bad & ~absent
        scores, places = hits.score[usable], hits.row[usable]
        rows = library.rows(chosen.spaces, "track", places)
        listed = library.catalog.tracks_of(found_ids[usable].tolist())
        pool = _Pool(listed, tempo_step, half_double=half_double, harmonic=harmonic)
        sizes = {name: abs(weight) for name, weight in resolved.items()}
        finder = CopyFinder(library, chosen.models[0])
        finder.add(pool.tracks)
        of_seed = finder.copies_of_subject(subject)
        remaining = pool.eligible()
        remaining[of_seed] = False
        order: list[int] = []
        recordings: list[Recording] = []
        redundancy = np.full(len(remaining), -np.inf)
        while len(order) < length and (allowed := remaining & pool.may_follow(order)).any():
            value = (1 - spread) * scores - (spread * redundancy if order else 0.0)
            unused = set(np.flatnonzero(remaining).tolist())
            group = finder.group_of(int(np.where(allowed, value, -np.inf).argmax()), unused)
            best = next(number for number in group if allowed[number])
            others = sorted({*group, *finder.copies_of(best, unused)} - {best})
            remaining[[best, *others]] = False
            recordings.append(Recording.of(pool.tracks, [best, *others]))
            order.append(best)
            own = query_terms(reference.spaces, {name: part[best] for name, part in rows.items()}, sizes, "track")
            redundancy = np.maximum(redundancy, score_rows(own, rows))
        matches = []
        for node in order:
            found = {name: part[node] for name, part in rows.items()}
            score, parts = explain(reference.spaces, subject.track, found, resolved, "track")
            matches.append(Match(whole_track(pool.tracks[node]), score, parts, subject.span))
    note = None
    if len(order) < length:
        why = pool.reason(order, remaining, conditions=where is not None)
        best_only = f"of the {wanted} most similar to the seed, " if len(hits.group) == wanted else ""
        note = f"{len(order)} of {length} tracks: {best_only}{why}"
    known = [pool.tracks[node] for node in order] + ([subject.own] if subject.own else [])
    held = {str(track.path): track for track in known}
    return Journey(
        subject.span,
        chosen.models[0].name,
        resolved,
        tuple(
            replace(describe_match(match, rank, held[match.path], subject.description), copies=one.copies)
            for rank, (match, one) in enumerate(zip(matches, recordings, strict=True), start=1)
        ),
        held,
        corrupt,
        missing,
        tuple(map(str, library.absent_roots().values())),
        reference.source,
        reference.recordings,
        tuple(one.name for one in chosen.models),
        candidates.not_encoded,
        note=note,
        copies=tuple(str(pool.tracks[number].path) for number in of_seed),
    )


def _tempo_range(tempo: tuple[float, float]) -> tuple[float, float]:
    """The lowest and highest tempo, checked."""
    try:
        first, second = tempo
    except (TypeError, ValueError):
        raise UsageError(f"tempo is {shown(tempo)}; expected two positive numbers, the smaller one first") from None
    low, high = as_number(first, "the lowest tempo"), as_number(second, "the highest tempo")
    if not 0 < low <= high < math.inf:
        raise UsageError(f"the tempo is {low:g} to {high:g} BPM; expected two positive numbers, the smaller one first")
    return low, high


class _Pool:
    """The tracks (n,) that a playlist is chosen from, and which may follow which."""

    def __init__(self, tracks: Sequence[Track], tempo_step: float | None, *, half_double: bool, harmonic: bool) -> None:
        self.tracks, self._step, self._harmonic = tracks, tempo_step, harmonic
        self._factors = (0.5, 1.0, 2.0) if half_double else (1.0,)
        self._bpm = np.array([math.nan if track.bpm is None else track.bpm for track in tracks])
        self._keys = [parse_key(track.known_key or "") for track in tracks]
        self._artists = [tuple(map(fold, filter(is_artist, track.artists))) for track in tracks]
        self._places: dict[str, list[int]] = {}
        for place, artists in enumerate(self._artists):
            for artist in artists:
                self._places.setdefault(artist, []).append(place)

    def eligible(self) -> BoolArray:
        """Which tracks (n,) can be in the list at all: with a tempo step those with a tempo, likewise with keys."""
        eligible = np.ones(len(self.tracks), dtype=bool)
        if self._step is not None:
            eligible &= ~np.isnan(self._bpm)
        if self._harmonic:
            eligible &= np.array([key is not None for key in self._keys], dtype=bool)
        return eligible

    def may_follow(self, order: Sequence[int]) -> BoolArray:
        """Which tracks (n,) may follow those in `order`."""
        return self._other_artist(order) & self._near_tempo(order) & self._mixes(order)

    def _other_artist(self, order: Sequence[int]) -> BoolArray:
        others = np.ones(len(self.tracks), dtype=bool)
        for artist in self._artists[order[-1]] if order else ():
            others[self._places[artist]] = False
        return others

    def _near_tempo(self, order: Sequence[int]) -> BoolArray:
        if self._step is None or not order:
            return np.ones(len(self.tracks), dtype=bool)
        last = self._bpm[order[-1]]
        changes = [np.abs(factor * self._bpm - last) for factor in self._factors]
        return np.min(changes, axis=0) <= self._step / 100 * last

    def _mixes(self, order: Sequence[int]) -> BoolArray:
        last = self._keys[order[-1]] if order and self._harmonic else None
        if last is None:
            return np.ones(len(self.tracks), dtype=bool)
        mixing = compatible_keys(last)
        return np.array([key in mixing for key in self._keys], dtype=bool)

    def reason(self, order: Sequence[int], remaining: BoolArray, *, conditions: bool) -> str:
        """Which rules exclude all remaining tracks."""
        if not remaining.any():
            met = " that meets the conditions" if conditions else ""
            needed = [*(["tempo"] if self._step is not None else []), *(["key"] if self._harmonic else [])]
            known = f" of a known {' and '.join(needed)}" if needed else ""
            return f"no other recording{known}{met} is left"
        rules = []
        if not self._other_artist(order)[remaining].all():
            rules.append(f"by another artist than {self.tracks[order[-1]].artist}")
        if not self._near_tempo(order)[remaining].all():
            rules.append(f"within {self._step:g} % of {self._bpm[order[-1]]:.1f} BPM")
        if not self._mixes(order)[remaining].all():
            key = self._keys[order[-1]] or ""
            rules.append(f"in a key that mixes with {key} ({camelot_code(key)})")
        return f"none is left {' and '.join(rules)}"
