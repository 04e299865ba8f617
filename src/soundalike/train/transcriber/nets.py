"""The transcriber's networks in torch: of pitch, of strokes, and of colour.

All processing from root spectra on is part of the networks, so that the exported graph computes exactly what was
trained. All are convolutions over time of any length. They are invariant to level, because each band is normalised by
its surroundings.

B clips, g pitch frames, f fast frames, h = ceil(g / 2), n cells (`transcriber.CELLS`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundalike.backbones.analysis import (
    CELLS,
    COLOURS,
    FAST_HOP,
    HOP,
    PER_OCTAVE,
    PITCH_BANDS,
    RATE,
    RHYTHM_BANDS,
    STROKES,
    TIMBRE_BANDS,
)

__all__ = ["ColourNetwork", "PitchNetwork", "PitchOutputs", "StrokeNetwork"]

_PER_SEMITONE = PER_OCTAVE // 12
_HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)
_SURROUNDINGS = 2.0  # seconds on either side of a frame that its level is compared with


class PitchOutputs(NamedTuple):
    """Logits: `lead` (B, g, n + 1), the last for none; `notes` (B, g, n); `tones` and `root` (B, h, 12), from A."""

    lead: Tensor
    notes: Tensor
    tones: Tensor
    root: Tensor


class HarmonicStack(nn.Module):
    """Map root spectra (B, g, 252) to (B, 27, g, n): the harmonics of each pitch as channels.

    Peaks are whitened along frequency as in `dsp.whiten`. For each cell, the three bins of each of eight harmonics
    become channels, so that a convolution over few cells covers a whole tone (Bittner et al., "Deep salience
    representations for F0 estimation in polyphonic music", 2017). Three more channels hold the raw level.
    """

    CHANNELS = (len(_HARMONICS) + 1) * _PER_SEMITONE
    near: Tensor
    wide: Tensor
    bins: Tensor
    level_bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("near", _moving_mean(PITCH_BANDS, PER_OCTAVE // 2), persistent=False)
        self.register_buffer("wide", _moving_mean(PITCH_BANDS, PER_OCTAVE), persistent=False)
        bins = torch.arange(CELLS)[:, None] * _PER_SEMITONE + torch.arange(_PER_SEMITONE) - _PER_SEMITONE // 2
        shifts = torch.tensor([round(PER_OCTAVE * math.log2(h)) for h in _HARMONICS])
        stacked = shifts[:, None, None] + bins.T[None]  # (harmonics, 3, n)
        outside = (stacked < 0) | (stacked >= PITCH_BANDS)
        self.register_buffer("bins", stacked.masked_fill(outside, PITCH_BANDS).reshape(-1), persistent=False)
        first = bins.T.clone()
        self.register_buffer("level_bins", first.masked_fill(first < 0, PITCH_BANDS).reshape(-1), persistent=False)

    def forward(self, roots: Tensor) -> Tensor:
        """Stack the harmonics of (B, g, 252)."""
        peaks = torch.relu(roots - roots @ self.near)
        spread = torch.sqrt((peaks * peaks) @ self.wide + 1e-12)
        level = _local_mean(roots.mean(dim=2), HOP)[:, :, None]
        whitened = F.pad(peaks / (spread + 0.02 * level + 1e-5), (0, 1))
        plain = F.pad(roots / (4 * level + 1e-4), (0, 1))
        stacked = torch.cat([whitened[:, :, self.bins], plain[:, :, self.level_bins]], dim=2)
        return stacked.reshape(len(roots), -1, self.CHANNELS, CELLS).transpose(1, 2)


def _moving_mean(count: int, half: int) -> Tensor:
    """A matrix (count, count) that averages a row vector over `half` neighbours on either side, fewer at the ends."""
    place = torch.arange(count)
    near = ((place[:, None] - place).abs() <= half).float()
    return near / near.sum(dim=0)


def _local_mean(level: Tensor, hop: int) -> Tensor:
    """The mean over the surroundings of every frame, fewer at the ends: (B, t) to (B, t)."""
    half = round(_SURROUNDINGS * RATE / hop)
    kernel = torch.ones(1, 1, 2 * half + 1, device=level.device, dtype=level.dtype)
    total = F.conv1d(level[:, None], kernel, padding=half)
    count = F.conv1d(torch.ones_like(level)[:, None], kernel, padding=half)
    return (total / count)[:, 0]


def _block(inputs: int, outputs: int, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU over (time, pitch), keeping the size."""
    padding = ((kernel[0] - 1) // 2 * dilation[0], (kernel[1] - 1) // 2 * dilation[1])
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class PitchNetwork(nn.Module):
    """Map root spectra (B, g, 252) to `PitchOutputs`.

    Local structure is computed at full rate, context over octaves and half a second at half rate. Chords come from
    features folded onto twelve pitch classes, by convolutions that are circular there, so that transposing the input
    transposes the output.
    """

    def __init__(self, width: int = 16, context: int = 24, folded: int = 12) -> None:
        super().__init__()
        self.stack = HarmonicStack()
        self.local = nn.Sequential(
            _block(HarmonicStack.CHANNELS, width, (3, 3)),
            _block(width, width, (5, 3)),
        )
        self.context = nn.Sequential(
            _block(width, context, (1, 13), (1, 2)),
            _block(context, context, (5, 1), (2, 1)),
            _block(context, context, (3, 3)),
        )
        self.join = nn.Sequential(_block(width + context, width, (1, 1)), _block(width, width, (3, 3)))
        self.cells = nn.Conv2d(width, 2, 1)
        self.none = nn.Conv1d(width, 1, 1)
        self.fold = nn.Sequential(nn.Conv2d(width + context, folded, 1), nn.ReLU())
        self.chord = nn.Sequential(
            nn.Conv2d(2 * folded, context, (5, 12), padding=(2, 0), bias=False), nn.BatchNorm2d(context), nn.ReLU(),
            nn.Conv2d(context, context, (5, 1), padding=(4, 0), dilation=(2, 1)), nn.ReLU(),
            nn.Conv2d(context, 2, 1),
        )  # fmt: skip

    def forward(self, roots: Tensor) -> PitchOutputs:
        """Compute the outputs for root spectra."""
        with torch.autocast(roots.device.type, enabled=False):
            stacked = self.stack(roots.float())
        local = self.local(stacked)
        frames = local.shape[2]
        halved = F.avg_pool2d(F.pad(local, (0, 0, 0, 1)), (2, 1))  # an odd last frame stays, at half its value
        wide = self.context(halved)
        full = F.interpolate(wide, scale_factor=(2.0, 1.0))[:, :, :frames]
        joined = torch.cat([local, full], dim=1)
        hidden = self.join(joined)
        cells = self.cells(hidden)
        none = self.none(hidden.amax(dim=3))
        folded = F.avg_pool2d(F.pad(self.fold(joined), (0, 0, 0, 1)), (2, 1))
        folded = folded.reshape(len(roots), folded.shape[1], -1, CELLS // 12, 12)
        low = folded[:, :, :, : CELLS // 12 - 2].mean(dim=3)
        classes = torch.cat([low, folded.amax(dim=3)], dim=1)
        chord = self.chord(torch.cat([classes, classes[..., :11]], dim=3))
        lead = torch.cat([cells[:, 0], none.transpose(1, 2)], dim=2)
        return PitchOutputs(lead, cells[:, 1], chord[:, 0], chord[:, 1])


class StrokeNetwork(nn.Module):
    """Map root spectra (B, f, 32) to logits (B, f, len(STROKES)) of what begins in a frame.

    Dilated convolutions over time, after the temporal convolutional networks of Davies and Böck ("Temporal
    convolutional networks for musical audio beat tracking", 2019), on compressed bands and their rises.
    """

    def __init__(self, width: int = 64, levels: int = 5) -> None:
        super().__init__()
        sizes = [2 * RHYTHM_BANDS] + [width] * levels
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, width, 5, padding=2 * 2**level, dilation=2**level, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            )
            for level, before in enumerate(sizes[:-1])
        )
        self.out = nn.Conv1d(2 * width, len(STROKES), 1)

    def forward(self, roots: Tensor) -> Tensor:
        """Compute the outputs for root spectra."""
        with torch.autocast(roots.device.type, enabled=False):
            power = roots.float().square().square()
            level = _local_mean(power.mean(dim=2), FAST_HOP)[:, :, None]
            bands = torch.log1p(1000 * power / (level + 1e-10))
            rises = torch.relu(bands[:, 1:] - bands[:, :-1])
            x = torch.cat([bands / 4, F.pad(rises, (0, 0, 1, 0))], dim=2).transpose(1, 2)
        first = hidden = self.layers[0](x)
        for layer in self.layers[1:]:
            hidden = layer(hidden) + hidden
        logits: Tensor = self.out(torch.cat([first, hidden], dim=1))
        return logits.transpose(1, 2)


class ColourNetwork(nn.Module):
    """Map root spectra (B, g, 64) every 2 * HOP samples to (B, g, COLOURS), a description of the timbre of a frame."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _block(2, width, (3, 5)),
            nn.MaxPool2d((1, 2)),
            _block(width, width, (3, 3)),
            _block(width, 2 * width, (3, 3)),
            nn.MaxPool2d((1, 2)),
            _block(2 * width, 2 * width, (3, 3)),
        )
        self.out = nn.Conv1d(2 * width * TIMBRE_BANDS // 4, COLOURS, 1)

    def forward(self, roots: Tensor) -> Tensor:
        """Compute the outputs for root spectra."""
        with torch.autocast(roots.device.type, enabled=False):
            power = roots.float().square().square()
            level = _local_mean(power.mean(dim=2), 2 * HOP)[:, :, None]
            bands = torch.log(power / (level + 1e-10) + 1e-6) / 4
            change = bands - F.pad(bands, (0, 0, 1, 0))[:, :-1]
        hidden = self.layers(torch.stack([bands, change], dim=1))
        colours: Tensor = torch.relu(self.out(hidden.transpose(2, 3).flatten(1, 2)))
        return colours.transpose(1, 2)
