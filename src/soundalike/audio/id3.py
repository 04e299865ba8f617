"""Read the text frames of ID3v2 tags (2.2, 2.3, 2.4) and ID3v1 tags.

tinytag returns only the first of several references to genres ("(8)(5)"), and does not undo unsynchronisation, so
this module reads ID3 tags itself. Specifications: https://id3.org/id3v2.3.0 and https://id3.org/id3v2.4.0-structure.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["MAX_FIELD", "Fields", "decode_8bit", "read_id3v1", "read_id3v2"]

Fields = dict[str, list[str]]
"""Values by the name of the field, such as "artist"; `soundalike.audio.tag_fields` lists the names."""

MAX_FIELD = 1 << 16
"""Bytes read of one field; the rest of a longer one is ignored."""
_MAX_TAG = 1 << 25
"""Bytes read of a tag that must be read as a whole."""
_FRAMES = {
    "TIT2": "title", "TT2": "title", "TPE1": "artist", "TP1": "artist", "TALB": "album", "TAL": "album",
    "TPE2": "album_artist", "TP2": "album_artist", "TCON": "genre", "TCO": "genre", "TDRC": "year", "TYER": "year",
    "TYE": "year", "TDRL": "release_year", "TDOR": "original_year", "TORY": "original_year", "TOR": "original_year",
    "TBPM": "bpm", "TBP": "bpm", "TKEY": "key", "TKE": "key", "TMOO": "mood", "COMM": "comment", "COM": "comment",
}  # fmt: skip
_FRAME_ID = {3: re.compile(rb"[A-Z][A-Z0-9]{2}"), 4: re.compile(rb"[A-Z][A-Z0-9]{3}")}
_REFERENCES = re.compile(r"((?:\((?:\d{1,3}|RX|CR)\))+)(.*)", re.DOTALL)
_NAMED_GENRES = {"RX": "Remix", "CR": "Cover"}
_GENRE_NAMES = (
    "Blues,Classic Rock,Country,Dance,Disco,Funk,Grunge,Hip-Hop,Jazz,Metal,New Age,Oldies,Other,Pop,R&B,Rap,Reggae,"
    "Rock,Techno,Industrial,Alternative,Ska,Death Metal,Pranks,Soundtrack,Euro-Techno,Ambient,Trip-Hop,Vocal,"
    "Jazz+Funk,Fusion,Trance,Classical,Instrumental,Acid,House,Game,Sound Clip,Gospel,Noise,Alternative Rock,Bass,"
    "Soul,Punk,Space,Meditative,Instrumental Pop,Instrumental Rock,Ethnic,Gothic,Darkwave,Techno-Industrial,"
    "Electronic,Pop-Folk,Eurodance,Dream,Southern Rock,Comedy,Cult,Gangsta,Top 40,Christian Rap,Pop/Funk,Jungle,"
    "Native American,Cabaret,New Wave,Psychedelic,Rave,Showtunes,Trailer,Lo-Fi,Tribal,Acid Punk,Acid Jazz,Polka,"
    "Retro,Musical,Rock & Roll,Hard Rock,Folk,Folk-Rock,National Folk,Swing,Fast Fusion,Bebop,Latin,Revival,Celtic,"
    "Bluegrass,Avantgarde,Gothic Rock,Progressive Rock,Psychedelic Rock,Symphonic Rock,Slow Rock,Big Band,Chorus,"
    "Easy Listening,Acoustic,Humour,Speech,Chanson,Opera,Chamber Music,Sonata,Symphony,Booty Bass,Primus,Porn Groove,"
    "Satire,Slow Jam,Club,Tango,Samba,Folklore,Ballad,Power Ballad,Rhythmic Soul,Freestyle,Duet,Punk Rock,Drum Solo,"
    "A Cappella,Euro-House,Dance Hall,Goa,Drum & Bass,Club-House,Hardcore,Terror,Indie,BritPop,Afro-Punk,Polsk Punk,"
    "Beat,Christian Gangsta Rap,Heavy Metal,Black Metal,Crossover,Contemporary Christian,Christian Rock,Merengue,"
    "Salsa,Thrash Metal,Anime,JPop,Synthpop,Abstract,Art Rock,Baroque,Bhangra,Big Beat,Breakbeat,Chillout,Downtempo,"
    "Dub,EBM,Eclectic,Electro,Electroclash,Emo,Experimental,Garage,Global,IDM,Illbient,Industro-Goth,Jam Band,"
    "Krautrock,Leftfield,Lounge,Math Rock,New Romantic,Nu-Breakz,Post-Punk,Post-Rock,Psytrance,Shoegaze,Space Rock,"
    "Trop Rock,World Music,Neoclassical,Audiobook,Audio Theatre,Neue Deutsche Welle,Podcast,Indie Rock,G-Funk,"
    "Dubstep,Garage Rock,Psybient"
)
_GENRES = tuple(_GENRE_NAMES.split(","))
"""The genres of ID3v1 with the extensions of Winamp, by number."""


def read_id3v2(file: BinaryIO, offset: int = 0) -> tuple[Fields, int]:
    """Read the text of an ID3v2 tag.

    Args:
        file: The file.
        offset: Where the tag starts.

    Returns:
        The fields, and the offset at which the tag ends as stated: `offset` if there is no tag.
    """
    file.seek(offset)
    header = file.read(10)
    if len(header) < 10 or header[:3] != b"ID3" or header[3] not in (2, 3, 4):
        return {}, offset
    major, flags, size = header[3], header[5], _synchsafe(header[6:10])
    stop = offset + 10 + size
    end = stop + (10 if major == 4 and flags & 0x10 else 0)
    stream: BinaryIO = file
    if flags & 0x80 and major < 4:
        body = file.read(min(size, _MAX_TAG)).replace(b"\xff\x00", b"\xff")
        stream, stop = io.BytesIO(body), len(body)
    if flags & 0x40:
        if major == 2:  # compressed; no method was ever defined
            return {}, end
        extended = stream.read(4)
        stream.seek(max(_synchsafe(extended) - 4, 0) if major == 4 else int.from_bytes(extended, "big"), os.SEEK_CUR)
    fields: Fields = {}
    for frame, content in _frames(stream, stop, major, unsynchronised=bool(flags & 0x80 and major == 4)):
        name, values = _field(frame, content)
        if name:
            fields.setdefault(name, []).extend(values)
    return fields, end


def read_id3v1(file: BinaryIO) -> tuple[Fields, int]:
    """Read the ID3v1 tag at the end of a file; returns the fields and where the tag starts, or the size of the file."""
    size = file.seek(0, os.SEEK_END)
    if size < 128:
        return {}, size
    file.seek(size - 128)
    tag = file.read(128)
    if tag[:3] != b"TAG":
        return {}, size
    places = {"title": (3, 33), "artist": (33, 63), "album": (63, 93), "year": (93, 97)}
    fields = {name: [decode_8bit(tag[start:stop].split(b"\0")[0])] for name, (start, stop) in places.items()}
    if tag[127] < len(_GENRES):
        fields["genre"] = [_GENRES[tag[127]]]
    return {name: values for name, values in fields.items() if values[0].strip()}, size - 128


def decode_8bit(data: bytes) -> str:
    """Decode text that does not state its encoding, or states Latin-1, which many programs wrote for any other.

    The encoding named by `$SOUNDALIKE_ENCODING`, such as "cp1251" or "gbk", is tried first. Else text that is valid
    UTF-8 is UTF-8, and the rest is Windows-1252, the extension of Latin-1. There is no further guess: short text in one
    8-bit encoding is valid in most others.
    """
    for encoding in (os.environ.get("SOUNDALIKE_ENCODING"), "utf-8", "cp1252"):
        try:
            if encoding:
                return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def _frames(stream: BinaryIO, stop: int, major: int, *, unsynchronised: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of the frames that are read, with flags undone."""
    width = 3 if major == 2 else 4
    at = stream.tell()
    while at < stop:
        stream.seek(at)
        header = stream.read(6 if major == 2 else 10)
        if len(header) < (6 if major == 2 else 10) or not _FRAME_ID[width].fullmatch(header[:width]):
            return  # padding, or the end
        frame = header[:width].decode("ascii")
        at += len(header)
        size = int.from_bytes(header[width : 2 * width], "big")
        if major == 4:
            size = _size_of_2_4(stream, at, stop, header[4:8])
        flags = header[9] if major > 2 else 0
        if frame in _FRAMES or frame in ("TXXX", "TXX"):
            stream.seek(at)
            content = stream.read(min(size, MAX_FIELD))
            yield frame, _undo_flags(content, flags, major, unsynchronised)
        at += size


