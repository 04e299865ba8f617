"""Run a recipe: listen once per backbone, project every space, pool a track from its passages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np

from soundalike.audio import AudioInfo, Fingerprinter, MonoStream, Words, windows
from soundalike.backbones import Backbone, FeatureRows, Features
from soundalike.core import plugins
from soundalike.core.errors import ModelError
from soundalike.core.files import absolute
from soundalike.core.types import BoolArray, Descriptors, FloatArray, Level, Space, Span, Vectors
from soundalike.models.heads import AnyHead, load_head, unit_rows
from soundalike.models.joint_head import load_joint
from soundalike.models.recipes import DEFAULT_MODEL, Recipe, installed_models, load_recipe
from soundalike.models.score import presence

__all__ = [
    "Encoding",
    "LevelRows",
    "Model",
    "Recording",
    "at_levels",
    "extract",
    "feature_blocks",
    "join_features",
    "load_once",
    "load_space_head",
    "mean_rows",
]

LevelRows: TypeAlias = Mapping[Level, Mapping[str, FloatArray]]
"""Rows (n, d) float32 per space: of n passages, and of one track."""


def mean_rows(rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The renormalised mean of the audible rows (n, d) of each space: (d,) float32, zero where nothing is audible.

    Rows that cancel out, with a mean shorter than 1e-6, have no common direction: zero too.
    """
    means = {}
    for name, part in rows.items():
        audible = max(1, int(np.count_nonzero(presence(part))))
        means[name] = unit_rows(part.sum(axis=0, dtype=np.float64)[None, :] / audible)[0]
    return means


def at_levels(rows: Mapping[str, FloatArray]) -> LevelRows:
    """The rows of a recording's passages, and `mean_rows` of them as its own."""
    return {"passage": rows, "track": {space: row[None, :] for space, row in mean_rows(rows).items()}}


def feature_blocks(space: Space, backbone: Backbone) -> list[tuple[str, int]]:
    """The features that a space's input joins, in order, and their sizes D.

    Raises ModelError for one that the backbone does not have.
    """
    parts = space.feature.split("+")
    for part in parts:
        if part not in backbone.dims:
            raise ModelError(
                f"space {space.full_name}: {space.backbone} has no feature {part!r}; it has {', '.join(backbone.dims)}"
            )
    return [(part, backbone.dims[part]) for part in parts]


