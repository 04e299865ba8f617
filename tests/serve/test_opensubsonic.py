"""OpenSubsonic, asked by a client library and by hand, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import libopensonic
import mutagen
import numpy as np
import pytest
from libopensonic import errors
from mutagen.flac import Picture
from served import serving

import soundalike
from conftest import write
from soundalike import __version__
from soundalike.demo.clips import load_clips
from soundalike.serve.opensubsonic import lists
from soundalike.serve.opensubsonic.envelope import SubsonicError, envelope

TOKEN = "secret-token.~+/="
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
NAMESPACE = "{http://subsonic.org/restapi}"
HOSTILE = "<b>&\"'\n\t\x01 \u202eevil \ufffe".encode() + b"\xff"
"""The name of a file with every kind of character that is not simple text."""


@dataclass
class Served:
    """A server in a thread."""

    address: str

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: object) -> bytes:
        query = urlencode({"u": "me", "p": "any", "v": "1.16.1", "c": "test", **parameters}, doseq=True)
        with urlopen(Request(f"{self.address}/rest/{path}?{query}", headers=headers or {})) as response:
            return response.read()

    def json(self, path: str, **parameters: object) -> dict:
        return json.loads(self.get(path, f="json", **parameters))["subsonic-response"]

    def xml(self, path: str, **parameters: object) -> ElementTree.Element:
        return ElementTree.fromstring(self.get(path, **parameters))

    def error(self, path: str, **parameters: object) -> tuple[int, str]:
        answer = self.json(path, **parameters)
        assert answer["status"] == "failed"
        return answer["error"]["code"], answer["error"]["message"]

    @contextmanager
    def connect(self, **options: object) -> Iterator[libopensonic.Connection]:
        given = {"username": "me", "password": "any", "app_name": "test", **options}
        host, _, port = self.address.rpartition(":")
        connection = libopensonic.Connection(host, port=int(port), **given)
        try:
            yield connection
        finally:
            connection.cleanup()
            connection._loop.close()  # which the library forgets


def tag(path: Path, **values: str | list[str]) -> Path:
    file = mutagen.File(path)
    for name, value in values.items():
        file[name] = value
    file.save()
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight demo clips with tags of all kinds, a silent file, and one that vanishes after it is indexed."""
    folder = tmp_path_factory.mktemp("players") / "music"
    clips = iter(load_clips())

    def copy(name: str | bytes, **values: str | list[str]) -> Path:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return tag(Path(shutil.copyfile(next(clips).path, path)), **values)

    band = {"artist": "The Band", "albumartist": "The Band", "album": "First", "date": "1999", "genre": ["Rock", "Pop"]}
    one = copy("Band/First/01 One.ogg", title="One", bpm="120", **band)
    cover = Picture()
    cover.data, cover.type, cover.mime = PNG, 3, "image/png"
    tag(one, metadata_block_picture=[base64.b64encode(cover.write()).decode()])
    copy("Band/First/02 Two.ogg", title="Two", **band)
    copy("Band/First/03 Duet.ogg", title="Duet", **{**band, "artist": ["THE BAND", "Élan"]})
    copy("Hits/CD1/01.ogg", title="Hit", artist="Élan", album="Hits", date="2005", genre="rock")
    copy("Hits/CD2/01.ogg", title="Miss", artist="Zed", album="Hits", date="2005", genre="Jazz")
    copy("Loose/untagged.ogg", title=[], artist=[], album=[])
    copy(
        b"Loose/" + (HOSTILE if sys.platform == "linux" else b"evil") + b".ogg",
        title=[],
        album=[],
        artist="\u202eRTL <i>",
    )
    copy("Loose/gone.ogg", title="Gone", artist="Zed", album=[])
    write(folder / "Loose/silent.wav", np.zeros(9 * 22050, np.float32))
    return folder


@pytest.fixture(scope="module")
def library(music: Path) -> Iterator[soundalike.Library]:
    with soundalike.open(music.parent / "library", create=True) as library:
        library.index(music)
        (music / "Loose/gone.ogg").unlink()
        yield library


@pytest.fixture(scope="module")
def served(library: soundalike.Library) -> Iterator[Served]:
    with serving(library) as address:
        yield Served(address)


@pytest.fixture(scope="module")
def shut(library: soundalike.Library) -> Iterator[Served]:
    """A server that needs a token."""
    with serving(library, token=TOKEN) as address:
        yield Served(address)


