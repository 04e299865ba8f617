"""Multitrack recordings of one layout or another, as songs with the files of their mix and stems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundalike.audio.datasets import SlakhStem
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.evaluate.judgements import MIX, clips_of_slakh

__all__ = ["Multitrack", "read_multitracks"]


@dataclass(frozen=True, slots=True)
class Multitrack:
    """A song with stems.

    Attributes:
        song: Its name.
        files: The files of the mix, under "mix", and of each stem; several are summed.
        seconds: Its length.
        parts: The stems of Slakh2100 with their programs and MIDI files; none in other layouts.
    """

    song: str
    files: dict[str, tuple[Path, ...]]
    seconds: float
    parts: tuple[SlakhStem, ...] = ()


def read_multitracks(root: Path) -> tuple[Multitrack, ...]:
    """Read the songs of a folder.

    Args:
        root: Slakh2100 or what `soundalike render songs` writes, MUSDB18-HQ, or recordings that stems.csv lists.

    Returns:
        The songs. Without a file of the mix, the mix is the sum of the stems.

    Raises:
        UsageError: The folder holds none of these.
        AudioError: A mix cannot be decoded.

    Example:
        >>> [song.song for song in read_multitracks(Path("musicdelta"))][:2]
        ['80sRock', 'Beatles']
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of songs with stems")
    if (root / "stems.csv").exists():
        return _labelled("stem_table", root)
    musdb = plugins.load("datasets", "musdb18hq", root=root)
    if musdb.missing() is None:
        return _labelled("musdb18hq", root)
    slakh = plugins.load("datasets", "slakh2100", root=root)
    if problem := slakh.missing():
        raise UsageError(f"{problem}; or MUSDB18-HQ, or recordings listed in stems.csv")
    find = clips_of_slakh(root)
    return tuple(
        Multitrack(track.name, dict(find(track.name).files), _seconds(track.mix), track.stems)
        for track in slakh.tracks()
    )


def _labelled(name: str, root: Path) -> tuple[Multitrack, ...]:
    songs: dict[str, dict[str, tuple[Path, ...]]] = {}
    for item in plugins.load("datasets", name, root=root).items():
        songs.setdefault(item.labels["song"], {})[item.labels["label"]] = tuple(item.stems.values()) or (item.path,)
    found = []
    for song, stems in songs.items():
        files = [file for of_stem in stems.values() for file in of_stem]
        mixture = files[0].with_name("mixture.wav")
        mix = (mixture,) if mixture.is_file() else tuple(files)
        found.append(Multitrack(song, {MIX: mix, **stems}, _seconds(files[0])))
    return tuple(found)


def _seconds(path: Path) -> float:
    from soundalike.audio import load

    return load(path).duration
