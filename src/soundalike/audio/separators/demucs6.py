"""Separator `demucs6`: vocals, drums, bass, guitar, piano and other by Hybrid Transformer Demucs (htdemucs_6s)."""

from __future__ import annotations

from pathlib import Path

from soundalike.audio.separators.base import Separator
from soundalike.audio.separators.htdemucs import HtDemucs, installed_weights

__all__ = ["create"]


def create(weights: Path | None = None) -> Separator:
    """Return the separator. Without weights, the installed ones are used.

    Raises ModelError if there are no weights, they are damaged, or the package demucs is not installed.

    Example:
        >>> create().stems
        ('drums', 'bass', 'other', 'vocals', 'guitar', 'piano')
    """
    stems = ("drums", "bass", "other", "vocals", "guitar", "piano")
    return HtDemucs("demucs6", stems, installed_weights("demucs6", weights))