def join_features(features: FeatureRows, feature: str) -> tuple[FloatArray, BoolArray]:
    """A space's feature: "a", or "a+b" for the rows of a and b side by side; audible where the first named is.

    Returns rows (n, D) float32 with D the sum of the dims, and audible (n,). Where a later part has nothing to hear,
    its dims are zero.
    """
    parts = feature.split("+")
    return np.hstack([features.rows[part] for part in parts]), features.audible[parts[0]]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What backbones heard in a recording, or in a stretch of it (`span`), and what there is to say of it itself."""

    span: Span
    features: Mapping[str, Features]
    info: AudioInfo
    fingerprint: Words


def extract(
    backbones: Mapping[str, Backbone], path: Path, *, start: float = 0.0, end: float | None = None
) -> Recording:
    """Have every backbone, by name and at least one, listen once to a recording, or to its seconds `start` to `end`.

    Raises AudioError.
    """
    features, infos, fingerprints = {}, [], []
    for name, backbone in backbones.items():
        stream, fingerprinter = MonoStream(path, backbone.rate, start=start, end=end), Fingerprinter(backbone.rate)
        features[name] = _features_of(backbone, stream, fingerprinter)
        infos.append(stream.info)
        fingerprints.append(fingerprinter.words())
    span = Span(os.fsdecode(path), start, start + infos[0].duration)
    return Recording(span, features, infos[0], fingerprints[0])


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """All that is known of one recording: a row a passage and a row for the whole, per space."""

    passages: Vectors
    track: Vectors
    descriptors: Descriptors
    info: AudioInfo
    fingerprint: Words

    def at(self, level: Level) -> Vectors:
        """The rows of one level."""
        return self.track if level == "track" else self.passages

    @property
    def silent(self) -> bool:
        """Whether no space hears anything anywhere."""
        return not any(rows.any() for rows in self.track.rows.values())


class Model:
    """A recipe with its backbones and heads loaded. `source` is what to load it by: its name, or its folder."""

    def __init__(self, recipe: Recipe, source: str | None = None) -> None:
        from safetensors.numpy import load_file

        self.recipe = recipe
        self.source = source or recipe.name
        tensors = load_file(recipe.weights)
        # Joint heads share a tensor for each block: in another order, one block of a size would pass for another.
        joint = {f"{space.feature} of {space.backbone}" for space in recipe.spaces if space.head == "joint"}
        if len(joint) > 1:
            named = " and ".join(sorted(joint))
            raise ModelError(f"model {recipe.name}: its joint heads are given {named}; expected one feature for all")
        self._backbones: dict[str, Backbone] = {}
        self._heads: dict[str, AnyHead] = {}
        for space in recipe.spaces:
            if space.source != "mix":
                raise ModelError(f"space {space.full_name} listens to {space.source!r}; this version hears 'mix' only")
            if space.backbone not in self._backbones:
                self._backbones[space.backbone] = plugins.load("backbones", space.backbone)
            self._heads[space.name] = load_space_head(space, self._backbones[space.backbone], tensors)
        for name, version in recipe.backbone_versions.items():
            if self._backbones[name].version != version:
                raise ModelError(
                    f"model {recipe.name} was made for version {version} of {name}, this is version "
                    f"{self._backbones[name].version}; install the model again"
                )

    @classmethod
    def load(cls, name: str = DEFAULT_MODEL) -> Self:
        """Load a bundled model by name, or any model folder by path. Raises ModelError."""
        recipe = load_recipe(name)
        return cls(recipe, name if name in installed_models() else str(absolute(recipe.weights.parent)))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.recipe.name

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Its rows of the table of spaces."""
        return self.recipe.spaces

    @property
    def backbones(self) -> Mapping[str, Backbone]:
        """Who listens for it, by name."""
        return self._backbones

    def encode(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Encoding:
        """Listen to a recording, or to its seconds `start` to `end`. Raises AudioError."""
        return self.encoding(extract(self._backbones, path, start=start, end=end))

    def encoding(self, recording: Recording) -> Encoding:
        """All that is known of a recording that its backbones, and maybe others, have listened to."""
        rows = at_levels(self.project(recording.features))
        # The sound's own numbers are those of the first of its backbones.
        first = recording.features[self.spaces[0].backbone]
        whole, digest = recording.span, self.recipe.digest
        spans = tuple(Span(whole.track, whole.start + low, whole.start + high) for low, high in first.windows.tolist())
        return Encoding(
            passages=Vectors(spans, rows["passage"], digest),
            track=Vectors((whole,), rows["track"], digest),
            descriptors=first.descriptors,
            info=recording.info,
            fingerprint=recording.fingerprint,
        )

    def project(self, features: Mapping[str, FeatureRows]) -> dict[str, FloatArray]:
        """Rows (n, d) float32 per space of n passages of one recording, from what its backbones, by name, heard there.

        The same features give the same rows, bit by bit, whether just heard or kept, in processes whose numeric
        libraries use as many threads. Of several recordings at once they might not: how a product of matrices is
        rounded depends on their sizes, and on how it is divided among threads.
        """
        return {
            space.name: self._heads[space.name](*join_features(features[space.backbone], space.feature))
            for space in self.spaces
        }


def load_space_head(space: Space, backbone: Backbone, tensors: Mapping[str, FloatArray]) -> AnyHead:
    """The head of a space, of whichever kind, from a model's tensors. Raises ModelError."""
    blocks = feature_blocks(space, backbone)
    if space.head == "joint":
        return load_joint(space.name, tensors, blocks=tuple(size for _, size in blocks), out_dim=space.dim)
    return load_head(space.head, space.name, tensors, blocks=blocks, out_dim=space.dim)


@cache
def load_once(name: str) -> Model:
    """`Model.load`, once a process: for workers, which are given a model's name with every task."""
    return Model.load(name)


def _features_of(backbone: Backbone, stream: MonoStream, fingerprinter: Fingerprinter) -> Features:
    # The grid is made of the recording's own length, for a backbone may count a sample more or less after resampling,
    # and every model has to have the same passages. It is asked for when the sound has been heard to its end.
    return backbone.features(fingerprinter.tap(stream), lambda _: windows(stream.info.duration))
