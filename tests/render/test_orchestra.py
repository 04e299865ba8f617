"""Tests of soundfonts, FluidSynth and the orchestra, with small generated soundfonts and with installed ones."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.render.score.music import ROLES, SPLIT, Played, Role, Sound, SplitPart
from soundalike.render.sound.fluid import SYNTH_RATE, Player, read_presets
from soundalike.render.sound.orchestra import PROGRAMS, SINGERS, VOICES, Orchestra
from soundalike.render.sound.singers import Singers
from soundalike.render.sound.soundfonts import Soundfont, check_fluidsynth, find_soundfonts, split_soundfonts
from soundalike.render.sound.voices import Voices

GENERAL_MIDI = [(0, program) for program in range(128)] + [(128, kit) for kit in PROGRAMS["drums"]]
FLUID = ("FluidR3_GM.sf2", "FluidR3Mono_GM.sf3")
SCALE = tuple(Played(0.25 * k, 0.25 * k + 0.2, 60 + pitch, 90) for k, pitch in enumerate((0, 4, 7, 12)))


def _chunk(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def write_soundfont(path: Path, presets: Sequence[tuple[int, int]]) -> Path:
    """Write a SoundFont 2.01 with a looped 441 Hz sine at A4 as every (bank, program)."""
    wave = (8000 * np.sin(2 * np.pi * np.arange(2000) / 100)).astype("<i2").tobytes()
    terminated = enumerate([*presets, (0, 0)])  # every list ends with a terminal record
    heads = [struct.pack("<20sHHHIII", b"one", program, bank, k, 0, 0, 0) for k, (bank, program) in terminated]
    bags = b"".join(struct.pack("<HH", k, 0) for k in range(len(presets) + 1))
    sample = struct.pack("<20sIIIIIBbHH", b"sine", 0, 2000, 500, 1500, 44100, 69, 0, 0, 1)
    hydra = (
        _chunk(b"phdr", *heads),
        _chunk(b"pbag", bags),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", struct.pack("<HH", 41, 0) * len(presets), bytes(4)),
        _chunk(b"inst", struct.pack("<20sH", b"sine", 0), struct.pack("<20sH", b"EOI", 1)),
        _chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", struct.pack("<HHHH", 54, 1, 53, 0), bytes(4)),
        _chunk(b"shdr", sample, struct.pack("<20s26x", b"EOS")),
    )
    info = _chunk(b"LIST", b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 1)), _chunk(b"INAM", b"tiny"))
    data = _chunk(b"LIST", b"sdta", _chunk(b"smpl", wave, bytes(92)))
    path.write_bytes(_chunk(b"RIFF", b"sfbk", info, data, _chunk(b"LIST", b"pdta", *hydra)))
    return path


@pytest.fixture(scope="module")
def fluidsynth() -> None:
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Valid soundfonts: three with all of General MIDI, of two families, and one with few presets."""
    folder = tmp_path_factory.mktemp("soundfonts")
    for name in ("one", "sibling", "other"):
        write_soundfont(folder / f"{name}.sf2", GENERAL_MIDI)
    write_soundfont(folder / "poor.sf2", [(0, 0), (0, 33), (0, 73), (128, 0)])
    return folder


def soundfont(folder: Path, bank: str, family: str = "", part: SplitPart | None = None) -> Soundfont:
    return Soundfont(bank, folder / f"{bank}.sf2", family or bank, part, "none", "")


@pytest.fixture(scope="module")
def orchestra(fluidsynth: None, folder: Path) -> Orchestra:
    siblings = [soundfont(folder, name, "family", "train") for name in ("one", "sibling")]
    return Orchestra([*siblings, soundfont(folder, "other", part="test")], kits=False)


# Finding soundfonts, and the split.


def test_a_given_soundfont_is_its_own_family_unless_its_name_is_known(tmp_path: Path) -> None:
    for name in ("a.sf2", "b=c.sf3", "FluidR3_GM.sf2"):
        (tmp_path / name).touch()
    found = find_soundfonts([f"{tmp_path}/a.sf2=test", f"{tmp_path}/b=c.sf3", f"{tmp_path}/FluidR3_GM.sf2=train"])
    assert [(font.bank, font.family, font.part, font.path.name, font.licence) for font in found] == [
        ("a", "a", "test", "a.sf2", "unknown"),
        ("b=c", "b=c", None, "b=c.sf3", "unknown"),
        ("fluidr3", "fluid", "train", "FluidR3_GM.sf2", "MIT"),
    ]


