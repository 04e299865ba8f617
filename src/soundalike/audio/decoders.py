"""The two decoders behind `audio`: one file, opened once, to a stream of (c, t) float32 blocks.

They share the work by what a file holds, not by its name. libsndfile reads PCM and FLAC: it seeks to the exact
sample and knows what a header promised. FFmpeg (PyAV) reads the rest: it takes 40 % of libsndfile's time for
Vorbis and Opus, less for MP3 too, and skips stray bytes where libsndfile stops without a word. Neither prints:
PyAV keeps FFmpeg's log off, and libsndfile's MP3 decoder, which writes to standard error, is never reached.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from soundalike.core.errors import AudioError

if TYPE_CHECKING:
    import av

__all__ = ["AGAIN", "Float32", "Source", "StrPath", "damaged", "open_decoder"]

Float32: TypeAlias = npt.NDArray[np.float32]
StrPath: TypeAlias = str | os.PathLike[str]

# A block: long enough to hide the cost of a call, short enough for the processor's cache.
_BLOCK_SECONDS = 2.0
# By how much a header may promise too much: encoders round up to whole frames.
_SLACK_SECONDS = 0.1
_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC")
# Lines of libsndfile's log where header and file disagree: "data : 1000 (should be 500)".
_SIZE_MISMATCH = re.compile(r"(?:data|SSND|riff|Riff size|Data Size)\s*: (\d+) \(should be (\d+)\)")
# What FFmpeg may take a file for: recordings, never playlists or scripts, which make it open other files.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,webm,mov,mp4,m4a,mp3,mpc,mpc8,"
    "mpeg,mpegts,ogg,tak,tta,voc,w64,wav,wv"
)
# Formats without an index, where tags or the joint of two files may stand between frames: players skip them.
_SELF_FRAMING, _STRAY_BYTES = ("mp3", "aac"), 16_384
_EXACT_LENGTH = ("flac", "ogg")  # formats whose stated length FFmpeg does not estimate
_EXPECTED = "expected WAV, FLAC, Ogg, Opus, MP3, AIFF, M4A, WMA, or a video with sound"
AGAIN = "copy or download it again"


def _reason(error: Exception) -> str:
    """What a library said, on one line, without the path it may name elsewhere."""
    attribute = "error_string" if isinstance(error, soundfile.LibsndfileError) else "strerror"
    text = getattr(error, attribute, None)
    return " ".join(str(text or error).split()).rstrip(".") or type(error).__name__


def damaged(seconds: float, why: str) -> AudioError:
    """The error of a recording that is whole for its first `seconds` only."""
    return AudioError(f"damaged after {seconds:.1f} s ({why}); {AGAIN}")


def _truncated(promised: float, held: float) -> AudioError:
    expected = f"{promised:.1f} s" if promised < math.inf else "sound"
    return AudioError(f"truncated: the header promises {expected}, the file holds {held:.1f} s; {AGAIN}")


class Source(io.FileIO):
    """The file for both decoders, opened here so that any path will do and every error of opening is ours.

    A failed read ends the file for libsndfile, whose C code no exception can cross, and is kept in `failure`.
    """

    def __init__(self, path: StrPath) -> None:
        self.failure: OSError | None = None
        try:
            mode = Path(path).stat().st_mode
            if stat.S_ISDIR(mode):
                raise AudioError("a folder, expected a file; name a recording in it")
            if not stat.S_ISREG(mode):  # before opening: to open a pipe waits for its writer
                raise AudioError("not a regular file, expected a recording; save the sound to a file first")
            super().__init__(path)
        except FileNotFoundError:
            raise AudioError("no such file, expected a recording; check the name") from None
        except PermissionError:
            raise AudioError("not readable (permission denied); change its permissions") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise AudioError(f"cannot be opened ({_reason(error)}); check the name and the disk") from error
        self.name = "recording"  # libraries guess formats from names
        self.size = self.seek(0, os.SEEK_END)
        self.seek(0)
        if not self.size:
            self.close()
            raise AudioError(f"an empty file (0 bytes), expected a recording; {AGAIN}")

    def readinto(self, buffer: Any) -> int | None:
        """As in FileIO, but 0 bytes at a failure."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


def open_decoder(source: Source) -> _Sndfile | _FFmpeg:
    """The decoder for what `source` holds. Raises AudioError."""
    head = source.read(4)
    source.seek(0)
    if head in _SNDFILE_MAGIC:
        try:
            decoder = _Sndfile(source)
        except soundfile.LibsndfileError:
            source.seek(0)  # AVI video starts like WAV, and FFmpeg knows more codecs: it decides
        else:
            if not decoder.codec.startswith("mpeg"):  # MP3 in WAV: libsndfile's MP3 decoder after all
                return decoder
            source.seek(0)
    return _FFmpeg(source)


