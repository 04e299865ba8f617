"""`soundalike train concepts` on recordings: from tags to a model, again, and what goes wrong in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_concept_tracks import tagged

from conftest import RATE
from soundalike.backbones.analysis import InputSettings
from soundalike.cli.main import main

pytest.importorskip("torch", reason="concepts are trained with torch")
pytest.importorskip("onnx", reason="models of concepts are written with onnx")

from toy_concepts import toy_settings

from soundalike.audio import TrackLabels
from soundalike.cli.train.concepts_network import library_music
from soundalike.demo import load_clips
from soundalike.library import LibraryFolder
from soundalike.models import Model
from soundalike.train.common import CalibrationClip


def sound(kind: int, number: int, seconds: float = 2.0) -> np.ndarray:
    """Noise, or a chord: genres that differ."""
    random = np.random.default_rng([kind, number])
    t = np.arange(round(seconds * RATE)) / RATE
    if kind:
        return (0.1 * random.standard_normal(len(t))).astype(np.float32)
    chord = sum(np.sin(2 * np.pi * 220 * 2 ** (step / 12) * t) for step in (0, 4 + number % 3, 7))
    return (0.1 * chord).astype(np.float32)


@pytest.fixture(scope="module")
def tagged_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty recordings of fifteen artists in two genres; a few have a mood, all are of one year."""
    folder = tmp_path_factory.mktemp("music")
    for number in range(30):
        tags = {"genre": ("Tonal", "Noise")[number % 2], "date": "1994", "artist": f"Artist {number // 2}"}
        if number < 4:
            tags["MOOD"] = "calm"
        tagged(folder / f"{number:02d}.flac", sound(number % 2, number), **tags)
    return folder


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = InputSettings(bands=24, lags=36, chroma=12, seconds=1.0)
    settings = toy_settings(inputs=inputs, epochs=2, steps_per_epoch=4, batch=8, validation=16, dim=6)
    monkeypatch.setattr("soundalike.cli.train.concepts_network.SMALL", settings)


def train(music: Path, work: Path, *options: object) -> int:
    given = ["--data", music, "--work", work, "--no-estimates", "--inputs", "mel", "--segments", 2, "--jobs", 1]
    return main(["train", "concepts", *map(str, given), *map(str, options)])


def test_concepts_are_learned_from_tags_once(
    tagged_music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tagged_music, tmp_path, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["concept"] for one in record["concepts"]] == ["genre"]
    assert set(record["left_out"]) == {"mood", "instrument", "era", "tempo", "key"}
    assert "tracks: all " in record["left_out"]["era"] and "(1990s)" in record["left_out"]["era"]
    assert "no track is labelled" in record["left_out"]["key"]
    assert sum(record["tracks"].values()) == 30 and record["segments"]["train"] == 2 * record["tracks"]["train"]
    assert not record["found"] and record["out"] is None
    genre = record["concepts"][0]
    assert genre["labelled"] == 30 and (genre["n"] == 1000 or genre["lacking"])
    assert train(tagged_music, tmp_path) == 0
    printed = capsys.readouterr()
    assert "era: n/a, train tracks: all " in printed.out and "computing inputs" not in printed.err
    assert "epoch" not in printed.err, "the network was there"