def _undo_flags(content: bytes, flags: int, major: int, unsynchronised: bool) -> bytes:
    """The content of a frame without what its flags say; empty if it is encrypted."""
    if major == 3:
        grouped, compressed, encrypted, stated = flags & 0x20, flags & 0x80, flags & 0x40, flags & 0x80
    else:
        grouped, compressed, encrypted, stated = flags & 0x40, flags & 0x08, flags & 0x04, flags & 0x01
        unsynchronised = unsynchronised or bool(flags & 0x02)
    if encrypted:
        return b""
    if major == 4 and unsynchronised:
        content = content.replace(b"\xff\x00", b"\xff")
    # In 2.3 the size before compression comes before the group, in 2.4 after it; both are skipped.
    content = content[(1 if grouped else 0) + (4 if stated else 0) :]
    if compressed:
        try:
            content = zlib.decompressobj().decompress(content, MAX_FIELD)
        except zlib.error:
            return b""
    return content


def _size_of_2_4(stream: BinaryIO, at: int, stop: int, stated: bytes) -> int:
    """The size of a frame of 2.4, which is synchsafe; old versions of iTunes wrote it as in 2.3."""
    size, plain = _synchsafe(stated), int.from_bytes(stated, "big")
    if size == plain or _is_frame_start(stream, at + size, stop):
        return size
    return plain if _is_frame_start(stream, at + plain, stop) else size


