"""Styles of comping and bass, and the performance of a scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
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
    Band,
    Chord,
    Groove,
    Hit,
    Melody,
    Note,
    Progression,
    Rhythm,
    Role,
    Scene,
    Sound,
)
from soundalike.render.score.patterns import draw_pattern
from soundalike.render.score.perform import perform
from soundalike.render.score.styles import Event, bass_notes, bass_styles, comp_notes, comp_styles

SEEDS = st.integers(0, 2**32 - 1)
METER = st.sampled_from(METERS)
MODE = st.sampled_from(list(MODES))
LAW = settings(max_examples=40, deadline=None)
ANYONE = Sound("voices", 0)
EVERYONE = Band(ANYONE, ANYONE, ANYONE, ANYONE)
LATEST = 0.013  # seconds by which a player may be off


def draw_scene(seed: int, meter: str, band: Band = EVERYONE, mode: str = "major") -> Scene:
    """A scene in which everything is drawn."""
    rng = np.random.default_rng(seed)
    rhythm = Rhythm(draw_pattern(rng, meter), str(rng.choice(comp_styles(meter))), str(rng.choice(bass_styles(meter))))
    beats = 4 * BAR[meter]
    notes = tuple(Note(k / 2, 0.5, int(rng.integers(-5, 13))) for k in range(round(2 * beats)))
    return Scene(
        Melody("", "", meter, mode, beats, notes),
        draw_progression(rng, meter, mode),
        rhythm,
        band,
        key=int(rng.integers(12)),
        tempo=float(rng.uniform(70, 180)),
        offset=float(rng.uniform(0, 20)),
        seed=seed,
    )


# Styles.

PLAYERS: list[tuple[Callable[[str], tuple[str, ...]], Callable[[Progression, str, int], tuple[Event, ...]]]] = [
    (comp_styles, comp_notes),
    (bass_styles, bass_notes),
]


def test_there_are_enough_styles() -> None:
    for meter, comps, basses in (("4/4", 8, 7), ("3/4", 6, 6), ("6/8", 6, 6), ("9/8", 5, 5)):
        assert len(set(comp_styles(meter))) == len(comp_styles(meter)) >= comps
        assert len(set(bass_styles(meter))) == len(bass_styles(meter)) >= basses


@pytest.mark.parametrize(("styles", "play"), PLAYERS)
def test_no_two_styles_share_their_rhythm(
    styles: Callable[[str], tuple[str, ...]], play: Callable[[Progression, str, int], tuple[Event, ...]]
) -> None:
    for meter in METERS:
        bar = BAR[meter]
        chords = tuple(Chord(k * bar, bar, root, "maj") for k, root in enumerate((0, 5, 7, 5)))
        progression = Progression("", meter, "major", 4 * bar, chords)
        onsets = {style: {note.start for note in play(progression, style, 0)} for style in styles(meter)}
        for a in onsets:
            for b in set(onsets) - {a}:
                assert len(onsets[a] & onsets[b]) <= 0.75 * len(onsets[a] | onsets[b]), (meter, a, b)


@LAW
@given(SEEDS, METER, MODE, st.integers(0, 11))
def test_styles_play_the_chords_and_no_note_over_itself(seed: int, meter: str, mode: str, key: int) -> None:
    progression = draw_progression(np.random.default_rng(seed), meter, mode)
    for styles, play in PLAYERS:
        for style in styles(meter):
            events = play(progression, style, key)
            free: dict[int, float] = {}
            for event in events:
                assert event.length > 0 and event.start >= free.get(event.note, 0.0)
                free[event.note] = event.start + event.length
                assert 24 <= event.note <= 96 and 1 <= event.velocity <= 127
            assert list(events) == sorted(events, key=lambda event: event.start)
            assert max(free.values()) <= progression.beats + 1e-9
            for chord in progression.chords:
                tones = {(key + chord.root + tone) % 12 for tone in CHORDS[chord.kind]}
                mine = [e for e in events if chord.start <= e.start < chord.start + chord.length]
                assert mine, (style, chord)
                assert all(e.start + e.length <= chord.start + chord.length + 1e-9 for e in mine)
                if play is comp_notes:
                    assert {e.note % 12 for e in mine} <= tones
                else:
                    assert mine[0].note % 12 == (key + chord.root) % 12
                    assert mine[0].start < chord.start + PULSE[meter]
                    assert style == "walking" or {e.note % 12 for e in mine} <= tones


def test_comping_moves_its_hands_little() -> None:
    chords = tuple(Chord(4.0 * k, 4.0, root, "maj") for k, root in enumerate((0, 5, 7, 0)))
    events = comp_notes(Progression("", "4/4", "major", 16.0, chords), "pad", 0)
    hands = [sorted(e.note for e in events if e.start == chord.start) for chord in chords]
    for a, b in itertools.pairwise(hands):
        assert max(abs(p - q) for p, q in zip(a, b, strict=True)) <= 5


def test_walking_bass_leads_to_the_next_root() -> None:
    chords = tuple(Chord(4.0 * k, 4.0, root, "min7") for k, root in enumerate((2, 7, 0, 9)))
    events = bass_notes(Progression("", "4/4", "major", 16.0, chords), "walking", 3)
    assert [event.start for event in events] == list(range(16))
    for k in range(3, 16, 4):
        assert abs(events[k].note - events[(k + 1) % 16].note) == 1


def test_what_does_not_exist_is_named_beside_what_does() -> None:
    progression = draw_progression(np.random.default_rng(0), "3/4", "major")
    with pytest.raises(UsageError, match="no comping style 'bossa' in 3/4; expected one of pad, arpeggio"):
        comp_notes(progression, "bossa", 0)
    with pytest.raises(UsageError, match="no bass style 'funk' in 3/4; expected one of downbeats"):
        bass_notes(progression, "funk", 0)
    for call in (comp_styles, bass_styles, lambda meter: draw_pattern(np.random.default_rng(0), meter)):
        with pytest.raises(UsageError, match="no meter '5/4'; expected one of 4/4, 3/4"):
            call("5/4")
    with pytest.raises(UsageError, match="no meter '5/4'"):
        draw_progression(np.random.default_rng(0), "5/4", "major")
    with pytest.raises(UsageError, match="no mode 'lydian'; expected one of major"):
        draw_progression(np.random.default_rng(0), "4/4", "lydian")


# Performance.


@LAW
@given(SEEDS, METER, MODE)
def test_what_is_played_lies_in_the_clip(seed: int, meter: str, mode: str) -> None:
    scene = draw_scene(seed, meter, mode=mode)
    made = perform(scene, 10.0)
    assert set(made.parts) == {"lead", "comp", "bass", "drums"}
    for notes in made.parts.values():
        assert notes
        free: dict[int, float] = {}
        for note in notes:
            assert 0 <= note.start < 10.0 and note.end > note.start
            assert 0 <= note.note <= 127 and 1 <= note.velocity <= 127
            assert note.start >= free.get(note.note, 0.0)
            free[note.note] = note.end
        assert list(notes) == sorted(notes, key=lambda note: note.start)
    assert made == perform(scene, 10.0)
    assert made.parts != perform(replace(scene, seed=seed + 1), 10.0).parts


@LAW
@given(SEEDS, METER, st.sets(st.sampled_from(["lead", "comp", "bass", "drums"])))
def test_a_part_does_not_depend_on_the_others(seed: int, meter: str, silent: set[Role]) -> None:
    scene = draw_scene(seed, meter)
    fewer = perform(replace(scene, band=replace(EVERYONE, **dict.fromkeys(silent))), 8.0)  # type: ignore[arg-type]
    everyone = perform(scene, 8.0)
    assert set(fewer.parts) == set(everyone.parts) - silent
    assert all(fewer.parts[role] == everyone.parts[role] for role in fewer.parts)
    assert fewer.beats == everyone.beats
    assert fewer.chords == (() if {"comp", "bass"} <= silent else everyone.chords)


@LAW
@given(SEEDS, METER)
def test_a_whole_loop_later_all_is_as_before(seed: int, meter: str) -> None:
    scene = draw_scene(seed, meter)
    bars = [one.beats / BAR[meter] for one in (scene.melody, scene.progression, scene.rhythm.groove)]
    loop = math.lcm(*map(round, bars)) * BAR[meter]
    now, later = perform(scene, 8.0), perform(replace(scene, offset=scene.offset + loop), 8.0)
    for role, notes in now.parts.items():
        a, b = (sorted((p.note, p.start, p.end) for p in one) for one in (notes, later.parts[role]))
        assert [note for note, _, _ in a] == [note for note, _, _ in b]
        assert np.allclose([times for _, *times in a], [times for _, *times in b], atol=2 * LATEST)
    assert [(c.root, c.kind) for c in now.chords] == [(c.root, c.kind) for c in later.chords]
    assert np.allclose([c.start for c in now.chords], [c.start for c in later.chords])
    assert [beat.place for beat in now.beats] == [beat.place for beat in later.beats]
    assert np.allclose([beat.time for beat in now.beats], [beat.time for beat in later.beats])


@LAW
@given(SEEDS, METER)
def test_beats_and_chords_stand_where_the_music_does(seed: int, meter: str) -> None:
    scene, seconds = draw_scene(seed, meter), 9.0
    bars = tuple(Note(BAR[meter] * k, BAR[meter], k) for k in range(4))
    scene = replace(scene, melody=replace(scene.melody, notes=bars))
    made = perform(scene, seconds)
    second = scene.tempo / 60
    pulses = [(beat.time * second + scene.offset) / PULSE[meter] for beat in made.beats]
    assert np.allclose(pulses, np.arange(round(pulses[0]), round(pulses[0]) + len(pulses)))
    assert made.beats[0].time < PULSE[meter] / second and seconds - made.beats[-1].time <= PULSE[meter] / second
    lines = [beat.time for beat in made.beats if beat.place == 1 and beat.time < seconds - 0.03]
    starts = [note.start for note in made.parts["lead"]]
    assert all(min(abs(np.array(starts) - line)) <= LATEST for line in lines)

    assert made.chords[0].start == 0.0 and made.chords[-1].end == seconds
    assert all(a.end == b.start for a, b in itertools.pairwise(made.chords))
    for sounding in made.chords:
        written = scene.progression.at(scene.offset + second * (sounding.start + sounding.end) / 2)
        assert (sounding.root, sounding.kind) == ((written.root + scene.key) % 12, written.kind)


def eighths(meter: str, swing: float) -> Scene:
    """Eighths in the lead, drums on every eighth, from beat 0 at one beat a second."""
    bar = BAR[meter]
    notes = tuple(Note(k / 2, 0.5, k % 5) for k in range(round(4 * bar)))
    hits = tuple(Hit(k / 2, 42, 80) for k in range(round(4 * bar)))
    chords = (Chord(0.0, bar, 0, "maj"), Chord(bar, bar, 7, "maj"))
    return Scene(
        Melody("", "", meter, "major", 2 * bar, notes),
        Progression("", meter, "major", 2 * bar, chords),
        Rhythm(Groove("", "", meter, 2 * bar, hits, swing), "offbeats", "eighths"),
        EVERYONE,
        tempo=60.0,
    )


def test_swing_moves_the_off_beat_of_everyone_but_the_drums() -> None:
    made = perform(eighths("4/4", 0.667), 6.0)
    for role, at in (("lead", 0.667), ("comp", 0.667), ("bass", 0.667), ("drums", 0.5)):
        starts = np.array([note.start for note in made.parts[role]])  # type: ignore[index]
        off = starts[(starts % 1 > 0.1) & (starts % 1 < 0.9)]
        assert np.allclose(off % 1, at, atol=LATEST)
        assert len(off) >= 6
    assert [beat.time for beat in made.beats] == [0, 1, 2, 3, 4, 5]


def test_nothing_swings_in_compound_meters() -> None:
    for meter in ("6/8", "9/8"):
        lead = perform(eighths(meter, 0.667), 6.0).parts["lead"]
        assert np.allclose([note.start for note in lead], np.arange(12) / 2, atol=LATEST)


def test_held_notes_are_caught_at_the_start_and_strokes_are_not() -> None:
    scene = eighths("4/4", 0.5)
    scene = replace(scene, offset=1.0, rhythm=replace(scene.rhythm, comp="pad"))
    long = replace(scene.melody, notes=(Note(0.0, 4.0, 0), Note(4.0, 4.0, 2)))
    drums = replace(scene.rhythm.groove, hits=(Hit(0.9, 38, 90), Hit(1.0, 36, 90)))
    made = perform(replace(scene, melody=long, rhythm=replace(scene.rhythm, groove=drums)), 2.0)
    assert [(note.start, note.note) for note in made.parts["lead"]] == [(0.0, 72)]
    assert made.parts["lead"][0].end == pytest.approx(4 * 0.93 - 1.0, abs=LATEST)
    assert [note.start for note in made.parts["comp"]] == [0.0, 0.0, 0.0]
    assert [note.note for note in made.parts["drums"]] == [36]


def test_the_lead_is_at_home_in_every_key_and_octave() -> None:
    for home in (48, 60, 66, 79):
        for key in range(12):
            for octave in (-1, 0, 1):
                scene = replace(eighths("4/4", 0.5), key=key, octave=octave)
                lead = perform(scene, 8.0, home=home).parts["lead"]
                middle = np.median([note.note for note in lead])
                assert abs(middle - home - 12 * octave) <= 6.5
                assert (lead[0].note - key) % 12 == 0


def test_plucked_notes_ring_on() -> None:
    scene = eighths("4/4", 0.5)
    held, rung = (perform(scene, 8.0, plucked=plucked).parts["lead"][3] for plucked in (False, True))
    assert held.start == rung.start
    assert rung.end - rung.start == pytest.approx(0.5)
    assert held.end - held.start == pytest.approx(0.465)


def test_players_are_human_each_in_their_own_way() -> None:
    parts = perform(eighths("4/4", 0.5), 60.0).parts
    errors = {role: np.array([note.start for note in parts[role]]) for role in ("lead", "drums")}  # type: ignore[index]
    errors = {role: (starts[1:] + 0.25) % 0.5 - 0.25 for role, starts in errors.items()}
    assert all(0.003 < error.std() < 0.005 for error in errors.values())
    assert abs(np.corrcoef(errors["lead"], errors["drums"])[0, 1]) < 0.4
    assert 3 < np.std([note.velocity for note in parts["drums"]]) < 5


def test_a_lead_without_notes_is_silent() -> None:
    scene = eighths("4/4", 0.5)
    assert perform(replace(scene, melody=replace(scene.melody, notes=())), 4.0).parts["lead"] == ()


def test_a_chord_that_goes_on_over_the_loop_is_one() -> None:
    scene = eighths("4/4", 0.5)
    chords = (Chord(0.0, 4.0, 0, "maj"), Chord(4.0, 2.0, 7, "maj"), Chord(6.0, 2.0, 0, "maj"))
    made = perform(replace(scene, progression=replace(scene.progression, chords=chords)), 16.0)
    assert [(c.start, c.end, c.root) for c in made.chords] == [
        (0, 4, 0),
        (4, 6, 7),
        (6, 12, 0),
        (12, 14, 7),
        (14, 16, 0),
    ]


def test_scenes_that_cannot_be_played_are_refused() -> None:
    scene = eighths("4/4", 0.5)
    with pytest.raises(UsageError, match="melody is in 3/4, the chords in 4/4, the groove in 4/4; expected one meter"):
        perform(replace(scene, melody=replace(scene.melody, meter="3/4")), 4.0)
    with pytest.raises(UsageError, match="0 seconds at tempo 60; expected both to be above 0"):
        perform(scene, 0.0)
