"""Separator `demucs`: vocals, drums, bass and other by Hybrid Transformer Demucs (htdemucs)."""

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
        ('drums', 'bass', 'other', 'vocals')
    """
    return HtDemucs("demucs", ("drums", "bass", "other", "vocals"), installed_weights("demucs", weights))
