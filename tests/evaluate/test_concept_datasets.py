"""Datasets with labels of concepts: GTZAN, MTG-Jamendo, the Million Song Dataset with tags, and Dim-sim."""

from __future__ import annotations

from pathlib import Path

import pytest
from concept_trees import DIM_SIM_HEADER, GENRES, dim_sim, gtzan, msd_lastfm, mtg_jamendo, track_name

from soundalike.audio.datasets.dim_sim import create as open_dim_sim
from soundalike.audio.datasets.msd_lastfm import TAGS
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Item
from soundalike.train.concepts.tracks import find_tracks


def items(name: str, root: Path, **options: object) -> list[Item]:
    return list(plugins.load("datasets", name, root=root, **options).items())


def test_a_table_labels_the_recordings_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    table = tmp_path / "labels.csv"
    table.write_text('path,genre,tempo,song,subset\na.wav,"jazz,swing",112,blue,train\nb.wav,,,,\n')
    one, other = items("labelled", tmp_path)
    assert one.labels == {"genre": "jazz,swing", "tempo": "112", "song": "blue", "subset": "train"}
    assert other == Item(tmp_path / "b.wav", labels={})
    first, second = find_tracks(tmp_path, "labelled")
    assert (first.labels.tempo, first.song, first.subset) == (112.0, "blue", "train")
    assert second.song == str(tmp_path / "b.wav")
    table.write_text("path,tempo\na.wav,fast\n")
    with pytest.raises(UsageError, match=r"labels\.csv, line 2: the tempo is 'fast'; expected a number of BPM"):
        items("labelled", tmp_path)
    with pytest.raises(UsageError, match=r"labels\.csv cannot be read: No such file"):
        items("labelled", tmp_path / "none")


def test_gtzan_without_lists_has_all_excerpts(tmp_path: Path) -> None:
    found = items("gtzan", gtzan(tmp_path))
    assert len(found) == 2 * len(GENRES)
    assert found[2].labels == {"label": "classical", "genre": "classical", "song": "classical.00000"}


def test_gtzan_uses_the_lists_of_the_filtered_split(tmp_path: Path) -> None:
    gtzan(tmp_path)
    for subset, take in (("train", "00000"), ("valid", "00001")):
        names = [f"{genre}/{genre}.{take}.wav" for genre in GENRES[:3]]
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(names) + "\n")
    with pytest.raises(UsageError, match="holds a list of the fault-filtered split, but lacks test_filtered.txt"):
        items("gtzan", tmp_path)
    (tmp_path / "test_filtered.txt").write_text("rock/rock.00001.wav\n")
    found = items("gtzan", tmp_path)
    assert [item.labels["subset"] for item in found] == ["train", "validation"] * 3 + ["test"]
    (tmp_path / "test_filtered.txt").write_text("rock/rock.00077.wav\n")
    with pytest.raises(UsageError, match="lacks 1 recordings of the lists: rock.00077"):
        items("gtzan", tmp_path)


def test_gtzan_names_genres_without_recordings(tmp_path: Path) -> None:
    gtzan(tmp_path)
    for file in (tmp_path / "genres" / "jazz").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="lacks recordings of 1 of 10 genres: jazz; expected genres/<genre>/"):
        items("gtzan", tmp_path)


def test_jamendo_has_all_kinds_of_tags(tmp_path: Path) -> None:
    found = items("mtg_jamendo", mtg_jamendo(tmp_path))
    assert [item.labels["subset"] for item in found] == ["train"] * 8 + ["validation"] * 4 + ["test"] * 4
    assert found[0].labels == {
        "genre": "rock", "mood": "happy", "instrument": "guitar", "era": "2000s", "label": "rock,happy,guitar,2000s",
        "song": "artist_train_0", "album": "album_1", "subset": "train",
    }  # fmt: skip
    assert found[1].labels["genre"] == "rock,pop" and found[1].labels["era"] == "1990s"
    assert "mood" not in found[1].labels
    assert "era" not in found[2].labels, "a date of zeros is not known"
    assert "era" not in found[3].labels


def test_jamendo_can_be_partial(tmp_path: Path) -> None:
    mtg_jamendo(tmp_path)
    (tmp_path / "audio" / "02" / "1002.mp3").unlink()
    with pytest.raises(UsageError, match="lacks 1 recordings of autotagging-train.tsv: 02/1002.mp3"):
        items("mtg_jamendo", tmp_path)
    assert len(items("mtg_jamendo", tmp_path, partial=True)) == 15
    for number in (1013, 1014, 1015, 1016):
        (tmp_path / "audio" / f"{number % 100}" / f"{number}.mp3").unlink()
    with pytest.raises(UsageError, match="holds none of 4 recordings of .*autotagging-test.tsv"):
        items("mtg_jamendo", tmp_path, partial=True)


def test_jamendo_works_without_dates_and_refuses_wrong_ones(tmp_path: Path) -> None:
    mtg_jamendo(tmp_path)
    (tmp_path / "data" / "raw.meta.tsv").write_text("TRACK_ID\tDATE\n")
    with pytest.raises(UsageError, match="raw.meta.tsv has no column RELEASEDATE"):
        items("mtg_jamendo", tmp_path)
    (tmp_path / "data" / "raw.meta.tsv").unlink()
    assert not any("era" in item.labels for item in items("mtg_jamendo", tmp_path))
    with pytest.raises(UsageError, match="the split is 7; expected 0 to 4"):
        items("mtg_jamendo", tmp_path, split=7)