def _is_frame_start(stream: BinaryIO, at: int, stop: int) -> bool:
    """Whether a frame, the padding or the end of the tag is at an offset."""
    if at >= stop:
        return at == stop
    stream.seek(at)
    name = stream.read(4)
    return bool(_FRAME_ID[4].fullmatch(name)) or not name.strip(b"\0")


def _field(frame: str, content: bytes) -> tuple[str, list[str]]:
    """The name of the field, "" if there is none, and its values."""
    if not content:
        return "", []
    encoding, content = content[0], content[1:]
    if frame in ("COMM", "COM"):
        content = content[3:]  # the language
    values = _decode(content, encoding).split("\0")
    if frame in ("COMM", "COM"):
        # Described comments hold what programs store: volumes, identifiers.
        return ("comment", values[1:]) if len(values) > 1 and not values[0] else ("", [])
    if frame in ("TXXX", "TXX"):
        return values[0], values[1:]
    values = [value for value in values if value.strip()]
    if _FRAMES[frame] == "genre":
        return "genre", [name for value in values for name in _genres(value)]
    return _FRAMES[frame], values


def _decode(content: bytes, encoding: int) -> str:
    """Decode text whose parts are separated by NUL."""
    if encoding in (1, 2):
        big = content[:2] == b"\xfe\xff" or (encoding == 2 and content[:2] != b"\xff\xfe")
        text = content.decode("utf-16-be" if big else "utf-16-le", "replace")
        return text.replace("\ufeff", "")  # every part may have its own mark
    if encoding == 3:
        try:
            # An incomplete character at the end of a shortened field is dropped.
            return codecs.getincrementaldecoder("utf-8")().decode(content)
        except UnicodeDecodeError:
            pass
    return "\0".join(map(decode_8bit, content.split(b"\0")))


def _genres(value: str) -> list[str]:
    """The genres of one value: a name, a number ("8"), or references, with or without a name: "(8)(5)Acid Jazz".

    A name after references refines them, so it comes last and they count too. "((" stands for "(".
    """
    value = value.strip()
    if value.isascii() and value.isdigit() and int(value) < len(_GENRES):
        return [_GENRES[int(value)]]
    if value in _NAMED_GENRES:
        return [_NAMED_GENRES[value]]
    found = _REFERENCES.fullmatch(value)
    if not found:
        return [value[1:] if value.startswith("((") else value]
    references = re.findall(r"\d+|RX|CR", found[1])
    known = [_NAMED_GENRES.get(one) or (_GENRES[int(one)] if int(one) < len(_GENRES) else "") for one in references]
    rest = found[2].strip()
    return [name for name in [*known, rest[1:] if rest.startswith("((") else rest] if name]


def _synchsafe(data: bytes) -> int:
    """An integer of 7 bits per byte."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number
