"""ID3 tags written as bytes: every version, encoding and flag, and what old programs got wrong."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.audio.id3 import MAX_FIELD, Fields, decode_8bit, read_id3v1, read_id3v2


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name: str, content: bytes, major: int = 3, flags: int = 0) -> bytes:
    if major == 2:
        return name.encode() + len(content).to_bytes(3, "big") + content
    size = synchsafe(len(content)) if major == 4 else len(content).to_bytes(4, "big")
    return name.encode() + size + bytes([0, flags]) + content


def tag(*frames: bytes, major: int = 3, flags: int = 0) -> bytes:
    body = b"".join(frames)
    return b"ID3" + bytes([major, 0, flags]) + synchsafe(len(body)) + body


def read(data: bytes) -> Fields:
    return read_id3v2(io.BytesIO(data))[0]


@pytest.mark.parametrize(
    ("content", "genres"),
    [
        (b"\0(8)(5)", ["Jazz", "Funk"]),
        (b"\0(8)Acid Jazz", ["Jazz", "Acid Jazz"]),
        (b"\x008", ["Jazz"]),
        (b"\0(RX)(CR)", ["Remix", "Cover"]),
        (b"\0((Jazz", ["(Jazz"]),
        (b"\0(8)((odd)", ["Jazz", "(odd)"]),
        (b"\0(Jazz)", ["(Jazz)"]),
        (b"\0" + b"255", ["255"]),
        (b"\0(250)", []),
        (b"\x0380s", ["80s"]),
        (b"\x03Jazz\0Funk\0\0", ["Jazz", "Funk"]),
        (b"\x038\x005", ["Jazz", "Funk"]),
        (b"\x01" + "Jazz\0".encode("utf-16") + "Funk".encode("utf-16"), ["Jazz", "Funk"]),
        (b"\x02" + "Jazz\0Funk".encode("utf-16-be"), ["Jazz", "Funk"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("major", [2, 3, 4])
def test_genres(content: bytes, genres: list[str], major: int) -> None:
    assert read(tag(frame("TCO" if major == 2 else "TCON", content, major), major=major)).get("genre", []) == genres


def test_a_frame_that_occurs_twice_has_both_values() -> None:
    assert read(tag(frame("TPE1", b"\0Jay"), frame("TPE1", b"\0Bee"))) == {"artist": ["Jay", "Bee"]}


def test_user_frames_are_named_by_their_description() -> None:
    utf16 = b"\x01" + "INITIALKEY\0".encode("utf-16") + "8A".encode("utf-16")
    assert read(tag(frame("TXXX", utf16), frame("TXXX", b"\0fBPM\x00128.02"))) == {
        "INITIALKEY": ["8A"], "fBPM": ["128.02"],
    }  # fmt: skip


def test_only_comments_without_a_description_are_comments() -> None:
    found = read(tag(frame("COMM", b"\0engiTunNORM\0 00000"), frame("COMM", b"\0eng\x008A - Energy 6")))
    assert found == {"comment": ["8A - Energy 6"]}


def test_unsynchronised_tags() -> None:
    # Every FF in the content is followed by 00, in 2.3 in the whole tag, in 2.4 per frame.
    text = b"\x01" + "Ärtist ÿ".encode("utf-16")
    plain = frame("TPE1", text) + frame("TIT2", b"\0T")
    assert b"\xff\xfe" in plain
    sent = plain.replace(b"\xff", b"\xff\x00")
    old = b"ID3" + bytes([3, 0, 0x80]) + synchsafe(len(sent)) + sent
    new = tag(frame("TPE1", text.replace(b"\xff", b"\xff\x00"), 4, flags=0x02), frame("TIT2", b"\0T", 4), major=4)
    for data in (old, new):
        assert read(data) == {"artist": ["Ärtist ÿ"], "title": ["T"]}


def test_frame_flags() -> None:
    packed = zlib.compress(b"\0Packed")
    stated = len(b"\0Packed")
    old = tag(frame("TPE1", stated.to_bytes(4, "big") + packed, flags=0x80), frame("TALB", b"g\0Grouped", flags=0x20))
    new = tag(
        frame("TPE1", synchsafe(stated) + packed, 4, flags=0x09), frame("TALB", b"g\0Grouped", 4, flags=0x40), major=4
    )
    for data in (old, new):
        assert read(data) == {"artist": ["Packed"], "album": ["Grouped"]}
    assert read(tag(frame("TPE1", b"k\0secret", flags=0x40))) == {}
    assert read(tag(frame("TPE1", b"\0\0\0\x05not zlib", flags=0x80))) == {}


def test_extended_headers_are_skipped() -> None:
    # 2.3 states the size without the four bytes that state it, 2.4 with them.
    old = tag((6).to_bytes(4, "big") + bytes(6), frame("TPE1", b"\0A"), flags=0x40)
    new = tag(synchsafe(6) + bytes(2), frame("TPE1", b"\0A", 4), major=4, flags=0x40)
    assert read(old) == read(new) == {"artist": ["A"]}


def test_sizes_of_old_itunes() -> None:
    # It wrote the frames of 2.4 with plain sizes. They differ from synchsafe ones above 127 bytes.
    long = b"\0" + b"x" * 300
    plain = b"TALB" + len(long).to_bytes(4, "big") + bytes(2) + long
    assert read(tag(plain, frame("TPE1", b"\0A", 4), major=4)) == {"album": ["x" * 300], "artist": ["A"]}
    assert read(tag(frame("TALB", long, 4), frame("TPE1", b"\0A", 4), major=4)) == {
        "album": ["x" * 300],
        "artist": ["A"],
    }


def test_a_size_that_lies_and_what_is_no_tag() -> None:
    assert read(b"ID3\3\0\0\x00\x7f\x7f\x7f" + frame("TPE1", b"\0Liars") + b"\xff\xfb\x90\x00" * 99) == {
        "artist": ["Liars"]
    }
    for data in (b"", b"ID3", b"ID3\x05\0\0\0\0\0\x0a" + frame("TPE1", b"\0A"), b"TAG"):
        assert read_id3v2(io.BytesIO(data)) == ({}, 0)
    assert read_id3v2(io.BytesIO(tag(frame("TPE1", b"\0A")) + b"fLaC"))[1] == 22


def test_a_field_is_read_up_to_a_bound() -> None:
    title = "é" * 1_000_000
    found = read(tag(frame("TIT2", b"\x03" + title.encode(), 4), frame("TPE1", b"\0A", 4), major=4))
    assert found == {"title": ["é" * ((MAX_FIELD - 1) // 2)], "artist": ["A"]}
    bomb = zlib.compress(bytes(50_000_000))
    assert len(read(tag(frame("TPE1", bytes(4) + b"\0" + bomb, flags=0x80))).get("artist", [])) < 2


def test_id3v1() -> None:
    def v1(genre: int) -> bytes:
        return struct.pack("3s30s30s30s4s30sB", b"TAG", b"Title", b"Artist", b"  ", b"1999", b"", genre)

    expected = {"title": ["Title"], "artist": ["Artist"], "year": ["1999"]}
    assert read_id3v1(io.BytesIO(b"x" * 99 + v1(8))) == ({**expected, "genre": ["Jazz"]}, 99)
    assert read_id3v1(io.BytesIO(v1(255))) == (expected, 0)
    assert read_id3v1(io.BytesIO(b"x" * 200)) == ({}, 200)
    assert read_id3v1(io.BytesIO(b"TAG")) == ({}, 3)


def test_text_without_an_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    cyrillic, chinese = "Пример".encode("cp1251"), "例子".encode("gbk")
    assert decode_8bit("Müller".encode("latin-1")) == "Müller"
    assert decode_8bit("Müller’s".encode("cp1252")) == "Müller’s"
    assert decode_8bit("Müller’s".encode()) == "Müller’s"  # UTF-8 that a program called Latin-1
    assert decode_8bit(b"\x81\xe9") == "\x81é"  # not a character of Windows-1252
    # No guess is made: the bytes of one encoding are valid in others.
    assert decode_8bit(cyrillic) == "Ïðèìåð"
    monkeypatch.setenv("SOUNDALIKE_ENCODING", "cp1251")
    assert decode_8bit(cyrillic) == "Пример"
    monkeypatch.setenv("SOUNDALIKE_ENCODING", "gbk")
    assert decode_8bit(chinese) == "例子"
    assert read(tag(frame("TPE1", b"\0" + chinese))) == {"artist": ["例子"]}
    assert decode_8bit("é".encode("latin-1")) == "é"  # not valid in that encoding
    for name in ("none", "base64", ""):
        monkeypatch.setenv("SOUNDALIKE_ENCODING", name)
        assert decode_8bit(b"\xe9") == "é"


@given(st.binary(max_size=200), st.sampled_from([2, 3, 4]), st.sampled_from([0, 0x40, 0x80, 0xC0]))
def test_arbitrary_bytes_are_read_without_error(data: bytes, major: int, flags: int) -> None:
    for body in (data, b"TCO" + data, b"TCON" + data, b"TXXX\0\0\0\x20\0" + data):
        fields = read(b"ID3" + bytes([major, 0, flags]) + synchsafe(len(body)) + body)
        assert all(isinstance(value, str) for values in fields.values() for value in values)
