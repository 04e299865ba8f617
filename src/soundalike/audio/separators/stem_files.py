"""Find the stem files that belong to a mix on disk, and the stem that each of them is part of.

Five layouts are known:

- MUSDB18-HQ: `mixture.wav` beside `vocals.wav`, `drums.wav`, `bass.wav` and `other.wav`.
- Slakh2100: `mix.flac` beside `metadata.yaml` and `stems/S00.flac`, by General MIDI program: piano 0 to 7, guitar 24 to
  31, bass 32 to 39, drums by their flag; the rest is "other", as are the residuals of the publications on it. A stem
  whose class is "Vocals" is vocals.
- MoisesDB: `data.json` beside a folder for each stem. Bowed strings, winds, percussion, other keys and other plucked
  instruments are "other".
- MedleyDB: `SONG_MIX.wav` beside `SONG_METADATA.yaml` and `SONG_STEMS/SONG_STEM_01.wav`, by instrument.
- Any other folder: files beside the mix that have the name of a stem, or all files in the folder `stems` beside it, or
  in a folder with the name of the mix. What comes before the first digit, space, hyphen or underscore names the stem;
  a file with another name is "other".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from soundalike.audio.datasets.slakh2100 import read_metadata, stem_class
from soundalike.audio.separators.base import STEMS
from soundalike.audio.suffixes import AUDIO_SUFFIXES
from soundalike.core.errors import AudioError

__all__ = ["find_stems"]

_SOURCES = STEMS[:-1]  # all but "accompaniment", which is the sum of others
_FIRST_WORD = re.compile(r"[a-z]+")
_WORDS = {
    "vocal": "vocals", "vox": "vocals", "voice": "vocals", "drum": "drums", "basses": "bass", "guitars": "guitar",
    "pianos": "piano", "residuals": "other",
}  # fmt: skip
_INSTRUMENTS = (  # of MedleyDB: the first pattern that is found in the name of an instrument
    ("vocals", re.compile(r"singer|vocal|vocalists|choir|rapper|screamer|beatbox")),
    ("drums", re.compile(r"drum|kick|snare|cymbal|hi-?hat|tom\b|toms\b")),
    ("bass", re.compile(r"electric bass|\bbass$|synth(esizer)? bass")),
    ("guitar", re.compile(r"guitar")),
    ("piano", re.compile(r"piano$")),
)
_REMEDY = "expected MUSDB18-HQ, Slakh2100, MoisesDB, MedleyDB, or files such as vocals.wav beside it or in stems/"


def find_stems(path: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the stem files that belong to a mix.

    Args:
        path: The mix, or for MoisesDB, which has none, the folder of the song.

    Returns:
        The files by stem, in the order of `STEMS`. They may be missing on disk, if a list names them.

    Raises:
        AudioError: There are none, or the file that lists them cannot be read.

    Example:
        >>> find_stems(Path("Track00001/mix.flac"))["drums"]
        (PosixPath('Track00001/stems/S03.flac'),)
    """
    folder = path if path.is_dir() else path.parent
    found: dict[str, list[Path]] = {}
    for stem, file in _listed(folder, path):
        found.setdefault(stem, []).append(file)
    if not found:
        raise AudioError(f"it has no stem files; {_REMEDY}")
    return {stem: tuple(found[stem]) for stem in _SOURCES if stem in found}


def _listed(folder: Path, path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the stem and path of every file, in the first layout that fits."""
    song = path.stem.removesuffix("_MIX")
    if (folder / "metadata.yaml").is_file():
        yield from _slakh(folder)
    elif (folder / "data.json").is_file():
        yield from _moises(folder)
    elif path.stem.endswith("_MIX") and (folder / f"{song}_METADATA.yaml").is_file():
        yield from _medley(folder, song)
    else:
        yield from _plain(folder, path)


def _slakh(folder: Path) -> Iterator[tuple[str, Path]]:
    for name, entry in sorted(_read_list(folder / "metadata.yaml").items()):
        if entry.get("audio_rendered", "true").lower() == "true":
            program = entry.get("program_num", "")
            stem = stem_class(
                int(program) if program.isdecimal() else -1,
                is_drum=entry.get("is_drum", "").lower() == "true",
                sung=entry.get("inst_class", "").lower() == "vocals",
            )
            yield _exact_stem(stem), _with_any_suffix(folder / "stems" / name)


def _with_any_suffix(file: Path) -> Path:
    """Return the file of this name with .flac or .wav, whichever exists."""
    wav = file.with_name(f"{file.name}.wav")
    return wav if wav.is_file() else file.with_name(f"{file.name}.flac")


def _moises(folder: Path) -> Iterator[tuple[str, Path]]:
    list_file = folder / "data.json"
    try:
        for stem in json.loads(list_file.read_bytes())["stems"]:
            for track in stem["tracks"]:
                name = f"{track['id']}.{track.get('extension', 'wav')}"
                yield _exact_stem(stem["stemName"]), folder / stem["stemName"] / name
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise AudioError(f"its list of stems {list_file} cannot be read ({why}); expected that of MoisesDB") from error


def _medley(folder: Path, song: str) -> Iterator[tuple[str, Path]]:
    for name, entry in sorted(_read_list(folder / f"{song}_METADATA.yaml").items()):
        instrument = entry.get("instrument", "").lower()
        stem = next((stem for stem, pattern in _INSTRUMENTS if pattern.search(instrument)), "other")
        file = entry.get("filename") or f"{song}_STEM_{name.removeprefix('S')}.wav"
        yield stem, folder / f"{song}_STEMS" / file


def _plain(folder: Path, path: Path) -> Iterator[tuple[str, Path]]:
    for below in (folder / "stems", folder / path.stem):
        if below.is_dir() and path != below and (files := _audio(below)):
            for file in files:
                yield _stem_of_name(file.stem) or "other", file
            return
    for file in _audio(folder):
        if file.stem.lower() in _SOURCES and file != path:
            yield file.stem.lower(), file


def _audio(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())


def _exact_stem(name: str) -> str:
    return name if name in _SOURCES else "other"


def _stem_of_name(name: str) -> str | None:
    """Return the stem that the first word of a name means, such as "vocals" of "Vox 2"."""
    word = _FIRST_WORD.match(name.lower())
    text = word[0] if word else ""
    return text if text in _SOURCES else _WORDS.get(text)


def _read_list(file: Path) -> dict[str, dict[str, str]]:
    """Return the entries of the stems of a YAML file. Raises AudioError if it cannot be read."""
    try:
        return read_metadata(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AudioError(f"its list of stems {file} cannot be read ({error})") from error
