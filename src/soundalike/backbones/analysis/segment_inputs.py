"""The inputs of networks for concepts: log-mel spectrum, tempogram and chromagram of a segment, frame by frame.

Ribecky, Abeßer and Lukashevich, "Multi-input architecture and disentangled representation learning for
multi-dimensional modeling of music similarity", 2021, section 3.1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.backbones.analysis.cens import chroma_energies, chroma_statistics
from soundalike.backbones.analysis.centred_frames import centred_frames, periodic_hann
from soundalike.backbones.analysis.concept_settings import InputSettings
from soundalike.backbones.analysis.mel_frames import slaney_mel_matrix
from soundalike.backbones.analysis.tempogram import cyclic_tempogram, onset_strength, tempogram
from soundalike.core.types import FloatArray

__all__ = ["concept_inputs", "fit_segment", "mel_power"]


def concept_inputs(samples: FloatArray, settings: InputSettings) -> dict[str, FloatArray]:
    """Compute the inputs of a segment.

    All of them have the same frames: frame k is centred on sample `k * hop`, and there are zeros beyond both ends.

    - `mel`: log10(1 + 10 S) of the mel power S, less its mean over the segment, divided by its standard deviation.
    - `tempogram`: that of the onsets in the same bands, see `tempogram.tempogram` and `tempogram.cyclic_tempogram`.
    - `chroma`: 12 chroma energy normalised statistics, see `cens.chroma_statistics`, and zeros.

    Args:
        samples: Mono (t,) float32 at `settings.rate`, t at least 1.
        settings: The inputs.

    Returns:
        (bins, 1 + t // hop) float32 for each name in `settings.names`, in this order.

    Example:
        >>> inputs = concept_inputs(fit_segment(samples, settings), settings)
        >>> {name: values.shape for name, values in inputs.items()}
        {'mel': (128, 259), 'tempogram': (384, 259), 'chroma': (16, 259)}
    """
    found: dict[str, FloatArray] = {}
    power = mel_power(samples, settings) if {"mel", "tempogram"} & set(settings.names) else None
    for name in settings.names:
        if name == "chroma":
            found[name] = np.zeros((settings.chroma, 1 + len(samples) // settings.hop), np.float32)
            energies = chroma_energies(samples, settings.rate, settings.hop)
            found[name][: len(energies)] = chroma_statistics(energies)
        elif power is not None:
            found[name] = _standardised(power).T if name == "mel" else _tempogram(power, settings)
    return found


def fit_segment(samples: FloatArray, settings: InputSettings) -> FloatArray:
    """Return (t,) samples as a segment: longer ones are cut at the end, shorter ones are continued with zeros.

    Example:
        >>> len(fit_segment(np.ones(5, np.float32), InputSettings()))
        66150
    """
    part = samples[: settings.samples]
    return np.asarray(np.pad(part, (0, settings.samples - len(part))), np.float32)


def mel_power(samples: FloatArray, settings: InputSettings) -> FloatArray:
    """Return the power of mel bands (1 + t // hop, bands) float32 of a segment (t,).

    Bands are those of librosa's default, of unit area on Slaney's scale. With the published settings the lowest bands
    are narrower than a bin of the transform, so that some of them are always 0.

    Example:
        >>> mel_power(np.zeros(66150, np.float32), InputSettings()).shape
        (259, 128)
    """
    window, matrix = _spectrum(settings.window, settings.rate, settings.bands)
    spectrum = scipy.fft.rfft(centred_frames(samples, settings.window, settings.hop) * window)
    return np.asarray((np.square(spectrum.real) + np.square(spectrum.imag)) @ matrix)


@lru_cache(maxsize=8)
def _spectrum(size: int, rate: int, bands: int) -> tuple[FloatArray, FloatArray]:
    """Return the window (size,) and the mel filters (size // 2 + 1, bands), float32."""
    return periodic_hann(size), slaney_mel_matrix(size, rate, bands, 0.0, rate / 2).astype(np.float32)


def _standardised(power: FloatArray) -> FloatArray:
    """Return log10(1 + 10 S) with mean 0 and standard deviation 1; 0 if it is constant."""
    levels = np.log10(1.0 + 10.0 * power)
    spread = float(levels.std())
    return np.asarray((levels - levels.mean()) / (spread if spread > 0.0 else 1.0), np.float32)


def _tempogram(power: FloatArray, settings: InputSettings) -> FloatArray:
    onsets = onset_strength(power, settings.window // (2 * settings.hop))
    if settings.tempogram == "autocorrelation":
        return tempogram(onsets, settings.lags)
    return cyclic_tempogram(onsets, settings.lags, settings.tempi, settings.rate / settings.hop)
