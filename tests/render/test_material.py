"""Material: progressions and patterns by grammar, passages of melodies, and how alike pieces of material are."""

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
    chord_likeness,
    excerpt,
    groove_likeness,
    likeness,
    matching_passage,
    thin,
)

SEEDS = st.integers(0, 2**32 - 1)
METER = st.sampled_from(METERS)
MODE = st.sampled_from(list(MODES))
LAW = settings(max_examples=40, deadline=None)


def draw_melody(seed: int, meter: str, mode: str = "major", bars: int = 4) -> Melody:
    """A wandering tune of eighths, quarters and some rests."""
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
    """For every bar its onsets by voice, in twelfths of a beat."""
    bar = round(12 * BAR[groove.meter])
    bars: list[set[tuple[str, int]]] = [set() for _ in range(round(groove.beats / BAR[groove.meter]))]
    for hit in groove.hits:
        number, at = divmod(round(12 * hit.start), bar)
        bars[number].add((voice(hit.drum), at))
    return bars


def spelled(first: set[tuple[str, int]], second: set[tuple[str, int]], bar: int) -> str:
    """Two bars as in the source of a pattern."""
    onsets = {name: sorted({at for one, at in first if one == name} | {at + bar for one, at in second if one == name})
              for name in VOICES}  # fmt: skip
    return " ".join(f"{name}:{','.join(map(str, at))}" for name, at in onsets.items() if at)


# Progressions.


@LAW
@given(SEEDS, METER, MODE)
def test_progressions_fill_whole_bars_in_key(seed: int, meter: str, mode: str) -> None:
    made = draw_progression(np.random.default_rng(seed), meter, mode)
    assert made.beats / BAR[meter] in (4, 8)
    assert (made.meter, made.mode) == (meter, mode)
    end = 0.0
    for chord in made.chords:
        assert chord.start == end
        assert chord.start % BAR[meter] % PULSE[meter] == 0
        end += chord.length
        allowed = set(MODES[mode]) | ({11} if (mode, chord.root) == ("minor", 7) else set())
        assert {(chord.root + tone) % 12 for tone in CHORDS[chord.kind]} <= allowed
    assert end == made.beats
    assert len({(chord.root, chord.kind) for chord in made.chords}) >= 3
    looped = [*made.chords, made.chords[0]]
    assert all((a.root, a.kind) != (b.root, b.kind) for a, b in itertools.pairwise(looped))


def test_same_seed_same_progression_and_many_of_them() -> None:
    for meter in METERS:
        for mode in MODES:
            names = {draw_progression(np.random.default_rng(k), meter, mode).name for k in range(60)}
            assert len(names) > 45
            twice = [draw_progression(np.random.default_rng(5), meter, mode) for _ in range(2)]
            assert twice[0] == twice[1]


def test_progressions_come_in_several_harmonic_rhythms() -> None:
    for meter in METERS:
        made = [draw_progression(np.random.default_rng(k), meter, "major") for k in range(60)]
        rates = {round(len(one.chords) / one.beats * BAR[meter], 2) for one in made}
        assert min(rates) == 0.5 and 1.0 in rates and max(rates) >= 2.0


# Patterns.


@LAW
@given(SEEDS, METER)
def test_patterns_fit_their_meter(seed: int, meter: str) -> None:
    made = draw_pattern(np.random.default_rng(seed), meter)
    assert made.beats / BAR[meter] in (2, 4)
    assert made.meter == meter and made.tempo is None
    assert all(0 <= hit.start < made.beats and 35 <= hit.drum <= 81 and 1 <= hit.velocity <= 127 for hit in made.hits)
    assert list(made.hits) == sorted(made.hits, key=lambda hit: (hit.start, hit.drum))
    assert len({(hit.start, hit.drum) for hit in made.hits}) == len(made.hits)
    assert len({hit.drum for hit in made.hits}) >= 2
    assert made == draw_pattern(np.random.default_rng(seed), meter)


