"""Excerpts of recordings as files in memory, stretched and transposed if asked for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from soundalike.core.errors import UsageError

__all__ = ["LARGEST", "LONGEST", "Excerpt", "ExcerptFormat", "make_excerpt"]

ExcerptFormat: TypeAlias = Literal["wav", "flac", "mp3"]
Float32: TypeAlias = npt.NDArray[np.float32]

LONGEST = 1200.0
"""The longest excerpt, in seconds of the result."""
LARGEST = 128 * 1024**2
"""The largest excerpt, in bytes: about 12 minutes of WAV in stereo; most FLAC may be as long as `LONGEST`."""
_FADE = 0.01
"""Seconds of the fades where the recording is cut."""
_RATES = (8_000, 48_000)
"""Lowest and highest sample rate of an excerpt: browsers play others badly."""
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What to cut out of a recording, and how to change it.

    Attributes:
        start: Start in seconds.
        end: End in seconds; None, or a time after the end, is the end of the recording.
        semitones: Transposition; the tempo stays.
        tempo_ratio: 1.25 plays 25 % faster; the pitch stays.
        format: The format of the file.
    """

    start: float = 0.0
    end: float | None = None
    semitones: float = 0.0
    tempo_ratio: float = 1.0
    format: ExcerptFormat = "wav"


def make_excerpt(path: Path, excerpt: Excerpt) -> bytes:
    """Return an excerpt as a file of 16 bits, or MP3, with at most two channels and at most 48 kHz.

    Raises:
        AudioError: The recording cannot be decoded, or ends before the excerpt starts.
        UsageError: The excerpt lasts longer than `LONGEST`, or takes more than `LARGEST`.
    """
    import soundfile

    from soundalike.audio.stream import AudioStream
    from soundalike.serve.sound.stretch import stretch

    file = io.BytesIO()
    with AudioStream(path, start=excerpt.start, end=excerpt.end) as stream:
        rate, channels = _rate(stream.rate, excerpt.format), stream.channels if stream.channels <= 2 else 1
        if stream.duration is not None:
            end = stream.duration if excerpt.end is None else min(excerpt.end, stream.duration)
            seconds = (end - excerpt.start) / excerpt.tempo_ratio
            _check_length(seconds)
            if excerpt.format == "wav":
                _check_size(seconds * rate * channels * 2)
        sound = stretch(
            (_mix(block, stream.lfe) for block in stream), channels, stream.rate,
            semitones=excerpt.semitones, tempo_ratio=excerpt.tempo_ratio, out_rate=rate,
        )  # fmt: skip
        size = round(_FADE * rate)
        if excerpt.start > 0:
            sound = _faded_in(sound, size)
        if excerpt.end is not None:
            sound = _faded_out(sound, size)
        subtype = "MPEG_LAYER_III" if excerpt.format == "mp3" else "PCM_16"
        with soundfile.SoundFile(file, "w", rate, channels, subtype, format=excerpt.format.upper()) as output:
            for block in sound:
                output.write(np.clip(block.T, -1.0, 1.0))
                _check_length(output.frames / rate)
                _check_size(file.tell())
    return file.getvalue()


def _check_length(seconds: float) -> None:
    if seconds > LONGEST + _FADE:
        raise UsageError(
            f"the excerpt lasts {seconds:.0f} s or more, expected at most {LONGEST:.0f} s; ask for a shorter part with "
            "start and end, or for the file itself without parameters"
        )


def _check_size(size: float) -> None:
    if size > LARGEST:
        raise UsageError(
            f"the excerpt takes more than {LARGEST / 1024**2:.0f} MB; ask for a shorter part with start and end, or "
            "for format=mp3"
        )


def _rate(rate: int, kind: ExcerptFormat) -> int:
    wanted = min(max(rate, _RATES[0]), _RATES[1])
    return next(one for one in _MP3_RATES if one >= wanted) if kind == "mp3" else wanted


def _mix(block: Float32, lfe: tuple[int, ...]) -> Float32:
    """At most two channels: of more, the mean of those without low-frequency effects."""
    if len(block) <= 2:
        return block
    used = [index for index in range(len(block)) if index not in lfe]
    mean: Float32 = block[used].mean(axis=0, keepdims=True)
    return mean


def _faded_in(blocks: Iterable[Float32], size: int) -> Iterator[Float32]:
    done = 0
    for block in blocks:
        if done < size:
            gains = (np.arange(done, done + block.shape[1], dtype=np.float32) + 0.5) / size
            yield block * np.minimum(gains, np.float32(1))
            done += block.shape[1]
        else:
            yield block


def _faded_out(blocks: Iterable[Float32], size: int) -> Iterator[Float32]:
    """Fade out the last `size` samples, which are held back until the end."""
    held: Float32 | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        ready = max(0, held.shape[1] - size)
        yield held[:, :ready]
        held = held[:, ready:]
    if held is not None:
        gains: Float32 = (np.arange(held.shape[1], 0, -1, dtype=np.float32) - np.float32(0.5)) / np.float32(size)
        yield held * gains
