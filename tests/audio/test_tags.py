"""Tags: where each format stores them, how they are normalised, and that they never cause an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import soundalike.audio.tags
from soundalike.audio.tags import Tags, parse_key, read_tags


def write(path: Path, codec: str, container: str, tags: dict[str, str], layout: str = "stereo") -> Path:
    with av.open(str(path), "w", format=container) as out:
        out.metadata.update(tags)
        sound = out.add_stream(codec, rate=44100, layout=layout)
        sound.bit_rate = 128_000
        for start in range(0, 20 * 1024, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = 44100, start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


COMMON = {"title": " So What ", "artist": "Miles Davis", "album": "Kind of Blue", "genre": "Jazz", "date": "1959-08-17"}
EXPECTED = Tags("So What", "Miles Davis", "Kind of Blue", "Jazz", 1959, 136.5, "D minor")


@pytest.mark.parametrize(
    ("name", "codec", "container", "own"),
    [
        ("a.mp3", "libmp3lame", "mp3", {"TBPM": "136.5", "TKEY": "Dm"}),
        ("b.mp3", "libmp3lame", "mp3", {"BPM": "136.5", "initialkey": "7A"}),  # TXXX frames
        ("c.flac", "flac", "flac", {"BPM": "136.5", "INITIALKEY": "Dm"}),
        ("d.flac", "flac", "flac", {"BPM": "136.5", "KEY": "D minor"}),
        ("e.ogg", "flac", "ogg", {"BPM": "136,5", "KEY": "dmin"}),
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
    assert read_tags(write(tmp_path / "a.mp3", "libmp3lame", "mp3", tags)) == Tags(artist="A B C")


@pytest.mark.parametrize(
    ("text", "bpm"),
    [("20", 20.0), ("400", 400.0), ("19.9", None), ("401", None), ("nan", None), ("inf", None), ("-120", None),
     ("fast", None), ("", None), (" 92 ", 92.0)],
)  # fmt: skip
def test_tempo(tmp_path: Path, text: str, bpm: float | None) -> None:
    assert read_tags(write(tmp_path / "a.flac", "flac", "flac", {"BPM": text})).bpm == bpm


@pytest.mark.parametrize(
    ("text", "year"),
    [("1998", 1998), ("1998-03-01", 1998), ("01/03/2004", 2004), ("98", None), ("0000", None), ("19981", None),
     ("20240131", None)],
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


@given(st.binary(max_size=300), st.sampled_from([b"ID3\x03\x00\x00\x00\x00\x01\x00", b"fLaC", b"OggS", b"RIFF"]))
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


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Am", "A minor"), ("am", "A minor"), ("A minor", "A minor"), ("a-moll", "A minor"), ("Amin", "A minor"),
        ("A", "A major"), ("AM", "A major"), ("A maj", "A major"), ("Cdur", "C major"), ("C Major", "C major"),
        ("F#m", "F# minor"), ("f♯ minor", "F# minor"), ("F sharp minor", "F# minor"), ("Gbm", "F# minor"),
        ("Bbmaj", "A# major"), ("bb", "A# major"), ("b", "B major"), ("Bm", "B minor"), ("bm", "B minor"),
        ("Db", "C# major"), ("D flat", "C# major"), ("Cb", "B major"), ("E#", "F major"), (" Ebm \0", "D# minor"),
        ("8A", "A minor"), ("8B", "C major"), ("1A", "G# minor"), ("5A", "C minor"), ("12B", "E major"),
        ("08a", "A minor"), ("1m", "A minor"), ("1d", "C major"), ("2d", "G major"), ("12m", "D minor"),
    ],
)  # fmt: skip
def test_keys(text: str, key: str) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    "text", ["", "o", "H", "X minor", "13A", "0A", "8C", "A minor/C major", "All", "Blues", "8", "Amm", "A##", "minor"]
)
def test_not_keys(text: str) -> None:
    assert parse_key(text) is None


def test_the_wheel_codes_name_every_key_once() -> None:
    for rings in ("AB", "md"):
        assert len({parse_key(f"{hour}{ring}") for hour in range(1, 13) for ring in rings}) == 24


def test_parsed_keys_parse_to_themselves() -> None:
    for hour in range(1, 13):
        for ring in "AB":
            key = parse_key(f"{hour}{ring}")
            assert key is not None and parse_key(key) == key


def test_importing_does_not_load_tinytag() -> None:
    code = "import sys, soundalike.audio.tags; sys.exit('tinytag' in sys.modules)"
    path = str(Path(soundalike.audio.tags.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
