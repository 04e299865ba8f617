"""Encode recordings with a model: project features to rows, and pool the passages of a track."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self, TypeAlias, cast, overload

import numpy as np

from soundalike.audio import AudioInfo, AudioInput, Words, is_one_input, label_of, recording_file
from soundalike.backbones import Backbone, FeatureRows
from soundalike.core.arguments import as_model_name, as_number
from soundalike.core.errors import AudioError, ModelError
from soundalike.core.files import absolute
from soundalike.core.types import Descriptors, FloatArray, Level, Space, Span, Vectors
from soundalike.models.backbone_weights import load_backbone
from soundalike.models.extraction import RecordingFeatures, extract
from soundalike.models.heads import AnyHead, unit_rows
from soundalike.models.installed import installed_models
from soundalike.models.recipes import DEFAULT_MODEL, MIX, Recipe, load_recipe, recipe_version
from soundalike.models.score import presence
from soundalike.models.space_heads import StackedHead, join_features, load_space_head
from soundalike.models.stem_backbone import StemBackbone, feature_name

__all__ = [
    "Encoding",
    "LevelRows",
    "Model",
    "at_levels",
    "load_once",
    "mean_rows",
]

LevelRows: TypeAlias = Mapping[Level, Mapping[str, FloatArray]]
"""Rows per level and short space name: (n, d) float32 for n passages, (1, d) for the track."""


def mean_rows(rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the normalised mean of the audible rows of each space.

    Args:
        rows: Rows (n, d) per short space name.

    Returns:
        (d,) float32 per short space name. It is zero if no row is audible, or if the mean is shorter than 1e-6 because
        rows cancel out.

    Example:
        >>> mean_rows({"melody": np.array([[1.0, 0.0], [0.0, 0.0]])})["melody"].tolist()
        [1.0, 0.0]
    """
    means = {}
    for name, part in rows.items():
        audible = max(1, int(np.count_nonzero(presence(part))))
        means[name] = unit_rows(part.sum(axis=0, dtype=np.float64)[None, :] / audible)[0]
    return means


def at_levels(rows: Mapping[str, FloatArray]) -> LevelRows:
    """Return the rows of both levels: those of the passages, and their `mean_rows` as the row of the track.

    Example:
        >>> at_levels({"melody": np.ones((4, 128))})["track"]["melody"].shape
        (1, 128)
    """
    return {"passage": rows, "track": {space: row[None, :] for space, row in mean_rows(rows).items()}}


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """The rows of one recording, and the facts about it.

    Attributes:
        passages: One row per passage and space.
        track: One row per space.
        descriptors: Tempo, key and other properties.
        info: Facts about the decoded audio.
        fingerprint: Acoustic fingerprint (f,).
    """

    passages: Vectors
    track: Vectors
    descriptors: Descriptors
    info: AudioInfo
    fingerprint: Words

    def at(self, level: Level) -> Vectors:
        """Return the rows of one level."""
        return self.track if level == "track" else self.passages

    @property
    def warning(self) -> str | None:
        """What could not be decoded, in one line; None if everything could."""
        return self.info.warning

    @property
    def silent(self) -> bool:
        """Whether no space is audible in the whole recording."""
        return not any(rows.any() for rows in self.track.rows.values())


