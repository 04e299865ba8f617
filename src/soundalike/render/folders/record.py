"""What a set of folders is on disk: where a folder lies, whether it is whole, what it was made from, and the split."""

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

__all__ = ["META", "folder_path", "is_whole", "open_render", "write_record", "write_split"]

META = "triplet_meta.json"

_VERSION = 1
_RECORD, _SPLIT_FILE = "render.json", "split.json"
_CALLED = {
    "version": "version of soundalike",
    "settings": "settings",
    "sources": "tunes or grooves",
    "sounds": "soundfonts or kits",
}


def folder_path(out: Path, factor: str, number: int) -> Path:
    """Where a folder lies."""
    return out / factor / f"triplets_{number}"


def is_whole(place: Path, settings: Settings) -> bool:
    """Whether a folder holds every file it should, to its end. A killed run leaves none under its real name."""
    import soundfile

    try:
        clips = json.loads((place / "triplet" / META).read_bytes())["clips"]
        for name in CLIPS:
            if not all((place / "truth" / f"{name}{suffix}").stat().st_size for suffix in (".jams", ".mid")):
                return False
            audio = [place / "triplet" / f"{name}.{settings.suffix}"]
            if settings.stems:
                audio += [place / "stems" / name / f"{role}.wav" for role in clips[name]["sounds"]]
            if not all(_is_long(path, settings) for path in audio):
                return False
    except (OSError, ValueError, KeyError, TypeError, soundfile.LibsndfileError):
        return False
    return True


def _is_long(path: Path, settings: Settings) -> bool:
    """Whether a sound file is as long as it should be. Raises OSError or LibsndfileError if it cannot be read."""
    import soundfile

    frames = round(settings.seconds * settings.rate)
    with soundfile.SoundFile(path) as file:
        if (file.frames, file.samplerate) != (frames, settings.rate):
            return False
        file.seek(frames - 1)  # the head of a file that was cut short may say that it is whole
        return len(file.read(1)) == 1


def _body(settings: Settings, sources: Sources, orchestra: Orchestra) -> dict[str, Any]:
    """What folders are made from, as it is written down."""
    return {
        "made_by": "soundalike render",
        "version": _VERSION,
        "settings": asdict(settings) | {"soundfonts": list(settings.soundfonts)},
        "sources": {"digest": sources.digest, "credits": list(sources.credits)},
        "sounds": dict(orchestra.licences),
    }


def write_record(out: Path, settings: Settings, sources: Sources, orchestra: Orchestra) -> None:
    """Write down what the folders are made from; refuse a folder that was made from something else."""
    body, path = _body(settings, sources, orchestra), out / _RECORD
    if not path.exists():
        write_json(path, body)
    elif changed := _difference(read_json(path), body):
        raise UsageError(f"{out} holds folders made with other {changed}; use the same, or give another -o")


def _difference(before: Any, body: Mapping[str, Any]) -> str | None:
    """What a record says else, as a user knows it; None if it says the same."""
    before = before if isinstance(before, dict) else {}
    changed = next((key for key in _CALLED if before.get(key) != body[key]), None)
    if changed == "settings" and isinstance(old := before.get(changed), dict):
        return f"settings: {', '.join(name for name, value in body[changed].items() if old.get(name, ...) != value)}"
    return _CALLED[changed] if changed else None


def open_render(out: Path) -> tuple[Settings, list[tuple[str, int]]]:
    """The settings of a rendered set and its whole folders, (factor, number). Raises UsageError.

    What it was made from must be here, and unchanged, so that its folders can be drawn again.
    """
    if not (out / _RECORD).is_file():
        raise UsageError(f"{out} holds no {_RECORD}; give the output of soundalike render")
    before = read_json(out / _RECORD)
    try:
        fields = dict(before["settings"])
        settings = Settings(**fields | {"soundfonts": tuple(fields["soundfonts"])})
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{out / _RECORD} is not a record of soundalike render; render into another folder") from error
    body = _body(settings, sources_of(settings.tunes, settings.grooves), orchestra_of(settings.soundfonts))
    if changed := _difference(before, body):
        raise UsageError(f"{out} was not made with the {changed} found here; use the same, or render it again")
    found = [
        (factor, number) for factor, number in _folders(out) if is_whole(folder_path(out, factor, number), settings)
    ]
    if not found:
        raise UsageError(f"{out} holds no whole folder; render some with: soundalike render -o {out} --folders N")
    return settings, found


def _folders(out: Path) -> Iterator[tuple[str, int]]:
    for factor in FACTORS:
        numbers = [path.name.removeprefix("triplets_") for path in (out / factor).glob("triplets_*")]
        for number in sorted(int(text) for text in numbers if text.isdigit()):
            yield factor, number


def write_split(out: Path, settings: Settings) -> None:
    """Which folders belong to which part, and the sources that each part was made from, as the folders tell."""
    folders: dict[str, set[str]] = {part: set() for part in SPLIT}
    used: dict[str, dict[str, set[str]]] = {
        part: {kind: set() for kind in ("melodies", "grooves", "progressions", "banks")} for part in SPLIT
    }
    for factor, number in _folders(out):
        place = folder_path(out, factor, number)
        if not is_whole(place, settings):
            continue
        meta = read_json(place / "triplet" / META)
        folders[meta["part"]].add(meta["folder"])
        mine = used[meta["part"]]
        for clip in meta["clips"].values():
            mine["melodies"].add(clip["melody"])
            mine["grooves"].add(clip["groove_source"])
            mine["progressions"].add(clip["progression"])
            mine["banks"] |= {sound.rpartition(" ")[0] for sound in clip["sounds"].values()}
    names = {
        part: sorted(found, key=lambda name: int(name.removeprefix("triplets_"))) for part, found in folders.items()
    }
    sources = {part: {kind: sorted(found) for kind, found in mine.items()} for part, mine in used.items()}
    write_json(out / _SPLIT_FILE, {**names, "sources": sources})
