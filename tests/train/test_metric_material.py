"""Songs with stems as mapped samples: sums of stems, the level gate, the cache, duplicates, and what cannot be read."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from soundalike.audio.activity import BLOCK, GATE, active_blocks
from soundalike.audio.datasets.songs import find_songs, instrument_of
from soundalike.core.errors import UsageError
from soundalike.train.metric import FIVE, SIX, SMALL, MetricSettings
from soundalike.train.metric.material import Material, load_material, read_songs
from soundalike.train.metric.pieces import Piece, open_piece, store_piece

RATE = 8000
SECONDS = 1.0
PROGRAMS = {"drums": 128, "bass": 33, "piano": 0, "guitar": 25, "other": 73}


def settings(instruments: Sequence[str] = FIVE, rate: int = RATE) -> MetricSettings:
    network, spectrum = replace(SMALL.network, instruments=tuple(instruments)), replace(SMALL.spectrum, rate=rate)
    return replace(SMALL, network=network, spectrum=spectrum, equal_loudness=False)


def noise(seed: int, level: float = 0.1, seconds: float = SECONDS) -> np.ndarray:
    return (level * np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE))).astype(np.float32)


def write_track(
    root: Path, subset: str, name: str, stems: Sequence[tuple[str, np.ndarray]], *, uuid: str = "", sung: bool = False
) -> Path:
    """A track in the layout of Slakh2100, as 32-bit floats; the last stem is sung if asked for."""
    track = root / subset / name
    (track / "stems").mkdir(parents=True)
    lines = [f'UUID: "{uuid or name}"', "stems:"]
    for number, (instrument, samples) in enumerate(stems):
        sf.write(track / "stems" / f"S{number:02d}.wav", samples, RATE, subtype="FLOAT")
        kind = "Vocals" if sung and number == len(stems) - 1 else "Any"
        lines += [f"  S{number:02d}:", f"    inst_class: {kind}", f"    program_num: {PROGRAMS[instrument]}"]
    sf.write(track / "mix.wav", sum(samples for _, samples in stems), RATE, subtype="FLOAT")
    (track / "metadata.yaml").write_text("\n".join(lines) + "\n")
    return track


def write_band(root: Path, subset: str, name: str, seed: int) -> Path:
    return write_track(root, subset, name, [(kind, noise(5 * seed + n)) for n, kind in enumerate(FIVE)])


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Four songs of five instruments."""
    root = tmp_path / "songs"
    for number, subset in enumerate(("train", "train", "validation", "test"), start=1):
        write_band(root, subset, f"Track{number:05d}", number)
    return root


def load(songs: Path, cache: Path, instruments: Sequence[str] = FIVE, rate: int = RATE) -> Material:
    return load_material(songs, settings(instruments, rate), cache, jobs=1)


def test_each_instrument_is_the_sum_of_its_stems(tmp_path: Path) -> None:
    stems = [("drums", noise(1)), ("other", noise(2, 0.9)), ("other", noise(3, 0.9)), ("guitar", noise(4))]
    stems += [("bass", noise(5)), ("piano", noise(6))]
    write_track(tmp_path / "songs", "train", "Track00001", stems)
    material = load(tmp_path / "songs", tmp_path / "cache")
    (piece,) = material.songs["train"]
    assert (piece.name, piece.seconds, material.songs["test"]) == ("Track00001", SECONDS, ())
    step = piece.scale / 2 + 1e-7
    for number, instrument in enumerate(FIVE):
        expected = np.zeros(RATE)
        for name, samples in stems:
            if name == instrument:
                expected += samples
        np.testing.assert_allclose(material.cut(piece, number, 0, RATE), expected, atol=step)
        np.testing.assert_allclose(piece.cut(number, 100, 50), expected[100:150], atol=step)
    whole = sum(samples for _, samples in stems)
    np.testing.assert_allclose(piece.cut(None, 0, RATE), whole, atol=5 * step)
    assert not piece.cut(None, RATE - 10, 30)[10:].any()  # beyond the end


