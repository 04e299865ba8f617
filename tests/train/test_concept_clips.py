"""Rendered clips with labels of concepts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_draw import write_tunes

from soundalike.audio import TrackLabels
from soundalike.core.errors import UsageError
from soundalike.render.folders import Stock, sources_of
from soundalike.render.score import PULSE, SPLIT, Scene, part_of
from soundalike.render.sound import ERAS, Orchestra, draw_chain
from soundalike.train.concepts import rendered
from soundalike.train.concepts.rendered import GENRES, MOODS, RenderedSettings, draw_clip, render_tracks

SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A few tunes in 4/4, and nothing else."""
    folder = tmp_path_factory.mktemp("material")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("HOME", str(folder))
        patch.setenv("SOUNDALIKE_DATA", str(folder))
        patch.setitem(sys.modules, "music21", None)  # as if it were not installed, because reading chorales is slow
        works = {(part, "4/4", mode): 10 for part in SPLIT for mode in ("major", "minor")}
        yield str(write_tunes(folder / "tunes", works))


@pytest.fixture(scope="module")
def stocks(tunes: str) -> dict[str, Stock]:
    orchestra = Orchestra((), kits=False)
    return {part: Stock(sources_of(tunes, None), orchestra, part) for part in SPLIT}


@pytest.fixture(scope="module")
def clips(stocks: dict[str, Stock]) -> list[tuple[Scene, TrackLabels]]:
    return [draw_clip(stocks["train"], number, RenderedSettings()) for number in range(1, 81)]


def test_labels_are_those_of_the_scene(clips: list[tuple[Scene, TrackLabels]]) -> None:
    for scene, labels in clips:
        (genre,), (mood,), (era,) = labels.genre, labels.mood, labels.era
        assert genre in GENRES and mood in MOODS and era in ERAS
        assert labels.tempo == scene.tempo / PULSE[scene.melody.meter]
        assert labels.key.split() == [SHARPS[scene.key], scene.melody.mode]
        assert mood.split() == [
            scene.melody.mode,
            "slow" if scene.tempo < 85 else "medium" if scene.tempo < 120 else "fast",
        ]
        assert scene.melody.mode == scene.progression.mode
        assert part_of("groove:" + scene.rhythm.groove.source) == "train"
        assert 1 <= len(labels.instrument) <= 2
    assert len(Counter(labels.genre[0] for _, labels in clips)) == 8, "those in 4/4"
    assert len(Counter(labels.era[0] for _, labels in clips)) == len(ERAS)
    assert len({labels.key.split()[0] for _, labels in clips}) == 12


def test_labels_are_independent(clips: list[tuple[Scene, TrackLabels]]) -> None:
    labels = [own for _, own in clips]
    fast = np.array([own.tempo > 105 for own in labels])
    minor = np.array([own.key.endswith("minor") for own in labels])
    dull = np.array([own.era[0] in ERAS[:3] for own in labels])
    for one, other in ((fast, minor), (fast, dull), (minor, dull)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3
        assert 0.3 < one.mean() < 0.7


def test_clips_are_drawn_again_alike(stocks: dict[str, Stock]) -> None:
    settings = RenderedSettings(seed=4)
    assert draw_clip(stocks["test"], 3, settings) == draw_clip(stocks["test"], 3, settings)
    others = [(4, settings, 0), (3, RenderedSettings(seed=5), 0), (3, settings, 1)]
    assert all(draw_clip(stocks["test"], *other) != draw_clip(stocks["test"], 3, settings) for other in others)


def test_sound_chains_differ(stocks: dict[str, Stock]) -> None:
    found = {era: draw_chain(np.random.default_rng(0), era) for era in ERAS}
    assert found["horn 1920s"].lowpass < 4000 < found["mono 1950s"].lowpass < found["tape 1970s"].lowpass
    assert found["bright 1980s"].tilt_db > 3 and found["loud 2000s"].codec == "mp3"
    with pytest.raises(UsageError, match="unknown sound chain '1990s'; known: horn 1920s"):
        draw_chain(np.random.default_rng(0), "1990s")


def test_clips_are_rendered_once(tunes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "run_tasks", lambda function, tasks, jobs: ((task, function(task)) for task in tasks))
    monkeypatch.setattr(rendered, "song_orchestra", lambda soundfonts: (Orchestra((), kits=False), ""))
    settings = RenderedSettings(seconds=3.0, tunes=tunes)
    first = render_tracks(tmp_path, 2, settings, jobs=1)
    assert first.made == 2 and not first.failed
    assert [(track.song, track.subset) for track in first.tracks] == [("clip_00001", "train"), ("clip_00002", "train")]
    for track in first.tracks:
        samples, rate = soundfile.read(track.path)
        assert len(samples) == 3 * rate == 66150 and np.abs(samples).max() > 0.01
    before = first.tracks[0].path.read_bytes()
    first.tracks[0].path.with_suffix(".json").unlink()  # as if the run had been killed between the two files
    again = render_tracks(tmp_path, 2, settings, jobs=1)
    assert again.made == 1 and again.tracks == first.tracks and again.tracks[0].path.read_bytes() == before
    with pytest.raises(UsageError, match="holds clips that were not made with the same seed; use the same, or delete"):
        render_tracks(tmp_path, 2, RenderedSettings(seed=1, seconds=3.0, tunes=tunes))


def test_other_folders_are_not_filled(tunes: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("")
    with pytest.raises(UsageError, match="holds no clips but letter.txt; give an empty folder"):
        render_tracks(tmp_path, 1, RenderedSettings(tunes=tunes))
    with pytest.raises(UsageError, match="the number of clips is 0; expected at least 1"):
        render_tracks(tmp_path, 0, RenderedSettings(tunes=tunes))
    with pytest.raises(UsageError, match="seconds are 2; expected 3 to 60"):
        RenderedSettings(seconds=2.0)
