"""The layout of a rendered set on disk: folder paths, completeness, the record of the settings, and the split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.files import read_json, write_json
from soundalike.render.folders.draw import CLIPS
from soundalike.render.folders.settings import Settings, orchestra_of, sources_of
from soundalike.render.score.music import FACTORS, SPLIT
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sources.load import Sources

__all__ = ["META", "folder_path", "is_complete", "open_render", "record_difference", "write_record", "write_split"]

META = "triplet_meta.json"

_VERSION = 2  # increase it when the same settings give other folders
_RECORD, _SPLIT_FILE = "render.json", "split.json"
# The fields of the record that must match, and how error messages name them.
_RECORD_LABELS = {
    "version": "version of soundalike",
    "settings": "settings",
    "sources": "tunes or grooves",
    "sounds": "soundfonts or kits",
}


def folder_path(out: Path, factor: str, number: int) -> Path:
    """Return the path of a folder.

    Example:
        >>> folder_path(Path("triplets"), "melody", 3)
        PosixPath('triplets/melody/triplets_3')
    """
    return out / factor / f"triplets_{number}"


def is_complete(place: Path, settings: Settings) -> bool:
    """Return whether a folder holds all of its files at full length.

    A run that was killed leaves no incomplete folder under its final name, but files may be lost or truncated later.
    """
    import soundfile

    try:
        clips = json.loads((place / "triplet" / META).read_bytes())["clips"]
        for name in CLIPS:
            if not all((place / "truth" / f"{name}{suffix}").stat().st_size for suffix in (".jams", ".mid")):
                return False
            audio = [place / "triplet" / f"{name}.{settings.suffix}"]
            if settings.stems:
                audio += [place / "stems" / name / f"{role}.wav" for role in clips[name]["sounds"]]
            if not all(_has_full_length(path, settings) for path in audio):
                return False
    except (OSError, ValueError, KeyError, TypeError, soundfile.LibsndfileError):
        return False
    return True


def _has_full_length(path: Path, settings: Settings) -> bool:
    """Return whether a sound file has its full length. Raises OSError or LibsndfileError if it cannot be read."""
    import soundfile

    frames = round(settings.seconds * settings.rate)
    with soundfile.SoundFile(path) as file:
        if (file.frames, file.samplerate) != (frames, settings.rate):
            return False
        file.seek(frames - 1)  # the header of a truncated file may still state the full length
        return len(file.read(1)) == 1


def _make_record(settings: Settings, sources: Sources, orchestra: Orchestra) -> dict[str, Any]:
    """Return the contents of render.json."""
    return {
        "made_by": "soundalike render",
        "version": _VERSION,
        "settings": asdict(settings) | {"soundfonts": list(settings.soundfonts)},
        "sources": {"digest": sources.digest, "credits": list(sources.credits)},
        "sounds": dict(orchestra.licences),
    }


def write_record(out: Path, settings: Settings, sources: Sources, orchestra: Orchestra) -> None:
    """Write render.json, or check that an existing one matches.

    Args:
        out: The output folder of the set.
        settings: The settings of the set.
        sources: The material that its folders are drawn from.
        orchestra: The sounds that play them.

    Raises:
        UsageError: `out` holds folders of other settings, sources or sounds.

    Example:
        >>> write_record(Path("triplets"), settings, sources_of(None, None), orchestra_of(()))
    """
    record, path = _make_record(settings, sources, orchestra), out / _RECORD
    if not path.exists():
        write_json(path, record)
    elif changed := record_difference(read_json(path), record):
        raise UsageError(
            f"{out} holds folders that were not made with the same {changed}; use the same, or give another -o"
        )


def record_difference(before: Any, record: Mapping[str, Any]) -> str | None:
    """Return what differs between two records of rendered sets, in words for the user. None if they match.

    Args:
        before: What the file of a set holds.
        record: What it would hold now: version, settings, sources and sounds.
    """
    before = before if isinstance(before, dict) else {}
    changed = next((key for key in _RECORD_LABELS if before.get(key) != record[key]), None)
    if changed == "settings" and isinstance(old := before.get(changed), dict):
        return f"settings: {', '.join(name for name, value in record[changed].items() if old.get(name, ...) != value)}"
    return _RECORD_LABELS[changed] if changed else None


def open_render(out: Path) -> tuple[Settings, list[tuple[str, int]]]:
    """Open a rendered set so that its folders can be drawn again.

    Args:
        out: The output folder of `soundalike render`.

    Returns:
        The settings of the set, and its complete folders as (factor, number).

    Raises:
        UsageError: `out` is not a rendered set, has no complete folder, or was rendered from sources or soundfonts
            that are missing or have changed.

    Example:
        >>> settings, folders = open_render(Path("triplets"))
        >>> folders[0]
        ('melody', 1)
    """
    if not (out / _RECORD).is_file():
        raise UsageError(f"{out} holds no {_RECORD}; give the output of soundalike render")
    before = read_json(out / _RECORD)
    try:
        fields = dict(before["settings"])
        settings = Settings(**fields | {"soundfonts": tuple(fields["soundfonts"])})
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{out / _RECORD} is not a record of soundalike render; render into another folder") from error
    record = _make_record(settings, sources_of(settings.tunes, settings.grooves), orchestra_of(settings.soundfonts))
    if changed := record_difference(before, record):
        raise UsageError(f"{out} was not made with the {changed} found here; use the same, or render it again")
    found = [
        (factor, number) for factor, number in _folders(out) if is_complete(folder_path(out, factor, number), settings)
    ]
    if not found:
        raise UsageError(f"{out} holds no complete folder; render some with: soundalike render -o {out} --folders N")
    return settings, found


def _folders(out: Path) -> Iterator[tuple[str, int]]:
    for factor in FACTORS:
        numbers = [path.name.removeprefix("triplets_") for path in (out / factor).glob("triplets_*")]
        for number in sorted(int(text) for text in numbers if text.isdigit()):
            yield factor, number


def write_split(out: Path, settings: Settings) -> None:
    """Write split.json: the folders of each part of the split, and the sources that they were drawn from.

    Both are read from the metadata of the complete folders in `out`.

    Example:
        >>> write_split(Path("triplets"), settings)
        >>> read_json(Path("triplets/split.json"))["test"]
        ['triplets_6', 'triplets_16']
    """
    folders: dict[str, set[str]] = {part: set() for part in SPLIT}
    used: dict[str, dict[str, set[str]]] = {
        part: {kind: set() for kind in ("melodies", "grooves", "progressions", "banks")} for part in SPLIT
    }
    for factor, number in _folders(out):
        place = folder_path(out, factor, number)
        if not is_complete(place, settings):
            continue
        meta = read_json(place / "triplet" / META)
        folders[meta["part"]].add(meta["folder"])
        kinds = used[meta["part"]]
        for clip in meta["clips"].values():
            kinds["melodies"].add(clip["melody"])
            kinds["grooves"].add(clip["groove_source"])
            kinds["progressions"].add(clip["progression"])
            kinds["banks"] |= {sound.rpartition(" ")[0] for sound in clip["sounds"].values()}
    names = {
        part: sorted(found, key=lambda name: int(name.removeprefix("triplets_"))) for part, found in folders.items()
    }
    sources = {part: {kind: sorted(found) for kind, found in kinds.items()} for part, kinds in used.items()}
    write_json(out / _SPLIT_FILE, {**names, "sources": sources})
