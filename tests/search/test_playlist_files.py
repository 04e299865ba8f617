"""Playlists for other programs: what they hold, read back by readers that follow each format, and their options."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.library.folder import LibraryFolder
from soundalike.search import PlaylistEntry, Query, build_playlist, format_of, make_playlist, search_library

SONG = PlaylistEntry(
    '/music/Ann & Bob/100% #1 – Été "live" <a>.mp3', 201.6, 'Été "live" <a>', "Ann & Bob", "One", "House", 1999,
    127.5, "A minor",
)  # fmt: skip
BARE = PlaylistEntry("/music/音楽/b.flac", 61.2)
NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


def parsed(form: str, *entries: PlaylistEntry, name: str = "Evening") -> ET.Element:
    made = make_playlist(entries, form, name=name)
    assert made.left_out == ()
    return ET.fromstring(made.content)


# Readers --------------------------------------------------------------------------------------------------------------


def rekordbox_paths(root: ET.Element) -> list[str]:
    """The paths of the one playlist, in order, as Rekordbox finds them: by the number of the track."""
    tracks = {track.get("TrackID"): track.get("Location") for track in root.findall("COLLECTION/TRACK")}
    assert root.find("COLLECTION").get("Entries") == str(len(tracks))
    [node] = root.findall("PLAYLISTS/NODE[@Name='ROOT']/NODE[@Type='1']")
    assert (node.get("KeyType"), node.get("Entries")) == ("0", str(len(node)))
    paths = []
    for item in node:
        url = urlsplit(tracks[item.get("Key")])
        assert (url.scheme, url.netloc, url.query, url.fragment) == ("file", "localhost", "", "")
        paths.append(unquote(url.path))
    return paths


def traktor_paths(root: ET.Element) -> list[str]:
    """The paths of the one playlist, in order, as Traktor finds them: by volume, folder and file in one key."""
    tracks = {}
    for place in root.findall("COLLECTION/ENTRY/LOCATION"):
        key = place.get("VOLUME") + place.get("DIR") + place.get("FILE")
        tracks[key] = (place.get("DIR") + place.get("FILE")).replace("/:", "\0").replace("//", ":").replace("\0", "/")
    assert root.find("COLLECTION").get("ENTRIES") == str(len(tracks))
    [playlist] = root.findall("PLAYLISTS/NODE[@NAME='$ROOT']/SUBNODES/NODE[@TYPE='PLAYLIST']/PLAYLIST")
    assert (playlist.get("TYPE"), playlist.get("ENTRIES")) == ("LIST", str(len(playlist)))
    return [tracks[item.get("KEY")] for item in playlist.findall("ENTRY/PRIMARYKEY[@TYPE='TRACK']")]


def m3u_paths(content: bytes) -> list[str]:
    """The lines that are no comments."""
    return [os.fsdecode(line) for line in content.split(b"\n") if line and not line.startswith(b"#")]


READERS = {
    "m3u": m3u_paths,
    "rekordbox": lambda content: rekordbox_paths(ET.fromstring(content)),
    "traktor": lambda content: traktor_paths(ET.fromstring(content)),
}


# Formats --------------------------------------------------------------------------------------------------------------


def test_a_track_in_rekordbox() -> None:
    root = parsed("rekordbox", SONG, BARE)
    assert (root.tag, root.attrib) == ("DJ_PLAYLISTS", {"Version": "1.0.0"})
    assert root.find("PRODUCT").get("Name") == "soundalike"
    song, bare = root.findall("COLLECTION/TRACK")
    assert song.attrib == {
        "TrackID": "1", "Name": 'Été "live" <a>', "Artist": "Ann & Bob", "Album": "One", "Genre": "House",
        "TotalTime": "202", "Year": "1999", "AverageBpm": "127.50", "Tonality": "Am",
        "Location": "file://localhost/music/Ann%20%26%20Bob/100%25%20%231%20%E2%80%93%20%C3%89t%C3%A9%20%22live%22%20"
                    "%3Ca%3E.mp3",
    }  # fmt: skip
    assert (bare.get("Name"), bare.get("Artist"), bare.get("Tonality")) == ("b", "", "")
    assert (bare.get("AverageBpm"), bare.get("Year"), bare.get("TotalTime")) == ("0.00", "0", "61")
    [node] = root.findall("PLAYLISTS/NODE/NODE")
    assert node.get("Name") == "Evening"
    assert root.find("PLAYLISTS/NODE").attrib == {"Type": "0", "Name": "ROOT", "Count": "1"}


def test_a_track_in_traktor() -> None:
    root = parsed("traktor", SONG, BARE)
    assert (root.tag, root.get("VERSION")) == ("NML", "19")
    assert root.find("HEAD").attrib == {"COMPANY": "www.native-instruments.com", "PROGRAM": "Traktor"}
    song, bare = root.findall("COLLECTION/ENTRY")
    assert song.attrib == {"TITLE": 'Été "live" <a>', "ARTIST": "Ann & Bob"}
    place = song.find("LOCATION").attrib
    assert (place["DIR"], place["FILE"]) == ("/:music/:Ann & Bob/:", '100% #1 – Été "live" <a>.mp3')
    assert song.find("ALBUM").attrib == {"TITLE": "One"}
    assert song.find("INFO").attrib == {
        "PLAYTIME": "202", "PLAYTIME_FLOAT": "201.600000", "GENRE": "House", "KEY": "1m", "RELEASE_DATE": "1999/1/1",
    }  # fmt: skip
    assert song.find("TEMPO").attrib == {"BPM": "127.500000"}
    assert song.find("MUSICAL_KEY").attrib == {"VALUE": "21"}
    assert bare.get("TITLE") == "b" and [child.tag for child in bare] == ["LOCATION", "INFO"]
    assert root.find("PLAYLISTS//NODE[@TYPE='PLAYLIST']").get("NAME") == "Evening"


@pytest.mark.parametrize(
    ("key", "tonality", "number", "open_key"),
    [  # the number and the code of C minor are those of a file that Traktor wrote
        ("C minor", "Cm", "12", "10m"),
        ("C major", "C", "0", "1d"),
        ("B minor", "Bm", "23", "3m"),
        ("A# major", "Bb", "10", "11d"),
        ("C# minor", "Dbm", "13", "5m"),
        ("F# major", "F#", "6", "7d"),
    ],
)
def test_keys_in_the_form_of_each_program(key: str, tonality: str, number: str, open_key: str) -> None:
    entry = PlaylistEntry("/a.mp3", 1.0, key=key)
    assert parsed("rekordbox", entry).find("COLLECTION/TRACK").get("Tonality") == tonality
    track = parsed("traktor", entry).find("COLLECTION/ENTRY")
    assert (track.find("MUSICAL_KEY").get("VALUE"), track.find("INFO").get("KEY")) == (number, open_key)


def test_all_keys_differ() -> None:
    entries = [
        PlaylistEntry(f"/{note} {mode}", 1.0, key=f"{note} {mode}") for note in NOTES for mode in ("major", "minor")
    ]
    assert len({track.get("Tonality") for track in parsed("rekordbox", *entries).findall("COLLECTION/TRACK")}) == 24
    infos = parsed("traktor", *entries).findall("COLLECTION/ENTRY")
    assert {int(one.find("MUSICAL_KEY").get("VALUE")) for one in infos} == set(range(24))
    assert len({one.find("INFO").get("KEY") for one in infos}) == 24


def test_a_track_that_comes_twice_is_one_track() -> None:
    assert rekordbox_paths(parsed("rekordbox", SONG, BARE, SONG)) == [SONG.path, BARE.path, SONG.path]
    assert traktor_paths(parsed("traktor", SONG, BARE, SONG)) == [SONG.path, BARE.path, SONG.path]


def test_m3u() -> None:
    content = make_playlist([SONG, BARE]).content.decode()
    assert content.splitlines() == [
        "#EXTM3U", '#EXTINF:202,Ann & Bob - Été "live" <a>', SONG.path, "#EXTINF:61,b", BARE.path
    ]  # fmt: skip


PATHS = st.lists(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=12)
    .filter(lambda part: part not in (".", "..")), min_size=1, max_size=4,
).map(lambda parts: "/" + "/".join(parts))  # fmt: skip


@given(st.lists(PATHS, unique=True, max_size=4), st.sampled_from(sorted(READERS)), st.text(max_size=8))
def test_every_path_is_read_back_or_named(paths: list[str], form: str, tag: str) -> None:
    made = make_playlist([PlaylistEntry(path, 1.0, tag, tag, tag, tag) for path in paths], form, name=tag)
    left_out = [path for path, _ in made.left_out]
    assert READERS[form](made.content) == [path for path in paths if path not in left_out]
    assert all(not path.isprintable() for path in left_out)


@pytest.mark.parametrize(
    ("form", "path", "reason"),
    [
        ("rekordbox", "/m/\udcff.mp3", "its name is not valid UTF-8"),
        ("traktor", "/m/\udcff.mp3", "its name is not valid UTF-8"),
        ("rekordbox", "/m/a\x01.mp3", "its name contains a control character"),
        ("traktor", "/m/a\nb.mp3", "its name contains a control character"),
        ("m3u", "/m/a\nb.mp3", "its name contains a line break"),
    ],
)
def test_what_a_format_cannot_hold_is_left_out(form: str, path: str, reason: str) -> None:
    made = make_playlist([PlaylistEntry(path), BARE], form)
    assert made.left_out == ((path, reason),)
    assert READERS[form](made.content) == [BARE.path]


def test_m3u_keeps_the_bytes_of_paths() -> None:
    assert b"\n/m/\xff.mp3\n" in make_playlist([PlaylistEntry("/m/\udcff.mp3", 1.0)]).content


def test_mpd_knows_files_by_their_place_in_its_music_directory() -> None:
    paths = ["/m/a b.mp3", "/m/x/#b.mp3", "/m/#c.mp3", "/n/d.mp3", "/m2/e.mp3", "/m/..f.mp3"]
    made = make_playlist([PlaylistEntry(path, 1.0) for path in paths], "mpd", relative_to="/m/x/..")
    assert m3u_paths(made.content) == ["a b.mp3", "x/#b.mp3", "..f.mp3"]
    outside = "it is not below the music directory /m"
    assert made.left_out == (
        ("/m/#c.mp3", "MPD takes a name that starts with # for a comment"),
        ("/n/d.mp3", outside),
        ("/m2/e.mp3", outside),
    )


def test_a_relative_path_is_never_a_comment() -> None:
    made = make_playlist([PlaylistEntry("/m/#1/a.mp3", 1.0), PlaylistEntry("/n/b.mp3", 1.0)], relative_to="/m")
    assert m3u_paths(made.content) == [os.path.join(".", "#1/a.mp3"), "../n/b.mp3"]


def test_wrong_playlists() -> None:
    with pytest.raises(UsageError, match="form is 'serato'; expected 'm3u', 'mpd', 'rekordbox' or 'traktor'"):
        make_playlist([], "serato")
    with pytest.raises(UsageError, match="needs the music directory of MPD"):
        make_playlist([], "mpd")
    with pytest.raises(UsageError, match="a playlist for traktor has absolute paths"):
        make_playlist([], "traktor", relative_to="/m")
    with pytest.raises(UsageError, match=r"a\.pls is not a playlist name; give one that ends in \.m3u8"):
        format_of(Path("a.pls"))
    assert format_of(Path("A.XML")) == "rekordbox"


# Python and commands ----------------------------------------------------------------------------------------------


def test_results_write_playlists(library: LibraryFolder, music: Path, tmp_path: Path) -> None:
    results = search_library(library, Query(music / "up" / "0.wav", k=3))
    assert results.to_playlist(tmp_path / "alike.nml") == ()
    root = ET.parse(tmp_path / "alike.nml").getroot()
    assert traktor_paths(root) == [match.path for match in results]
    assert root.find(".//NODE[@TYPE='PLAYLIST']").get("NAME") == "alike"
    for match, track in zip(results, root.findall("COLLECTION/ENTRY"), strict=True):
        assert track.find("INFO").get("PLAYTIME") == "12"
        assert float(track.find("TEMPO").get("BPM")) == pytest.approx(match.bpm)
    journey = build_playlist(library, music / "up" / "0.wav", 2)
    journey.to_playlist(tmp_path / "list.m3u", music_dir=music)
    found = m3u_paths((tmp_path / "list.m3u").read_bytes())
    assert [str(music / name) for name in found] == [match.path for match in journey]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stocked: Path):
    """Run a command against the library of `music`: its exit code, and what it printed on both streams."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


