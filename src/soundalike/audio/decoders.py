"""The two decoders: they turn a file into a stream of (c, t) float32 blocks.

The content of a file selects the decoder, not its name.

- libsndfile reads PCM and FLAC. It seeks to the exact sample and knows the length that the header states.
- FFmpeg (PyAV) reads everything else. For Vorbis and Opus it takes 40 % of libsndfile's time, and it is faster for MP3
  too. It skips stray bytes at which libsndfile stops without an error.

Neither prints anything: PyAV disables FFmpeg's log, and libsndfile's MP3 decoder, which writes to standard error, is
never used.
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

__all__ = ["REMEDY", "Float32", "Source", "StrPath", "decoding_error", "open_decoder"]

Float32: TypeAlias = npt.NDArray[np.float32]
StrPath: TypeAlias = str | os.PathLike[str]

# Length of a block: long enough to hide the cost of a call, short enough for the CPU cache.
_BLOCK_SECONDS = 2.0
# Tolerated difference between the stated and the actual length: encoders round up to whole frames.
_SLACK_SECONDS = 0.1
_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"caff", b".snd", b"fLaC")
# Lines of libsndfile's log that report a header that contradicts the file: "data : 1000 (should be 500)".
_SIZE_MISMATCH = re.compile(r"(?:data|SSND|riff|Riff size|Data Size)\s*: (\d+) \(should be (\d+)\)")
# Formats that FFmpeg may detect. Playlists and scripts are excluded, because they make it open other files.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,webm,mov,mp4,m4a,mp3,mpc,mpc8,"
    "mpeg,mpegts,ogg,tak,tta,voc,w64,wav,wv"
)
# Formats without an index. Tags, or the joint of two files, may stand between frames; players skip such bytes.
_SELF_FRAMING, _STRAY_BYTES = ("mp3", "aac"), 16_384
_EXACT_LENGTH = ("flac", "ogg")  # formats for which FFmpeg reports the stated length, not an estimate
_EXPECTED = "expected WAV, FLAC, Ogg, Opus, MP3, AIFF, M4A, WMA, or a video with audio"
REMEDY = "copy or download it again"
"""The end of the messages about invalid files."""


def _reason(error: Exception) -> str:
    """Return a decoder library's error message on one line, without the path."""
    attribute = "error_string" if isinstance(error, soundfile.LibsndfileError) else "strerror"
    text = getattr(error, attribute, None)
    return " ".join(str(text or error).split()).rstrip(".") or type(error).__name__


def decoding_error(seconds: float, reason: str) -> AudioError:
    """Return the error for a recording that can only be decoded up to `seconds`."""
    return AudioError(f"cannot be decoded after {seconds:.1f} s ({reason}); {REMEDY}")


def _truncated(stated: float, actual: float) -> AudioError:
    """Return the error for a file with `actual` seconds whose header states `stated` seconds."""
    expected = f"{stated:.1f} s" if stated < math.inf else "audio"
    return AudioError(f"truncated: the header states {expected}, the file contains {actual:.1f} s; {REMEDY}")


