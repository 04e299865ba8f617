"""Judgements of listeners as triplets for fine-tuning: the reference, the sample that is preferred, and the other one.

A judgement is about one instrument in three segments. In All-Diff (test "XAB") they are from three songs; in One-Shared
("XYC") one of the two samples is from the song of the reference. Judgements are plain values: those of Inst-Sim-ABX are
read here, and others are handed over.

Only majorities of more than 75 % are used (Imamura et al., 2025, sections 3.3 and 4.2.3). The split of 7 to 3 is by
triplets, as published: songs and segments of the test part also occur in training. Split by songs, they do not, and
triplets with songs in both parts are left out.

n triplets, K instruments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from soundalike.audio.datasets import QUESTIONS, has_majority
from soundalike.audio.datasets.songs import instrument_of
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.train.metric.pieces import Piece
from soundalike.train.metric.segments import Cut, Segments
from soundalike.train.metric.triplets import Mixed, Triplet, pseudo_around

__all__ = [
    "MAJORITY",
    "Inputs",
    "JudgedSegments",
    "Judgement",
    "Place",
    "Preference",
    "SplitBy",
    "find_preferences",
    "read_listeners",
    "sounds",
    "split_preferences",
]

MAJORITY: Final = Fraction(3, 4)
"""The share of the votes of which strictly more must agree."""
_TRAINED = 0.7
_ATTEMPTS = 100

Inputs: TypeAlias = Literal["stem", "normal", "pseudo"]
"""What a network gets of a judgement: clean stems, the mixes that they are from, or pseudo-pieces."""
SplitBy: TypeAlias = Literal["triplet", "song"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a segment is: the name of its song, and its first second."""

    song: str
    start: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """How listeners judged one instrument in three segments.

    Attributes:
        instrument: The name of the instrument.
        test: "XAB" (All-Diff) or "XYC" (One-Shared).
        reference: The segment X.
        samples: The two segments to choose from.
        votes: The number of listeners who found each sample more similar to the reference.
    """

    instrument: str
    test: str
    reference: Place
    samples: tuple[Place, Place]
    votes: tuple[int, int]

    def preference(self, majority: Fraction = MAJORITY) -> Preference | None:
        """Return the triplet, or None unless strictly more than a share of the votes agrees.

        Example:
            >>> x, a, b = Place("1", 0.0), Place("2", 0.0), Place("3", 0.0)
            >>> Judgement("bass", "XAB", x, (a, b), (1, 5)).preference().positive.song
            '3'
        """
        if not has_majority(self.votes, majority):
            return None
        first, second = self.samples
        places = (first, second) if self.votes[0] > self.votes[1] else (second, first)
        return Preference(self.instrument, self.test, self.reference, *places, (max(self.votes), min(self.votes)))


@dataclass(frozen=True, slots=True)
class Preference:
    """A triplet that a majority agrees on.

    Attributes:
        instrument: The name of the instrument.
        test: "XAB" or "XYC".
        anchor: The reference.
        positive: The sample that is more similar to it.
        negative: The other sample.
        votes: The votes for the positive and for the negative.
    """

    instrument: str
    test: str
    anchor: Place
    positive: Place
    negative: Place
    votes: tuple[int, int]

    @property
    def places(self) -> tuple[Place, Place, Place]:
        """Anchor, positive and negative."""
        return self.anchor, self.positive, self.negative


def read_listeners(root: Path, instruments: Sequence[str]) -> tuple[Judgement, ...]:
    """Read the judgements of Inst-Sim-ABX on single instruments; those on mixes are left out.

    Args:
        root: The folder of the published repository.
        instruments: Names of the instruments; "residuals" of the labels are "other" here.

    Returns:
        The judgements on total similarity. Their segments start as published; they last 4.97 s.

    Raises:
        UsageError: The labels are missing or invalid, or do not say where a segment is from.

    Example:
        >>> judgements = read_listeners(Path("Inst-Sim-ABX-Dataset"), FIVE)
        >>> sum(one.preference() is not None for one in judgements if (one.instrument, one.test) == ("drums", "XAB"))
        115
    """
    dataset = plugins.load("datasets", "inst_sim_abx", root=root)
    segments = dataset.segments()
    found = []
    for ballot in dataset.ballots():
        if ballot.instrument == "mix":
            continue
        places = []
        for name in (ballot.reference, *ballot.samples):
            if name not in segments:
                raise UsageError(f"the configurations of {root} do not say where {name} is from")
            places.append(Place(segments[name].track, segments[name].start))
        reference, first, second = places
        name = instrument_of(ballot.instrument, instruments)
        found.append(Judgement(name, ballot.test, reference, (first, second), ballot.votes[QUESTIONS[0]]))
    return tuple(found)


