"""The settings of a rendered set, and the sources and instruments that they select."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from soundalike.render.score.music import SplitPart
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import check_fluidsynth, find_soundfonts
from soundalike.render.sources.load import Sources, load_sources

__all__ = ["RATES", "Settings", "orchestra_of", "sources_of"]

RATES = (16000, 22050, 24000, 32000, 44100, 48000)  # Hz; every codec of the effects supports these rates


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a rendered set.

    Together with the contents of the sources and soundfonts, they determine every byte of the set.

    Attributes:
        seed: Seed of all random draws.
        part: The part of the split that all folders belong to. None divides the folders among all parts (see
            `folder_part`).
        seconds: Length of a clip in seconds.
        rate: Sample rate in Hz, one of `RATES`.
        suffix: Format of the clips, "wav" or "flac".
        stems: Whether to write the stems of every clip.
        tunes: Folder or archive of MIDI files with melodies. None searches the default locations.
        grooves: Folder or archive of MIDI files with drum grooves. None searches the default locations.
        soundfonts: Values of `--soundfont`. Without any, the installed soundfonts are used.

    Example:
        >>> Settings(seed=7, part="test", stems=True)
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
    """Return the orchestra for some values of `--soundfont`. The last result is cached.

    Raises:
        UsageError: FluidSynth or a soundfont is missing or invalid.

    Example:
        >>> orchestra = orchestra_of(())  # the installed soundfonts
    """
    check_fluidsynth()
    return Orchestra(find_soundfonts(soundfonts))


_loaded: dict[tuple[str | None, str | None], Sources] = {}


def sources_of(tunes: str | None, grooves: str | None, progress: Callable[[str], None] | None = None) -> Sources:
    """Return the music sources at some paths (None: the default locations). The last result is cached.

    Args:
        tunes, grooves: The paths.
        progress: Called with a one-line message when a slow step starts or advances.

    Raises:
        UsageError: A path does not exist, or there is no usable material.

    Example:
        >>> sources = sources_of("tunes.tar.xz", None)
    """
    if (tunes, grooves) not in _loaded:
        paths = [Path(path) if path else None for path in (tunes, grooves)]
        found = load_sources(*paths, progress=progress)
        _loaded.clear()
        _loaded[tunes, grooves] = found
    return _loaded[tunes, grooves]
