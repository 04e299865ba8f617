"""Tests of the sources: MIDI files, tunes, human grooves, chorales, and where they are found."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import AudioError, UsageError
from soundalike.render.score.music import BAR, CHORDS, MODES, SPLIT, Chord, Groove, Hit, part_of
from soundalike.render.score.names import progression_name
from soundalike.render.sources import midi, tunes
from soundalike.render.sources.chorales import find_chords, loops
from soundalike.render.sources.grooves import load_grooves, performance_of, split_drummers
from soundalike.render.sources.load import load_sources
from soundalike.render.sources.melody_line import TICKS, Line, find_key, melody_of
from soundalike.render.sources.midi import Song, Track, midi_files, read_midi
from soundalike.render.sources.tunes import load_tunes

mido = pytest.importorskip("mido", reason="MIDI files are read with mido: pip install 'soundalike[render]'")

# Scale degrees of a phrase with a clear key that ends on the tonic.
PHRASE = (0, 2, 4, 2, 0, 2, 4, 2, 3, 5, 4, 3, 2, 1, 0, 0)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a separate cache folder for each test, and return it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path / "cache" / "soundalike"


def scale_tune(mode: str = "major", tonic: int = 62, eighths: int = 64) -> list[tuple[float, float, int, int]]:
    """Return eighths as (start, length, note, velocity). As in abc2midi, the first note of a 4/4 bar is accented."""
    pitches = [tonic + MODES[mode][PHRASE[k % len(PHRASE)]] for k in range(eighths)]
    return [(k / 2, 0.5, pitch, 105 if k % 8 == 0 else 80) for k, pitch in enumerate(pitches)]


def midi_bytes(
    *tracks: Sequence[tuple[float, float, int, int]],
    meters: Iterable[tuple[int, int]] = ((4, 4),),
    names: Sequence[str] = (),
    channels: Sequence[int] = (),
    key: str | None = None,
    tempo: float | None = None,
) -> bytes:
    """Return a MIDI file with tracks of (start, length, note, velocity), in quarter notes."""
    file = mido.MidiFile(ticks_per_beat=480)
    head = mido.MidiTrack()
    head += [mido.MetaMessage("time_signature", numerator=n, denominator=d) for n, d in meters]
    head += [mido.MetaMessage("key_signature", key=key)] if key else []
    head += [mido.MetaMessage("set_tempo", tempo=round(60e6 / tempo))] if tempo else []
    file.tracks.append(head)
    for k, notes in enumerate(tracks):
        channel = channels[k] if channels else k
        events = [(round(s * 480), 1, "note_on", p, v) for s, _, p, v in notes]
        events += [(round((s + length) * 480), 0, "note_off", p, 0) for s, length, p, _ in notes]
        track, now = mido.MidiTrack(), 0
        track.append(mido.MetaMessage("track_name", name=names[k] if names else ""))
        for at, _, kind, note, velocity in sorted(events):
            track.append(mido.Message(kind, channel=channel, note=note, velocity=velocity, time=at - now))
            now = at
        file.tracks.append(track)
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def melody(*tracks: Sequence[tuple[float, float, int, int]], **options: object) -> Line:
    """Return the melody of a MIDI file, which must have one."""
    found = melody_of(read_midi(midi_bytes(*tracks, **options)))  # type: ignore[arg-type]
    assert found is not None
    return found


def put(path: Path, data: bytes) -> Path:
    """Write a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_pickup_is_dropped_and_bars_start_at_the_accents() -> None:
    pickup = [(0.0, 0.5, 69, 105), (0.5, 0.5, 66, 80)]
    line = melody([*pickup, *((s + 1, d, p, v) for s, d, p, v in scale_tune())], key="D")
    assert (line.meter, line.mode, line.bars) == ("4/4", "major", 8)
    assert line.onsets[:3].tolist() == [0, TICKS // 2, TICKS]
    assert line.pitches[:4].tolist() == [0, 4, 7, 4]
    assert line.onsets[-1] + line.lengths[-1] == 8 * 4 * TICKS


@settings(max_examples=25, deadline=None)
@given(tonic=st.integers(40, 84), mode=st.sampled_from(["major", "minor"]))
def test_a_melody_is_independent_of_its_key(tonic: int, mode: str) -> None:
    line, other = melody(scale_tune(mode)), melody(scale_tune(mode, tonic))
    assert (line.mode, other.mode) == (mode, mode)
    assert np.array_equal(line.pitches, other.pitches)
    assert 0 <= np.median(line.pitches) <= 12


@pytest.mark.parametrize("mode", list(MODES))
def test_every_mode_is_recognised(mode: str) -> None:
    degrees = [0, 1, 2, 3, 4, 5, 6, 4, 2, 0, 4, 0]
    pitches = np.array([67 + MODES[mode][degree] for degree in degrees])
    lengths = np.array([3 if degree in (0, 2, 4) else 2 for degree in degrees])
    assert find_key(pitches, lengths) == (7, mode)


def test_a_key_signature_decides_between_relative_keys() -> None:
    pitches, lengths = np.array([60, 62, 64, 65, 67, 69, 71, 69, 67, 64]), np.ones(10)
    assert find_key(pitches, lengths, (9, "minor")) == (9, "minor")
    assert find_key(pitches, lengths, (0, "major")) == (0, "major")


def test_the_longest_section_of_regular_bars_is_used() -> None:
    tune = scale_tune()
    shifted = [(s + 1.0 if s >= 4 else s, d, p, v) for s, d, p, v in scale_tune(eighths=80)]
    line = melody(shifted)
    assert line.bars == 9
    assert line.onsets[0] == 0
    assert line.velocities[:9].tolist() == [105, *[80] * 7, 105]
    with pytest.raises(AudioError, match="expected at least 16 in 8"):
        melody([(s + 1.0 if s >= 16 else s, d, p, v) for s, d, p, v in tune])


def test_halved_note_values_are_doubled() -> None:
    halved = [(s / 2, d / 2, p, v) for s, d, p, v in scale_tune(eighths=128)]
    line = melody(halved)
    assert line.bars == 16
    assert line.lengths[0] == TICKS // 2


@pytest.mark.parametrize(
    ("written", "meter"),
    [
        ((4, 4), "4/4"),
        ((2, 2), "4/4"),
        ((2, 4), "4/4"),
        ((3, 4), "3/4"),
        ((6, 8), "6/8"),
        ((12, 8), "6/8"),
        ((9, 8), "9/8"),
    ],
)
def test_used_meters(written: tuple[int, int], meter: str) -> None:
    plain = [(s, d, p, 90) for s, d, p, _ in scale_tune(eighths=160)]
    line = melody(plain, meters=[written])
    assert line.meter == meter
    assert line.bars == pytest.approx(80 / BAR[meter], abs=0.5)


@pytest.mark.parametrize("meters", [[(5, 4)], [(3, 2)], [(4, 4), (3, 4)], [(6, 8), (12, 8)]])
def test_other_and_changing_meters_give_no_melody(meters: list[tuple[int, int]]) -> None:
    assert melody_of(read_midi(midi_bytes(scale_tune(), meters=meters))) is None


def test_the_melody_is_not_taken_from_drums_or_chords() -> None:
    tune = [(s, d, p, 90) for s, d, p, _ in scale_tune()]
    chords = [(float(s), 2.0, p, 90) for s in range(0, 32, 2) for p in (50, 54, 57)]
    drums = [(s / 4, 0.1, 80, 120) for s in range(128)]
    line = melody(chords, drums, tune, channels=(0, 9, 1))
    assert line.pitches[:4].tolist() == [0, 4, 7, 4]
    low = [(s, d, p - 24, v) for s, d, p, v in tune]
    named = melody(low, [(s, d, 80, v) for s, d, _, v in tune], names=("Lead vocal", "piano"))
    assert named.pitches[:4].tolist() == [0, 4, 7, 4]


def test_polyphony_is_reduced_to_its_top_line() -> None:
    tune = [(s, d, p, 90) for s, d, p, _ in scale_tune()]
    below = [(s, 2.0, p - 12, 90) for s, _, p, _ in tune[::4]]
    legato = [(s, d + 0.1, p, v) for s, d, p, v in tune]
    assert np.array_equal(melody(tune + below).pitches, melody(tune).pitches)
    assert np.array_equal(melody(legato).pitches, melody(tune).pitches)


def test_songs_without_a_melody_are_errors() -> None:
    with pytest.raises(AudioError, match="holds no notes but drums"):
        melody_of(read_midi(midi_bytes([(0, 1, 36, 90)], channels=(9,))))
    with pytest.raises(AudioError, match="holds no notes"):
        melody_of(read_midi(midi_bytes()))
    with pytest.raises(AudioError, match="8 notes, expected at least 16"):
        melody_of(read_midi(midi_bytes(scale_tune(eighths=8))))
    with pytest.raises(AudioError, match="not a valid MIDI file"):
        read_midi(midi_bytes(scale_tune())[:100])


@settings(max_examples=60, deadline=None)
@given(
    notes=st.lists(
        st.tuples(st.floats(0, 200), st.floats(0.01, 40), st.integers(0, 127), st.sampled_from([75, 80, 95, 105, 127])),
        max_size=80,
    ),
    meter=st.sampled_from([(4, 4), (2, 4), (6, 8), (9, 8)]),
)
def test_every_melody_is_monophonic_and_within_its_bars(
    notes: list[tuple[float, float, int, int]], meter: tuple[int, int]
) -> None:
    table = np.array(sorted(notes) or np.zeros((0, 4)), dtype=float).reshape(-1, 4)
    track = Track("", 0, table[:, 0], table[:, 0] + table[:, 1], table[:, 2].astype(int), table[:, 3].astype(int))
    try:
        line = melody_of(Song((track,) if notes else (), frozenset({meter})))
    except AudioError:
        return
    assert line is not None
    assert len(line.onsets) >= 16 and line.bars >= 8
    assert np.all(line.lengths >= 1)
    assert np.all(line.onsets[1:] >= line.onsets[:-1] + line.lengths[:-1])
    assert line.onsets[0] >= 0 and line.onsets[-1] + line.lengths[-1] <= line.bars * BAR[line.meter] * TICKS


def test_a_folder_and_its_archives_give_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    put(folder / "reel" / "a.mid", b"1")
    put(folder / "reel" / "b.MIDI", b"2")
    put(folder / "reel" / "._a.mid", b"no music")
    put(folder / "notes.txt", b"3")
    for suffix in ("tar.xz", "tar.gz"):
        with tarfile.open(put(tmp_path / suffix / f"x.{suffix}", b""), f"w:{suffix[4:]}") as tar:
            tar.add(folder, arcname=".")
    with zipfile.ZipFile(put(tmp_path / "zip" / "x.zip", b""), "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    expected = [("reel/a.mid", b"1"), ("reel/b.MIDI", b"2")]
    for place in (folder, tmp_path / "tar.xz", tmp_path / "tar.gz" / "x.tar.gz", tmp_path / "zip"):
        assert sorted(midi_files(place)) == expected


@pytest.mark.parametrize("name", ["x.tar.xz", "x.tar.gz", "x.zip", "x.tar"])
def test_a_truncated_archive_is_a_one_line_error(tmp_path: Path, name: str) -> None:
    good = tmp_path / "good.mid"
    put(good, midi_bytes(scale_tune()) * 50)
    path = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(good)
    else:
        with tarfile.open(path, "w:" + name.partition(".tar")[2].lstrip(".")) as tar:
            tar.add(good)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(UsageError, match="is not a readable archive") as caught:
        list(midi_files(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_a_small_archive_that_unpacks_to_much_is_refused(tmp_path: Path, kind: str) -> None:
    size = (1 << 24) + 1
    if kind == "zip":
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("large.mid", bytes(size))
    else:
        path = tmp_path / f"x.tar.{kind}"
        options = {"compresslevel": 1} if kind == "gz" else {"preset": 0}
        with tarfile.open(path, f"w:{kind}", **options) as tar:
            info = tarfile.TarInfo("large.mid")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    assert path.stat().st_size < size / 100
    with pytest.raises(UsageError, match=r"large\.mid has 16,777,217 bytes; expected MIDI files of at most 16,777,216"):
        list(midi_files(path))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_endless_name_in_an_archive_is_not_read(tmp_path: Path, kind: bytes) -> None:
    """tarfile reads names and headers as a whole, whatever their size."""
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, 1 << 40
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(info.tobuf() + bytes(1 << 20))
    with pytest.raises(UsageError, match="is not a readable archive"):
        list(midi_files(tmp_path / "x.tar.gz"))


def test_an_archive_is_not_unpacked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(midi, "_LARGEST_ARCHIVE", 1 << 20)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.bin")
            info.size = 1 << 20
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(UsageError, match="unpacks to more than 1,048,576 bytes"):
        list(midi_files(tmp_path / "x.tar.gz"))


def test_a_large_loose_file_is_refused(tmp_path: Path) -> None:
    with put(tmp_path / "a.mid", b"MThd").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="expected MIDI files of at most"):
        list(midi_files(tmp_path))


def test_a_compressed_cache_is_not_loaded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tunes.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(1 << 20, np.uint8))
        archive.writestr("text.npy", content.getvalue())
    assert tunes._load(tmp_path / "tunes.npz") is None


def tune_folder(folder: Path) -> Path:
    """Write two works with two and one usable settings, a setting in another mode, and unusable files."""
    put(folder / "reel" / "1.mid", midi_bytes(scale_tune()))
    put(folder / "reel" / "2.mid", midi_bytes(scale_tune(tonic=67)))
    put(folder / "reel" / "3.mid", midi_bytes(scale_tune("minor")))
    put(
        folder / "waltz" / "1.mid",
        midi_bytes([(s, d, p, 90) for s, d, p, _ in scale_tune(eighths=96)], meters=[(3, 4)]),
    )
    put(folder / "waltz" / "odd.mid", midi_bytes(scale_tune(), meters=[(5, 4)]))
    put(folder / "broken" / "cut.mid", midi_bytes(scale_tune())[:90])
    put(folder / "broken" / "empty.mid", b"")
    return folder


def test_settings_of_a_work_agree_in_meter_and_mode(tmp_path: Path) -> None:
    tunes = load_tunes(tune_folder(tmp_path / "tunes"))
    assert tunes.works == ("reel", "waltz") and len(tunes) == 2
    first, second = tunes.settings("reel")
    assert (first.setting, second.setting) == ("reel/1.mid", "reel/2.mid")
    assert (first.meter, first.mode, first.beats) == ("4/4", "major", 32.0)
    assert [note.pitch for note in first.notes] == [note.pitch for note in second.notes]
    assert [note.start for note in first.notes[:3]] == [0.0, 0.5, 1.0]
    assert {type(value) for value in (first.notes[0].start, first.notes[0].pitch)} == {float, int}
    assert tunes.names(part_of("tune:reel"), "4/4", "major") == ("reel",)
    assert tunes.names(part_of("tune:reel"), "4/4", "minor") == ()
    assert [skipped.name for skipped in tunes.skipped] == ["broken/cut.mid", "broken/empty.mid"]
    assert tunes.other_meters == 1
    with pytest.raises(KeyError):
        tunes.settings("jig")


def test_files_at_different_depths_are_separate_works(tmp_path: Path) -> None:
    put(tmp_path / "flat" / "a.mid", midi_bytes(scale_tune()))
    put(tmp_path / "flat" / "deep" / "b.mid", midi_bytes(scale_tune()))
    assert load_tunes(tmp_path / "flat").works == ("a", "deep/b")


def test_the_cache_is_used_unless_it_is_invalid_or_stale(tmp_path: Path, cache_folder: Path) -> None:
    folder = tune_folder(tmp_path / "tunes")
    messages: list[str] = []
    first = load_tunes(folder, messages.append)
    assert messages and "100 %" in messages[-1]
    (cached,) = cache_folder.iterdir()
    again = load_tunes(folder, pytest.fail)
    assert again.digest == first.digest and again.skipped == first.skipped
    assert again.settings("waltz") == first.settings("waltz")
    cached.write_bytes(cached.read_bytes()[:-200])
    assert load_tunes(folder).digest == first.digest
    put(folder / "waltz" / "1.mid", midi_bytes(scale_tune("dorian")))
    assert load_tunes(folder).digest != first.digest


def test_an_unwritable_cache_is_ignored(tmp_path: Path, cache_folder: Path) -> None:
    put(cache_folder.parent, b"a file where the folder should be")
    assert len(load_tunes(tune_folder(tmp_path / "tunes"))) == 2


def test_sources_without_a_melody_are_an_error_with_an_example(tmp_path: Path) -> None:
    put(tmp_path / "tunes" / "x" / "short.mid", midi_bytes(scale_tune(eighths=8)))
    with pytest.raises(UsageError, match=r"no usable melody.*short\.mid: its melody has 8 notes"):
        load_tunes(tmp_path / "tunes")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no MIDI files"):
        load_tunes(tmp_path / "empty")


def drumming(bars: int = 9, bar: float = 4.0, late: float = 0.0) -> list[tuple[float, float, int, int]]:
    """Return bass drum and snare on the beats, and hi-hats (a Roland pad) on the off-beats, delayed by `late`."""
    beats = range(int(bars * bar))
    kick = [(b + 0.02, 0.1, 38 if b % 2 else 36, 100) for b in beats]
    return kick + [(b + 0.5 + late, 0.1, 22, 70) for b in beats]


def groove_folder(folder: Path) -> Path:
    """Write a folder like the Groove MIDI Dataset: a table and an archive."""
    rows = ["drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split"]
    with tarfile.open(put(folder / "groove-midi.tar.gz", b""), "w:gz") as tar:
        for drummer, kind, meter, notes in (
            ("d1", "beat", "4-4", drumming()),
            ("d2", "beat", "4-4", drumming(late=1 / 6)),
            ("d3", "beat", "3-4", drumming(bar=3.0)),
            ("d1", "fill", "4-4", drumming(1)),
            ("d1", "beat", "5-4", drumming()),
            ("d2", "beat", "4-4", drumming(1)),
        ):
            name = f"{drummer}/{len(rows)}_{kind}_{meter}.mid"
            rows.append(f"{drummer},{drummer}/s,{len(rows)},rock,120,{kind},{meter},{name},,1,train")
            data = midi_bytes(notes, channels=(9,), tempo=90)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    put(folder / "info.csv", "\n".join(rows).encode())
    return folder


def test_grooves_of_the_dataset_are_quantised_loops(tmp_path: Path) -> None:
    found = load_grooves(groove_folder(tmp_path / "grooves"))
    assert {(groove.source, groove.meter) for groove in found.grooves} == {("d1", "4/4"), ("d2", "4/4"), ("d3", "3/4")}
    assert [skipped.name for skipped in found.skipped] == ["d2/6_beat_4-4.mid"] and found.other_meters == 1
    for groove in found.grooves:
        assert groove.beats / BAR[groove.meter] in (2.0, 4.0) and groove.tempo == 120.0
        assert {hit.drum for hit in groove.hits} == {36, 38, 42}
        assert all(0 <= hit.start < groove.beats for hit in groove.hits)
        assert len(groove.hits) == 2 * groove.beats
        assert performance_of(groove) + "@" in groove.name
    straight, swung = (next(groove for groove in found.grooves if groove.source == name) for name in ("d1", "d2"))
    assert straight.swing == 0.5 and swung.swing == pytest.approx(2 / 3, abs=0.01)
    assert straight.hits[0] == Hit(0.003, 36, 100)  # 15 % of the delay of 0.02 remains
    assert load_grooves(tmp_path / "grooves") == found


def test_any_folder_of_drum_files_can_be_used(tmp_path: Path) -> None:
    put(tmp_path / "drums" / "ann" / "a.mid", midi_bytes(drumming(), channels=(3,), tempo=100))
    put(tmp_path / "drums" / "bob" / "b.mid", midi_bytes(scale_tune(tonic=84)))
    found = load_grooves(tmp_path / "drums")
    assert {groove.source for groove in found.grooves} == {"ann"}
    assert found.grooves[0].tempo == pytest.approx(100, abs=0.1)
    assert [skipped.name for skipped in found.skipped] == ["bob/b.mid"]


def test_an_invalid_table_is_an_error_with_the_expected_columns(tmp_path: Path) -> None:
    put(groove_folder(tmp_path / "grooves") / "info.csv", b"a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"info\.csv is invalid.*drummer, bpm"):
        load_grooves(tmp_path / "grooves")


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_each_drummer_is_in_one_part_and_the_busiest_in_train(counts: list[int]) -> None:
    names = [f"drummer{k}" for k, count in enumerate(counts) for _ in range(count)]
    grooves = [Groove(f"{name}/{k}@0", name, "4/4", 8.0, ()) for k, name in enumerate(names)]
    parts = split_drummers(grooves)
    assert parts == split_drummers(grooves[::-1])
    if len(counts) < 3:
        assert parts == {}
        return
    assert set(parts) == set(names)
    played = Counter(names)
    assert all(parts[name] == "train" for name, count in played.items() if count > 0.25 * len(names))
    if max(played.values()) <= 0.1 * len(names):
        sizes = Counter(parts[name] for name in names)
        assert sizes["test"] >= 0.1 * len(names) and sizes["validation"] >= 0.1 * len(names)


def chord_loop(*steps: tuple[int, str, float]) -> tuple[tuple[Chord, ...], float]:
    starts = [sum(length for *_, length in steps[:k]) for k in range(len(steps) + 1)]
    chords = (Chord(start, length, root, kind) for start, (root, kind, length) in zip(starts, steps, strict=False))
    return tuple(chords), starts[-1]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from(list(CHORDS)), st.sampled_from([1.0, 2.0, 4.0])), min_size=1
    ),
    rotation=st.integers(0, 20),
)
def test_the_name_of_a_loop_is_independent_of_rotation_and_repetition(
    steps: list[tuple[int, str, float]], rotation: int
) -> None:
    rotation %= len(steps)
    # Rotated, with the first chord divided between the start and the end.
    root, kind, length = steps[rotation]
    cut = [(root, kind, length / 2), *steps[rotation + 1 :], *steps[:rotation], (root, kind, length / 2)]
    name = progression_name(*chord_loop(*steps))
    assert progression_name(*chord_loop(*steps[rotation:], *steps[:rotation])) == name
    assert progression_name(*chord_loop(*cut)) == name
    if len({step[:2] for step in steps}) > 1:
        assert progression_name(*chord_loop(*steps, *steps)) == name


