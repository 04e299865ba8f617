"""Tests of mixing: requested levels, reverberation, resampling, effects and codecs."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import signal

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Band, Effects, Role
from soundalike.render.sound.effects import apply, draw_effects
from soundalike.render.sound.mixing import balance, draw_levels, is_mute, loudness, resample, room

RATE = 32000
LOW_RATE = 8000  # for tests of levels only
PLAIN = Effects()
LAYOUTS = [layout for size in range(1, 5) for layout in itertools.combinations(ROLES, size)]
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def noise(seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> FloatArray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def tone(hertz: float, seconds: float = 4.0, rate: int = RATE) -> FloatArray:
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def music(seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> FloatArray:
    """Return low-passed noise bursts, four per second, each with its own decay and level."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    stroke = (time * 4).astype(int)
    decay, height = random.uniform(4, 30, stroke[-1] + 1)[stroke], random.uniform(0.3, 1, stroke[-1] + 1)[stroke]
    dull = signal.lfilter([1], [1, -0.9], random.standard_normal(len(time)))
    return (0.05 * dull * height * np.exp(-decay * (time % 0.25))).astype(np.float32)


def stem(kind: str, seed: int) -> FloatArray:
    random, time = np.random.default_rng(seed), np.arange(3 * LOW_RATE) / LOW_RATE
    hiss = random.standard_normal(len(time))
    start = random.uniform(0, 2)
    sound = {
        "noise": hiss,
        "tone": np.sin(2 * np.pi * float(random.choice([60, 220, 440, 1000])) * time),
        "strokes": hiss * np.exp(-random.uniform(3, 60) * (time % random.choice([0.25, 0.5, 1.0]))),
        "sparse": hiss * ((time >= start) & (time < start + random.uniform(0.2, 1))),
    }[kind]
    return (sound * 10 ** random.uniform(-3, 0)).astype(np.float32)


def rest_of(stems: dict[Role, FloatArray], role: Role) -> FloatArray:
    return np.sum([samples for other, samples in stems.items() if other != role], axis=0)


