"""The tracks of a library in two dimensions, for some weights.

The point of a track is one vector: the rows of all spaces with a positive weight, one after the other, each multiplied
by sqrt(w_s / sigma_s). The inner product of two such vectors is then

    sum_s w_s <x_s, y_s> / sigma_s = W score(x, y) + sum_s w_s mu_s / sigma_s,    W = sum_s w_s

where both tracks are audible in all these spaces (see `models/score.py`). Tracks that score high with each other are
therefore close, and the order of distances is that of scores. A negative weight has no such vector, so spaces with one
have no effect.

From each part of a vector, the mean over the tracks that are audible in its space is subtracted. Where a track is not
audible, its part stays zero, which now is the mean: silence is neutral, as in the score. Tracks that are audible in
none of the spaces never match, and are left out. So are tracks whose rows are corrupt.

PCA takes the two directions of the largest variance, from the exact covariance. UMAP (McInnes, Healy and Melville,
"UMAP: Uniform Manifold Approximation and Projection", 2018) keeps neighbours together; it gets the first 64 principal
components, because it is much faster with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from soundalike.core.errors import ModelError, UsageError
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray, IntArray
from soundalike.library import LibraryFolder
from soundalike.models import SearchSpaces, presence
from soundalike.search import as_filter
from soundalike.serve.jobs.requests import MapJob, MapMethod

__all__ = ["MapRecord", "Points", "make_map", "positive_weights", "principal_components", "scaled"]

_ROWS = 8192
"""Tracks that are read at a time."""
_LARGEST_UMAP = 10_000
"""Tracks up to which "auto" takes UMAP: 100,000 took ten minutes on two cores, and principal components 15 s."""
_NEIGHBOURS = 15
_COMPONENTS = 64
"""The number of principal components that UMAP gets."""


@dataclass(frozen=True, slots=True)
class MapRecord:
    """A map that was made. `weights` are those that had an effect.

    `left_out` counts tracks that are silent or corrupt, or that one of the models has not encoded.
    """

    model: str
    method: Literal["pca", "umap"]
    weights: Mapping[str, float]
    tracks: int
    left_out: int


class Points:
    """The vectors of tracks, read in blocks.

    Args:
        read: Returns the rows (m, d) of a space, given its number and a slice of the tracks.
        count: The number of tracks.
        scales: The factor of each space.
        progress: Called with the number of tracks read so far.
    """

    def __init__(
        self,
        read: Callable[[int, slice], FloatArray],
        count: int,
        scales: Sequence[float],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._read, self.count, self._scales = read, count, scales
        self._progress, self._done = progress, 0
        self._means = self._mean_rows()

    @property
    def dim(self) -> int:
        """The number of dimensions of a vector."""
        return sum(len(mean) for mean in self._means)

    def _parts(self) -> Iterator[slice]:
        for first in range(0, self.count, _ROWS):
            part = slice(first, min(first + _ROWS, self.count))
            yield part
            self._done += part.stop - part.start
            if self._progress:
                self._progress(self._done)

    def _mean_rows(self) -> list[FloatArray]:
        """The mean row (d,) of each space over the tracks that are audible in it."""
        sums, counts = [0.0] * len(self._scales), [0] * len(self._scales)
        for part in self._parts():
            for number in range(len(self._scales)):
                rows = self._read(number, part)
                sums[number] = sums[number] + rows.sum(axis=0, dtype=np.float64)
                counts[number] += int(np.count_nonzero(presence(rows)))
        return [np.asarray(total) / max(1, count) for total, count in zip(sums, counts, strict=True)]

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield slices of the tracks with their vectors (m, dim) float64, centred."""
        for part in self._parts():
            pieces = []
            for number, (scale, mean) in enumerate(zip(self._scales, self._means, strict=True)):
                rows = self._read(number, part)
                pieces.append(scale * np.where(presence(rows)[:, None], rows - mean, 0.0))
            yield part, np.concatenate(pieces, axis=1)


def principal_components(points: Points, count: int) -> FloatArray:
    """Return the first principal components of vectors: (n, count) float64.

    Components that the vectors do not have are zero. The sign of each is such that the largest entry of its direction
    is positive.
    """
    from scipy.linalg import eigh

    dim = points.dim
    covariance = np.zeros((dim, dim))
    for _, vectors in points.blocks():
        covariance += vectors.T @ vectors
    found = min(count, dim)
    _, directions = eigh(covariance, subset_by_index=[dim - found, dim - 1], overwrite_a=True)
    directions = directions[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(found)] < 0, -1.0, 1.0)
    components = np.zeros((points.count, count))
    for part, vectors in points.blocks():
        components[part, :found] = vectors @ directions
    return components