@pytest.fixture(params=["post", "get", pytest.param("get without .view", marks=pytest.mark.slow)])
def client(served: Served, request: pytest.FixtureRequest) -> Iterator[libopensonic.Connection]:
    with served.connect(use_get=request.param != "post", use_views=request.param != "get without .view") as connection:
        yield connection


def ids(library: soundalike.Library) -> dict[str, str]:
    """The id of every song, by its title or the stem of its file."""
    return {track.title or track.path.stem: f"tr-{track.id}" for track in library.tracks()}


# Envelopes ------------------------------------------------------------------------------------------------------


def test_answers_are_xml_unless_json_is_asked_for(served: Served) -> None:
    xml = served.xml("ping.view")
    assert xml.tag == f"{NAMESPACE}subsonic-response" and len(xml) == 0
    assert xml.attrib == {
        "status": "ok", "version": "1.16.1", "type": "soundalike", "serverVersion": __version__, "openSubsonic": "true",
    }  # fmt: skip
    assert served.json("ping") == {**xml.attrib, "openSubsonic": True}


def test_every_text_makes_valid_xml_and_json() -> None:
    texts = [
        "\x00\x0b\x1f",
        "\ud800\udcff",
        "\ufffe\uffff",
        "]]>&<>\"'",
        " a\n\tb\r ",
        "x" * 300_000,
        "\u202e\U0001f600",
    ]
    payload = {
        "list": {"name": texts, "item": [{"title": text} for text in texts], "none": None, "value": "".join(texts[:5])}
    }
    clean = [
        "\ufffd\ufffd\ufffd", "\ufffd\ufffd", "\ufffd\ufffd", "]]>&<>\"'", " a\n\tb\r ", "x" * 300_000,
        "\u202e\U0001f600",
    ]  # fmt: skip
    root = ElementTree.fromstring(envelope(payload, "xml").body)[0]
    assert [one.text for one in root.findall(f"{NAMESPACE}name")] == clean
    assert [one.get("title") for one in root.findall(f"{NAMESPACE}item")] == clean
    assert root.text == "".join(clean[:5]) and root.attrib == {}
    found = json.loads(envelope(payload, "json").body)["subsonic-response"]["list"]
    assert found["item"][3:] == [{"title": text} for text in clean[3:]]
    assert found["item"][0] == {"title": texts[0]} and found["item"][1] == {"title": clean[1]}
    assert "none" not in found


def test_a_failure_is_an_envelope_with_status_200(served: Served) -> None:
    xml = served.xml("getSong", id="tr-999999")
    assert xml.get("status") == "failed"
    assert xml[0].tag == f"{NAMESPACE}error" and xml[0].get("code") == "70"
    assert served.error("getSong", id="tr-999999") == (70, "there is no song with the id 'tr-999999'")


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("getSong", {}, 10),
        ("getAlbum", {"id": "al-0"}, 70),
        ("getArtist", {"id": "ar-0"}, 70),
        ("getMusicDirectory", {"id": "no"}, 70),
        ("stream", {"id": "tr-x"}, 70),
        ("stream", {"id": "tr-" + "9" * 30}, 70),
        ("getCoverArt", {"id": "al-0"}, 70),
        ("getArtists", {"musicFolderId": "7"}, 70),
        ("getAlbumList2", {}, 10),
        ("getAlbumList2", {"type": "best"}, 0),
        ("getAlbumList2", {"type": "byYear", "fromYear": 1990}, 10),
        ("getAlbumList2", {"type": "byGenre"}, 10),
        ("search3", {}, 10),
        ("search3", {"query": "x", "songCount": -1}, 0),
        ("getSonicSimilarTracks", {}, 10),
        ("getSonicSimilarTracks", {"id": "tr-0"}, 70),
        ("getSonicSimilarTracks", {"id": "tr-1", "count": "ten"}, 0),
        ("findSonicPath", {"startSongId": "tr-1"}, 10),
        ("findSonicPath", {"startSongId": "tr-1", "endSongId": "tr-0"}, 70),
        ("findSonicPath", {"startSongId": "tr-1", "endSongId": "tr-2", "count": 1}, 0),
        ("scrobble", {}, 10),
    ],
)
def test_bad_requests(served: Served, path: str, parameters: dict[str, object], code: int) -> None:
    assert served.error(path, **parameters)[0] == code


def test_an_unknown_endpoint_is_not_found(served: Served) -> None:
    with pytest.raises(HTTPError) as caught:
        served.get("getPodcasts.view", f="json")
    with caught.value as answer:
        assert answer.status == 404
        found = json.loads(answer.read())["subsonic-response"]
    assert found["error"] == {"code": 0, "message": "this server has no endpoint 'getPodcasts'"}


