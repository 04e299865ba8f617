"""Find and load the musical material of scenes: tunes, human grooves and chord progressions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from soundalike.core.errors import UsageError
from soundalike.render.score.music import Groove, Progression, SplitPart, part_of
from soundalike.render.sources.chorales import chorale_progressions
from soundalike.render.sources.grooves import Grooves, load_grooves, performance_of, split_drummers
from soundalike.render.sources.midi import Skipped
from soundalike.render.sources.tunes import Tunes, corpus_tunes, load_tunes

__all__ = ["Sources", "load_sources"]

# Credits of known sources, by file name.
_CREDITS: Mapping[str, str] = {
    "thesession-midi.tar.xz": "Tunes: The Session (thesession.org), ODbL 1.0",
    "groove-midi.tar.gz": "Grooves: Groove MIDI Dataset (magenta.tensorflow.org/datasets/groove), CC BY 4.0",
}
_CORPUS_CREDIT = (
    "Tunes: O'Neill's Music of Ireland, Ryan's Mammoth Collection and Aird's Airs (public domain), "
    "as transcribed for music21's corpus"
)
_CHORALE_CREDIT = "Chords: chorales by J. S. Bach (public domain), as encoded in music21's corpus"


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Melodies, human grooves and chord progressions, and their origin.

    Attributes:
        tunes: The melodies.
        grooves: Grooves played by people.
        drummers: The part of the split of each drummer. It is empty if there are fewer than three drummers. Grooves
            are then split by performance.
        progressions: Chord progressions of chorales.
        skipped: The files that could not be used.
        credits: The known sources and their licences.
        digest: A hash of the material.

    Example:
        >>> sources = load_sources()
        >>> waltzes = sources.progressions_of("train", "3/4", "major")
    """

    tunes: Tunes
    grooves: tuple[Groove, ...]
    drummers: Mapping[str, SplitPart]
    progressions: tuple[Progression, ...]
    skipped: tuple[Skipped, ...]
    credits: tuple[str, ...]
    digest: str

    def grooves_of(self, part: SplitPart, meter: str) -> tuple[Groove, ...]:
        """Return the human grooves in a meter that belong to a part of the split."""
        return tuple(groove for groove in self.grooves if groove.meter == meter and self._groove_part(groove) == part)

    def progressions_of(self, part: SplitPart, meter: str, mode: str) -> tuple[Progression, ...]:
        """Return the progressions of chorales in a meter and mode that belong to a part of the split."""
        return tuple(
            progression
            for progression in self.progressions
            if progression.meter == meter and progression.mode == mode and part_of("chords:" + progression.name) == part
        )

    def _groove_part(self, groove: Groove) -> SplitPart:
        return self.drummers.get(groove.source) or part_of("groove:" + performance_of(groove))


def load_sources(
    tunes: Path | None = None, grooves: Path | None = None, *, progress: Callable[[str], None] | None = None
) -> Sources:
    """Find and read the musical material. Sources that were read before are loaded from the user's cache.

    Args:
        tunes: Folder or archive of MIDI files with melodies. The default is the first that exists of
            `$SOUNDALIKE_DATA/tunes`, `../shared/data/tunes` and music21's corpus.
        grooves: Folder or archive of MIDI files with drum grooves. The default is the first that exists of
            `$SOUNDALIKE_DATA/grooves` and `../shared/data/grooves`. If neither exists, there are no human grooves.
        progress: Called with a one-line message when a slow step starts or advances.

    Returns:
        The material. Chord progressions come from music21's corpus; without music21 there are none.

    Raises:
        UsageError: A given path does not exist or holds nothing usable, or there are no tunes at all.

    Example:
        >>> sources = load_sources(Path("thesession-midi.tar.xz"))
        >>> sources.credits[0]
        'Tunes: The Session (thesession.org), ODbL 1.0'
    """
    tunes, grooves = _find_source(tunes, "tunes"), _find_source(grooves, "grooves")
    if progress and grooves:
        progress("reading grooves")
    drumming = load_grooves(grooves) if grooves else Grooves((), (), 0)
    melodies = load_tunes(tunes, progress) if tunes else corpus_tunes(progress)
    if melodies is None:
        raise UsageError("no tunes found; give --tunes PATH, or install music21: pip install 'soundalike[render]'")
    if progress:
        progress("reading chorales")
    progressions = chorale_progressions()
    credits = [*(_credits(tunes) if tunes else [_CORPUS_CREDIT]), *(_credits(grooves) if grooves else [])]
    digest = hashlib.sha256(repr((melodies.digest, drumming.grooves, progressions)).encode("utf-8", "surrogateescape"))
    return Sources(
        tunes=melodies,
        grooves=drumming.grooves,
        drummers=split_drummers(drumming.grooves),
        progressions=progressions,
        skipped=(*melodies.skipped, *drumming.skipped),
        credits=(*credits, *([_CHORALE_CREDIT] if progressions else [])),
        digest=digest.hexdigest(),
    )


def _find_source(path: Path | None, kind: str) -> Path | None:
    """Return the given path, or the first default location that exists."""
    if path is not None:
        if not path.exists():
            raise UsageError(f"{path} does not exist; give --{kind} a folder or archive of MIDI files")
        return path
    data = os.environ.get("SOUNDALIKE_DATA")
    defaults = [*([Path(data) / kind] if data else []), Path("..") / "shared" / "data" / kind]
    return next((default for default in defaults if default.exists()), None)


def _credits(path: Path) -> list[str]:
    names = {path.name, *(file.name for file in path.iterdir())} if path.is_dir() else {path.name}
    return [credit for name, credit in _CREDITS.items() if name in names]