def test_names_of_progressions_list_roots_kinds_and_lengths() -> None:
    assert progression_name(*chord_loop((7, "7", 4.0), (0, "maj", 2.5))) == "0:maj/2.5-7:7/4"


def sounding(chords: Sequence[tuple[int, str]]) -> np.ndarray:
    """Return (beats, 12) weights with all tones of one chord per beat."""
    return np.array([[(tone - root) % 12 in CHORDS[kind] for tone in range(12)] for root, kind in chords], dtype=float)


def test_chords_are_recognised_by_their_tones() -> None:
    written = [
        (root, kind) for root in (0, 5, 10) for kind in ("maj", "min", "dim", "7", "maj7", "hdim7") for _ in range(4)
    ]
    assert find_chords(sounding(written), [root for root, _ in written]) == written


def test_a_passing_tone_does_not_change_the_chord() -> None:
    written = [(2, "min")] * 4 + [(7, "maj")] * 4
    weights = sounding(written)
    weights[2, 11] = 0.5
    assert find_chords(weights, [root for root, _ in written]) == written


def test_loops_are_four_bars_in_the_key_of_the_last_bass_note() -> None:
    bars = [(9, "min"), (2, "min"), (4, "maj"), (9, "min")]
    chords = [chord for chord in bars for _ in range(3)]
    (loop,) = loops("3/4", sounding(chords), [root for root, _ in chords])
    assert (loop.meter, loop.mode, loop.beats) == ("3/4", "minor", 12.0)
    assert [(chord.root, chord.kind) for chord in loop.chords] == [(0, "min"), (5, "min"), (7, "maj"), (0, "min")]
    assert loop.name == "0:min/6-5:min/3-7:maj/3"
    assert loops("3/4", sounding([(0, "maj")] * 12), [0] * 12) == ()


