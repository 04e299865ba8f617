"""SDR beside the numbers of museval, and the protocol that measures separators."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from formulas import formula_sound
from probe_trees import slakh2100

from conftest import write
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.evaluate.sdr import frame_sdr, instrument_sdr, median_over_songs, song_sdr
from tiny_separators import write_tiny_spleeter

RATE = 8000
# museval 0.4.1, bss_eval with windows and hops of one second.
MUSEVAL = [
    [10.021472314600661, 10.012760584099652, np.nan, 10.004425155153012],
    [13.861186398674125, 13.861299630662824, np.nan, 13.08264760881431],
]


def signals() -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(4 * RATE) / RATE
    first = np.stack([formula_sound(4, RATE), 0.5 * formula_sound(4, RATE)[::-1]])
    second = np.stack([0.2 * np.sin(2 * np.pi * 330 * time), 0.1 * np.cos(2 * np.pi * 555 * time)])
    second[:, 2 * RATE : 3 * RATE] = 0
    estimates = np.stack([0.9 * first + 0.2 * second, 0.8 * second + 0.05 * first]).astype(np.float32)
    estimates[1, :, 2 * RATE :] += 0.01
    return np.stack([first, second]).astype(np.float32), estimates


def test_frames_equal_those_of_museval() -> None:
    references, estimates = signals()
    assert frame_sdr(references, estimates, RATE) == pytest.approx(np.array(MUSEVAL), abs=1e-4, nan_ok=True)
    assert song_sdr(references, estimates, RATE) == pytest.approx(np.nanmedian(MUSEVAL, axis=1), abs=1e-4)


def test_edges_of_the_sdr() -> None:
    references, _ = signals()
    assert np.isposinf(frame_sdr(references, references, RATE)[:, 0]).all()
    assert np.isnan(song_sdr(references, np.zeros_like(references), RATE)).all()
    assert frame_sdr(references[:, :, : RATE + 5], references[:, :, : RATE + 5], RATE).shape == (2, 1)
    with pytest.raises(ValueError, match="expected the same"):
        frame_sdr(references, references[:1], RATE)


def test_every_instrument_is_measured_by_itself() -> None:
    random = np.random.default_rng(0)
    true = {name: random.normal(size=(2, 3 * RATE)) for name in ("drums", "strings", "piano", "vocals")}
    true["drums"][:, RATE : 2 * RATE] = 0
    other = true["strings"] + true["piano"] + true["vocals"]
    found = {"drums": 0.9 * true["drums"], "bass": true["drums"], "other": 0.99 * other}
    drums, bass, rest = instrument_sdr(true, found, RATE)
    assert (drums, rest) == (pytest.approx(20), pytest.approx(40)) and np.isnan(bass)
    # The frame in which drums pause counts for the others, and is left out for the drums.
    found["other"][:, RATE : 2 * RATE] = 0.5 * other[:, RATE : 2 * RATE]
    found["drums"][:, RATE : 2 * RATE] = 1.0
    frames = [
        frame_sdr(other[None], found["other"][None], RATE),
        frame_sdr(true["drums"][None], found["drums"][None], RATE),
    ]
    assert np.isfinite(frames[0]).all() and np.isnan(frames[1][0]).tolist() == [False, True, False]
    assert instrument_sdr(true, found, RATE)[0] == pytest.approx(20)
    assert np.isnan(instrument_sdr({"drums": true["drums"]}, {"drums": true["drums"]}, RATE)).all()
    accompaniment = {"accompaniment": 0.9 * (true["drums"] + other - true["vocals"])}
    assert instrument_sdr(true, accompaniment, RATE) == pytest.approx([20])


def test_medians_over_songs_have_intervals_that_contain_them() -> None:
    values = np.array([[1.0, np.nan], [2.0, 5.0], [9.0, np.nan], [3.0, np.nan], [4.0, np.nan]])
    found = median_over_songs(values, seed=0)
    assert found.value.tolist() == [3.0, 5.0]
    assert 1.0 <= found.low[0] < 3.0 < found.high[0] <= 9.0
    assert np.isnan(found.low[1])
    assert found.n.tolist() == [5, 1]


def test_the_protocol_measures_a_separator_beside_the_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "data" / "soundalike" / "separators" / "spleeter"
    folder.mkdir(parents=True)
    write_tiny_spleeter(folder / "spleeter")
    sound = formula_sound(1.2, 44_100)
    for song, gain in (("a", 1.0), ("b", 0.5)):
        for stem, signal in {"vocals": sound, "drums": sound[::-1], "bass": -sound / 2, "other": sound / 3}.items():
            write(tmp_path / "musdb" / "train" / song / f"{stem}.wav", gain * signal, 44_100)
    protocol = plugins.load("protocols", "separation")
    args = SimpleNamespace(data=tmp_path / "musdb", separator="spleeter", seed=0, model=None, jobs=1)
    over, each = protocol.run(args)
    assert over.rows == ("stems", "mix")
    assert over.columns == ("vocals (dB)", "accompaniment (dB)")
    mix = sound + sound[::-1] - sound / 2 + sound / 3
    expected = 10 * np.log10(np.square(sound[:44_100]).sum() / np.square((mix - sound)[:44_100]).sum())
    assert over.values[1, 0] == pytest.approx(expected, abs=0.05)
    assert each.rows == ("a", "b")
    assert np.isfinite(each.values).all()
    (tmp_path / "musdb" / "train" / "a" / "vocals.wav").unlink()
    with pytest.raises(UsageError, match="lacks train/a/vocals.wav"):
        protocol.run(args)
    # In the layout of Slakh2100: two songs of one MIDI file count once. Without vocals there is nothing to separate.
    slakh = slakh2100(tmp_path / "slakh", seconds=1.2)
    args = SimpleNamespace(**(vars(args) | {"data": slakh, "part": "all"}))
    with pytest.raises(UsageError, match="no song has any of the stems vocals, accompaniment"):
        protocol.run(args)
    metadata = slakh / "train" / "Track00002" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("Strings (continued)", "Vocals"))
    over, each = protocol.run(args)
    assert over.n.tolist() == [[1, 1], [1, 1]] and each.rows == ("Track00002",)
    assert np.isfinite(over.values).all() and "--part all" in over.command
    with pytest.raises(UsageError, match="no songs of the part validation"):
        protocol.run(SimpleNamespace(**(vars(args) | {"part": "validation"})))
