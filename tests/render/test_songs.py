"""Tests of rendered songs: form, parts and split, the layout on disk, reproducibility, and errors for bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from test_factory import Outcome, Place, ask, contents, cut_short, one_line, own_place

from conftest import mounted
from soundalike.audio.datasets import slakh2100
from soundalike.cli.main import main
from soundalike.render.score.music import SPLIT
from soundalike.render.songs import SongSettings, class_of, is_complete
from soundalike.render.songs.factory import draw_again, render_songs
from soundalike.render.songs.form import Voice, count_bars, draw_form
from soundalike.render.songs.playing import perform_song
from soundalike.render.songs.settings import song_orchestra
from soundalike.render.songs.song import Function, Song
from soundalike.render.sound import soundfonts
from soundalike.render.sources.grooves import performance_of

yaml = pytest.importorskip("yaml", reason="Slakh's metadata are read with PyYAML")

RATE = 44100
FUNCTIONS: tuple[Function, ...] = ("drums", "bass", "comp", "comp", "vocals", "lead", "pad")
VOICES = [Voice(f"S{k:02d}", function) for k, function in enumerate(FUNCTIONS)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with own_place(tmp_path_factory.mktemp("place")) as place:
        yield place


def command(place: Place, out: Path, *more: object) -> list[str]:
    return [
        *map(str, ["render", "songs", 2, "-o", out, "--seconds", 20, "--seed", 5, "--jobs", 1, *more]),
        *place.options,
    ]


@pytest.fixture(scope="module")
def rendered(place: Place) -> Path:
    """Two songs. Tests must not change them."""
    assert main(command(place, place.folder / "songs", "--json")) == 0
    return place.folder / "songs"


def settings(place: Place) -> SongSettings:
    tunes, grooves, *fonts = place.options[1::2]
    return SongSettings(seed=5, seconds=(20.0, 20.0), tunes=tunes, grooves=grooves, soundfonts=tuple(fonts))


def samples(path: Path) -> np.ndarray:
    found, rate = sf.read(path, dtype="int16")
    assert rate == RATE and found.ndim == 1
    return found.astype(np.int64)


# Form and parts -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.floats(15.0, 600.0), st.floats(1.0, 4.0), st.sets(st.integers(0, len(VOICES) - 1)))
def test_every_form_is_complete(seed: int, seconds: float, bar: float, left_out: set[int]) -> None:
    bars, unit = count_bars(seconds, bar)
    voices = [voice for k, voice in enumerate(VOICES) if k not in left_out - {2}]
    sections = draw_form(np.random.default_rng(seed), bars, unit, voices)
    assert sections[0].kind == "intro" and sections[-1].kind == "outro"
    assert {"verse", "chorus"} <= {section.kind for section in sections}
    assert [section.first_bar for section in sections[1:]] == np.cumsum([s.bars for s in sections])[:-1].tolist()
    assert sum(section.bars for section in sections) == bars
    assert frozenset().union(*(section.playing for section in sections)) == {voice.name for voice in voices}
    pitched = {voice.name for voice in voices if voice.function not in ("drums", "vocals")}
    assert all(section.playing & pitched for section in sections)
    assert "S04" not in sections[0].playing  # nothing is sung in an intro
    assert bars < 5 * unit or 0.85 < bars * bar / seconds < 1.15


def test_programs_belong_to_the_classes_of_slakh() -> None:
    assert [class_of(k) for k in (0, 7, 8, 23, 24, 31, 32, 39, 40, 127, 128)] == [
        "piano", "piano", "residuals", "residuals", "guitar", "guitar", "bass", "bass", "residuals", "residuals",
        "drums",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def songs(place: Place) -> dict[int, Song]:
    return {number: draw_again(settings(place), number) for number in [1, 2, 3, 4, 5, 6, 7, 16]}


def test_songs_are_varied_and_have_sections_of_different_texture(songs: dict[int, Song]) -> None:
    assert len({str(song.parts) for song in songs.values()}) == len(songs)
    assert {song.part for song in songs.values()} == set(SPLIT)
    for song in songs.values():
        classes = [part.stem_class for part in song.parts]
        assert {"drums", "bass", "piano", "guitar"} <= set(classes)
        assert all(class_of(part.program) == part.stem_class for part in song.parts if part.stem_class != "vocals")
        assert len({section.playing for section in song.sections}) > 1
        assert len({theme.progression.name for theme in song.themes.values()}) == len(song.themes)
    assert any(part.stem_class == "vocals" for song in songs.values() for part in song.parts)


def test_no_tune_drummer_progression_or_sound_is_in_train_and_test(songs: dict[int, Song]) -> None:
    used: dict[str, dict[str, set[object]]] = {
        part: {kind: set() for kind in ("tunes", "performances", "progressions", "sounds")} for part in SPLIT
    }
    for song in songs.values():
        kinds = used[song.part]
        for theme in song.themes.values():
            kinds["tunes"] |= {melody.name for melody in theme.melodies}
            human = not theme.groove.source.startswith("pattern:")
            kinds["performances"].add(performance_of(theme.groove) if human else theme.groove.source)
            kinds["progressions"].add(theme.progression.name)
        kinds["sounds"] |= {part.sound for part in song.parts}
    for kind in used["train"]:
        assert used["train"][kind] and used["test"][kind]
        assert not used["train"][kind] & used["test"][kind]
        assert kind == "sounds" or not used["validation"][kind] & (used["train"][kind] | used["test"][kind])


def test_themes_return_with_variation_and_drums_fill(place: Place, songs: dict[int, Song]) -> None:
    orchestra, _ = song_orchestra(settings(place).soundfonts)
    fills = 0
    for song in list(songs.values())[:4]:
        performance = perform_song(song, orchestra)
        for section in song.sections:
            start, end = song.span(section)
            chords = [chord for chord in performance.chords if start - 1e-6 <= chord.start < end - 1e-6]
            assert chords and chords[0].start == pytest.approx(start)
        drums = performance.parts["S00"]
        fills += sum(note.note in (41, 45, 48) for note in drums)
        for part in song.parts:
            notes = performance.parts[part.name]
            assert notes == tuple(sorted(notes, key=lambda note: (note.start, note.note)))
            assert all(0 <= note.start < note.end and note.velocity % 6 == 0 for note in notes)
            for after, note in zip(notes[1:], notes, strict=False):
                assert after.note != note.note or after.start >= note.end - 1e-6 or part.function == "drums"
    assert fills > 0


# On disk ------------------------------------------------------------------------------------------------------------


def tracks(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/Track*"))


def test_a_track_has_the_layout_and_the_metadata_of_slakh(rendered: Path) -> None:
    assert {path.name for path in rendered.iterdir()} == {"train", "songs.json", "split.json"}
    assert [track.relative_to(rendered).as_posix() for track in tracks(rendered)] == [
        "train/Track00001",
        "train/Track00002",
    ]
    for track in tracks(rendered):
        metadata = yaml.safe_load((track / "metadata.yaml").read_text())
        truth = json.loads((track / "song.json").read_bytes())
        names = list(metadata["stems"])
        assert names == list(truth["stems"]) == [f"S{k:02d}" for k in range(len(names))]
        found = {path.relative_to(track).as_posix() for path in track.rglob("*") if path.is_file()}
        assert found == {"mix.flac", "all_src.mid", "metadata.yaml", "song.json"} | {
            f"{folder}/{name}.{suffix}" for name in names for folder, suffix in (("stems", "flac"), ("MIDI", "mid"))
        }
        assert {"UUID", "audio_dir", "lmd_midi_dir", "midi_dir", "normalized", "overall_gain"} <= metadata.keys()
        assert {stem["is_drum"] for stem in metadata["stems"].values()} == {True, False}
        for name, stem in metadata["stems"].items():
            assert stem["audio_rendered"] is stem["midi_saved"] is True
            assert stem["is_drum"] == (stem["program_num"] == 128) == (stem["inst_class"] == "Drums")
            assert stem["integrated_loudness"] < 0 and stem["plugin_name"] and stem["midi_program_name"]
            stem_class = truth["stems"][name]["class"]
            assert stem_class == ("vocals" if stem["inst_class"] == "Vocals" else class_of(stem["program_num"]))


def test_the_dataset_slakh2100_reads_the_tracks(rendered: Path) -> None:
    read = {track.name: track.by_class() for track in slakh2100.create(rendered).tracks()}
    found = {(song, path.stem, label) for song, classes in read.items() for label in classes for path in classes[label]}
    assert found == {
        (track.name, name, stem["class"])
        for track in tracks(rendered)
        for name, stem in json.loads((track / "song.json").read_bytes())["stems"].items()
    }


def test_the_mix_is_the_sum_of_its_stems_and_does_not_clip(rendered: Path) -> None:
    for track in tracks(rendered):
        mix = samples(track / "mix.flac")
        stems = [samples(path) for path in sorted((track / "stems").glob("*.flac"))]
        assert len(mix) == 20 * RATE and np.array_equal(mix, np.sum(stems, axis=0))
        assert 0.1 * 2**15 < np.abs(mix).max() <= 0.9 * 2**15


def test_a_part_is_silent_where_it_does_not_play(rendered: Path) -> None:
    entries = 0
    for track in tracks(rendered):
        truth = json.loads((track / "song.json").read_bytes())
        for name, stem in truth["stems"].items():
            sound = samples(track / "stems" / f"{name}.flac")
            first, last = stem["runs"][0][0], stem["runs"][-1][1]
            entries += first > 0
            assert not sound[: int(first * RATE)].any()
            assert not sound[round((last + 6) * RATE) :].any()
            for start, end in stem["runs"]:
                assert np.abs(sound[round(start * RATE) : round(end * RATE)]).max() > 30
            for section in truth["sections"]:
                runs = any(start <= section["start"] < end for start, end in stem["runs"])
                assert (name in section["playing"]) == runs
    assert entries > 0


def test_midi_files_hold_what_is_played(place: Place, rendered: Path) -> None:
    orchestra, _ = song_orchestra(settings(place).soundfonts)
    song = draw_again(settings(place), 1)
    performance = perform_song(song, orchestra)
    track = rendered / "train" / "Track00001"
    total = 0
    for part in song.parts:
        file = mido.MidiFile(track / "MIDI" / f"{part.name}.mid")
        now, onsets = 0.0, []
        for message in file:
            now += message.time
            if message.type == "note_on":
                onsets.append((message.note, message.velocity, now))
                assert (message.channel == 9) == (part.function == "drums")
            if message.type == "program_change":
                assert message.program == part.program
        notes = performance.parts[part.name]
        assert sorted(onset[:2] for onset in onsets) == sorted((note.note, note.velocity) for note in notes)
        assert np.allclose(sorted(onset[2] for onset in onsets), sorted(note.start for note in notes), atol=0.002)
        total += len(notes)
    every = [message for message in mido.MidiFile(track / "all_src.mid") if message.type == "note_on"]
    assert len(every) == total


# Reproducibility ----------------------------------------------------------------------------------------------------


def test_incomplete_songs_are_rendered_again_and_complete_ones_are_kept(
    place: Place, rendered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place.folder / "incomplete"
    shutil.copytree(rendered, out)
    first, second = tracks(out)
    cut_short(second / "stems" / "S01.flac")
    (out / "train" / ".Track00002.partial").mkdir()
    assert is_complete(first) and not is_complete(second)
    times = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    again = ask(capsys, *command(place, out, "--json"))
    report = json.loads(again.out)
    assert (again.code, report["kept"], report["made"], report["repaired"]) == (0, 1, 1, 1)
    assert contents(out) == contents(rendered)  # the same bytes as in the first run
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("name", ["mix.flac", "metadata.yaml", "song.json", "all_src.mid", "MIDI/S00.mid"])
def test_a_song_without_one_of_its_files_is_incomplete(rendered: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(rendered / "train" / "Track00001", tmp_path / "track")
    (tmp_path / "track" / name).write_bytes(b"")
    assert not is_complete(tmp_path / "track")
    (tmp_path / "track" / name).unlink()
    assert not is_complete(tmp_path / "track")


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_run_is_completed_by_the_next_run(place: Place, rendered: Path, sent: signal.Signals) -> None:
    out = place.folder / sent.name
    arguments = [*command(place, out), "--jobs", "2"]
    arguments[2] = "4"
    process = subprocess.Popen(
        [sys.executable, "-m", "soundalike", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not tracks(out) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, sent)
    printed, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode == (130 if sent is signal.SIGINT else -sent)
    if sent is signal.SIGINT:
        assert "interrupted: what is done is kept" in errors and "rendered" in printed
    assert 1 <= len(tracks(out)) < 4 and all(is_complete(track) for track in tracks(out))
    arguments[2] = "2"
    assert main([*arguments, "--jobs", "1"]) == 0
    for track in tracks(rendered):
        assert contents(out / track.relative_to(rendered)) == contents(track)
    assert not list(out.rglob(".*"))


@pytest.mark.slow
def test_without_a_soundfont_synthesised_instruments_play(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(soundfonts, "_FOLDERS", ())
    song_orchestra.cache_clear()
    tunes, grooves, *_ = place.options[1::2]
    report = render_songs(
        tmp_path, 1, SongSettings(seconds=(20.0, 20.0), part="test", tunes=tunes, grooves=grooves), jobs=1
    )
    song_orchestra.cache_clear()
    assert report.made == 1
    assert [problem for problem in report.problems if problem.startswith("only synthesised instruments play: ")]
    truth = json.loads((tmp_path / "test" / "Track00001" / "song.json").read_bytes())
    assert {stem["bank"] for stem in truth["stems"].values()} <= {"voices", "singers"} | {
        stem["bank"] for stem in truth["stems"].values() if stem["bank"].startswith("kit:")
    }


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--soundfont", "PLACE/none.sf2"], "none.sf2 does not exist; give --soundfont FILE"),
        (["--tunes", "PLACE/none"], "none does not exist; give --tunes a folder or archive of MIDI files"),
        (["--seconds", "10..30"], "expected a length or a range within 20 to 600 seconds, such as 60..180, found"),
        (["--seconds", "90..60"], "found '90..60'"),
        (["--seconds", "x"], "found 'x'"),
        (["-o", "PLACE/text.txt"], "text.txt: File exists; give another folder to -o"),
        (["-o", "PLACE/other"], "other holds no songs but notes.txt; give an empty folder to -o"),
        (["-o", "PLACE/invalid"], "songs.json is not valid JSON"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (place.folder / "text.txt").write_text("text")
    for name, file in (("other", "notes.txt"), ("invalid", "songs.json")):
        (place.folder / name).mkdir(exist_ok=True)
        (place.folder / name / file).write_text("{")
    more = [part.replace("PLACE", str(place.folder)) for part in arguments]
    found = ask(capsys, *command(place, place.folder / "nothing"), *more)
    assert message in one_line(found)
    assert not list((place.folder / "nothing").glob("*/*"))


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_the_number_of_songs_is_positive(capsys: pytest.CaptureFixture[str], tmp_path: Path, number: str) -> None:
    found = ask(capsys, "render", "songs", "-o", tmp_path / "out", "--", number)
    assert f"expected a whole number from 1, found '{number}'" in one_line(found)


def test_required_options_are_reported_by_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing option -o/--output; see: soundalike render --help" in one_line(
        ask(capsys, "render", "--folders", 1)
    )
    assert "missing option -o/--output; see: soundalike render songs --help" in one_line(
        ask(capsys, "render", "songs", 1)
    )


def test_songs_of_other_settings_are_not_mixed(
    place: Place, rendered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(rendered)
    for change, named in ((("--seed", 6), "seed"), (("--seconds", 30), "seconds"), (("--part", "test"), "part")):
        found: Outcome = ask(capsys, *command(place, rendered, *change))
        assert f"holds songs that were not made with the same settings: {named}; use" in one_line(found)
    assert contents(rendered) == before


def test_a_full_disk_is_one_line(place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", at=tmp_path / "small"):
        found = ask(capsys, *command(place, tmp_path / "small"))
        error = one_line(found)
        assert "cannot write" in error and "free some disk space or give another -o" in error
        assert not tracks(tmp_path / "small")