def test_chorales_and_printed_collections_are_read_from_music21(tmp_path: Path) -> None:
    pytest.importorskip("music21", reason="chorales come with music21")
    from soundalike.render.sources.chorales import _read_batch
    from soundalike.render.sources.corpus import collection_files, corpus_folder, read_collection

    for progression in _read_batch(["bach/bwv269", "bach/bwv347", "bach/bwv153.1"]):
        assert progression.beats == 4 * BAR[progression.meter]
        assert sum(chord.length for chord in progression.chords) == progression.beats
        assert progression.chords[0].start == 0.0
    bar = "D2FA d2AF|"
    tune = f"X:1\nT:The Test -- Reel\nM:C|\nL:1/8\nK:D\nAG|{bar * 7}D2FA D4|]\n"
    put(tmp_path / "ryansMammoth" / "Test.abc", tune.encode())
    (file,) = collection_files(tmp_path)
    ((work, setting, line),) = read_collection(file)
    assert (work, setting) == ("test", "ryansMammoth/Test#1")
    assert isinstance(line, Line) and (line.meter, line.mode, line.bars) == ("4/4", "major", 8)
    assert line.pitches[:4].tolist() == [0, 4, 7, 12]
    folder = corpus_folder()
    assert folder is not None and len(collection_files(folder)) > 1000


