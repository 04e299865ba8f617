"""The material that scenes are drawn from: tunes, human grooves and chord progressions, wherever they are found."""

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

# What is known of material by the names of its files.
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
    """Melodies, human grooves and chord progressions, and where they come from.

    `drummers` says which part of the split a groove's source belongs to; it is empty where they are too few to be kept
    apart, and performances are then split instead. `skipped` names the files that could not be used, `credits` the
    sources and licences that are known, and `digest` changes when the material does.
    """

    tunes: Tunes
    grooves: tuple[Groove, ...]
    drummers: Mapping[str, SplitPart]
    progressions: tuple[Progression, ...]
    skipped: tuple[Skipped, ...]
    credits: tuple[str, ...]
    digest: str

    def grooves_of(self, part: SplitPart, meter: str) -> tuple[Groove, ...]:
        """The human grooves of a part of the split in a meter."""
        return tuple(one for one in self.grooves if one.meter == meter and self._groove_part(one) == part)

    def progressions_of(self, part: SplitPart, meter: str, mode: str) -> tuple[Progression, ...]:
        """The written progressions of a part of the split in a meter and mode."""
        return tuple(
            one
            for one in self.progressions
            if one.meter == meter and one.mode == mode and part_of("chords:" + one.name) == part
        )

    def _groove_part(self, groove: Groove) -> SplitPart:
        return self.drummers.get(groove.source) or part_of("groove:" + performance_of(groove))


def load_sources(
    tunes: Path | None = None, grooves: Path | None = None, *, progress: Callable[[str], None] | None = None
) -> Sources:
    """Find and read the material; what was read before comes from the user's cache.

    Tunes are taken from the folder or archive `tunes`, or else from `$SOUNDALIKE_DATA/tunes`, `../shared/data/tunes` or
    music21's corpus, whichever is there first. Grooves come from `grooves` or the folders of that name; without any
    there are no human grooves. Progressions come with music21. `progress` hears what takes long. Raises UsageError if a
    path that is given does not exist or holds nothing usable, or there are no tunes at all.
    """
    tunes, grooves = _chosen(tunes, "tunes"), _chosen(grooves, "grooves")
    if progress and grooves:
        progress("reading grooves")
    drumming = load_grooves(grooves) if grooves else Grooves((), (), 0)
    book = load_tunes(tunes, progress) if tunes else corpus_tunes(progress)
    if book is None:
        raise UsageError(
            "there are no tunes to make melodies from; give --tunes DIR or pip install 'soundalike[render]'"
        )
    if progress:
        progress("reading chorales")
    progressions = chorale_progressions()
    credits = [*(_credits(tunes) if tunes else [_CORPUS_CREDIT]), *(_credits(grooves) if grooves else [])]
    digest = hashlib.sha256(repr((book.digest, drumming.grooves, progressions)).encode("utf-8", "surrogateescape"))
    return Sources(
        tunes=book,
        grooves=drumming.grooves,
        drummers=split_drummers(drumming.grooves),
        progressions=progressions,
        skipped=(*book.skipped, *drumming.skipped),
        credits=(*credits, *([_CHORALE_CREDIT] if progressions else [])),
        digest=digest.hexdigest(),
    )


def _chosen(path: Path | None, kind: str) -> Path | None:
    """The path that was given, or the first of the usual ones that is there."""
    if path is not None:
        if not path.exists():
            raise UsageError(f"{path} does not exist; give --{kind} a folder or archive of MIDI files")
        return path
    data = os.environ.get("SOUNDALIKE_DATA")
    usual = [*([Path(data) / kind] if data else []), Path("..") / "shared" / "data" / kind]
    return next((one for one in usual if one.exists()), None)


def _credits(path: Path) -> list[str]:
    names = {path.name, *(file.name for file in path.iterdir())} if path.is_dir() else {path.name}
    return [credit for name, credit in _CREDITS.items() if name in names]
