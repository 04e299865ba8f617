"""Tests of the material: drawn progressions and patterns, excerpts of melodies, and similarity."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.render.score.grammar import draw_progression
from soundalike.render.score.music import (
    BAR,
    CHORDS,
    METERS,
    MODES,
    PULSE,
    Chord,
    Groove,
    Hit,
    Melody,
    Note,
    Progression,
)
from soundalike.render.score.patterns import VOICES, draw_pattern, voice
from soundalike.render.sources.melodies import (
    chord_similarity,
    excerpt,
    groove_similarity,
    matching_passage,
    melody_similarity,
    thin,
)

SEEDS = st.integers(0, 2**32 - 1)
METER = st.sampled_from(METERS)
MODE = st.sampled_from(list(MODES))
PROPERTY = settings(max_examples=40, deadline=None)


def draw_melody(seed: int, meter: str, mode: str = "major", bars: int = 4) -> Melody:
    """Draw a random walk of eighths, quarters and some rests."""
    rng, beats = np.random.default_rng(seed), bars * BAR[meter]
    start, step, notes = 0.0, 0, []
    while start < beats:
        length = min(float(rng.choice([0.5, 0.5, 1.0])), beats - start)
        step = int(np.clip(step + rng.integers(-2, 3), -4, 8))
        if rng.random() < 0.9:
            notes.append(Note(start, length, MODES[mode][step % 7] + 12 * (step // 7)))
        start += length
    return Melody(f"tune {seed}", "", meter, mode, beats, tuple(notes))


def by_bar(groove: Groove) -> list[set[tuple[str, int]]]:
    """Return the onsets of each bar by voice, in twelfths of a beat."""
    bar = round(12 * BAR[groove.meter])
    bars: list[set[tuple[str, int]]] = [set() for _ in range(round(groove.beats / BAR[groove.meter]))]
    for hit in groove.hits:
        number, at = divmod(round(12 * hit.start), bar)
        bars[number].add((voice(hit.drum), at))
    return bars


def source_text(first: set[tuple[str, int]], second: set[tuple[str, int]], bar: int) -> str:
    """Write two bars as in the source of a pattern."""
    onsets = {name: sorted({at for voice, at in first if voice == name}
                           | {at + bar for voice, at in second if voice == name})
              for name in VOICES}  # fmt: skip
    return " ".join(f"{name}:{','.join(map(str, at))}" for name, at in onsets.items() if at)


# Progressions.


@PROPERTY
@given(SEEDS, METER, MODE)
def test_progressions_fill_complete_bars_in_their_mode(seed: int, meter: str, mode: str) -> None:
    drawn = draw_progression(np.random.default_rng(seed), meter, mode)
    assert drawn.beats / BAR[meter] in (4, 8)
    assert (drawn.meter, drawn.mode) == (meter, mode)
    end = 0.0
    for chord in drawn.chords:
        assert chord.start == end
        assert chord.start % BAR[meter] % PULSE[meter] == 0
        end += chord.length
        allowed = set(MODES[mode]) | ({11} if (mode, chord.root) == ("minor", 7) else set())
        assert {(chord.root + tone) % 12 for tone in CHORDS[chord.kind]} <= allowed
    assert end == drawn.beats
    assert len({(chord.root, chord.kind) for chord in drawn.chords}) >= 3
    looped = [*drawn.chords, drawn.chords[0]]
    assert all((a.root, a.kind) != (b.root, b.kind) for a, b in itertools.pairwise(looped))


def test_progressions_are_deterministic_and_varied() -> None:
    for meter in METERS:
        for mode in MODES:
            names = {draw_progression(np.random.default_rng(k), meter, mode).name for k in range(60)}
            assert len(names) > 45
            twice = [draw_progression(np.random.default_rng(5), meter, mode) for _ in range(2)]
            assert twice[0] == twice[1]


def test_progressions_have_several_harmonic_rhythms() -> None:
    for meter in METERS:
        progressions = [draw_progression(np.random.default_rng(k), meter, "major") for k in range(60)]
        rates = {round(len(drawn.chords) / drawn.beats * BAR[meter], 2) for drawn in progressions}
        assert min(rates) == 0.5 and 1.0 in rates and max(rates) >= 2.0


# Patterns.


@PROPERTY
@given(SEEDS, METER)
def test_patterns_are_valid_in_their_meter(seed: int, meter: str) -> None:
    groove = draw_pattern(np.random.default_rng(seed), meter)
    assert groove.beats / BAR[meter] in (2, 4)
    assert groove.meter == meter and groove.tempo is None
    for hit in groove.hits:
        assert 0 <= hit.start < groove.beats and 35 <= hit.drum <= 81 and 1 <= hit.velocity <= 127
    assert list(groove.hits) == sorted(groove.hits, key=lambda hit: (hit.start, hit.drum))
    assert len({(hit.start, hit.drum) for hit in groove.hits}) == len(groove.hits)
    assert len({hit.drum for hit in groove.hits}) >= 2
    assert groove == draw_pattern(np.random.default_rng(seed), meter)


@PROPERTY
@given(SEEDS, METER)
def test_the_source_of_a_pattern_lists_its_repeated_bars(seed: int, meter: str) -> None:
    groove = draw_pattern(np.random.default_rng(seed), meter)
    head, *voices = groove.source.split(" ")
    assert head == f"pattern:{meter}"
    bar = round(12 * BAR[meter])
    named: list[set[tuple[str, int]]] = [set(), set()]
    for word in voices:
        name, onsets = word.split(":")
        for onset in map(int, onsets.split(",")):
            named[onset // bar].add((name, onset % bar))
    bars = by_bar(groove)
    unvaried = bars[:-1]
    if named[1]:  # the source is the smaller of the two orders
        assert groove.source <= f"{head} {source_text(named[1], named[0], bar)}"
    assert unvaried[0] in named
    if len(bars) == 4:
        assert unvaried[0] == unvaried[2]


def test_patterns_are_varied_and_of_many_kinds() -> None:
    for meter in METERS:
        rng = np.random.default_rng(0)
        grooves = [draw_pattern(rng, meter) for _ in range(500)]
        assert len({groove.source for groove in grooves}) > 300
        assert len({groove.name for groove in grooves}) >= 7
        assert len({voice(hit.drum) for groove in grooves for hit in groove.hits}) == 3
        assert np.mean([by_bar(groove)[-1] not in by_bar(groove)[:-1] for groove in grooves]) > 0.6
    assert {groove.swing for groove in grooves} == {0.5}  # 9/8 has no swing
    assert {draw_pattern(np.random.default_rng(k), "4/4").swing for k in range(60)} == {0.5, 0.667}


# Excerpts and similarity.


@PROPERTY
@given(SEEDS, METER, st.integers(0, 5), st.integers(1, 3))
def test_an_excerpt_has_the_notes_of_its_bars(seed: int, meter: str, first: int, bars: int) -> None:
    melody, bar = draw_melody(seed, meter, bars=8), BAR[meter]
    part = excerpt(melody, first, bars)
    assert part.beats == bars * bar
    before = {(n.start, n.pitch) for n in melody.notes if first * bar <= n.start < (first + bars) * bar}
    assert {(n.start + first * bar, n.pitch) for n in part.notes} == before
    assert all(n.length > 0 and n.start + n.length <= part.beats for n in part.notes)


def test_an_excerpt_beyond_the_end_is_an_error() -> None:
    with pytest.raises(UsageError, match="tune 1 has 4 bars, but 2 from bar 3 were requested; choose"):
        excerpt(draw_melody(1, "6/8"), 3, 2)


@PROPERTY
@given(SEEDS, METER)
def test_thinned_melodies_keep_some_notes_and_extend_them(seed: int, meter: str) -> None:
    melody = draw_melody(seed, meter, bars=8)
    thinned = thin(melody, np.random.default_rng(seed))
    assert thinned == thin(melody, np.random.default_rng(seed))
    written = {(note.start, note.pitch): note.length for note in melody.notes}
    ends = [*(note.start for note in thinned.notes[1:]), melody.beats]
    assert 0 < len(thinned.notes) <= len(melody.notes)
    for note, end in zip(thinned.notes, ends, strict=True):
        assert written[note.start, note.pitch] <= note.length <= end - note.start
        assert note.length <= max(2.0, written[note.start, note.pitch])


def test_thinning_keeps_first_notes_of_bars_and_fills_gaps() -> None:
    for meter in METERS:
        melody = Melody(
            "", "", meter, "major", 8 * BAR[meter], tuple(Note(k / 2, 0.5, 0) for k in range(round(16 * BAR[meter])))
        )
        thinned = [thin(melody, np.random.default_rng(k)) for k in range(40)]
        on_downbeat = np.mean([sum(note.start % BAR[meter] == 0 for note in drawn.notes) / 8 for drawn in thinned])
        assert on_downbeat > 0.95
        assert np.mean([len(drawn.notes) for drawn in thinned]) < 0.75 * len(melody.notes)
        assert np.mean([note.length for drawn in thinned for note in drawn.notes]) > 0.6  # the written length is 0.5


def rotated(melody: Melody, bars: int) -> Melody:
    """Return the same loop starting at another bar. No note may cross the bar line there."""
    later = bars * BAR[melody.meter]
    notes = tuple(replace(note, start=(note.start - later) % melody.beats) for note in melody.notes)
    return replace(melody, notes=tuple(sorted(notes, key=lambda note: note.start)))


def within_bars(melody: Melody) -> Melody:
    """Return the melody with its notes cut at bar lines."""
    bar = BAR[melody.meter]
    notes = (replace(n, length=min(n.length, bar - n.start % bar)) for n in melody.notes)
    return replace(melody, notes=tuple(notes))


@PROPERTY
@given(SEEDS, SEEDS, METER, st.integers(0, 3))
def test_similarity_is_one_with_itself_symmetric_and_independent_of_rotation(
    seed: int, other: int, meter: str, bars: int
) -> None:
    a, b = within_bars(draw_melody(seed, meter)), within_bars(draw_melody(other, meter, bars=8))
    assert melody_similarity(a, a) == melody_similarity(a, rotated(a, bars)) == 1.0
    assert melody_similarity(a, b) == pytest.approx(melody_similarity(b, a))
    assert melody_similarity(a, rotated(b, bars)) == pytest.approx(melody_similarity(a, b))
    assert 0.0 <= melody_similarity(a, b) <= 1.0
    rng = np.random.default_rng(seed)
    chords, groove = [draw_progression(rng, meter, "major") for _ in "ab"], [draw_pattern(rng, meter) for _ in "ab"]
    assert chord_similarity(chords[0], chords[0]) == groove_similarity(groove[0], groove[0]) == 1.0
    assert chord_similarity(*chords) == pytest.approx(chord_similarity(*reversed(chords)))
    assert groove_similarity(*groove) == pytest.approx(groove_similarity(*reversed(groove)))


def test_different_material_has_a_low_similarity() -> None:
    rng = np.random.default_rng(0)
    for meter in METERS:
        tunes = [draw_melody(k, meter, bars=8) for k in range(20)]
        assert max(melody_similarity(a, b) for a in tunes for b in tunes if a is not b) < 0.5
        chords = [draw_progression(rng, meter, "major") for _ in range(40)]
        assert np.median([chord_similarity(a, b) for a in chords for b in chords if a is not b]) < 0.45
        grooves = [draw_pattern(rng, meter) for _ in range(40)]
        assert np.median([groove_similarity(a, b) for a in grooves for b in grooves if a is not b]) < 0.65


def test_similarity_is_zero_across_meters() -> None:
    rng = np.random.default_rng(0)
    assert melody_similarity(draw_melody(0, "3/4"), draw_melody(0, "6/8")) == 0.0
    assert chord_similarity(draw_progression(rng, "3/4", "major"), draw_progression(rng, "6/8", "major")) == 0.0
    assert groove_similarity(draw_pattern(rng, "3/4"), draw_pattern(rng, "6/8")) == 0.0


def test_similarity_of_simple_examples() -> None:
    held = Melody("", "", "4/4", "major", 4.0, (Note(0.0, 2.0, 0),))
    assert melody_similarity(held, replace(held, notes=(Note(0.0, 2.0, 12),))) == 1.0  # an octave above
    assert melody_similarity(held, replace(held, notes=(Note(1.0, 2.0, 0),))) == pytest.approx(1 / 3)  # 1 of 3 beats
    assert melody_similarity(held, replace(held, beats=8.0)) == pytest.approx(2 / 4)  # the second bar rests
    assert melody_similarity(replace(held, notes=()), replace(held, notes=())) == 0.0
    whole = Progression("", "4/4", "major", 4.0, (Chord(0.0, 4.0, 0, "maj"),))
    halves = replace(whole, chords=(Chord(0.0, 3.0, 0, "7"), Chord(3.0, 1.0, 7, "maj")))
    assert chord_similarity(whole, halves) == pytest.approx(0.75)
    groove = Groove("", "", "4/4", 4.0, tuple(Hit(float(k), 36, 90) for k in range(4)))
    late = replace(groove, hits=tuple(replace(hit, start=hit.start + 0.08, drum=35) for hit in groove.hits))
    assert groove_similarity(groove, late) == 1.0  # within the tolerance, on another bass drum
    assert groove_similarity(groove, replace(groove, hits=groove.hits[:2])) == pytest.approx(2 / 3)
    snare = replace(groove, hits=(*groove.hits, Hit(1.0, 38, 90)))
    assert groove_similarity(groove, snare) == pytest.approx(0.5)  # the low voice matches and the snare does not


@PROPERTY
@given(SEEDS, METER, st.integers(0, 28))
def test_a_planted_passage_is_found(seed: int, meter: str, first: int) -> None:
    setting = within_bars(draw_melody(seed, meter, bars=32))
    planted = excerpt(setting, first, 4)
    found, similarity = matching_passage(planted, setting, 4)
    assert similarity == 1.0
    assert found == planted
    # It is also found if some notes differ.
    varied = replace(
        planted, notes=tuple(replace(n, pitch=n.pitch + (k % 5 == 0)) for k, n in enumerate(planted.notes))
    )
    found, similarity = matching_passage(varied, setting, 4)
    assert found == planted
    assert 0.6 < similarity < 1.0


def test_a_setting_that_cannot_match_is_returned_unchanged() -> None:
    melody = draw_melody(1, "4/4")
    for other in (draw_melody(1, "3/4"), draw_melody(1, "4/4", bars=3)):
        assert matching_passage(melody, other, 4) == (other, 0.0)