def test_sources_are_found_split_and_picklable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "music21", None)  # as if it were not installed
    data = tmp_path / "data"
    tune_folder(data / "tunes")
    groove_folder(data / "grooves")
    monkeypatch.setenv("SOUNDALIKE_DATA", str(data))
    found = load_sources()
    assert len(found.tunes) == 2 and found.progressions == ()
    assert any("Groove MIDI Dataset" in credit for credit in found.credits)
    assert len(found.skipped) == 3
    split = {part: found.grooves_of(part, "4/4") for part in SPLIT}
    names = sorted(groove.name for grooves in split.values() for groove in grooves)
    assert names == [groove.name for groove in found.grooves if groove.meter == "4/4"]
    for part, grooves in split.items():
        assert {found.drummers[groove.source] for groove in grooves} <= {part}
    again = pickle.loads(pickle.dumps(found))
    assert again.digest == found.digest and again.tunes.settings("reel") == found.tunes.settings("reel")
    assert load_sources(data / "tunes", data / "grooves").digest == found.digest
    assert load_sources(data / "tunes" / "reel", data / "grooves").digest != found.digest


def test_missing_tunes_are_one_line_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "music21", None)
    monkeypatch.delenv("SOUNDALIKE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no tunes found; give --tunes PATH, or .*pip install 'soundalike\[render\]'"):
        load_sources()
    with pytest.raises(UsageError, match=r"nowhere does not exist; give --tunes"):
        load_sources(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"nowhere does not exist; give --grooves"):
        load_sources(None, tmp_path / "nowhere")


@pytest.mark.data
def test_the_development_grooves_fill_every_part() -> None:
    data = os.environ.get("SOUNDALIKE_DATA")
    if not data or not (Path(data) / "grooves").is_dir():
        pytest.skip("$SOUNDALIKE_DATA names no folder with grooves")
    found = load_grooves(Path(data) / "grooves")
    parts = split_drummers(found.grooves)
    sizes = Counter(parts[groove.source] for groove in found.grooves)
    assert len(found.grooves) > 1000 and min(sizes["test"], sizes["validation"]) >= 0.1 * len(found.grooves)
