"""The networks of Ribecky et al., 2021, figure 2: one input, or several that are joined.

n segments, b bins, f frames, D dims of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from soundalike.backbones.analysis import CONCEPT_INPUTS
from soundalike.core.errors import UsageError
from soundalike.train.concepts.inception import InceptionBlock, convolution
from soundalike.train.concepts.settings import ConceptSettings, InceptionSettings

__all__ = ["AnyNetwork", "ConceptBank", "ConceptNetwork", "bin_strides"]

_LONGEST_STRIDE = 8


def bin_strides(bins: int, side: int, strides: Sequence[int]) -> tuple[int, ...]:
    """Return the strides along frequency that take an input to `side` bins.

    Args:
        bins: Bins of the input.
        side: Bins after all strides.
        strides: The strides along time. Where they are 1, those along frequency are too.

    Returns:
        Strides whose product times `side` is at least `bins` and as small as possible, the largest ones first. The
        input is padded with zeros to this number of bins.

    Raises:
        UsageError: There are too many bins.

    Example:
        >>> [bin_strides(bins, 16, (2, 2, 2, 2)) for bins in (128, 384, 12)]
        [(2, 2, 2, 1), (3, 2, 2, 2), (1, 1, 1, 1)]
    """
    used = sum(stride > 1 for stride in strides)
    combinations = combinations_with_replacement(range(_LONGEST_STRIDE, 0, -1), used)
    found = [one for one in combinations if math.prod(one) * side >= bins]
    if not found:
        raise UsageError(f"an input has {bins:,} bins; expected at most {side * _LONGEST_STRIDE**used:,}")
    best = iter(min(found, key=lambda one: (math.prod(one), one)))
    return tuple(next(best) if stride > 1 else 1 for stride in strides)


class _Branch(nn.Module):
    """One convolution with max pooling and some Inception blocks, from an input (n, b, f) to maps of `side` bins."""

    def __init__(self, bins: int, network: InceptionSettings) -> None:
        super().__init__()
        strides = bin_strides(bins, network.side, network.strides)
        self.padding = network.side * math.prod(strides) - bins
        first, pool, *later = zip(strides, network.strides, strict=True)
        layers = [convolution(1, network.first, network.kernel, first), nn.MaxPool2d(pool)]
        channels = network.first
        for stride in later:
            block = InceptionBlock(channels, network.width, network.reduced, stride)
            layers.append(block)
            channels = block.channels
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        # Channels last in memory, which all maps keep, take half the time on a CPU.
        image = pad(x, (0, 0, 0, self.padding))[..., None].permute(0, 3, 1, 2)
        maps: Tensor = self.layers(image)
        return maps


class ConceptNetwork(nn.Module):
    """One embedding with a slice per concept.

    Each input has a branch of a convolution with max pooling and some Inception blocks, which ends in maps of 16 x 16
    for segments of 3 s. The maps are concatenated along channels. More Inception blocks follow, a dense layer, and
    layer normalisation. With one input this is the baseline, which has no maps to join.

    Args:
        settings: The inputs, sizes and concepts.

    Raises:
        UsageError: A segment is too short for the layers.

    Example:
        >>> network = ConceptNetwork(SMALL)
        >>> inputs = {name: torch.rand(2, SMALL.inputs.bins(name), SMALL.inputs.frames) for name in SMALL.inputs.names}
        >>> network(inputs).shape
        torch.Size([2, 384])
    """

    def __init__(self, settings: ConceptSettings) -> None:
        super().__init__()
        network, inputs = settings.network, settings.inputs
        self.names = inputs.names
        self.size = settings.size
        self.branches = nn.ModuleDict({name: _Branch(inputs.bins(name), network) for name in self.names})
        channels = sum(branch.channels for branch in self.branches.values())
        frames = _frames_after(inputs.frames, network)
        if not frames:
            raise UsageError(f"a segment has {inputs.frames} frames, too few for the layers; give longer segments")
        size = (network.side, frames)
        blocks = []
        for _ in range(network.blocks - network.branch_blocks):
            pool = (2 if size[0] > network.last else 1, 2 if size[1] > network.last else 1)
            block = InceptionBlock(channels, network.width, network.reduced, pool)
            blocks.append(block)
            channels, size = block.channels, (size[0] // pool[0], size[1] // pool[1])
        self.joined = nn.Sequential(*blocks)
        self.dense = nn.Linear(channels * math.prod(size), settings.size)
        self.normalise = nn.LayerNorm(settings.size)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Compute the embeddings (n, D) of inputs (n, b, f) by name."""
        maps = [branch(inputs[name]) for name, branch in self.branches.items()]
        joined = self.joined(torch.cat(maps, dim=1) if len(maps) > 1 else maps[0])
        embedding: Tensor = self.normalise(self.dense(joined.flatten(1)))
        return embedding


class ConceptBank(nn.Module):
    """Networks of one concept each, side by side: their embeddings are the slices of one.

    Args:
        networks: The networks, in the order of the slices.

    Example:
        >>> bank = ConceptBank([ConceptNetwork(tempo), ConceptNetwork(key)])
        >>> bank.names
        ('tempogram', 'chroma')
    """

    def __init__(self, networks: Sequence[ConceptNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        used = {name for one in networks for name in one.names}
        self.names = tuple(name for name in CONCEPT_INPUTS if name in used)
        self.size = sum(one.size for one in networks)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Compute the embeddings (n, D) of inputs (n, b, f) by name."""
        return torch.cat([network(inputs) for network in self.networks], dim=1)


AnyNetwork: TypeAlias = ConceptNetwork | ConceptBank
"""A network of all concepts, or networks of one concept each."""


def _frames_after(frames: int, network: InceptionSettings) -> int:
    """The frames of the maps at which inputs join: the convolution rounds up, poolings round down."""
    first, *pools = network.strides
    frames = -(-frames // first)
    for stride in pools:
        frames //= stride
    return frames