@LAW
@given(SEEDS, METER)
def test_a_pattern_is_named_by_what_it_repeats(seed: int, meter: str) -> None:
    made = draw_pattern(np.random.default_rng(seed), meter)
    head, *voices = made.source.split(" ")
    assert head == f"pattern:{meter}"
    bar = round(12 * BAR[meter])
    named: list[set[tuple[str, int]]] = [set(), set()]
    for word in voices:
        name, onsets = word.split(":")
        for onset in map(int, onsets.split(",")):
            named[onset // bar].add((name, onset % bar))
    bars = by_bar(made)
    unvaried = bars[:-1]
    if named[1]:  # the bars of a loop have no first
        assert made.source <= f"{head} {spelled(named[1], named[0], bar)}"
    assert unvaried[0] in named
    if len(bars) == 4:
        assert unvaried[0] == unvaried[2]


def test_patterns_are_many_varied_and_of_many_kinds() -> None:
    for meter in METERS:
        rng = np.random.default_rng(0)
        made = [draw_pattern(rng, meter) for _ in range(500)]
        assert len({one.source for one in made}) > 300
        assert len({one.name for one in made}) >= 7
        assert len({voice(hit.drum) for one in made for hit in one.hits}) == 3
        assert np.mean([by_bar(one)[-1] not in by_bar(one)[:-1] for one in made]) > 0.6
    assert {one.swing for one in made} == {0.5}  # 9/8 has nothing to swing
    assert {draw_pattern(np.random.default_rng(k), "4/4").swing for k in range(60)} == {0.5, 0.667}


# Passages and likeness.


@LAW
@given(SEEDS, METER, st.integers(0, 5), st.integers(1, 3))
def test_an_excerpt_is_what_it_was_cut_from(seed: int, meter: str, first: int, bars: int) -> None:
    whole, bar = draw_melody(seed, meter, bars=8), BAR[meter]
    part = excerpt(whole, first, bars)
    assert part.beats == bars * bar
    before = {(n.start, n.pitch) for n in whole.notes if first * bar <= n.start < (first + bars) * bar}
    assert {(n.start + first * bar, n.pitch) for n in part.notes} == before
    assert all(n.length > 0 and n.start + n.length <= part.beats for n in part.notes)


def test_an_excerpt_beyond_the_end_is_refused() -> None:
    with pytest.raises(UsageError, match="tune 1 has 4 bars; expected some of them, got 2 from 3 on"):
        excerpt(draw_melody(1, "6/8"), 3, 2)


@LAW
@given(SEEDS, METER)
def test_thinned_melodies_keep_some_notes_and_hold_them(seed: int, meter: str) -> None:
    melody = draw_melody(seed, meter, bars=8)
    made = thin(melody, np.random.default_rng(seed))
    assert made == thin(melody, np.random.default_rng(seed))
    written = {(note.start, note.pitch): note.length for note in melody.notes}
    ends = [*(note.start for note in made.notes[1:]), melody.beats]
    assert 0 < len(made.notes) <= len(melody.notes)
    for note, end in zip(made.notes, ends, strict=True):
        assert written[note.start, note.pitch] <= note.length <= end - note.start
        assert note.length <= max(2.0, written[note.start, note.pitch])


def test_thinning_spares_the_first_of_the_bar_and_fills_the_gaps() -> None:
    for meter in METERS:
        melody = Melody(
            "", "", meter, "major", 8 * BAR[meter], tuple(Note(k / 2, 0.5, 0) for k in range(round(16 * BAR[meter])))
        )
        made = [thin(melody, np.random.default_rng(k)) for k in range(40)]
        on = np.mean([sum(note.start % BAR[meter] == 0 for note in one.notes) / 8 for one in made])
        assert on > 0.95
        assert np.mean([len(one.notes) for one in made]) < 0.75 * len(melody.notes)
        assert np.mean([note.length for one in made for note in one.notes]) > 0.6  # all were written as 0.5


def rotated(melody: Melody, bars: int) -> Melody:
    """The same loop from another bar on (no note crosses a bar line where it is cut)."""
    later = bars * BAR[melody.meter]
    notes = tuple(replace(note, start=(note.start - later) % melody.beats) for note in melody.notes)
    return replace(melody, notes=tuple(sorted(notes, key=lambda note: note.start)))


def within_bars(melody: Melody) -> Melody:
    """The melody with notes cut at bar lines."""
    bar = BAR[melody.meter]
    notes = (replace(n, length=min(n.length, bar - n.start % bar)) for n in melody.notes)
    return replace(melody, notes=tuple(notes))


@LAW
@given(SEEDS, SEEDS, METER, st.integers(0, 3))
def test_likeness_is_one_with_itself_and_blind_to_rotation(seed: int, other: int, meter: str, bars: int) -> None:
    a, b = within_bars(draw_melody(seed, meter)), within_bars(draw_melody(other, meter, bars=8))
    assert likeness(a, a) == likeness(a, rotated(a, bars)) == 1.0
    assert likeness(a, b) == pytest.approx(likeness(b, a))
    assert likeness(a, rotated(b, bars)) == pytest.approx(likeness(a, b))
    assert 0.0 <= likeness(a, b) <= 1.0
    rng = np.random.default_rng(seed)
    chords, groove = [draw_progression(rng, meter, "major") for _ in "ab"], [draw_pattern(rng, meter) for _ in "ab"]
    assert chord_likeness(chords[0], chords[0]) == groove_likeness(groove[0], groove[0]) == 1.0
    assert chord_likeness(*chords) == pytest.approx(chord_likeness(*reversed(chords)))
    assert groove_likeness(*groove) == pytest.approx(groove_likeness(*reversed(groove)))


def test_different_material_is_little_alike() -> None:
    rng = np.random.default_rng(0)
    for meter in METERS:
        tunes = [draw_melody(k, meter, bars=8) for k in range(20)]
        assert max(likeness(a, b) for a in tunes for b in tunes if a is not b) < 0.5
        chords = [draw_progression(rng, meter, "major") for _ in range(40)]
        assert np.median([chord_likeness(a, b) for a in chords for b in chords if a is not b]) < 0.45
        grooves = [draw_pattern(rng, meter) for _ in range(40)]
        assert np.median([groove_likeness(a, b) for a in grooves for b in grooves if a is not b]) < 0.65


def test_nothing_is_alike_across_meters() -> None:
    rng = np.random.default_rng(0)
    assert likeness(draw_melody(0, "3/4"), draw_melody(0, "6/8")) == 0.0
    assert chord_likeness(draw_progression(rng, "3/4", "major"), draw_progression(rng, "6/8", "major")) == 0.0
    assert groove_likeness(draw_pattern(rng, "3/4"), draw_pattern(rng, "6/8")) == 0.0


def test_likeness_of_what_can_be_counted() -> None:
    held = Melody("", "", "4/4", "major", 4.0, (Note(0.0, 2.0, 0),))
    assert likeness(held, replace(held, notes=(Note(0.0, 2.0, 12),))) == 1.0  # an octave above
    assert likeness(held, replace(held, notes=(Note(1.0, 2.0, 0),))) == pytest.approx(1 / 3)  # 1 of 3 beats
    assert likeness(held, replace(held, beats=8.0)) == pytest.approx(2 / 4)  # the second bar rests
    assert likeness(replace(held, notes=()), replace(held, notes=())) == 0.0
    whole = Progression("", "4/4", "major", 4.0, (Chord(0.0, 4.0, 0, "maj"),))
    halves = replace(whole, chords=(Chord(0.0, 3.0, 0, "7"), Chord(3.0, 1.0, 7, "maj")))
    assert chord_likeness(whole, halves) == pytest.approx(0.75)
    groove = Groove("", "", "4/4", 4.0, tuple(Hit(float(k), 36, 90) for k in range(4)))
    late = replace(groove, hits=tuple(replace(hit, start=hit.start + 0.08, drum=35) for hit in groove.hits))
    assert groove_likeness(groove, late) == 1.0  # a loose player with another kick
    assert groove_likeness(groove, replace(groove, hits=groove.hits[:2])) == pytest.approx(2 / 3)
    snare = replace(groove, hits=(*groove.hits, Hit(1.0, 38, 90)))
    assert groove_likeness(groove, snare) == pytest.approx(0.5)  # low voices agree, snares do not


@LAW
@given(SEEDS, METER, st.integers(0, 28))
def test_a_planted_passage_is_found(seed: int, meter: str, first: int) -> None:
    setting = within_bars(draw_melody(seed, meter, bars=32))
    planted = excerpt(setting, first, 4)
    found, alike = matching_passage(planted, setting, 4)
    assert alike == 1.0
    assert found == planted
    # With some notes changed it is found all the same.
    varied = replace(
        planted, notes=tuple(replace(n, pitch=n.pitch + (k % 5 == 0)) for k, n in enumerate(planted.notes))
    )
    found, alike = matching_passage(varied, setting, 4)
    assert found == planted
    assert 0.6 < alike < 1.0


def test_a_setting_that_cannot_match_is_returned_as_it_is() -> None:
    melody = draw_melody(1, "4/4")
    for other in (draw_melody(1, "3/4"), draw_melody(1, "4/4", bars=3)):
        assert matching_passage(melody, other, 4) == (other, 0.0)
