"""Tests of synthesised voices and sampled drum kits: tuning, timing, loudness, reproducibility and licences."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Played, Role
from soundalike.render.sound.kits import Kit, find_kits, kit_problems, read_kit
from soundalike.render.sound.percussion import DRUMS
from soundalike.render.sound.voices import Voices

RATE = 44100
VOICES = Voices()
RANGES: Mapping[Role, tuple[int, int]] = {"lead": (50, 90), "comp": (45, 80), "bass": (26, 55)}
PITCHED = [(role, program) for role in RANGES for program in VOICES.programs(role)]
HARMONIC = [(role, program) for role, program in PITCHED if VOICES.kind(program) in ("subtractive", "organ", "vocal")]


@st.composite
def pitched_notes(draw: st.DrawFn) -> tuple[Role, int, int]:
    """Draw a role, one of its programs and a note from its range."""
    role, program = draw(st.sampled_from(PITCHED))
    return role, program, draw(st.integers(*RANGES[role]))


def hertz(note: int) -> float:
    return 440 * 2 ** ((note - 69) / 12)


def level(samples: FloatArray) -> float:
    """Return the RMS in dB."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def power_spectrum(samples: FloatArray, size: int = 2**19) -> tuple[FloatArray, FloatArray]:
    """Return frequencies in Hz and the power at each."""
    spectrum = np.fft.rfft(samples * np.hanning(len(samples)), max(size, len(samples)))
    return np.fft.rfftfreq(max(size, len(samples)), 1 / RATE), np.abs(spectrum) ** 2


def peak_frequency(samples: FloatArray) -> float:
    frequencies, power = power_spectrum(samples)
    return float(frequencies[np.argmax(power)])


def cents_off(samples: FloatArray, fundamental: float) -> float:
    """Return the mean deviation in cents of the power around the first eight harmonics."""
    frequencies, power = power_spectrum(samples)
    total = weight = 0.0
    for harmonic in range(1, 9):
        first, last = np.searchsorted(frequencies, harmonic * fundamental * 2 ** (np.array([-45, 45]) / 1200))
        cents = 1200 * np.log2(frequencies[first:last] / (harmonic * fundamental))
        total += float(cents @ power[first:last])
        weight += float(power[first:last].sum())
    return total / weight


def play_one(role: Role, program: int, note: int, velocity: int = 96) -> FloatArray:
    """Play a note from 0.25 s to 1.75 s."""
    return VOICES.play(program, role, [Played(0.25, 1.75, note, velocity)], 2.5)


def test_every_role_has_many_programs_and_no_program_has_two_roles() -> None:
    programs = [program for role in ROLES for program in VOICES.programs(role)]
    assert sorted(programs) == sorted(set(programs))
    assert {role: len(VOICES.programs(role)) for role in ROLES} == {"lead": 40, "comp": 40, "bass": 32, "drums": 12}
    assert {VOICES.kind(program) for program in VOICES.programs("drums")} == {"drums"}
    assert {"subtractive", "fm", "plucked", "noise"} <= {VOICES.kind(program) for program in programs}
    described = [f"{VOICES.kind(program)} {VOICES.describe(program)}" for program in programs]
    assert len(set(described)) > 0.8 * len(described)  # all organs have the same description


