"""Where the weights of separators are installed."""

from __future__ import annotations

from pathlib import Path

from soundalike.core.settings import data_folder

__all__ = ["weights_folder"]


def weights_folder(separator: str) -> Path:
    """Return the folder of the installed weights of a separator. It need not exist.

    Example:
        >>> weights_folder("spleeter")
        PosixPath('/home/ann/.local/share/soundalike/separators/spleeter')
    """
    return data_folder() / "separators" / separator
