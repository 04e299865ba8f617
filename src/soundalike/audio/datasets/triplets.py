"""Folders of triplets: `<factor>/triplets_N/triplet/` with an anchor, positives and negatives."""

from __future__ import annotations

import re
from pathlib import Path

from soundalike.audio.stream import AUDIO_SUFFIXES

__all__ = ["find_clips"]


def find_clips(folder: Path) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """The sound files of a folder triplets_N by their stems, and those of them that are positives, in order."""
    clips = {
        file.stem: file for file in sorted((folder / "triplet").glob("*")) if file.suffix.lower() in AUDIO_SUFFIXES
    }
    return clips, tuple(clip for name, clip in clips.items() if re.fullmatch(r"positive_\d+", name))
