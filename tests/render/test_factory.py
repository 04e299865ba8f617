"""Tests of rendered sets on disk: contents, reproducibility after interruptions, and errors for bad input."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from test_draw import write_drumming, write_midi, write_tunes
from test_orchestra import GENERAL_MIDI, _chunk, write_soundfont

from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.render.folders.draw import CLIPS, folder_part
from soundalike.render.score.music import SPLIT
from soundalike.render.score.truth import read_truth
from soundalike.render.sound.effects import apply
from soundalike.render.sound.mixing import loudness
from soundalike.render.sound.soundfonts import check_fluidsynth
from soundalike.render.sources import chorales
from soundalike.render.sources.cache import cache_path

pytest.importorskip("mido", reason="MIDI files are read with mido: pip install 'soundalike[render]'")

TRAIN = ("train", "4/4", "major")
FOLDERS = 10  # the fifth belongs to validation and the sixth to test
SECONDS, RATE = 4, 22050


@dataclass(frozen=True)
class Place:
    """A folder with all inputs, and the command-line options that select them."""

    folder: Path
    options: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


@contextmanager
def own_place(folder: Path) -> Iterator[Place]:
    """Create tunes, drumming and two soundfonts of sines (for train and test), with a separate cache and home."""
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HOME", str(folder))
        for name in ("SOUNDALIKE_DATA", "SOUNDALIKE_SOUNDFONTS"):
            patch.delenv(name, raising=False)
        cache_no_chorales()
        tunes, grooves = write_tunes(folder / "tunes"), write_drumming(folder / "grooves")
        fonts = [f"{write_soundfont(folder / f'{part}ing.sf2', GENERAL_MIDI)}={part}" for part in ("train", "test")]
        options = ["--tunes", tunes, "--grooves", grooves, "--soundfont", fonts[0], "--soundfont", fonts[1]]
        yield Place(folder, tuple(map(str, options)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with own_place(tmp_path_factory.mktemp("place")) as place:
        yield place


def cache_no_chorales() -> None:
    """Write a cache without chorales. Reading them takes a minute, and they have their own tests."""
    try:
        path = cache_path("chorales.json", chorales._VERSION, version("music21"))
    except ModuleNotFoundError:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run a command in this process, and check that it prints no traceback."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return Outcome(code, captured.out, captured.err)


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    return partial(ask, capsys)


def command(place: Place, out: Path, *more: object) -> list[str]:
    """Return the command that renders the harmony folders of most tests."""
    same = ["-o", out, "--folders", FOLDERS, "--factors", "harmony", "--seconds", SECONDS, "--rate", RATE, "--seed", 5]
    return [*map(str, ["render", *same, "--stems", *more]), *place.options]


@pytest.fixture(scope="module")
def rendered(place: Place) -> Path:
    """A set of harmony folders with stems, rendered in one process. Tests must not change it."""
    assert main(command(place, place.folder / "set", "--jobs", 1, "--json")) == 0
    return place.folder / "set"


def contents(folder: Path) -> dict[str, str]:
    """Return the digests of all files by name, except for render.json."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "render.json")
    names = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names}


# Contents -----------------------------------------------------------------------------------------------------------


def test_a_set_has_the_documented_layout(rendered: Path) -> None:
    assert {path.name for path in rendered.iterdir()} == {"harmony", "split.json", "render.json"}
    folders = {f"triplets_{number}" for number in range(1, FOLDERS + 1)}
    assert {path.name for path in (rendered / "harmony").iterdir()} == folders
    for folder in (rendered / "harmony").iterdir():
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        clips = {f"triplet/{name}.wav" for name in CLIPS}
        truth = {f"truth/{name}.{suffix}" for name in CLIPS for suffix in ("jams", "mid")}
        meta = json.loads((folder / "triplet" / "triplet_meta.json").read_bytes())
        stems = {f"stems/{name}/{role}.wav" for name in CLIPS for role in meta["clips"][name]["sounds"]}
        assert found == clips | truth | stems | {"triplet/triplet_meta.json"}
        assert (meta["factor"], meta["folder"], meta["seed"]) == ("harmony", folder.name, 5)
        for name in sorted(clips):
            info = sf.info(folder / name)
            assert (info.channels, info.samplerate, info.frames) == (1, RATE, SECONDS * RATE)
            assert (info.format, info.subtype) == ("WAV", "PCM_16")
        for name in sorted(stems):
            info = sf.info(folder / name)
            assert (info.channels, info.samplerate, info.frames) == (1, RATE, SECONDS * RATE)


