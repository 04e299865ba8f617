"""Sound chains: how recordings of a time sound, as ranges of the effects of a recording. They are proxies of eras.

A chain sets bandwidth, tilt, dynamics, noise and codec, and says nothing about the music. The ranges of two chains may
touch in one property, but never in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.music import Effects

__all__ = ["ERAS", "draw_chain"]

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Ranges of the effects: tilt in dB, cutoffs in Hz, ratio of the compressor, hiss in dB, and quality of an MP3."""

    tilt_db: Range
    highpass: Range | None
    lowpass: Range | None
    squash: Range
    hiss_db: Range | None
    quality: Range | None = None


_CHAINS: Mapping[str, _Chain] = {
    "horn 1920s": _Chain((-1.0, 2.0), (220.0, 350.0), (2500.0, 3600.0), (2.5, 4.0), (-26.0, -18.0)),
    "mono 1950s": _Chain((-4.0, -1.0), (70.0, 130.0), (5000.0, 7000.0), (1.5, 2.5), (-42.0, -34.0)),
    "tape 1970s": _Chain((-3.0, 0.0), (30.0, 50.0), (8500.0, 10000.0), (1.5, 2.5), (-54.0, -48.0)),
    "bright 1980s": _Chain((3.0, 6.0), (30.0, 60.0), None, (1.0, 1.5), None),
    "loud 2000s": _Chain((0.0, 2.0), None, None, (5.0, 8.0), None, (0.0, 0.2)),
}
ERAS = tuple(_CHAINS)
"""The names of the sound chains."""


def draw_chain(rng: np.random.Generator, era: str) -> Effects:
    """Draw the effects of a sound chain.

    Args:
        rng: The random generator.
        era: One of `ERAS`.

    Raises:
        UsageError: The era is unknown.

    Example:
        >>> draw_chain(np.random.default_rng(0), "loud 2000s").codec
        'mp3'
    """
    if era not in _CHAINS:
        raise UsageError(f"unknown sound chain {era!r}; known: {', '.join(ERAS)}")
    chain = _CHAINS[era]
    quality = chain.quality
    return Effects(
        tilt_db=float(rng.uniform(*chain.tilt_db)),
        highpass=float(rng.uniform(*chain.highpass)) if chain.highpass else None,
        lowpass=float(rng.uniform(*chain.lowpass)) if chain.lowpass else None,
        squash=float(rng.uniform(*chain.squash)),
        hiss_db=float(rng.uniform(*chain.hiss_db)) if chain.hiss_db else None,
        codec="mp3" if quality else None,
        quality=float(rng.uniform(*quality)) if quality else 1.0,
    )
