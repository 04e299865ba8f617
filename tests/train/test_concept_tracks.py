"""Labelled recordings of a folder, their split, and estimates of tempo and key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from concept_trees import gtzan, msd_lastfm, mtg_jamendo

from conftest import RATE, tune, write
from soundalike.audio import TrackLabels
from soundalike.core.errors import UsageError
from soundalike.train.concepts import estimates
from soundalike.train.concepts.estimates import estimate_labels
from soundalike.train.concepts.material import ConceptTrack
from soundalike.train.concepts.tracks import find_tracks, split_songs


def unsplit(songs: list[str]) -> list[ConceptTrack]:
    return [ConceptTrack(Path(f"{k}.wav"), TrackLabels(), song, "") for k, song in enumerate(songs)]


def test_songs_stay_together_and_every_subset_has_some() -> None:
    tracks = split_songs(unsplit([f"artist {k % 40}" for k in range(200)]), seed=0)
    subsets = {song: {track.subset for track in tracks if track.song == song} for song in {t.song for t in tracks}}
    assert all(len(found) == 1 for found in subsets.values())
    assert Counter(subset for found in subsets.values() for subset in found) == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }
    assert {track.subset for track in split_songs(unsplit(["a", "b", "c"]), 0)} == {"train", "validation", "test"}
    assert {track.subset for track in split_songs(unsplit(["a", "b"]), 0)} == {"train"}


def test_the_split_depends_on_names_and_seed_only() -> None:
    songs = [f"artist {k}" for k in range(50)]

    def test_part(names: list[str], seed: int) -> set[str]:
        return {track.song for track in split_songs(unsplit(names), seed) if track.subset == "test"}

    assert test_part(songs, 3) == test_part(songs[::-1], 3) != test_part(songs, 4)
    assert len(test_part([*songs, "one more"], 3) - test_part(songs, 3)) <= 1


def test_known_subsets_stay(tmp_path: Path) -> None:
    gtzan(tmp_path)
    names = sorted(file.relative_to(tmp_path / "genres").as_posix() for file in (tmp_path / "genres").rglob("*.wav"))
    for subset, part in (("train", names[:14]), ("valid", names[14:17]), ("test", names[17:])):
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(part))
    found = find_tracks(tmp_path, "gtzan")
    assert [track.subset for track in found] == ["train"] * 14 + ["validation"] * 3 + ["test"] * 3
    assert found[0].labels == TrackLabels(genre=("blues",))
    tracks = [ConceptTrack(Path("a"), TrackLabels(), f"{k}", "test" if k < 5 else "train") for k in range(25)]
    again = Counter(track.subset for track in split_songs(tracks, 0))
    assert again == {"test": 5, "train": 18, "validation": 2}
    with pytest.raises(UsageError, match="the subset dev is unknown; expected train, validation, test"):
        split_songs([ConceptTrack(Path("a"), TrackLabels(), "a", "dev")], 0)


def test_datasets_give_labels(tmp_path: Path) -> None:
    found = find_tracks(mtg_jamendo(tmp_path / "jamendo"), "mtg_jamendo")
    assert found[0].labels == TrackLabels(("rock",), ("happy",), ("guitar",), ("2000s",))
    assert found[0].song == "artist_train_0"
    (tmp_path / "jamendo" / "audio" / "02" / "1002.mp3").unlink()
    assert len(find_tracks(tmp_path / "jamendo", "mtg_jamendo")) == len(found) - 1, "a part of it is enough"
    assert find_tracks(msd_lastfm(tmp_path / "msd"), "msd_lastfm")[1].labels.mood == ("mellow",)
    with pytest.raises(UsageError, match="spam"):
        find_tracks(tmp_path, "spam")


def tagged(path: Path, samples: np.ndarray, **tags: str) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="flac") as out:
        out.metadata.update(tags)
        sound = out.add_stream("flac", RATE)
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = RATE
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


def test_the_tags_of_files_are_labels(tmp_path: Path) -> None:
    short = tune((60, 64, 67), seconds=0.5)
    tagged(
        tmp_path / "a.flac",
        short,
        genre="Jazz; Funk",
        date="1974",
        MOOD="calm",
        BPM="104",
        INITIALKEY="Am",
        artist="Ann",
    )
    tagged(tmp_path / "b.flac", short, date="19999", genre="Rock")
    first, second = find_tracks(tmp_path)
    assert first.labels == TrackLabels(("Jazz", "Funk"), ("calm",), (), ("1970s",), 104.0, "A minor")
    assert first.song == "Ann"
    assert second.labels == TrackLabels(genre=("Rock",)), "a year of 19999 is unknown"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nowhere: not found; give a folder of music"):
        find_tracks(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="empty holds no recordings; give a folder of music to --data"):
        find_tracks(tmp_path / "empty")


def test_estimates_fill_what_is_not_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", tune((60, 62, 64, 65, 67, 64, 62, 60), seconds=8.0))
    (tmp_path / "b.wav").write_bytes(b"no sound")
    tracks = [
        ConceptTrack(path, TrackLabels(genre=("Jazz",)), "a", "train"),
        ConceptTrack(path, TrackLabels(tempo=55.0), "a", "train"),
        ConceptTrack(tmp_path / "b.wav", TrackLabels(), "b", "train"),
        ConceptTrack(tmp_path / "lost.wav", TrackLabels(), "lost", "train"),
    ]
    monkeypatch.setattr(estimates, "LEAST_PROBABILITY", 0.0)
    said: list[str] = []
    first = estimate_labels(tracks, tmp_path / "work", jobs=1, announce=said.append)
    assert said == ["estimating tempo and key of 2 recordings without such tags"]
    assert first[0].labels.key is not None and first[0].labels.genre == ("Jazz",)
    assert first[1].labels.tempo == 55.0 and first[1].labels.key == first[0].labels.key
    assert first[2:] == tuple(tracks[2:])
    assert estimate_labels(tracks, tmp_path / "work", jobs=1, announce=said.append) == first and len(said) == 1
    kept = json.loads((tmp_path / "work" / "estimates.json").read_text())
    probability = next(value[3] for value in kept.values() if value[2])
    monkeypatch.setattr(estimates, "LEAST_PROBABILITY", probability + 0.001)
    assert estimate_labels(tracks, tmp_path / "work", jobs=1)[0].labels.key is None
