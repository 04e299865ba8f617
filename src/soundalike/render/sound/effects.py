"""Properties of a recording that do not belong to the music: spectrum, dynamics, hiss, level and codec."""

from __future__ import annotations

import io

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Effects

__all__ = ["amplified", "apply", "compression", "draw_effects", "filtered", "interpolated"]

_PEAK = 0.9  # highest peak of a clip
_TILT_CENTRE = 1000.0  # Hz

# The compressor: hop, attack and release in seconds, and its threshold in dB below RMS.
_HOP, _ATTACK, _RELEASE, _BELOW = 0.002, 0.01, 0.15, 6.0

_LOUDSPEAKER = (80.0, 5000.0)  # Hz

_HISS_STREAM = 2  # random stream of a scene's seed; mixing uses stream 1

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FORMATS = {"mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS")}
_WORST = {"mp3": 0.9, "ogg": 1.0}  # libsndfile's compression level at quality 0: LAME's V9, Vorbis's q0
_BLOCK = 16384


def draw_effects(rng: np.random.Generator) -> Effects:
    """Draw the effects of a clip. All properties are independent.

    Example:
        >>> effects = draw_effects(np.random.default_rng(0))
    """
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
    """Apply the effects of a recording.

    The order is: tilt and filters, compressor, hiss, level, codec.

    Args:
        samples: (t,) samples.
        effects: The effects.
        level: RMS level of the result in dBFS. It is lower if a peak would otherwise exceed 0.9.
        rate: Sample rate in Hz.
        seed: Seed of the hiss.

    Returns:
        (t,) float32 samples, aligned with the input. Silence remains silence.

    Raises:
        UsageError: The codec is unknown or does not support the rate.
        AudioError: The codec removes the whole signal, or loses some of its samples.

    Example:
        >>> out = apply(samples, Effects(squash=4.0, codec="mp3", quality=0.5), -16.0, 32000, seed=1)
    """
    out = filtered(samples.astype(np.float32), effects, rate)
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
                f"{effects.codec} at quality {effects.quality:.2f} removes the whole signal; "
                "expected content below 8 kHz, or use a better quality"
            )
        out = _levelled(decoded, level)
    return out


def amplified(samples: FloatArray, drive_db: float, rate: int) -> FloatArray:
    """Simulate an overdriven amplifier with a loudspeaker: tanh distortion and a band-pass from 80 Hz to 5 kHz.

    Args:
        samples: (t,) samples.
        drive_db: Gain before the distortion, in dB.
        rate: Sample rate in Hz.

    Returns:
        (t,) float32 samples.

    Example:
        >>> distorted = amplified(samples, 24.0, 44100)
    """
    from scipy import signal

    driven = np.tanh(samples * (10 ** (drive_db / 20) / max(3 * _rms(samples), 1e-9)))
    return signal.sosfilt(signal.butter(2, _LOUDSPEAKER, "bandpass", fs=rate, output="sos"), driven).astype(np.float32)


def _rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _levelled(samples: FloatArray, level: float) -> FloatArray:
    """Scale samples to `level` dBFS RMS, or less if a peak would exceed the limit. Silence is not changed."""
    rms = _rms(samples)
    if rms == 0:
        return samples
    return (samples * min(10 ** (level / 20) / rms, _PEAK / float(np.abs(samples).max()))).astype(np.float32)


