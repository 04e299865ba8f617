"""Render a song to audio: synthesise every part, treat it in its channel, and treat the sum on the bus."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from soundalike.audio.loudness import LoudnessMeter
from soundalike.core.types import FloatArray
from soundalike.render.songs.draw import TAIL
from soundalike.render.songs.instruments import role_of
from soundalike.render.songs.playing import SongPerformance
from soundalike.render.songs.song import Part, Song
from soundalike.render.sound.desk import channel_response, convolve, limiter, pan_gain
from soundalike.render.sound.effects import compression
from soundalike.render.sound.fluid import SYNTH_RATE
from soundalike.render.sound.mixing import reverberation
from soundalike.render.sound.orchestra import SINGERS, Orchestra
from soundalike.render.sound.studio import DraftError, Stopwatch
from soundalike.render.sound.synthesis import add

__all__ = ["RATE", "Mixdown", "MixedStem", "mix_song"]

Int16: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int16]]

RATE = SYNTH_RATE
"""The sample rate of songs, 44.1 kHz, as in Slakh2100."""

_FULL_SCALE = 32767
_CEILING = 0.89  # about -1 dBFS
_MOST_LIMITING = 5.0  # dB by which the limiter may lower the highest peak
_QUIETEST = 1e-3  # peak of a part before mixing
_REFERENCE = -23.0  # LUFS, of a part at level 0 before the bus
_FADE_OUT, _SONG_FADE = 0.5, 6.0  # seconds at the end of a song, and of one that fades out
_METERED = 60 * RATE // 10  # samples, a multiple of the 0.1 s in which loudness is measured
_BREATH = 0.6  # seconds for which a run of a singer is synthesised beyond its last section


@dataclass(frozen=True, slots=True)
class MixedStem:
    """A part of the mix: (t,) int16 samples, and its integrated loudness in LUFS before compressor and limiter."""

    samples: Int16
    loudness: float


@dataclass(frozen=True, slots=True)
class Mixdown:
    """A rendered song.

    Attributes:
        stems: The stems by the name of the part.
        mix: (t,) int16 samples, the sum of the stems.
        loudness: Integrated loudness of the mix in LUFS.
        gain: The constant gain of the bus, without compressor and limiter.
        limiting_db: The largest gain reduction of the limiter in dB.
    """

    stems: dict[str, MixedStem]
    mix: Int16
    loudness: float
    gain: float
    limiting_db: float


def mix_song(song: Song, performance: SongPerformance, orchestra: Orchestra, watch: Stopwatch | None = None) -> Mixdown:
    """Render a song to audio. The mix is the sum of the stems, sample by sample.

    Channels are linear, and the gains of the bus act on every stem. A part is silent, except for what rings on, where
    it does not play.

    Args:
        song: The song.
        performance: What is played.
        orchestra: The sounds.
        watch: The CPU time is added to it.

    Returns:
        Stems and mix of `song.seconds` at `RATE`.

    Raises:
        DraftError: A part is silent.
        UsageError: A bank or program does not exist.

    Example:
        >>> mixdown = mix_song(song, perform_song(song, orchestra), orchestra)
        >>> sum(stem.samples.astype(int) for stem in mixdown.stems.values()).tolist() == mixdown.mix.tolist()
        True
    """
    began, synthesis = time.process_time(), 0.0
    length = round(song.seconds * RATE)
    room = reverberation(RATE, song.bus.room, np.random.default_rng([song.seed, 1]))
    stems: dict[str, FloatArray] = {}
    levels: dict[str, float] = {}
    for part in song.parts:
        started = time.process_time()
        dry = _play(song, part, performance, orchestra)
        synthesis += time.process_time() - started
        stems[part.name], levels[part.name] = _channel(part, dry, room, length)
    total = np.zeros(length, np.float32)
    for stem in stems.values():
        total += stem
    gain = compression(total, song.bus.ratio, RATE).astype(np.float32) * _ending(song, length)
    total *= gain
    measured = _loudness(total)
    peak = float(np.abs(total).max())
    most = _CEILING * 10 ** (_MOST_LIMITING / 20) / peak
    constant = min(10 ** ((song.bus.loudness - (measured or 0.0)) / 20), most)
    total *= np.float32(constant)
    limit = limiter(total, _CEILING)
    gain *= limit * np.float32(constant * _FULL_SCALE)
    for stem in stems.values():
        stem *= gain
    highest = max(float(np.abs(stem).max()) for stem in stems.values())
    scale = min(1.0, _FULL_SCALE / highest)  # below 1 if two stems cancel each other in the mix
    found = {name: np.rint(stem * np.float32(scale)).astype(np.int16) for name, stem in stems.items()}
    constant *= scale
    mix = np.zeros(length, np.int16)
    for stem in found.values():  # the limiter has made the sum fit
        mix += stem
    shift = 20 * math.log10(constant)
    mixed = {name: MixedStem(stem, levels[name] + shift) for name, stem in found.items()}
    if watch:
        watch.synthesis += synthesis
        watch.rest += time.process_time() - began - synthesis
        watch.clips += 1
    return Mixdown(
        mixed,
        mix,
        _loudness(mix / np.float32(_FULL_SCALE)) or -math.inf,
        constant,
        -20 * math.log10(float(limit.min())),
    )


def _play(song: Song, part: Part, performance: SongPerformance, orchestra: Orchestra) -> FloatArray:
    """Return the dry samples of a part. Raises DraftError if it is silent."""
    notes, role = performance.parts[part.name], role_of(part.function)
    if part.sound.bank == SINGERS:  # which take much longer than other sounds, so that pauses are left out
        out = np.zeros(round(song.seconds * RATE), np.float32)
        for start, end in performance.runs[part.name]:
            sung = [
                replace(note, start=note.start - start, end=note.end - start)
                for note in notes
                if start <= note.start < end
            ]
            add(out, orchestra.play(part.sound, role, sung, end - start + _BREATH), round(start * RATE))
    else:
        out = orchestra.play_shared(part.sound, role, notes, song.seconds)
    if float(np.abs(out).max()) < _QUIETEST:
        raise DraftError(f"{orchestra.describe(part.sound, role)} is silent")
    return out


def _channel(part: Part, dry: FloatArray, room: FloatArray, length: int) -> tuple[FloatArray, float]:
    """Return the (length,) samples of a part after its channel, and their loudness in LUFS."""
    channel = part.channel
    response = channel_response(RATE, channel.highpass, channel.tilt_db, room, channel.send)
    wet = convolve(dry, response)[:length]
    measured = _loudness(wet)
    if measured is None:
        raise DraftError(f"a part for {part.stem_class} is too quiet to be measured")
    level = channel.level_db + _REFERENCE + 20 * math.log10(pan_gain(channel.pan))
    wet *= np.float32(10 ** ((level - measured) / 20))
    return wet, level


def _ending(song: Song, length: int) -> FloatArray:
    """Return the (length,) gain that ends a song: a short fade, or a long one."""
    seconds = _SONG_FADE + TAIL if song.bus.fades else _FADE_OUT
    fade = min(round(seconds * RATE), length // 2)
    return np.concatenate([np.ones(length - fade), np.linspace(1, 0, fade) ** 2]).astype(np.float32)


def _loudness(samples: FloatArray) -> float | None:
    """Return the integrated loudness of (t,) samples in LUFS. None if nothing passes the gates."""
    meter = LoudnessMeter(RATE, 1)
    for start in range(0, len(samples), _METERED):
        block = samples[None, start : start + _METERED]
        if block.any():  # the meter ignores silence
            meter.add(block)
    return meter.loudness()