def test_ground_truth_and_metadata_agree(rendered: Path) -> None:
    for folder in (rendered / "harmony").iterdir():
        clips = json.loads((folder / "triplet" / "triplet_meta.json").read_bytes())["clips"]
        for name in CLIPS:
            truth, facts = read_truth(folder / "truth" / f"{name}.jams"), clips[name]
            assert truth.seconds == SECONDS
            for key in ("melody", "setting", "progression", "groove", "groove_source", "comp", "bass"):
                assert facts[key] == getattr(truth, key)
            assert set(facts["sounds"]) == set(truth.band.layout) == set(truth.parts)
            assert (folder / "truth" / f"{name}.mid").read_bytes()[:4] == b"MThd"


def test_stems_sum_to_the_clip_and_have_the_recorded_levels(rendered: Path) -> None:
    level_errors = []
    for folder in (rendered / "harmony").iterdir():
        for name in CLIPS:
            truth = read_truth(folder / "truth" / f"{name}.jams")
            clip = sf.read(folder / "triplet" / f"{name}.wav", dtype="float32")[0]
            stems = {role: sf.read(folder / "stems" / name / f"{role}.wav", dtype="float32")[0] for role in truth.parts}
            mix = np.sum(list(stems.values()), axis=0)
            again = apply(mix, truth.effects, truth.level, RATE, truth.seed)
            # A change of the last bit may change all of the coding noise.
            most = 2e-3 if truth.effects.codec is None else 0.1
            assert np.sqrt(np.mean(np.square(clip - again))) < most * np.sqrt(np.mean(np.square(clip)))
            if len(stems) > 1:
                for role, stem in stems.items():
                    level_errors.append(loudness(stem, RATE) - loudness(mix - stem, RATE) - truth.levels[role])
    # The recorded levels are measured without reverberation, but the stems include it.
    assert len(level_errors) > 50
    assert abs(np.median(level_errors)) < 0.2 and np.quantile(np.abs(level_errors), 0.9) < 2


def test_no_source_is_in_two_parts_of_the_split(rendered: Path) -> None:
    split = json.loads((rendered / "split.json").read_bytes())
    for part in SPLIT:
        numbers = [number for number in range(1, FOLDERS + 1) if folder_part(number) == part]
        assert split[part] == [f"triplets_{number}" for number in numbers]
        used: dict[str, set[str]] = {"melodies": set(), "grooves": set(), "progressions": set(), "banks": set()}
        for number in numbers:
            for path in (rendered / "harmony" / f"triplets_{number}" / "truth").glob("*.jams"):
                truth = read_truth(path)
                used["melodies"].add(truth.melody)
                used["grooves"].add(truth.groove_source)
                used["progressions"].add(truth.progression)
                used["banks"] |= {sound.bank for role in truth.parts if (sound := truth.band.sound(role))}
        assert {kind: set(names) for kind, names in split["sources"][part].items()} == used
    for part, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        for kind in ("melodies", "grooves", "progressions", "banks")[: 3 if other == "validation" else 4]:
            assert not set(split["sources"][part][kind]) & set(split["sources"][other][kind])


