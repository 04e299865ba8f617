"""`soundalike evaluate concepts`: labels from tags, tables and datasets, and the accuracy of spaces."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from probe_trees import tone

from conftest import RATE, write
from soundalike.audio import TrackLabels
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate.labelled_songs import read_labelled_songs
from soundalike.evaluate.reports import load_reports

SONGS = {"low1": (110, 20), "low2": (116, 20), "high1": (880, 1), "high2": (932, 1)}
"""Pitches and overtones: the timbre of low songs is alike, and so is that of high ones."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs with labels in a table: instruments by timbre, and keys of which no two are alike."""
    root = tmp_path_factory.mktemp("songs")
    lines = [["path", "instrument", "tempo", "key"]]
    for (name, (pitch, harmonics)), key in zip(
        SONGS.items(), ("C major", "D major", "E minor", "F minor"), strict=True
    ):
        write(root / f"{name}.wav", tone(pitch, harmonics))
        lines.append([f"{name}.wav", "organ,bass" if name.startswith("low") else "flute", "", key])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return root


def evaluate(folder: Path, *options: str) -> Report:
    assert main(["evaluate", "concepts", *options, "--model", "dsp", "--jobs", "1", "--save", str(folder)]) == 0
    (report,) = load_reports(folder / "concepts-dsp.json")
    return report


def test_labels_of_a_table(tree: Path, tmp_path: Path) -> None:
    report = evaluate(tmp_path, "--data", str(tree), "--labels", str(tree / "labels.csv"), "--triplets", "40")
    assert report.rows == ("melody", "rhythm", "timbre", "harmony", "all") and report.columns == ("instrument",)
    assert report.n.tolist() == [[40]] * 5 and report.chance.tolist() == [50]
    timbre = report.rows.index("timbre")
    assert report.values[timbre, 0] == report.low[timbre, 0] == report.high[timbre, 0] == 100
    assert report.title == "Concepts, passages: 4 recordings of 4 songs"
    assert report.command == "soundalike evaluate concepts --data DIR --labels FILE --triplets 40 --model dsp"
    notes = " ".join(report.notes)
    assert "Labelled recordings: instrument 4." in notes
    assert "n/a: no recording is labelled: genre, mood, era, tempo." in notes
    assert "n/a: key gives no triplets: 4 of 4 recordings have a label; expected two songs that are alike" in notes


def test_sections_are_another_convention(tree: Path, tmp_path: Path) -> None:
    options = ("--data", str(tree), "--labels", str(tree / "labels.csv"), "--triplets", "8", "--clip", "sections")
    report = evaluate(tmp_path, *options)
    assert report.title.startswith("Concepts, sections:") and "--clip sections" in report.command


def test_labels_of_tags(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    with sf.SoundFile(path, "w", RATE, 1) as file:
        file.genre, file.date, file.artist = "Jazz", "1974-05-01", "Somebody"
        file.write(np.zeros(RATE, np.float32))
    write(tmp_path / "untagged.wav", tone(200, 2))
    tagged, untagged = read_labelled_songs(tmp_path)
    assert tagged.labels == TrackLabels(genre=("Jazz",), era=("1970s",)) and tagged.song == "Somebody"
    assert untagged.labels == TrackLabels() and untagged.song == str(tmp_path / "untagged.wav")


def test_no_labels_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "untagged.wav", tone(200, 2))
    assert main(["evaluate", "concepts", "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        "has no labels to judge by: no recording is labelled: genre, mood, instrument" in error
        and error.count("\n") == 1
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,genre\n", r"has the columns file, genre; expected path and some of genre, mood"),
        ("path,title\n", r"has the columns path, title; expected path and some of genre, mood"),
        ("path,tempo\n", r"names no recordings"),
        ("path,tempo\nlow1.wav,brisk\n", r"line 2: the tempo is 'brisk'; expected a number of BPM"),
        ("path,tempo\nlow1.wav,90\ngone.wav,90\n", r"lacks 1 of the recordings in table.csv, such as gone.wav"),
        ("", r"has the columns \(none\)"),
    ],
)
def test_bad_tables_are_one_line(tree: Path, tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(UsageError, match=message) as error:
        read_labelled_songs(tree, table=tmp_path / "table.csv")
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_labelled_songs(tree, table=tmp_path / "none.csv")


def test_parts(tmp_path: Path) -> None:
    for genre in ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"):
        for number in range(2):
            write(tmp_path / genre / f"{genre}.0000{number}.wav", tone(200, 2, 0.3))
    (tmp_path / "test_filtered.txt").write_text("".join(f"{name}/{name}.00001.wav\n" for name in ("blues", "rock")))
    for name in ("train", "valid"):
        (tmp_path / f"{name}_filtered.txt").write_text("blues/blues.00000.wav\n" if name == "train" else "")
    chosen = read_labelled_songs(tmp_path, "gtzan", part="test")
    assert [one.labels.genre for one in chosen] == [("blues",), ("rock",)]
    with pytest.raises(UsageError, match="no recordings of the part dev; its parts: test, train; or give --part all"):
        read_labelled_songs(tmp_path, "gtzan", part="dev")
