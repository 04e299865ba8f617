"""Magnitude spectra and log-mel spectra in torch.

n segments, t samples, b bins without the Nyquist bin, f frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.backbones.analysis import mel_triangles, slaney_mel_edges
from soundalike.train.metric.settings import SpectrumSettings

__all__ = ["LogMel", "magnitudes", "mel_filters", "to_one_level"]


def magnitudes(samples: Tensor, settings: SpectrumSettings) -> Tensor:
    """Return magnitude spectra, without the Nyquist bin.

    Hann windows, centred frames, zeros beyond the ends, no scaling: a sine of amplitude 1 has a peak of size / 4.

    Args:
        samples: Mono audio (n, t) from -1 to 1 at `settings.rate`, float32.
        settings: Window and hop.

    Returns:
        (n, b, f) float32, f = 1 + t // hop.

    Example:
        >>> magnitudes(torch.zeros(2, 16000), SpectrumSettings(16000, 1024, 512)).shape
        torch.Size([2, 512, 32])
    """
    window = torch.hann_window(settings.size, device=samples.device, dtype=samples.dtype)
    spectrum = torch.stft(
        samples, settings.size, settings.hop, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum[:, : settings.bins].abs()


def mel_filters(settings: SpectrumSettings, bands: int) -> Tensor:
    """Return triangular filters (bands, b) with peak 1 from 0 Hz to half the rate on Slaney's mel scale.

    On this scale 259 bands at 44.1 kHz and 2,048 samples each contain a bin. The scale with one logarithm throughout
    would leave low bands empty. A band narrower than the distance of two bins takes its nearest bin.

    Example:
        >>> mel_filters(SpectrumSettings(), 259).shape
        torch.Size([259, 1024])
    """
    edges = slaney_mel_edges(bands, 0.0, settings.rate / 2)
    bins = np.arange(settings.bins) * settings.rate / settings.size
    filters = mel_triangles(bins, edges).T
    empty = np.flatnonzero(~filters.any(axis=1))
    filters[empty, np.abs(bins - edges[1 + empty, None]).argmin(axis=1)] = 1
    return torch.from_numpy(np.ascontiguousarray(filters, np.float32))


def to_one_level(spectrum: Tensor, size: int) -> Tensor:
    """Scale the magnitudes of each segment to those of noise with an RMS of -20 dBFS.

    What lies below -80 dBFS is taken for silence and amplified by 60 dB only.

    Args:
        spectrum: Magnitudes (n, b, f).
        size: The window that they were made with, in samples.

    Example:
        >>> spectrum = torch.rand(1, 256, 40)
        >>> torch.allclose(to_one_level(spectrum, 512), to_one_level(9 * spectrum, 512))
        True
    """
    full = (0.375 * size) ** 0.5  # the root mean square of the magnitudes of noise with RMS 1, in a Hann window
    level = spectrum.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return spectrum * (0.1 * full / level.clamp(min=1e-4 * full))


class LogMel(nn.Module):
    """Map magnitude spectra (n, b, f) to log-mel spectra (n, bands, f), with natural logarithms.

    Args:
        settings: What the magnitudes were made with.
        bands: Number of mel bands, at least 1.
        floor: What is added to each band before the logarithm, in dB relative to a sine of full scale.

    Example:
        >>> LogMel(SpectrumSettings(), 259)(torch.zeros(1, 1024, 259)).shape
        torch.Size([1, 259, 259])
    """

    filters: Tensor

    def __init__(self, settings: SpectrumSettings, bands: int, floor: float = -90.0) -> None:
        super().__init__()
        self._floor = settings.size / 4 * 10 ** (floor / 20)  # a sine of full scale reaches size / 4
        self.register_buffer("filters", mel_filters(settings, bands), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Compute log-mel spectra."""
        return torch.log(self.filters @ spectrum + self._floor)