def test_the_tags_of_last_fm_are_in_four_groups(tmp_path: Path) -> None:
    assert sum(map(len, TAGS.values())) == len({tag for tags in TAGS.values() for tag in tags}) == 50
    found = {item.path.stem: item.labels for item in items("msd_lastfm", msd_lastfm(tmp_path))}
    assert track_name(3) not in found, "it has none of the tags"
    assert found[track_name(0)] == {"genre": "rock", "era": "1980s", "label": "rock,1980s", "song": "Ann"}
    assert found[track_name(1)]["mood"] == "mellow" and found[track_name(1)]["instrument"] == "female vocalists"
    assert found[track_name(2)]["era"] == "1960s", "from its year"
    assert found[track_name(4)]["genre"].split(",") == ["jazz", "house"] and found[track_name(4)]["song"] == track_name(
        4
    )
    weighty = {item.path.stem: item.labels for item in items("msd_lastfm", tmp_path, least=50.0)}
    assert weighty[track_name(4)]["genre"] == "house" and "mood" not in weighty[track_name(1)]


def test_the_tags_of_last_fm_in_files_give_subsets(tmp_path: Path) -> None:
    found = {item.path.stem: item.labels for item in items("msd_lastfm", msd_lastfm(tmp_path, database=False))}
    assert found[track_name(0)]["subset"] == "train" and found[track_name(2)]["subset"] == "test"
    same = {item.path.stem: item.labels for item in items("msd_lastfm", msd_lastfm(tmp_path / "database"))}
    assert {k: v["label"] for k, v in found.items()} == {k: v["label"] for k, v in same.items()}


def test_invalid_files_of_the_million_song_dataset(tmp_path: Path) -> None:
    root = msd_lastfm(tmp_path)
    (root / "tracks_per_year.txt").write_text(f"19999<SEP>{track_name(0)}<SEP>Ann<SEP>Song\n")
    with pytest.raises(UsageError, match="tracks_per_year.txt, line 1: the year is '19999'; expected 1000 to 2999"):
        items("msd_lastfm", root)
    (root / "tracks_per_year.txt").unlink()
    (root / "lastfm_tags.db").write_bytes(b"no database, but long enough to be read as one" * 40)
    with pytest.raises(UsageError, match="lastfm_tags.db cannot be read as the tags of Last.fm"):
        items("msd_lastfm", root)
    (root / "lastfm_tags.db").unlink()
    with pytest.raises(UsageError, match="holds neither lastfm_tags.db nor lastfm_train; expected"):
        items("msd_lastfm", root)


def write_votes(root: Path, header: str, *rows: str) -> None:
    names = [track_name(number) for number in range(4)]
    lines = [f"{names[0]},0,{names[1]},0,{names[2 + row.startswith('+')]},0,{row.lstrip('+')}" for row in rows]
    (root / "clean-dim-sim.csv").write_text("\n".join([header, *lines]) + "\n")


def test_dim_sim_orders_the_songs_by_the_votes(tmp_path: Path) -> None:
    found = open_dim_sim(dim_sim(tmp_path)).triplets()
    assert len(found) == 6
    assert (found[0].positive.stem, found[0].negative.stem) == (track_name(3), track_name(1))
    assert (found[1].positive.stem, found[1].negative.stem) == (track_name(2), track_name(4))
    assert found[0].starts == (0.0, 0.2, 0.1) and found[1].starts == (0.0, 0.1, 0.2)
    assert {one.agreement for one in found} == {1.0}


def test_dim_sim_counts_listeners(tmp_path: Path) -> None:
    dim_sim(tmp_path)
    write_votes(tmp_path, f"{DIM_SIM_HEADER},song2_vote", "9,1", "+4,2")
    found = open_dim_sim(tmp_path).triplets()
    assert [(one.votes, round(one.agreement, 3)) for one in found] == [(10, 0.9), (6, 0.667)]
    assert len(open_dim_sim(tmp_path).triplets(0.9)) == 1
    write_votes(tmp_path, DIM_SIM_HEADER, *["1"] * 3, "0", "+1", "+0")  # one line per listener, and a tie
    (only,) = open_dim_sim(tmp_path).triplets()
    assert (only.votes, only.agreement) == (4, 0.75)
    write_votes(tmp_path, DIM_SIM_HEADER, "0.25")  # the share of listeners
    assert open_dim_sim(tmp_path).triplets()[0].agreement == 0.75
    with pytest.raises(UsageError, match="has an agreement of 0.9 or more"):
        open_dim_sim(tmp_path).triplets(0.9)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("anchor_id,song1_id", "1", "has no column anchor_start_seconds; expected anchor_id, anchor_start_seconds"),
        (DIM_SIM_HEADER, "often", "line 2: could not convert string to float: 'often'; expected numbers in"),
        (DIM_SIM_HEADER, "3", "line 2: an id is empty or a vote is out of range"),
    ],
)
def test_invalid_judgements(header: str, row: str, message: str, tmp_path: Path) -> None:
    dim_sim(tmp_path)
    write_votes(tmp_path, header, row)
    with pytest.raises(UsageError, match=message) as caught:
        items("dim_sim", tmp_path)
    assert "\n" not in str(caught.value)


def test_dim_sim_names_missing_recordings(tmp_path: Path) -> None:
    dim_sim(tmp_path)
    for number in (1, 4):
        (tmp_path / "audio" / f"{track_name(number)}.mp3").unlink()
    with pytest.raises(UsageError, match=f"lacks 2 of 6 recordings of clean-dim-sim.csv: {track_name(1)}, .*below it"):
        items("dim_sim", tmp_path)
