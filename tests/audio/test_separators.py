"""One contract for all separators, the cache of stems, and the gate."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, tune, write
from soundalike.audio.separators import STEMS, apply_gate, is_separated, separated_stems
from soundalike.audio.separators.cache import write_stems
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from tiny_separators import WITHOUT_WEIGHTS, separator_options

RATE = 44_100


def loudly(seconds: float, rate: int = RATE) -> np.ndarray:
    """Stereo music (t, 2) with other notes on the left than on the right."""
    sides = [tune(TUNES[name], seconds=seconds, rate=rate) for name in ("up", "leaps")]
    return np.stack(sides, axis=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("soundalike.audio.separators.spleeter.installed_package", lambda: None)


@pytest.fixture(params=plugins.names("separators"), scope="module")
def separator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Each separator in turn."""
    folder = tmp_path_factory.mktemp("weights")
    return plugins.load("separators", request.param, **separator_options(request.param, folder))


def song(folder: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """A mix with stems beside it, for the separator that needs them."""
    write(folder / "stems" / "vocals.wav", samples / 2, rate)
    write(folder / "stems" / "drums.wav", samples / 2, rate)
    return write(folder / "mix.wav", samples, rate)


def joined(blocks: list) -> dict[str, np.ndarray]:
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}


SOUNDS = {
    "stereo": (RATE, lambda: loudly(0.8)),
    "mono": (RATE, lambda: loudly(0.3)[:, 0]),
    "8 kHz": (8_000, lambda: loudly(0.3, 8_000)),
    "48 kHz": (48_000, lambda: loudly(0.3, 48_000)),
    "silence": (RATE, lambda: np.zeros((RATE // 4, 2), np.float32)),
    "short": (RATE, lambda: loudly(0.03)),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_stems_follow_the_contract(separator, sound: str, tmp_path: Path) -> None:
    rate, make = SOUNDS[sound]
    samples = make()
    path = song(tmp_path / "song", samples, rate)
    blocks = list(separator.separate(path))
    assert separator.stems and set(separator.stems) <= set(STEMS)
    for block in blocks:
        assert tuple(block) == separator.stems
        assert len({signal.shape for signal in block.values()}) == 1
        for signal in block.values():
            assert signal.dtype == np.float32 and signal.shape[0] == 2 and signal.shape[1] > 0
            assert np.isfinite(signal).all()
    stems = joined(blocks)
    expected = len(samples) * separator.rate / rate
    assert next(iter(stems.values())).shape[1] == pytest.approx(expected, abs=separator.rate / 1000)
    if sound == "silence":
        assert not any(signal.any() for signal in stems.values())
    again = joined(list(separator.separate(path)))
    assert all(np.array_equal(stems[name], again[name]) for name in stems)


def test_a_region_has_its_length(separator, tmp_path: Path) -> None:
    path = song(tmp_path / "song", loudly(0.8))
    stems = joined(list(separator.separate(path, start=0.1, end=0.5)))
    assert {signal.shape for signal in stems.values()} == {(2, round(0.4 * separator.rate))}
    with pytest.raises(AudioError, match="the region starts at 9.0 s but the recording ends at 0.8 s"):
        list(separator.separate(path, start=9))


def test_what_is_no_recording_is_an_audio_error(separator, tmp_path: Path) -> None:
    path = song(tmp_path / "song", loudly(0.1))
    path.write_bytes(b"no music")
    with pytest.raises(AudioError):
        list(separator.separate(path))


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_separator_without_its_weights_says_how_to_install_them(name: str, tmp_path: Path) -> None:
    separator_options(name, tmp_path)
    with pytest.raises(ModelError, match=f"the separator {name} needs .*soundalike separators install {name}"):
        plugins.load("separators", name)
    with pytest.raises(ModelError, match="none"):
        plugins.load("separators", name, weights=tmp_path / "none")


def test_stems_are_cached_by_content(separator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "song", loudly(0.4))
    assert not is_separated(separator, path)
    files = separated_stems(separator, path)
    assert tuple(files) == separator.stems
    assert is_separated(separator, path)
    for file in files.values():
        info = sf.info(file)
        assert (info.frames, info.samplerate, info.channels) == (round(0.4 * separator.rate), separator.rate, 2)
        assert file.parent.parent.name == f"{separator.name}-{separator.version}"
    monkeypatch.setattr(type(separator), "separate", lambda *_, **__: pytest.fail("separated again"))
    assert separated_stems(separator, path) == files


@pytest.fixture
def given():
    return plugins.load("separators", "given")


def test_after_an_error_nothing_is_left_in_the_cache(given, tmp_path: Path) -> None:
    path = song(tmp_path / "song", loudly(0.5))
    path.write_bytes(b"no music")
    with pytest.raises(AudioError):
        separated_stems(given, path)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_threads_that_need_the_same_stems_get_the_same_files(given, tmp_path: Path) -> None:
    path = song(tmp_path / "song", loudly(0.5))
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(separated_stems(given, path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert all(file.is_file() for file in found[0].values())


def test_the_cache_drops_what_was_not_used_for_the_longest_time(
    given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, used = (song(tmp_path / name, loudly(0.5) * gain) for name, gain in (("a", 1), ("b", 0.9), ("c", 0.8)))
    folders = [separated_stems(given, path)["vocals"].parent for path in (old, used)]
    for folder, hours in zip(folders, (9, 5), strict=True):
        stamp = time.time() - 3600 * hours
        os.utime(folder, (stamp, stamp))
    abandoned = folders[0].parent / ".partial-0"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    size = sum(file.stat().st_size for file in folders[0].iterdir())
    monkeypatch.setenv("SOUNDALIKE_STEM_CACHE", str(2.5 * size / 1e9))
    kept = separated_stems(given, new)["vocals"].parent
    assert [folder.is_dir() for folder in (*folders, kept, abandoned)] == [False, True, True, False]


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_wrong_limit_of_the_cache_is_named(given, text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_STEM_CACHE", text)
    with pytest.raises(UsageError, match=f"SOUNDALIKE_STEM_CACHE is '{text}'; expected gigabytes"):
        separated_stems(given, song(tmp_path / "song", loudly(0.1)))


def test_stem_files_are_clipped_and_keep_zeros(tmp_path: Path) -> None:
    signal = np.array([[0.0, 0.25, 1.5, -1.5]] * 2, np.float32)
    assert write_stems([{"vocals": signal, "other": signal}], 8000, {"vocals": tmp_path / "v.flac"}) == 4
    assert sf.read(tmp_path / "v.flac")[0][:, 0].tolist() == [0.0, 0.25, 1.0 - 2**-15, -1.0]


def test_leakage_becomes_silence_and_music_stays() -> None:
    rate = 1000
    noise = np.random.default_rng(0).standard_normal((2, 12 * rate)).astype(np.float32)
    level = np.repeat([0.01, 0.01, 0.01, 0.01, 1, 1, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01], rate).astype(np.float32)
    stems = {"vocals": noise * level, "drums": noise[::-1].copy()}
    blocks = [{name: signal[:, k : k + 700] for name, signal in stems.items()} for k in range(0, 12 * rate, 700)]
    gated = joined(list(apply_gate(blocks, rate, -30.0)))
    assert np.array_equal(gated["drums"], stems["drums"])
    assert gated["vocals"].shape == (2, 12 * rate)
    assert not gated["vocals"][:, : 3 * rate].any()  # -40 dB
    assert np.array_equal(gated["vocals"][:, 4 * rate : 7 * rate], stems["vocals"][:, 4 * rate : 7 * rate])
    assert not gated["vocals"][:, 8 * rate :].any()
    assert np.array_equal(joined(list(apply_gate(blocks, rate, -50.0)))["vocals"], stems["vocals"])