# Reproducibility ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_complete_folders_are_kept_and_incomplete_ones_are_rendered_again(
    place: Place, rendered: Path, run: Callable[..., Outcome]
) -> None:
    out = place.folder / "incomplete"
    shutil.copytree(rendered, out)
    times = {path: path.stat().st_mtime_ns for path in (out / "harmony").rglob("*") if path.is_file()}
    again = run(*command(place, out), "--json")
    report = json.loads(again.out)
    assert (again.code, report["kept"], report["made"], report["repaired"]) == (0, FOLDERS, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in times} == times

    harmony = out / "harmony"
    (harmony / "triplets_1" / "triplet" / "positive_02.wav").unlink()
    cut_short(harmony / "triplets_2" / "triplet" / "negative.wav")
    cut_short(next((harmony / "triplets_3" / "stems" / "anchor").glob("*.wav")))
    (harmony / "triplets_4" / "truth" / "anchor.jams").write_bytes(b"")
    (harmony / "triplets_5" / "triplet" / "triplet_meta.json").write_text("{}")
    (harmony / "triplets_6").rename(harmony / ".triplets_6.partial")
    more = run(*command(place, out, "--folders", FOLDERS + 1), "--json")
    report = json.loads(more.out)
    assert (more.code, report["kept"], report["made"], report["repaired"]) == (0, FOLDERS - 6, 7, 5)
    assert not list(harmony.glob(".*"))
    before, found = contents(rendered), contents(out)
    assert {name for name in before if found.get(name) != before[name]} == {"split.json"}
    assert {name.split("/")[1] for name in found.keys() - before.keys()} == {f"triplets_{FOLDERS + 1}"}
    kept = [path for path in times if path.parts[-3] in ("triplets_7", "triplets_8")]
    assert kept and all(path.stat().st_mtime_ns == times[path] for path in kept)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_run_is_completed_by_the_next_run(
    place: Place, rendered: Path, run: Callable[..., Outcome], sent: signal.Signals
) -> None:
    out = place.folder / sent.name
    arguments = command(place, out, "--folders", 6, "--jobs", 2)
    process = subprocess.Popen(
        [sys.executable, "-m", "soundalike", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list(out.glob("harmony/triplets_*"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, sent)  # to the whole process group, as a terminal does
    printed, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode == (130 if sent is signal.SIGINT else -sent)
    if sent is signal.SIGINT:
        assert "interrupted: what is done is kept" in errors and "rendered" in printed
    done = {path.name for path in (out / "harmony").glob("triplets_*")}
    assert 2 <= len(done) < 6
    assert all(contents(out / "harmony" / name) == contents(rendered / "harmony" / name) for name in done)
    again = run(*arguments, "--jobs", 1, "--json")
    assert again.code == 0 and json.loads(again.out)["kept"] == len(done)
    for number in range(1, 7):
        name = f"harmony/triplets_{number}"
        assert contents(out / name) == contents(rendered / name)
    assert not list(out.rglob(".*"))


def test_folders_of_other_settings_are_not_mixed(place: Place, rendered: Path, run: Callable[..., Outcome]) -> None:
    before = contents(rendered)
    for change, named in ((("--seed", 6), "settings: seed"), (("--format", "flac"), "settings: suffix")):
        found = run(*command(place, rendered, *change))
        assert one_line(found) == f"soundalike: {rendered} holds folders that were not made with the same {named}; " \
            "use the same, or give another -o\n"  # fmt: skip
    few = write_tunes(place.folder / "few", {TRAIN: 8})
    assert "not made with the same settings: part, tunes; " in one_line(
        run(*command(place, rendered), "--tunes", few, "--part", "train")
    )
    assert contents(rendered) == before


def test_the_order_of_imports_does_not_change_the_samples(place: Place) -> None:
    """FluidSynth reads compressed soundfonts with whichever libsndfile is already loaded."""
    font = write_compressed_soundfont(place.folder / "noise.sf3")
    script = (
        "import hashlib; from soundalike.render.folders.settings import orchestra_of;"
        "from soundalike.render.score.music import *;"
        f"sound, notes = Sound('noise', 0), [Played(0.0, 1.0, 62, 90)]; orchestra = orchestra_of(({str(font)!r},));"
        "print(hashlib.sha256(orchestra.play(sound, 'lead', notes, 1.0).tobytes()).hexdigest())"
    )
    imports = ("", "import soundfile;", "import scipy.signal, mido, soxr;")
    runs = [subprocess.run([sys.executable, "-c", first + script], capture_output=True, text=True) for first in imports]
    assert [run.stderr for run in runs] == ["", "", ""]
    assert len({run.stdout for run in runs}) == 1


def write_compressed_soundfont(path: Path) -> Path:
    """Write a SoundFont 3 with one preset: noise in Ogg Vorbis."""
    plain, encoded = write_soundfont(path, [(0, 0)]).read_bytes(), io.BytesIO()
    sf.write(encoded, 0.3 * np.random.default_rng(0).standard_normal(44100), 44100, format="OGG", subtype="VORBIS")
    ogg = encoded.getvalue()
    info = plain[12 : plain.index(b"LIST", 16)].replace(struct.pack("<HH", 2, 1), struct.pack("<HH", 3, 1))
    hydra = bytearray(plain[plain.rindex(b"LIST") :])
    at = hydra.rindex(b"sine")
    compressed = 0x10 | 1
    struct.pack_into("<20sIIIIIBbHH", hydra, at, b"sine", 0, len(ogg), 500, 40000, 44100, 69, 0, 0, compressed)
    path.write_bytes(_chunk(b"RIFF", b"sfbk", info, _chunk(b"LIST", b"sdta", _chunk(b"smpl", ogg)), bytes(hydra)))
    return path


# Bad input ----------------------------------------------------------------------------------------------------------


def one_line(found: Outcome) -> str:
    assert (found.code, found.out) == (2, "")
    *phases, error = found.err.splitlines(keepends=True)
    assert error.startswith("soundalike: ") and all(line.endswith(" so far)\n") for line in phases)
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--soundfont", "PLACE/none.sf2"], "none.sf2 does not exist; give --soundfont FILE"),
        (["--soundfont", "PLACE/text.sf2"], "text.sf2 is not a soundfont; give a .sf2 or .sf3 file"),
        (["--soundfont", "PLACE/short.sf2"], "short.sf2 is truncated: found 500 bytes, expected"),
        (["--tunes", "PLACE/none"], "none does not exist; give --tunes a folder or archive of MIDI files"),
        (["--tunes", "PLACE/all bad"], "no usable melody, expected tunes of 8 bars or more"),
        (["--grooves", "PLACE/all bad"], "no drumming in 4/4, 3/4, 6/8, 9/8"),
        (["--factors", "melody,mood"], "unknown factor 'mood'; known: melody, rhythm, timbre, harmony"),
        (["--seconds", "0"], "expected 4 to 60 seconds, found '0'"),
        (["--folders", "0"], "expected a whole number from 1, found '0'"),
        (["--rate", "17000"], "--rate 17000: expected one of 16000, 22050"),
        (["-o", "PLACE/text.sf2"], "text.sf2: File exists; give another folder to -o"),
        (["-o", "PLACE/text.sf2/below"], "text.sf2/below: Not a directory; give another folder to -o"),
        (["-o", "PLACE/invalid record"], "render.json is not valid JSON"),
    ],
)  # fmt: skip
def test_errors_are_one_line(place: Place, run: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    (place.folder / "text.sf2").write_text("not a soundfont")
    (place.folder / "short.sf2").write_bytes((place.folder / "training.sf2").read_bytes()[:500])
    (place.folder / "invalid record").mkdir(exist_ok=True)
    (place.folder / "invalid record" / "render.json").write_text("{")
    write_bad_tunes(place.folder / "all bad")
    out = ["-o", str(place.folder / "nothing"), "--folders", "1"]
    found = run("render", *out, *place.options, *(part.replace("PLACE", str(place.folder)) for part in arguments))
    assert message in one_line(found)
    assert not list((place.folder / "nothing").glob("*/*"))


def test_unusable_tunes_are_listed_and_the_rest_is_rendered(place: Place, run: Callable[..., Outcome]) -> None:
    tunes = write_bad_tunes(write_tunes(place.folder / "mixed", {TRAIN: 8}))
    arguments = ["render", *place.options, "--tunes", tunes, "--part", "train", "--factors", "melody", "--folders", 1]
    found = run(*arguments, "-o", place.folder / "from mixed", "--seconds", SECONDS, "--json")
    report = json.loads(found.out)
    assert (found.code, report["made"], report["failed"]) == (0, 1, [])
    reasons = {record["source"]: record["reason"] for record in report["skipped"]}
    assert set(reasons) == {f"bad/{name}.mid" for name in ("broken", "drums", "empty", "short")}
    assert reasons["bad/drums.mid"] == "it holds no notes but drums"
    again = run(*arguments, "-o", place.folder / "from mixed", "--seconds", SECONDS)
    assert again.code == 0 and "1 already there" in again.out
    noted = [line for line in again.err.splitlines() if line.startswith("left out")]
    assert len(noted) == 1 and noted[0].startswith("left out 4 sources of music, most often because: ")
    phases = [line for line in again.err.splitlines() if line.endswith(" so far)")]
    assert phases[0].startswith("reading soundfonts (") and phases[-1].startswith("sorting tunes, grooves and sounds (")


def write_bad_tunes(folder: Path) -> Path:
    """Write four files without a usable melody."""
    bad = folder / "bad"
    write_midi(bad / "drums.mid", "4/4", [(0.0, 1.0, 36, 90)], channel=9)
    write_midi(bad / "short.mid", "4/4", [(0.0, 1.0, 60, 90)])
    (bad / "broken.mid").write_bytes((bad / "short.mid").read_bytes()[:30])
    (bad / "empty.mid").write_bytes(b"")
    return folder


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_is_an_error(place: Place, run: Callable[..., Outcome]) -> None:
    (place.folder / "closed").mkdir(mode=0o500)
    found = run("render", "-o", place.folder / "closed" / "out", "--folders", 1, *place.options)
    assert "cannot write to" in one_line(found)
