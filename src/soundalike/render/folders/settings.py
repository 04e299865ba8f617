"""What a set of folders is made from: its settings, and the music and the players that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from soundalike.render.score.music import SplitPart
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import check_fluidsynth, find_soundfonts
from soundalike.render.sources.load import Sources, load_sources

__all__ = ["RATES", "Settings", "orchestra_of", "sources_of"]

RATES = (16000, 22050, 24000, 32000, 44100, 48000)  # Hz: what every codec of the effects can write


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a set of folders follows from, besides the soundfonts' and the sources' own contents.

    `part` is the part of the split that all folders belong to, or None for a whole set (see `folder_part`); `tunes` and
    `grooves` are paths or None for what is found; `soundfonts` are given as on the command line.
    """

    seed: int = 0
    part: SplitPart | None = None
    seconds: float = 10.0
    rate: int = 32000
    suffix: str = "wav"
    stems: bool = False
    tunes: str | None = None
    grooves: str | None = None
    soundfonts: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def orchestra_of(soundfonts: tuple[str, ...]) -> Orchestra:
    """The players for these `--soundfont` values, kept for the next call. Raises UsageError."""
    check_fluidsynth()
    return Orchestra(find_soundfonts(soundfonts))


@lru_cache(maxsize=1)
def sources_of(tunes: str | None, grooves: str | None) -> Sources:
    """The music to draw from, kept for the next call. Raises UsageError."""
    return load_sources(Path(tunes) if tunes else None, Path(grooves) if grooves else None)