def rms_db(samples: FloatArray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def band_db(samples: FloatArray, low: float, high: float) -> float:
    frequencies, power = signal.welch(samples, RATE, nperseg=4096)
    return float(10 * np.log10(power[(frequencies >= low) & (frequencies < high)].mean()))


def test_loudness_ignores_silence_and_attenuates_low_frequencies() -> None:
    middle = tone(1000)
    assert loudness(middle, RATE) == pytest.approx(rms_db(middle), abs=0.3)
    assert loudness(2 * middle, RATE) - loudness(middle, RATE) == pytest.approx(20 * np.log10(2), abs=1e-3)
    half = middle * (np.arange(len(middle)) < len(middle) // 2)
    assert loudness(half, RATE) == pytest.approx(loudness(middle, RATE), abs=0.1)
    assert loudness(tone(50), RATE) < loudness(middle, RATE) - 10
    assert loudness(np.zeros(RATE, np.float32), RATE) == loudness(middle[:100], RATE) == -120.0


def test_a_stem_is_mute_if_it_is_quiet_or_mostly_silent() -> None:
    sound = noise()
    assert not is_mute(sound, RATE)
    assert is_mute(np.zeros_like(sound), RATE)
    assert is_mute(sound * 10 ** (-60 / 20), RATE)
    click = np.zeros(10 * RATE, np.float32)
    click[5000:5100] = 0.5
    assert is_mute(click, RATE)
    click[::RATE] = 0.5
    assert not is_mute(click, RATE)


@PROPERTY
@given(
    layout=st.sampled_from(LAYOUTS),
    kinds=st.tuples(*[st.sampled_from(["noise", "tone", "strokes", "sparse"])] * 4),
    seed=st.integers(0, 10**6),
)
def test_drawn_levels_are_reached(layout: tuple[Role, ...], kinds: Sequence[str], seed: int) -> None:
    lead_db, drums_db, bass_db = draw_levels(np.random.default_rng(seed), layout)
    band = Band(lead_db=lead_db, drums_db=drums_db, bass_db=bass_db)
    stems = {role: stem(kinds[k], seed + k) for k, role in enumerate(layout)}
    scaled, levels = balance(stems, band, LOW_RATE)
    assert list(scaled) == list(levels) == list(layout)
    for role in layout:
        assert scaled[role].dtype == np.float32
        if len(layout) == 1:
            assert levels[role] == np.inf
            continue
        measured = loudness(scaled[role], LOW_RATE) - loudness(rest_of(scaled, role), LOW_RATE)
        assert measured == pytest.approx(levels[role], abs=0.02)
        if role in ("lead", "drums"):
            assert -3 <= measured <= 9
            assert measured == pytest.approx({"lead": lead_db, "drums": drums_db}[role], abs=0.1)
    if {"comp", "bass"} <= set(layout):
        difference = loudness(scaled["bass"], LOW_RATE) - loudness(scaled["comp"], LOW_RATE)
        assert difference == pytest.approx(bass_db, abs=0.02)


@pytest.mark.parametrize("layout", LAYOUTS, ids="+".join)
def test_drawn_levels_cover_their_range(layout: tuple[Role, ...]) -> None:
    rng = np.random.default_rng(0)
    lead, drums, bass = np.array([draw_levels(rng, layout) for _ in range(400)]).T
    backed = bool({"comp", "bass"} & set(layout))
    for levels, role in ((lead, "lead"), (drums, "drums")):
        if role not in layout or len(layout) == 1:
            assert not levels.any()
            continue
        both = {"lead", "drums"} <= set(layout)
        top = (1.1 if backed else 3.0) if both else 9.0
        assert -3 <= levels.min() < -2.5
        assert top - 1.0 < levels.max() <= top
    if {"lead", "drums"} <= set(layout) and backed:
        # A part at power ratio L to the rest has the share L / (1 + L) of the total power.
        share = sum(10 ** (levels / 10) / (1 + 10 ** (levels / 10)) for levels in (lead, drums))
        assert (10 * np.log10((1 - share) / share)).min() >= -9.01
    if {"comp", "bass"} <= set(layout):
        assert -5 <= bass.min() < -4 < 2 < bass.max() <= 3
    else:
        assert not bass.any()


def test_unreachable_levels_are_errors() -> None:
    stems: dict[Role, FloatArray] = {role: stem("noise", k) for k, role in enumerate(ROLES)}
    for lead_db, drums_db in ((3.0, 0.0), (9.0, 9.0), (2.0, -2.5)):
        with pytest.raises(ValueError, match="leave the other parts below -12 dB"):
            balance(stems, Band(lead_db=lead_db, drums_db=drums_db), LOW_RATE)
    two: dict[Role, FloatArray] = {"lead": stems["lead"], "drums": stems["drums"]}
    with pytest.raises(ValueError, match="sum to 0"):
        balance(two, Band(lead_db=3.0, drums_db=3.0), LOW_RATE)
    with pytest.raises(ValueError, match="stem of the bass is silent"):
        balance({**stems, "bass": np.zeros_like(stems["bass"])}, Band(), LOW_RATE)


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_reverberation_is_linear_and_the_same_for_every_stem(amount: float) -> None:
    stems = np.stack([music(seed=1), noise(seed=2), tone(300)])
    wet = room(stems, RATE, amount, seed=5)
    mix = room(stems.sum(axis=0), RATE, amount, seed=5)
    assert wet.shape == stems.shape and mix.shape == stems.shape[1:]
    assert wet.dtype == mix.dtype == np.float32
    np.testing.assert_allclose(wet.sum(axis=0), mix, atol=1e-5)
    np.testing.assert_array_equal(mix, room(stems.sum(axis=0), RATE, amount, seed=5))
    if amount == 0:
        np.testing.assert_array_equal(wet, stems)


def test_more_reverberation_is_louder_and_longer() -> None:
    click = np.zeros(3 * RATE, np.float32)
    click[0] = 1.0
    responses = [room(click, RATE, amount, seed=3) for amount in (0.1, 0.5, 1.0)]
    assert all(response[0] == 1.0 for response in responses)  # the direct sound
    energy = [np.sum(np.square(response[1:])) for response in responses]
    assert energy[0] < energy[1] < energy[2] < 1.0
    lengths = [np.flatnonzero(np.abs(response) > 1e-4)[-1] / RATE for response in responses]
    assert lengths[0] < lengths[1] < lengths[2] < 1.8
    late = responses[2][RATE // 2 :]
    assert band_db(late, 4000, 12000) < band_db(late, 100, 800) - 6  # the treble decays first
    assert not np.array_equal(responses[1], room(click, RATE, 0.5, seed=4))


def test_resampling_keeps_timing_sum_and_length() -> None:
    stems = np.stack([tone(440, 2.0, 44100), music(2.0, 44100)])
    clips = resample(stems, 44100, RATE)
    assert clips.shape == (2, 2 * RATE) and clips.dtype == np.float32
    np.testing.assert_allclose(clips[0][1000:-1000], tone(440, 2.0)[1000:-1000], atol=1e-3)
    np.testing.assert_allclose(clips.sum(axis=0), resample(stems.sum(axis=0), 44100, RATE), atol=1e-5)
    assert resample(stems[0], 44100, RATE, length=64001).shape == (64001,)
    assert resample(stems, 44100, 44100, length=80000).shape == (2, 80000)
    np.testing.assert_array_equal(resample(stems, 44100, 44100), stems)


@PROPERTY
@given(seed=st.integers(0, 10**6), level=st.floats(-30, -6))
def test_clips_with_drawn_effects_have_their_length_and_level(seed: int, level: float) -> None:
    effects = draw_effects(np.random.default_rng(seed))
    out = apply(music(1.0, seed=seed % 7), effects, level, RATE, seed)
    assert out.shape == (RATE,) and out.dtype == np.float32
    assert np.isfinite(out).all()
    peak = np.abs(out).max()
    assert peak <= 0.9 + 1e-6
    assert rms_db(out) == pytest.approx(level, abs=0.01) or (peak == pytest.approx(0.9, abs=1e-4) and peak > 0)
    assert rms_db(out) <= level + 0.01


def test_effects_are_drawn_with_the_intended_frequencies_and_ranges() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_effects(rng) for _ in range(3000)]
    assert draw_effects(np.random.default_rng(3)) == draw_effects(np.random.default_rng(3))
    for has, share in (
        (lambda e: e.highpass is not None, 0.3),
        (lambda e: e.lowpass is not None, 0.25),
        (lambda e: e.squash > 1, 0.35),
        (lambda e: e.hiss_db is not None, 0.5),
        (lambda e: e.codec is not None, 0.4),
        (lambda e: e.codec == "mp3", 0.2),
        (lambda e: e.tilt_db > 0, 0.5),
    ):
        assert np.mean([has(effects) for effects in drawn]) == pytest.approx(share, abs=0.035)
    assert all(-4 <= e.tilt_db <= 4 and 0 <= e.quality <= 1 and 1 <= e.squash <= 6 for e in drawn)
    assert all(40 <= e.highpass <= 200 for e in drawn if e.highpass)
    assert all(4500 <= e.lowpass <= 11000 for e in drawn if e.lowpass)
    assert all(-60 <= e.hiss_db <= -32 for e in drawn if e.hiss_db)


@pytest.mark.parametrize("codec", [None, "mp3", "ogg"])
def test_silence_remains_silence(codec: str | None) -> None:
    effects = Effects(3.0, 100.0, 6000.0, 4.0, -32.0, codec, 0.2)
    assert not apply(np.zeros(RATE, np.float32), effects, -16, RATE, 0).any()


@pytest.mark.parametrize("tilt", [-4.0, 4.0])
def test_tilt_changes_the_spectral_balance(tilt: float) -> None:
    flat, out = (apply(noise(), effects, -20, RATE, 0) for effects in (PLAIN, Effects(tilt_db=tilt)))
    changes = [band_db(out, *edges) - band_db(flat, *edges) for edges in ((20, 150), (8000, 15000))]
    assert changes[1] - changes[0] == pytest.approx(tilt, abs=0.4)


def test_filters_attenuate_only_their_stop_band() -> None:
    flat = apply(noise(), PLAIN, -20, RATE, 0)
    low = apply(noise(), Effects(lowpass=5000.0), -20, RATE, 0)
    high = apply(noise(), Effects(highpass=200.0), -20, RATE, 0)

    def change(out: FloatArray, low: float, high: float) -> float:
        """Return the change of a band relative to the mid frequencies, because the level is adjusted afterwards."""
        middle = band_db(out, 800, 2000) - band_db(flat, 800, 2000)
        return band_db(out, low, high) - band_db(flat, low, high) - middle

    assert change(low, 10000, 15000) < -24
    assert change(high, 8, 50) < -20
    assert change(low, 100, 3000) == pytest.approx(0, abs=0.5)
    assert change(high, 800, 12000) == pytest.approx(0, abs=0.5)
    low_rate = apply(noise(rate=LOW_RATE), PLAIN, -20, LOW_RATE, 0)  # the cutoff is above the Nyquist frequency
    filtered = apply(noise(rate=LOW_RATE), Effects(lowpass=5000.0), -20, LOW_RATE, 0)
    np.testing.assert_array_equal(filtered, low_rate)


def test_the_compressor_reduces_level_differences() -> None:
    loud = (np.arange(4 * RATE) // RATE) % 2 == 0
    samples = noise() * np.where(loud, 1.0, 0.1).astype(np.float32)
    settled = np.arange(4 * RATE) % RATE > RATE // 2

    def difference(ratio: float) -> float:
        out = apply(samples, Effects(squash=ratio), -20, RATE, 0)
        return rms_db(out[loud & settled]) - rms_db(out[~loud & settled])

    assert difference(1.0) == pytest.approx(20, abs=0.3)
    # The RMS is 3 dB below the loud half, and the threshold 6 dB below the RMS. The loud half exceeds the threshold by
    # 9 dB, of which 1 / ratio remains.
    assert difference(4.0) == pytest.approx(20 - 9 * 3 / 4, abs=1.0)
    assert difference(6.0) < difference(2.0) < difference(1.0)


def test_hiss_has_the_requested_level() -> None:
    clean = apply(tone(440), PLAIN, -16, RATE, 0)
    for hiss_db in (-32.0, -50.0):
        noisy = apply(tone(440), Effects(hiss_db=hiss_db), -16, RATE, 0)
        assert rms_db(noisy - clean) - rms_db(clean) == pytest.approx(hiss_db, abs=0.2)
    other = apply(tone(440), Effects(hiss_db=-32.0), -16, RATE, 1)
    assert not np.array_equal(other, apply(tone(440), Effects(hiss_db=-32.0), -16, RATE, 0))


@pytest.mark.parametrize("rate", [16000, 22050, 32000, 44100])
@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("codec", ["mp3", "ogg"])
def test_a_codec_keeps_timing_and_length(codec: str, quality: float, rate: int) -> None:
    samples = music(1.37, rate)
    clean = apply(samples, PLAIN, -20, rate, 0)
    coded = apply(samples, Effects(codec=codec, quality=quality), -20, rate, 0)
    assert coded.shape == clean.shape
    correlation = signal.correlate(coded, clean)
    assert abs(int(np.argmax(correlation)) - (len(clean) - 1)) < 0.001 * rate
    similarity = correlation.max() / np.sqrt(np.sum(np.square(coded)) * np.sum(np.square(clean)))
    assert 0.8 < similarity < 0.999999  # changed by the codec, but still similar


@pytest.mark.parametrize("codec", ["mp3", "ogg"])
def test_a_lower_quality_has_more_coding_noise(codec: str) -> None:
    clean = apply(music(), PLAIN, -20, RATE, 0)
    lost = [
        rms_db(apply(music(), Effects(codec=codec, quality=quality), -20, RATE, 0) - clean)
        for quality in (1.0, 0.5, 0.0)
    ]
    assert lost[0] < lost[1] < lost[2]


def test_the_same_arguments_give_the_same_samples() -> None:
    for codec in (None, "mp3", "ogg"):
        effects = Effects(-2.0, 80.0, 7000.0, 3.0, -40.0, codec, 0.6)
        first, second = (apply(music(1.0), effects, -16, RATE, 9) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_vorbis_encodes_minutes_of_sound() -> None:
    """A single write of this length overflows the stack of libsndfile's encoder and ends the process."""
    out = apply(np.tile(music(10.0, 8000), 36), Effects(codec="ogg", quality=0.5), -16, 8000, 0)
    assert len(out) == 360 * 8000


def test_codec_errors_are_clear() -> None:
    with pytest.raises(UsageError, match=r"'flac', expected one of mp3, ogg"):
        apply(noise(0.5), Effects(codec="flac"), -16, RATE, 0)
    with pytest.raises(UsageError, match="mp3 cannot be written at 30000 Hz"):
        apply(noise(0.5), Effects(codec="mp3"), -16, 30000, 0)
    with pytest.raises(AudioError, match=r"mp3 at quality 0.00 removes the whole signal"):
        apply(tone(15500), Effects(codec="mp3", quality=0.0), -16, RATE, 0)


def test_a_codec_that_loses_samples_is_an_error_of_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    read = soundfile.read
    monkeypatch.setattr(soundfile, "read", lambda *args, **options: (read(*args, **options)[0][259:], RATE))
    with pytest.raises(AudioError, match=r"mp3 at quality 1.00 lost samples: 31741 of 32000 are left"):
        apply(noise(1.0), Effects(codec="mp3"), -16, RATE, 0)


def test_a_constant_bit_rate_would_keep_the_delay_of_mp3() -> None:
    """This is the reason for the variable bit rate of mp3. If this test fails, the reason no longer exists."""
    samples, encoded = music(1.0, 16000), io.BytesIO()
    soundfile.write(encoded, samples, 16000, format="MP3", bitrate_mode="CONSTANT", compression_level=0.9)
    encoded.seek(0)
    assert len(soundfile.read(encoded)[0]) > len(samples)
