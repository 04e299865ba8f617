"""Find the tags of a file and read their fields as written; `tags.py` interprets them.

The content decides which reader is used, not the name:

- ID3v2, ID3v1, APEv2, and the chunks of WAV and AIFF are read here and in `id3.py`.
- tinytag reads Vorbis comments (FLAC, Ogg), MP4 and WMA.
- FFmpeg (PyAV) reads Matroska, WebM, CAF and what few others have tags. It keeps one value of a repeated field.

If a file has several tags, each field comes from the first one that has it: the format's own, ID3v2, APEv2, ID3v1.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from soundalike.audio.id3 import MAX_FIELD, Fields, decode_8bit, read_id3v1, read_id3v2

__all__ = ["Section", "read_fields"]

_TINYTAG_MAGIC = (b"fLaC", b"OggS", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_FFMPEG_MAGIC = (b"\x1aE\xdf\xa3", b"caff", b".snd", b"FLV", b"riff")
_FFMPEG_FORMATS = "matroska,webm,caf,au,flv,w64"
_MAX_READ = 1 << 26
"""Bytes that tinytag may read at once: more than any cover, less than what a wrong size asks for."""
_MAX_ITEMS = 1000
"""Chunks of a file and items of an APE tag that are read."""
_NAMES = {
    "title": "title", "artist": "artist", "artists": "artist", "author": "artist", "albumartist": "album_artist",
    "album": "album", "albumtitle": "album", "genre": "genre", "year": "year", "date": "year", "_year": "year",
    "releasedate": "release_year", "datereleased": "release_year", "daterecorded": "year",
    "originaldate": "original_year", "originalyear": "original_year", "originalreleasedate": "original_year",
    "originalreleaseyear": "original_year", "originalreleasetime": "original_year", "tdor": "original_year",
    "tory": "original_year", "bpm": "bpm", "tbpm": "bpm", "beatsperminute": "bpm", "fbpm": "precise_bpm",
    "tempo": "tempo", "initialkey": "key", "tkey": "key", "key": "named_key", "comment": "comment",
    "mood": "mood",
}  # fmt: skip
"""Our name of a field by what others call it, in lower case without spaces, underscores and hyphens."""
_INFO_CHUNKS = {
    b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"IGNR": "genre", b"ICRD": "year", b"IBPM": "bpm",
    b"ICMT": "comment",
}  # fmt: skip
_AIFF_CHUNKS = {b"NAME": "title", b"AUTH": "artist"}


def read_fields(path: str | os.PathLike[str]) -> Fields:
    """Read the tags of a file.

    Returns:
        The values of each field as written. The names are title, artist, album_artist, album, genre, year,
        original_year, release_year, bpm, precise_bpm, tempo, key, named_key, mood and comment.

    Raises:
        OSError: The file cannot be read.
        ValueError: The path contains a NUL byte.
    """
    with Path(path).open("rb") as file:
        id3, start = read_id3v2(file)
        file.seek(start)
        while file.read(3) == b"ID3" and start < _MAX_READ:
            again, end = read_id3v2(file, start)
            if end == start:
                break
            id3, start = _merged([id3, again]), end
            file.seek(start)
        id3v1, end = read_id3v1(file)
        return _merged(map(_renamed, [_native(file, start), id3, _ape(file, end), id3v1]))


def _merged(tags: Iterable[Fields]) -> Fields:
    merged: Fields = {}
    for tag in tags:
        merged = {**tag, **merged}
    return merged


def _renamed(fields: Mapping[str, Iterable[str]]) -> Fields:
    """The fields that are known, under our names."""
    ours: Fields = {}
    for name, values in fields.items():
        plain = name.casefold().removeprefix("wm/").replace(" ", "").replace("-", "")
        known = _NAMES.get(plain) or _NAMES.get(plain.replace("_", "")) or (name if name in _NAMES.values() else None)
        present = [value for value in values if value.strip("\0 \t\r\n")]
        if known and present:
            ours.setdefault(known, []).extend(present)
    return ours


def _native(file: BinaryIO, start: int) -> Fields:
    """The tags of the format that begins at `start`, behind ID3 tags."""
    file.seek(start)
    magic = file.read(16)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return _chunks(file, start, "big" if magic[:4] in (b"FORM", b"RIFX") else "little")
    if magic[:4] == b"DSD ":
        file.seek(start + 20)
        return read_id3v2(file, int.from_bytes(file.read(8), "little"))[0]
    if magic.startswith(_TINYTAG_MAGIC) or magic[4:8] in _MP4_ATOMS:
        return _tinytag(file, start)
    if magic.startswith(_FFMPEG_MAGIC):
        return _ffmpeg(file)
    return {}


def _chunks(file: BinaryIO, start: int, order: Literal["little", "big"]) -> Fields:
    """The tags of WAV and AIFF: an ID3 chunk before text chunks."""
    id3: Fields = {}
    text: Fields = {}
    for name, at, size in _walk(file, start + 12, file.seek(0, os.SEEK_END), order):
        if name in (b"id3 ", b"ID3 "):
            id3 = _merged([id3, read_id3v2(file, at)[0]])
        elif name in _AIFF_CHUNKS:
            text.setdefault(_AIFF_CHUNKS[name], []).append(_read_text(file, at, size))
        elif name == b"LIST":
            file.seek(at)
            if file.read(4) == b"INFO":
                for info, place, length in _walk(file, at + 4, at + size, order):
                    if info in _INFO_CHUNKS:
                        text.setdefault(_INFO_CHUNKS[info], []).append(_read_text(file, place, length))
    return _merged([_renamed(id3), text])


def _walk(file: BinaryIO, at: int, stop: int, order: Literal["little", "big"]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the offset and the size of chunks."""
    for _ in range(_MAX_ITEMS):
        file.seek(at)
        header = file.read(8)
        if at + 8 > stop or len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return
        size = int.from_bytes(header[4:], order)
        yield header[:4], at + 8, size
        at += 8 + size
        if size % 2:
            # A chunk is padded to an even size, but some programs forget that.
            file.seek(at)
            at += file.read(1) == b"\0"


