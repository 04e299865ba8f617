"""Routes among rows: points on the way from one to another, and the path whose smallest step is largest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.models import unit_rows

__all__ = ["slerp", "widest_path"]


def slerp(a: FloatArray, b: FloatArray, part: float) -> FloatArray:
    """The row that lies `part` (0 to 1) of the way from a (d,) to b (d,) on the sphere, (d,) float32 unit.

    Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985. Where one of them is zero (nothing to hear),
    the other one; between opposites, which no shortest way joins, the nearer one.
    """
    if not a.any() or not b.any():
        return b if b.any() else a
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    angle = math.acos(max(-1.0, min(1.0, float(wide_a @ wide_b))))
    if math.sin(angle) < 1e-6:
        return a if part < 0.5 else b
    return unit_rows((math.sin((1 - part) * angle) * wide_a + math.sin(part * angle) * wide_b)[None, :])[0]


def widest_path(scores: FloatArray, steps: int) -> list[int]:
    """The path of `steps` rows from the first row to the last whose smallest score is largest, then its sum.

    `scores` (n, n) are those of a step between any two rows. Progress is a row's score to the end less its score to
    the start, and each row of a path makes strictly more of it than the one before: the path goes somewhere, meets no
    row twice, and layers of dynamic programming find the best one exactly (the widest path, Pollack 1960, of a given
    number of steps). Returns the rows in between, at most as many as there are different progresses between the ends'.
    """
    progress = scores[:, -1] - scores[:, 0]
    between = np.flatnonzero((progress > progress[0]) & (progress < progress[-1]))
    steps = min(steps, len(np.unique(progress[between])))
    if steps == 0:
        return []
    nodes = np.concatenate([[0], between, [len(scores) - 1]])
    # (to, from): the best way to a node is then looked for along memory.
    onwards = progress[nodes][:, None] > progress[nodes]
    edges = np.where(onwards, scores[np.ix_(nodes, nodes)].T, -np.inf)
    smallest, _ = _best_chain(edges, steps, np.minimum)
    _, chain = _best_chain(np.where(edges >= smallest, edges, -np.inf), steps, np.add)
    return [int(nodes[node]) for node in chain]


def _best_chain(
    edges: FloatArray, steps: int, join: Callable[[FloatArray, FloatArray], FloatArray]
) -> tuple[float, list[int]]:
    """The largest value of a chain of `steps` nodes from node 0 to the last, its edges (to, from) joined by `join`."""
    value, origins = edges[:, 0], []
    for _ in range(steps):
        reached = join(edges, value)
        origins.append(reached.argmax(axis=1))
        value = np.take_along_axis(reached, origins[-1][:, None], axis=1)[:, 0]
    chain, node = [], len(edges) - 1
    for origin in reversed(origins):
        node = int(origin[node])
        chain.append(node)
    return float(value[-1]), chain[::-1]
