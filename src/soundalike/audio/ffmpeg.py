"""The decoder for all formats but PCM and FLAC: FFmpeg (PyAV)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from soundalike.audio.headers import OggLink, mp3_seconds, ogg_links
from soundalike.audio.source import Float32, Section, Source, reason
from soundalike.core.errors import AudioError

if TYPE_CHECKING:
    import av

__all__ = ["BLOCK_SECONDS", "FFmpegDecoder", "OggDecoder", "open_ffmpeg"]

BLOCK_SECONDS = 2.0
"""Length of a block: long enough to hide the cost of a call, short enough for the CPU cache."""
# Formats that FFmpeg may detect. Playlists and scripts are excluded, because they make it open other files.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,webm,mov,mp4,m4a,mp3,mpc,mpc8,"
    "mpeg,mpegts,ogg,tak,tta,voc,w64,wav,wv"
)
# Formats without an index. Tags, or the joint of two files, may stand between frames; players skip such bytes.
_SELF_FRAMING, _STRAY_BYTES = ("mp3", "aac"), 16_384
# Formats whose containers state the length. For the others FFmpeg estimates it from size and bitrate.
_STATING = frozenset({
    "aiff", "ape", "asf", "au", "caf", "dsf", "flac", "matroska",
    "mov", "mpc", "mpc8", "tak", "tta", "w64", "wav", "wv",
})  # fmt: skip
_MAX_RATE = 384_000
_EXPECTED = "expected WAV, FLAC, Ogg, Opus, MP3, AIFF, M4A, WMA, or a video with audio"


def open_ffmpeg(source: Source) -> FFmpegDecoder | OggDecoder:
    """Return the decoder for the content of `source`. Raises AudioError if FFmpeg cannot read it."""
    source.seek(0)
    if source.read(4) == b"OggS":
        links = ogg_links(source)
        if links:
            return OggDecoder(source, links)
    source.seek(0)
    return FFmpegDecoder(source)


class FFmpegDecoder:
    """Decodes one file.

    PyAV is imported here, because its import is slow. The decoder does not seek: few of its formats can seek to the
    exact sample, and it decodes a minute of audio in about 30 ms. Packets that cannot be decoded are skipped.

    Attributes:
        rate: Sample rate in Hz. If it changes later, the rest is resampled.
        channels: Number of channels.
        codec: Such as "mp3".
        lfe: Indices of the channels with low-frequency effects.
        surround: Indices of the channels at the sides, whose weight in the loudness is higher.
        frames: Samples per channel as the file states or as FFmpeg estimates; None is unknown.
        stated: Seconds that the file states, if the statement is credible.
        slack: Seconds by which `stated` may exceed the real length, because encoders round up to whole frames.
        fault: After the last block: why decoding stopped early, if it did.
        notes: After the last block: what was skipped.
        bit_rate: After the last block: bits per second of the audio, without tags and pictures; None is unknown.
    """

    def __init__(self, source: Source | Section) -> None:
        import av

        options: dict[str, Any] = {"options": {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}}
        if int(av.__version__.partition(".")[0]) < 19:
            # A tag that is not UTF-8 must not prevent decoding. Later versions handle this themselves.
            options["metadata_errors"] = "replace"
        stated = mp3_seconds(source)  # before FFmpeg reads, because it moves the position
        source.seek(0)
        try:
            self._container: av.container.InputContainer = av.open(source, "r", buffer_size=65_536, **options)
        except (av.error.FFmpegError, OSError) as error:
            raise AudioError(f"not audio, or unreadable from the start ({reason(error)}); {_EXPECTED}") from error
        stream = self._container.streams.best("audio")
        if stream is None:
            found = "a video without audio" if self._container.streams.video else "a file without audio"
            raise AudioError(f"{found}; {_EXPECTED}")
        # Without a decoder for the codec the context is None, although PyAV's type stubs exclude that.
        if not isinstance(stream, av.AudioStream) or getattr(stream, "codec_context", None) is None:
            raise AudioError("the audio is encrypted or its codec is unknown; convert it to FLAC, MP3 or M4A")
        for other in self._container.streams:
            if other.index != stream.index and hasattr(other, "discard"):  # older versions of PyAV read all streams
                other.discard = av.stream.Discard.all
        self._stream, context = stream, stream.codec_context
        if context.name == "flac":  # a frame with a wrong checksum is skipped; it would sound as noise
            context.options = {"err_detect": "crccheck+explode"}
        self.rate, self.channels = context.sample_rate, context.layout.nb_channels
        self.codec = context.codec.canonical_name
        names = [channel.name for channel in context.layout.channels]
        self.lfe = tuple(index for index, name in enumerate(names) if name.startswith("LFE"))
        self.surround = _surround(names)
        self._format = self._container.format.name.split(",")[0]
        self.slack = 0.1 if self._format in ("flac", "ogg") else 0.5
        seconds: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            seconds = self._container.duration / av.time_base
        self.frames = None if seconds is None else round(seconds * self.rate)
        self.stated: float | None = None
        if self._format == "mp3":
            self.stated = stated
        elif self._format in _STATING and (stream.duration is not None or not self._container.streams.video):
            self.stated = seconds  # without a duration of its own, the audio of a video may be shorter than the file
        self.fault: str | None = None
        self.notes: list[str] = []
        self.bit_rate: int | None = None

    def seek(self, frame: int) -> int:
        """Return 0: `blocks` always starts at the beginning."""
        return 0

    def blocks(self) -> Iterator[Float32]:
        """Yield (c, t) blocks to the end of the file, or to a fault."""
        import av

        fifo, layout = av.AudioFifo(), None
        decoded, size, read = 0.0, int(self.rate * BLOCK_SECONDS), 0
        converter = _Converter(self.rate, self.channels)
        skipped = _Skipped(self._format in _SELF_FRAMING)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                self.fault = reason(error)
                break
            except IndexError:  # PyAV knows only the streams that were there when it opened the file
                self.fault = "another stream begins"
                break
            if packet is None:
                break
            read += packet.size
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                skipped.add(packet.size, decoded, reason(error))
                continue
            for frame in frames:
                if layout != (found := (frame.sample_rate, frame.layout.nb_channels, frame.format.name)):
                    if fifo.samples and layout is not None:
                        yield from converter.convert(_drain(fifo), layout[0])
                    fifo, layout = av.AudioFifo(), found
                decoded += frame.samples / frame.sample_rate
                frame.pts = None  # the queue joins samples; gaps between timestamps do not matter
                fifo.write(frame)
            if fifo.samples >= size and layout is not None:
                yield from converter.convert(_drain(fifo), layout[0])
        if fifo.samples and layout is not None:
            yield from converter.convert(_drain(fifo), layout[0])
        yield from converter.finish()
        self.bit_rate = round(8 * read / decoded) if decoded else None
        # Between frames of a format without an index there are tags, which are no fault if all audio was found.
        complete = self.stated is not None and decoded >= self.stated - self.slack
        self.notes = [] if complete and self._format in _SELF_FRAMING else skipped.notes()
        if not decoded and skipped.first:
            self.fault = self.fault or skipped.first

    def close(self) -> None:
        """Close the decoder, not its source."""
        self._container.close()


class OggDecoder:
    """Decodes the streams that are chained in an Ogg file, one after the other, as FFmpeg alone does not.

    It has the attributes of `FFmpegDecoder`. The rate and the channels are those of the first stream.
    """

    def __init__(self, source: Source, links: Sequence[OggLink]) -> None:
        self._source, self._links = source, links
        self._current = first = self._open(0)
        self.rate, self.channels, self.codec = first.rate, first.channels, first.codec
        self.lfe, self.surround, self.slack = first.lfe, first.surround, first.slack
        parts = [link.seconds for link in links]
        self.stated = None if None in parts else sum(part for part in parts if part is not None)
        self.frames = first.frames if self.stated is None else round(self.stated * self.rate)
        self.fault: str | None = None
        self.notes: list[str] = []
        self.bit_rate: int | None = None

    def _open(self, index: int) -> FFmpegDecoder:
        if len(self._links) == 1:
            self._source.seek(0)
            return FFmpegDecoder(self._source)
        return FFmpegDecoder(Section(self._source, self._links[index].start, self._links[index].end))

    def seek(self, frame: int) -> int:
        """Return 0: `blocks` always starts at the beginning."""
        return 0

    def blocks(self) -> Iterator[Float32]:
        """Yield (c, t) blocks to the end of the file, or to a fault."""
        for index, link in enumerate(self._links):
            if index:
                self._current.close()
                try:
                    self._current = self._open(index)
                except AudioError:
                    self.notes.append(f"stream {index + 1} of {len(self._links)} in it could not be decoded")
                    continue
                if not 0 < self._current.rate <= _MAX_RATE:
                    self.notes.append(f"stream {index + 1} of {len(self._links)} in it has an invalid sample rate")
                    continue
            decoder, decoded = self._current, 0
            converter = _Converter(self.rate, self.channels)
            for block in decoder.blocks():
                decoded += block.shape[1]
                yield from converter.convert(block, decoder.rate)
            yield from converter.finish()
            self.notes += decoder.notes
            self.bit_rate = self.bit_rate or decoder.bit_rate
            if link.captured and link.granule is not None and not index:
                missing = (link.granule - link.skip - decoded) / decoder.rate
                self.notes.append(f"the first {missing:,.1f} s are missing, because it was recorded from a stream")
            if not link.finished and index == len(self._links) - 1:
                self.notes.append("its last page is missing, so its end was cut off")
            if decoder.fault:
                self.fault = decoder.fault
                return

    def close(self) -> None:
        """Close the decoder, not its source."""
        self._current.close()


class _Skipped:
    """Packets that could not be decoded. Between frames of a self-framing format, some bytes are no fault."""

    def __init__(self, self_framing: bool) -> None:
        self._tolerated = _STRAY_BYTES if self_framing else 0
        self._packets = self._bytes = 0
        self._at = math.nan
        self.first: str | None = None

    def add(self, size: int, seconds: float, why: str) -> None:
        """Add a packet."""
        self._packets += 1
        self._bytes += size
        if self.first is None:
            self._at, self.first = seconds, why

    def notes(self) -> list[str]:
        """Return a line about the packets, if they are a fault."""
        if not self._packets or self._bytes <= self._tolerated:
            return []
        return [f"{self._bytes:,} bytes at {self._at:.1f} s or later could not be decoded ({self.first})"]


class _Converter:
    """Converts blocks to one sample rate and one number of channels."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._from = rate
        self._resampler: soxr.ResampleStream | None = None

    def convert(self, block: Float32, rate: int) -> Iterator[Float32]:
        """Yield a (c, t) block at `rate`, converted."""
        if len(block) != self._channels:  # a file that joins mono and stereo keeps its first channel count
            block = np.repeat(block.mean(axis=0, keepdims=True), self._channels, axis=0)
        if rate != self._from:
            yield from self.finish()
            self._from = rate
            if rate != self._rate:
                self._resampler = soxr.ResampleStream(rate, self._rate, self._channels, dtype="float32", quality="HQ")
        if self._resampler is None:
            yield block
        elif (resampled := self._resampler.resample_chunk(np.ascontiguousarray(block.T))).size:
            yield resampled.reshape(-1, self._channels).T

    def finish(self) -> Iterator[Float32]:
        """Yield what the resampler still holds."""
        if self._resampler is not None:
            shape = (0, self._channels) if self._channels > 1 else 0
            rest = self._resampler.resample_chunk(np.empty(shape, np.float32), last=True)
            self._resampler = None
            if rest.size:
                yield rest.reshape(-1, self._channels).T


