"""Excerpts and waveforms that were asked for lately."""

from __future__ import annotations

__all__ = ["SoundCache"]


class SoundCache:
    """What players asked for lately."""
