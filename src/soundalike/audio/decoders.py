"""The two decoders: they turn a file into a stream of (c, t) float32 blocks.

The content of a file selects the decoder, not its name.

- libsndfile reads PCM and FLAC. It seeks to the exact sample and knows the length that the header states. It stops at a
  damaged frame, from which FFmpeg then goes on.
- FFmpeg (PyAV) reads everything else. For Vorbis and Opus it takes 40 % of libsndfile's time, and it is faster for MP3
  too. It skips stray bytes at which libsndfile stops without an error.

Neither prints anything: PyAV disables FFmpeg's log, and libsndfile's MP3 decoder, which writes to standard error, is
never used. A decoder reads up to a fault and then says what it was (`fault`); the caller decides what that means.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import numpy as np
import soundfile

from soundalike.audio.ffmpeg import BLOCK_SECONDS, FFmpegDecoder, OggDecoder, open_ffmpeg
from soundalike.audio.headers import id3_size, repair_header, without_trailing_tags
from soundalike.audio.source import Float32, Section, Source, reason
from soundalike.core.errors import AudioError

__all__ = ["Decoder", "SndfileDecoder", "open_decoder"]

_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC")
# Lines of libsndfile's log that report a header that contradicts the file: "data : 1000 (should be 500)".
_SIZE_MISMATCH = re.compile(r"(?:data|SSND|riff|Riff size|Data Size)\s*: (\d+) \(should be (\d+)\)")
# Channels at the sides, and behind where there is one pair (channel order of WAV; RFC 9639, section 9.1.3).
_SURROUND = {4: (2, 3), 5: (3, 4), 6: (4, 5), 7: (5, 6), 8: (6, 7)}


class SndfileDecoder:
    """Decoder for PCM and FLAC (libsndfile), with the attributes of `FFmpegDecoder`.

    Raises LibsndfileError if it cannot open the source.
    """

    slack: ClassVar[float] = 0.1
    bit_rate: ClassVar[None] = None

    def __init__(self, source: Source | Section) -> None:
        self._source, self._sound = source, _open(source)
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.codec: str = "flac" if self._sound.format == "FLAC" else self._sound.subtype.lower()
        # In WAV and FLAC, the low-frequency effects are the fourth channel of 5.1, 6.1 and 7.1.
        self.lfe: tuple[int, ...] = (3,) if 6 <= self.channels <= 8 else ()
        self.surround: tuple[int, ...] = _SURROUND.get(self.channels, ())
        # A FLAC file written to a pipe states no length, and libsndfile reports the largest integer.
        self.frames: int | None = self._sound.frames if self._sound.frames < 2**62 else None
        self.stated: float | None = None if self.frames is None else self.frames / max(self.rate, 1)
        sizes = _SIZE_MISMATCH.findall(self._sound.extra_info)
        if sizes and self.stated is not None:
            stated, actual = (int(size) for size in sizes[-1])
            # Programs that write to a pipe do not know the length, and state about 2 or 4 GB.
            piped = 0x7FFF0000 <= stated <= 0x80000000 or 0xFFFF0000 <= stated <= 0xFFFFFFFF
            if stated > actual and not piped:
                self.stated = self.stated * stated / max(actual, 1) if self.frames else math.inf
        self.fault: str | None = None
        self.notes: list[str] = []

    def seek(self, frame: int) -> int:
        """Go to `frame`, or to the end if there are fewer. Return the frame at which `blocks` will start."""
        self._position = frame if self.frames is None else min(frame, self.frames)
        try:
            if self._position:
                self._sound.seek(self._position)
        except soundfile.LibsndfileError:
            # The frame is behind the end of a truncated FLAC file. Decoding from the start finds where the file ends.
            self._source.seek(0)
            self._sound, self._position = _open(self._source), 0
        return self._position

    def blocks(self) -> Iterator[Float32]:
        """Yield (c, t) blocks to the end of the file, or to a fault."""
        size = count = int(self.rate * BLOCK_SECONDS)
        fault: str | None = None
        while count == size and fault is None:
            buffer = np.full((size, self.channels), np.nan, np.float32)
            try:
                count = len(self._sound.read(out=buffer))
            except soundfile.LibsndfileError as error:
                # What libsndfile decoded before the fault is in the buffer, and the rest of it is as it was.
                fault, empty = reason(error), np.isnan(buffer[:, 0])
                count = int(empty.argmax()) if empty.any() else size
            self._position += count
            if count:
                yield buffer[:count].T
        complete = self.frames is not None and self._position >= self.frames
        if complete or (self.frames is not None and self._source.tell() >= self._source.size):
            return  # bytes behind the last frame are no part of it, and a file that ends early is no fault
        self.fault = fault
        if fault is not None and self._source.failure is None:
            yield from self._rest(fault)

    def _rest(self, fault: str) -> Iterator[Float32]:
        """Yield what FFmpeg decodes after a fault. If there is any of the same format, the fault becomes a note."""
        self._source.seek(0)
        try:
            other = FFmpegDecoder(self._source)
        except AudioError:
            return
        if (other.rate, other.channels) != (self.rate, self.channels):  # the header is wrong, or the stream changes
            other.close()
            return
        note = f"a part at {self._position / self.rate:.1f} s or later could not be decoded ({fault})"
        skip = self._position
        try:
            for block in other.blocks():
                part, skip = block[:, skip:], max(skip - block.shape[1], 0)
                if part.shape[1]:
                    self.fault, self.notes = None, [note]  # before yielding, because the caller may stop at any block
                    self._position += part.shape[1]
                    yield part
        finally:
            other.close()
        self.fault = self.fault or other.fault

    def close(self) -> None:
        """Close the decoder, not its source."""
        self._sound.close()


def _open(source: Source | Section) -> soundfile.SoundFile:
    sound = soundfile.SoundFile(source)
    # soundfile seeks after every read of a seekable file. For FLAC this decodes again, and fails at the end.
    sound.seekable = lambda: False
    return sound


Decoder: TypeAlias = SndfileDecoder | FFmpegDecoder | OggDecoder


def open_decoder(source: Source) -> Decoder:
    """Return the decoder for the content of `source`. Raises AudioError if there is none."""
    head = source.read(4)
    source.seek(0)
    if head in _SNDFILE_MAGIC:
        file: Source | Section = source
        if head in (b"RIFF", b"RF64", b".snd"):
            file = repair_header(source) or source
        elif head == b"fLaC":
            file = without_trailing_tags(source)
        file.seek(0)
        try:
            decoder = SndfileDecoder(file)
        except soundfile.LibsndfileError:
            pass  # an AVI file starts like WAV, and FFmpeg knows more codecs, so let it decide
        else:
            # MP3 in a WAV file would reach libsndfile's MP3 decoder.
            if not decoder.codec.startswith("mpeg"):
                return decoder if decoder.stated else _without_length(decoder, source)
            decoder.close()
        if isinstance(file, Section):
            file.seek(0)
            return FFmpegDecoder(file)
    if head == b"wvpk":
        return FFmpegDecoder(without_trailing_tags(source))
    tag = id3_size(source)
    if tag > source.size:  # a tag cannot be longer than the file, so its size is wrong
        return FFmpegDecoder(Section(source, 10, source.size))
    return open_ffmpeg(source)


def _without_length(decoder: SndfileDecoder, source: Source) -> Decoder:
    """Return a decoder for a file whose header states no samples, as that of a recorder that crashed."""
    try:
        other = open_ffmpeg(source)
    except AudioError:
        return decoder
    decoder.close()
    other.stated = None
    return other