def test_each_concept_can_have_a_network_of_its_own(
    tagged_music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [CalibrationClip(one.path, (one.tune, one.groove, one.instruments)) for one in load_clips()[::7]]
    monkeypatch.setattr("soundalike.cli.models.clips.calibration_clips", lambda: clips)
    table = tmp_path / "music" / "labels.csv"
    shutil.copytree(tagged_music, table.parent)
    rows = [
        f"{number:02d}.flac,{90 + 30 * (number % 2)},{'AC'[number // 2 % 2]} major,{number // 2}"
        for number in range(30)
    ]
    table.write_text("\n".join(["path,tempo,key,song", *rows]))
    work, out = tmp_path / "work", tmp_path / "made"
    inputs = ("--inputs", "mel,tempogram,chroma")  # tempo and key read two of them
    options = ("--dataset", "labelled", "--separate", *inputs, "--json", "-o", out)
    assert train(table.parent, work, *options) == 0
    record = json.loads(capsys.readouterr().out)
    assert [Path(file).name for file in record["files"]] == ["concepts.tempo.safetensors", "concepts.key.safetensors"]
    assert [len(record["curves"][f"concepts.{name}"]) for name in ("tempo", "key")] == [2, 2]
    assert [one["concept"] for one in record["concepts"]] == ["tempo", "key"]
    model = Model.load(str(out))
    assert [space.name for space in model.spaces] == ["tempo", "key"]
    found = model.encode(tagged_music / "00.flac").track.rows["key"]
    assert found.shape == (1, 6)
    assert "- tempo: epoch " in (out / "card.md").read_text()
    assert train(table.parent, work, *options[:-2]) == 0
    assert json.loads(capsys.readouterr().out)["found"]


@pytest.mark.slow
def test_a_network_becomes_a_model(tagged_music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [CalibrationClip(one.path, (one.tune, one.groove, one.instruments)) for one in load_clips()[::7]]
    monkeypatch.setattr("soundalike.cli.models.clips.calibration_clips", lambda: clips)
    out = tmp_path / "made"
    assert train(tagged_music, tmp_path / "work", "-o", out, "--licence", "CC0-1.0") == 0
    model = Model.load(str(out))
    assert [space.name for space in model.spaces] == ["genre"] and model.spaces[0].dim == 6
    row = model.encode(tagged_music / "00.flac").track.rows["genre"]
    assert row.shape == (1, 6) and np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)
    card = (out / "card.md").read_text()
    assert "| licence of the weights | CC0-1.0 |" in card and "mel (24 x" in card


@pytest.mark.slow
def test_rendered_clips_join_the_recordings_of_a_folder(
    tagged_music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tagged_music, tmp_path, "--rendered", "--clips", 12, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert sum(record["tracks"].values()) == 30 + 12
    genre = next(one for one in record["concepts"] if one["concept"] == "genre")
    assert genre["labelled"] == 30, "proxies would tell clips from recordings"
    assert "12 are" not in record["left_out"]["tempo"]


def test_the_recordings_of_a_library(stocked: Path) -> None:
    with LibraryFolder(stocked) as library:
        paths = [track.path for track in library.catalog.tracks()]
    given = {paths[0]: TrackLabels(mood=("calm",))}
    found = library_music(stocked, "track", given, seed=0)
    assert found.name == f"library {stocked.name}"
    assert [track.path for track in found.tracks] == paths
    assert found.tracks[0].labels == given[paths[0]] and len({track.song for track in found.tracks}) == len(paths)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dimensions", "era"], "era cannot be learned; train tracks: all .* are alike .1990s.; expected"),
        (["--dimensions", "tempo,key"], "tempo cannot be learned; train tracks: no track is labelled"),
        (["--dimensions", "colour"], "unknown dimension colour; known: genre, mood, instrument, era, tempo, key"),
        (["--embedding", "64"], "an embedding of 64 dims cannot be divided among 6 concepts; expected a multiple"),
        (["--inputs", "mel,beats"], "inputs are mel, beats; expected some of mel, tempogram, chroma"),
        (["--full"], "--data and --full exclude each other"),
        (["--rendered", "--full"], "--data and --full exclude each other"),
        (["--labels", "labels.csv"], "--labels is for libraries; name the table labels.csv in the folder of --data"),
        (["--dataset", "gtzan"], "lacks recordings of 10 of 10 genres"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained(
    options: list[str], message: str, tagged_music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tagged_music, tmp_path / "work", *options) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error


def test_recordings_without_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        tagged(tmp_path / "music" / f"{number}.flac", sound(0, number))
    assert train(tmp_path / "music", tmp_path / "work") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "nothing can be learned" in line]
    assert len(lines) == 1 and "from 4 recordings; genre: train tracks: no track is labelled (of 2)" in lines[0]


def test_options_that_belong_together(tagged_music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "concepts", "--data", str(tagged_music)]) == 2
    assert "--data needs --work, the folder for inputs and the network" in capsys.readouterr().err
    assert main(["train", "concepts"]) == 2
    assert "missing option -o, the folder of the model" in capsys.readouterr().err
