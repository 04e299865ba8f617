"""Read folders of triplets: `<factor>/triplets_N/triplet/` with an anchor, positives and negatives."""

from __future__ import annotations

import re
from pathlib import Path

from soundalike.audio.suffixes import AUDIO_SUFFIXES

__all__ = ["find_clips"]


def find_clips(folder: Path) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """Find the clips of one triplet folder.

    Args:
        folder: A folder `triplets_N`; its clips are in the subfolder `triplet`.

    Returns:
        The audio files by their stems, such as "anchor", and the positives (`positive_01`, ...) in order.

    Example:
        >>> clips, positives = find_clips(Path("renders/melody/triplets_1"))
        >>> clips["anchor"].name
        'anchor.wav'
    """
    clips = {
        file.stem: file for file in sorted((folder / "triplet").glob("*")) if file.suffix.lower() in AUDIO_SUFFIXES
    }
    return clips, tuple(clip for name, clip in clips.items() if re.fullmatch(r"positive_\d+", name))
