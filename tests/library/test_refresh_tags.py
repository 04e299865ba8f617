"""Tags that an older version read are read again, without encoding anything."""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TUNES, tune, write
from soundalike.audio import TAGS_VERSION
from soundalike.library.catalog.track import parse_list
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing import refresh_tags
from soundalike.library.indexing.index import IndexReport, index_files


def tag(path: Path, artists: str, genres: str) -> None:
    """Append an ID3 chunk to a WAV file."""
    body = b""
    for name, text in (("TPE1", artists), ("TCON", genres)):
        content = b"\x03" + text.encode()
        body += name.encode() + struct.pack(">IH", len(content), 0) + content
    with path.open("ab") as file:
        file.write(b"id3 " + struct.pack("<I", 10 + len(body)) + b"ID3\3\0\0\0\0\0" + bytes([len(body)]) + body)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of two tagged files, as a version that kept one artist and one genre left it."""
    for number, notes in enumerate(list(TUNES.values())[:2]):
        tag(write(tmp_path / "music" / f"{number}.wav", tune(notes, seconds=3)), "Jay\0Bee", "Jazz\0Funk")
    assert index(tmp_path).added == 2
    with LibraryFolder(tmp_path / "library", writable=True) as opened, opened.catalog.transaction():
        for track in opened.catalog.tracks():
            assert (track.artists, track.genres, track.tags_version) == (("Jay", "Bee"), ("Jazz", "Funk"), TAGS_VERSION)
            opened.catalog.put_track(
                tmp_path / "music", replace(track, artists=("Jay",), genres=("Jazz",), tags_version=0)
            )
    return tmp_path / "library"


def index(tmp_path: Path) -> IndexReport:
    with LibraryFolder.create(tmp_path / "library") as opened:
        return index_files(opened, [tmp_path / "music"])


def artists(library: Path) -> list[tuple[str, ...]]:
    with LibraryFolder(library) as opened:
        return [track.artists for track in opened.catalog.tracks()]


def test_tags_of_an_older_reader_are_read_again_once(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert artists(library) == [("Jay",), ("Jay",)]
    report = index(tmp_path)
    assert (report.unchanged, report.changed, report.audio_seconds) == (2, 0, 0)
    with LibraryFolder(library) as opened:
        for track in opened.catalog.tracks():
            assert (track.artists, track.genres, track.tags_version) == (("Jay", "Bee"), ("Jazz", "Funk"), TAGS_VERSION)
        assert opened.catalog.database.corrupt_tracks() == []
    monkeypatch.setattr(refresh_tags, "read_tags", None)
    assert index(tmp_path).unchanged == 2


def test_a_file_that_is_not_indexed_keeps_its_tags(library: Path, tmp_path: Path) -> None:
    (tmp_path / "music" / "0.wav").unlink()
    index(tmp_path)
    assert artists(library) == [("Jay",), ("Jay", "Bee")]


@pytest.mark.parametrize("text", [None, 3, b"[]", "", "[", "{}", "[1]", '["a", null]', "[" * 9999])
def test_a_corrupt_list_has_no_values(text: object) -> None:
    assert parse_list(text) == ()
    assert parse_list('["a", "b"]') == ("a", "b")


def test_a_corrupt_entry_stays_recognisable(library: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(library / "catalog.sqlite")
    with database:
        database.execute("UPDATE tracks SET tempo = 1 WHERE id = 1")
    database.close()
    index(tmp_path)
    assert artists(library) == [("Jay",), ("Jay", "Bee")]
    with LibraryFolder(library) as opened:
        assert opened.catalog.database.corrupt_tracks() == [1]