def _read_text(file: BinaryIO, at: int, size: int) -> str:
    file.seek(at)
    return decode_8bit(file.read(min(size, MAX_FIELD)).split(b"\0")[0])


def _ape(file: BinaryIO, end: int) -> Fields:
    """The APE tag that ends at `end`: https://wiki.hydrogenaud.io/index.php?title=APEv2_specification"""
    if end < 32:
        return {}
    file.seek(end - 32)
    footer = file.read(32)
    if footer[:8] != b"APETAGEX":
        return {}
    version, size, count, _ = struct.unpack_from("<4I", footer, 8)
    at, stop = end - size, end - 32
    fields: Fields = {}
    for _ in range(min(count, _MAX_ITEMS)):
        if not 0 <= at < stop:
            break
        file.seek(at)
        head = file.read(8 + 256)
        key, separator, _ = head[8:].partition(b"\0")
        if not separator:
            break
        length, flags = struct.unpack_from("<2I", head)
        at += 8 + len(key) + 1
        if flags >> 1 & 3 == 0:  # text, not binary
            file.seek(at)
            value = file.read(min(length, MAX_FIELD, stop - at))
            text = decode_8bit(value) if version < 2000 else value.decode("utf-8", "replace")
            fields.setdefault(key.decode("latin-1"), []).extend(text.split("\0"))
        at += length
    return fields


class Section:
    """A file from an offset on, for tinytag; refuses to read a wrong size into memory."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start

    def read(self, size: int = -1) -> bytes:
        """Read bytes. Raises ValueError if the size is wrong."""
        if not 0 <= size <= _MAX_READ:
            raise ValueError(f"a field of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, counted from the offset."""
        return self._file.seek(offset + (self._start if whence == os.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        """Return the position, counted from the offset."""
        return self._file.tell() - self._start


class _SafeFile:
    """A file for FFmpeg. PyAV prints exceptions of these methods, so errors are results."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError:
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError, ValueError):  # wrong sizes lead to impossible positions
            return -1

    def tell(self) -> int:
        return self._file.tell()


def _tinytag(file: BinaryIO, start: int) -> Fields:
    from tinytag import TinyTag, TinyTagException

    section: Any = Section(file, start)
    section.seek(0)
    try:
        tag = TinyTag.get(file_obj=section, duration=False)
    # Ignored on purpose: if the file itself is invalid, decoding reports it.
    except (TinyTagException, OSError, ValueError):
        return {}
    fields: Fields = {name: list(values) for name, values in tag.other.items()}
    for name in ("title", "artist", "albumartist", "album", "genre", "year", "comment"):
        if value := getattr(tag, name):
            fields[name] = [value, *fields.get(name, ())]
    return fields


def _ffmpeg(file: BinaryIO) -> Fields:
    import av

    file.seek(0)
    options: dict[str, Any] = {"options": {"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": "none"}}
    if int(av.__version__.partition(".")[0]) < 19:
        options["metadata_errors"] = "replace"
    try:
        with av.open(_SafeFile(file), "r", **options) as container:
            audio = container.streams.best("audio")
            tags = [container.metadata, audio.metadata if audio else {}]
    except (av.error.FFmpegError, OSError, ValueError):
        return {}
    return _merged({name: [value] for name, value in tag.items()} for tag in tags)