class _Sndfile:
    """PCM and FLAC through libsndfile. Raises LibsndfileError if it cannot open the source."""

    exact = True  # `frames` is a promise, not an estimate

    def __init__(self, source: Source) -> None:
        self._source, self._sound = source, soundfile.SoundFile(source)
        # soundfile seeks after every read of what is seekable: it decodes FLAC again, and fails at its end.
        self._sound.seekable = lambda: False
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.codec: str = "flac" if self._sound.format == "FLAC" else self._sound.subtype.lower()
        # 5.1, 6.1 and 7.1 all carry the bass effects fourth in WAV and FLAC.
        self.lfe: tuple[int, ...] = (3,) if 6 <= self.channels <= 8 else ()
        # A FLAC that was written to a pipe states no length: libsndfile calls it the largest number there is.
        self.frames: int | None = self._sound.frames if self._sound.frames < 2**62 else None
        sizes = _SIZE_MISMATCH.findall(self._sound.extra_info)
        if sizes and self.frames is not None:
            promised, held = (int(size) for size in sizes[-1])
            # Just about 2 or 4 GB: what programs state that write to a pipe and do not know the length.
            piped = 0x7FFF0000 <= promised <= 0x80000000 or 0xFFFF0000 <= promised <= 0xFFFFFFFF
            seconds = self.frames / max(self.rate, 1)
            expected = seconds * promised / max(held, 1) if self.frames else math.inf
            if expected > seconds + _SLACK_SECONDS and not piped:
                raise _truncated(expected, seconds)

    def seek(self, frame: int) -> int:
        self._position = frame if self.frames is None else min(frame, self.frames)
        try:
            if self._position:
                self._sound.seek(self._position)
        except soundfile.LibsndfileError as error:
            raise damaged(0, f"no way to {self._position / self.rate:.1f} s: {_reason(error)}") from error
        return self._position

    def blocks(self) -> Iterator[Float32]:
        size = count = int(self.rate * _BLOCK_SECONDS)
        fault: Exception | None = None
        while count == size and fault is None:
            try:
                block = self._sound.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                # It stops at the fault, somewhere in this block.
                fault, count = error, max(self._sound.tell() - self._position, 0)
            else:
                count = len(block)
                if count:
                    yield block.T
            self._position += count
        seconds, fault = self._position / self.rate, self._source.failure or fault
        at_the_end = self._source.failure is None and self._source.tell() >= self._source.size
        if self.frames is not None and self._position < self.frames and (fault is None or at_the_end):
            raise _truncated(self.frames / self.rate, seconds) from fault
        if fault is not None:
            raise damaged(seconds, _reason(fault)) from fault

    def close(self) -> None:
        self._sound.close()


class _FFmpeg:
    """Everything else through PyAV, imported only here: that takes longer than the rest of this module.

    It does not seek: few of its formats can to the sample, and it decodes a minute of sound in some 30 ms.
    """

    def __init__(self, source: Source) -> None:
        import av

        options: dict[str, Any] = {"options": {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}}
        if int(av.__version__.partition(".")[0]) < 19:
            # A tag that is not UTF-8 must not keep the sound from us; later versions see to that themselves.
            options["metadata_errors"] = "replace"
        try:
            self._container: av.container.InputContainer = av.open(source, "r", buffer_size=65_536, **options)
        except (av.error.FFmpegError, OSError) as error:
            raise AudioError(f"not a recording, or damaged from the start ({_reason(error)}); {_EXPECTED}") from error
        stream = self._container.streams.best("audio")
        if stream is None:
            found = "a video without sound" if self._container.streams.video else "a file without sound"
            raise AudioError(f"{found}; {_EXPECTED}")
        # Without a decoder for the codec there is no context, whatever PyAV's type stubs say.
        if not isinstance(stream, av.AudioStream) or getattr(stream, "codec_context", None) is None:
            raise AudioError("the sound is encrypted or of an unknown codec; convert it to FLAC, MP3 or M4A")
        for other in self._container.streams:
            if other.index != stream.index and hasattr(other, "discard"):  # older PyAV reads it all
                other.discard = av.stream.Discard.all
        self._stream, context = stream, stream.codec_context
        self.rate, self.channels = context.sample_rate, context.layout.nb_channels
        self.codec = context.codec.canonical_name
        names = [channel.name for channel in context.layout.channels]
        self.lfe = tuple(index for index, name in enumerate(names) if name.startswith("LFE"))
        self._format = self._container.format.name
        self.exact = self._format in _EXACT_LENGTH
        seconds: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            seconds = self._container.duration / av.time_base
        self.frames = None if seconds is None else round(seconds * self.rate)

    def seek(self, frame: int) -> int:
        return 0

    def blocks(self) -> Iterator[Float32]:
        import av

        fifo, form, decoded, stray = av.AudioFifo(), None, 0, 0
        size = int(self.rate * _BLOCK_SECONDS)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise damaged(decoded / self.rate, _reason(error)) from error
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                stray += packet.size
                if self._format not in _SELF_FRAMING or stray > _STRAY_BYTES:
                    raise damaged(decoded / self.rate, _reason(error)) from error
                continue
            for frame in frames:
                if form != (found := (frame.sample_rate, frame.layout.nb_channels, frame.format.name)):
                    if frame.sample_rate != self.rate:
                        raise damaged(decoded / self.rate, f"its rate changes to {frame.sample_rate:,} Hz")
                    if fifo.samples:
                        yield self._drain(fifo)
                    fifo, form = av.AudioFifo(), found
                decoded += frame.samples
                frame.pts = None  # a queue of samples, which gaps in the clock do not concern
                fifo.write(frame)
            if fifo.samples >= size:
                yield self._drain(fifo)
        if fifo.samples:
            yield self._drain(fifo)
        if self.exact and self.frames is not None and decoded < self.frames - _SLACK_SECONDS * self.rate:
            raise _truncated(self.frames / self.rate, decoded / self.rate)

    def _drain(self, fifo: av.AudioFifo) -> Float32:
        frame = fifo.read(0, partial=True)
        if frame is None:
            raise RuntimeError("an empty queue of samples was drained")
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        with np.errstate(over="ignore"):  # a double past float32 becomes infinite: reported as damage
            floats: Float32 = samples.astype(np.float32, copy=False)
        if samples.dtype.kind == "u":
            floats = (floats - 128) / np.float32(128)
        elif samples.dtype.kind == "i":
            floats = floats / np.float32(2 ** (8 * samples.itemsize - 1))
        if len(floats) != self.channels:  # mono joined to stereo in one file: c stays as first stated
            floats = np.repeat(floats.mean(axis=0, keepdims=True), self.channels, axis=0)
        return floats

    def close(self) -> None:
        self._container.close()