@pytest.mark.parametrize(
    ("files", "values", "message"),
    [
        ((), ("a.sf2",), "the soundfont a.sf2 does not exist; give --soundfont FILE"),
        (("a.sf2",), ("a.sf2=validation",), "the soundfont a.sf2=validation does not exist"),
        (("a.sf2", "a.sf3"), ("a.sf2", "a.sf3"), "both called a"),
        (("a.sf2",), ("a.sf2", "a.sf2=test"), "both called a"),
        (("voices.sf2",), ("voices.sf2",), "rename it"),
        (("singers.sf2",), ("singers.sf2",), "rename it"),
        (FLUID, (f"{FLUID[0]}=test", FLUID[1]), "share samples; give both"),
    ],
)
def test_invalid_soundfont_values_are_one_line_errors(
    files: Sequence[str], values: Sequence[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        Path(name).touch()
    with pytest.raises(UsageError, match=message) as caught:
        find_soundfonts(values)
    assert "\n" not in str(caught.value)


def test_listed_folders_come_first_and_missing_ones_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "TimGM6mb.sf2").touch()
    (second / "sf_GMbank.sf2").touch()
    monkeypatch.setenv("SOUNDALIKE_SOUNDFONTS", f"{first}{os.pathsep}{second}")
    found = {font.bank: font for font in find_soundfonts()}
    assert found["timgm6mb"].path == first / "TimGM6mb.sf2"
    assert found["csound"].path == second / "sf_GMbank.sf2"
    assert found["timgm6mb"].part == "test"
    monkeypatch.setattr("soundalike.render.sound.soundfonts._FOLDERS", ())
    monkeypatch.setenv("SOUNDALIKE_SOUNDFONTS", str(tmp_path))
    with pytest.raises(UsageError, match="apt install fluid-soundfont-gm"):
        find_soundfonts()
    monkeypatch.setenv("SOUNDALIKE_SOUNDFONTS", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="is not a folder; correct or unset it"):
        find_soundfonts()


def test_a_missing_fluidsynth_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fluidsynth", None)  # makes the import fail
    with pytest.raises(UsageError, match=r"pip install 'soundalike\[render\]' and apt install fluidsynth fluid-"):
        check_fluidsynth()


@pytest.mark.parametrize(
    ("fonts", "expected"),
    [
        ([("a", "A", None, 9), ("b", "B", "test", 1)], ["train", "test"]),
        # No soundfont is for test: the smallest family moves with all of its soundfonts
        ([("a", "A", None, 9), ("b", "B", None, 6), ("c", "B", None, 6)], ["test", "train", "train"]),
        ([("a", "A", "train", 1), ("b", "B", None, 9)], ["train", "test"]),
        ([("a", "A", None, 1), ("b", "A", None, 9)], ["train", "train"]),
        ([("a", "A", "train", 1), ("b", "B", "train", 9)], ["train", "train"]),
        ([], []),
    ],
)
def test_a_family_moves_to_test_if_no_soundfont_is_for_test(
    fonts: Sequence[tuple[str, str, SplitPart | None, int]], expected: list[str], tmp_path: Path
) -> None:
    for name, _, _, size in fonts:
        (tmp_path / f"{name}.sf2").write_bytes(bytes(size))
    split = split_soundfonts([soundfont(tmp_path, name, family, part) for name, family, part, _ in fonts])
    assert [font.part for font in split] == expected


# FluidSynth.


def test_a_note_has_its_time_and_pitch(fluidsynth: None, folder: Path) -> None:
    player = Player(folder / "poor.sf2")
    assert player.presets == read_presets(folder / "poor.sf2") == {(0, 0), (0, 33), (0, 73), (128, 0)}
    out = player.play(73, [Played(0.5, 1.0, 69, 100)], 2.0)
    assert out.shape == (2 * SYNTH_RATE,) and out.dtype == np.float32
    assert np.abs(out[: SYNTH_RATE // 2 - 64]).max() == 0
    assert np.abs(out[SYNTH_RATE * 3 // 5 : SYNTH_RATE]).max() > 0.01
    assert np.abs(out[SYNTH_RATE * 3 // 2 :]).max() < 1e-3
    spectrum = np.abs(np.fft.rfft(player.play(73, [Played(0.0, 2.0, 81, 100)], 2.0)))
    assert np.argmax(spectrum) / 2 == pytest.approx(882, abs=2)
    player.close()


def test_a_part_does_not_depend_on_earlier_parts(fluidsynth: None, folder: Path) -> None:
    player = Player(folder / "one.sf2")
    first = player.play(40, SCALE, 1.5, vibrato=True)
    for program in (0, 24, 52):
        player.play(program, SCALE, 0.5)
    player.play(0, [Played(0.0, 0.2, 38, 100)], 0.5, drums=True)
    np.testing.assert_array_equal(player.play(40, SCALE, 1.5, vibrato=True), first)
    assert not np.array_equal(player.play(40, SCALE, 1.5), first), "vibrato has no effect"
    player.close()


def test_notes_shorter_than_a_block_end_and_repeated_notes_start_again(fluidsynth: None, folder: Path) -> None:
    player = Player(folder / "one.sf2")
    short = player.play(0, [Played(0.1, 0.1001, 69, 100)], 2.0)
    assert np.abs(short[SYNTH_RATE:]).max() < 1e-4
    repeated = player.play(0, [Played(0.0, 0.5, 69, 100), Played(0.5, 1.0, 69, 100)], 1.0)
    assert np.abs(repeated[round(0.6 * SYNTH_RATE) :]).max() > 0.01
    player.close()


@given(seconds=st.floats(0.0, 0.3), start=st.floats(-0.1, 0.5), length=st.floats(0.0, 0.5))
def test_a_part_has_the_requested_length(
    fluidsynth: None, orchestra: Orchestra, seconds: float, start: float, length: float
) -> None:
    out = orchestra.play(Sound("one", 73), "lead", [Played(start, start + length, 60, 80)], seconds)
    assert out.shape == (round(seconds * SYNTH_RATE),) and (start <= seconds or not out.any())


def test_invalid_soundfonts_are_one_line_errors(fluidsynth: None, folder: Path, tmp_path: Path) -> None:
    valid = (folder / "poor.sf2").read_bytes()
    files = {
        "text.sf2": (b"this is not a soundfont, whatever its name says", "is not a soundfont"),
        "empty.sf2": (b"", "is not a soundfont"),
        "cut.sf2": (valid[: len(valid) // 2], f"truncated: found {len(valid) // 2} bytes, expected {len(valid)};"),
        "tail.sf2": (valid[:-2], "is truncated"),
        "invalid.sf2": (valid.replace(b"phdr", b"xxxx"), "is invalid, or FluidSynth cannot read"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        for read in (Player, read_presets):
            with pytest.raises(UsageError, match=message) as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value) and name in str(caught.value)
    for path in (tmp_path / "missing.sf2", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            Player(path)


def test_a_missing_preset_is_an_error(fluidsynth: None, folder: Path) -> None:
    player = Player(folder / "poor.sf2")
    with pytest.raises(UsageError, match=r"poor\.sf2 has no program 5"):
        player.play(5, SCALE, 1.0)
    with pytest.raises(UsageError, match=r"poor\.sf2 has no drum kit 73"):
        player.play(73, SCALE, 1.0, drums=True)
    player.close()
    player.close()  # closing twice is allowed
    with pytest.raises(ValueError, match="closed"):
        player.play(73, SCALE, 1.0)


# The orchestra.


def test_test_sounds_are_used_nowhere_else(orchestra: Orchestra) -> None:
    for role in ROLES:
        train, validation, test = (orchestra.pool(role, part) for part in SPLIT)
        assert train == validation
        assert {sound.bank for sound in train} == {"one", "sibling", VOICES} | ({SINGERS} if role == "lead" else set())
        assert {sound.bank for sound in test} == {"other"}
        assert len(set(train)) == len(train)
    assert orchestra.problems == ()


def test_missing_presets_are_reported_once_and_not_drawn(fluidsynth: None, folder: Path) -> None:
    orchestra = Orchestra([soundfont(folder, "one"), soundfont(folder, "poor")], voices=False, kits=False)
    assert orchestra.pool("lead", "test") == (Sound("poor", 0), Sound("poor", 73))
    assert orchestra.pool("bass", "test") == (Sound("poor", 33),)
    instruments, kits = orchestra.problems
    assert kits == "poor lacks 6 drum kits: 8, 16, 24, 25, 32, 40"
    assert instruments.startswith("poor lacks ") and " 1, 2, 3," in instruments and " 33," not in instruments


def test_with_one_family_voices_are_used_for_test_and_not_for_training(fluidsynth: None, folder: Path) -> None:
    fonts = [soundfont(folder, "one", "family"), soundfont(folder, "sibling", "family")]
    orchestra = Orchestra(fonts, kits=False)
    for role in ROLES:
        assert {sound.bank for sound in orchestra.pool(role, "train")} == {"one", "sibling"}
        assert {sound.bank for sound in orchestra.pool(role, "test")} - {SINGERS} == {VOICES}
    assert len(orchestra.problems) == 1 and "no soundfont is for test" in orchestra.problems[0]
    without = Orchestra(fonts, voices=False, kits=False)
    assert without.pool("bass", "test") == without.pool("bass", "train")
    assert "no bass sound is for test, so the test part uses the sounds of training" in without.problems
    alone = Orchestra((), kits=False)
    assert {alone.draw(role, "train", np.random.default_rng(0)).bank for role in ROLES} <= {VOICES, SINGERS}


@given(data=st.data(), role=st.sampled_from(ROLES), part=st.sampled_from(SPLIT), seed=st.integers(0, 2**32))
def test_a_drawn_sound_is_in_the_pool_and_not_similar_to_the_others(
    orchestra: Orchestra, data: st.DataObject, role: Role, part: SplitPart, seed: int
) -> None:
    pool, rng = orchestra.pool(role, part), np.random.default_rng(seed)
    unlike = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))
    for sound in (orchestra.draw(role, part, rng, unlike) for _ in range(20)):
        assert sound in pool
        own = (VOICES, SINGERS)
        others = {o.program for o in unlike if o.bank == sound.bank or not {o.bank, sound.bank} & set(own)}
        if sound.bank == SINGERS:
            assert Singers().kind(sound.program) not in {Singers().kind(program) for program in others}
        elif sound.bank == VOICES:
            assert Voices().kind(sound.program) not in {Voices().kind(program) for program in others}
        elif role in ("lead", "comp"):
            assert sound.program // 8 not in {program // 8 for program in others}
        else:
            assert sound.program not in others


def test_if_all_sounds_are_similar_a_different_one_is_drawn_if_possible(fluidsynth: None, folder: Path) -> None:
    orchestra = Orchestra([soundfont(folder, "poor")], voices=False, kits=False)
    rng = np.random.default_rng(0)
    flute, piano = Sound("poor", 73), Sound("poor", 0)
    assert orchestra.draw("lead", "train", rng, [flute]) == piano
    assert orchestra.draw("lead", "train", rng, [flute, piano]) in (flute, piano)
    assert orchestra.draw("bass", "train", rng, [Sound("poor", 33)]) == Sound("poor", 33)
    with pytest.raises(UsageError, match="no sound for the lead in train"):
        Orchestra((), voices=False, kits=False).draw("lead", "train", rng)
    # The same kit of a sibling soundfont is similar, but not equal.
    siblings = [soundfont(folder, "one", "family"), soundfont(folder, "sibling", "family")]
    pair = Orchestra(siblings, voices=False, kits=False)
    used = [Sound("one", kit) for kit in PROGRAMS["drums"]]
    assert {pair.draw("drums", "train", rng, used).bank for _ in range(20)} == {"sibling"}


@pytest.mark.slow
def test_draws_are_deterministic_and_follow_the_shares(orchestra: Orchestra) -> None:
    def draw(seed: int) -> list[Sound]:
        rng = np.random.default_rng(seed)
        return [orchestra.draw("lead", "train", rng) for _ in range(2000)]

    sounds = draw(1)
    assert sounds == draw(1) and sounds != draw(2)
    banks = Counter(sound.bank for sound in sounds)
    assert banks[VOICES] / 2000 == pytest.approx(0.15, abs=0.04)
    assert banks[SINGERS] / 2000 == pytest.approx(0.35, abs=0.04)
    assert banks["one"] / banks["sibling"] == pytest.approx(1, abs=0.2)
    programs = Counter(sound.program for sound in sounds if sound.bank not in (VOICES, SINGERS))
    assert programs[73] + programs[40] > 1.4 * (programs[0] + programs[1])


def test_every_role_sounds_and_a_pickled_orchestra_plays_the_same(orchestra: Orchestra) -> None:
    stored = pickle.dumps(orchestra)
    assert len(stored) < 100_000
    copy = pickle.loads(stored)
    for role in ROLES:
        assert copy.pool(role, "train") == orchestra.pool(role, "train")
        notes = [Played(0.0, 0.4, 38 if role in ("bass", "drums") else 60, 100)]
        for bank in ("one", VOICES, *([SINGERS] if role == "lead" else [])):
            sound = next(sound for sound in orchestra.pool(role, "train") if sound.bank == bank)
            out = orchestra.play(sound, role, notes, 0.5)
            assert out.shape == (SYNTH_RATE // 2,) and out.dtype == np.float32 and np.abs(out).max() > 1e-3
            np.testing.assert_array_equal(copy.play(sound, role, notes, 0.5), out)


def test_sounds_have_their_general_midi_names(orchestra: Orchestra) -> None:
    assert orchestra.describe(Sound("one", 73), "lead") == "Flute (one 73)"
    assert orchestra.describe(Sound("one", 127), "lead") == "Gunshot (one 127)"
    assert orchestra.describe(Sound("sibling", 40), "drums") == "Brush Kit (sibling 40)"
    voice = orchestra.pool("bass", "train")[-1]
    assert orchestra.describe(voice, "bass").endswith(f"(voices {voice.program})")
    assert orchestra.family(Sound("sibling", 40)) == "family" and orchestra.family(voice) == VOICES
    own = dict.fromkeys((VOICES, SINGERS), "own synthesis")
    assert dict(orchestra.licences) == {"one": "none", "sibling": "none", "other": "none"} | own
    singer = Sound(SINGERS, 3)
    assert orchestra.describe(singer, "lead").endswith("(singers 3)") and orchestra.family(singer) == SINGERS
    with pytest.raises(UsageError, match="no soundfont or kit is called gone; install it"):
        orchestra.play(Sound("gone", 0), "lead", SCALE, 1.0)


def test_leads_have_a_centre_note_and_a_manner_of_playing(orchestra: Orchestra) -> None:
    flute, guitar, violin, voice = Sound("one", 73), Sound("one", 25), Sound("one", 40), Sound(VOICES, 0)
    assert [orchestra.centre_note(sound, "lead") for sound in (flute, guitar, violin, voice)] == [79, 66, 74, 67]
    assert orchestra.centre_note(Sound("one", 4), "lead") == 72 and orchestra.centre_note(flute, "comp") is None
    assert orchestra.plucked(guitar) and not orchestra.plucked(flute)
    assert orchestra.vibrato(violin) and not orchestra.vibrato(guitar) and not orchestra.vibrato(Sound(VOICES, 40))
    singer = Sound(SINGERS, 40)
    assert 50 < (orchestra.centre_note(singer, "lead") or 0) < 72
    assert not orchestra.plucked(singer) and not orchestra.vibrato(singer)


def test_installed_sampled_kits_are_used() -> None:
    from soundalike.render.sound.kits import find_kits

    kits = find_kits()
    if not kits:
        pytest.skip("no sampled drum kit is installed (apt install hydrogen-drumkits)")
    orchestra = Orchestra(())
    sound = Sound(f"kit:{kits[0].name}", 0)
    assert sound in orchestra.pool("drums", "train")
    assert kits[0].licence in orchestra.licences[sound.bank]
    assert orchestra.describe(sound, "drums") == f"{kits[0].name} (sampled kit)"
    assert sound != orchestra.draw("drums", "train", np.random.default_rng(0), [sound])
    out = pickle.loads(pickle.dumps(orchestra)).play(sound, "drums", [Played(0.0, 0.2, 38, 110)], 0.5)
    assert out.shape == (SYNTH_RATE // 2,) and np.abs(out).max() > 1e-3


# Installed soundfonts.


def test_leads_and_basses_of_installed_soundfonts_sound_over_their_range(fluidsynth: None) -> None:
    try:
        fonts = [font for font in find_soundfonts() if font.bank in ("csound", "timgm6mb")]
    except UsageError as error:
        pytest.skip(str(error))
    if not fonts:
        pytest.skip("neither is installed: apt install csound-soundfont timgm6mb-soundfont")
    orchestra = Orchestra([replace(font, part="test") for font in fonts], voices=False, kits=False)
    for role in ("lead", "bass"):
        for sound in orchestra.pool(role, "test"):
            centre_note = orchestra.centre_note(sound, role) or 40
            notes = [Played(0.3 * k, 0.3 * k + 0.2, centre_note + step, 90) for k, step in enumerate((-10, 0, 10))]
            out = orchestra.play(sound, role, notes, 0.9).reshape(3, -1)
            level = np.sqrt(np.mean(np.square(out), axis=1))
            assert level.min() > 1e-3, f"{orchestra.describe(sound, role)}: {level}"
