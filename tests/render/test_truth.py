"""Tests of ground truth files: JAMS that validates and round-trips, and MIDI that other software can read."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.render.score.music import (
    BAR,
    CHORDS,
    METERS,
    MODES,
    PULSE,
    Band,
    Beat,
    Chord,
    Clip,
    Effects,
    Groove,
    Melody,
    Note,
    Performance,
    Played,
    Progression,
    Rhythm,
    Role,
    Scene,
    Sound,
    SoundingChord,
)
from soundalike.render.score.smf import CHANNELS, midi_file
from soundalike.render.score.truth import ROOTS, read_truth, write_truth

SECONDS = 12.0
NAMES: dict[Role, str] = {"lead": "solo violin", "comp": "grand piano", "bass": "fretless bass", "drums": "jazz kit"}
QUARTET = Band(
    Sound("fluidr3", 40), Sound("fluidr3", 0), Sound("voices", 3), Sound("musescore", 8), lead_db=3.5, room=0.3
)


def scene_of(band: Band = QUARTET, meter: str = "4/4", mode: str = "major", **facts: Any) -> Scene:
    melody = Melody("The Kesh", "The Kesh 2", meter, mode, BAR[meter], (Note(0.0, 1.0, 0),))
    chords = Progression("I-V", meter, mode, BAR[meter], (Chord(0.0, BAR[meter], 0, "maj"),))
    rhythm = Rhythm(Groove("rock-1", "drummer7", meter, BAR[meter], ()), "quarters", "walking")
    return Scene(melody, chords, rhythm, band, **facts)


def clip_of(performance: Performance, levels: Mapping[Role, float] | None = None) -> Clip:
    return Clip(np.zeros(8, np.float32), 22050, {}, levels or {}, performance)


def beats_of(meter: str, tempo: float, offset: float) -> tuple[Beat, ...]:
    """Return the pulses of a clip that starts `offset` beats into the music."""
    pulse, in_bar = PULSE[meter], round(BAR[meter] / PULSE[meter])
    first = math.ceil(offset / pulse - 1e-9)
    found = [((k * pulse - offset) * 60 / tempo, k % in_bar + 1) for k in range(first, first + 200)]
    return tuple(Beat(max(time, 0.0), place) for time, place in found if time < SECONDS)


def quartet(tempo: float = 97.3, meter: str = "4/4", offset: float = 2.5) -> Performance:
    """Return a performance with notes at 0, a repeated note, a chord, and notes that end after the clip."""
    parts: dict[Role, tuple[Played, ...]] = {
        "lead": (Played(0.0, 0.5, 72, 96), Played(0.5, 0.51234, 72, 80), Played(11.7, 12.9, 79, 127)),
        "comp": (Played(0.0, 2.4671, 60, 70), Played(0.0, 2.4671, 64, 71), Played(6.1, 13.0, 67, 1)),
        "bass": (Played(3.33333, 4.0, 36, 92),),
        "drums": (Played(0.0, 0.1, 36, 100), Played(0.0, 0.1, 42, 60), Played(1.234567, 1.3, 38, 110)),
    }
    chords = (SoundingChord(0.0, 7.123456, 1, "min7"), SoundingChord(7.123456, SECONDS, 10, "hdim7"))
    return Performance(SECONDS, parts, chords, beats_of(meter, tempo, offset))


seconds = st.floats(0, 14, allow_subnormal=False)


@st.composite
def parts(draw: st.DrawFn, low: int = 0, high: int = 127) -> tuple[Played, ...]:
    drawn = draw(
        st.lists(st.tuples(seconds, st.floats(0, 3), st.integers(low, high), st.integers(1, 127)), max_size=12)
    )
    return tuple(sorted((Played(s, s + d, n, v) for s, d, n, v in drawn), key=lambda note: note.start))


@st.composite
def takes(draw: st.DrawFn) -> tuple[Scene, Clip]:
    """Draw any scene and any performance of it."""
    meter, tempo = draw(st.sampled_from(METERS)), draw(st.floats(40, 240))
    offset = draw(st.floats(0, 16))
    sounds = st.none() | st.builds(Sound, st.sampled_from(["fluidr3", "voices"]), st.integers(0, 127))
    db = st.floats(-24, 24)
    band = draw(st.builds(Band, sounds, sounds, sounds, sounds, db, db, db, st.floats(0, 1)))
    effects = draw(
        st.builds(
            Effects, db, st.none() | st.floats(20, 400), st.none() | st.floats(2000, 16000), st.floats(1, 8),
            st.none() | st.floats(-60, -10), st.sampled_from([None, "mp3", "ogg"]), st.floats(0, 1),
        )
    )  # fmt: skip
    scene = scene_of(
        band, meter, draw(st.sampled_from(list(MODES))), key=draw(st.integers(0, 11)), tempo=tempo, offset=offset,
        octave=draw(st.integers(-2, 2)), level=draw(st.floats(-40, 0)), effects=effects,
        seed=draw(st.integers(0, 2**63)),
    )  # fmt: skip
    work = replace(scene.melody, name=draw(st.text()), setting=draw(st.text()))
    times = sorted(draw(st.lists(st.floats(0, SECONDS), max_size=8)))
    spans = zip([0.0, *times], [*times, SECONDS], strict=True)
    chords = [SoundingChord(a, b, draw(st.integers(0, 11)), draw(st.sampled_from(list(CHORDS)))) for a, b in spans]
    notes = {role: draw(parts()) for role in band.layout}
    performance = Performance(SECONDS, notes, tuple(chords), beats_of(meter, tempo, offset))
    levels = {role: draw(st.floats(-60, 60) | st.just(math.inf)) for role in band.layout}
    return replace(scene, melody=work), clip_of(performance, levels)


def near(first: float, second: float) -> bool:
    """Return whether two times agree within the rounding of the file."""
    return abs(first - second) <= 0.5001e-4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(takes())
def test_files_round_trip_within_rounding(tmp_path: Path, take: tuple[Scene, Clip]) -> None:
    scene, clip = take
    write_truth(tmp_path, "clip", scene, clip, NAMES)
    truth = read_truth(tmp_path / "clip.jams")
    performance = clip.performance
    assert (truth.name, truth.seconds, truth.tempo, truth.offset) == ("clip", SECONDS, scene.tempo, scene.offset)
    assert (truth.key, truth.octave, truth.level, truth.seed) == (scene.key, scene.octave, scene.level, scene.seed)
    melody, rhythm = scene.melody, scene.rhythm
    assert (truth.meter, truth.mode, truth.melody) == (melody.meter, melody.mode, melody.name)
    assert (truth.setting, truth.progression) == (melody.setting, scene.progression.name)
    assert (truth.groove, truth.groove_source) == (rhythm.groove.name, rhythm.groove.source)
    assert (truth.comp, truth.bass) == (rhythm.comp, rhythm.bass)
    assert truth.band == scene.band and truth.effects == scene.effects
    assert truth.instruments == {role: NAMES[role] for role in scene.band.layout}
    assert tuple(truth.parts) == scene.band.layout
    for role, notes in performance.parts.items():
        assert [(n.note, n.velocity) for n in truth.parts[role]] == [(n.note, n.velocity) for n in notes]
        for read, written in zip(truth.parts[role], notes, strict=True):
            assert near(read.start, written.start) and near(read.end, written.end)
    assert [(c.root, c.kind) for c in truth.chords] == [(c.root, c.kind) for c in performance.chords]
    assert all(a.end == b.start for a, b in zip(truth.chords, truth.chords[1:], strict=False))
    assert [beat.place for beat in truth.beats] == [beat.place for beat in performance.beats]
    assert all(near(a.time, b.time) for a, b in zip(truth.beats, performance.beats, strict=True))
    assert set(truth.levels) == set(clip.levels)
    assert all(truth.levels[r] == v or abs(truth.levels[r] - v) < 0.0051 for r, v in clip.levels.items())


@settings(max_examples=40, deadline=None)
@given(takes())
def test_mido_reads_every_midi_file(take: tuple[Scene, Clip]) -> None:
    mido = pytest.importorskip("mido")
    scene, clip = take
    midi = mido.MidiFile(file=io.BytesIO(midi_file("clip", scene, clip.performance, NAMES)))
    assert [track.name for track in midi.tracks] == ["clip", *scene.band.layout]
    for role, track in zip(scene.band.layout, midi.tracks[1:], strict=True):
        played = clip.performance.parts[role]
        ons = onsets(midi, track)
        assert sorted((note, velocity) for _, note, velocity, _ in ons) == sorted((n.note, n.velocity) for n in played)
        starts = sorted(n.start for n in played)
        assert all(abs(on[0] - start) < 1e-3 for on, start in zip(ons, starts, strict=True))
        assert sum(message.type == "note_off" for message in track) == len(played)
        assert all(message.channel == CHANNELS[role] for message in track if not message.is_meta)


def onsets(midi: Any, track: Any) -> list[tuple[float, int, int, float]]:
    """Return (start, note, velocity, end) of each note of a track in order of time, in seconds."""
    tempo = next(message.tempo for message in midi.tracks[0] if message.type == "set_tempo")
    second, now, found, open_ = tempo / 1e6 / midi.ticks_per_beat, 0, [], {}
    for message in track:
        now += message.time
        if message.type == "note_on":
            open_[message.note] = len(found)
            found.append([now * second, message.note, message.velocity, now * second])
        elif message.type == "note_off" and message.note in open_:
            found[open_.pop(message.note)][3] = now * second
    return [(start, note, velocity, end) for start, note, velocity, end in found]


@pytest.mark.parametrize(("meter", "mode", "tempo"), [("4/4", "major", 41.0), ("6/8", "dorian", 233.7)])
def test_midi_files_have_the_notes_programs_and_meters_of_the_clip(meter: str, mode: str, tempo: float) -> None:
    mido = pytest.importorskip("mido")
    performance = quartet(tempo, meter)
    scene = scene_of(meter=meter, mode=mode, tempo=tempo, key=2, offset=2.5)
    midi = mido.MidiFile(file=io.BytesIO(midi_file("anchor", scene, performance, NAMES)))
    assert midi.type == 1
    for role, track in zip(QUARTET.layout, midi.tracks[1:], strict=True):
        got = onsets(midi, track)
        for (start, note, velocity, end), played in zip(got, performance.parts[role], strict=True):
            assert (note, velocity) == (played.note, played.velocity)
            assert abs(start - played.start) < 1e-3 and abs(end - played.end) < 1e-3
        assert next(m.name for m in track if m.type == "instrument_name") == NAMES[role]
    programs = {m.channel: m.program for track in midi.tracks for m in track if m.type == "program_change"}
    assert programs == {0: 40, 1: 0, 9: 8}, "synthesised voices have no General MIDI program"
    head = midi.tracks[0]
    assert mido.tempo2bpm(next(m.tempo for m in head if m.type == "set_tempo")) == pytest.approx(tempo, rel=1e-5)
    assert next(m.key for m in head if m.type == "key_signature") == ("D" if mode == "major" else "Dm")
    second, now, lines = 60 / tempo / midi.ticks_per_beat, 0, []
    for message in head:
        now += message.time
        if message.type == "time_signature":
            assert f"{message.numerator}/{message.denominator}" == meter
            assert message.clocks_per_click == 24 * PULSE[meter]
            lines.append(now * second)
    bar = next(beat.time for beat in performance.beats if beat.place == 1)
    assert lines == pytest.approx([0.0, bar], abs=1e-3), "bars count from the first bar line"
    assert midi.length == pytest.approx(13.0, abs=2e-3)


@pytest.mark.parametrize("mode", MODES)
def test_the_midi_key_signature_has_the_right_tonic(mode: str) -> None:
    mido = pytest.importorskip("mido")
    pitch = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11, "#": 1, "b": -1, "m": 0}
    for key in range(12):
        silent = Performance(SECONDS, {}, (), ())
        data = midi_file("clip", scene_of(Band(), mode=mode, key=key), silent, {})
        midi = mido.MidiFile(file=io.BytesIO(data))
        name = next(m.key for m in midi.tracks[0] if m.type == "key_signature")
        assert sum(pitch[letter] for letter in name) % 12 == key
        assert name.endswith("m") == (mode in ("minor", "dorian"))
        assert midi.length == pytest.approx(SECONDS, abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # warnings of jams and its dependencies
def test_jams_files_validate_and_describe_the_clip(tmp_path: Path) -> None:
    jams = pytest.importorskip("jams", reason="validating JAMS needs the package jams")
    scene = scene_of(meter="6/8", mode="dorian", key=1, tempo=97.5, offset=2.5)
    write_truth(tmp_path, "anchor", scene, clip_of(quartet(97.5, "6/8"), {"lead": 3.456, "bass": math.inf}), NAMES)
    jam = jams.load(str(tmp_path / "anchor.jams"), validate=True, strict=True)
    assert (jam.file_metadata.duration, jam.file_metadata.title) == (SECONDS, "anchor")
    annotations = jam.search(namespace="note_midi")
    roles = [(part.sandbox.role, part.annotation_metadata.data_source) for part in annotations]
    assert roles == list(NAMES.items())
    lead = jam.search(namespace="note_midi", role="lead")[0]
    assert [(o.time, o.duration, o.value) for o in lead.data][1:] == [(0.5, 0.0123, 72), (11.7, 1.2, 79)]
    assert lead.sandbox.velocities == [96, 80, 127]
    assert [o.time for o in jam.search(namespace="^onset$")[0].data] == [0.0, 1.2346]
    assert [o.value for o in jam.search(namespace="^chord$")[0].data] == ["Db:min7", "Bb:hdim7"]
    assert jam.search(namespace="key_mode")[0].data[0].value == "Db:dorian"
    assert jam.search(namespace="tempo")[0].data[0].value == pytest.approx(65.0), "dotted quarters per minute"
    beats = [o.value for o in jam.search(namespace="beat_position")[0].data]
    assert [(b["measure"], b["position"]) for b in beats[:4]] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    assert all((b["num_beats"], b["beat_units"]) == (6, 8) for b in beats)
    # The file can still be read after another tool has saved it.
    jam.save(str(tmp_path / "again.jams"))
    assert read_truth(tmp_path / "again.jams") == read_truth(tmp_path / "anchor.jams")


@pytest.mark.filterwarnings("ignore")  # warnings of jams and its dependencies
def test_every_chord_and_key_is_valid_in_its_namespace(tmp_path: Path) -> None:
    jams = pytest.importorskip("jams", reason="validating JAMS needs the package jams")
    chords = tuple(SoundingChord(k * 0.1, k * 0.1 + 0.1, k % 12, list(CHORDS)[k // 12]) for k in range(96))
    for k, mode in enumerate([*MODES] * 3):
        scene = scene_of(Band(), METERS[k % 4], mode, key=k)
        performance = Performance(SECONDS, {}, chords, beats_of(METERS[k % 4], 120.0, 0.0))
        write_truth(tmp_path, "clip", scene, clip_of(performance), {})
        jams.load(str(tmp_path / "clip.jams"), validate=True, strict=True)


def test_beats_before_the_first_bar_line_are_in_measure_0(tmp_path: Path) -> None:
    write_truth(tmp_path, "a", scene_of(Band(), meter="3/4"), clip_of(quartet(120.0, "3/4", offset=1.0)), {})
    body = json.loads((tmp_path / "a.jams").read_bytes())
    beats = next(part["data"] for part in body["annotations"] if part["namespace"] == "beat_position")
    places = [(beat["value"]["measure"], beat["value"]["position"]) for beat in beats]
    assert places[:6] == [(0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1)]


@pytest.mark.parametrize(
    ("band", "layout"),
    [
        (replace(QUARTET, drums=None), ["lead", "comp", "bass"]),
        (Band(lead=Sound("voices", 1)), ["lead"]),
        (Band(drums=Sound("kit", 0)), ["drums"]),
        (Band(), []),
    ],
)
def test_only_the_roles_of_the_band_are_written(tmp_path: Path, band: Band, layout: list[Role]) -> None:
    write_truth(tmp_path, "a", scene_of(band), clip_of(quartet(), dict.fromkeys(layout, math.inf)), NAMES)
    truth = read_truth(tmp_path / "a.jams")
    assert list(truth.parts) == list(truth.instruments) == list(truth.levels) == layout
    namespaces = [part["namespace"] for part in json.loads((tmp_path / "a.jams").read_bytes())["annotations"]]
    assert namespaces.count("onset") == ("drums" in layout)


def test_a_part_may_have_no_notes(tmp_path: Path) -> None:
    silent = replace(quartet(), parts={"lead": (), "comp": (), "bass": (), "drums": ()})
    write_truth(tmp_path, "a", scene_of(), clip_of(silent), NAMES)
    assert read_truth(tmp_path / "a.jams").parts == {"lead": (), "comp": (), "bass": (), "drums": ()}


def test_the_same_scene_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_truth(tmp_path / name, "clip", scene_of(key=5), clip_of(quartet()), NAMES)
    for suffix in (".jams", ".mid"):
        assert (tmp_path / f"one/clip{suffix}").read_bytes() == (tmp_path / f"two/clip{suffix}").read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["clip.jams", "clip.mid"]


def test_a_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*nowhere.*clip\.jams"):
        write_truth(tmp_path / "nowhere", "clip", scene_of(), clip_of(quartet()), NAMES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "is not valid JSON"),
        (b"\xff\x00", "is not valid JSON"),
        (b"[1, 2]", "is not the ground truth of a rendered clip"),
        (b'{"annotations": [], "file_metadata": {}, "sandbox": {}}', "is not the ground truth of a rendered clip"),
        (b'{"sandbox": {"magic": "soundalike-render", "format": 99}}', "has format 99, expected 1"),
        (b'{"sandbox": {"magic": "soundalike-render", "format": 1}}', "'file_metadata' is missing"),
    ],
)
def test_other_and_invalid_files_are_one_line_errors(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "clip.jams"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=reason) as caught:
        read_truth(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_truth(tmp_path / "clip.jams")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_invalid_value_gives_at_most_a_usage_error(tmp_path: Path, data: st.DataObject) -> None:
    """Delete or replace any one value in the file. It must then be read, or give a one-line UsageError."""
    write_truth(tmp_path, "a", scene_of(), clip_of(quartet(), {"lead": 1.0}), NAMES)
    body = json.loads((tmp_path / "a.jams").read_bytes())
    place = body
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 5)) == 0:
            break
        place = place[key]
    if data.draw(st.booleans()):
        del place[key]
    else:
        odd = [None, True, -1, 1e99, 0.5, "", "C:none", [], {}, [None], {"lead": None}, math.nan, math.inf]
        place[key] = data.draw(st.sampled_from(odd))
    (tmp_path / "b.jams").write_text(json.dumps(body))
    try:
        read_truth(tmp_path / "b.jams")
    except UsageError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("key", 12, "the key is 12, expected 0 to 11"),
        ("key", 1.5, "not an integer"),
        ("tempo", "fast", "'fast' is not a number"),
        ("tempo", math.nan, "nan is not a number"),
        ("seed", True, "True is not an integer"),
        ("meter", "7/8", "'7/8' is not one of 4/4, 3/4"),
        ("mode", "lydian", "'lydian' is not one of major"),
        ("melody", 3, "3 is not a string"),
        ("levels", {"flute": 1.0}, "'flute' is not one of lead"),
        ("band", {}, "'lead' is missing"),
    ],
)
def test_errors_name_the_invalid_value(tmp_path: Path, field: str, value: object, reason: str) -> None:
    write_truth(tmp_path, "a", scene_of(), clip_of(quartet()), NAMES)
    body = json.loads((tmp_path / "a.jams").read_bytes())
    body["sandbox"][field] = value
    (tmp_path / "a.jams").write_text(json.dumps(body))
    with pytest.raises(UsageError, match=reason):
        read_truth(tmp_path / "a.jams")


def test_errors_name_the_missing_part(tmp_path: Path) -> None:
    write_truth(tmp_path, "a", scene_of(), clip_of(quartet()), NAMES)
    body = json.loads((tmp_path / "a.jams").read_bytes())
    del body["annotations"][0]
    (tmp_path / "a.jams").write_text(json.dumps(body))
    with pytest.raises(UsageError, match="notes for comp, bass, drums, but the band is lead, comp, bass, drums"):
        read_truth(tmp_path / "a.jams")


def test_roots_are_twelve_pitch_classes() -> None:
    assert len(set(ROOTS)) == 12 and ROOTS[0] == "C" and ROOTS[9] == "A"