def test_singing_is_other_unless_there_are_vocals(tmp_path: Path) -> None:
    stems = [(kind, noise(n)) for n, kind in enumerate([*FIVE, "other"])]
    write_track(tmp_path / "songs", "train", "Track00001", stems, sung=True)
    (five,) = load(tmp_path / "songs", tmp_path / "cache").songs["train"]
    (six,) = load(tmp_path / "songs", tmp_path / "cache", SIX).songs["train"]
    both = five.cut(FIVE.index("other"), 0, RATE)
    parts = six.cut(SIX.index("other"), 0, RATE) + six.cut(SIX.index("vocals"), 0, RATE)
    np.testing.assert_allclose(both, parts, atol=4e-5)
    assert np.abs(six.cut(SIX.index("vocals"), 0, RATE) - noise(5)).max() < 1e-5
    with pytest.raises(UsageError, match="class residuals belong to none of the instruments drums, bass; add other"):
        instrument_of("residuals", ["drums", "bass"])


def test_songs_are_resampled(songs: Path, tmp_path: Path) -> None:
    t = np.arange(RATE) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    write_track(songs, "train", "Track00009", [("bass", tone), ("drums", noise(1))])
    piece = load(songs, tmp_path / "cache", rate=4000).songs["train"][2]
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / 4000)
    assert (piece.rate, piece.frames) == (4000, 4000)
    np.testing.assert_allclose(piece.cut(FIVE.index("bass"), 200, 3600), expected[200:3800], atol=3e-3)
    with pytest.raises(UsageError, match=r"sampling rate is 8,005 Hz; expected a multiple of 10 Hz"):
        load(songs, tmp_path / "cache", rate=8005)


