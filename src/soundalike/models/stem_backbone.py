"""Backbones on stems: what a model with a separator extracts its features with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from soundalike.backbones import Backbone, Blocks, Features, WindowGrid
from soundalike.models.recipes import MIX, Recipe, SeparatorVersion

__all__ = ["StemBackbone", "feature_name"]


@dataclass(frozen=True, slots=True)
class StemBackbone:
    """A backbone whose input is one stem of a recording. It follows the protocol of a backbone.

    Attributes:
        backbone: The backbone.
        stem: The stem, such as "vocals".
        separator: What makes the stem.

    Example:
        >>> on_vocals = StemBackbone(plugins.load("backbones", "dsp"), "vocals", SeparatorVersion("spleeter", 1))
        >>> on_vocals.name
        'dsp.spleeter.vocals'
    """

    backbone: Backbone
    stem: str
    separator: SeparatorVersion

    @property
    def name(self) -> str:
        """The name of its features, unique across backbones, separators and stems."""
        return f"{self.backbone.name}.{self.separator.name}.{self.stem}"

    @property
    def rate(self) -> int:
        """Sample rate of the mono input in Hz."""
        return self.backbone.rate

    @property
    def dims(self) -> Mapping[str, int]:
        """Names and sizes D of its features."""
        return self.backbone.dims

    @property
    def version(self) -> int:
        """Version of the features: it changes with the version of the backbone and with that of the separator."""
        both = f"{self.backbone.version} {self.separator.version}".encode()
        return int.from_bytes(hashlib.sha256(both).digest()[:4])

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of a stem; see `Backbone.features`."""
        return self.backbone.features(blocks, grid)


def feature_name(recipe: Recipe, source: str, backbone: str) -> str:
    """Return the name under which the features of a space are extracted and stored.

    Args:
        recipe: The recipe of the space.
        source: The source of the space: "mix" or a stem.
        backbone: The backbone of the space.

    Example:
        >>> feature_name(load_recipe("dsp"), "mix", "dsp")
        'dsp'
    """
    if source == MIX or recipe.separator is None:
        return backbone
    return f"{backbone}.{recipe.separator.name}.{source}"
