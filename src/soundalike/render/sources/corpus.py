"""Read tunes from music21's corpus: old printed collections that volunteers transcribed to ABC notation.

Three collections are used: O'Neill's Music of Ireland (1903; "oneills1850" refers to its 1,850 tunes), Ryan's Mammoth
Collection (1883) and Aird's Airs (1782 to 1803). The prints are in the public domain, and the files state no
restriction. music21 distributes them with permission of the encoders (see its corpus/license.txt). The Essen folk songs
are not used because they are limited to non-commercial use.
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
from soundalike.render.sources.melody_line import Line, melody_of
from soundalike.render.sources.midi import Skipped, Song, Track

__all__ = ["COLLECTIONS", "collection_files", "corpus_folder", "read_collection"]

COLLECTIONS = ("airdsAirs", "oneills1850", "ryansMammoth")

_BAR, _OTHER = 105, 80  # velocities of the first note of a bar, by which `melody_of` finds bars, and of other notes


def corpus_folder() -> Path | None:
    """Return the folder of music21's corpus, or None if music21 is not installed."""
    found = importlib.util.find_spec("music21")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "corpus"
    return folder if folder.is_dir() else None


def collection_files(folder: Path) -> list[Path]:
    """Return the ABC files of `COLLECTIONS` in music21's corpus folder.

    Example:
        >>> files = collection_files(corpus_folder())
    """
    return [file for name in COLLECTIONS for file in sorted((folder / name).glob("*.abc"))]


def read_collection(file: Path) -> Iterator[tuple[str, str, Line | Skipped | None]]:
    """Read the tunes of a collection file.

    Args:
        file: An ABC file.

    Yields:
        (work, setting, melody) of each tune. The work is the normalised title, because the collections share tunes.
        The melody is `Skipped` if the tune cannot be used, and None if its meter is not used.

    Example:
        >>> tunes = [melody for _, _, melody in read_collection(file) if isinstance(melody, Line)]
    """
    from music21 import abcFormat, converter, exceptions21

    file_name = f"{file.parent.name}/{file.stem}"
    try:
        parsed = converter.parse(file, format="abc", forceSource=True, storePickle=False)
    except (exceptions21.Music21Exception, abcFormat.ABCHandlerException, ValueError, IndexError) as error:
        yield "", file_name, Skipped(file_name, f"music21 cannot read it ({type(error).__name__}: {error})")
        return
    for score in parsed.scores if hasattr(parsed, "scores") else [parsed]:
        title = str(score.metadata.title or "")
        setting = f"{file_name}#{score.metadata.number or 1}"
        try:
            yield _normalise_title(title) or setting, setting, melody_of(_song(score))
        except AudioError as error:
            yield "", setting, Skipped(setting, str(error))


def _normalise_title(title: str) -> str:
    """Remove what differs between prints from a title: accents, case, articles, and the kind of dance after a dash."""
    ascii_ = unicodedata.normalize("NFKD", title.partition(" -- ")[0]).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_.casefold().replace("'", ""))
    return " ".join(word for word in words if word not in ("the", "a"))


def _song(score: Any) -> Song:
    """Return the top line of the first part as a song with one track. Accents mark the first notes of bars."""
    part = score.parts.first()
    notes: list[list[float]] = []
    key: tuple[int, str] | None = None
    meters: set[tuple[int, int]] = set()
    is_full = True
    for measure in part.getElementsByClass("Measure") if part is not None else ():
        for signature in measure.getElementsByClass("TimeSignature"):
            if not meters:  # later time signatures mostly come from irregular bars
                meters.add((signature.numerator, signature.denominator))
        for signature in measure.getElementsByClass("Key"):
            if key is None and signature.mode in MODES:
                key = (int(signature.tonic.pitchClass), signature.mode)
        was_full, is_full = is_full, float(measure.barDurationProportion()) >= 1
        accent = is_full or (was_full and bool(notes))  # the bar after a short one is its pickup
        for element in measure.notes:
            if element.duration.isGrace:
                continue
            start = float(measure.offset + element.offset)
            end = start + float(element.quarterLength)
            pitch = max(pitch.midi for pitch in element.pitches)
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
