"""Tests of comping and bass styles, and of the performance of a scene."""

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
PROPERTY = settings(max_examples=40, deadline=None)
SOUND = Sound("voices", 0)
FULL_BAND = Band(SOUND, SOUND, SOUND, SOUND)
TOLERANCE = 0.013  # seconds; largest deviation of an onset


def draw_scene(seed: int, meter: str, band: Band = FULL_BAND, mode: str = "major") -> Scene:
    """Draw a random scene."""
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

STYLES: list[tuple[Callable[[str], tuple[str, ...]], Callable[[Progression, str, int], tuple[Event, ...]]]] = [
    (comp_styles, comp_notes),
    (bass_styles, bass_notes),
]


def test_there_are_enough_styles() -> None:
    for meter, comps, basses in (("4/4", 8, 7), ("3/4", 6, 6), ("6/8", 6, 6), ("9/8", 5, 5)):
        assert len(set(comp_styles(meter))) == len(comp_styles(meter)) >= comps
        assert len(set(bass_styles(meter))) == len(bass_styles(meter)) >= basses


@pytest.mark.parametrize(("styles", "play"), STYLES)
def test_styles_differ_in_rhythm(
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


@PROPERTY
@given(SEEDS, METER, MODE, st.integers(0, 11))
def test_styles_play_chord_tones_without_overlapping_equal_notes(seed: int, meter: str, mode: str, key: int) -> None:
    progression = draw_progression(np.random.default_rng(seed), meter, mode)
    for styles, play in STYLES:
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
                inside = [e for e in events if chord.start <= e.start < chord.start + chord.length]
                assert inside, (style, chord)
                assert all(e.start + e.length <= chord.start + chord.length + 1e-9 for e in inside)
                if play is comp_notes:
                    assert {e.note % 12 for e in inside} <= tones
                else:
                    assert inside[0].note % 12 == (key + chord.root) % 12
                    assert inside[0].start < chord.start + PULSE[meter]
                    assert style == "walking" or {e.note % 12 for e in inside} <= tones


def test_voicings_move_little() -> None:
    chords = tuple(Chord(4.0 * k, 4.0, root, "maj") for k, root in enumerate((0, 5, 7, 0)))
    events = comp_notes(Progression("", "4/4", "major", 16.0, chords), "pad", 0)
    voicings = [sorted(e.note for e in events if e.start == chord.start) for chord in chords]
    for a, b in itertools.pairwise(voicings):
        assert max(abs(p - q) for p, q in zip(a, b, strict=True)) <= 5


def test_walking_bass_leads_to_the_next_root() -> None:
    chords = tuple(Chord(4.0 * k, 4.0, root, "min7") for k, root in enumerate((2, 7, 0, 9)))
    events = bass_notes(Progression("", "4/4", "major", 16.0, chords), "walking", 3)
    assert [event.start for event in events] == list(range(16))
    for k in range(3, 16, 4):
        assert abs(events[k].note - events[(k + 1) % 16].note) == 1


def test_errors_list_the_known_names() -> None:
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


@PROPERTY
@given(SEEDS, METER, MODE)
def test_a_performance_is_valid_and_deterministic(seed: int, meter: str, mode: str) -> None:
    scene = draw_scene(seed, meter, mode=mode)
    performance = perform(scene, 10.0)
    assert set(performance.parts) == {"lead", "comp", "bass", "drums"}
    for notes in performance.parts.values():
        assert notes
        free: dict[int, float] = {}
        for note in notes:
            assert 0 <= note.start < 10.0 and note.end > note.start
            assert 0 <= note.note <= 127 and 1 <= note.velocity <= 127
            assert note.start >= free.get(note.note, 0.0)
            free[note.note] = note.end
        assert list(notes) == sorted(notes, key=lambda note: note.start)
    assert performance == perform(scene, 10.0)
    assert performance.parts != perform(replace(scene, seed=seed + 1), 10.0).parts


@PROPERTY
@given(SEEDS, METER, st.sets(st.sampled_from(["lead", "comp", "bass", "drums"])))
def test_a_part_does_not_depend_on_the_others(seed: int, meter: str, silent: set[Role]) -> None:
    scene = draw_scene(seed, meter)
    fewer = perform(replace(scene, band=replace(FULL_BAND, **dict.fromkeys(silent))), 8.0)  # type: ignore[arg-type]
    full = perform(scene, 8.0)
    assert set(fewer.parts) == set(full.parts) - silent
    assert all(fewer.parts[role] == full.parts[role] for role in fewer.parts)
    assert fewer.beats == full.beats
    assert fewer.chords == (() if {"comp", "bass"} <= silent else full.chords)


@PROPERTY
@given(SEEDS, METER)
def test_the_music_repeats_after_a_full_loop(seed: int, meter: str) -> None:
    scene = draw_scene(seed, meter)
    bars = [material.beats / BAR[meter] for material in (scene.melody, scene.progression, scene.rhythm.groove)]
    loop = math.lcm(*map(round, bars)) * BAR[meter]
    now, later = perform(scene, 8.0), perform(replace(scene, offset=scene.offset + loop), 8.0)
    for role, notes in now.parts.items():
        a, b = (sorted((p.note, p.start, p.end) for p in part) for part in (notes, later.parts[role]))
        assert [note for note, _, _ in a] == [note for note, _, _ in b]
        assert np.allclose([times for _, *times in a], [times for _, *times in b], atol=2 * TOLERANCE)
    assert [(c.root, c.kind) for c in now.chords] == [(c.root, c.kind) for c in later.chords]
    assert np.allclose([c.start for c in now.chords], [c.start for c in later.chords])
    assert [beat.place for beat in now.beats] == [beat.place for beat in later.beats]
    assert np.allclose([beat.time for beat in now.beats], [beat.time for beat in later.beats])


@PROPERTY
@given(SEEDS, METER)
def test_beats_and_chords_match_the_music(seed: int, meter: str) -> None:
    scene, seconds = draw_scene(seed, meter), 9.0
    bars = tuple(Note(BAR[meter] * k, BAR[meter], k) for k in range(4))
    scene = replace(scene, melody=replace(scene.melody, notes=bars))
    performance = perform(scene, seconds)
    second = scene.tempo / 60
    pulses = [(beat.time * second + scene.offset) / PULSE[meter] for beat in performance.beats]
    assert np.allclose(pulses, np.arange(round(pulses[0]), round(pulses[0]) + len(pulses)))
    assert (
        performance.beats[0].time < PULSE[meter] / second
        and seconds - performance.beats[-1].time <= PULSE[meter] / second
    )
    lines = [beat.time for beat in performance.beats if beat.place == 1 and beat.time < seconds - 0.03]
    starts = [note.start for note in performance.parts["lead"]]
    assert all(min(abs(np.array(starts) - line)) <= TOLERANCE for line in lines)

    assert performance.chords[0].start == 0.0 and performance.chords[-1].end == seconds
    assert all(a.end == b.start for a, b in itertools.pairwise(performance.chords))
    for sounding in performance.chords:
        written = scene.progression.at(scene.offset + second * (sounding.start + sounding.end) / 2)
        assert (sounding.root, sounding.kind) == ((written.root + scene.key) % 12, written.kind)


def eighths(meter: str, swing: float) -> Scene:
    """Return a scene with eighths in the lead and the drums, from beat 0, at one beat per second."""
    bar = BAR[meter]
    notes = tuple(Note(k / 2, 0.5, k % 5) for k in range(round(4 * bar)))
    hits = tuple(Hit(k / 2, 42, 80) for k in range(round(4 * bar)))
    chords = (Chord(0.0, bar, 0, "maj"), Chord(bar, bar, 7, "maj"))
    return Scene(
        Melody("", "", meter, "major", 2 * bar, notes),
        Progression("", meter, "major", 2 * bar, chords),
        Rhythm(Groove("", "", meter, 2 * bar, hits, swing), "offbeats", "eighths"),
        FULL_BAND,
        tempo=60.0,
    )


def test_swing_moves_the_off_beats_of_all_parts_except_the_drums() -> None:
    performance = perform(eighths("4/4", 0.667), 6.0)
    for role, at in (("lead", 0.667), ("comp", 0.667), ("bass", 0.667), ("drums", 0.5)):
        starts = np.array([note.start for note in performance.parts[role]])  # type: ignore[index]
        off = starts[(starts % 1 > 0.1) & (starts % 1 < 0.9)]
        assert np.allclose(off % 1, at, atol=TOLERANCE)
        assert len(off) >= 6
    assert [beat.time for beat in performance.beats] == [0, 1, 2, 3, 4, 5]


def test_compound_meters_have_no_swing() -> None:
    for meter in ("6/8", "9/8"):
        lead = perform(eighths(meter, 0.667), 6.0).parts["lead"]
        assert np.allclose([note.start for note in lead], np.arange(12) / 2, atol=TOLERANCE)


def test_notes_that_started_before_the_clip_sound_and_strokes_do_not() -> None:
    scene = eighths("4/4", 0.5)
    scene = replace(scene, offset=1.0, rhythm=replace(scene.rhythm, comp="pad"))
    long = replace(scene.melody, notes=(Note(0.0, 4.0, 0), Note(4.0, 4.0, 2)))
    drums = replace(scene.rhythm.groove, hits=(Hit(0.9, 38, 90), Hit(1.0, 36, 90)))
    performance = perform(replace(scene, melody=long, rhythm=replace(scene.rhythm, groove=drums)), 2.0)
    assert [(note.start, note.note) for note in performance.parts["lead"]] == [(0.0, 72)]
    assert performance.parts["lead"][0].end == pytest.approx(4 * 0.93 - 1.0, abs=TOLERANCE)
    assert [note.start for note in performance.parts["comp"]] == [0.0, 0.0, 0.0]
    assert [note.note for note in performance.parts["drums"]] == [36]


def test_the_lead_is_near_its_centre_note_in_every_key_and_octave() -> None:
    for centre_note in (48, 60, 66, 79):
        for key in range(12):
            for octave in (-1, 0, 1):
                scene = replace(eighths("4/4", 0.5), key=key, octave=octave)
                lead = perform(scene, 8.0, centre_note=centre_note).parts["lead"]
                median = np.median([note.note for note in lead])
                assert abs(median - centre_note - 12 * octave) <= 6.5
                assert (lead[0].note - key) % 12 == 0


def test_plucked_notes_have_their_full_length() -> None:
    scene = eighths("4/4", 0.5)
    sustained, plucked = (perform(scene, 8.0, plucked=flag).parts["lead"][3] for flag in (False, True))
    assert sustained.start == plucked.start
    assert plucked.end - plucked.start == pytest.approx(0.5)
    assert sustained.end - sustained.start == pytest.approx(0.465)


def test_deviations_have_the_intended_size_and_are_independent() -> None:
    parts = perform(eighths("4/4", 0.5), 60.0).parts
    errors = {role: np.array([note.start for note in parts[role]]) for role in ("lead", "drums")}  # type: ignore[index]
    errors = {role: (starts[1:] + 0.25) % 0.5 - 0.25 for role, starts in errors.items()}
    assert all(0.003 < error.std() < 0.005 for error in errors.values())
    assert abs(np.corrcoef(errors["lead"], errors["drums"])[0, 1]) < 0.4
    assert 3 < np.std([note.velocity for note in parts["drums"]]) < 5


def test_a_lead_without_notes_is_silent() -> None:
    scene = eighths("4/4", 0.5)
    assert perform(replace(scene, melody=replace(scene.melody, notes=())), 4.0).parts["lead"] == ()


def test_a_chord_that_continues_across_the_loop_is_one_chord() -> None:
    scene = eighths("4/4", 0.5)
    chords = (Chord(0.0, 4.0, 0, "maj"), Chord(4.0, 2.0, 7, "maj"), Chord(6.0, 2.0, 0, "maj"))
    performance = perform(replace(scene, progression=replace(scene.progression, chords=chords)), 16.0)
    assert [(c.start, c.end, c.root) for c in performance.chords] == [
        (0, 4, 0),
        (4, 6, 7),
        (6, 12, 0),
        (12, 14, 7),
        (14, 16, 0),
    ]


def test_invalid_scenes_are_errors() -> None:
    scene = eighths("4/4", 0.5)
    with pytest.raises(UsageError, match="melody is in 3/4, the chords in 4/4, the groove in 4/4; expected the same"):
        perform(replace(scene, melody=replace(scene.melody, meter="3/4")), 4.0)
    with pytest.raises(UsageError, match="the length is 0 s and the tempo 60; expected both to be above 0"):
        perform(scene, 0.0)
