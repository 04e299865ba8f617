"""What recordings differ by besides music: spectrum, dynamics, hiss, level, and a codec's round trip."""

from __future__ import annotations

import io

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Effects

__all__ = ["amplified", "apply", "draw_effects"]

_PEAK = 0.9
_TURN = 1000.0  # Hz about which the spectrum is tilted

# The compressor: seconds in which it hears a peak and in which it lets go, and how far below RMS it starts.
_HOP, _ATTACK, _RELEASE, _BELOW = 0.002, 0.01, 0.15, 6.0

_LOUDSPEAKER = (80.0, 5000.0)  # Hz

_HISS_STREAM = 2  # the room has 1

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FORMATS = {"mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS")}
_WORST = {"mp3": 0.9, "ogg": 1.0}  # libsndfile's compression level at quality 0: LAME's V9, Vorbis's q0
_BLOCK = 16384


def draw_effects(rng: np.random.Generator) -> Effects:
    """What one clip is recorded with; every property is drawn on its own."""
    return Effects(
        tilt_db=float(rng.uniform(-4.0, 4.0)),
        highpass=_log_uniform(rng, 40.0, 200.0) if rng.random() < 0.3 else None,
        lowpass=_log_uniform(rng, 4500.0, 11000.0) if rng.random() < 0.25 else None,
        squash=_log_uniform(rng, 1.5, 6.0) if rng.random() < 0.35 else 1.0,
        hiss_db=float(rng.uniform(-60.0, -32.0)) if rng.random() < 0.5 else None,
        codec=("mp3", "ogg")[rng.integers(2)] if rng.random() < 0.4 else None,
        quality=float(rng.uniform(0.0, 1.0)),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def apply(samples: FloatArray, effects: Effects, level: float, rate: int, seed: int) -> FloatArray:
    """(t,) samples as they were recorded: (t,) float32 of `level` dBFS RMS, or less where a peak would pass 0.9.

    In this order: tilt and filters, compressor, hiss (its colour and its noise are drawn from `seed`), level, codec.
    The result is aligned to `samples`; silence stays silence. Raises UsageError if the codec does not exist or cannot
    write `rate`, AudioError if it leaves nothing to hear.
    """
    out = _filtered(samples.astype(np.float32), effects, rate)
    if effects.squash > 1:
        out = _compressed(out, effects.squash, rate)
    if effects.hiss_db is not None:
        out = out + _rms(out) * 10 ** (effects.hiss_db / 20) * _hiss(
            len(out), np.random.default_rng([seed, _HISS_STREAM])
        )
    out = _levelled(out, level)
    if effects.codec is not None:
        decoded = _round_trip(out, effects.codec, effects.quality, rate)
        if _rms(decoded) < 0.01 * _rms(out):
            raise AudioError(
                f"{effects.codec} at quality {effects.quality:.2f} leaves nothing of a clip: "
                "expected sound below 8 kHz; use a better quality"
            )
        out = _levelled(decoded, level)
    return out


def amplified(samples: FloatArray, drive_db: float, rate: int) -> FloatArray:
    """(t,) samples through an overdriven amplifier and its loudspeaker, float32: bent by tanh, 80 Hz to 5 kHz."""
    from scipy import signal

    driven = np.tanh(samples * (10 ** (drive_db / 20) / max(3 * _rms(samples), 1e-9)))
    return signal.sosfilt(signal.butter(2, _LOUDSPEAKER, "bandpass", fs=rate, output="sos"), driven).astype(np.float32)


def _rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _levelled(samples: FloatArray, level: float) -> FloatArray:
    """Scaled to `level` dBFS RMS, or to the highest peak allowed; silence as it is."""
    rms = _rms(samples)
    if rms == 0:
        return samples
    return (samples * min(10 ** (level / 20) / rms, _PEAK / float(np.abs(samples).max()))).astype(np.float32)


def _filtered(samples: FloatArray, effects: Effects, rate: int) -> FloatArray:
    """Tilt, high-pass and low-pass in one pass. A low-pass that the rate has already done is left out."""
    from scipy import signal

    # low * LP + high * (1 - LP), with LP a low-pass of first order: a shelf that turns about _TURN.
    b, a = signal.butter(1, _TURN, fs=rate)
    low, high = 10 ** (-effects.tilt_db / 40), 10 ** (effects.tilt_db / 40)
    tilt = (low - high) * b + high * a
    sections = [np.array([[*tilt, 0.0, *a, 0.0]])]
    if effects.highpass is not None:
        sections.append(signal.butter(2, effects.highpass, "highpass", fs=rate, output="sos"))
    if effects.lowpass is not None and effects.lowpass < 0.49 * rate:
        sections.append(signal.butter(4, effects.lowpass, fs=rate, output="sos"))
    return signal.sosfilt(np.concatenate(sections), samples).astype(np.float32)


def _compressed(samples: FloatArray, ratio: float, rate: int) -> FloatArray:
    """What is louder than a little below RMS rises by 1 dB where it rose by `ratio`."""
    from scipy import signal

    hop = int(_HOP * rate)
    count = -(-len(samples) // hop)
    power = np.pad(samples, (0, count * hop - len(samples))).reshape(count, hop)
    power = np.mean(np.square(power, dtype=np.float64), axis=1)
    # The louder of a quick and a slow ear: it hears a stroke at once and lets go of it slowly.
    quick, slow = (
        signal.lfilter([1 - keep], [1, -keep], power) for keep in np.exp(-_HOP / np.array([_ATTACK, _RELEASE]))
    )
    threshold = power.mean() * 10 ** (-_BELOW / 10)
    if threshold == 0:
        return samples
    over = np.maximum(np.maximum(quick, slow) / threshold, 1.0)
    gain = over ** (-(1 - 1 / ratio) / 2)
    return (samples * np.interp(np.arange(len(samples)), np.arange(count) * hop, gain)).astype(np.float32)


def _hiss(length: int, rng: np.random.Generator) -> FloatArray:
    """(t,) float32 noise of RMS 1, somewhere between white and dull."""
    from scipy import signal

    dullness = np.float32(rng.uniform(0.0, 0.9))
    noise = signal.lfilter([np.float32(1)], [np.float32(1), -dullness], rng.standard_normal(length, dtype=np.float32))
    return noise / np.float32(_rms(noise) or 1.0)


def _round_trip(samples: FloatArray, codec: str, quality: float, rate: int) -> FloatArray:
    """Encoded and decoded in memory, aligned and of the same length.

    MP3 is written with a variable bit rate, for then LAME always has room for the tag in which it notes its delay, and
    the decoder takes the delay off; at 64 kbit/s and less of a constant rate it has not, and 1105 samples stay.
    """
    import soundfile

    if codec not in _FORMATS:
        raise UsageError(f"the codec is {codec!r}, expected one of {', '.join(_FORMATS)}")
    if codec == "mp3" and rate not in _MP3_RATES:
        raise UsageError(f"mp3 cannot be written at {rate} Hz, expected one of {', '.join(map(str, _MP3_RATES))}")
    container, subtype = _FORMATS[codec]
    encoded = io.BytesIO()
    compression = _WORST[codec] * (1 - quality)
    with soundfile.SoundFile(encoded, "w", rate, 1, subtype, format=container, compression_level=compression) as file:
        # libsndfile's Vorbis encoder puts a whole write on the stack, and a minute of sound overflows it.
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    encoded.seek(0)
    decoded, _ = soundfile.read(encoded, dtype="float32")
    if decoded.shape != samples.shape:
        raise RuntimeError(f"libsndfile decoded {len(decoded)} samples of {codec}, expected {len(samples)}")
    return decoded