@settings(max_examples=40, deadline=None)
@given(pitched_notes())
def test_every_voice_is_in_tune_within_three_cents(drawn: tuple[Role, int, int]) -> None:
    role, program, note = drawn
    held = play_one(role, program, note)[RATE // 4 : 7 * RATE // 4]
    assert abs(cents_off(held, hertz(note))) < 3


@settings(max_examples=40, deadline=None)
@given(pitched_notes(), st.floats(0.0, 1.0))
def test_a_note_starts_on_time_and_decays(drawn: tuple[Role, int, int], start: float) -> None:
    role, program, note = drawn
    out = VOICES.play(program, role, [Played(start, start + 0.5, note, 96)], 2.5)
    first = round(start * RATE)
    assert out.shape == (round(2.5 * RATE),) and out.dtype == np.float32 and np.isfinite(out).all()
    assert not out[:first].any()
    assert abs(out[first]) < 0.02  # no click
    assert level(out[first : first + RATE // 10]) > -35
    assert level(out[-RATE // 4 :]) < -70  # at the latest one second after its end
    assert abs(np.mean(out, dtype=np.float64)) < 0.002


@settings(max_examples=30, deadline=None)
@given(pitched_notes())
def test_voices_have_the_same_level_at_every_pitch(drawn: tuple[Role, int, int]) -> None:
    role, program, note = drawn
    start = RATE // 4
    assert -21 < level(play_one(role, program, note)[start : start + int(0.3 * RATE)]) < -19


@pytest.mark.parametrize("role", RANGES)
def test_velocity_makes_notes_louder_and_brighter(role: Role) -> None:
    for program in VOICES.programs(role)[::8]:
        soft, loud = (play_one(role, program, sum(RANGES[role]) // 2, velocity) for velocity in (40, 110))
        assert 12 < level(loud) - level(soft) < 24
        brightness = [(f @ p) / p.sum() for f, p in (power_spectrum(soft), power_spectrum(loud))]
        assert brightness[1] > brightness[0]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(HARMONIC), st.integers(0, 10))
def test_there_is_no_aliasing_between_the_harmonics(drawn: tuple[Role, int], lower: int) -> None:
    role, program = drawn
    note = RANGES[role][1] - lower
    held = play_one(role, program, note, 127)[RATE // 2 : 3 * RATE // 2]
    frequencies, power = power_spectrum(held, RATE)
    harmonic = np.maximum(np.round(frequencies / hertz(note)), 1)
    with np.errstate(divide="ignore"):
        cents = np.abs(1200 * np.log2(frequencies / (harmonic * hertz(note))))
    between = (cents > 70) & (
        np.abs(frequencies - harmonic * hertz(note)) > 20
    )  # vibrato and the window widen the harmonics
    assert 10 * np.log10(power[between].sum() / power.sum()) < -50


@pytest.mark.parametrize("role", RANGES)
def test_voices_have_no_power_above_their_band_limit(role: Role) -> None:
    for program in VOICES.programs(role):
        frequencies, power = power_spectrum(play_one(role, program, RANGES[role][1], 127)[RATE // 2 : RATE], RATE)
        above = power[frequencies > 19500].sum()
        assert 10 * np.log10(above / power.sum()) < (-35 if VOICES.kind(program) == "noise" else -50)


def test_no_notes_give_silence() -> None:
    for role in ROLES:
        out = VOICES.play(VOICES.programs(role)[0], role, [], 0.7)
        assert out.shape == (30870,) and out.dtype == np.float32 and not out.any()


def test_notes_may_extend_beyond_the_clip() -> None:
    program = VOICES.programs("lead")[0]
    long = VOICES.play(program, "lead", [Played(0.5, 9.0, 60, 96), Played(3.0, 4.0, 60, 96)], 1.0)
    short = VOICES.play(program, "lead", [Played(0.5, 1.0, 60, 96)], 1.0)
    assert np.array_equal(long, short)
    assert VOICES.play(program, "lead", [Played(-0.1, 0.5, 60, 96)], 1.0)[:100].any()


def hash_of_many() -> str:
    """Return a hash of parts of many programs."""
    notes = [Played(0.1 * k, 0.1 * k + 0.3, 40 + k, 60 + 3 * k) for k in range(12)]
    digest = hashlib.sha256()
    for role in ROLES:
        for program in VOICES.programs(role)[::3]:
            digest.update(VOICES.play(program, role, notes, 1.5).tobytes())
    return digest.hexdigest()


def test_the_same_arguments_give_the_same_samples_in_any_process() -> None:
    ours = hash_of_many()
    assert ours == hash_of_many()
    code = f"import {__name__} as tests; print(tests.hash_of_many())"
    # A worker process uses one thread where this process may use several.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    theirs = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert theirs.stdout.strip() == ours


def test_every_percussion_note_sounds_in_every_synthesised_kit() -> None:
    assert sorted(DRUMS) == list(range(35, 82))
    for program in VOICES.programs("drums"):
        notes = [Played(3.5 * k, 3.5 * k + 0.1, drum, 96) for k, drum in enumerate(sorted(DRUMS))]
        out = VOICES.play(program, "drums", notes, 3.5 * len(notes))
        peaks = np.abs(out.reshape(len(notes), -1)[:, : RATE // 10]).max(axis=1)  # of the onset of each stroke
        assert np.isfinite(out).all() and peaks.min() > 0.1 and peaks.max() < 1.3


def test_synthesised_kits_differ_and_their_drums_have_plausible_spectra() -> None:
    def stroke(program: int, drum: int) -> FloatArray:
        return VOICES.play(program, "drums", [Played(0.0, 0.1, drum, 96)], 0.5)

    programs = VOICES.programs("drums")
    assert len({stroke(program, 38).tobytes() for program in programs}) == len(programs)
    for program in programs:
        assert peak_frequency(stroke(program, 36)) < 120
        assert (
            peak_frequency(stroke(program, 41))
            < peak_frequency(stroke(program, 47))
            < peak_frequency(stroke(program, 50))
        )
        frequencies, power = power_spectrum(stroke(program, 42))
        assert power[frequencies > 2000].sum() > 0.9 * power.sum()


def test_a_closed_hat_stops_an_open_one() -> None:
    program = VOICES.programs("drums")[0]
    ringing = VOICES.play(program, "drums", [Played(0.0, 0.1, 46, 96)], 0.6)
    stopped = VOICES.play(program, "drums", [Played(0.0, 0.1, 46, 96), Played(0.2, 0.3, 44, 1)], 0.6)
    assert np.array_equal(ringing[: int(0.19 * RATE)], stopped[: int(0.19 * RATE)])
    assert level(stopped[int(0.3 * RATE) :]) < level(ringing[int(0.3 * RATE) :]) - 30


@pytest.mark.parametrize(
    ("program", "role", "note", "message"),
    [
        (124, "lead", 60, "no program 124, expected 0 to 123"),
        (-1, "lead", 60, "no program -1"),
        (0, "drums", 38, "program 0 of voices is for lead, not for drums"),
        (112, "bass", 38, "program 112 of voices is for drums, not for bass"),
        (112, "drums", 22, "drum 22 is not a General MIDI percussion note, expected 35 to 81"),
    ],
)
def test_invalid_programs_roles_and_drums_are_usage_errors(program: int, role: Role, note: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        VOICES.play(program, role, [Played(0.0, 0.5, note, 96)], 1.0)


# Sampled kits, with sines of these frequencies as the drums.
PITCHES = {
    "Kick": 100.0,
    "Snare Jazz": 400.0,
    "Closed HH": 3000.0,
    "Open HH": 5000.0,
    "Tom Hi": 700.0,
    "Tom Low": 200.0,
}
LAYER = "<layer><filename>{file}</filename><min>{low}</min><max>{high}</max><gain>1</gain><pitch>0</pitch></layer>"


def tone(frequency: float, seconds: float = 0.3, rate: int = RATE) -> FloatArray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def write_kit(
    folder: Path, name: str = "tiny", licence: str = "CC0", drums: Sequence[str] = tuple(PITCHES), extra: str = ""
) -> Path:
    """Write a kit of sines. `extra` is additional XML in the list of instruments."""
    kit = folder / name
    kit.mkdir(parents=True)
    listed = ""
    for drum in drums:
        soundfile.write(kit / f"{drum}.wav", tone(PITCHES[drum]), RATE)
        layer = LAYER.format(file=f"{drum}.wav", low=0, high=1)
        listed += f"<instrument><name>{drum}</name><volume>0.8</volume><gain>1</gain>{layer}</instrument>"
    (kit / "drumkit.xml").write_text(
        f'<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><name>{name}</name><author>A. Drummer</author>'
        f"<license>{licence}</license><instrumentList>{listed}{extra}</instrumentList></drumkit_info>"
    )
    return kit


def stroke_of(kit: Kit, drum: int, velocity: int = 127) -> FloatArray:
    return kit.play([Played(0.0, 0.1, drum, velocity)], 0.3)


@pytest.mark.parametrize(
    ("drum", "pitch"),
    [(35, 100), (36, 100), (38, 400), (40, 400), (42, 3000), (44, 3000), (46, 5000), (50, 700), (43, 200), (64, 200)],
)
def test_percussion_notes_are_mapped_to_instruments(tmp_path: Path, drum: int, pitch: float) -> None:
    kit = read_kit(write_kit(tmp_path))
    assert peak_frequency(stroke_of(kit, drum)) == pytest.approx(pitch, rel=0.01)


def test_a_kit_has_its_timing_volume_licence_and_author(tmp_path: Path) -> None:
    write_kit(tmp_path, licence="http://creativecommons.org/licenses/by/3.0/")
    (kit,) = find_kits([tmp_path])
    assert (kit.name, kit.licence, kit.author) == ("tiny", "CC BY", "A. Drummer")
    out = kit.play([Played(0.5, 0.6, 42, 127)], 1.0)
    assert out.shape == (RATE,) and out.dtype == np.float32
    assert not out[: RATE // 2].any() and out[RATE // 2 : RATE // 2 + 50].any()
    assert np.abs(out).max() == pytest.approx(0.4, rel=0.02)
    assert not kit.play([], 1.0).any()
    assert not stroke_of(kit, 71).any()  # the kit has no substitute for a whistle
    assert np.array_equal(pickle.loads(pickle.dumps(kit)).play([Played(0.5, 0.6, 42, 127)], 1.0), out)


def test_a_kit_chokes_its_open_hat(tmp_path: Path) -> None:
    kit = read_kit(write_kit(tmp_path))
    out = kit.play([Played(0.0, 0.1, 46, 127), Played(0.1, 0.2, 42, 1)], 0.3)
    assert level(out[: RATE // 10]) > -20 and level(out[RATE // 8 :]) < -40


def test_layers_are_chosen_by_velocity(tmp_path: Path) -> None:
    layers = LAYER.format(file="Kick.wav", low=0, high=0.5) + LAYER.format(file="Open HH.wav", low=0.6, high=1)
    kit = read_kit(write_kit(tmp_path, extra=f"<instrument><name>Hand Clap</name>{layers}</instrument>"))
    assert peak_frequency(stroke_of(kit, 39, 50)) == pytest.approx(100, rel=0.01)
    assert peak_frequency(stroke_of(kit, 39, 66)) == pytest.approx(
        100, rel=0.01
    )  # in the gap, the nearest layer is used
    assert peak_frequency(stroke_of(kit, 39, 110)) == pytest.approx(5000, rel=0.01)


def test_old_formats_other_rates_and_leading_silence_are_supported(tmp_path: Path) -> None:
    extra = "<instrument><name>cowbell</name><filename>low rate.flac</filename><volume>1.0</volume></instrument>"
    path = write_kit(tmp_path, extra=extra)
    late = np.concatenate([np.zeros(2205), tone(900, rate=22050)])
    soundfile.write(path / "low rate.flac", np.stack([late, late], axis=1), 22050)
    out = stroke_of(read_kit(path), 56)
    assert peak_frequency(out) == pytest.approx(900, rel=0.01)
    assert level(out[: RATE // 50]) > -15


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("This work is licensed under the Creative Commons 0 License.", "CC0"),
        ("cc-by ==&gt; http://creativecommons.org/licenses/by/3.0/", "CC BY"),
        ("Creative Commons Attribution 4.0", "CC BY"),
        ("GPL", None),
        ("CC BY-SA 4.0", None),
        ("Attribution-Share Alike 3.0 United States", None),
        ("CC BY-NC", None),
        ("CC BY, some samples under the GNU General Public License", None),
        ("free", None),
        ("", None),
    ],
)
def test_only_permissive_kits_are_used(tmp_path: Path, text: str, licence: str | None) -> None:
    write_kit(tmp_path, licence=text)
    assert [kit.licence for kit in find_kits([tmp_path])] == ([licence] if licence else [])
    assert len(kit_problems([tmp_path])) == (licence is None)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("drumkit.xml", b"<drumkit_info><name>tiny", "drumkit.xml is not XML"),
        ("Kick.wav", None, "its sample Kick.wav is missing"),
        ("Kick.wav", b"no audio", "its sample Kick.wav is not audio"),
    ],
)
def test_invalid_kits_are_reported_and_others_are_found(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    write_kit(tmp_path, "good")
    invalid = write_kit(tmp_path, "bad") / file
    invalid.unlink()
    if content is not None:
        invalid.write_bytes(content)
    assert [kit.name for kit in find_kits([tmp_path])] == ["good"]
    (problem,) = kit_problems([tmp_path])
    assert message in problem and "bad" in problem and "\n" not in problem


def test_empty_samples_and_invalid_numbers_are_errors(tmp_path: Path) -> None:
    path = write_kit(tmp_path)
    soundfile.write(path / "Kick.wav", np.zeros(0), RATE)
    with pytest.raises(UsageError, match=r"its sample Kick.wav is empty"):
        read_kit(path)
    (path / "drumkit.xml").write_text((path / "drumkit.xml").read_text().replace(">0.8<", ">nan<", 1))
    with pytest.raises(UsageError, match="volume is nan, expected a number"):
        read_kit(path)


@pytest.mark.parametrize(("missing", "name"), [("Kick", "bass drum"), ("Snare Jazz", "snare"), ("HH", "hi-hat")])
def test_a_kit_needs_a_bass_drum_a_snare_and_a_hat(tmp_path: Path, missing: str, name: str) -> None:
    path = write_kit(tmp_path, drums=[drum for drum in PITCHES if missing not in drum])
    with pytest.raises(UsageError, match=f"has no {name}"):
        read_kit(path)


def test_kits_are_found_in_the_folders_of_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kit(tmp_path / "first", "mine", licence="CC0")
    write_kit(tmp_path / "second", "mine", licence="CC BY")
    folders = [str(tmp_path / "first"), str(tmp_path / "second"), str(tmp_path / "absent")]
    monkeypatch.setenv("SOUNDALIKE_SOUNDFONTS", os.pathsep.join(folders))
    assert {kit.name: kit.licence for kit in find_kits()}["mine"] == "CC0"


def test_invalid_drums_and_missing_samples_are_errors(tmp_path: Path) -> None:
    kit = read_kit(write_kit(tmp_path))
    with pytest.raises(UsageError, match="drum 22 is not a General MIDI percussion note"):
        stroke_of(kit, 22)
    (kit.path / "Kick.wav").unlink()
    with pytest.raises(AudioError, match="cannot be read"):
        stroke_of(kit, 36)


def test_installed_kits_play() -> None:
    kits = [kit for kit in find_kits() if kit.path.is_relative_to("/usr/share/hydrogen")]
    if not kits:
        pytest.skip("Debian's package hydrogen-drumkits is not installed")
    for kit in kits:
        assert kit.licence in ("CC0", "CC BY")
        for drum in (36, 38, 42, 46, 49, 45):
            out = stroke_of(kit, drum)
            assert 0.03 < np.abs(out).max() < 2 and level(out[: RATE // 10]) > -50
