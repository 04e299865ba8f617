"""Settings for learning the similarity of instruments, with the published values. This module does not need torch.

Source: Imamura, Hashizume, Huang, Toda: Music Similarity Representation Learning Focusing on Individual Instruments
with Source Separation and Human Preference, APSIPA Transactions on Signal and Information Processing 14, e303, 2025.
Values marked "not printed" are ours; docs/instrument-similarity.md gives the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from soundalike.core.errors import UsageError

__all__ = ["FIVE", "PUBLISHED", "SIX", "SMALL", "MetricSettings", "NetworkSettings", "SpectrumSettings"]

FIVE: tuple[str, ...] = ("drums", "bass", "piano", "guitar", "other")
"""The instruments of the paper in its order; `other` is its "residuals", everything but the four."""

SIX: tuple[str, ...] = ("drums", "bass", "guitar", "piano", "vocals", "other")
"""The instruments of rendered songs."""


@dataclass(frozen=True, slots=True)
class SpectrumSettings:
    """The short-time Fourier transform of all networks.

    Attributes:
        rate: Sampling rate in Hz.
        size: Window and transform length in samples, even.
        hop: Samples from one frame to the next.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> SpectrumSettings().bins, SpectrumSettings().frames(3.0)
        (1024, 259)
    """

    rate: int = 44100
    size: int = 2048
    hop: int = 512

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise UsageError(f"rate is {self.rate}; expected at least 1 Hz")
        if self.size < 4 or self.size % 2:
            raise UsageError(f"size is {self.size}; expected an even number of at least 4 samples")
        if not 1 <= self.hop <= self.size:
            raise UsageError(f"hop is {self.hop}; expected 1 to size ({self.size}) samples")

    @property
    def bins(self) -> int:
        """Frequency bins that the networks see: those of the transform without the Nyquist bin."""
        return self.size // 2

    def samples(self, seconds: float) -> int:
        """Return the number of samples of a segment."""
        return round(seconds * self.rate)

    def frames(self, seconds: float) -> int:
        """Return the number of frames of a segment. Frames are centred, so a segment of no length has one."""
        return 1 + self.samples(seconds) // self.hop


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Shape of the U-Nets. The defaults are those of Jansson et al., which the paper uses.

    Attributes:
        instruments: Names of the K instruments, in the order of rows, masks and slices.
        channels: Channels after each layer of an encoder.
        kernel: Side of the square convolution kernels, odd.
        stride: Stride of each convolution, in frequency and time.
        leak: Slope of the leaky ReLU below 0.
        dropout: Dropout at the end of the first three layers of a decoder.
        dim: Dims of one instrument's row, d.
        bands: Log-mel bands that the extractors of one instrument see (Clean and Cascade); None for magnitudes. The
            extractor of all instruments (Direct) always sees magnitudes.
        floor: What is added to a mel band before the logarithm, in dB relative to a sine of full scale. Not printed.
        one_level: Whether extractors bring the spectrum of each segment to one level first, so that rows do not depend
            on how loud the instrument is. Not in the paper.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> NetworkSettings(channels=(4, 8, 8, 16, 16, 32), dim=32, bands=64).dim
        32
    """

    instruments: tuple[str, ...] = FIVE
    channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    kernel: int = 5
    stride: int = 2
    leak: float = 0.2
    dropout: float = 0.5
    dim: int = 128
    bands: int | None = 259
    floor: float = -90.0  # not printed; a low floor shows what a separator leaves of the other instruments
    one_level: bool = False

    def __post_init__(self) -> None:
        if not self.instruments or len(set(self.instruments)) < len(self.instruments):
            raise UsageError(f"instruments are {', '.join(self.instruments) or 'missing'}; expected different names")
        if len(self.channels) < 2 or min(self.channels) < 1:
            raise UsageError(f"channels are {self.channels}; expected at least two layers of at least 1 channel")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"kernel is {self.kernel}; expected an odd number of at least 1")
        for name in ("stride", "dim", "bands"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
        if not -200 <= self.floor <= 0:
            raise UsageError(f"floor is {self.floor}; expected -200 to 0 dB")
        for name in ("leak", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 to below 1")


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Everything that a training of one method depends on, apart from the songs. The defaults are the published ones.

    Attributes:
        spectrum: The short-time Fourier transform.
        network: The shape of the networks.
        equal_loudness: Whether the instruments of a song are brought to the same loudness before they are mixed. The
            stems of Slakh2100 already are.
        vary_levels: By how many dB at most the level of each stem of a mixture is changed at random, up or down. The
            paper leaves levels as they are.
        batch: Segments (separators, pre-training) or triplets per batch.
        segment: Seconds of a segment for training.
        paft_segment: Seconds of a segment of people's judgements.
        test_segment: Seconds of a segment for validation and for music ID estimation.
        margin: Margin of the triplet loss. Not printed.
        separation_weight: Weight of the separation loss beside the triplet loss. Not printed.
        epochs: The number of epochs at most.
        stage_epochs: The same for single stages, by their names, where it differs.
        patience: Stop after this many epochs without a lower validation loss; None trains for all epochs.
        steps_per_epoch: Batches per epoch and instrument. Not printed.
        paft_epochs: Epochs of fine-tuning on people's judgements.
        validation: Segments or triplets of a stage's validation set. Not printed.
        fixed_triplets: Basic triplets of pseudo-pieces per instrument that Direct draws once, beforehand. Not printed.
        lr_separators: Learning rate of the separators. Not printed.
        lr_extractors: Learning rate of the extractors of one instrument: Clean and Cascade.
        lr_tuning: Learning rate of end-to-end fine-tuning: Cascade-FT.
        lr_direct: Learning rate of pre-training and training of Direct and Direct-Reconst.
        lr_paft: Learning rate of fine-tuning on people's judgements.
        seed: Seed of all random draws, at least 0.
        device: A torch device such as "cpu" or "cuda".

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> from dataclasses import replace
        >>> replace(SMALL, seed=1, epochs=2).epochs
        2
    """

    spectrum: SpectrumSettings = field(default_factory=SpectrumSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    equal_loudness: bool = False
    vary_levels: float = 0.0
    batch: int = 64
    segment: float = 3.0
    paft_segment: float = 5.0
    test_segment: float = 10.0
    margin: float = 1.0  # not printed: raw rows have no fixed scale, so that any value above 0 only sets their unit
    separation_weight: float = 1.0  # not printed
    epochs: int = 400
    stage_epochs: Mapping[str, int] = field(default_factory=dict, hash=False)
    patience: int | None = 100
    steps_per_epoch: int = 100  # not printed
    paft_epochs: int = 100
    validation: int = 256  # not printed
    fixed_triplets: int = 3200  # not printed: with the additional ones, the triplets of one epoch
    lr_separators: float = 1e-4  # not printed: the one rate that the paper prints for reconstruction
    lr_extractors: float = 5e-5
    lr_tuning: float = 1e-5
    lr_direct: float = 1e-4
    lr_paft: float = 5e-5  # printed for Cascade-FT; not printed for the other methods
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "patience", "steps_per_epoch", "paft_epochs", "validation", "fixed_triplets"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")
        for stage, epochs in self.stage_epochs.items():
            if epochs < 1:
                raise UsageError(f"epochs of {stage} are {epochs}; expected at least 1")
        for name in ("segment", "paft_segment", "test_segment"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; expected more than 0 seconds")
        if not 0 <= self.vary_levels <= 60:
            raise UsageError(f"vary_levels is {self.vary_levels}; expected 0 to 60 dB")
        rates = ("lr_separators", "lr_extractors", "lr_tuning", "lr_direct", "lr_paft")
        for name in ("margin", "separation_weight", *rates):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a number of at least 0")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; expected at least 0")


PUBLISHED = MetricSettings()
"""The sizes, lengths and rates of the paper."""

SMALL = MetricSettings(
    spectrum=SpectrumSettings(rate=12000, size=512, hop=256),  # a window of 43 ms; the published one lasts 46 ms
    network=NetworkSettings(instruments=SIX, channels=(4, 8, 16, 32, 48, 64), dim=32, bands=96, floor=-36.0),
    equal_loudness=True,
    batch=16,
    paft_segment=3.0,
    test_segment=5.0,
    epochs=10,
    stage_epochs={
        "separators": 12,
        "clean": 8,
        "cascade": 40,
        "cascade_ft": 8,
        "direct_pretrain": 30,
        "direct_da": 24,
        "cascade_ft_normal": 3,
    },
    patience=None,
    steps_per_epoch=30,
    paft_epochs=4,
    validation=64,
    fixed_triplets=240,
    lr_separators=2e-3,
    lr_extractors=1e-3,
    lr_tuning=3e-4,
    lr_direct=5e-4,
    lr_paft=3e-4,
)
"""Sizes for training on two cores; docs/instrument-similarity.md says what they cost."""
