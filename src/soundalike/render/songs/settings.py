"""The settings of a set of songs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from soundalike.core.errors import UsageError
from soundalike.render.score.music import SplitPart
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import check_fluidsynth, find_soundfonts

__all__ = ["LONGEST", "SHORTEST", "SongSettings", "song_orchestra"]

SHORTEST, LONGEST = 20.0, 600.0
"""The limits of the length of a song in seconds."""


@dataclass(frozen=True, slots=True)
class SongSettings:
    """The settings of a set of songs.

    Together with the contents of the sources and soundfonts, they determine every byte of the set.

    Attributes:
        seed: Seed of all random draws.
        seconds: Shortest and longest length of a song in seconds, within `SHORTEST` and `LONGEST`.
        part: The part of the split that all songs belong to. None divides the songs among all parts.
        tunes: Folder or archive of MIDI files with melodies. None searches the default locations.
        grooves: Folder or archive of MIDI files with drum grooves. None searches the default locations.
        soundfonts: Values of `--soundfont`. Without any, the installed soundfonts are used.

    Example:
        >>> SongSettings(seed=7, seconds=(30.0, 60.0))
    """

    seed: int = 0
    seconds: tuple[float, float] = (60.0, 180.0)
    part: SplitPart | None = None
    tunes: str | None = None
    grooves: str | None = None
    soundfonts: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def song_orchestra(soundfonts: tuple[str, ...]) -> tuple[Orchestra, str]:
    """Return the orchestra for some values of `--soundfont`, and a note for the user. The last result is cached.

    Without FluidSynth or an installed soundfont, only synthesised instruments play, and the note says so.

    Raises:
        UsageError: A given soundfont is missing or invalid, or FluidSynth is missing although soundfonts are given.

    Example:
        >>> orchestra, note = song_orchestra(())  # the installed soundfonts
    """
    try:
        check_fluidsynth()
        return Orchestra(find_soundfonts(soundfonts)), ""
    except UsageError as error:
        if soundfonts:
            raise
        return Orchestra(()), f"only synthesised instruments play: {error}"