def test_instruments_are_brought_to_the_same_loudness(tmp_path: Path) -> None:
    """The sum of the stems of an instrument is levelled, as a whole; silence and missing instruments stay silent."""
    t = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 997 * t).astype(np.float32)  # BS.1770: full scale in one channel has -3.01 LUFS
    late = np.where(t < 1, 0, tone)  # the gate leaves 7 whole blocks, and 3 with 1/4, 1/2 and 3/4 of the sound
    stems = [("bass", 0.001 * tone), ("drums", 0.2 * late), ("piano", 0.3 * tone), ("piano", 0.2 * tone)]
    write_track(tmp_path / "songs", "train", "Track00001", [*stems, ("guitar", 0 * tone)])
    same = replace(settings(), equal_loudness=True)
    songs = list(find_songs(tmp_path / "songs", FIVE))
    (piece,) = read_songs(songs, same, tmp_path / "cache", jobs=1).songs["train"]
    level = 10 ** ((-20 + 3.01) / 20)
    for instrument, expected in (("bass", level), ("drums", level * math.sqrt(10 / 8.5)), ("piano", level)):
        found = np.abs(piece.cut(FIVE.index(instrument), 3 * RATE // 2, RATE // 2)).max()
        assert found == pytest.approx(expected, rel=0.003), instrument
    for instrument in ("guitar", "other"):
        assert not piece.cut(FIVE.index(instrument), 0, 2 * RATE).any()
    (plain,) = read_songs(songs, settings(), tmp_path / "cache", jobs=1).songs["train"]  # another file of the cache
    assert np.abs(plain.cut(FIVE.index("piano"), 0, RATE)).max() == pytest.approx(0.5, rel=1e-3)


@given(
    stems=st.integers(0, 2**32).map(np.random.default_rng),
    kinds=st.integers(1, 6),
    frames=st.integers(1, 400),
    exponent=st.integers(-8, 4),
)
def test_samples_and_sums_never_clip(
    tmp_path_factory: pytest.TempPathFactory, stems: np.random.Generator, kinds: int, frames: int, exponent: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    values = (stems.uniform(-1, 1, (kinds, frames)) * 10.0**exponent).astype(np.float32)
    store_piece(folder, "one", values, 100)
    piece = open_piece("song", folder, "one")
    for kind in range(kinds):
        np.testing.assert_allclose(piece.cut(kind, 0, frames), values[kind], atol=0.51 * piece.scale)
    np.testing.assert_allclose(piece.cut(None, 0, frames), values.sum(0), atol=0.51 * kinds * piece.scale)
    exact = sum(piece.samples[kind].astype(np.int64) for kind in range(kinds)) * np.float32(piece.scale)
    assert np.array_equal(piece.cut(None, 0, frames), exact.astype(np.float32))
    assert piece.scale <= np.abs(values).sum(0).max() / 32000 + 1e-12


@given(seed=st.integers(0, 2**32), kinds=st.integers(1, 4), frames=st.integers(1, 130), rate=st.sampled_from([10, 100]))
def test_the_level_gate_against_a_loop(seed: int, kinds: int, frames: int, rate: int) -> None:
    rng = np.random.default_rng(seed)
    levels = 10 ** (rng.uniform(-90, 0, (kinds, frames)) / 20)
    stems = (levels * rng.choice([-1, 1], (kinds, frames))).astype(np.float32)
    found = active_blocks(stems, rate)
    size = round(BLOCK * rate)
    mix = [sum(float(row[i]) for row in stems) for i in range(frames)]
    level = math.sqrt(sum(value * value for value in mix) / frames)
    assert found.shape == (kinds, -(-frames // size))
    for kind in range(kinds):
        for block in range(found.shape[1]):
            values = [float(value) for value in stems[kind, block * size : (block + 1) * size]]
            rms = math.sqrt(sum(value * value for value in values) / len(values))
            if not math.isclose(rms, level * 10 ** (GATE / 20), rel_tol=1e-4):
                assert found[kind, block] == (rms > level * 10 ** (GATE / 20))


def test_silence_is_not_active() -> None:
    assert not active_blocks(np.zeros((2, 300), np.float32), 100).any()


def contents(material: Material) -> dict[str, bytes]:
    return {piece.name: piece.path.read_bytes() for subset in material.songs.values() for piece in subset}


def test_an_interrupted_run_continues_to_the_same_files(songs: Path, tmp_path: Path) -> None:
    whole = contents(load(songs, tmp_path / "whole"))

    def stop(done: int, total: int, seconds: float) -> None:
        assert total == 4
        if done == 2:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        load_material(songs, settings(), cache, jobs=1, progress=stop)
    (cache / ".soundalike-0123").write_bytes(b"half of a file that a killed process left")
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    material = load_material(
        songs,
        settings(),
        cache,
        jobs=1,
        announce=told.append,
        progress=lambda done, all_, _: steps.append((done, all_)),
    )
    assert steps == [(1, 2), (2, 2)]
    assert len(told) == 1
    assert told[0].startswith("reading 2 of 4 songs")
    assert contents(material) == whole


def test_a_song_is_read_again_only_if_its_content_or_the_settings_change(songs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def read(folder: Path, instruments: Sequence[str] = FIVE) -> int:
        before = {path: path.stat().st_mtime_ns for path in cache.glob("*.derived")}
        load(folder, cache, instruments)
        after = {path: path.stat().st_mtime_ns for path in cache.glob("*.derived")}
        return sum(before.get(path) != time for path, time in after.items())

    assert read(songs) == 4
    assert read(songs) == 0
    moved = songs.rename(tmp_path / "moved")
    assert read(moved) == 0
    (cache / "files.json").unlink()
    assert read(moved) == 0
    sf.write(moved / "train" / "Track00001" / "stems" / "S00.wav", noise(99), RATE, subtype="FLOAT")
    assert read(moved) == 1
    assert read(moved, ["drums", "other"]) == 4
    spoiled = next(iter(load(moved, cache).songs["train"])).path
    spoiled.write_bytes(spoiled.read_bytes()[:100])
    assert read(moved) == 1


def test_the_first_track_of_a_midi_file_is_used(tmp_path: Path) -> None:
    for number, (subset, uuid) in enumerate([("train", "a"), ("train", "b"), ("validation", "a"), ("test", "c")]):
        write_track(tmp_path, subset, f"Track{9 - number:05d}", [("bass", noise(number))], uuid=uuid)
    found = [(song.subset, song.name) for song in find_songs(tmp_path, FIVE)]
    assert found == [("train", "Track00008"), ("train", "Track00009"), ("test", "Track00006")]
    for folder in tmp_path.glob("*/Track*"):  # without a UUID: the score
        metadata = folder / "metadata.yaml"
        metadata.write_text(metadata.read_text().split("\n", 1)[1])
        (folder / "all_src.mid").write_bytes(
            b"score " + (b"x" if folder.parent.name == "test" else folder.name.encode())
        )
    assert len(find_songs(tmp_path, FIVE)) == 4
    (tmp_path / "validation" / "Track00007" / "all_src.mid").write_bytes(b"score x")
    assert [song.name for song in find_songs(tmp_path, FIVE)] == ["Track00008", "Track00009", "Track00007"]


def test_redux_says_which_tracks_are_used(songs: Path) -> None:
    (songs / "redux.json").write_text(
        '{"Track00001": {"action": "omit", "source_split": "train"},'
        ' "Track00002": {"action": null, "source_split": "test"}}'
    )
    found = [(song.subset, song.name) for song in find_songs(songs, FIVE, redux=songs / "redux.json")]
    assert found == [("validation", "Track00003"), ("test", "Track00002"), ("test", "Track00004")]


def test_songs_of_a_table_join_the_training_subset(songs: Path, tmp_path: Path) -> None:
    table = tmp_path / "album"
    table.mkdir()
    lines = ["song,path,stem_class"]
    for song in ("Cat", "Dog"):
        for kind in ("drums", "effects", "other", "mix"):
            sf.write(table / f"{song}.{kind}.wav", np.stack([noise(1), noise(2)], 1), 2 * RATE, subtype="FLOAT")
            lines.append(f"{song},{song}.{kind}.wav,{kind}")
    (table / "stems.csv").write_text("\n".join(lines) + "\n")
    material = load_material(songs, settings(), tmp_path / "cache", recorded={table: ["Dog"]}, jobs=1)
    *_, dog = material.songs["train"]
    assert ([piece.name for piece in material.songs["train"]], dog.seconds) == (
        ["Track00001", "Track00002", "Dog"],
        SECONDS / 2,
    )
    other, drums = dog.cut(FIVE.index("other"), 500, 3000), dog.cut(FIVE.index("drums"), 500, 3000)
    np.testing.assert_allclose(other, 2 * drums, atol=1e-4)  # effects and other, without the mix
    with pytest.raises(UsageError, match="holds no song Eel; it holds Cat, Dog"):
        find_songs(table, FIVE, only=["Eel"])
    with pytest.raises(UsageError, match="describes Slakh2100, but"):
        find_songs(table, FIVE, redux=tmp_path / "redux.json")


def test_a_missing_stem_is_named_in_one_line(songs: Path, tmp_path: Path) -> None:
    (songs / "train" / "Track00002" / "stems" / "S03.wav").unlink()
    with pytest.raises(UsageError, match=r"^\S+songs lacks Track00002/stems/S03\.flac; expected [^\n]+$"):
        load(songs, tmp_path / "cache")


def test_a_folder_of_tracks_is_not_enough(songs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds tracks itself; expected the folder that holds train, validation, test"):
        load(songs / "train", tmp_path / "cache")


def test_a_song_that_cannot_be_decoded_is_listed(songs: Path, tmp_path: Path) -> None:
    (songs / "train" / "Track00002" / "stems" / "S03.wav").write_bytes(b"no sound")
    material = load(songs, tmp_path / "cache")
    ((name, reason),) = material.failed
    assert (name, len(material.songs["train"])) == ("Track00002", 1)
    assert reason.startswith("S03.wav: ")
    for subset in ("train/Track00001", "validation/Track00003", "test/Track00004"):
        (songs / subset / "stems" / "S00.wav").write_bytes(b"no sound")
    with pytest.raises(UsageError, match=r"none of 4 songs could be read; Track0000\d: S0\d\.wav: "):
        load(songs, tmp_path / "cache")


def test_silent_targets_everywhere(songs: Path, tmp_path: Path) -> None:
    for path in songs.glob("*/*/stems/S03.wav"):  # the guitars
        sf.write(path, noise(1, 1e-5), RATE, subtype="FLOAT")
    with pytest.raises(
        UsageError, match="silent targets everywhere: none of 4 songs has guitar above -50 dB relative to its mix"
    ):
        load(songs, tmp_path / "cache")


def test_a_small_disk_is_named_before_songs_are_read(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UsageError, match="GB; give a folder on another disk"):
        load(songs, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.derived"))


def test_a_piece_of_a_deleted_cache(tmp_path: Path) -> None:
    store_piece(tmp_path, "one", noise(1)[None], RATE)
    piece: Piece = open_piece("song", tmp_path, "one")
    piece.path.unlink()
    with pytest.raises(UsageError, match="is missing or invalid; run the command again"):
        piece.cut(0, 0, 10)