def _surround(names: Sequence[str]) -> tuple[int, ...]:
    """Return the channels at 60° to 120° (BS.1770-4, table 3): the sides, or the back without sides."""
    sides = tuple(index for index, name in enumerate(names) if name in ("SL", "SR"))
    return sides or tuple(index for index, name in enumerate(names) if name in ("BL", "BR"))


_FIRST_WRONG = 8
"""From this many planar channels on, PyAV (up to 18.1) takes the memory behind the last channel for one more."""


def _packed(frame: av.AudioFrame) -> av.AudioFrame:
    """Return a planar frame with its channels interleaved. Raises FFmpegError."""
    import av

    fifo = av.AudioFifo()
    resampler = av.AudioResampler(format=frame.format.packed.name, layout=frame.layout, rate=frame.sample_rate)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        part.pts = None
        fifo.write(part)
    packed = fifo.read(0, partial=True)
    if packed is None:
        raise RuntimeError("a frame without samples was packed")
    return packed


def _drain(fifo: av.AudioFifo) -> Float32:
    """Return the queued samples as a (c, t) block."""
    frame = fifo.read(0, partial=True)
    if frame is None:
        raise RuntimeError("an empty queue of samples was drained")
    if frame.format.is_planar and frame.layout.nb_channels >= _FIRST_WRONG:
        frame = _packed(frame)
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which is a fault
        floats: Float32 = samples.astype(np.float32, copy=False)
    if samples.dtype.kind == "u":
        floats = (floats - 128) / np.float32(128)
    elif samples.dtype.kind == "i":
        floats = floats / np.float32(2 ** (8 * samples.itemsize - 1))
    return floats