def find_preferences(
    judgements: Iterable[Judgement], pieces: Sequence[Piece], seconds: float, instruments: Sequence[str]
) -> tuple[Preference, ...]:
    """Return the triplets with a majority whose segments can be cut from songs.

    Args:
        judgements: The judgements.
        pieces: The songs at hand. Triplets of other songs are left out, and those with a segment that starts after the
            end of its song, or in which the instrument is silent.
        seconds: Length of the segments.
        instruments: Names of the instruments of the songs.

    Raises:
        UsageError: No triplet is left.

    Example:
        >>> preferences = find_preferences(judgements, material.songs["test"], 5.0, material.instruments)
    """
    songs = {piece.name: piece for piece in pieces}
    agreed = [found for one in judgements if (found := one.preference())]
    usable = tuple(
        one
        for one in agreed
        if all(
            place.song in songs and sounds(songs[place.song], instruments.index(one.instrument), place.start, seconds)
            for place in one.places
        )
    )
    if not usable:
        raise UsageError(
            f"none of {len(agreed):,} judgements with a majority is about segments of {len(songs):,} songs in which "
            "the instrument is audible; give the songs that the labels are about"
        )
    return usable


def sounds(piece: Piece, instrument: int, start: float, seconds: float) -> bool:
    """Return whether an instrument sounds in a block of a segment of a song; False after its end.

    Example:
        >>> sounds(material.songs["test"][0], 0, 12.0, 5.0)
        True
    """
    blocks = piece.active[instrument]
    per_second = len(blocks) / piece.seconds
    return bool(blocks[int(start * per_second) : int(np.ceil((start + seconds) * per_second))].any())


def split_preferences(
    preferences: Sequence[Preference], seed: int, by: SplitBy = "triplet"
) -> tuple[tuple[Preference, ...], tuple[Preference, ...]]:
    """Divide triplets 7 to 3 into those to train on and those to test with.

    Args:
        preferences: The triplets.
        seed: Seed of the draw.
        by: "triplet", as published, for every instrument and test by itself; or "song".

    Returns:
        The training part and the test part, in the order of `preferences`.

    Example:
        >>> trained, tested = split_preferences(preferences, 0)
    """
    random = np.random.default_rng(seed)
    chosen: set[int] = set()
    if by == "triplet":
        groups: dict[tuple[str, str], list[int]] = {}
        for number, one in enumerate(preferences):
            groups.setdefault((one.instrument, one.test), []).append(number)
        for _, members in sorted(groups.items()):
            chosen.update(random.permutation(members)[: round(_TRAINED * len(members))].tolist())
        rest = set(range(len(preferences))) - chosen
    else:
        songs = sorted({place.song for one in preferences for place in one.places})
        trained = set(random.permutation(songs)[: round(_TRAINED * len(songs))].tolist())
        inside = [{place.song in trained for place in one.places} for one in preferences]
        chosen = {number for number, found in enumerate(inside) if found == {True}}
        rest = {number for number, found in enumerate(inside) if found == {False}}
    parts = [tuple(one for n, one in enumerate(preferences) if n in part) for part in (chosen, rest)]
    return parts[0], parts[1]


class JudgedSegments:
    """The segments that judgements are about, in the songs that they are from, and songs for the rest of pseudo-pieces.

    Args:
        judged: The songs of the judgements.
        others: The songs that the other instruments of pseudo-pieces are cut from.
        instruments: Names of the K instruments.
        seconds: Length of the segments.

    Attributes:
        segments: All songs; cuts of the triplets refer to it.

    Raises:
        UsageError: There are no songs, or none is as long as a segment.

    Example:
        >>> judged = JudgedSegments(material.songs["test"], material.songs["train"], material.instruments, 5.0)
        >>> triplets = judged.triplets(preferences, "pseudo", np.random.default_rng(0))
    """

    def __init__(
        self, judged: Sequence[Piece], others: Sequence[Piece], instruments: Sequence[str], seconds: float
    ) -> None:
        self._rests = Segments(others, instruments, seconds)
        self.segments = Segments((*others, *judged), instruments, seconds)
        self._numbers: Mapping[str, int] = {piece.name: n for n, piece in enumerate(judged, start=len(others))}

    def cut(self, place: Place) -> Cut:
        """Return the segment of a place."""
        return Cut(self._numbers[place.song], round(place.start * self.segments.pieces[0].rate))

    def triplets(self, preferences: Sequence[Preference], inputs: Inputs, rng: np.random.Generator) -> list[Triplet]:
        """Return what a network gets of the judgements, one triplet for each.

        Args:
            preferences: The judgements.
            inputs: "pseudo": the target is from the judgement; the rest of the anchor and that of the negative are two
                segments of one other song, and that of the positive is from a third one (Figure 1). Otherwise all
                instruments are from the judgement.
            rng: Source of the draws of "pseudo".

        Raises:
            UsageError: There are too few songs for the rest of pseudo-pieces.
        """
        found = []
        for one in preferences:
            target = self.segments.instruments.index(one.instrument)
            anchor, positive, negative = map(self.cut, one.places)
            if inputs == "pseudo":
                cuts = (anchor, positive, negative)
                draws = (pseudo_around(self._rests, target, cuts, rng) for _ in range(_ATTEMPTS))
                triplet = next(filter(None, draws), None)
                if triplet is None:
                    raise UsageError(
                        f"too few songs for the rest of pseudo-pieces: {len(self._rests.pieces):,}, and two are needed "
                        f"in which something other than {one.instrument} is audible, in one of them in two segments"
                    )
            else:
                mixed = (Mixed((cut,) * len(self.segments.instruments)) for cut in (anchor, positive, negative))
                triplet = Triplet(target, *mixed)
            found.append(triplet)
        return found
