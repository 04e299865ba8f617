"""The tunes that come with music21: old printed collections, typed in by volunteers as ABC.

Used are three whose prints are in the public domain and whose files state no restriction: O'Neill's Music of Ireland
(1903, here under the name of its 1,850 tunes), Ryan's Mammoth Collection (1883) and Aird's Airs (1782 to 1803).
music21 distributes them with permission of the encoders (its corpus/license.txt). The Essen folk songs are left out:
they are for non-commercial use only.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.render.score.music import MODES
from soundalike.render.sources.midi import Line, Skipped, Song, Track, melody_of

__all__ = ["COLLECTIONS", "collection_files", "corpus_folder", "read_collection"]

COLLECTIONS = ("airdsAirs", "oneills1850", "ryansMammoth")

_BAR, _OTHER = 105, 80  # velocities by which `melody_of` knows the first note of a bar


def corpus_folder() -> Path | None:
    """Where music21 keeps its corpus; None if it is not installed."""
    found = importlib.util.find_spec("music21")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "corpus"
    return folder if folder.is_dir() else None


def collection_files(folder: Path) -> list[Path]:
    """The files of the collections that are used."""
    return [file for name in COLLECTIONS for file in sorted((folder / name).glob("*.abc"))]


def read_collection(file: Path) -> Iterator[tuple[str, str, Line | Skipped | None]]:
    """Yield (work, setting, its melody) of the tunes of a file.

    A work is known by its title, since the collections share tunes. None stands for a meter that is not used.
    """
    from music21 import abcFormat, converter, exceptions21

    place = f"{file.parent.name}/{file.stem}"
    try:
        read = converter.parse(file, format="abc", forceSource=True, storePickle=False)
    except (exceptions21.Music21Exception, abcFormat.ABCHandlerException, ValueError, IndexError) as error:
        yield "", place, Skipped(place, f"music21 cannot read it ({type(error).__name__}: {error})")
        return
    for score in read.scores if hasattr(read, "scores") else [read]:
        title = str(score.metadata.title or "")
        setting = f"{place}#{score.metadata.number or 1}"
        try:
            yield _plain(title) or setting, setting, melody_of(_song(score))
        except AudioError as error:
            yield "", setting, Skipped(setting, str(error))


def _plain(title: str) -> str:
    """A title without what differs from print to print: accents, case, articles, and kinds of dance after a dash."""
    ascii_ = unicodedata.normalize("NFKD", title.partition(" -- ")[0]).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_.casefold().replace("'", ""))
    return " ".join(word for word in words if word not in ("the", "a"))


def _song(score: Any) -> Song:
    """The top line of the first part, bars marked by accents."""
    part = score.parts.first()
    notes: list[list[float]] = []
    key: tuple[int, str] | None = None
    meters: set[tuple[int, int]] = set()
    whole = True
    for measure in part.getElementsByClass("Measure") if part is not None else ():
        for signature in measure.getElementsByClass("TimeSignature"):
            if not meters:  # later ones are mostly music21's name for an odd bar
                meters.add((signature.numerator, signature.denominator))
        for signature in measure.getElementsByClass("Key"):
            if key is None and signature.mode in MODES:
                key = (int(signature.tonic.pitchClass), signature.mode)
        before, whole = whole, float(measure.barDurationProportion()) >= 1
        accent = whole or (before and bool(notes))  # what fills up a short bar is its pickup
        for element in measure.notes:
            if element.duration.isGrace:
                continue
            start = float(measure.offset + element.offset)
            end = start + float(element.quarterLength)
            pitch = max(one.midi for one in element.pitches)
            if notes and element.tie is not None and element.tie.type != "start" and notes[-1][2] == pitch:
                notes[-1][1] = end
            else:
                notes.append([start, end, pitch, _BAR if accent else _OTHER])
            accent = False
    if not notes:
        raise AudioError("it holds no notes")
    table = np.array(notes)
    pitches, velocities = table[:, 2].astype(np.int64), table[:, 3].astype(np.int64)
    return Song((Track("", 0, table[:, 0], table[:, 1], pitches, velocities),), frozenset(meters), key=key)