def scaled(coordinates: FloatArray) -> FloatArray:
    """Return coordinates (n, 2) as float32 in [-1, 1], around the middle of their range; both axes by one factor."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    reach = float((high - low).max()) / 2
    moved = coordinates - (low + high) / 2
    return np.clip(moved / reach if reach > 0 else 0 * moved, -1, 1).astype(np.float32)


def positive_weights(weights: Mapping[str, float] | None, spaces: SearchSpaces) -> dict[str, float]:
    """Return the weights above 0 by name. Raises UsageError if there are none, or a space is unknown."""
    positive = {name: weight for name, weight in spaces.weights(weights).items() if weight > 0}
    if not positive:
        raise UsageError("every weight is 0 or less; a map needs a space with a weight above 0")
    return positive


def make_map(
    library: LibraryFolder, job: MapJob, output: Path, progress: Callable[[int, int | None, str], None] | None = None
) -> MapRecord:
    """Make a map and write it: the ids of the tracks as int64, then their coordinates (n, 2) as float32.

    Args:
        library: The library.
        job: What was asked for.
        output: The file to write; numbers are little-endian.
        progress: Called with tracks done, all tracks, and what is being done.

    Raises:
        UsageError: There is no track to place, no weight is above 0, or the conditions cannot be read.
        ModelError: The library does not hold the model, or UMAP is asked for and not installed.
    """
    with library.snapshot():
        used = library.spaces(job.model, job.weights or ())
        weights = positive_weights(job.weights, used)
        rows, ids, left_out = _tracks(library, used, weights, job.where)
        method = _method(job.method, len(ids))
        spaces = [one for one in library.reference(used, "track").spaces if one.name in weights]

        def read(number: int, part: slice) -> FloatArray:
            space = spaces[number]
            return library.store.read("track", space.full_name, space.dim, rows[part])

        def tell(done: int) -> None:  # the rows are read three times
            if progress:
                progress(done // 3, len(ids), "finding the directions of the largest variance")

        scales = [float(np.sqrt(weights[one.name] / one.calibration["track"].sigma)) for one in spaces]
        points = Points(read, len(ids), scales, tell)
        coordinates = principal_components(points, 2 if method == "pca" else _COMPONENTS)
    if method == "umap":
        if progress:
            progress(0, None, "arranging neighbours")
        coordinates = _umap(coordinates)
    placed = scaled(coordinates)
    write_atomic(output, lambda file: file.write(ids.astype("<i8").tobytes() + placed.astype("<f4").tobytes()))
    return MapRecord(used.models[0].name, method, weights, len(ids), left_out)


def _tracks(
    library: LibraryFolder, used: SearchSpaces, weights: Mapping[str, float], where: str | None
) -> tuple[IntArray, IntArray, int]:
    """The rows (n,) and ids (n,) of the tracks to place, and how many are left out."""
    found = library.candidates(used, "track", as_filter(where))
    wanted = np.ones(len(found.table), np.bool_) if found.wanted is None else found.wanted
    audible = library.arrays.audible(used, "track", weights) > 0
    chosen = found.table[wanted & audible]
    corrupt = np.zeros(len(chosen), np.bool_)
    for space in used.spaces:
        for first in range(0, len(chosen), _ROWS) if space.name in weights else ():
            part = slice(first, first + _ROWS)
            corrupt[part] |= library.store.corrupt("track", space.full_name, space.dim, chosen[part, 0])
    chosen = chosen[~corrupt]
    if not len(chosen):
        raise UsageError(
            f"there is no track to place: {int(wanted.sum()):,} meet the conditions, and none of them is audible in "
            f"{', '.join(weights)}; choose other conditions or weights"
        )
    left_out = int(wanted.sum()) - len(chosen) + sum(found.not_encoded.values())
    return chosen[:, 0], chosen[:, 2], left_out


def _method(asked: MapMethod, tracks: int) -> Literal["pca", "umap"]:
    """The method to use. Below 16 tracks there are no neighbourhoods for UMAP."""
    installed = find_spec("umap") is not None
    if asked == "umap" and not installed:
        raise ModelError("UMAP is not installed; ask for the method pca, or run: pip install 'soundalike[map]'")
    if asked == "pca" or not installed or tracks <= _NEIGHBOURS or (asked == "auto" and tracks > _LARGEST_UMAP):
        return "pca"
    return "umap"


def _umap(vectors: FloatArray) -> FloatArray:
    """Coordinates (n, 2) of vectors (n, d) by UMAP, the same in every run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of networks that are not used here
        from umap import UMAP

    reducer = UMAP(n_components=2, n_neighbors=_NEIGHBOURS, min_dist=0.1, metric="euclidean", random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(vectors.astype(np.float32)))
