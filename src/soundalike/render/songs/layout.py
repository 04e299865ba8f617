"""Songs on disk: the layout of Slakh2100, the record of a set, and its split."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.files import foreign_files, read_json, write_json
from soundalike.render.folders.record import record_difference
from soundalike.render.score.music import SPLIT, SplitPart
from soundalike.render.score.smf import MidiPart, song_midi
from soundalike.render.score.truth import ROOTS
from soundalike.render.songs.instruments import role_of
from soundalike.render.songs.mixdown import RATE, Mixdown
from soundalike.render.songs.playing import SongPerformance
from soundalike.render.songs.settings import SongSettings
from soundalike.render.songs.song import Part, Song
from soundalike.render.sound.general_midi import DRUM_PROGRAM, INSTRUMENT_NAMES, family_name
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sources.load import Sources

__all__ = ["RECORD", "TRUTH", "is_complete", "track_path", "write_record", "write_split", "write_track"]

RECORD, TRUTH = "songs.json", "song.json"

_VERSION = 1  # increase it when the same settings give other songs
_SPLIT_FILE = "split.json"
_DIGITS = 4  # decimals of times in seconds
_DRUM_CHANNEL = 9


def track_path(out: Path, part: SplitPart, number: int) -> Path:
    """Return the folder of a song.

    Example:
        >>> track_path(Path("songs"), "train", 7).as_posix()
        'songs/train/Track00007'
    """
    return out / part / f"Track{number:05d}"


def is_complete(place: Path) -> bool:
    """Return whether the folder of a song holds all of its files at full length.

    A run that was killed leaves no incomplete folder under its final name, but files may be lost or truncated later.
    """
    import soundfile

    try:
        truth = json.loads((place / TRUTH).read_bytes())
        frames, names = int(truth["frames"]), list(truth["stems"])
        files = [place / "metadata.yaml", place / "all_src.mid", *(place / "MIDI" / f"{name}.mid" for name in names)]
        if not names or not all(file.stat().st_size for file in files):
            return False
        for path in (place / "mix.flac", *(place / "stems" / f"{name}.flac" for name in names)):
            with soundfile.SoundFile(path) as file:
                if (file.frames, file.samplerate, file.channels) != (frames, RATE, 1):
                    return False
                file.seek(frames - 1)  # the header of a truncated file may still state the full length
                if len(file.read(1)) != 1:
                    return False
    except (OSError, ValueError, KeyError, TypeError, soundfile.LibsndfileError):
        return False
    return True


# Writing a song ------------------------------------------------------------------------------------------------------


def write_track(
    place: Path, song: Song, performance: SongPerformance, mixdown: Mixdown, orchestra: Orchestra, attempt: int
) -> None:
    """Write the folder of a song. It appears under its name when it is complete.

    Args:
        place: The folder. An incomplete one is replaced.
        song: The song.
        performance: What is played.
        mixdown: Stems and mix.
        orchestra: It describes the sounds.
        attempt: The number of rejected drafts before this one.

    Raises:
        UsageError: A file cannot be written.

    Example:
        >>> write_track(track_path(out, song.part, song.number), song, performance, mixdown, orchestra, attempt=0)
    """
    import soundfile

    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for folder in ("stems", "MIDI"):
            (partial / folder).mkdir(parents=True)
        soundfile.write(partial / "mix.flac", mixdown.mix, RATE, "PCM_16")
        tracks = []
        for number, part in enumerate(song.parts):
            soundfile.write(partial / "stems" / f"{part.name}.flac", mixdown.stems[part.name].samples, RATE, "PCM_16")
            track = _midi_part(part, number, performance, orchestra)
            (partial / "MIDI" / f"{part.name}.mid").write_bytes(_midi(song, part.name, [track]))
            tracks.append(track)
        (partial / "all_src.mid").write_bytes(_midi(song, place.name, tracks))
        (partial / "metadata.yaml").write_text(_yaml(_metadata(song, mixdown, orchestra)), encoding="utf-8")
        truth = _truth(song, performance, mixdown, orchestra, attempt)
        (partial / TRUTH).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    except (OSError, soundfile.LibsndfileError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = error.strerror or error if isinstance(error, OSError) else error.error_string
        raise UsageError(f"cannot write {place}: {reason}; free some disk space or give another -o") from error


def _midi_part(part: Part, number: int, performance: SongPerformance, orchestra: Orchestra) -> MidiPart:
    drums = part.program == DRUM_PROGRAM
    channel = _DRUM_CHANNEL if drums else number + (number >= _DRUM_CHANNEL)
    program = None if drums else part.program
    name = orchestra.describe(part.sound, role_of(part.function))
    return MidiPart(f"{part.name} {name}", channel % 16, program, performance.parts[part.name])


def _midi(song: Song, name: str, tracks: list[MidiPart]) -> bytes:
    return song_midi(
        name, tracks, tempo=song.tempo, meter=song.meter, key=song.key, mode=song.mode, seconds=song.seconds
    )


def _metadata(song: Song, mixdown: Mixdown, orchestra: Orchestra) -> dict[str, Any]:
    """Return the contents of metadata.yaml, with the keys of Slakh2100."""
    stems = {}
    for part in song.parts:
        drums = part.program == DRUM_PROGRAM
        stems[part.name] = {
            "audio_rendered": True,
            "inst_class": "Vocals" if part.stem_class == "vocals" else family_name(part.program),
            "integrated_loudness": round(mixdown.stems[part.name].loudness, 2),
            "is_drum": drums,
            "midi_program_name": "Drums" if drums else INSTRUMENT_NAMES[part.program],
            "midi_saved": True,
            "plugin_name": orchestra.describe(part.sound, role_of(part.function)),
            "program_num": part.program,
        }
    identity = f"{song.part} {song.number} {song.seed}".encode()
    return {
        "UUID": hashlib.md5(identity, usedforsecurity=False).hexdigest(),
        "audio_dir": "stems",
        "lmd_midi_dir": "",
        "midi_dir": "MIDI",
        "normalization_factor": round(mixdown.loudness, 2),
        "normalized": True,
        "overall_gain": mixdown.gain,
        "stems": stems,
    }


def _yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Return nested mappings as YAML. Scalars are written as in JSON, of which YAML 1.2 is a superset."""
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines.append(f"{indent}{key}:\n{_yaml(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item)}\n")
    return "".join(lines)


