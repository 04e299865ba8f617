"""Tags: where each format stores them, how they are normalised, and that they never cause an error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import soundalike.audio.tags
from soundalike.audio.tags import Tags, is_artist, read_tags


def write(path: Path, codec: str, container: str, tags: dict[str, str], layout: str = "stereo") -> Path:
    rate = 48000 if codec == "libopus" else 44100
    options = {"write_id3v2": "1"} if container == "aiff" else {}
    with av.open(str(path), "w", format=container, options=options) as out:
        out.metadata.update(tags)
        sound = out.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 128_000
        for start in range(0, 20 * 1024, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


COMMON = {"title": " So What ", "artist": "Miles Davis", "album": "Kind of Blue", "genre": "Jazz", "date": "1959-08-17"}
EXPECTED = Tags("So What", ("Miles Davis",), "Kind of Blue", ("Jazz",), 1959, 136.5, "D minor")


@pytest.mark.parametrize(
    ("name", "codec", "container", "own"),
    [
        ("a.mp3", "libmp3lame", "mp3", {"TBPM": "136.5", "TKEY": "Dm"}),
        ("b.mp3", "libmp3lame", "mp3", {"BPM": "136.5", "initialkey": "7A"}),  # TXXX frames
        ("c.flac", "flac", "flac", {"BPM": "136.5", "INITIALKEY": "Dm"}),
        ("d.flac", "flac", "flac", {"BPM": "136.5", "KEY": "D minor"}),
        ("e.ogg", "flac", "ogg", {"BPM": "136,5", "KEY": "dmin"}),
        ("f.mka", "flac", "matroska", {"BPM": "136.5", "INITIALKEY": "Dm"}),
        ("g.webm", "libopus", "webm", {"BPM": "136.5", "KEY": "Dm"}),
        ("h.caf", "pcm_s16le", "caf", {"BPM": "136.5", "KEY": "Dm"}),
        ("i.aiff", "pcm_s16be", "aiff", {"TBPM": "136.5", "TKEY": "Dm"}),
        ("wrong_name.mp3", "flac", "flac", {"BPM": "136.5", "INITIALKEY": "Dm"}),
        ("no_name", "pcm_s16be", "aiff", {"TBPM": "136.5", "TKEY": "Dm"}),
        ("f.wma", "wmav2", "asf", {"WM/BeatsPerMinute": "136.5", "WM/InitialKey": "Dm", "WM/Year": "1959"}),
    ],
)  # fmt: skip
def test_tags_of_each_format(tmp_path: Path, name: str, codec: str, container: str, own: dict[str, str]) -> None:
    assert read_tags(write(tmp_path / name, codec, container, {**COMMON, **own})) == EXPECTED


def atom(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def freeform(name: bytes, value: bytes) -> bytes:
    mean = atom(b"mean", bytes(4) + b"com.apple.iTunes")
    return atom(b"----", mean + atom(b"name", bytes(4) + name) + atom(b"data", bytes([0, 0, 0, 1]) + bytes(4) + value))


@pytest.mark.parametrize("name", [b"initialkey", b"KEY"])
def test_mp4_tempo_and_freeform_key(tmp_path: Path, name: bytes) -> None:
    tempo = atom(b"tmpo", atom(b"data", bytes([0, 0, 0, 21]) + bytes(4) + (128).to_bytes(2, "big")))
    title = atom(b"\xa9nam", atom(b"data", bytes([0, 0, 0, 1]) + bytes(4) + b"Blue in Green"))
    items = atom(b"ilst", title + tempo + freeform(name, b"Bbm"))
    path = tmp_path / "a.m4a"
    path.write_bytes(
        atom(b"ftyp", b"M4A \x00\x00\x00\x00")
        + atom(b"moov", atom(b"udta", atom(b"meta", bytes(4) + items)))
    )  # fmt: skip
    assert read_tags(path) == Tags(title="Blue in Green", bpm=128.0, key="A# minor")


def test_invalid_tags_become_none(tmp_path: Path) -> None:
    tags = {"title": " \t ", "artist": "A\x07B\nC", "date": "someday", "TBPM": "0", "TKEY": "o"}
    assert read_tags(write(tmp_path / "a.mp3", "libmp3lame", "mp3", tags)) == Tags(artists=("A B C",))


@pytest.mark.parametrize(
    ("text", "bpm"),
    [("20", 20.0), ("400", 400.0), ("19.9", None), ("401", None), ("nan", None), ("inf", None), ("-120", None),
     ("fast", None), ("", None), (" 92 ", 92.0), ("128 BPM", 128.0), ("bpm 92", 92.0), ("128,5", 128.5),
     ("12800", 128.0), ("17450", 174.5), ("1280", None), ("128/64", 128.0), ("0; 64", 64.0), ("128, 64", 128.0),
     ("1e2", None)],
)  # fmt: skip
def test_tempo(tmp_path: Path, text: str, bpm: float | None) -> None:
    assert read_tags(write(tmp_path / "a.flac", "flac", "flac", {"BPM": text})).bpm == bpm


@pytest.mark.parametrize(
    ("text", "year"),
    [("1998", 1998), ("1998-03-01", 1998), ("01/03/2004", 2004), ("98", None), ("0000", None), ("19981", None),
     ("20240131", 2024), ("20241331", None), ("03.05.1999", 1999), ("1999-05-03T07:00:00Z", 1999)],
)  # fmt: skip
def test_year(tmp_path: Path, text: str, year: int | None) -> None:
    assert read_tags(write(tmp_path / "a.flac", "flac", "flac", {"DATE": text})).year == year


@pytest.mark.parametrize("data", [b"", b"text\n" * 200, b"ID3\x04\x00\x00\x7f\x7f\x7f\x7fTIT2", b"fLaC\xff\xff\xff\xff",
                                  b"RIFF\xff\xff\xff\xffWAVEfmt ", b"OggS" + bytes(99)])  # fmt: skip
def test_unreadable_tags_are_empty(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    assert read_tags(path) == Tags()


def test_unreadable_files_have_no_tags(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp3", tmp_path, "nul\0byte.mp3", tmp_path / ("x" * 300)):
        assert read_tags(path) == Tags()


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            b"ID3\x03\x00\x00\x00\x00\x01\x00",
            b"fLaC",
            b"OggS",
            b"RIFF\0\0\0\0WAVE",
            b"FORM",
            b"\0\0\0\x08ftyp",
            b"\x1aE\xdf\xa3",
            b"caff",
        ]
    ),
)
def test_arbitrary_bytes_raise_no_error(tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mp3"
    path.write_bytes(magic + data)
    assert isinstance(read_tags(path), Tags)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.mp3", "libmp3lame", "mp3", {"title": "T"})
    odd = os.path.join(os.fsencode(tmp_path), b"\xff\n\xe9.mp3")
    try:
        os.rename(plain, odd)  # noqa: PTH104
    except OSError:
        pytest.skip("this file system refuses the name")
    assert read_tags(os.fsdecode(odd)).title == "T"


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(**frames: str) -> bytes:
    """An ID3v2.4 tag in UTF-8; "\\0" separates several values."""
    body = b""
    for name, text in frames.items():
        content = b"\x03" + text.encode()
        body += name.encode() + synchsafe(len(content)) + bytes(2) + content
    return b"ID3\4\0\0" + synchsafe(len(body)) + body


def ape(version: int = 2000, **items: str | bytes) -> bytes:
    """An APE tag; `bytes` are binary."""
    body = b""
    for name, value in items.items():
        data = value.encode() if isinstance(value, str) else value
        body += struct.pack("<2I", len(data), 0 if isinstance(value, str) else 2)
        body += name.replace("_", " ").encode() + b"\0" + data
    footer = b"APETAGEX" + struct.pack("<4I8x", version, len(body) + 32, len(items), 0)
    return body + footer


def id3v1(artist: str) -> bytes:
    return b"TAG" + struct.pack("30s30s30s4s30sB", b"V1 title", artist.encode(), b"", b"", b"", 8)


MPEG = b"\xff\xfb\x90\x00" + bytes(413)


def tags_of(path: Path, data: bytes) -> Tags:
    path.write_bytes(data)
    return read_tags(path)


@pytest.mark.parametrize("begin", [MPEG, b"wvpk" + bytes(60), b"MAC " + bytes(60), b"MPCK" + bytes(60), b"TTA1"])
def test_ape_tags(tmp_path: Path, begin: bytes) -> None:
    tag = ape(
        Title="T", Artist="Jay\0Bee", Album_Artist="Ann", Genre="Jazz\0Funk", Year="1999-05-03", BPM="128",
        Cover=b"name.jpg\0" + bytes(9999), Initialkey="8A",
    )  # fmt: skip
    expected = Tags("T", ("Jay", "Bee"), None, ("Jazz", "Funk"), 1999, 128.0, "A minor", "Ann")
    assert tags_of(tmp_path / "a", begin + tag) == expected
    assert tags_of(tmp_path / "a", begin + tag + id3v1("V1")) == expected
    assert tags_of(tmp_path / "a", begin + tag[:-1]) == Tags()


def test_ape_tags_that_lie(tmp_path: Path) -> None:
    tag = ape(Artist="A", Title="T")
    for place, number in ((-24, 2**32 - 1), (-20, 7), (-16, 2**32 - 1), (0, 2**32 - 1)):
        lying = bytearray(MPEG + tag)
        at = len(MPEG) if place == 0 else len(lying) + place + 4
        lying[at : at + 4] = struct.pack("<I", number)
        assert isinstance(tags_of(tmp_path / "a.mp3", bytes(lying)), Tags)
    assert tags_of(tmp_path / "a.mp3", MPEG + ape(1000, Artist="\xe9".encode("latin-1").decode("latin-1"))) == Tags(
        artists=("é",)
    )


def test_of_several_tags_the_first_with_a_field_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    tagged = id3(TPE1="Two") + MPEG + ape(Artist="Ape", Genre="Funk") + id3v1("V1")
    assert tags_of(path, tagged) == Tags("V1 title", ("Two",), None, ("Funk",))
    assert tags_of(path, id3(TPE1="First") + id3(TPE1="Second", TALB="B") + MPEG) == Tags(artists=("First",), album="B")
    flac = write(tmp_path / "a.flac", "flac", "flac", {"artist": "Flac"}).read_bytes()
    assert tags_of(path, id3(TPE1="Id3", TIT2="T") + flac + id3v1("V1")) == Tags("T", ("Flac",), None, ("Jazz",))


def riff(*chunks: tuple[bytes, bytes], pad: bool = True) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + (b"\0" if len(data) % 2 and pad else b"") for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


@pytest.mark.parametrize("pad", [True, False])
def test_wav(tmp_path: Path, pad: bool) -> None:
    info = riff((b"IART", b"Info\0"), (b"INAM", "Ünfo".encode("latin-1")), (b"IGNR", b"Jazz/Funk"), pad=pad)[12:]
    data = (b"fmt ", bytes(16)), (b"data", b"\1" * 33), (b"LIST", b"INFO" + info)
    path = tmp_path / "a.wav"
    assert tags_of(path, riff(*data, pad=pad)) == Tags("Ünfo", ("Info",), None, ("Jazz", "Funk"))
    both = (*data, (b"id3 ", id3(TPE1="Id3", TCON="(8)(5)", TBPM="128")))
    expected = Tags("Ünfo", ("Id3",), None, ("Jazz", "Funk"), bpm=128.0)
    assert tags_of(path, riff(*both, pad=pad)) == expected
    assert tags_of(path, b"RF64\xff\xff\xff\xff" + riff(*both, pad=pad)[8:]) == expected


def test_dsf(tmp_path: Path) -> None:
    head = b"DSD " + struct.pack("<3Q", 28, 0, 100) + bytes(72)
    assert tags_of(tmp_path / "a.dsf", head + id3(TPE1="A")) == Tags(artists=("A",))


@pytest.mark.parametrize(
    ("frames", "artists", "album_artist"),
    [
        ({"TPE1": "AC/DC"}, ("AC/DC",), None),
        ({"TPE1": "Simon & Garfunkel"}, ("Simon & Garfunkel",), None),
        ({"TPE1": "Earth, Wind & Fire"}, ("Earth, Wind & Fire",), None),
        ({"TPE1": "Jay\0Bee"}, ("Jay", "Bee"), None),
        ({"TPE1": "Jay; Bee;Cee"}, ("Jay", "Bee", "Cee"), None),
        ({"TPE1": "Jay / Bee"}, ("Jay", "Bee"), None),
        ({"TPE1": "Jay feat. Bee"}, ("Jay", "Bee"), None),
        ({"TPE1": "Jay Ft. Bee"}, ("Jay", "Bee"), None),
        ({"TPE1": "Jay\0JAY\0Be\u0301\0B\u00e9"}, ("Jay", "Be\u0301"), None),
        ({"TPE1": "Jay & Bee", "TXXX": "ARTISTS\0Jay\0Bee"}, ("Jay", "Bee"), None),
        ({"TPE1": "ABBA\0AB\0BA"}, ("ABBA", "AB", "BA"), None),
        ({"TPE2": "Ann"}, ("Ann",), "Ann"),
        ({"TPE1": "Jay", "TPE2": "Ann"}, ("Jay",), "Ann"),
        ({"TPE1": "Jay", "TPE2": "Various Artists"}, ("Jay",), "Various Artists"),
        ({"TPE2": "VARIOUS ARTISTS"}, (), "VARIOUS ARTISTS"),
        ({"TPE1": "Various Artists"}, (), "Various Artists"),
        ({"TPE1": "V.A.", "TPE2": "Ann"}, ("Ann",), "Ann"),
        ({"TPE1": "Unknown Artist", "TPE2": "Unknown Artist"}, (), None),
        ({"TPE1": "  Spacey  ", "TPE2": " \t"}, ("Spacey",), None),
    ],
)  # fmt: skip
def test_artists(tmp_path: Path, frames: dict[str, str], artists: tuple[str, ...], album_artist: str | None) -> None:
    assert tags_of(tmp_path / "a.mp3", id3(**frames) + MPEG) == Tags(artists=artists, album_artist=album_artist)


def test_who_is_an_artist() -> None:
    assert is_artist("Variety") and is_artist("AC/DC")
    assert not any(map(is_artist, ("various artists", "VA", "Various", "Artistes varie\u0301s", "[unknown]")))


@pytest.mark.parametrize(
    ("frames", "genres"),
    [
        ({"TCON": "Jazz\0Funk"}, ("Jazz", "Funk")),
        ({"TCON": "Jazz; Funk"}, ("Jazz", "Funk")),
        ({"TCON": "Jazz/Funk / Soul"}, ("Jazz", "Funk", "Soul")),
        ({"TCON": "Jazz;JAZZ;; "}, ("Jazz",)),
        ({"TCON": "Folk, World, & Country"}, ("Folk, World, & Country",)),
        ({"TCON": "R&B"}, ("R&B",)),
        ({"TCON": "(8)Acid Jazz"}, ("Jazz", "Acid Jazz")),
    ],
)
def test_genres(tmp_path: Path, frames: dict[str, str], genres: tuple[str, ...]) -> None:
    assert tags_of(tmp_path / "a.mp3", id3(**frames) + MPEG).genres == genres


@pytest.mark.parametrize(
    ("frames", "year"),
    [
        ({"TDRC": "2015", "TDOR": "1967"}, 1967),
        ({"TYER": "2015", "TORY": "1967"}, 1967),
        ({"TDRC": "2015", "TDOR": "unknown"}, 2015),
        ({"TDRC": "2015", "TXXX": "ORIGINALYEAR\x001967"}, 1967),
        ({"TDRL": "2015", "TDRC": "2001"}, 2001),
        ({"TDRL": "2015"}, 2015),
    ],
)
def test_the_year_of_the_first_release_counts(tmp_path: Path, frames: dict[str, str], year: int) -> None:
    assert tags_of(tmp_path / "a.mp3", id3(**frames) + MPEG).year == year


def test_tempo_and_key_in_other_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    assert tags_of(path, id3(TXXX="fBPM\x00128.02") + MPEG).bpm == 128.02
    assert tags_of(path, id3(TBPM="0", TXXX="BPM\x00128") + MPEG).bpm == 128.0
    assert tags_of(path, id3(TKEY="o", TXXX="initialkey\x008A") + MPEG).key == "A minor"
    assert tags_of(path, id3(COMM="eng\x008A - Energy 6") + MPEG).key == "A minor"
    assert tags_of(path, id3(COMM="eng\x00A - a comment") + MPEG).key is None


def test_moods_of_each_kind_of_field(tmp_path: Path) -> None:
    assert tags_of(tmp_path / "a.mp3", id3(TMOO="Calm\0Dark") + MPEG).moods == ("Calm", "Dark")
    assert tags_of(tmp_path / "b.mp3", id3(TXXX="MOOD\0calm; dark, dark") + MPEG).moods == ("calm", "dark")
    assert read_tags(write(tmp_path / "c.flac", "flac", "flac", {"MOOD": "calm/dark"})).moods == ("calm", "dark")
    assert read_tags(write(tmp_path / "d.wma", "wmav2", "asf", {"WM/Mood": "calm"})).moods == ("calm",)


def test_long_values_are_shortened(tmp_path: Path) -> None:
    many = "\0".join(f"Genre {number}" for number in range(999))
    found = tags_of(tmp_path / "a.mp3", id3(TIT2="x" * 2_000_000, TCON=many) + MPEG)
    assert found.title == "x" * 1000 and found.genres == tuple(f"Genre {number}" for number in range(50))


def test_a_wrong_size_is_not_read_into_memory(tmp_path: Path) -> None:
    # A sparse file of 1 GiB; its only comment is said to fill it.
    path = tmp_path / "a.flac"
    comment = struct.pack("<3I", 0, 1, 1 << 30)
    with path.open("wb") as file:
        file.write(b"fLaC" + b"\x84" + len(comment).to_bytes(3, "big") + comment)
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        assert read_tags(path) == Tags()
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_importing_does_not_load_tinytag() -> None:
    code = "import sys, soundalike.audio.tags; sys.exit('tinytag' in sys.modules)"
    path = str(Path(soundalike.audio.tags.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
