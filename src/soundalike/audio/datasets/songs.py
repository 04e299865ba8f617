"""Songs with stems, as the files of every instrument: Slakh2100, what `soundalike render songs` writes, or stems.csv.

MIDI duplicates: Slakh2100 has groups of tracks that were rendered from the same MIDI file. Of every group, the first
track is used, in the order train, validation, test and then by name, so that no MIDI file occurs twice. Tracks have the
same MIDI file if their metadata.yaml has the same UUID, which is the name of the file in the Lakh MIDI Dataset; without
a UUID, if their all_src.mid are equal. Imamura et al. (2025) do not print their rule, which leaves 1,200, 270 and 136
tracks; redux.json of slakh-utils leaves 1,289, 270 and 151, and can be given instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute, content_hash

__all__ = ["SUBSETS", "SongFiles", "find_songs", "instrument_of"]

SUBSETS = ("train", "validation", "test")
_OTHER = "other"
_MASTER = "mix"
"""The class of a file in stems.csv that is no stem but a finished mix."""
_UUID = re.compile(r"""^UUID:\s*["']?([^\s"']+)""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SongFiles:
    """A song with the files of its stems.

    Attributes:
        name: Such as "Track00001".
        subset: One of `SUBSETS`.
        stems: The files of every instrument that occurs, which are summed.
    """

    name: str
    subset: str
    stems: Mapping[str, tuple[Path, ...]]

    def files(self) -> tuple[Path, ...]:
        """Return all files, sorted by instrument."""
        return tuple(file for _, files in sorted(self.stems.items()) for file in files)


def instrument_of(label: str, instruments: Sequence[str]) -> str:
    """Return the instrument that a class of stems belongs to: the one of that name, otherwise "other".

    Raises:
        UsageError: There is neither.

    Example:
        >>> instrument_of("vocals", ["drums", "bass", "piano", "guitar", "other"])
        'other'
    """
    if label in instruments:
        return label
    if _OTHER in instruments:
        return _OTHER
    raise UsageError(
        f"stems of the class {label} belong to none of the instruments {', '.join(instruments)}; add {_OTHER}"
    )


def find_songs(
    folder: Path, instruments: Sequence[str], *, redux: Path | None = None, only: Iterable[str] = ()
) -> tuple[SongFiles, ...]:
    """Return the songs in a folder, without duplicates of a MIDI file, sorted by subset and name.

    Args:
        folder: Slakh2100, what `soundalike render songs` writes, or recordings that stems.csv lists, which all belong
            to the training subset.
        instruments: Names of the instruments. Stems of other classes belong to "other".
        redux: The file redux.json of slakh-utils, which then says which tracks of Slakh2100 are used.
        only: Names of the songs to use, such as the training songs of stems.csv; all without any.

    Raises:
        UsageError: A stem or another file is missing, the folder holds no songs, or `only` names an unknown one.

    Example:
        >>> [song.name for song in find_songs(Path("songs"), ["drums", "bass", "other"])][:2]
        ['Track00001', 'Track00002']
    """
    folder = absolute(folder)
    if (folder / "stems.csv").exists():
        if redux:
            raise UsageError(f"{redux} describes Slakh2100, but {folder} holds stems.csv; leave it out")
        found = _listed(folder, instruments)
    else:
        found = _rendered(folder, instruments, redux)
    wanted = set(only)
    if unknown := sorted(wanted - {song.name for song in found}):
        raise UsageError(f"{folder} holds no song {unknown[0]}; it holds {', '.join(song.name for song in found[:5])}")
    return tuple(song for song in found if not wanted or song.name in wanted)


def _rendered(folder: Path, instruments: Sequence[str], redux: Path | None) -> list[SongFiles]:
    dataset = plugins.load("datasets", "slakh2100", root=folder, redux=redux)
    tracks = dataset.tracks()
    if any(track.subset not in SUBSETS for track in tracks):
        raise UsageError(f"{folder} holds tracks itself; expected the folder that holds {', '.join(SUBSETS)}")
    found: dict[str, SongFiles] = {}
    for track in sorted(tracks, key=lambda track: (SUBSETS.index(track.subset), track.name)):
        stems = _by_instrument(track.by_class(), instruments)
        found.setdefault(_midi_of(track.mix.parent), SongFiles(track.name, track.subset, stems))
    return list(found.values())


def _midi_of(track: Path) -> str:
    """The identity of the MIDI file that a track was rendered from; that of the track if nothing tells it."""
    if found := _UUID.search((track / "metadata.yaml").read_text(encoding="utf-8")):
        return found[1]
    score = track / "all_src.mid"
    return content_hash(score) if score.is_file() else str(track)


def _listed(folder: Path, instruments: Sequence[str]) -> list[SongFiles]:
    classes: dict[str, dict[str, tuple[Path, ...]]] = {}
    for item in plugins.load("datasets", "stem_table", root=folder, complete=False).items():
        if item.labels["label"] != _MASTER:
            files = tuple(item.stems.values()) or (item.path,)
            classes.setdefault(item.labels["song"], {})[item.labels["label"]] = files
    if not classes:
        raise UsageError(f"{folder / 'stems.csv'} lists no stems; expected the columns song, path and stem_class")
    return [SongFiles(name, "train", _by_instrument(stems, instruments)) for name, stems in sorted(classes.items())]


def _by_instrument(classes: Mapping[str, tuple[Path, ...]], instruments: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    stems: dict[str, tuple[Path, ...]] = {}
    for label, files in classes.items():
        name = instrument_of(label, instruments)
        stems[name] = (*stems.get(name, ()), *files)
    return stems
