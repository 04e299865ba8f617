"""Settings for learning the similarity of concepts, with the published values. This module does not need torch.

Source: Ribecky, Abeßer and Lukashevich, "Multi-input architecture and disentangled representation learning for
multi-dimensional modeling of music similarity", 2021. Values marked "not printed" are ours; docs/concepts-model.md
gives the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from soundalike.audio import CONCEPTS, Concept
from soundalike.backbones.analysis import InputSettings
from soundalike.core.errors import UsageError

__all__ = ["CONCEPTS", "PUBLISHED", "SMALL", "ConceptSettings", "InceptionSettings"]


_CARRIERS: Mapping[Concept, str] = {"tempo": "tempogram", "key": "chroma"}


@dataclass(frozen=True, slots=True)
class InceptionSettings:
    """Shape of the networks. The paper prints the kinds of layers and the number of blocks, but no size of a layer.

    Attributes:
        first: Channels of the first convolution of a branch. Not printed.
        kernel: Side of its kernel, odd. Not printed.
        width: Channels of each of the four paths of an Inception module. Not printed.
        reduced: Channels of the 1 x 1 convolutions before the larger ones. Not printed.
        strides: What the layers of a branch divide frames by: the convolution, its pooling, and the pooling after each
            Inception block before inputs join. Their product is printed, as 259 frames become 16; they are not.
        side: Bins of the maps at which inputs join.
        blocks: Inception blocks along the whole way of an input.
        last: Blocks after the join halve bins and frames as long as these are more. Not printed.

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> InceptionSettings(width=8).blocks
        6
    """

    first: int = 64  # not printed
    kernel: int = 5  # not printed
    width: int = 64  # not printed: 256 channels after a module, as in Inception of 2014
    reduced: int = 32  # not printed
    strides: tuple[int, ...] = (2, 2, 2, 2)
    side: int = 16
    blocks: int = 6
    last: int = 4  # not printed

    def __post_init__(self) -> None:
        for name in ("first", "kernel", "width", "reduced", "side", "last"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.kernel % 2 == 0:
            raise UsageError(f"kernel is {self.kernel}; expected an odd number")
        if len(self.strides) < 2 or min(self.strides) < 1:
            raise UsageError(f"strides are {self.strides}; expected at least two of at least 1")
        if self.blocks < self.branch_blocks:
            raise UsageError(f"blocks are {self.blocks}; expected at least those of a branch ({self.branch_blocks})")

    @property
    def branch_blocks(self) -> int:
        """Inception blocks of a branch before inputs join: 2 as printed."""
        return len(self.strides) - 2


@dataclass(frozen=True, slots=True)
class ConceptSettings:
    """Everything that a training depends on, apart from the songs. The defaults are the published ones.

    Attributes:
        inputs: The inputs: one of them for the single-input network, several for the multi-input one.
        network: The shape of the network.
        concepts: The concepts, in the order of their slices.
        dim: Dims of the slice of one concept. The embedding has all of them: 4 x 64, 6 x 43 or 6 x 64.
        batch: Segments per batch, each from another track where there are enough. Not printed.
        epochs: The number of epochs at most. Not printed.
        steps_per_epoch: Batches per epoch. Not printed.
        validation: Segments that the validation loss is computed on. Not printed.
        window: How much farther than the positive a negative may lie to count as semi-hard, as a cosine distance.
        margin: Margin of the triplet loss. Not printed.
        rate: Initial learning rate of Adam.
        rate_factor: What the rate is divided by after `rate_patience` epochs without a lower validation loss.
        rate_patience: See `rate_factor`.
        lowest_rate: The rate is not divided further than this.
        seed: Seed of all random draws, at least 0.
        device: A torch device such as "cpu" or "cuda".

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> from dataclasses import replace
        >>> replace(SMALL, concepts=CONCEPTS[:4]).size
        256
    """

    inputs: InputSettings = field(default_factory=InputSettings)
    network: InceptionSettings = field(default_factory=InceptionSettings)
    concepts: tuple[Concept, ...] = CONCEPTS
    dim: int = 64
    batch: int = 128  # not printed
    epochs: int = 400  # not printed
    steps_per_epoch: int = 1000  # not printed
    validation: int = 2048  # not printed
    window: float = 0.1
    margin: float = 0.1  # not printed: the loss is above 0 for exactly the triplets that are mined
    rate: float = 1e-5
    rate_factor: float = 5.0
    rate_patience: int = 10
    lowest_rate: float = 1e-10
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.concepts or len({*self.concepts} & {*CONCEPTS}) < len(self.concepts):
            raise UsageError(
                f"concepts are {', '.join(self.concepts) or 'missing'}; expected some of {', '.join(CONCEPTS)}, "
                "each once"
            )
        for name in ("dim", "epochs", "steps_per_epoch", "rate_patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("batch", "validation"):
            if getattr(self, name) < 3:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 3 segments, which make a triplet")
        for name in ("window", "margin", "rate", "lowest_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; expected a number above 0")
        if not 1 < self.rate_factor < math.inf:
            raise UsageError(f"rate_factor is {self.rate_factor}; expected more than 1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; expected at least 0")

    @property
    def size(self) -> int:
        """Dims of the whole embedding, D."""
        return len(self.concepts) * self.dim

    def of_concept(self, concept: Concept) -> ConceptSettings:
        """Return how to train a network of one concept, on the input that carries it.

        That is the tempogram for tempo, the chromagram for key and the log-mel spectrum for the others. Settings that
        lack this input give all of theirs.

        Example:
            >>> SMALL.of_concept("key").inputs.names
            ('chroma',)
        """
        carrier = _CARRIERS.get(concept, "mel")
        names = (carrier,) if carrier in self.inputs.names else self.inputs.names
        return replace(self, concepts=(concept,), inputs=replace(self.inputs, names=names))


PUBLISHED = ConceptSettings()
"""The sizes and rates of the paper, six concepts of 64 dims, three inputs."""

SMALL = ConceptSettings(
    network=InceptionSettings(first=12, width=8, reduced=6, strides=(4, 2, 2, 1)),
    batch=48,
    epochs=16,
    steps_per_epoch=80,
    validation=384,
    rate=2e-3,
    rate_patience=3,
    lowest_rate=1e-5,
)
"""Sizes at which two cores train all rows of the ablation within the time that docs/concepts-model.md gives."""
