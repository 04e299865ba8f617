"""U-Nets that separate instruments and extract their rows.

After Jansson et al., "Singing voice separation with deep U-Net convolutional networks", 2017, as Imamura et al., 2025,
describe them. n examples, K instruments, d dims of a row, b bins, f frames. Any numbers of bins and frames will do: a
layer of an encoder halves them, rounding up, and a layer of a decoder doubles them and crops to the layer it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from soundalike.train.metric.conditioning import condition_3d
from soundalike.train.metric.settings import NetworkSettings, SpectrumSettings
from soundalike.train.metric.spectra import LogMel, to_one_level

__all__ = [
    "Decoder",
    "Direct",
    "DirectReconst",
    "Encoder",
    "Extractor",
    "ExtractorBank",
    "Separator",
    "SeparatorBank",
]

_DROPPED_LAYERS = 3


class Encoder(nn.Module):
    """Strided convolutions, each with batch normalisation and a leaky ReLU.

    Args:
        network: The shape.
        bare: Leave the last layer without normalisation and activation, as in the extractors.

    Example:
        >>> maps = Encoder(NetworkSettings())(torch.rand(1, 1, 1024, 259))
        >>> [tuple(each.shape[1:]) for each in maps][-1]
        (512, 16, 5)
    """

    def __init__(self, network: NetworkSettings, bare: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        pairs = list(pairwise((1, *network.channels)))
        for index, (inputs, outputs) in enumerate(pairs):
            plain = bare and index == len(pairs) - 1
            convolution = nn.Conv2d(
                inputs, outputs, network.kernel, network.stride, padding=network.kernel // 2, bias=plain
            )
            self.layers.append(convolution if plain else _normalised(convolution, network.leak))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (n, 1, b, f) to the feature map (n, channels, bins, frames) of each layer."""
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Transposed convolutions that join each layer of an encoder and end in a mask.

    The paper gives every convolution a leaky ReLU, while Jansson et al. have plain ReLUs here: this is the paper's. The
    last layer is a sigmoid without normalisation. Dropout ends the first three layers.
    """

    def __init__(self, network: NetworkSettings) -> None:
        super().__init__()
        inputs, *outputs = reversed(network.channels)
        self.layers = nn.ModuleList()
        for index, width in enumerate(outputs):
            layer = _normalised(_transposed(inputs, width, network, bias=False), network.leak)
            if index < _DROPPED_LAYERS:
                layer.append(nn.Dropout(network.dropout))
            self.layers.append(layer)
            inputs = 2 * width
        self.layers.append(nn.Sequential(_transposed(inputs, 1, network, bias=True), nn.Sigmoid()))

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Map the feature maps of an encoder to a mask (n, 1, b, f) from 0 to 1, where `size` is (b, f)."""
        *joined, x = features
        for layer, join in zip(self.layers[:-1], reversed(joined), strict=True):
            x = torch.cat([layer(x)[:, :, : join.shape[2], : join.shape[3]], join], dim=1)
        mask: Tensor = self.layers[-1](x)[:, :, : size[0], : size[1]]
        return mask


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d, leak: float) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(leak, inplace=True))


def _transposed(inputs: int, outputs: int, network: NetworkSettings, bias: bool) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies both sizes by the stride."""
    return nn.ConvTranspose2d(
        inputs,
        outputs,
        network.kernel,
        network.stride,
        padding=network.kernel // 2,
        output_padding=network.stride - 1,
        bias=bias,
    )


class Separator(nn.Module):
    """Separate one instrument: map magnitudes (n, b, f) of a mix to those of the instrument, mask times mix.

    Example:
        >>> Separator(NetworkSettings())(torch.rand(1, 1024, 100)).shape
        torch.Size([1, 1024, 100])
    """

    def __init__(self, network: NetworkSettings) -> None:
        super().__init__()
        self.encoder = Encoder(network)
        self.decoder = Decoder(network)

    def mask(self, spectrum: Tensor) -> Tensor:
        """Map magnitudes (n, b, f) to a mask (n, b, f) from 0 to 1."""
        mask: Tensor = self.decoder(self.encoder(_image(spectrum)), _size(spectrum))
        return mask[:, 0]

    def forward(self, spectrum: Tensor) -> Tensor:
        """Separate the instrument."""
        return self.mask(spectrum) * spectrum


class Extractor(nn.Module):
    """Describe one instrument: map magnitudes (n, b, f) of its sound to rows (n, d), not of unit length.

    The map of the last layer is averaged over time, flattened over channels and bins, and projected. Segments of any
    length have rows of the same size.

    Example:
        >>> Extractor(SpectrumSettings(), NetworkSettings())(torch.rand(2, 1024, 431)).shape
        torch.Size([2, 128])
    """

    def __init__(self, spectrum: SpectrumSettings, network: NetworkSettings) -> None:
        super().__init__()
        self.mel = LogMel(spectrum, network.bands, network.floor) if network.bands else nn.Identity()
        self.encoder = Encoder(network, bare=True)
        self.project = nn.Linear(_flat(network.bands or spectrum.bins, network), network.dim)
        self._window = spectrum.size if network.one_level else None

    def forward(self, spectrum: Tensor) -> Tensor:
        """Compute rows."""
        levelled = _levelled(spectrum, self._window)
        row: Tensor = self.project(_average(self.encoder(_image(self.mel(levelled)))[-1]))
        return row


class _Bank(nn.Module):
    """One network per instrument, side by side."""

    def __init__(self, network: NetworkSettings, create: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(create() for _ in network.instruments)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Run every network on the same (n, b, f), or each on its own of (n, K, b, f), and stack along dimension 1."""
        inputs = spectrum.unbind(dim=1) if spectrum.ndim == 4 else [spectrum] * len(self.networks)
        return torch.stack([network(x) for network, x in zip(self.networks, inputs, strict=True)], dim=1)


