"""What headers state about the length of a recording, and how far that can be trusted.

- WAV: a data size of 0 is that of a recorder that crashed. A size that ends in the middle of the samples, with
  neither a chunk nor a tag behind it, is one that the recorder stopped to update. Both are replaced by the real size.
- Ogg: the granule positions, unless pages are missing from the start, as in a recording of a web radio.
- MP3: the frame count of a Xing, Info or VBRI header. An estimate from size and bitrate states nothing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from soundalike.audio.source import Section, Source

__all__ = ["OggLink", "id3_size", "mp3_seconds", "ogg_links", "repair_header", "without_trailing_tags"]

_MAX_CHUNKS = 10_000  # so that a file of tiny chunks does not take minutes
_TAGS = (b"APETAGEX", b"ID3", b"TAG", b"LYRICSBEGIN")


def repair_header(source: Source) -> Section | None:
    """Return a WAV or AU file whose header states too little as a file with a true header; None if it is sound.

    Chunks of odd length may be unpadded, which neither decoder accepts.
    """
    head = _at(source, 0, 24)
    if head[:4] == b".snd":
        after = int.from_bytes(head[4:8], "big")
        unstated = head[8:12] == bytes(4) and 24 <= after < source.size
        return Section(source, 12, source.size, head[:8] + b"\xff" * 4) if unstated else None
    if head[8:12] != b"WAVE":
        return None
    position, layout, long_size, unpadded = 12, b"", 0, False
    for _ in range(_MAX_CHUNKS):
        name, size = _chunk(source, position)
        if name == b"fmt " and 16 <= size <= 256:
            layout = _at(source, position, 8 + size)
        elif name == b"ds64":
            long_size = int.from_bytes(_at(source, position + 16, 8), "little")
        if name == b"data" or not _is_chunk(source, position):
            break
        after = position + 8 + size
        if size % 2 and not _is_chunk(source, after + 1) and _is_chunk(source, after):
            unpadded, position = True, after
        else:
            position = after + size % 2
    if name != b"data" or len(layout) < 24:
        return None
    if head[:4] != b"RIFF" and size == 0xFFFFFFFF:
        size = long_size
    piped = 0x7FFF0000 <= size <= 0xFFFFFFFF  # programs that write to a pipe do not know the length
    rate = max(struct.unpack_from("<I", layout, 16)[0], 1)  # bytes per second
    frame = max(struct.unpack_from("<H", layout, 20)[0], 1)
    start = position + 8
    end = min(start + size, source.size)
    rest = source.size - end
    short = not piped and rest >= (rate if size else frame) and not _ends_here(source, end + size % 2)
    if not short and not unpadded:
        return None
    size = (source.size if short else end) - start
    body = layout + bytes(len(layout) % 2) + b"data" + struct.pack("<I", min(size, 0xFFFFFFFF))
    header = b"RIFF" + struct.pack("<I", min(4 + len(body) + size, 0xFFFFFFFF)) + b"WAVE" + body
    return Section(source, start, start + size, header)


def _ends_here(source: Source, position: int) -> bool:
    """Whether chunks, tags or zeros follow, rather than samples."""
    head = _at(source, position, 1 << 16)
    return head.startswith(_TAGS) or _is_chunk(source, position) or not any(head)


def _is_chunk(source: Source, position: int) -> bool:
    """Whether a RIFF chunk may begin at a position: a name of printable characters, and a size that fits."""
    name, size = _chunk(source, position)
    printable = len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)
    return printable and (name == b"data" or position + 8 + size <= source.size)


def _chunk(source: Source, position: int) -> tuple[bytes, int]:
    """Return the name and the size of the chunk at a position."""
    head = _at(source, position, 8)
    return (head[:4], int.from_bytes(head[4:], "little")) if len(head) == 8 else (b"", 0)


def _at(source: Source | Section, position: int, size: int) -> bytes:
    """Return up to `size` bytes from a position."""
    source.seek(max(position, 0))
    return source.read(size) or b""


def without_trailing_tags(source: Source) -> Source | Section:
    """Return the file without an ID3v1 or APEv2 tag at its end, which is no part of a FLAC or WavPack stream."""
    end = source.size
    if _at(source, end - 128, 3) == b"TAG":
        end -= 128
    foot = _at(source, end - 32, 32)
    if foot[:8] == b"APETAGEX" and len(foot) == 32:
        size, flags = struct.unpack_from("<I4xI", foot, 12)
        size += 32 if flags >> 31 else 0
        end -= size if size < end else 0  # a larger size is wrong
    source.seek(0)
    return source if end == source.size else Section(source, 0, end)


def id3_size(source: Source | Section, position: int = 0) -> int:
    """Return the size of the ID3v2 tag at a position of a file, 0 without one."""
    head = _at(source, position, 10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return 10 + size


_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_seconds(source: Source | Section) -> float | None:
    """Return the seconds that the Xing, Info or VBRI header of an MP3 file states; None without one."""
    start = 0
    while size := id3_size(source, start):
        start += size
    head = _at(source, start, 4096)
    for at in range(len(head) - 4):
        if head[at] == 0xFF and head[at + 1] & 0xE6 == 0xE2:  # sync, layer III
            version, rate = head[at + 1] >> 3 & 3, head[at + 2] >> 2 & 3
            if version == 1 or rate == 3:
                continue
            samples = (1152 if version == 3 else 576) / _MP3_RATES[version][rate]
            frame = head[at : at + 200]
            for name in (b"Xing", b"Info"):
                place = frame.find(name)
                if 0 < place <= 40 and len(frame) >= place + 12 and frame[place + 7] & 1:
                    count: int = struct.unpack_from(">I", frame, place + 8)[0]
                    return count * samples if count else None
            if frame[36:40] == b"VBRI" and len(frame) >= 54:
                return struct.unpack_from(">I", frame, 50)[0] * samples or None
            return None
    return None


@dataclass(slots=True)
class OggLink:
    """One of the streams that are chained in an Ogg file.

    Attributes:
        start: Its first byte.
        end: The byte behind it.
        rate: Sample rate of its audio in Hz; 0 if the codec is unknown.
        granule: The last granule position of its audio; None without one.
        skip: The samples that Opus skips, which count in `granule`.
        captured: Whether pages are missing behind its headers: it was recorded from the middle of a stream.
        finished: Whether its last page is marked as the last one.
    """

    start: int
    end: int = 0
    rate: int = 0
    granule: int | None = None
    skip: int = 0
    captured: bool = False
    finished: bool = False
    _serial: int | None = None
    _next: int = 0
    _begun: bool = False

    def add(self, page: _OggPage) -> bool:
        """Add a page; returns False if the page belongs to the next link."""
        if page.first and self._begun:
            return False
        self.end = page.offset + page.size
        if page.first:
            if self._serial is None and (rate := _ogg_rate(page.packet)):
                self._serial, self._next, self.rate = page.serial, page.number + 1, rate
                self.skip = int.from_bytes(page.packet[10:12], "little") if page.packet[:8] == b"OpusHead" else 0
            return True
        self._begun = True
        if page.serial == self._serial:
            if page.granule > 0:  # the headers have granule position 0
                lost = page.number != self._next or page.granule > self.skip + _LONGEST_PAGE
                self.captured |= self.granule is None and lost
                self.granule = page.granule
            self._next, self.finished = page.number + 1, page.last
        return True

    @property
    def seconds(self) -> float | None:
        """Seconds that it states; None if they are unknown, or if it does not start at 0."""
        if self.granule is None or self.captured:
            return None
        return max(self.granule - self.skip, 0) / self.rate


_LONGEST_PAGE = 480_000
"""Samples that the first page of audio may end at. Pages hold at most a few seconds."""


def ogg_links(source: Source) -> list[OggLink]:
    """Return the streams that are chained in an Ogg file, in order."""
    links: list[OggLink] = []
    for page in _ogg_pages(source):
        if not links or not links[-1].add(page):
            links.append(OggLink(page.offset))
            links[-1].add(page)
    return links


def _ogg_rate(packet: bytes) -> int:
    """Return the sample rate that the first packet of an audio stream states, 0 for another stream."""
    if packet.startswith(b"OpusHead"):
        return 48000  # whatever the rate of the input was (RFC 7845, section 5.1)
    if packet.startswith(b"\x01vorbis"):
        return int.from_bytes(packet[12:16], "little")
    if packet.startswith(b"Speex   "):
        return int.from_bytes(packet[36:40], "little")
    # The packet of FLAC holds STREAMINFO from byte 17 on, with the rate in 20 bits (RFC 9639, section 10.1).
    return int.from_bytes(packet[27:30], "big") >> 4 if packet.startswith(b"\x7fFLAC") else 0


@dataclass(frozen=True, slots=True)
class _OggPage:
    offset: int
    size: int
    first: bool
    last: bool
    granule: int
    serial: int
    number: int
    packet: bytes


def _ogg_pages(source: Source) -> Iterator[_OggPage]:
    """Yield the headers of all complete pages, and the first bytes of the packet in first pages (RFC 3533, section 6).

    Bytes between pages are skipped.
    """
    source.seek(0)
    file, position = io.BufferedReader(_Borrowed(source), 1 << 16), 0
    while True:
        file.seek(position)
        head = file.read(27 + 255)
        if len(head) < 27:
            return
        if head[:4] != b"OggS":
            found = -1
            while found < 0:
                file.seek(position + 1)
                piece = file.read(1 << 16)
                if len(piece) < 4:
                    return
                found = piece.find(b"OggS")
                position += 1 + found if found >= 0 else len(piece) - 3
            continue
        flags, granule, serial, number, count = struct.unpack_from("<xBqIIxxxxB", head, 4)
        size = 27 + count + sum(head[27 : 27 + count])
        if position + size > source.size:
            return
        packet = b""
        if flags & 2:
            file.seek(position + 27 + count)
            packet = file.read(40)
        yield _OggPage(position, size, bool(flags & 2), bool(flags & 4), granule, serial, number, packet)
        position += size


class _Borrowed(io.RawIOBase):
    """A file that stays open when the buffer around it is collected."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def readinto(self, buffer: object) -> int:
        return self._source.readinto(buffer) or 0