class Source(io.FileIO):
    """An open file that both decoders read.

    Opening the file here allows any path and gives uniform error messages. An exception cannot cross libsndfile's C
    code, so a failed read looks like the end of the file, and `failure` holds the error.
    """

    def __init__(self, path: StrPath) -> None:
        self.failure: OSError | None = None
        try:
            mode = Path(path).stat().st_mode
            if stat.S_ISDIR(mode):
                raise AudioError("a folder, expected an audio file; give a file in it")
            if not stat.S_ISREG(mode):  # check before opening: opening a pipe waits for a writer
                raise AudioError("not a regular file, expected an audio file; save the audio to a file first")
            super().__init__(path)
        except FileNotFoundError:
            raise AudioError("no such file; check the name") from None
        except PermissionError:
            raise AudioError("not readable (permission denied); change its permissions") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise AudioError(f"cannot be opened ({_reason(error)}); check the name and the disk") from error
        self.name = "recording"  # libraries guess formats from names
        self.size = self.seek(0, os.SEEK_END)
        self.seek(0)
        if not self.size:
            self.close()
            raise AudioError(f"an empty file (0 bytes), expected an audio file; {REMEDY}")

    def readinto(self, buffer: Any) -> int | None:
        """Read as FileIO does, but return 0 after an error."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


def open_decoder(source: Source) -> _Sndfile | _FFmpeg:
    """Return the decoder for the content of `source`. Raises AudioError if there is none."""
    head = source.read(4)
    source.seek(0)
    if head in _SNDFILE_MAGIC:
        try:
            decoder = _Sndfile(source)
        except soundfile.LibsndfileError:
            source.seek(0)  # an AVI file starts like WAV, and FFmpeg knows more codecs, so let it decide
        else:
            if not decoder.codec.startswith("mpeg"):  # MP3 in a WAV file would reach libsndfile's MP3 decoder
                return decoder
            source.seek(0)
    return _FFmpeg(source)


class _Sndfile:
    """Decoder for PCM and FLAC (libsndfile). Raises LibsndfileError if it cannot open the source."""

    exact = True  # `frames` is the stated length, not an estimate

    def __init__(self, source: Source) -> None:
        self._source, self._sound = source, soundfile.SoundFile(source)
        # soundfile seeks after every read of a seekable file. For FLAC this decodes again, and fails at the end.
        self._sound.seekable = lambda: False
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self.codec: str = "flac" if self._sound.format == "FLAC" else self._sound.subtype.lower()
        # In WAV and FLAC, the low-frequency effects are the fourth channel of 5.1, 6.1 and 7.1.
        self.lfe: tuple[int, ...] = (3,) if 6 <= self.channels <= 8 else ()
        # A FLAC file written to a pipe states no length, and libsndfile reports the largest integer.
        self.frames: int | None = self._sound.frames if self._sound.frames < 2**62 else None
        sizes = _SIZE_MISMATCH.findall(self._sound.extra_info)
        if sizes and self.frames is not None:
            stated, actual = (int(size) for size in sizes[-1])
            # Programs that write to a pipe do not know the length, and state about 2 or 4 GB.
            piped = 0x7FFF0000 <= stated <= 0x80000000 or 0xFFFF0000 <= stated <= 0xFFFFFFFF
            seconds = self.frames / max(self.rate, 1)
            expected = seconds * stated / max(actual, 1) if self.frames else math.inf
            if expected > seconds + _SLACK_SECONDS and not piped:
                raise _truncated(expected, seconds)

    def seek(self, frame: int) -> int:
        """Go to `frame`, or to the end if there are fewer. Return the frame at which `blocks` will start."""
        self._position = frame if self.frames is None else min(frame, self.frames)
        try:
            if self._position:
                self._sound.seek(self._position)
        except soundfile.LibsndfileError as error:
            raise decoding_error(0, f"cannot seek to {self._position / self.rate:.1f} s: {_reason(error)}") from error
        return self._position

    def blocks(self) -> Iterator[Float32]:
        """Yield (c, t) blocks to the end of the file. Raises AudioError."""
        size = count = int(self.rate * _BLOCK_SECONDS)
        fault: Exception | None = None
        while count == size and fault is None:
            try:
                block = self._sound.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                # libsndfile stops at the fault, somewhere in this block.
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
            raise decoding_error(seconds, _reason(fault)) from fault

    def close(self) -> None:
        """Close the decoder, not its source."""
        self._sound.close()


class _FFmpeg:
    """Decoder for all other formats (PyAV).

    PyAV is imported here, because its import is slow. The decoder does not seek: few of its formats can seek to the
    exact sample, and it decodes a minute of audio in about 30 ms.
    """

    def __init__(self, source: Source) -> None:
        import av

        options: dict[str, Any] = {"options": {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}}
        if int(av.__version__.partition(".")[0]) < 19:
            # A tag that is not UTF-8 must not prevent decoding. Later versions handle this themselves.
            options["metadata_errors"] = "replace"
        try:
            self._container: av.container.InputContainer = av.open(source, "r", buffer_size=65_536, **options)
        except (av.error.FFmpegError, OSError) as error:
            raise AudioError(f"not audio, or unreadable from the start ({_reason(error)}); {_EXPECTED}") from error
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
        """Return 0: `blocks` always starts at the beginning."""
        return 0

    def blocks(self) -> Iterator[Float32]:
        """Yield (c, t) blocks to the end of the file. Raises AudioError."""
        import av

        fifo, audio_format, decoded, stray_bytes = av.AudioFifo(), None, 0, 0
        size = int(self.rate * _BLOCK_SECONDS)
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise decoding_error(decoded / self.rate, _reason(error)) from error
            if packet is None:
                break
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                stray_bytes += packet.size
                if self._format not in _SELF_FRAMING or stray_bytes > _STRAY_BYTES:
                    raise decoding_error(decoded / self.rate, _reason(error)) from error
                continue
            for frame in frames:
                if audio_format != (found := (frame.sample_rate, frame.layout.nb_channels, frame.format.name)):
                    if frame.sample_rate != self.rate:
                        raise decoding_error(
                            decoded / self.rate, f"the sample rate changes to {frame.sample_rate:,} Hz"
                        )
                    if fifo.samples:
                        yield self._drain(fifo)
                    fifo, audio_format = av.AudioFifo(), found
                decoded += frame.samples
                frame.pts = None  # the queue joins samples; gaps between timestamps do not matter
                fifo.write(frame)
            if fifo.samples >= size:
                yield self._drain(fifo)
        if fifo.samples:
            yield self._drain(fifo)
        if self.exact and self.frames is not None and decoded < self.frames - _SLACK_SECONDS * self.rate:
            raise _truncated(self.frames / self.rate, decoded / self.rate)

    def _drain(self, fifo: av.AudioFifo) -> Float32:
        """Return the queued samples as a (c, t) block."""
        frame = fifo.read(0, partial=True)
        if frame is None:
            raise RuntimeError("an empty queue of samples was drained")
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which is reported as an error
            floats: Float32 = samples.astype(np.float32, copy=False)
        if samples.dtype.kind == "u":
            floats = (floats - 128) / np.float32(128)
        elif samples.dtype.kind == "i":
            floats = floats / np.float32(2 ** (8 * samples.itemsize - 1))
        if len(floats) != self.channels:  # a file that joins mono and stereo keeps its first channel count
            floats = np.repeat(floats.mean(axis=0, keepdims=True), self.channels, axis=0)
        return floats

    def close(self) -> None:
        """Close the decoder, not its source."""
        self._container.close()