def test_jsonp_is_refused(served: Served) -> None:
    found = json.loads(served.get("ping", f="jsonp", callback="alert"))
    assert found["subsonic-response"]["error"]["message"] == "f is 'jsonp', expected one of xml, json"


def test_parameters_may_come_in_a_form_and_in_the_address(served: Served) -> None:
    body = urlencode({"u": "me", "p": "any", "query": "", "songCount": "1"}).encode()
    address = f"{served.address}/rest/search3.view?v=1.16.1&c=test&f=json"
    with urlopen(Request(address, body)) as response:
        found = json.loads(response.read())["subsonic-response"]
    assert len(found["searchResult3"]["song"]) == 1


def test_a_large_form_is_refused(served: Served) -> None:
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{served.address}/rest/ping", b"u=" + b"x" * 2**21))
    with caught.value as answer:
        assert answer.status == 413
        assert ElementTree.fromstring(answer.read())[0].get("code") == "0"


# Logging in -----------------------------------------------------------------------------------------------------

SALT = "c19b2d"
DIGEST = hashlib.md5(f"{TOKEN}{SALT}".encode()).hexdigest()
BASE = {"v": "1.16.1", "c": "test"}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"u": "me", "t": DIGEST, "s": SALT}, None),
        ({"u": "me", "t": DIGEST.upper(), "s": SALT}, None),
        ({"u": "me", "t": DIGEST, "s": "other"}, 40),
        ({"u": "me", "t": DIGEST}, 10),
        ({"u": "me", "s": SALT}, 10),
        ({"u": "me", "p": TOKEN}, None),
        ({"u": "me", "p": f"enc:{TOKEN.encode().hex()}"}, None),
        ({"u": "me", "p": "enc:xyz"}, 40),
        ({"u": "me", "p": ""}, 40),
        ({"u": "me", "p": TOKEN[:-1]}, 40),
        ({"u": "", "p": TOKEN}, 40),
        ({"u": "me"}, 10),
        ({"p": TOKEN}, 10),
        ({}, 10),
        ({"u": "me", "p": TOKEN, "t": DIGEST, "s": SALT}, 43),
        ({"apiKey": TOKEN}, None),
        ({"apiKey": "other"}, 44),
        ({"apiKey": ""}, 44),
        ({"apiKey": TOKEN, "u": "me"}, 43),
        ({"apiKey": TOKEN, "p": TOKEN}, 43),
        ({"apiKey": TOKEN, "t": DIGEST, "s": SALT}, 43),
        ({"u": "me", "p": TOKEN, "v": None}, 10),
        ({"u": "me", "p": TOKEN, "c": None}, 10),
    ],
)
@pytest.mark.parametrize("path", ["ping", pytest.param("getPodcasts", marks=pytest.mark.slow)])
def test_credentials(shut: Served, path: str, parameters: dict[str, str | None], code: int | None) -> None:
    given = {name: value for name, value in {**BASE, **parameters, "f": "json"}.items() if value is not None}
    address = f"{shut.address}/rest/{path}?{urlencode(given)}"
    if code is None and path == "getPodcasts":
        with pytest.raises(HTTPError) as caught:
            urlopen(address)
        caught.value.close()
        return
    with urlopen(address) as response:
        found = json.loads(response.read())["subsonic-response"]
    assert found["status"] == ("ok" if code is None else "failed")
    assert code is None or found["error"]["code"] == code


def test_a_server_without_token_takes_any_credentials(served: Served) -> None:
    for given in ({"u": "a", "p": "b"}, {"u": "a", "t": "b", "s": "c"}, {"apiKey": "any"}):
        query = urlencode({**BASE, **given, "f": "json"})
        with urlopen(f"{served.address}/rest/ping?{query}") as response:
            assert json.loads(response.read())["subsonic-response"]["status"] == "ok"


def test_clients_log_in(shut: Served) -> None:
    for options in ({"password": TOKEN}, {"api_key": TOKEN, "username": None, "password": None}):
        with shut.connect(**options) as client:
            assert client.ping()
    with shut.connect(password="wrong") as client:
        with pytest.raises(errors.CredentialError, match="the password is the token of the server"):
            client.get_license()
        assert {one.name for one in client.get_open_subsonic_extensions()} >= {"sonicSimilarity"}


