"""Searches with one stem: which loops are found, and what each needs to fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import RATE, tune, write
from soundalike.api import Library
from soundalike.api import open as open_library
from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.types import Span
from soundalike.search import choose_separator
from soundalike.search.align import alignment_frames
from soundalike.search.loop_fit import LoopFit, fit_loop, fold_stretch
from soundalike.search.loops import MAKES
from tiny_separators import separator_options

LINE = (45, 45, 48, 50, 45, 52, 50, 43)
OTHER = (40, 47, 45, 41, 40, 44, 47, 41)
BEAT, KICK_HAT, OFF_BEAT = 0.5, ("x...x...x..xx...", "..x...x...x...xx"), ("x..x..x.x.......", "xxxxxxxxxxxxxxxx")


def drums(patterns: tuple[str, str], *, beat: float = BEAT, seconds: float = 10.0) -> np.ndarray:
    """Kicks and hats on the sixteenths of a pattern."""
    random = np.random.default_rng(1)
    t = np.arange(round(seconds * RATE)) / RATE
    found = np.zeros_like(t)
    for kind, pattern in enumerate(patterns):
        for n in range(int(4 * seconds / beat)):
            if pattern[n % len(pattern)] == "x":
                first = round(n * beat / 4 * RATE)
                after = t[first : first + RATE // 5] - n * beat / 4
                if kind == 0:
                    found[first : first + RATE // 5] += np.sin(2 * np.pi * 70 * after) * np.exp(-20 * after)
                else:
                    found[first : first + RATE // 5] += 0.3 * random.standard_normal(len(after)) * np.exp(-60 * after)
    return (0.3 * found).astype(np.float32)


def bass(notes: tuple[int, ...] = LINE, *, beat: float = BEAT, seconds: float = 10.0) -> np.ndarray:
    return 0.5 * tune(notes, beat=beat, seconds=seconds, drums=())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix with its stems, one of them silent, and a folder of loops cut from them, changed and of other songs."""
    folder = tmp_path_factory.mktemp("loops")
    stems = {"drums": drums(KICK_HAT), "bass": bass(), "vocals": np.zeros(10 * RATE, np.float32)}
    for stem, samples in stems.items():
        write(folder / "song" / f"{stem}.wav", samples)
    write(folder / "song" / "mixture.wav", stems["drums"] + stems["bass"])
    write(folder / "bare" / "song.wav", (stems["drums"] + stems["bass"])[: 4 * RATE])
    part = slice(2 * RATE, 6 * RATE)
    for name, samples in (
        ("beat", stems["drums"][part]),
        ("beat slow", drums(KICK_HAT, beat=BEAT / 0.9, seconds=4.5)),
        ("other beat", drums(OFF_BEAT, seconds=4)),
        ("kick", drums(KICK_HAT, seconds=0.3)),
        ("line", stems["bass"][part]),
        ("line up slow", bass(tuple(note + 3 for note in LINE), beat=BEAT / 0.9, seconds=4.5)),
        ("other line", bass(OTHER, beat=0.4, seconds=4)),
        ("note", bass((57,), seconds=0.4)),
    ):
        write(folder / "loops" / f"{name}.wav", samples)
    return folder


