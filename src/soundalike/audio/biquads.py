"""Filter a stream with second-order sections.

`scipy.signal.sosfilt` does the same, but importing it takes 1 s and 50 MB in every process that decodes audio.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray

__all__ = ["BiquadFilter"]

_BLOCK = 64
"""Samples that one matrix product filters: few enough that it costs about as much as the recursion."""


class BiquadFilter:
    """A cascade of second-order sections that filters a stream of blocks.

    The recursion over samples is written as one over blocks. With the state s (two numbers per section), a block x
    gives y = T x + O s and the next state A^n s + R x, where T holds the impulse response. The states of all blocks
    follow from a parallel prefix sum.

    The filter starts in the state that the first sample would give if it had been there forever, so that a constant
    offset is no step.

    Args:
        sections: (n, 6) numerators and denominators b0, b1, b2, 1, a1, a2.

    Example:
        >>> low_pass = BiquadFilter(np.array([[0.2, 0.2, 0.0, 1.0, -0.6, 0.0]]))
        >>> filtered = np.concatenate([low_pass.filter(block) for block in stream], axis=1)
    """

    def __init__(self, sections: FloatArray) -> None:
        step, entry, leave, direct = _state_space(np.asarray(sections, np.float64))
        powers = [np.eye(len(step))]
        for _ in range(_BLOCK):
            powers.append(powers[-1] @ step)
        self._powers = np.array(powers)
        self._observed = leave @ self._powers[:-1]  # (block, states): what is left of the first state, over time
        self._reached = (self._powers[:-1] @ entry)[::-1]  # (block, states): what each sample adds to the next state
        response = np.concatenate([[direct], self._observed @ entry])
        lag = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK))
        self._response = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
        self._settled = np.linalg.solve(powers[0] - step, entry)
        self._state: FloatArray | None = None

    def filter(self, samples: FloatArray) -> FloatArray:
        """Filter the next (c, t) samples, t >= 1."""
        channels, length = samples.shape
        if self._state is None:
            self._state = samples[:, :1] * self._settled
        whole = length - length % _BLOCK
        blocks = samples[:, :whole].reshape(channels, -1, _BLOCK)
        states = np.concatenate([self._state[:, None], blocks @ self._reached], axis=1)
        shift, power = 1, self._powers[_BLOCK]
        while shift < states.shape[1]:
            states[:, shift:] += states[:, :-shift] @ power.T
            shift, power = 2 * shift, power @ power
        filtered = np.empty((channels, length))
        filtered[:, :whole] = (blocks @ self._response.T + states[:, :-1] @ self._observed.T).reshape(channels, -1)
        last, rest = states[:, -1], samples[:, whole:]
        count = length - whole
        filtered[:, whole:] = rest @ self._response[:count, :count].T + last @ self._observed[:count].T
        self._state = last @ self._powers[count].T + rest @ self._reached[_BLOCK - count :]
        return filtered


def _state_space(sections: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return A (s, s), B (s,), C (s,) and D with state' = A state + B x and y = C state + D x.

    Every section is in the transposed direct form II, and its output is the input of the next one.
    """
    size = 2 * len(sections)
    step, entry, leave, direct = np.zeros((size, size)), np.zeros(size), np.zeros(size), 1.0
    for n, (b0, b1, b2, _, a1, a2) in enumerate(sections):
        own, section_entry = slice(2 * n, 2 * n + 2), np.array([b1 - a1 * b0, b2 - a2 * b0])
        step[own] += np.outer(section_entry, leave)
        step[own, own] += [[-a1, 1.0], [-a2, 0.0]]
        entry[own] = section_entry * direct
        leave, direct = b0 * leave, b0 * direct
        leave[2 * n] += 1.0
    return step, entry, leave, direct