@pytest.mark.parametrize("command", [["search"], ["playlist"], ["library", "ls"]])
def test_commands_write_playlists(run, music: Path, tmp_path: Path, command: list[str]) -> None:
    asked = [*command, *([] if command[0] == "library" else [music / "up" / "0.wav", "-n", 3])]
    code, out, _ = run(*asked, "--export", tmp_path / "x.xml")
    assert code == 0 and out.splitlines()[-1] == f"playlist written: {tmp_path / 'x.xml'}"
    expected = [row["path"] for row in map(json.loads, run(*asked, "--format", "jsonl")[1].splitlines())]
    assert rekordbox_paths(ET.parse(tmp_path / "x.xml").getroot()) == expected
    for form, read in READERS.items():
        code, out, _ = run(*asked, "--format", form)
        assert code == 0 and read(out.encode()) == expected
    relative = [str(Path(path).relative_to(music)) for path in expected]
    assert m3u_paths(run(*asked, "--format", "mpd", "--music-dir", music)[1].encode()) == relative
    code, out, _ = run(*asked, "--json", "--export", tmp_path / "x.m3u", "--music-dir", music)
    assert json.loads(out) and m3u_paths((tmp_path / "x.m3u").read_bytes()) == relative


def test_tracks_outside_of_the_music_directory_are_named(run, music: Path) -> None:
    code, out, err = run("library", "ls", "--where", "path ~ up", "--format", "mpd", "--music-dir", music / "down")
    assert (code, m3u_paths(out.encode()), err.count("is not below the music directory")) == (0, [], 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "x.txt"], "x.txt is not a playlist name; give one that ends in .m3u8 or .m3u, .xml"),
        (["--export", "/nonexistent/x.nml"], "its folder does not exist"),
        (["--format", "mpd"], "--format mpd needs the music directory of MPD, such as --music-dir ~/Music"),
        (["--format", "traktor", "--relative"], "--format traktor has absolute paths"),
        (["--export", "x.xml", "--format", "m3u", "--relative"], "x.xml has absolute paths"),
        (["--export", "x.xml", "--music-dir", "."], "--music-dir is for M3U playlists"),
        (["--format", "mpd", "--music-dir", ".", "--relative"], "--relative and --music-dir exclude each other"),
    ],
)
def test_wrong_options(run, monkeypatch, tmp_path: Path, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("library", "ls", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not list(tmp_path.iterdir())
