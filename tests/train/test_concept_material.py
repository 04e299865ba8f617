"""Segments of labelled recordings, and the cache of their inputs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conftest import write
from soundalike.audio import MonoStream, TrackLabels
from soundalike.backbones.analysis import InputSettings, concept_inputs, fit_segment
from soundalike.core.errors import UsageError
from soundalike.train.concepts.input_store import InputStore
from soundalike.train.concepts.material import ConceptTrack, load_material

RATE = 12000
SETTINGS = InputSettings(rate=RATE, hop=256, window=512, seconds=0.5, bands=16, lags=8)
LABELS = TrackLabels(genre=("Jazz",))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def track(path: Path, samples: np.ndarray, subset: str = "train", labels: TrackLabels = LABELS) -> ConceptTrack:
    return ConceptTrack(write(path, samples, RATE, subtype="FLOAT"), labels, path.stem, subset)


def test_segments_do_not_overlap_and_are_spread_over_the_track(tmp_path: Path) -> None:
    samples = sound(10.3)
    one, short = track(tmp_path / "a.wav", samples), track(tmp_path / "b.wav", sound(0.3), "test")
    found = load_material([one, short], SETTINGS, tmp_path / "cache", segments=4, jobs=1)
    starts = found.starts[found.track_of == 0]
    assert len(starts) == 4 and np.diff(starts).min() >= 2.0 and starts[-1] <= 9.5
    assert found.starts[found.track_of == 1].tolist() == [0.0]
    assert {name: rows.tolist() for name, rows in found.rows.items()} == {
        "train": [0, 1, 2, 3], "validation": [], "test": [4],
    }  # fmt: skip
    assert found.labels == (LABELS,) * 5 and found.songs.tolist() == [0, 0, 0, 0, 1]
    for row, start in enumerate(starts):
        cut = samples[round(start * RATE) :][: SETTINGS.samples]
        expected = concept_inputs(fit_segment(cut, SETTINGS), SETTINGS)
        for name in SETTINGS.names:
            given = found.inputs(name, [row])
            assert given.dtype == np.float32 and given.shape == (1, SETTINGS.bins(name), SETTINGS.frames)
            np.testing.assert_allclose(given[0], expected[name], rtol=2e-3, atol=2e-3)


def test_silence_and_what_is_too_short_are_left_out(tmp_path: Path) -> None:
    half = np.concatenate([np.zeros(RATE, np.float32), sound(1.0)])
    tracks = [
        track(tmp_path / "half.wav", half),
        track(tmp_path / "silent.wav", np.zeros(2 * RATE, np.float32)),
        track(tmp_path / "short.wav", sound(0.1)),
        ConceptTrack(tmp_path / "lost.wav", LABELS, "lost", "train"),
    ]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    tracks.append(ConceptTrack(tmp_path / "broken.wav", LABELS, "broken", "train"))
    found = load_material(tracks, SETTINGS, tmp_path / "cache", jobs=1)
    assert found.starts.tolist() == [1.0, 1.5]
    reasons = {Path(name).stem: reason for name, reason in found.failed}
    assert reasons["silent"] == "no segment is audible; expected 0.25 s of sound or more"
    assert reasons["short"] == "too short: 0.10 s; expected 0.25 s or more"
    assert set(reasons) == {"silent", "short", "lost", "broken"}
    with pytest.raises(UsageError, match="none of 1 recordings could be read; .*silent.wav: no segment is audible"):
        load_material(tracks[1:2], SETTINGS, tmp_path / "cache", jobs=1)
    with pytest.raises(UsageError, match="there are no labelled recordings"):
        load_material([], SETTINGS, tmp_path / "cache")


def test_the_cache_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = [track(tmp_path / f"{k}.wav", sound(1.2, k)) for k in range(3)]
    said: list[str] = []
    first = load_material(tracks[:2], SETTINGS, tmp_path / "cache", jobs=1, announce=said.append)
    again = load_material(tracks[::-1], SETTINGS, tmp_path / "cache", jobs=1, announce=said.append)
    assert [line.split(",")[0] for line in said] == [
        "computing inputs of 2 of 2 recordings", "computing inputs of 1 of 3 recordings",
    ]  # fmt: skip
    for name in SETTINGS.names:
        np.testing.assert_array_equal(again.inputs(name, [2, 3, 4, 5]), first.inputs(name, [2, 3, 0, 1]))
    said.clear()
    monkeypatch.setattr(MonoStream, "read", None)
    same = load_material(tracks[::-1], SETTINGS, tmp_path / "cache", jobs=1, announce=said.append)
    assert same.digest == again.digest != first.digest and not said
    monkeypatch.undo()
    write(tmp_path / "0.wav", sound(2.2, 9), RATE)
    changed = load_material(tracks, SETTINGS, tmp_path / "cache", jobs=1)
    assert Counter(changed.track_of.tolist())[0] == 4


def test_labels_and_subsets_are_part_of_the_digest(tmp_path: Path) -> None:
    plain = track(tmp_path / "a.wav", sound(1.0))
    digests = {
        load_material([ConceptTrack(plain.path, labels, "a", subset)], SETTINGS, tmp_path / "cache", jobs=1).digest
        for labels, subset in ((LABELS, "train"), (TrackLabels(tempo=90.0), "train"), (LABELS, "test"))
    }
    assert len(digests) == 3


def inputs(count: int, value: float) -> dict[str, np.ndarray]:
    return {name: np.full((count, SETTINGS.bins(name), SETTINGS.frames), value, np.float16) for name in SETTINGS.names}


def test_rows_after_the_last_index_are_overwritten(tmp_path: Path) -> None:
    store = InputStore(tmp_path, SETTINGS)
    with store.writing():
        store.add("a", (0.0, 0.5), inputs(2, 1.0))
    with (tmp_path / "mel.f16").open("ab") as file:
        file.write(b"what a killed run left")
    store = InputStore(tmp_path, SETTINGS)
    assert store.rows == 2
    with store.writing():
        store.add("b", (0.0,), inputs(1, 2.0))
    arrays = InputStore(tmp_path, SETTINGS).arrays()
    for name in SETTINGS.names:
        assert arrays[name].shape == (3, SETTINGS.bins(name), SETTINGS.frames)
        assert arrays[name][:, 0, 0].tolist() == [1.0, 1.0, 2.0]


def test_an_interrupted_run_keeps_what_it_computed(tmp_path: Path) -> None:
    store = InputStore(tmp_path, SETTINGS)
    with pytest.raises(KeyboardInterrupt), store.writing():
        store.add("a", (0.0,), inputs(1, 1.0))
        raise KeyboardInterrupt
    assert list(InputStore(tmp_path, SETTINGS).tracks) == ["a"]


def test_corrupt_caches_are_refused(tmp_path: Path) -> None:
    store = InputStore(tmp_path, SETTINGS)
    with store.writing():
        store.add("a", (0.0,), inputs(1, 1.0))
    (tmp_path / "mel.f16").write_bytes(b"")
    with pytest.raises(UsageError, match="mel.f16 is shorter than tracks.json says; delete"):
        InputStore(tmp_path, SETTINGS)
    (tmp_path / "tracks.json").write_text('{"a": 1}')
    with pytest.raises(UsageError, match="tracks.json cannot be read .*; delete"):
        InputStore(tmp_path, SETTINGS)