def test_extensions_are_public(shut: Served) -> None:
    with urlopen(f"{shut.address}/rest/getOpenSubsonicExtensions.view") as response:
        xml = ElementTree.fromstring(response.read())
    assert xml.get("status") == "ok"
    assert [(one.tag, one.attrib, [v.text for v in one]) for one in xml] == [
        (f"{NAMESPACE}openSubsonicExtensions", {"name": name}, ["1"])
        for name in ("apiKeyAuthentication", "formPost", "sonicSimilarity")
    ]
    assert xml[0][0].tag == f"{NAMESPACE}versions"


def test_pages_of_other_sites_may_only_read_with_a_token(served: Served, shut: Served) -> None:
    for server, key, allowed in ((served, "any", None), (shut, TOKEN, "*")):
        query = urlencode({**BASE, "apiKey": key})
        with urlopen(f"{server.address}/rest/ping?{query}") as response:
            assert response.headers["Access-Control-Allow-Origin"] == allowed
            assert response.headers["Cross-Origin-Resource-Policy"] == ("cross-origin" if allowed else "same-origin")


# Browsing -------------------------------------------------------------------------------------------------------


def test_system(client: libopensonic.Connection, library: soundalike.Library) -> None:
    assert client.ping()
    assert client.get_license()["license"] == {"valid": True}
    extensions = {one.name: one.versions for one in client.get_open_subsonic_extensions()}
    assert extensions == {"apiKeyAuthentication": [1], "formPost": [1], "sonicSimilarity": [1]}
    assert client.get_user("me").stream_role is True
    assert client.get_user("me").admin_role is False
    assert client.get_scan_status().scanning is False
    assert client.token_info().username == "soundalike"
    assert client.scrobble(ids(library)["One"])
    assert client.get_playlists() == [] and client.get_top_songs("Zed") == []
    assert not client.get_starred2().song


def test_there_is_one_music_folder(served: Served) -> None:
    assert served.json("getMusicFolders")["musicFolders"] == {"musicFolder": [{"id": 1, "name": "library"}]}
    folder = served.xml("getMusicFolders")[0][0]
    assert (folder.tag, folder.attrib) == (f"{NAMESPACE}musicFolder", {"id": "1", "name": "library"})


def test_artists_and_their_albums(client: libopensonic.Connection) -> None:
    letters = {
        one.name: [(artist.name, artist.album_count) for artist in one.artist] for one in client.get_artists().index
    }
    assert letters == {
        "#": [("[Unknown Artist]", 1), ("\u202eRTL <i>", 1)],
        "B": [("The Band", 1)],
        "E": [("Élan", 2)],
        "V": [("Various Artists", 2)],
        "Z": [("Zed", 2)],
    }
    assert [one.name for one in client.get_indexes().index] == list(letters)
    artist = next(one for index in client.get_artists().index for one in index.artist if one.name == "Élan")
    albums = client.get_artist(artist.id).album
    assert [(one.name, one.artist, one.song_count) for one in albums] == [
        ("First", "The Band", 3),
        ("Hits", "Various Artists", 2),
    ]
    album = client.get_album(albums[0].id)
    assert [song.title for song in album.song] == ["One", "Two", "Duet"]
    assert (album.year, album.genre, [one.name for one in album.genres]) == (1999, "Rock", ["Rock", "Pop"])
    assert album.duration == pytest.approx(sum(song.duration for song in album.song), abs=2)


def test_folders_lead_to_songs(client: libopensonic.Connection) -> None:
    root = client.get_music_directory("1")
    band = next(one for one in root.child if one.title == "The Band")
    albums = client.get_music_directory(band.id)
    assert (albums.name, albums.parent, [one.title for one in albums.child]) == ("The Band", "1", ["First"])
    songs = client.get_music_directory(albums.child[0].id)
    assert songs.parent == band.id
    assert [(one.title, one.is_dir) for one in songs.child] == [("One", False), ("Two", False), ("Duet", False)]


