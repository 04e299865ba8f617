"""Backbone `concepts`: one row per concept of a mix, by a network that `soundalike train concepts` trained.

Ribecky, Abeßer and Lukashevich, "Multi-input architecture and disentangled representation learning for
multi-dimensional modeling of music similarity", 2021. The weights are an ONNX file, given by path; onnxruntime runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.audio.dsp import rechunk
from soundalike.backbones.analysis.clips import SILENT
from soundalike.backbones.analysis.concept_network import ConceptOnnx
from soundalike.backbones.analysis.segment_inputs import concept_inputs, fit_segment
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, window_bounds
from soundalike.core.errors import ModelError
from soundalike.core.types import BoolArray, Descriptors, FloatArray

__all__ = ["ConceptsBackbone", "create"]

_CODE = 1  # raise this whenever other code gives other features
_BATCH = 8  # segments per run of the network, whose inputs take about 4 MB


class ConceptsBackbone:
    """The rows of concepts in windows of mono audio, one feature per concept, named after it.

    A stream is divided into segments of the length that the network was trained with, 3 s, one after the other. What is
    left at the end counts too if it lasts half a segment: the last segment ends with the stream. A stream shorter
    than a segment is continued with silence.

    The row of a window is the mean of the embeddings of those segments whose middles lie in it, as in the paper, or of
    the segment with the nearest middle. Each segment is embedded once, however much windows overlap. Rows have the
    length that the network gives them, not 1. Segments without sound above -70 dBFS are left out, and a window without
    any other is inaudible.

    Args:
        weights: An ONNX file.

    Raises:
        ModelError: The file is missing, damaged or of another kind.

    Example:
        >>> backbone = ConceptsBackbone(Path("concepts/concepts.onnx"))
        >>> backbone.features(MonoStream("song.wav", backbone.rate), windows).rows["tempo"].shape
        (47, 64)
    """

    name: ClassVar[str] = "concepts"

    def __init__(self, weights: Path) -> None:
        self._network = ConceptOnnx(weights, code=_CODE)
        self._graph = self._network.graph
        self.version = self._network.version
        self.rate = self._graph.inputs.rate
        self.dims: Mapping[str, int] = MappingProxyType(dict.fromkeys(self._graph.concepts, self._graph.dim))

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at `rate`, in each window of `grid`.

        The descriptors are empty.
        """
        segments = _Segments(blocks, self._graph.inputs.samples)
        embeddings, audible = self._embed(segments)
        middles = (np.array(segments.starts) + self._graph.inputs.samples / 2) / self.rate
        duration = segments.count / self.rate
        bounds = window_bounds(grid, duration)
        rows = np.zeros((len(bounds), embeddings.shape[1]), np.float32)
        heard = np.zeros(len(bounds), np.bool_)
        for index, (start, end) in enumerate(bounds):
            inside = (start <= middles) & (middles < end)
            if not inside.any():
                inside[np.argmin(np.abs(middles - (start + end) / 2))] = True
            chosen = embeddings[inside & audible]
            if len(chosen):
                rows[index], heard[index] = chosen.mean(axis=0), True
        return Features(
            bounds,
            {name: np.ascontiguousarray(rows[:, place]) for name, place in self._graph.slices.items()},
            {name: heard.copy() for name in self._graph.concepts},
            Descriptors(),
            duration,
        )

    def _embed(self, segments: _Segments) -> tuple[FloatArray, BoolArray]:
        """Return the embeddings (n, D) of all segments, and which of them (n,) have sound."""
        found: list[FloatArray] = []
        audible: list[bool] = []
        waiting: list[dict[str, FloatArray]] = []

        def compute() -> None:
            if waiting:
                found.append(self._network({name: np.stack([one[name] for one in waiting]) for name in waiting[0]}))
                waiting.clear()

        for samples in segments:
            audible.append(bool(samples.var() >= SILENT))
            if audible[-1]:
                waiting.append(concept_inputs(fit_segment(samples, self._graph.inputs), self._graph.inputs))
                if len(waiting) == _BATCH:
                    compute()
        compute()
        embeddings = np.zeros((len(audible), self._graph.dim * len(self._graph.concepts)), np.float32)
        if found:
            embeddings[audible] = np.concatenate(found)
        return embeddings, np.array(audible, np.bool_)


class _Segments:
    """Divides a stream into segments of `length` samples; read once.

    Attributes:
        starts: The first sample of each segment that was read.
        count: Samples that were read.
    """

    def __init__(self, blocks: Blocks, length: int) -> None:
        self._blocks, self._length = blocks, length
        self.starts: list[int] = []
        self.count = 0

    def __iter__(self) -> Iterator[FloatArray]:
        before = np.zeros(0, np.float32)
        for piece in rechunk(self._blocks, self._length):
            self.count += len(piece)
            segment = np.concatenate([before, piece])[-self._length :]
            if not self.starts or 2 * len(piece) >= self._length:
                self.starts.append(self.count - len(segment))
                yield segment
            before = segment


def create(weights: Path | None = None) -> Backbone:
    """Return the backbone. Raises ModelError without weights, or if they are damaged or of another kind."""
    if weights is None:
        raise ModelError(
            "the backbone concepts needs its weights, which a model brings; train one with `soundalike train "
            "concepts`, and give its folder with --model"
        )
    return ConceptsBackbone(weights)
