"""Paths between rows: points on the sphere between two rows, and the path whose smallest step is largest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.models import unit_rows

__all__ = ["slerp", "widest_path"]


def slerp(a: FloatArray, b: FloatArray, part: float) -> FloatArray:
    """Interpolate on the sphere from unit row a (d,) to unit row b (d,): (d,) float32.

    Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985. If one row is zero (inaudible), the result is
    the other one. Between opposites, which no shortest arc joins, it is the nearer one.

    Args:
        a: The row at `part` 0.
        b: The row at `part` 1.
        part: How far to go, 0 to 1.

    Example:
        >>> slerp(np.float32([1, 0]), np.float32([0, 1]), 0.5).round(3).tolist()
        [0.7070000171661377, 0.7070000171661377]
    """
    if not a.any() or not b.any():
        return b if b.any() else a
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    angle = math.acos(max(-1.0, min(1.0, float(wide_a @ wide_b))))
    if math.sin(angle) < 1e-6:
        return a if part < 0.5 else b
    return unit_rows((math.sin((1 - part) * angle) * wide_a + math.sin(part * angle) * wide_b)[None, :])[0]


def widest_path(scores: FloatArray, steps: int) -> list[int]:
    """Find the path from the first row to the last whose smallest step score is largest; ties go to the largest sum.

    The progress of a row is its score with the end minus its score with the start. Progress increases strictly along a
    path, so no row comes twice, and dynamic programming over layers finds the best path exactly (the widest path,
    Pollack 1960, with a given number of steps).

    Args:
        scores: (n, n) scores of a step between any two rows.
        steps: The number of rows in between.

    Returns:
        The rows in between; fewer than `steps` if fewer different values of progress lie between the ends.
    """
    progress = scores[:, -1] - scores[:, 0]
    between = np.flatnonzero((progress > progress[0]) & (progress < progress[-1]))
    steps = min(steps, len(np.unique(progress[between])))
    if steps == 0:
        return []
    nodes = np.concatenate([[0], between, [len(scores) - 1]])
    # (to, from): the search for the best way to a node then runs along memory.
    forward = progress[nodes][:, None] > progress[nodes]
    edges = np.where(forward, scores[np.ix_(nodes, nodes)].T, -np.inf)
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