@pytest.fixture(scope="module")
def loops(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with open_library(tmp_path_factory.mktemp("library") / "library", create=True) as library:
        assert library.index(folder / "loops", model="dsp").added == 8
        yield library


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no installed separators."""
    for module in ("audio.separators.cache", "cli.loops"):
        monkeypatch.setattr(f"soundalike.{module}.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("soundalike.audio.separators.installed.data_folder", lambda: tmp_path / "data")
    return tmp_path / "cache"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def go(*arguments: object) -> tuple[int, str, str]:
        return main(list(map(str, arguments))), *capsys.readouterr()

    return go


def named(found: Any) -> dict[str, Any]:
    return {Path(match.path).stem: match for match in found}


def test_loops_like_the_drums_come_with_the_stretch_that_they_need(folder: Path, loops: Library) -> None:
    found = loops.search_loops(folder / "song" / "mixture.wav", "drums", k=5)
    assert (found.stem, found.separator, found.level) == ("drums", "given", "passage")
    assert dict(found.weights) == {"melody": 0, "rhythm": 1, "timbre": 1, "harmony": 0}
    assert found.query.track == str(folder / "song" / "mixture.wav")
    assert [Path(match.path).stem for match in found[:2]] == ["beat", "beat slow"]
    assert [match.rank for match in found] == list(range(1, len(found) + 1))
    for match in found:
        assert match.score == pytest.approx(sum(one.share for one in match.spaces.values()))
        assert match.semitones is None
    needed = {name: match.stretch for name, match in named(found).items()}
    assert needed["beat"] == pytest.approx(1.0, rel=0.01)
    assert needed["beat slow"] == pytest.approx(1 / 0.9, rel=0.01)
    assert needed["kick"] is None


def test_loops_like_a_region_of_the_bass_come_with_the_transposition_that_they_need(
    folder: Path, loops: Library
) -> None:
    found = loops.search_loops(folder / "song" / "mixture.wav", "bass", region=(1.0, 8.0), k=6)
    assert (found.query.start, found.query.end) == (1.0, 8.0)
    assert [Path(match.path).stem for match in found[:2]] == ["line", "line up slow"]
    needed = {name: (match.stretch, match.semitones) for name, match in named(found).items()}
    assert needed["line"] == (pytest.approx(1.0, rel=0.01), 0)
    assert needed["line up slow"] == (pytest.approx(1 / 0.9, rel=0.01), -3)
    assert needed["note"][0] is None
    weighted = loops.search_loops(folder / "song" / "mixture.wav", "bass", weights="timbre", k=2)
    assert len(weighted) == 2 and weighted.weights["timbre"] == 1 and weighted.weights["melody"] == 0


def test_the_recording_itself_is_no_match(folder: Path, tmp_path: Path) -> None:
    with open_library(tmp_path / "library", create=True) as library:
        library.index(folder / "song" / "mixture.wav", folder / "song" / "drums.wav", model="dsp")
        found = library.search_loops(folder / "song" / "mixture.wav", "drums", k=5)
    assert [(Path(match.path).stem, match.relation) for match in found] == [("drums", "copy of the query")]


def test_a_separator_is_chosen_and_one_line_says_why_none_can_be(folder: Path, loops: Library, halves: Path) -> None:
    mix, bare = folder / "song" / "mixture.wav", folder / "bare" / "song.wav"
    assert choose_separator(mix, "accompaniment").name == "given"
    assert choose_separator(bare, "bass").name == "halves"
    told: list[str] = []
    found = loops.search_loops(bare, "bass", "halves", k=1, separating=told.append)
    assert told == ["halves"]
    loops.search_loops(bare, "bass", "halves", k=1, separating=told.append)
    assert told == ["halves"] and halves.read_text() == "song.wav\n"
    assert found.separator == "halves"
    for arguments, kind, message in (
        ((mix, "vocals"), UsageError, "mixture.wav: the stem vocals of given is silent; choose another"),
        ((bare, "piano"), UsageError, r"song.wav: no stem files of piano .* \(demucs6\) is installed; the separator "
         "demucs6 needs "),
        ((mix, "drums", "halves"), UsageError, "halves has no stem 'drums'; it has bass, vocals"),
        ((mix, "drum"), UsageError, "unknown stem 'drum'; expected one of vocals, drums, "),
        ((mix, "drums", "nope"), UsageError, "unknown separator 'nope'"),
        ((bare, "drums", "given"), AudioError, "song.wav: it has no stem files; expected"),
        ((bare, "drums", "demucs"), ModelError, "demucs needs "),
        ((mix, 3), UsageError, "stem is 3; expected a name"),
    ):  # fmt: skip
        with pytest.raises(kind, match=message) as raised:
            loops.search_loops(*arguments)
        assert "\n" not in str(raised.value)


def test_a_region_without_sound_is_one_line(folder: Path, loops: Library, tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(6 * RATE, np.float32), drums(KICK_HAT, seconds=4)])
    for name in ("mixture", "drums"):
        write(tmp_path / "song" / f"{name}.wav", samples)
    with pytest.raises(UsageError, match="mixture.wav: the stem drums of given: the query has no audible content for"):
        loops.search_loops(tmp_path / "song" / "mixture.wav", "drums", region="0-4")


def test_a_folder_is_indexed_once_and_kept_up_to_date(folder: Path, tmp_path: Path, run: Any, cache: Path) -> None:
    mix, place = folder / "song" / "mixture.wav", tmp_path / "loops"
    write(place / "beat.wav", drums(KICK_HAT, seconds=4))
    write(place / "gone.wav", drums(OFF_BEAT, seconds=4))
    (place / "broken.wav").write_bytes(b"RIFF")
    arguments = ("search", mix, "--stem", "drums", "--in", place, "--model", "dsp", "--json")
    code, out, err = run(*arguments)
    record = json.loads(out)
    assert (code, err.count("\n")) == (1, 1) and "broken.wav" in err
    assert (record["query"]["stem"], record["query"]["separator"]) == ("drums", "given")
    assert [Path(match["path"]).name for match in record["matches"]] == ["beat.wav", "gone.wav"]
    assert record["matches"][0]["stretch"] == pytest.approx(1.0, rel=0.01)
    assert record["matches"][0]["semitones"] is None
    (place / "gone.wav").unlink()
    write(place / "new.wav", drums(KICK_HAT, beat=0.6, seconds=4))
    code, out, err = run(*arguments[:-1])
    assert (code, err) == (0, "left out 1 file that could not be read before and did not change\n")
    assert out.startswith("drums of ") and " by given " in out
    header, *rows = [line.split() for line in out.splitlines() if line.lstrip().startswith(("#", "1 ", "2 "))]
    assert header[-4:] == ["stretch", "semitones", "bpm", "key"] or header[-3:] == ["stretch", "semitones", "bpm"]
    assert [row[1] for row in rows] == ["beat.wav", "new.wav"]
    assert len(list((cache / "folders").iterdir())) == 1
    code, out, _ = run("search", mix, "--in", place, "--json")  # the folder without a stem
    assert code == 0 and json.loads(out)["query"]["stem"] is None


def test_wrong_options_are_one_line(folder: Path, tmp_path: Path, run: Any, cache: Path) -> None:
    mix = folder / "song" / "mixture.wav"
    (tmp_path / "empty").mkdir()
    write(tmp_path / "bad" / "bad.wav", np.zeros(0, np.float32))
    for options, message in (
        (("--stem", "drums", "--in", tmp_path / "empty"), "no recordings found there; give a folder of audio files"),
        (("--stem", "drums", "--in", tmp_path / "bad"), "none of the 1 recording there can be read"),
        (("--stem", "drums", "--in", tmp_path / "nope"), "it does not exist; give a folder"),
        (("--stem", "drums", "--in", mix), "it is a file; give a folder"),
        (("--stem", "piano", "--in", folder / "loops"), "no stem files of piano lie beside it"),
        (("--in", folder / "loops", "--library", tmp_path), "give one of them"),
        (("--with", "given"), "--with says what makes the stem"),
        (("--stem", "drums", "--stems", "spleeter"), "give one of them"),
        (("--stem", "drums", "--in", folder / "loops", "--collapse", "--like", mix), "leave them out"),
    ):
        code, out, err = run("search", mix, *options, *([] if "--library" in options else ["--model", "dsp"]))
        assert (code, out) == (2, "")
        assert message in err.splitlines()[-1]
    held = len(list(cache.glob("folders/*/catalog.sqlite")))
    assert held == 2  # of the folder of loops, and of the one whose file could not be read, not of the empty one


def test_one_shots_have_no_tempo_and_move_to_the_strongest_pitch_of_the_query(tmp_path: Path) -> None:
    t = np.arange(4 * RATE) / RATE

    def tone(note: int, seconds: float) -> np.ndarray:
        pitch = 440.0 * 2 ** ((note - 69) / 12)
        wave = sum(np.sin(2 * np.pi * pitch * h * t) / h for h in (1, 2, 3, 4))
        return (0.2 * wave * np.exp(-t % 0.5))[: round(seconds * RATE)].astype(np.float32)

    noise = np.random.default_rng(1).standard_normal(RATE // 2).astype(np.float32)
    query, high, low, hiss = (
        alignment_frames(Span(str(write(tmp_path / f"{name}.wav", samples)), 0.0, 4.0))
        for name, samples in (("c", tone(60, 4)), ("a", tone(57, 0.5)), ("d", tone(50, 0.5)), ("hiss", 0.1 * noise))
    )
    for shot, pitched, expected in ((high, True, 3), (low, True, -2), (hiss, True, None), (high, False, None)):
        fit = fit_loop(query, shot, 0.5, query_bpm=120.0, bpm=120.0, pitched=pitched)
        assert fit == LoopFit(None, expected)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "spleeter" else pytest.mark.slow) for name in MAKES]
)
def test_what_separators_make_is_known_before_they_are_installed(name: str, tmp_path: Path) -> None:
    assert set(MAKES[name]) == set(plugins.load("separators", name, **separator_options(name, tmp_path)).stems)


def test_the_stretch_is_folded_to_the_nearest_octave() -> None:
    for bpm, query, expected in ((120.0, 126.0, 1.05), (50.0, 180.0, 0.9), (200.0, 50.0, 1.0), (90.0, 126.0, 1.4)):
        assert fold_stretch(bpm, query) == pytest.approx(expected)
    assert fold_stretch(None, 120.0) is None and fold_stretch(120.0, None) is None