def _truth(
    song: Song, performance: SongPerformance, mixdown: Mixdown, orchestra: Orchestra, attempt: int
) -> dict[str, Any]:
    """Return the contents of song.json: sections, chords, beats, sources and the mix."""
    themes = song.themes.items()
    return {
        "number": song.number,
        "part": song.part,
        "seed": song.seed,
        "attempt": attempt,
        "frames": len(mixdown.mix),
        "tempo": song.tempo,
        "meter": song.meter,
        "key": song.key,
        "mode": song.mode,
        "tunes": sorted({melody.name for _, theme in themes for melody in theme.melodies}),
        "grooves": {name: theme.groove.name for name, theme in themes},
        "drummers": sorted({theme.groove.source for _, theme in themes}),
        "progressions": {name: theme.progression.name for name, theme in themes},
        "sections": [
            {
                "kind": section.kind,
                "start": round(song.span(section)[0], _DIGITS),
                "end": round(song.span(section)[1], _DIGITS),
                "playing": sorted(section.playing),
            }
            for section in song.sections
        ],
        "stems": {
            part.name: {
                "class": part.stem_class,
                "function": part.function,
                "bank": part.sound.bank,
                "preset": part.sound.program,
                "sound": orchestra.describe(part.sound, role_of(part.function)),
                "octave": part.octave,
                "styles": dict(part.styles),
                "channel": asdict(part.channel),
                "runs": [[round(time, _DIGITS) for time in run] for run in performance.runs[part.name]],
            }
            for part in song.parts
        },
        "bus": {**asdict(song.bus), "limiting_db": round(mixdown.limiting_db, 2)},
        "loudness": round(mixdown.loudness, 2),
        "chords": [
            [round(chord.start, _DIGITS), round(chord.end, _DIGITS), f"{ROOTS[chord.root]}:{chord.kind}"]
            for chord in performance.chords
        ],
        "beats": [[round(beat.time, _DIGITS), beat.place] for beat in performance.beats],
    }


# The set -------------------------------------------------------------------------------------------------------------


def write_record(out: Path, settings: SongSettings, sources: Sources, orchestra: Orchestra) -> None:
    """Write songs.json, or check that an existing one matches.

    Args:
        out: The output folder of the set.
        settings: The settings of the set.
        sources: The material that its songs are drawn from.
        orchestra: The sounds that play them.

    Raises:
        UsageError: `out` holds songs of other settings, sources or sounds, or something else.

    Example:
        >>> write_record(Path("songs"), SongSettings(), sources, orchestra)
    """
    fields = asdict(settings)
    record = {
        "made_by": "soundalike render songs",
        "version": _VERSION,
        "settings": fields | {"seconds": list(settings.seconds), "soundfonts": list(settings.soundfonts)},
        "sources": {"digest": sources.digest, "credits": list(sources.credits)},
        "sounds": dict(orchestra.licences),
    }
    path = out / RECORD
    if not path.exists():
        if others := foreign_files(out):
            raise UsageError(f"{out} holds no songs but {others[0].name}; give an empty folder to -o")
        write_json(path, record)
    elif changed := record_difference(read_json(path), record):
        raise UsageError(
            f"{out} holds songs that were not made with the same {changed}; use the same, or give another -o"
        )


def write_split(out: Path) -> None:
    """Write split.json: the songs of each part of the split, and the sources that they were drawn from.

    Both are read from the song.json of every song in `out`.

    Example:
        >>> write_split(Path("songs"))
        >>> read_json(Path("songs/split.json"))["test"]
        ['Track00006', 'Track00016']
    """
    songs: dict[str, list[str]] = {part: [] for part in SPLIT}
    used: dict[str, dict[str, set[str]]] = {
        part: {kind: set() for kind in ("tunes", "drummers", "progressions", "sounds")} for part in SPLIT
    }
    for part, place in _tracks(out):
        truth = read_json(place / TRUTH)
        songs[part].append(place.name)
        used[part]["tunes"].update(truth["tunes"])
        used[part]["drummers"].update(truth["drummers"])
        used[part]["progressions"].update(truth["progressions"].values())
        used[part]["sounds"].update(f"{stem['bank']} {stem['preset']}" for stem in truth["stems"].values())
    sources = {part: {kind: sorted(found) for kind, found in kinds.items()} for part, kinds in used.items()}
    write_json(out / _SPLIT_FILE, {**songs, "sources": sources})


def _tracks(out: Path) -> Iterator[tuple[SplitPart, Path]]:
    for part in SPLIT:
        for place in sorted((out / part).glob("Track*")):
            if (place / TRUTH).is_file():
                yield part, place
