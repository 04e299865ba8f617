"""Silence for stems that hold no more than the leakage of others.

A separator leaves traces of the other instruments in a stem whose instrument does not play. Backbones normalise level,
so that they would describe these traces as if they were music. In every second, the energy of a stem is compared with
that of the mix, the sum of the stems that do not overlap. Where it is below the gate of the separator in a second and
in both of its neighbours, the stem becomes digital silence; gains change linearly over a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from soundalike.audio.separators.base import StemBlock
from soundalike.core.types import FloatArray

__all__ = ["apply_gate"]

_QUIET = 1e-10
"""Mean square below which a stem is silent whatever the mix: -100 dB of full scale."""


def apply_gate(blocks: Iterable[StemBlock], rate: int, gate: float) -> Iterator[StemBlock]:
    """Replace the seconds in which a stem holds only leakage by silence.

    Args:
        blocks: The stems in blocks of any lengths, as a separator yields them.
        rate: Their sample rate in Hz.
        gate: Level in dB relative to the mix below which a stem counts as silent.

    Yields:
        The stems in blocks of one second, with the same length as before in all.

    Example:
        >>> blocks = apply_gate(separator.separate(path), separator.rate, separator.gate)
    """
    window: list[StemBlock] = []  # up to three seconds: the one to decide, and its neighbours
    levels: list[dict[str, bool]] = []
    gains: dict[str, float] = {}  # at the end of the second before
    for second in _seconds(blocks, rate):
        window.append(second)
        levels.append(_sounding(second, gate))
        if len(window) == 1:
            window.insert(0, {})
            levels.insert(0, {})
            continue
        if len(window) == 3:
            yield _gated(window[1], levels, gains)
            del window[0], levels[0]
    if window:
        yield _gated(window[1], levels, gains)


def _seconds(blocks: Iterable[StemBlock], rate: int) -> Iterator[StemBlock]:
    """Yield blocks of one second; the last one may be shorter."""
    held: list[StemBlock] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += next(iter(block.values())).shape[1]
        if count >= rate:
            whole = {name: np.concatenate([one[name] for one in held], axis=1) for name in block}
            for start in range(0, count - rate + 1, rate):
                yield {name: signal[:, start : start + rate] for name, signal in whole.items()}
            rest = count % rate
            held = [{name: signal[:, count - rest :] for name, signal in whole.items()}] if rest else []
            count = rest
    if held:
        yield {name: np.concatenate([one[name] for one in held], axis=1) for name in held[0]}


def _sounding(second: StemBlock, gate: float) -> dict[str, bool]:
    """Return which stems are above the gate in a second."""
    parts = [signal for name, signal in second.items() if name != "accompaniment" or len(second) == 2]
    mix = np.sum(parts, axis=0)
    limit = max(_power(mix) * 10 ** (gate / 10), _QUIET)
    return {name: _power(signal) >= limit for name, signal in second.items()}


def _power(signal: FloatArray) -> float:
    return float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0


def _gated(second: StemBlock, levels: list[dict[str, bool]], gains: dict[str, float]) -> StemBlock:
    """Apply the gains of a second, and remember those at its end."""
    result = {}
    for name, signal in second.items():
        target = float(any(level.get(name, False) for level in levels))
        before = gains.get(name, target)
        gains[name] = target
        if before == target:
            result[name] = signal if target else np.zeros_like(signal)
        else:
            result[name] = signal * np.linspace(before, target, signal.shape[1], dtype=np.float32)
    return result
