"""Labelled datasets: their layouts, what they say when something is missing, and the conventions of MERIT by name."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from probe_trees import TREES, tone

from conftest import write
from soundalike.audio.datasets.ballroom import REPLICAS
from soundalike.audio.datasets.listening import has_majority
from soundalike.audio.datasets.slakh2100 import STEM_CLASSES, stem_class
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item


def items(name: str, root: Path, **options: object) -> list[Item]:
    return list(plugins.load("datasets", name, root=root, **options).items())


def test_every_labelled_dataset_has_a_tree() -> None:
    assert set(TREES) | {"folder", "labelled"} == set(plugins.names("datasets"))


@pytest.mark.parametrize("name", TREES)
def test_labelled_datasets_follow_the_contract(name: str, tmp_path: Path) -> None:
    dataset = plugins.load("datasets", name, root=TREES[name](tmp_path / "data"))
    assert dataset.missing() is None
    found = list(dataset.items())
    assert found == list(dataset.items())
    assert len({item.path for item in found}) == len(found) > 3
    for item in found:
        assert item.labels["label"] and item.labels["song"]
        assert item.path.is_file() and all(file.is_file() for file in item.stems.values())
    about = dataset.about
    assert all((about.title, about.citation, about.licence, about.home, about.layout))


@pytest.mark.parametrize("name", TREES)
def test_what_is_missing_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    dataset = plugins.load("datasets", name, root=empty)
    problem = dataset.missing()
    assert str(empty) in problem and "\n" not in problem and "expected" in problem
    with pytest.raises(UsageError) as caught:
        list(dataset.items())
    assert str(caught.value) == problem
    with pytest.raises(UsageError, match=r"none: not found; give a folder of .*: ") as caught:
        plugins.load("datasets", name, root=tmp_path / "none")
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: is a file; give a folder of"):
        plugins.load("datasets", name, root=tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "removed", "message"),
    [
        ("musdb18hq", "train/Dog - Two/drums.wav", r"lacks train/Dog - Two/drums.wav; expected \{train,test\}/"),
        ("stem_table", "Dog/bass0.wav", r"1 of its files do not exist: data/Dog/bass0.wav"),
        ("covers80", "coversongs/covers32k/list2.list", "holds no list2.list; expected"),
        (
            "covers80",
            "coversongs/covers32k/Lodi/bob+Live_Vol.1+02-Lodi.wav",
            "lacks 1 recordings of the lists: Lodi",
        ),
        ("slakh2100", "test/Track00001/stems/S03.flac", r"lacks Track00001/stems/S03.flac; expected \{train,"),
        ("slakh2100", "train/Track00002/mix.flac", "lacks Track00002/mix.flac"),
        ("slakh2100", "test/Track00003/metadata.yaml", "lacks Track00003/metadata.yaml"),
        ("inst_sim_abx", "csvs/inst_sim_abx_answers.csv", "holds no csvs/inst_sim_abx_answers.csv; expected"),
        ("inst_sim_abx", "sample_configs/dict_triplet_202407.json", "holds no sample_configs/dict_triplet_"),
        ("inst_sim_abx", "set3/0/mix/X_4-0.wav", "lacks 1 clips: set3/0/mix/X_4-0.wav; expected"),
        ("jamendo_instruments", "audio/02/1002.mp3", "lacks 1 recordings of .*test.tsv: 02/1002.mp3"),
        ("jamendo_instruments", "data/splits/split-0/autotagging_instrument-test.tsv", "holds no splits/split-0/"),
    ],
)
def test_a_missing_file_is_named(name: str, removed: str, message: str, tmp_path: Path) -> None:
    root = TREES[name](tmp_path / "data")
    (root / removed).unlink()
    with pytest.raises(UsageError, match=message) as caught:
        items(name, root)
    assert "\n" not in str(caught.value)


def test_a_missing_dance_is_named(tmp_path: Path) -> None:
    root = TREES["ballroom"](tmp_path)
    for dance in ("Jive", "Tango"):
        for file in (root / "BallroomData" / dance).iterdir():
            file.unlink()
    with pytest.raises(UsageError, match="lacks recordings of 2 of 8 classes: Jive, Tango; expected BallroomData/"):
        items("ballroom", root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("song,path\n", "has no column stem_class; expected song, path, stem_class"),
        ("song,path,stem_class\n,a.wav,bass\n", "line 2: song, path, stem_class must not be empty"),
        ("song,path,stem_class\n", "names no song with a stem of every class"),
    ],
)
def test_invalid_tables_of_stems(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "stems.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        items("stem_table", tmp_path)
    (tmp_path / "stems.csv").write_bytes(b"song,path,stem_class\n\xff,a,b\n")
    with pytest.raises(UsageError, match="is not a UTF-8 CSV file"):
        items("stem_table", tmp_path)


@pytest.mark.parametrize(("content", "message"), [("a\tb\n", "the first line is not TRACK_ID"), ("", "the first line")])
def test_invalid_tables_of_jamendo(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "autotagging_instrument.tsv").write_text(content)
    with pytest.raises(UsageError, match=message):
        items("jamendo_instruments", tmp_path, part="all")


def test_uneven_lists_of_covers(tmp_path: Path) -> None:
    root = TREES["covers80"](tmp_path)
    (root / "coversongs/covers32k/list2.list").write_text("Lodi/a\n")
    with pytest.raises(UsageError, match="the lists hold 4 and 1 names; expected as many in both"):
        items("covers80", root)


def test_musdb_leaves_the_mixture_out(tmp_path: Path) -> None:
    found = items("musdb18hq", TREES["musdb18hq"](tmp_path))
    assert Counter(item.labels["label"] for item in found) == dict.fromkeys(("bass", "drums", "other", "vocals"), 3)
    assert {item.labels["song"] for item in found if item.labels["subset"] == "test"} == {"Eel - Three"}


def test_stems_of_a_class_belong_together(tmp_path: Path) -> None:
    found = items("stem_table", TREES["stem_table"](tmp_path / "mine"))
    assert len(found) == 8, "the song without vocals is left out"
    (several,) = [item for item in found if len(item.stems) > 1]
    assert several.labels == {"label": "other", "song": "Cat"}
    assert [path.stem for path in several.stems.values()] == ["other0", "other1"]


def test_stems_may_have_the_same_name_in_other_folders(tmp_path: Path) -> None:
    paths = [write(tmp_path / place / "drums.wav", tone(100, 2)) for place in ("close", "room")]
    lines = [f"Cat,{path.relative_to(tmp_path).as_posix()},x,drums,1.2" for path in paths]
    (tmp_path / "stems.csv").write_text("\n".join(["song,path,instrument,stem_class,seconds", *lines]) + "\n")
    (item,) = items("stem_table", tmp_path)
    assert list(item.stems.values()) == paths


def test_ballroom_conventions(tmp_path: Path) -> None:
    root = TREES["ballroom"](tmp_path)
    ours, theirs = items("ballroom", root), items("ballroom", root, rumba="separate", keep_replicas=True)
    assert len(ours) == len(theirs) - 1
    assert "Albums-Latin_Jam2-13" not in {item.path.stem for item in ours}
    assert Counter(item.labels["label"] for item in ours)["Rumba"] == 4
    assert {"Rumba-International", "Rumba-Misc"} <= {item.labels["label"] for item in theirs}
    assert [item.path for item in theirs] == sorted(item.path for item in theirs)
    assert items("ballroom", root / "BallroomData") == ours


def test_the_replicas_are_thirteen_different_recordings() -> None:
    assert len(REPLICAS) == 13 and len({name for pair in REPLICAS for name in pair}) == 26


def test_covers_come_from_the_lists_or_from_the_folders(tmp_path: Path) -> None:
    root = TREES["covers80"](tmp_path)
    lists, folders = items("covers80", root), items("covers80", root, pairs="folders")
    assert len(lists) == 8 and len(folders) == 9
    assert [item.labels["version"] for item in lists] == ["1", "2"] * 4
    assert [item.labels["version"] for item in folders if item.labels["label"] == "Lodi"] == ["1", "2", ""]
    assert items("covers80", root / "coversongs" / "covers32k") == lists


def test_tracks_of_jamendo_have_several_labels(tmp_path: Path) -> None:
    root = TREES["jamendo_instruments"](tmp_path)
    found = items("jamendo_instruments", root)
    assert found == items("jamendo_instruments", root, part="all")
    assert found[1].labels == {"label": "guitar,voice", "song": "artist_1", "album": "album_1"}
    (root / "audio/01/1001.mp3").rename(root / "audio/01/1001.low.mp3")
    assert items("jamendo_instruments", root)[0].path.name == "1001.low.mp3"


@pytest.mark.data
def test_ten_songs_of_the_recordings_have_all_classes(data: Path) -> None:
    found = items("stem_table", data / "musicdelta")
    assert len(found) == 40 and len({item.labels["song"] for item in found}) == 10


def test_slakh_classes_and_the_redux_split(tmp_path: Path) -> None:
    root = TREES["slakh2100"](tmp_path / "slakh")
    found = items("slakh2100", root)
    assert Counter(item.labels["label"] for item in found) == dict.fromkeys(STEM_CLASSES[:-1], 4)
    guitars = next(item for item in found if item.labels["label"] == "guitar")
    assert list(guitars.stems) == ["S03", "S04"] and guitars.labels["subset"] == "test"
    redux = tmp_path / "redux.json"
    redux.write_text(
        '{"Track00001": {"action": "omit", "source_split": "test"}, "Track00002": {"action": null, "source_split": '
        '"validation"}}'
    )
    tracks = plugins.load("datasets", "slakh2100", root=root, redux=redux).tracks()
    assert [(track.name, track.subset) for track in tracks] == [
        ("Track00003", "test"), ("Track00002", "validation"), ("Track00004", "train"),
    ]  # fmt: skip
    assert [stem.program for stem in tracks[0].stems] == [0, 33, 128, 27, 30, 48]
    assert tracks[0].stems[0].loudness == -13.5
    for text, message in (("{", "is not the file redux.json"), ('{"a": 1}', "is not the file redux.json")):
        redux.write_text(text)
        with pytest.raises(UsageError, match=message):
            plugins.load("datasets", "slakh2100", root=root, redux=redux)
    (root / "test/Track00001/metadata.yaml").write_text("stems:\n  S00:\n    inst_class: Piano\n")
    with pytest.raises(UsageError, match="stem S00 has no valid program_num"):
        items("slakh2100", root)


@pytest.mark.parametrize(
    ("program", "drum", "sung", "label"),
    [
        (0, False, False, "piano"), (7, False, False, "piano"), (8, False, False, "residuals"),
        (24, False, False, "guitar"), (31, False, False, "guitar"), (32, False, False, "bass"),
        (39, False, False, "bass"), (40, False, False, "residuals"), (128, False, False, "drums"),
        (0, True, False, "drums"), (52, False, True, "vocals"),
    ],
)  # fmt: skip
def test_classes_follow_the_program(program: int, drum: bool, sung: bool, label: str) -> None:
    assert stem_class(program, is_drum=drum, sung=sung) == label


def test_votes_and_segments_of_inst_sim_abx(tmp_path: Path) -> None:
    dataset = plugins.load("datasets", "inst_sim_abx", root=TREES["inst_sim_abx"](tmp_path / "abx"))
    ballots = dataset.ballots()
    assert len(ballots) == 6 and ballots[0].votes["total"] == (5, 0) and ballots[0].votes["timbre"] == (0, 0)
    segment = dataset.segments()["set2/0/mix/X_3-0.wav"]
    assert (segment.track, segment.start, segment.end) == ("Track00003", 0.0, 1.2)
    assert {item.labels["song"] for item in dataset.items()} == {f"Track0000{n}" for n in (1, 2, 3, 4)}
    config = tmp_path / "abx/sample_configs/dict_triplet_202407.json"
    config.write_text('{"0": {"0": {"test2": {"mix": {"X": {"ID": 1}}}}}}')
    with pytest.raises(UsageError, match="dict_triplet_202407.json: not as published"):
        dataset.segments()


@pytest.mark.parametrize(
    ("votes", "strict", "loose"),
    [((3, 1), False, True), ((4, 1), True, True), ((2, 2), False, False), ((0, 0), False, False)],
)
def test_thresholds_of_majorities(votes: tuple[int, int], strict: bool, loose: bool) -> None:
    assert has_majority(votes, Fraction(3, 4)) == strict
    assert has_majority(votes, Fraction(3, 4), strict=False) == loose