def test_a_song_has_the_fields_of_the_specification(served: Served, library: soundalike.Library) -> None:
    track = next(track for track in library.tracks() if track.title == "Duet")
    found = served.json("getSong", id=f"tr-{track.id}")["song"]
    band, elan = (served.json("search3", query=name)["searchResult3"]["artist"][0]["id"] for name in ("band", "élan"))
    album = served.json("search3", query="first")["searchResult3"]["album"][0]["id"]
    assert found == {
        "id": f"tr-{track.id}", "parent": album, "isDir": False, "title": "Duet", "album": "First",
        "artist": "THE BAND, Élan", "year": 1999, "genre": "Rock", "coverArt": f"tr-{track.id}", "size": track.size,
        "contentType": "audio/ogg", "suffix": "ogg", "duration": round(track.duration),
        "bitRate": round(track.bit_rate / 1000), "samplingRate": track.rate, "channelCount": track.channels,
        "path": "Band/First/03 Duet.ogg", "isVideo": False, "created": found["created"], "albumId": album,
        "artistId": band, "type": "music", "mediaType": "song", "bpm": round(track.bpm or 0),
        "displayArtist": "THE BAND, Élan",
        "artists": [{"id": band, "name": "THE BAND"}, {"id": elan, "name": "Élan"}],
        "genres": [{"name": "Rock"}, {"name": "Pop"}],
    }  # fmt: skip
    modified = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(track.mtime_ns // 10**9))
    assert found["created"] == modified
    xml = served.xml("getSong", id=f"tr-{track.id}")[0]
    assert xml.tag == f"{NAMESPACE}song"
    plain = {name: value for name, value in found.items() if not isinstance(value, list)}
    assert xml.attrib == {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in plain.items()
    }
    assert [(one.tag.removeprefix(NAMESPACE), one.attrib) for one in xml] == [
        *(("artists", one) for one in found["artists"]),
        *(("genres", one) for one in found["genres"]),
    ]


def test_a_wave_file_has_the_bit_rate_of_its_samples(served: Served, library: soundalike.Library) -> None:
    found = served.json("getSong", id=ids(library)["silent"])["song"]
    assert found["bitRate"] == pytest.approx(22050 * 16 / 1000, rel=0.01)
    assert found["contentType"] == "audio/wav" and found["artist"] == "[Unknown Artist]"
    assert found["album"] == "Loose"


def test_genres(served: Served) -> None:
    assert served.json("getGenres")["genres"]["genre"] == [
        {"value": "Jazz", "songCount": 1, "albumCount": 1},
        {"value": "Pop", "songCount": 3, "albumCount": 1},
        {"value": "Rock", "songCount": 4, "albumCount": 2},
    ]
    genre = served.xml("getGenres")[0][0]
    assert (genre.tag, genre.text, genre.attrib) == (f"{NAMESPACE}genre", "Jazz", {"songCount": "1", "albumCount": "1"})
    songs = served.json("getSongsByGenre", genre="ROCK", count=3, offset=1)["songsByGenre"]["song"]
    assert [song["title"] for song in songs] == ["Two", "Duet", "Hit"]


def test_indexes_are_empty_if_nothing_changed(served: Served) -> None:
    found = served.json("getIndexes")["indexes"]
    assert found["ignoredArticles"] == "The El La Los Las Le Les" and found["index"]
    assert served.json("getIndexes", ifModifiedSince=found["lastModified"])["indexes"]["index"] == []
    assert served.json("getIndexes", ifModifiedSince=found["lastModified"] - 1)["indexes"]["index"]


def albums(served: Served, **parameters: object) -> list[str]:
    return [one["name"] for one in served.json("getAlbumList2", **parameters)["albumList2"]["album"]]


def test_album_lists(served: Served, music: Path) -> None:
    everything = ["First", "Hits", "Loose"]
    assert albums(served, type="alphabeticalByName") == everything
    assert albums(served, type="alphabeticalByName", size=1, offset=1) == ["Hits"]
    assert albums(served, type="alphabeticalByArtist") == everything
    assert sorted(albums(served, type="random")) == everything
    assert albums(served, type="newest")[0] == "Loose"  # its files were written last
    assert albums(served, type="byYear", fromYear=1990, toYear=2010) == ["First", "Hits"]
    assert albums(served, type="byYear", fromYear=2010, toYear=1990) == ["Hits", "First"]
    assert albums(served, type="byYear", fromYear=2000, toYear=2010) == ["Hits"]
    assert albums(served, type="byGenre", genre="jazz") == ["Hits"]
    assert albums(served, type="starred") == albums(served, type="frequent") == []


def test_search(client: libopensonic.Connection) -> None:
    found = client.search3("ELAN")
    assert not found.artist and not found.song  # accents count, as in `soundalike library ls`
    found = client.search3("E\u0301lan")
    assert [one.name for one in found.artist] == ["Élan"]
    assert sorted(one.title for one in found.song) == ["Duet", "Hit"]
    assert [one.title for one in client.search3("élan first").song] == ["Duet"]
    assert [one.name for one in client.search3("hits").album] == ["Hits"]


@pytest.mark.parametrize("query", ["", '""', "*"])
def test_an_empty_search_finds_everything_in_pages(served: Served, library: soundalike.Library, query: str) -> None:
    found = served.json("search3", query=query, songCount=100)["searchResult3"]
    assert len(found["artist"]) == 6 and len(found["album"]) == 3
    assert [one["id"] for one in found["song"]] == [number for name, number in ids(library).items() if name != "Gone"]
    pages = [
        served.json("search3", query=query, songCount=3, songOffset=offset, artistCount=0, albumCount=0)[
            "searchResult3"
        ]
        for offset in (0, 3, 6, 9)
    ]
    assert [song for page in pages for song in page["song"]] == found["song"]
    assert not any(page["artist"] or page["album"] for page in pages)


def test_a_list_has_a_largest_size(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_MOST", 2)
    counts = {f"{kind}Count": 10**18 - 1 for kind in ("artist", "album", "song")}
    assert [len(found) for found in served.json("search3", query="", **counts)["searchResult3"].values()] == [2, 2, 2]


def test_hostile_names_are_text(served: Served) -> None:
    xml = served.xml("search3", query="evil")[0]
    json_song = served.json("search3", query="evil")["searchResult3"]["song"][0]
    for song in (xml.find(f"{NAMESPACE}song").attrib, json_song):
        assert song["artist"] == "\u202eRTL <i>"
        assert song["path"].startswith("Loose/") and song["path"].endswith(".ogg")
        if sys.platform == "linux":
            assert song["title"].startswith("<b>&\"'\n\t") and song["title"].endswith("\u202eevil \ufffd\ufffd")


def test_random_songs(served: Served) -> None:
    def titles(**parameters: object) -> list[str]:
        return sorted(one["title"] for one in served.json("getRandomSongs", **parameters)["randomSongs"]["song"])

    assert len(titles(size=500)) == 8 and len(titles(size=2, genre="Rock")) == 2
    assert titles(genre="Rock", fromYear=2000) == ["Hit"]
    assert titles(toYear=2000) == ["Duet", "One", "Two"]


def test_files_that_are_not_there_are_not_listed(served: Served, library: soundalike.Library) -> None:
    gone = ids(library)["Gone"]
    assert served.error("getSong", id=gone)[0] == served.error("stream", id=gone)[0] == 70
    everything = json.dumps(served.json("search3", query="", songCount=100)["searchResult3"]["song"])
    assert gone not in everything and "Gone" not in everything


def test_absolute_paths_stay_on_the_server(served: Served, library: soundalike.Library, music: Path) -> None:
    songs = ids(library)
    album = served.json("search3", query="first")["searchResult3"]["album"][0]["id"]
    answers = [
        served.get("search3", query=""),
        served.get("getMusicDirectory", id="1"),
        served.get("getAlbum", id=album),
        served.get("getMusicFolders"),
        served.get("getSonicSimilarTracks", id=songs["silent"]),
        served.get("findSonicPath", startSongId=songs["silent"], endSongId=songs["One"]),
    ]
    assert not any(str(music.parent).encode() in answer for answer in answers)


# Files ----------------------------------------------------------------------------------------------------------


def test_stream_and_download(client: libopensonic.Connection, library: soundalike.Library, music: Path) -> None:
    content = (music / "Band/First/01 One.ogg").read_bytes()
    song = ids(library)["One"]

    def body(response: object) -> bytes:
        return asyncio.run_coroutine_threadsafe(response.read(), client._loop).result()

    whole = client.stream(song)
    assert (whole.status, whole.headers["Content-Type"], body(whole)) == (200, "audio/ogg", content)
    part = client.stream(song, byte_range="bytes=10-19")
    assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 10-19/{len(content)}")
    assert body(part) == content[10:20]
    assert body(client.stream(song, max_bit_rate=32, tformat="mp3")) == content  # nothing is transcoded
    file = client.download(song)
    assert file.headers["Content-Disposition"] == "attachment; filename*=UTF-8''01%20One.ogg" and body(file) == content
    with pytest.raises(errors.DataNotFoundError):
        client.stream("tr-999")


def test_a_range_behind_the_end_is_an_envelope(served: Served, library: soundalike.Library, music: Path) -> None:
    with pytest.raises(HTTPError) as caught:
        served.get("stream", {"Range": "bytes=99999999-"}, id=ids(library)["One"])
    with caught.value as answer:
        size = (music / "Band/First/01 One.ogg").stat().st_size
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        assert "99,999,999" in ElementTree.fromstring(answer.read())[0].get("message")


def test_a_file_with_a_hostile_name_can_be_downloaded(served: Served, library: soundalike.Library) -> None:
    track = next(track for track in library.tracks() if "evil" in track.path.name)
    assert served.get("download", id=f"tr-{track.id}") == track.path.read_bytes()


def test_covers(served: Served, library: soundalike.Library) -> None:
    songs = ids(library)
    assert served.get("getCoverArt", id=songs["One"]) == PNG
    found = {one["name"]: one for one in served.json("search3", query="")["searchResult3"]["album"]}
    assert served.get("getCoverArt", id=found["First"]["coverArt"]) == PNG
    assert served.error("getCoverArt", id=songs["Two"]) == (70, f"there is no picture for {songs['Two']!r}")
    assert served.error("getCoverArt", id=found["Loose"]["coverArt"])[0] == 70


# Similarity -----------------------------------------------------------------------------------------------------


def test_similar_tracks_are_those_of_a_search(client: libopensonic.Connection, library: soundalike.Library) -> None:
    songs = ids(library)
    results = library.search(songs_path(library, "One"), k=100)
    expected = [(f"tr-{results.tracks[match.path].id}", match.percentile / 100) for match in results]
    assert len(expected) == 6 and songs["One"] not in dict(expected)
    for count in (1, 100):
        found = client.get_sonic_similar_tracks(songs["One"], count)
        assert [(one.entry.id, one.similarity) for one in found] == expected[:count]


def songs_path(library: soundalike.Library, title: str) -> Path:
    return next(track.path for track in library.tracks() if track.title == title)


def test_ten_similar_tracks_are_the_default_and_none_is_possible(served: Served, library: soundalike.Library) -> None:
    song = ids(library)["One"]
    assert served.json("getSonicSimilarTracks", id=song) == served.json("getSonicSimilarTracks", id=song, count=10)
    assert served.json("getSonicSimilarTracks", id=song, count=0)["sonicMatch"] == []


def test_matches_have_the_form_of_the_specification(served: Served, library: soundalike.Library) -> None:
    song = ids(library)["One"]
    found = served.json("getSonicSimilarTracks.view", id=song, count=2)["sonicMatch"]
    assert [set(one) for one in found] == [{"entry", "similarity"}] * 2
    assert found[0]["entry"] == served.json("getSong", id=found[0]["entry"]["id"])["song"]
    matches = served.xml("getSonicSimilarTracks.view", id=song, count=2)
    assert [one.tag for one in matches] == [f"{NAMESPACE}sonicMatch"] * 2
    for xml, one in zip(matches, found, strict=True):
        assert xml.attrib == {"similarity": str(one["similarity"])}
        assert [child.tag for child in xml] == [f"{NAMESPACE}entry"] and xml[0].get("id") == one["entry"]["id"]


def test_a_path_begins_and_ends_where_it_was_asked_to(
    client: libopensonic.Connection, library: soundalike.Library
) -> None:
    songs = ids(library)
    results = library.search(songs_path(library, "One"), k=100, by="track")
    expected = {f"tr-{results.tracks[match.path].id}": match.percentile / 100 for match in results}
    for count in (2, 3, 25):
        found = client.find_sonic_path(songs["One"], songs["Miss"], count)
        numbers = [one.entry.id for one in found]
        assert (numbers[0], numbers[-1]) == (songs["One"], songs["Miss"])
        assert len(set(numbers)) == len(numbers) <= count
        assert found[0].similarity == 1
        assert [one.similarity for one in found[1:]] == pytest.approx([expected[number] for number in numbers[1:]])
        if count < 5:
            assert len(numbers) == count


def test_a_path_to_itself_is_one_song(served: Served, library: soundalike.Library) -> None:
    song = ids(library)["One"]
    found = served.json("findSonicPath", startSongId=song, endSongId=song)["sonicMatch"]
    assert [(one["entry"]["id"], one["similarity"]) for one in found] == [(song, 1)]


def test_silence_is_like_nothing(served: Served, library: soundalike.Library) -> None:
    songs = ids(library)
    assert served.json("getSonicSimilarTracks", id=songs["silent"])["sonicMatch"] == []
    for start, end in (("silent", "One"), ("One", "silent")):
        found = served.json("findSonicPath", startSongId=songs[start], endSongId=songs[end])["sonicMatch"]
        assert [(one["entry"]["id"], one["similarity"]) for one in found] == [(songs[start], 1), (songs[end], -1)]


def test_similar_songs_of_songs_albums_and_artists(
    client: libopensonic.Connection, library: soundalike.Library
) -> None:
    songs = ids(library)
    expected = library.search(songs_path(library, "One"), k=50)
    assert [one.id for one in client.get_similar_songs(songs["One"])] == [
        f"tr-{expected.tracks[match.path].id}" for match in expected
    ]
    band = client.search3("band").artist[0].id
    album = client.search3("first").album[0].id
    of_artist, of_album = client.get_similar_songs2(band, 3), client.get_similar_songs(album, 3)
    assert len(of_artist) == 3 and [one.id for one in of_artist] == [one.id for one in of_album]
    assert not {songs["One"], songs["Two"], songs["Duet"]} & {one.id for one in of_artist}


_NPM = """
import { SubsonicAPI } from "subsonic-api";
const [url, token, song, end] = process.argv.slice(2);
const found = [];
for (const post of [false, true])
  for (const auth of [{ username: "me", password: token }, { apiKey: token }]) {
    const api = new SubsonicAPI({ url, auth, post });
    const file = await api.stream({ id: song });
    found.push({
      ping: await api.ping(),
      extensions: await api.getOpenSubsonicExtensions(),
      search: await api.search3({ query: "one" }),
      bytes: (await file.arrayBuffer()).byteLength,
      similar: await api.customJSON("getSonicSimilarTracks", { id: song, count: 3 }),
      path: await api.customJSON("findSonicPath", { startSongId: song, endSongId: end, count: 3 }),
    });
  }
const wrong = new SubsonicAPI({ url, auth: { username: "me", password: "no" } });
console.log(JSON.stringify({ found, wrong: await wrong.ping() }));
"""


@pytest.mark.slow
def test_a_client_from_npm(library: soundalike.Library, music: Path, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm is not installed")
    install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "subsonic-api@3.3.1"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install a client: {done.stderr[-200:]}")
    (tmp_path / "ask.mjs").write_text(_NPM)
    songs = ids(library)
    token = "its-md5-takes-no-other-letters-than-ASCII"
    with serving(library, token=token) as address:
        command = [node, str(tmp_path / "ask.mjs"), address, token, songs["One"], songs["Miss"]]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode == 0, asked.stderr
    answers = json.loads(asked.stdout)
    assert len(answers["found"]) == 4
    expected = library.search(songs_path(library, "One"), k=3)
    for found in answers["found"]:
        assert found["ping"]["status"] == "ok" and found["ping"]["type"] == "soundalike"
        names = {one["name"] for one in found["extensions"]["openSubsonicExtensions"]}
        assert names == {"apiKeyAuthentication", "formPost", "sonicSimilarity"}
        assert [song["title"] for song in found["search"]["searchResult3"]["song"]] == ["One"]
        assert found["bytes"] == (music / "Band/First/01 One.ogg").stat().st_size
        assert [one["similarity"] for one in found["similar"]["sonicMatch"]] == [
            match.percentile / 100 for match in expected
        ]
        path = [one["entry"]["id"] for one in found["path"]["sonicMatch"]]
        assert (path[0], path[-1], len(path)) == (songs["One"], songs["Miss"], 3)
    assert answers["wrong"]["error"]["code"] == 40


# Changes --------------------------------------------------------------------------------------------------------


def test_players_see_what_is_indexed_and_removed(tmp_path: Path) -> None:
    clips = load_clips()
    for number in range(2):
        (tmp_path / "music").mkdir(exist_ok=True)
        shutil.copyfile(clips[number].path, tmp_path / f"music/{number}.ogg")
    with soundalike.open(tmp_path / "library", create=True) as library, serving(library) as address:
        server = Served(address)
        assert server.json("getArtists")["artists"]["index"] == []
        library.index(tmp_path / "music")

        def songs() -> list[str]:
            return [one["title"] for one in server.json("search3", query="")["searchResult3"]["song"]]

        deadline = time.monotonic() + 10
        while len(songs()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sorted(songs()) == sorted(clip.title for clip in clips[:2])
        (tmp_path / "music/0.ogg").unlink()
        assert len(songs()) == 1


def test_errors_know_their_code() -> None:
    body = json.loads(envelope(SubsonicError(70, "no"), "json").body)
    assert body["subsonic-response"]["error"] == {"code": 70, "message": "no"}
