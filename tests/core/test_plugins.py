"""One contract per plug-in folder, tested for all of its members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.audio.stream import windows
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item


@pytest.mark.parametrize("folder", plugins.FOLDERS)
def test_an_unknown_member_is_an_error_that_lists_the_known_ones(folder: str) -> None:
    assert plugins.names(folder)
    with pytest.raises(UsageError, match=f"unknown .* 'nope'; known: .*{plugins.names(folder)[0]}"):
        plugins.load(folder, "nope")


def blocks(samples: np.ndarray, size: int = 30_000) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@pytest.fixture(params=plugins.names("backbones"))
def backbone(request: pytest.FixtureRequest):
    """Each backbone in turn."""
    return plugins.load("backbones", request.param)


SOUNDS = {
    "music": lambda rate: tune(TUNES["up"], seconds=13, rate=rate),
    "short": lambda rate: tune(TUNES["up"], seconds=0.3, rate=rate),
    "noise": lambda rate: np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32),
    "clipped": lambda rate: np.sign(np.sin(np.arange(2 * rate) / 7)).astype(np.float32),
    "faint": lambda rate: 1e-12 * tune(TUNES["up"], seconds=2, rate=rate),
    "silence": lambda rate: np.zeros(2 * rate, np.float32),
    "constant": lambda rate: np.full(2 * rate, 0.7, np.float32),
    "one sample": lambda rate: np.ones(1, np.float32),
    "an impulse": lambda rate: np.eye(1, 2 * rate, rate, dtype=np.float32)[0],
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_features_follow_the_contract(backbone, sound: str) -> None:
    samples = SOUNDS[sound](backbone.rate)
    features = backbone.features(blocks(samples), windows)
    assert features.duration == pytest.approx(len(samples) / backbone.rate)
    assert np.array_equal(features.windows, windows(features.duration))
    assert set(features.rows) == set(features.audible) == set(backbone.dims)
    for name, rows in features.rows.items():
        assert rows.shape == (len(features.windows), backbone.dims[name])
        assert rows.dtype == np.float32
        assert np.isfinite(rows).all()
        assert features.audible[name].dtype == bool
        assert not rows[~features.audible[name]].any()
    if sound in ("silence", "constant", "faint"):
        assert not any(audible.any() for audible in features.audible.values())
        assert features.descriptors.loudness is None
    if sound == "music":
        assert all(audible.all() for audible in features.audible.values())


def test_features_are_deterministic_and_independent_of_the_block_size(backbone) -> None:
    samples = tune(TUNES["leaps"], seconds=17, rate=backbone.rate)
    first, second = backbone.features(blocks(samples), windows), backbone.features(blocks(samples, 777), windows)
    again = backbone.features(blocks(samples), windows)
    for name, rows in first.rows.items():
        assert np.array_equal(rows, again.rows[name])
        assert np.allclose(rows, second.rows[name], atol=1e-6)
    assert first.descriptors == again.descriptors


def test_an_empty_stream_is_an_error_or_has_no_rows(backbone) -> None:
    try:
        features = backbone.features([], lambda duration: np.zeros((0, 2)))
    except ValueError as error:
        assert str(error)
    else:
        assert all(len(rows) == 0 for rows in features.rows.values())


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_datasets_follow_the_contract(name: str, tmp_path: Path) -> None:
    for file in ("b/2.wav", "b/1.flac", "a.ogg"):
        write(tmp_path / "root" / file, tune(TUNES["up"], seconds=1))
    (tmp_path / "root" / "cover.jpg").write_bytes(b"not music")
    (tmp_path / "root" / "._a.ogg").write_bytes(b"a macOS resource fork")
    dataset = plugins.load("datasets", name, root=tmp_path / "root")
    items = list(dataset.items())
    assert all(isinstance(item, Item) for item in items)
    assert [item.path.relative_to(tmp_path / "root").as_posix() for item in items] == ["a.ogg", "b/1.flac", "b/2.wav"]
    assert list(dataset.items()) == items
    with pytest.raises(UsageError, match="not found; give a folder"):
        plugins.load("datasets", name, root=tmp_path / "none")


def test_a_member_of_another_distribution_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "othermodule.py").write_text("def create():\n    return 'a backbone from outside'\n")
    info = tmp_path / "othermodule-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: othermodule\nVersion: 1.0\nLicense-Expression: MIT\n")
    (info / "entry_points.txt").write_text("[soundalike.backbones]\nouter = othermodule:create\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "outer" in plugins.names("backbones")
    assert plugins.load("backbones", "outer") == "a backbone from outside"
    assert plugins.licence("backbones", "outer") == "MIT"
    assert plugins.licence("backbones", "dsp") == "Apache-2.0"