def filtered(samples: FloatArray, effects: Effects, rate: int) -> FloatArray:
    """Apply tilt, high-pass and low-pass in one pass. A low-pass near or above the Nyquist frequency is skipped.

    Args:
        samples: (t,) samples.
        effects: The filters. Other effects are ignored.
        rate: Sample rate in Hz.

    Returns:
        (t,) float32 samples.

    Example:
        >>> brighter = filtered(samples, Effects(tilt_db=3.0), 44100)
    """
    from scipy import signal

    # A shelf around _TILT_CENTRE: low * LP + high * (1 - LP), where LP is a first-order low-pass.
    b, a = signal.butter(1, _TILT_CENTRE, fs=rate)
    low, high = 10 ** (-effects.tilt_db / 40), 10 ** (effects.tilt_db / 40)
    tilt = (low - high) * b + high * a
    sections = [np.array([[*tilt, 0.0, *a, 0.0]])]
    if effects.highpass is not None:
        sections.append(signal.butter(2, effects.highpass, "highpass", fs=rate, output="sos"))
    if effects.lowpass is not None and effects.lowpass < 0.49 * rate:
        sections.append(signal.butter(4, effects.lowpass, fs=rate, output="sos"))
    return signal.sosfilt(np.concatenate(sections), samples).astype(np.float32)


def _compressed(samples: FloatArray, ratio: float, rate: int) -> FloatArray:
    return (samples * compression(samples, ratio, rate)).astype(np.float32)


def compression(samples: FloatArray, ratio: float, rate: int) -> FloatArray:
    """Return the gain of a compressor that reduces levels above a threshold of 6 dB below RMS by `ratio`.

    Args:
        samples: (t,) samples.
        ratio: The ratio, from 1 (no compression).
        rate: Sample rate in Hz.

    Returns:
        The (t,) factors, at most 1.

    Example:
        >>> gain = compression(mix, 2.0, 44100)  # applied to every stem, their sum is the compressed mix
    """
    from scipy import signal

    hop = int(_HOP * rate)
    count = -(-len(samples) // hop)
    power = np.pad(samples, (0, count * hop - len(samples))).reshape(count, hop)
    power = np.mean(np.square(power, dtype=np.float64), axis=1)
    # The maximum of a fast and a slow envelope has a fast attack and a slow release.
    fast, slow = (
        signal.lfilter([1 - keep], [1, -keep], power) for keep in np.exp(-_HOP / np.array([_ATTACK, _RELEASE]))
    )
    threshold = power.mean() * 10 ** (-_BELOW / 10)
    if threshold == 0:
        return np.ones(len(samples))
    over = np.maximum(np.maximum(fast, slow) / threshold, 1.0)
    gain = over ** (-(1 - 1 / ratio) / 2)
    return interpolated(gain, hop)[: len(samples)]


def interpolated(values: FloatArray, hop: int) -> FloatArray:
    """Interpolate (n,) values, `hop` samples apart, linearly. The last value is held.

    Returns:
        (n * hop,) samples: as of `numpy.interp`, in a tenth of the time.

    Example:
        >>> interpolated(np.array([0.0, 1.0]), 2).tolist()
        [0.0, 0.5, 1.0, 1.0]
    """
    slopes = np.append(np.diff(values), 0.0) / hop
    return (slopes[:, None] * np.arange(hop) + values[:, None]).ravel()


def _hiss(length: int, rng: np.random.Generator) -> FloatArray:
    """Draw (t,) float32 noise of RMS 1, with a random low-pass."""
    from scipy import signal

    dullness = np.float32(rng.uniform(0.0, 0.9))
    noise = signal.lfilter([np.float32(1)], [np.float32(1), -dullness], rng.standard_normal(length, dtype=np.float32))
    return noise / np.float32(_rms(noise) or 1.0)


def _round_trip(samples: FloatArray, codec: str, quality: float, rate: int) -> FloatArray:
    """Encode and decode samples in memory. The result is aligned and has the same length.

    MP3 uses a variable bit rate. LAME then always stores its encoder delay in a tag, and the decoder removes the delay.
    At a constant rate of 64 kbit/s or less the tag does not fit, and a delay of 1105 samples remains.
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
        # libsndfile's Vorbis encoder keeps a whole write on the stack. A minute of sound would overflow it.
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    encoded.seek(0)
    decoded, _ = soundfile.read(encoded, dtype="float32")
    if decoded.shape != samples.shape:  # LAME writes a broken frame for one recording in some thousands
        raise AudioError(f"{codec} at quality {quality:.2f} lost samples: {len(decoded)} of {len(samples)} are left")
    return decoded