class Model:
    """A recipe with its backbones and heads. It encodes recordings: audio to features to rows.

    Args:
        recipe: The recipe.
        source: Name or folder from which `load` creates this model again; the default is the name.

    Raises:
        ModelError: The recipe does not fit the weights or the installed backbones.

    Example:
        >>> model = Model.load("dsp")
        >>> model.encode("song.wav").track.rows["melody"].shape
        (1, 128)
    """

    def __init__(self, recipe: Recipe, source: str | None = None) -> None:
        from safetensors.numpy import load_file

        self.recipe = recipe
        self.source = source or recipe.name
        tensors = load_file(recipe.weights)
        # Joint heads share one tensor per block. With features in another order, blocks of equal size could be
        # confused.
        joint = {f"{space.feature} of {space.backbone}" for space in recipe.spaces if space.head == "joint"}
        if len(joint) > 1:
            named = " and ".join(sorted(joint))
            raise ModelError(
                f"model {recipe.name}: the inputs of its joint heads are {named}; expected the same input for all"
            )
        loaded: dict[str, Backbone] = {}
        self._backbones: dict[str, Backbone] = {}
        self._heads: dict[str, AnyHead | StackedHead] = {}
        for space in recipe.spaces:
            if space.backbone not in loaded:
                loaded[space.backbone] = load_backbone(recipe, space.backbone)
            backbone, name = loaded[space.backbone], feature_name(recipe, space.source, space.backbone)
            if name not in self._backbones:
                self._backbones[name] = (
                    StemBackbone(backbone, space.source, recipe.separator)
                    if space.source != MIX and recipe.separator is not None
                    else backbone
                )
            self._heads[space.name] = load_space_head(space, backbone, tensors)
        for name, version in recipe.backbone_versions.items():
            if loaded[name].version != version:
                # The same weights may give several versions.
                setting = getattr(loaded[name], "variants", {}).get(version)
                remedy = f"set {setting}, or install the model again" if setting else "install the model again"
                raise ModelError(
                    f"model {recipe.name} was made for version {version} of {name}, but version "
                    f"{loaded[name].version} is installed; {remedy}"
                )

    @classmethod
    def load(cls, name: str | os.PathLike[str] = DEFAULT_MODEL) -> Self:
        """Load a bundled or installed model by name, or a model folder by path.

        Args:
            name: Name of a bundled or installed model, or path of a model folder.

        Raises:
            UsageError: `name` is neither text nor a path.
            ModelError: The model is unknown, invalid, or made for other versions of its backbones.

        Example:
            >>> Model.load("compact").name
            'compact'
        """
        text = as_model_name(name)
        recipe = load_recipe(text)
        return cls(recipe, text if text in installed_models() else str(absolute(recipe.weights.parent)))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.recipe.name

    @property
    def models(self) -> tuple[Model, ...]:
        """The model itself: what is compared may be spaces of several models (`search_spaces.py`)."""
        return (self,)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the model."""
        return self.recipe.spaces

    @property
    def backbones(self) -> Mapping[str, Backbone]:
        """What extracts the features of the model, by name: backbones, and `StemBackbone` for spaces of stems."""
        return self._backbones

    @property
    def describes(self) -> bool:
        """Whether it measures the tempo, key and meter of recordings: a space is of the mix. Those of stems differ."""
        return any(space.source == MIX for space in self.spaces)

    # A binary file object is iterable too, but it is one recording.
    @overload
    def encode(  # type: ignore[overload-overlap]
        self, recording: AudioInput, *, start: float = 0.0, end: float | None = None
    ) -> Encoding: ...
    @overload
    def encode(
        self, recording: Iterable[AudioInput], *, start: float = 0.0, end: float | None = None
    ) -> list[Encoding]: ...
    def encode(
        self, recording: AudioInput | Iterable[AudioInput], *, start: float = 0.0, end: float | None = None
    ) -> Encoding | list[Encoding]:
        """Encode a recording, or several: audio to features to rows.

        Args:
            recording: A path, a binary file object, an `Audio`, or an iterable of these.
            start: Start of a region in seconds.
            end: End of the region in seconds; None is the end of the recording.

        Returns:
            An `Encoding`, or a list of them if `recording` is an iterable.

        Raises:
            AudioError: A recording cannot be read.
            UsageError: `recording` is none of the accepted types, or `start` or `end` is not a number.

        Example:
            >>> Model.load("dsp").encode("song.wav").track.rows["melody"].shape
            (1, 128)
        """
        if isinstance(recording, Iterable) and not is_one_input(recording):
            return [self.encode(cast(AudioInput, each), start=start, end=end) for each in recording]
        source, start = cast(AudioInput, recording), as_number(start, "start")
        end = None if end is None else as_number(end, "end")
        with recording_file(source) as path:
            return self.encode_features(extract(self._backbones, path, start=start, end=end, label=label_of(source)))

    def encode_features(self, recording: RecordingFeatures) -> Encoding:
        """Encode a recording from features that `extract` has computed, with at least the backbones of this model.

        Raises:
            AudioError: The recording could not be separated into the stems of this model.

        Example:
            >>> model = Model.load("dsp")
            >>> model.encode_features(extract(model.backbones, Path("song.wav"))).track.rows["melody"].shape
            (1, 128)
        """
        if (separator := self.recipe.separator) and (failure := recording.failures.get(separator)):
            raise AudioError(failure)
        rows = at_levels(self.project(recording.features))
        # Descriptors and windows are those of the backbone of the first space; all backbones have the same windows.
        own = next((space for space in self.spaces if space.source == MIX), self.spaces[0])
        first = recording.features[feature_name(self.recipe, own.source, own.backbone)]
        full_span, digest = recording.span, self.recipe.digest
        spans = tuple(
            Span(full_span.track, full_span.start + low, full_span.start + high) for low, high in first.windows.tolist()
        )
        return Encoding(
            passages=Vectors(spans, rows["passage"], digest),
            track=Vectors((full_span,), rows["track"], digest),
            descriptors=_measurable(first.descriptors if self.describes else Descriptors(), recording.info),
            info=recording.info,
            fingerprint=recording.fingerprint,
        )

    def project(self, features: Mapping[str, FeatureRows]) -> dict[str, FloatArray]:
        """Project the features of one recording to rows.

        The same features give the same rows bit for bit, whether they are new or stored, as long as numeric libraries
        use the same number of threads. Do not project several recordings at once: the rounding of a matrix product
        depends on the sizes of the matrices and on the number of threads.

        Args:
            features: Features of n passages per backbone name.

        Returns:
            Rows (n, d) float32 per short space name.

        Example:
            >>> recording = extract(model.backbones, Path("song.wav"))
            >>> model.project(recording.features)["melody"].shape
            (47, 128)
        """
        rows = {}
        for space in self.spaces:
            head = self._heads[space.name]
            found = features[feature_name(self.recipe, space.source, space.backbone)]
            if isinstance(head, StackedHead):
                rows[space.name] = head.from_features(found)
            else:
                rows[space.name] = head(*join_features(found, space.feature))
        return rows

    def project_rows(self, rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Project the rows of the model that this one stands on (`Recipe.rows_of`), as `project` does with features.

        Args:
            rows: Rows (n, d) of n passages per short space name of that model.

        Returns:
            Rows (n, d) float32 per short space name.

        Raises:
            ModelError: The model does not stand on the rows of another one.

        Example:
            >>> concepts.project_rows(Model.load("compact").encode("song.wav").passages.rows)["genre"].shape
            (47, 64)
        """
        heads = {name: head for name, head in self._heads.items() if isinstance(head, StackedHead)}
        if len(heads) < len(self._heads):
            raise ModelError(f"model {self.name} projects features, not the rows of another model")
        return {name: head.from_rows(rows) for name, head in heads.items()}


_TEMPO_SECONDS, _KEY_SECONDS = 2.0, 1.0
"""Shortest recordings with a tempo and a meter, and with a key: two beats at 60 BPM, and more than one chord."""


def _measurable(found: Descriptors, info: AudioInfo) -> Descriptors:
    """Return descriptors with the loudness, and without what a recording is too short for."""
    found = replace(found, loudness=info.loudness)
    if info.duration < _TEMPO_SECONDS:
        found = replace(found, tempo=None, tempo_confidence=None, meter=None, meter_confidence=None)
    return found if info.duration >= _KEY_SECONDS else replace(found, key=None, key_confidence=None)


_LOADED: dict[str, tuple[object, Model]] = {}
_LOADING = threading.Lock()


def load_once(name: str) -> Model:
    """Load a model, and return the same object for the same name until the files of the model change.

    Example:
        >>> load_once("dsp") is load_once("dsp")
        True
    """
    version = recipe_version(name)
    with _LOADING:
        loaded = _LOADED.get(name)
        if loaded is None or loaded[0] != version:
            loaded = _LOADED[name] = (version, Model.load(name))
        return loaded[1]