class SeparatorBank(_Bank):
    """One `Separator` per instrument: map magnitudes (n, b, f) of mixes to (n, K, b, f).

    Example:
        >>> SeparatorBank(NetworkSettings())(torch.rand(1, 1024, 64)).shape
        torch.Size([1, 5, 1024, 64])
    """

    def __init__(self, network: NetworkSettings) -> None:
        super().__init__(network, lambda: Separator(network))

    def masks(self, spectrum: Tensor) -> Tensor:
        """Map magnitudes (n, b, f) to masks (n, K, b, f) from 0 to 1."""
        return torch.stack([network.mask(spectrum) for network in self.networks], dim=1)


class ExtractorBank(_Bank):
    """One `Extractor` per instrument: map magnitudes (n, K, b, f) to rows (n, K, d).

    Example:
        >>> ExtractorBank(SpectrumSettings(), NetworkSettings())(torch.rand(1, 5, 1024, 64)).shape
        torch.Size([1, 5, 128])
    """

    def __init__(self, spectrum: SpectrumSettings, network: NetworkSettings) -> None:
        super().__init__(network, lambda: Extractor(spectrum, network))


class Direct(nn.Module):
    """Describe all instruments of a mix: map magnitudes (n, b, f) to rows (n, K, d), the slices of one vector (n, K d).

    The last layer has the next multiple of K channels, 515 for five instruments, so that Conditioning3D has K equal
    slices and pre-trained weights fit Direct and Direct-Reconst alike.

    Example:
        >>> Direct(SpectrumSettings(), NetworkSettings())(torch.rand(2, 1024, 259)).shape
        torch.Size([2, 5, 128])
    """

    def __init__(self, spectrum: SpectrumSettings, network: NetworkSettings) -> None:
        super().__init__()
        self.instruments = len(network.instruments)
        widened = -(-network.channels[-1] // self.instruments) * self.instruments
        self.network = replace(network, channels=(*network.channels[:-1], widened))
        self.encoder = Encoder(self.network, bare=True)
        self.project = nn.Linear(_flat(spectrum.bins, self.network), self.instruments * network.dim)
        self._window = spectrum.size if network.one_level else None

    def forward(self, spectrum: Tensor) -> Tensor:
        """Compute rows."""
        return self._rows(self._encoded(spectrum))

    def _encoded(self, spectrum: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.encoder(_image(_levelled(spectrum, self._window)))
        return features

    def _rows(self, features: Sequence[Tensor]) -> Tensor:
        vector: Tensor = self.project(_average(features[-1]))
        return vector.unflatten(1, (self.instruments, -1))


class DirectReconst(Direct):
    """`Direct` with one decoder per instrument that reconstructs the instrument from its channels.

    Conditioning3D comes before the decoder; the skip connections carry all channels.

    Example:
        >>> network = DirectReconst(SpectrumSettings(), NetworkSettings())
        >>> network.reconstruct(torch.rand(2, 1024, 100), torch.tensor([0, 4])).shape
        torch.Size([2, 1024, 100])
    """

    def __init__(self, spectrum: SpectrumSettings, network: NetworkSettings) -> None:
        super().__init__(spectrum, network)
        self.decoders = nn.ModuleList(Decoder(self.network) for _ in network.instruments)

    def reconstruct(self, spectrum: Tensor, target: Tensor) -> Tensor:
        """Separate from each mix, magnitudes (n, b, f), the instrument `target`, (n,) int64: (n, b, f)."""
        return self._separate(spectrum, self._encoded(spectrum), target)

    def multitask(self, spectrum: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Compute rows (n, K, d) and the reconstruction (n, b, f) of the targets, encoding once."""
        features = self._encoded(spectrum)
        return self._rows(features), self._separate(spectrum, features, target)

    def _separate(self, spectrum: Tensor, features: Sequence[Tensor], target: Tensor) -> Tensor:
        conditioned = [*features[:-1], condition_3d(features[-1], target, self.instruments)]
        mask = torch.zeros_like(spectrum)
        for index, decoder in enumerate(self.decoders):
            chosen = (target == index).nonzero()[:, 0]
            if len(chosen):
                part = decoder([each[chosen] for each in conditioned], _size(spectrum))[:, 0]
                mask = mask.index_copy(0, chosen, part)
        return mask * spectrum


def _image(spectrum: Tensor) -> Tensor:
    """View (n, b, f) as (n, 1, b, f) with channels last in memory, which all maps keep: twice as fast on a CPU."""
    return spectrum[..., None].permute(0, 3, 1, 2)


def _levelled(spectrum: Tensor, window: int | None) -> Tensor:
    return spectrum if window is None else to_one_level(spectrum, window)


def _size(spectrum: Tensor) -> tuple[int, int]:
    return spectrum.shape[-2], spectrum.shape[-1]


def _flat(bins: int, network: NetworkSettings) -> int:
    """Channels times bins of the last map of an encoder."""
    for _ in network.channels:
        bins = -(-bins // network.stride)
    return network.channels[-1] * bins


def _average(features: Tensor) -> Tensor:
    """Average (n, C, b, f) over time and flatten to (n, C b)."""
    return features.mean(dim=3).flatten(1)
