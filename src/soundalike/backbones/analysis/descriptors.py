"""What one passage sounds like: fixed descriptors of melody, rhythm, timbre and harmony, and tempo and key.

Everything here works on the compact spectra of a passage, stored as fourth roots of power ("root spectra"),
and depends on nothing outside the passage, so a passage cut out of a recording has the row it has within it.
All are invariant to level; `melody` and `harmony` to transposition; `melody`, `rhythm` and `harmony` to
shifts in time, and nearly so to small changes of tempo, because lags lie on a logarithmic axis.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from soundalike.audio import dsp
from soundalike.core.types import FloatArray

__all__ = [
    "HARMONY_DIM",
    "KEYS",
    "MELODY_DIM",
    "PER_OCTAVE",
    "PITCH_BANDS",
    "PITCH_LOW",
    "RHYTHM_BANDS",
    "RHYTHM_DIM",
    "TIMBRE_BANDS",
    "TIMBRE_DIM",
    "chroma",
    "harmony",
    "key",
    "melody",
    "onsets",
    "pitch_peaks",
    "pitched",
    "rhythm",
    "tempo",
    "timbre",
]

PITCH_LOW = 55.0
PER_OCTAVE = 36
PITCH_BANDS = 7 * PER_OCTAVE
RHYTHM_BANDS = 32
TIMBRE_BANDS = 64

_PER_SEMITONE = PER_OCTAVE // 12
_VOICE = slice(15 * _PER_SEMITONE, 55 * _PER_SEMITONE)  # C3 to E6: where leads and voices move
_MELODY_LAGS, _MELODY_INTERVALS = 20, 12
_HARMONY_LAGS = 12
_RHYTHM_LAGS = 48
# Where neighbouring mel bands are added up: kick, low toms, snare body, voice, snare wires, cymbals.
_GROUPS = (0, 2, 5, 10, 16, 24, 32)
_ACROSS = ((0, 2), (2, 0), (0, 5), (5, 0), (2, 5), (5, 2))
_CEPSTRA = 20

MELODY_DIM = _MELODY_LAGS * (2 * _MELODY_INTERVALS + 1)
HARMONY_DIM = 2 * 12 * (_HARMONY_LAGS + 1)
RHYTHM_DIM = _RHYTHM_LAGS * (len(_GROUPS) - 1 + len(_ACROSS))
TIMBRE_DIM = 3 * _CEPSTRA - 1 + 2 * RHYTHM_BANDS + 2 * (PITCH_BANDS // PER_OCTAVE)

KEYS = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
)


def _unit(values: FloatArray) -> FloatArray:
    return np.asarray(values / max(float(np.sqrt(np.sum(np.square(values)))), 1e-9), np.float32).ravel()


def _power(roots: FloatArray) -> FloatArray:
    """What the fourth roots were taken of."""
    return np.square(np.square(roots.astype(np.float32)))


def _rises(roots: FloatArray) -> FloatArray:
    """Onset strength of every band from root spectra, before bands are added up: (f, 32), same shape."""
    power = _power(roots)
    rise = dsp.onset_strength(np.log1p(power * (1e3 / max(float(power.mean()), 1e-20))))
    rise[:3] = 0.0
    rise[-2:] = 0.0
    return rise


def timbre(colour: FloatArray, quick: FloatArray, pitch: FloatArray) -> FloatArray:
    """What the sound is made of, as statistics over frames: (f, 64), (g, 32), (f, 252) root spectra to (137,).

    Mean, spread and spread of change of 20 mel cepstra, without the mean of the first, which is level (Davis and
    Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980; as a
    Gaussian over frames after Mandel and Ellis, "Song-level features and support vector machines for music
    classification", 2005, with a diagonal covariance), frames 40 dB below the loudest left out; log mean and
    root mean square of the onset strength of 32 bands (how sharply sounds begin); mean and spread of how far
    peaks stand out of each of seven octaves (after the octave-based spectral contrast of Jiang et al., "Music
    type classification by spectral contrast feature", 2002).
    """
    power = _power(colour)
    peak = max(float(power.max(initial=0.0)), 1e-20)
    total = power.sum(axis=1)
    heard = power[total >= 1e-4 * total.max(initial=0.0)]
    cepstra = scipy.fft.dct(np.log(np.maximum(heard / peak, 1e-7)), axis=1, norm="ortho")[:, :_CEPSTRA]
    change = np.diff(cepstra, axis=0) if len(cepstra) > 1 else np.zeros((1, _CEPSTRA), np.float32)
    rise = _rises(quick)
    attack = np.log(np.concatenate([rise.mean(axis=0), np.sqrt(np.mean(np.square(rise), axis=0))]) + 1e-3)
    wide = pitch.astype(np.float32)
    octaves = (len(wide), PITCH_BANDS // PER_OCTAVE, PER_OCTAVE)
    standing = np.maximum(wide - dsp.moving_mean(wide, PER_OCTAVE // 2), 0.0).reshape(octaves).sum(axis=2)
    floor = 1e-4 * wide.sum(axis=1, keepdims=True) + 1e-9
    contrast = standing / (wide.reshape(octaves).sum(axis=2) + floor)
    return np.concatenate(
        [
            cepstra.mean(axis=0)[1:],
            cepstra.std(axis=0),
            change.std(axis=0),
            attack,
            20.0 * contrast.mean(axis=0),
            20.0 * contrast.std(axis=0),  # of the order of the cepstra's numbers
        ]
    ).astype(np.float32)


def onsets(roots: FloatArray) -> FloatArray:
    """Onset strength of six bands from root spectra: (f, 32) to (f, 6).

    Power is compressed as log(1 + 1000 x) with the passage's mean at 1 (Klapuri, Eronen and Astola, "Analysis
    of the meter of acoustic musical signals", 2006, eq. 2). The ends, where a frame may reach beyond the
    sound, are zero.
    """
    return np.add.reduceat(_rises(roots), _GROUPS[:-1], axis=1)


def rhythm(strength: FloatArray, period: float) -> FloatArray:
    """Lag correlations of onset strength within and across bands. (f, 6) to (576,).

    48 lags from 0.08 to 4 s: the autocorrelation of each band (a beat spectrum per band: Foote and Uchihashi,
    "The beat spectrum", 2001), and the correlation of kick, snare and cymbals with one another in either
    order, which tells a pattern from its permutations. The log-lag axis is that of Gruhne and Dittmar
    ("Improving rhythmic pattern features based on logarithmic preprocessing", 2009); its bands reach 21 %
    either side, so that two versions 8 % apart in tempo still overlap.
    """
    centred = strength - strength.mean(axis=0)
    spread = np.sqrt(np.mean(np.square(centred), axis=0))
    centred = centred / (spread + 1e-3 * float(spread.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(centred), period, 0.08, 4.0, _RHYTHM_LAGS, 2.5)
    first, second = np.array(_ACROSS).T
    within = bands @ dsp.cross_correlation(centred, centred)
    across = bands @ dsp.cross_correlation(centred[:, first], centred[:, second])
    return np.concatenate([_unit(within), _unit(across)])


def pitch_peaks(roots: FloatArray) -> FloatArray:
    """Whitened log-frequency peaks of root spectra, three bins a semitone from 55 Hz: (f, 252), same shape."""
    return dsp.whiten(roots.astype(np.float32), PER_OCTAVE // 2)


def pitched(peaks: FloatArray) -> bool:
    """Whether (f, 252) whitened peaks hold pitch: lines that are still there two frames later.

    The correlation of frames that share no sample is within 0.2 for noise and clicks, even its 90th percentile,
    which for every instrument is higher, unpitched drums included: this rules out noise, not drums.
    """
    middle = peaks[:, PER_OCTAVE : 5 * PER_OCTAVE]
    if len(middle) < 3:
        return bool(middle.any())  # too short to tell
    centred = middle - middle.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.sum(np.square(centred), axis=1))
    heard = (norms[:-2] > 0.0) & (norms[2:] > 0.0)
    if not heard.any():
        return False
    products = np.sum(centred[:-2] * centred[2:], axis=1)[heard] / (norms[:-2] * norms[2:])[heard]
    return bool(np.percentile(products, 90) > 0.25)


def melody(peaks: FloatArray, offset: float, period: float) -> FloatArray:
    """Interval-by-lag histogram of the predominant line. (f, 252) to (500,).

    Salience by harmonic sums (see `dsp.harmonic_sum`) over 131 to 1319 Hz. What a pitch holds over two seconds
    is accompaniment and subtracted; the square of the rest, unit sum a frame, lets one line stand out. Then the
    two-dimensional autocorrelation: how often a pitch is followed by one i semitones away (-12 to 12) after each
    of 20 lags from 0.15 to 4 s. Ours, after the interval histograms of symbolic retrieval and the 2-D Fourier
    magnitude of Bertin-Mahieux and Ellis ("Large-scale cover song recognition using the 2D Fourier transform
    magnitude", 2012), of which it is the transform but for the log-lag axis.
    """
    salience = dsp.harmonic_sum(peaks, PER_OCTAVE, 6, 0.8)[:, _VOICE]
    salience = dsp.fold_semitones(salience, _PER_SEMITONE, offset)
    held = dsp.moving_mean(salience.T, round(1.0 / period)).T
    line = np.square(np.maximum(salience - held, 0.0))
    total = line.sum(axis=1, keepdims=True)
    line = line / (total + 1e-6 * float(total.max(initial=0.0)) + 1e-9)
    table = dsp.autocorrelation_2d(line - line.mean(axis=0), _MELODY_INTERVALS)
    return _unit(dsp.lag_bands(len(line), period, 0.15, 4.0, _MELODY_LAGS, 1.0) @ table)


def chroma(peaks: FloatArray, offset: float) -> FloatArray:
    """Whitened peaks from 55 to 880 Hz folded onto 12 pitch classes from A: (f, 252) to (f, 12).

    Higher octaves are left out: they hold overtones and the melody rather than the chord.
    """
    semitones = dsp.fold_semitones(peaks, _PER_SEMITONE, offset)[:, :48]
    return np.asarray(semitones.reshape(len(semitones), 4, 12).sum(axis=1), np.float32)


def harmony(pitch_classes: FloatArray, period: float) -> FloatArray:
    """How chords move: circular 2-D autocorrelation of half-second chroma. (f, 12) to (312,).

    Lag 0 (which intervals sound together) and 12 lags from 0.4 to 7 s, 12 intervals each; once as it is and once,
    at half weight, without what stays the same throughout. The statistic that the 2-D Fourier magnitude of
    Bertin-Mahieux and Ellis (see `melody`) is the transform of, on a log-lag axis.
    """
    smooth = dsp.moving_mean(pitch_classes.T, round(0.25 / period)).T
    norm = np.sqrt(np.sum(np.square(smooth), axis=1, keepdims=True))
    smooth = smooth / (norm + 1e-3 * float(norm.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(smooth), period, 0.4, 7.0, _HARMONY_LAGS, 1.0)
    parts = []
    for weight, image in ((1.0, smooth), (0.5, smooth - smooth.mean(axis=0))):
        table = dsp.autocorrelation_2d(image, 0, circular=True)
        parts.append(weight * _unit(np.concatenate([table[:1], bands @ table])))
    return np.concatenate(parts)


def tempo(correlation: FloatArray, period: float) -> float | None:
    """Beats a minute from the autocorrelation (f,) of the onset strength of all bands; None without a pulse.

    A comb adds the lags of one to four beats (Percival and Tzanetakis, "Streamlined tempo estimation based on
    autocorrelation and cross-correlation with pulses", 2014), times a log-normal prior around 120 BPM (Ellis,
    "Beat tracking by dynamic programming", 2007, eq. 6); 50 to 210 BPM.
    """
    if len(correlation) < 0.6 / period or correlation[0] <= 0.0:
        return None
    beats = np.geomspace(60.0 / 210.0, 60.0 / 50.0, 400)
    lags = np.arange(len(correlation)) * period
    comb = np.zeros(len(beats))
    for multiple, weight in ((1, 1.0), (2, 0.7), (3, 0.4), (4, 0.4)):
        comb += weight * np.interp(multiple * beats, lags, correlation, right=0.0)
    score = comb * np.exp(-0.5 * np.square(np.log2(beats / 0.5) / 0.9))
    best = int(np.argmax(score))
    if score[best] <= 0.12 * correlation[0]:  # ten seconds of noise reach 0.1, anything with a beat 0.3 and more
        return None
    # The beat is read off its highest multiple in reach, where a frame is a smaller part of it.
    beat = float(beats[best])
    for multiple in (1, 2, 4):
        around = np.flatnonzero(np.abs(lags - multiple * beat) <= 0.06 * beat)
        if len(around) and 0 < (peak := int(around[np.argmax(correlation[around])])) < len(correlation) - 1:
            left, mid, right = correlation[peak - 1 : peak + 2]
            bend = left - 2.0 * mid + right
            shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
            beat = (peak + float(np.clip(shift, -0.5, 0.5))) * period / multiple
    return 60.0 / beat


# How often each degree sounds in classical music, tonic first: Albrecht and Shanahan, "The use of large corpora to
# train a new type of key-finding algorithm", 2013.
_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)


def key(pitch_classes: FloatArray) -> str | None:
    """The key whose profile correlates best with summed chroma (12,) from A, such as "F# minor"; None if flat.

    Profile matching after Krumhansl and Schmuckler (Krumhansl, "Cognitive foundations of musical pitch", 1990).
    """
    heard = np.roll(pitch_classes.astype(np.float64), -3)  # from C
    heard = heard - heard.mean()
    if np.sqrt(np.mean(np.square(heard))) < 1e-6:
        return None
    profiles = np.array([np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)])
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    return KEYS[int(np.argmax(profiles @ heard / np.linalg.norm(profiles, axis=1)))]
