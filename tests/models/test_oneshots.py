"""Drum samples and stabs of 20 ms and more: timbre wherever something sounds, the rest where there is enough of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import soundalike
from soundalike.audio import MonoStream, windows
from soundalike.backbones import Backbone
from soundalike.core import plugins
from soundalike.core.errors import AudioError
from soundalike.core.types import Descriptors
from soundalike.models import Encoding, Model

RATE = 44100
Sound = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def kick(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    hertz = rng.uniform(45, 60) * (1 + rng.uniform(2, 4) * np.exp(-40 * time))
    return 0.8 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-rng.uniform(8, 14) * time)


def hat(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    bright = np.diff(rng.standard_normal(len(time) + 2), n=2)
    return 0.1 * bright * np.exp(-rng.uniform(40, 80) * time)


def snare(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    skin = 0.4 * np.sin(2 * np.pi * rng.uniform(180, 220) * time) * np.exp(-20 * time)
    return skin + 0.2 * rng.standard_normal(len(time)) * np.exp(-rng.uniform(15, 25) * time)


def stab(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    root = 220 * 2 ** (rng.integers(12) / 12)
    return sum(0.1 * np.sign(np.sin(2 * np.pi * root * 2 ** (k / 12) * time)) for k in (0, 4, 7)) * np.exp(-4 * time)


KINDS: dict[str, Sound] = {"kick": kick, "hat": hat, "snare": snare, "stab": stab}


def play(path: Path, kind: str, seconds: float, seed: int) -> Path:
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    soundfile.write(path, KINDS[kind](rng, np.arange(round(seconds * RATE)) / RATE), RATE)
    return path


@pytest.fixture(scope="module", params=["compact", "dsp"])
def model(request: pytest.FixtureRequest) -> Model:
    return Model.load(request.param)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.25])
def test_the_nearest_in_timbre_is_of_the_same_kind(tmp_path: Path, model: Model, seconds: float) -> None:
    kinds = [kind for kind in KINDS for _ in range(5)]
    found = [
        model.encode(play(tmp_path / f"{n}.wav", kind, seconds, n)).track.rows["timbre"][0]
        for n, kind in enumerate(kinds)
    ]
    rows = np.stack(found)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -2.0)
    right = [kinds[int(nearest)] == kind for nearest, kind in zip(similarity.argmax(axis=1), kinds, strict=True)]
    assert sum(right) >= 19


def test_what_is_too_short_is_blank(tmp_path: Path, model: Model) -> None:
    one = model.encode(play(tmp_path / "a.wav", "kick", 0.02, 0))
    assert not one.silent and len(one.passages) == 1
    assert [name for name, rows in one.track.rows.items() if rows.any()] == ["timbre"]
    found = one.descriptors
    assert found == Descriptors()
    assert not len(one.fingerprint)
    noise = model.encode(play(tmp_path / "b.wav", "hat", 0.2, 0))
    assert [name for name, rows in noise.track.rows.items() if rows.any()] == ["timbre"]
    longer: Encoding = model.encode(play(tmp_path / "c.wav", "stab", 0.5, 0))
    assert longer.track.rows["harmony"].any() and not longer.track.rows["rhythm"].any()
    assert longer.descriptors.loudness is not None and longer.descriptors.key is None


def test_below_20_ms(tmp_path: Path, model: Model) -> None:
    path = play(tmp_path / "a.wav", "kick", 0.019, 0)
    with pytest.raises(AudioError, match=r"^the recording lasts 0\.019 s, expected at least 0\.02 s; choose a longer"):
        model.encode(path)


@pytest.mark.parametrize("name", ["compact", "dsp", "logmel"])
def test_every_backbone_takes_20_ms(tmp_path: Path, name: str) -> None:
    backbone: Backbone = plugins.load("backbones", name)
    found = backbone.features(MonoStream(play(tmp_path / "a.wav", "snare", 0.02, 0), backbone.rate), windows)
    assert any(audible.all() for audible in found.audible.values())
    assert all(np.isfinite(rows).all() for rows in found.rows.values())


def test_searching_with_a_one_shot(tmp_path: Path) -> None:
    folder = tmp_path / "drums"
    folder.mkdir()
    for kind in KINDS:
        for seed in range(3):
            play(folder / f"{kind}{seed}.wav", kind, 0.15, seed)
    (folder / "kick_copy.wav").write_bytes((folder / "kick0.wav").read_bytes())
    with soundalike.open(tmp_path / "library", create=True) as library:
        report = library.index(folder, model="dsp", jobs=1)
        assert (report.added + report.copied, report.failed, report.silent) == (13, [], [])
        for query in (folder / "kick0.wav", play(tmp_path / "new.wav", "kick", 0.12, 9)):
            results = library.search(query, weights={"timbre": 1}, k=2)
            assert results.level == "passage"
            assert [Path(match.path).name[:4] for match in results] == ["kick", "kick"]
            # Too short for a fingerprint: only the same audio is a copy.
            assert [Path(path).name for path in results.copies] == (["kick_copy.wav"] if query.parent == folder else [])
