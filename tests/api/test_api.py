"""The Python interface: a library, its results, and what it accepts."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import soundalike
from conftest import TUNES, tune, write
from soundalike import (
    Audio,
    AudioError,
    Example,
    Library,
    LibraryBusyError,
    LibraryError,
    LibraryNotFoundError,
    Query,
    UsageError,
)
from soundalike.audio import load
from soundalike.library import LibraryFolder
from soundalike.search import search_library


@pytest.fixture
def opened(stocked: Path) -> Iterator[Library]:
    """The library of `music`, open for reading."""
    with soundalike.open(stocked) as library:
        yield library


@pytest.fixture
def own(stocked: Path, tmp_path: Path) -> Iterator[Library]:
    """A copy of the library of `music`, to write to."""
    shutil.copytree(stocked, tmp_path / "own")
    with soundalike.open(tmp_path / "own") as library:
        yield library


def test_a_library_is_made_filled_searched_and_closed(tmp_path: Path, made) -> None:
    songs = [made(f"in/{name}.wav", notes, seconds=2) for name, notes in TUNES.items()]
    library = soundalike.open(str(tmp_path / "new"), create=True)
    assert (len(library), library.models, bool(library)) == (0, (), True)
    assert repr(library) == f"Library({str(tmp_path / 'new')!r}, 0 tracks, models: none yet)"
    report = library.index(str(tmp_path / "in"), model="dsp", jobs=1)
    assert (report.added, len(library), library.models) == (4, 4, ("dsp",))
    assert repr(library).endswith("4 tracks, models: dsp)")
    assert [track.path for track in library] == sorted(songs)
    assert songs[0] in library and str(songs[0]) in library and "nowhere.wav" not in library and 5 not in library
    results = library.search(songs[0], k=2)
    assert [match.rank for match in results] == [1, 2] and len(results) == 2
    library.close()
    library.close()
    assert repr(library) == f"Library({str(tmp_path / 'new')!r}, closed)"
    for use in (
        lambda: len(library),
        lambda: library.search(songs[0]),
        lambda: library.index(songs[0]),
        lambda: list(library),
        lambda: songs[0] in library,
        lambda: library.check(),
        lambda: library.vacuum(),
        lambda: library.embed(songs[0]),
    ):
        with pytest.raises(LibraryError, match=r"is closed; open it again with soundalike\.open"):
            use()


def test_opening_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no library at"):
        soundalike.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="path is 5; expected a path"):
        soundalike.open(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threads is 0; expected a whole number"):
        soundalike.open(tmp_path / "none", threads=0)


def test_keywords_and_a_query_ask_the_same(opened: Library, stocked: Path, music: Path) -> None:
    song = music / "leaps" / "0.wav"
    by_keyword = opened.search(
        str(song),
        weights="melody=2,timbre=-1",
        k=4,
        where="path ~ wav",
        by="track",
        like=[(music / "up" / "0.wav", None)],
    )
    query = Query(
        song,
        weights={"melody": 2, "timbre": -1},
        k=4,
        where="path ~ wav",
        by="track",
        examples=(Example(music / "up" / "0.wav"),),
    )
    with LibraryFolder(stocked) as folder:
        below = search_library(folder, query)
    assert by_keyword.to_dicts() == opened.search(query).to_dicts() == below.to_dicts()
    assert by_keyword.weights == {"melody": 2, "rhythm": 0, "timbre": -1, "harmony": 0}


def test_a_match_says_what_it_is_and_its_shares_sum_to_the_score(opened: Library, music: Path) -> None:
    results = opened.search(music / "up" / "0.wav", k=5)
    for rank, (match, row) in enumerate(zip(results, results.to_dicts(), strict=True), start=1):
        assert match.rank == rank == row["rank"]
        assert Path(match.path) in opened
        assert match.duration == pytest.approx(12) and match.bpm
        assert sum(one.share for one in match.spaces.values()) == pytest.approx(match.score)
        assert (row["path"], row["score"], row["bpm"], row["key"]) == (match.path, match.score, match.bpm, match.key)
        assert sum(one["share"] for one in row["spaces"].values()) == pytest.approx(row["score"])
    assert results[0] is results.matches[0] and results[1:3] == results.matches[1:3]
    assert json.loads(json.dumps(results.to_dicts(), allow_nan=False)) == results.to_dicts()
    assert repr(results).splitlines()[0].startswith("SearchResults(5 matches for ")


def test_a_recording_can_be_a_path_a_file_or_samples(opened: Library, music: Path) -> None:
    song = music / "pedal" / "1.wav"
    expected = opened.search(song, k=4)
    audio = load(song)
    with song.open("rb") as file:
        from_file = opened.search(file, k=4)
    from_memory = opened.search(io.BytesIO(song.read_bytes()), k=4)
    from_audio = opened.search(audio, k=4)
    for found in (from_file, from_memory, from_audio):
        # The same audio is a copy of the stored track, so it is left out just as the track itself is.
        assert [match.path for match in found] == [match.path for match in expected]
        assert [match.score for match in found] == pytest.approx([match.score for match in expected], abs=1e-5)
    assert from_file.query.track == str(song) and from_memory.query.track == "<file>"
    assert from_audio.query.track == from_audio[0].query_span.track == "<audio>"
    assert opened.compare(song, audio).match.score == opened.compare(song, song).match.score
    assert opened.path(audio, music / "up" / "2.wav", 2)[-1].path == str(music / "up" / "2.wav")
    assert len(opened.playlist(audio, 3)) == 3
    both = opened.embed([song, audio], by="track")
    assert np.array_equal(*both.rows["rhythm"]) and [span.track for span in both.spans] == [str(song), "<audio>"]
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("soundalike-*.audio"))


def test_models_encode_one_or_many(music: Path) -> None:
    model = soundalike.load_model("dsp")
    song = music / "up" / "0.wav"
    one = model.encode(song)
    several = model.encode([str(song), load(song), io.BytesIO(song.read_bytes())])
    assert isinstance(several, list) and len(several) == 3
    for other in several:
        assert all(np.array_equal(one.track.rows[name], other.track.rows[name]) for name in one.track.rows)
    assert model.encode(song, start=1, end=4).info.duration == pytest.approx(3)
    assert model.encode([]) == []


def test_two_recordings_are_compared_without_a_library(music: Path) -> None:
    a, b = music / "up" / "0.wav", music / "up" / "1.wav"
    found = soundalike.compare(a, load(b), weights="melody", model="dsp", align=True)
    assert found.level == "passage" and found.match.alignment and found.match.alignment.semitones == 2
    assert found.match.score == soundalike.compare(a, b, weights={"melody": 1}, model="dsp").match.score
    assert soundalike.compare(a, b, by="track", model="dsp").level == "track"
    part = soundalike.compare(a, b, region="0:02-0:06", region_b=(1, None), model="dsp")
    assert (part.match.query_span.start, part.match.query_span.end) == (2, 6)
    with pytest.raises(AudioError, match=r"nowhere\.wav: no such file"):
        soundalike.compare("nowhere.wav", b, model="dsp")


BAD = {
    "cannot read a recording from int": {"query": 5},
    "the recording is empty": {"query": ""},
    "k is '3'; expected a whole number": {"k": "3"},
    "k is True; expected a whole number": {"k": True},
    "k is 0; expected a whole number of at least 1": {"k": 0},
    "weights is 3; expected a mapping": {"weights": 3},
    "the weight of melody is 'x'; expected a number": {"weights": {"melody": "x"}},
    "cannot read the weight 'melody=x'": {"weights": "melody=x"},
    "unknown space 'mood'; known: melody": {"weights": {"mood": 1}},
    "where is 3; expected text": {"where": 3},
    "cannot read the region 'x'": {"region": "x"},
    "the region runs from 5 s to 2 s": {"region": (5, 2)},
    "the region is (1, 2, 3); expected (start, end)": {"region": (1, 2, 3)},
    "by is 'song'; expected 'track', 'passage' or None": {"by": "song"},
    "hubness is 'all'; expected": {"hubness": "all"},
    "cannot read a recording from float": {"like": [0.5]},
}


@pytest.mark.parametrize("message", BAD)
def test_a_wrong_argument_is_named(opened: Library, music: Path, message: str) -> None:
    arguments = {"query": music / "up" / "0.wav", **BAD[message]}
    with pytest.raises(UsageError, match=re.escape(message)):
        opened.search(**arguments)  # type: ignore[arg-type]


def test_other_wrong_arguments(opened: Library, music: Path) -> None:
    with pytest.raises(UsageError, match="was opened as text; open it with mode 'rb'"):
        opened.search(io.StringIO("x"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"samples of shape \(0,\)"):
        opened.search(Audio(np.zeros(0, np.float32), 22050))
    with pytest.raises(UsageError, match="no recording was given"):
        opened.embed([])
    with pytest.raises(UsageError, match="by is 'song'"):
        opened.embed(music / "up" / "0.wav", by="song")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no source was given"):
        opened.index()
    with pytest.raises(UsageError, match="source is 3; expected a path"):
        opened.index(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"nowhere\.wav is not in the library at"):
        opened.show("nowhere.wav")


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2", True])
def test_jobs_are_a_number_of_at_least_one(own: Library, music: Path, jobs: object) -> None:
    with pytest.raises(UsageError, match="jobs is .*; expected a whole number of at least 1"):
        own.index(music, model="dsp", jobs=jobs)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "~no-such-user/x", "", 3, None])
def test_an_invalid_path_is_named(opened: Library, music: Path, path: object) -> None:
    song = next(track.path for track in opened)
    for use in (
        lambda: soundalike.open(path, create=True),
        lambda: opened.show(path),
        lambda: opened.search(song).to_m3u("" if path is None else path),
    ):
        with pytest.raises(UsageError, match="path is"):
            use()
    with pytest.raises(UsageError):
        opened.search(path)


def test_examples_with_decimal_weights_and_pairs_of_recordings(opened: Library, music: Path) -> None:
    a, b, c, *_ = (track.path for track in opened)
    plain = opened.search(a, like=[(b, {"melody": 0.5})])
    for like in ((b, "melody=0.5"), [(str(b), "melody=0.5")]):
        assert opened.search(a, like=like).matches == plain.matches
    assert opened.search(a, like=(str(b), str(c))).matches == opened.search(a, like=[b, c]).matches
    for like, message in ((3, "like is 3"), ([(b, "melody=1", 2)], "like has .*expected a recording or a pair")):
        with pytest.raises(UsageError, match=message):
            opened.search(a, like=like)


def test_file_objects_are_read_once_and_a_consumed_one_is_named(opened: Library, music: Path) -> None:
    song = next(track.path for track in opened)
    with song.open("rb") as file:
        assert soundalike.compare(file, file, model="dsp").match.spaces["timbre"].similarity > 0.9
        with pytest.raises(UsageError, match=r"read to its end before; call seek\(0\) first"):
            opened.search(file)
    with pytest.raises(AudioError, match="cannot be read: read of closed file"):
        opened.search(file)


def test_a_query_is_the_only_argument(opened: Library) -> None:
    song = next(track.path for track in opened)
    with pytest.raises(UsageError, match="query is a Query"):
        opened.search(Query(song), k=1)


def test_results_can_be_pickled_and_empty_ones_have_columns(opened: Library) -> None:
    song = next(track.path for track in opened)
    results = opened.search(song)
    again = pickle.loads(pickle.dumps(results))
    assert again.matches == results.matches and again.weights == results.weights
    pytest.importorskip("pandas")
    empty = opened.search(song, where="bpm > 900")
    assert len(empty) == 0
    assert empty.to_dataframe().columns.tolist() == results.to_dataframe().columns.tolist()


def test_many_threads_may_create_the_same_library(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "catalog.sqlite").touch()  # a process was killed while it created the library
    for name in ("half", "new"):
        with ThreadPoolExecutor(6) as pool:
            for library in pool.map(lambda _: soundalike.open(tmp_path / name, create=True), range(6)):  # noqa: B023
                assert len(library) == 0
                library.close()
    with pytest.raises(LibraryNotFoundError, match="no library at"):
        soundalike.open(tmp_path / "none")


def test_tracks_are_filtered_and_shown(own: Library, music: Path) -> None:
    assert [track.path for track in own.tracks()] == [track.path for track in own]
    found = own.tracks(where="path ~ pedal and duration > 5")
    assert {track.path.parent.name for track in found} == {"pedal"} and len(found) == 3
    assert own.tracks(where="year = 1999") == []
    families = [("up/0.wav", "up/1.wav"), ("down/0.wav", "down/1.wav", "pedal/0.wav")]
    numbers = {track.path: track.id for track in own}
    with LibraryFolder(own.location, writable=True) as folder, folder.catalog.transaction():
        folder.catalog.families.put([[numbers[music / name] for name in names] for names in families])
    for names in families:
        for name in names:
            assert own.show(music / name).versions == tuple(str(music / one) for one in names if one != name)
    with LibraryFolder(own.location, writable=True) as folder, folder.catalog.transaction():
        folder.catalog.families.put([])
    details = own.show(music / "up" / "0.wav")
    assert (details.models, details.passages, details.features, details.copies, details.versions) == (
        ("compact",), 2, (), (), (),
    )  # fmt: skip
    assert details.current and details.track.path == music / "up" / "0.wav"
    assert own.remove(music / "up" / "0.wav") == 1
    assert len(own) == 11 and music / "up" / "0.wav" not in own
    with pytest.raises(UsageError, match="is not in the library"):
        own.remove(music / "up" / "1.wav", music / "up" / "0.wav")
    assert len(own) == 11
    assert own.check().ok and own.vacuum().dropped > 0 and own.check().ok
    assert len(own.search(music / "up" / "1.wav", k=20)) == 10


def test_one_writer_at_a_time(own: Library, music: Path) -> None:
    with (
        LibraryFolder(own.location, writable=True),
        pytest.raises(LibraryBusyError, match="another process is writing"),
    ):
        own.index(music)
    with own._gate.open(own.location), pytest.raises(LibraryBusyError, match="another thread is writing"):
        own.vacuum()
    assert own.index(music, jobs=1).unchanged == 12


def test_results_become_a_dataframe(opened: Library, music: Path) -> None:
    pandas = pytest.importorskip("pandas")
    results = opened.search(music / "up" / "0.wav", k=3)
    frame = results.to_dataframe()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 3
    shares = [column for column in frame.columns if column.endswith(".share")]
    assert np.allclose(frame[shares].sum(axis=1), frame["score"])
    assert opened.search(music / "up" / "0.wav", where="year = 1").to_dataframe().empty


def test_a_missing_pandas_is_named(opened: Library, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'soundalike\[pandas\]'"):
        opened.search(music / "up" / "0.wav").to_dataframe()


def test_results_become_a_playlist(opened: Library, music: Path, tmp_path: Path) -> None:
    results = opened.search(music / "up" / "0.wav", k=3)
    text = results.to_m3u(tmp_path / "alike.m3u8")
    assert text == (tmp_path / "alike.m3u8").read_text()
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U" and lines[2::2] == [match.path for match in results]
    assert lines[1] == f"#EXTINF:12,{Path(results[0].path).stem}"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_notebook_shows_players_and_shares_and_escapes_everything(tmp_path: Path, made) -> None:
    name = "<script>alert(1)</script> & 'x' \"y\".wav"
    for place, notes in ((name.replace("/", "_"), "up"), ("b.wav", "down"), ("gone.wav", "leaps")):
        made(f"in/{place}", TUNES[notes], seconds=2)
    with soundalike.open(tmp_path / "library", create=True) as library:
        library.index(tmp_path / "in", model="dsp", jobs=1)
        results = library.search(tmp_path / "in" / "b.wav")
        (tmp_path / "in" / "gone.wav").unlink()
        page = results._repr_html_()
    found = _Tags()
    found.feed(page)
    tags = [tag for tag, _ in found.tags]
    assert "script" not in tags and "<script" not in page
    assert tags.count("audio") == 1 and "no such file" in page, "the file that is gone has a note, not a player"
    (player,) = [attributes for tag, attributes in found.tags if tag == "audio"]
    assert str(player["src"]).startswith("data:audio/ogg;base64,") and "controls" in player
    bars = [
        attributes["title"]
        for tag, attributes in found.tags
        if tag == "span" and "width" in attributes.get("style", "")
    ]
    expected = [f"{name} {one.share:+.2f}" for match in results for name, one in match.spaces.items() if one.share]
    assert bars == expected


def test_a_script_may_index_at_its_top_level(tmp_path: Path, made) -> None:
    """Workers must not run the script again."""
    for name in ("up", "down"):
        made(f"in/{name}.wav", TUNES[name], seconds=1)
    script = tmp_path / "script.py"
    script.write_text(
        "import soundalike\n"
        "print('started')\n"
        f"with soundalike.open({str(tmp_path / 'library')!r}, create=True) as library:\n"
        f"    print(library.index({str(tmp_path / 'in')!r}, model='dsp', jobs=2).added)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["started", "2"], "")


def test_the_region_and_lengths_choose_the_level(opened: Library, music: Path, tmp_path: Path) -> None:
    long = write(tmp_path / "long.wav", np.tile(tune(TUNES["up"], seconds=12), 3))
    assert opened.search(long).level == "track"
    assert opened.search(long, region="0:00-0:12").level == "passage"
    assert opened.search(long, region=(3, None)).query.start == 3
    assert opened.search(music / "up" / "0.wav").level == "passage"
    assert math.isclose(opened.search(long, region=(3, None)).query.end, 36, abs_tol=0.01)


def test_opening_and_listing_load_neither_search_nor_decoders(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import soundalike\n"
        f"with soundalike.open({str(tmp_path / 'library')!r}, create=True) as library:\n"
        "    assert library.tracks() == []\n"
        "slow = ('soundfile', 'av', 'soundalike.search.', 'soundalike.library.indexing.', 'soundalike.library.maint')\n"
        "quick = 'soundalike.search.query'\n"
        "print([name for name in sys.modules if name.startswith(slow) and name != quick])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
