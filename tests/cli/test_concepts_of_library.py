"""From tags to concepts, by the commands: train, index, search, and suggestions of tags."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import soundalike
from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.cli.train.library_material import labels_of
from soundalike.models import Model
from tagged_library import TAGGED, UNTAGGED, make_library


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Clips, their library, and the model of concepts that it holds."""
    return make_library(tmp_path_factory.mktemp("tagged"))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_what_is_learned_and_what_is_missing(
    made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, library, model = made
    found = run(capsys, "train", "concepts", "--library", library, "-o", tmp_path / "again", "--name", "again")
    concepts = {one["concept"]: one for one in found["concepts"]}
    assert (found["input"], found["model"], found["tracks"]) == ("rows", "dsp", TAGGED + UNTAGGED)
    genre = concepts["genre"]["accuracy"]
    assert genre["value"] > 0.8 and genre["n"] >= 20 and genre["low"] <= genre["value"] <= genre["high"]
    assert concepts["genre"]["tags"]["value"] > 0.8 and concepts["genre"]["lacking"] is None
    assert concepts["mood"]["lacking"] == "0 tracks are labelled; 20 more are needed"
    # The same seed gives the same weights, whatever the name.
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (model / "weights.safetensors").read_bytes()


def test_a_search_by_concept_and_factor(made: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    clips, library, _ = made
    found = run(capsys, "search", clips / "01.flac", "--library", library, "-w", "genre=1,rhythm=0.1", "-k", "8")
    with soundalike.open(library) as opened:
        genres = [opened.folder.catalog.track_at(Path(one["path"])).genre for one in found["matches"]]
    assert genres.count("Chiptune") <= 1
    assert set(found["matches"][0]["spaces"]) >= {"genre", "rhythm"}


def test_a_new_file_gets_rows_of_concepts(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    clips, _, model = made
    new = write(tmp_path / "new.wav", tune(TUNES["down"], seconds=2.5, harmonics=14))
    assert Model.load(model).encode(new).track.rows["genre"].any()
    with soundalike.open(made[1]) as opened:
        stored = opened.folder.vectors("track", str(model)).rows["genre"]
    assert abs(stored[3] @ Model.load(model).encode(clips / "03.flac").track.rows["genre"][0] - 1) < 1e-5


def test_tags_are_counted_suggested_and_written_only_when_asked(
    made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = Path(shutil.copytree(made[1], tmp_path / "library"))
    assert run(capsys, "library", "tags", "--library", library)["tagged"] == {
        "genre": TAGGED,
        "year": 0,
        "bpm": 0,
        "key": 0,
    }
    found = run(capsys, "library", "tags", "--library", library, "--suggest")
    genres = {Path(one["path"]).stem: one["label"] for one in found["suggestions"] if one["concept"] == "genre"}
    assert genres == {"24": "Chiptune", "25": "Rock", "26": "Chiptune", "27": "Rock"}
    assert all(0.5 <= one["probability"] <= 1 for one in found["suggestions"]) and found["written"] == 0
    assert run(capsys, "library", "tags", "--library", library)["tagged"]["genre"] == TAGGED
    one = run(capsys, "library", "tags", "--library", library, "--suggest", "--where", 'artist = "Artist 25"')
    assert {Path(each["path"]).stem for each in one["suggestions"]} == {"25"}
    assert run(capsys, "library", "tags", "--library", library, "--suggest", "--write")["written"] == UNTAGGED
    assert run(capsys, "library", "tags", "--library", library)["tagged"]["genre"] == TAGGED + UNTAGGED
    assert run(capsys, "library", "check", "--library", library)["ok"] is True
    assert main(["library", "tags", "--library", str(library), "--suggest", "--least", "0.6"]) == 0
    assert "with a probability of at least 0.6" in capsys.readouterr().out


def test_tags_that_cannot_be_labels_are_unknown(made: tuple[Path, Path, Path]) -> None:
    with soundalike.open(made[1]) as opened:
        track = next(iter(opened))
    usual = labels_of(replace(track, year=1994, bpm_tag=128.0, key_tag="A minor"))
    assert (usual.era, usual.tempo, usual.key) == (("1990s",), 128.0, "A minor")
    odd = labels_of(replace(track, year=19999, bpm_tag=1000.0))
    assert (odd.era, odd.tempo) == ((), None)


@pytest.mark.slow
def test_labels_of_a_file(made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, library, _ = made
    table = tmp_path / "labels.csv"
    lines = [f"{clips}/{n:02}.flac,{'guitar;drums' if n % 2 else 'square wave'},{100 + n}" for n in range(24)]
    table.write_text("\n".join(["path,instrument,tempo", *lines]))
    found = run(capsys, "train", "concepts", "--library", library, "-o", tmp_path / "mine", "--labels", table)
    instrument = next(one for one in found["concepts"] if one["concept"] == "instrument")
    assert instrument["labelled"] == 24 and instrument["accuracy"]["value"] > 0.8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,colour\na.wav,red\n", "has the columns path, colour; expected path and some of genre, mood"),
        ("genre\nJazz\n", "expected path and some of"),
        ("", "has the columns none"),
        ("path,tempo\na.wav,fast\n", "row 2: could not convert string to float: 'fast'"),
        ("path,tempo\na.wav,120\nb.wav,19999\n", "row 3: the tempo is 19999; expected 20 to 400 BPM"),
        ("path,key\na.wav,Q minor\n", "row 2: the key is"),
    ],
)
def test_wrong_label_files(
    made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(content)
    assert (
        main(["train", "concepts", "--library", str(made[1]), "-o", str(tmp_path / "x"), "--labels", str(table)]) == 2
    )
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_wrong_use(
    made: tuple[Path, Path, Path], stocked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, library, model = map(str, made)
    train, tags, out = ["train", "concepts", "-o", str(tmp_path / "x")], ["library", "tags"], ["--library", library]
    for arguments, message in (
        ([*train, "--library", str(stocked)], "no concept can be learned from this library"),
        ([*train, *out, "--model", model], "concepts cannot be learned"),
        ([*tags, "--library", str(stocked), "--suggest"], "holds no model of concepts; make one with"),
        ([*tags, *out, "--suggest", "--model", "dsp"], "was not learned from the tags"),
        ([*tags, *out, "--write"], "--least, --write and --model need --suggest"),
        ([*tags, *out, "--suggest", "--least", "7"], "--least is 7; expected a probability"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
