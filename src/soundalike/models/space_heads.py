"""The heads of spaces: what they take from a backbone, and heads that stand on the rows of other heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.backbones import Backbone, FeatureRows
from soundalike.core.errors import ModelError
from soundalike.core.types import BoolArray, FloatArray, Space
from soundalike.models.heads import AnyHead, load_head
from soundalike.models.joint_head import load_joint

__all__ = ["StackedHead", "feature_blocks", "join_features", "load_space_head"]


@dataclass(frozen=True, slots=True, eq=False)
class StackedHead:
    """A head on the rows of other heads, side by side.

    A passage is audible if any of these rows is.

    Attributes:
        names: The names of the rows that are its input.
        features: The feature of each of them.
        inputs: The head of each of them.
        head: The head on their rows.
    """

    names: tuple[str, ...]
    features: tuple[str, ...]
    inputs: tuple[AnyHead, ...]
    head: AnyHead

    def from_features(self, features: FeatureRows) -> FloatArray:
        """Project the features of n windows to (n, d) float32 unit rows."""
        return self._project(
            [head(*join_features(features, name)) for head, name in zip(self.inputs, self.features, strict=True)]
        )

    def from_rows(self, rows: Mapping[str, FloatArray]) -> FloatArray:
        """Project rows that are there already, (n, d) of every name in `names`, to (n, d) float32 unit rows."""
        return self._project([rows[name] for name in self.names])

    def _project(self, rows: Sequence[FloatArray]) -> FloatArray:
        joined = np.hstack(rows)
        return self.head(joined, np.asarray(joined.any(axis=1)))


def feature_blocks(space: Space, backbone: Backbone) -> list[tuple[str, int]]:
    """Return the features that form the input of a space, in order, and their sizes.

    Args:
        space: The space; its `feature` is one name or several joined by "+".
        backbone: Its backbone.

    Returns:
        Pairs (name, D).

    Raises:
        ModelError: The backbone does not have one of the features.

    Example:
        >>> feature_blocks(load_recipe("dsp").space("melody"), plugins.load("backbones", "dsp"))
        [('melody', 500)]
    """
    return _blocks(space, space.feature, backbone)


def _blocks(space: Space, feature: str, backbone: Backbone) -> list[tuple[str, int]]:
    parts = feature.split("+")
    for part in parts:
        if part not in backbone.dims:
            raise ModelError(
                f"space {space.full_name}: {space.backbone} has no feature {part!r}; it has {', '.join(backbone.dims)}"
            )
    return [(part, backbone.dims[part]) for part in parts]


def join_features(features: FeatureRows, feature: str) -> tuple[FloatArray, BoolArray]:
    """Return the input of a head: one feature, or several side by side.

    Args:
        features: The features of n windows.
        feature: The name of a feature, or several names joined by "+".

    Returns:
        Rows (n, D) float32, where D is the sum of the sizes, and audible (n,) bool of the first feature. The columns of
        another feature are zero where it is inaudible.
    """
    parts = feature.split("+")
    return np.hstack([features.rows[part] for part in parts]), features.audible[parts[0]]


def load_space_head(space: Space, backbone: Backbone, tensors: Mapping[str, FloatArray]) -> AnyHead | StackedHead:
    """Build the head of a space, of any kind.

    Args:
        space: The space.
        backbone: Its backbone.
        tensors: The weights of the model by name.

    Raises:
        ModelError: The head does not fit the weights or the backbone.
    """
    name = space.tensors or space.name
    if not space.inputs:
        return _head(space.head, name, tensors, feature_blocks(space, backbone), space.dim)
    return StackedHead(
        names=tuple(one.name for one in space.inputs),
        features=tuple(one.feature for one in space.inputs),
        inputs=tuple(
            _head(one.head, one.tensors, tensors, _blocks(space, one.feature, backbone), one.dim)
            for one in space.inputs
        ),
        head=_head(space.head, name, tensors, [(one.name, one.dim) for one in space.inputs], space.dim),
    )


def _head(
    kind: str, name: str, tensors: Mapping[str, FloatArray], blocks: Sequence[tuple[str, int]], dim: int
) -> AnyHead:
    if kind == "joint":
        return load_joint(name, tensors, blocks=tuple(size for _, size in blocks), out_dim=dim)
    return load_head(kind, name, tensors, blocks=blocks, out_dim=dim)
