"""The ground truth of a clip, as a JAMS file for programs and a MIDI file for listening and viewing.

JAMS is a JSON format for annotations (Humphrey et al., "JAMS: a JSON annotated music specification for reproducible MIR
research", 2014; https://jams.readthedocs.io). Its namespaces hold the notes, chords, key, beats and tempo. The file's
sandbox holds everything else that determines the clip. There is no `pitch_contour`: the lead is monophonic, so its
`note_midi` annotation is the melody, and a contour would repeat it less precisely.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundalike.core.errors import UsageError
from soundalike.core.files import read_json, write_atomic
from soundalike.render.score.music import (
    BAR,
    CHORDS,
    MODES,
    PULSE,
    ROLES,
    Band,
    Beat,
    Clip,
    Effects,
    Performance,
    Played,
    Role,
    Scene,
    Sound,
    SoundingChord,
)
from soundalike.render.score.smf import midi_file

__all__ = ["MAGIC", "ROOTS", "Truth", "read_truth", "write_truth"]

MAGIC, FORMAT = "soundalike-render", 1
ROOTS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")  # pitch classes in Harte's syntax

_JAMS_VERSION = "0.3.5"
_DIGITS = 4  # decimals of times in seconds


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of a clip.

    `tempo`, `offset`, `key`, `octave`, `level`, `seed`, `band` and `effects` are those of the `Scene`. `meter` and
    `mode` are those of its melody.

    Attributes:
        name: The name of the clip.
        seconds: The length of the clip.
        melody: The name of the work.
        setting: The name of the version of the work.
        progression: The name of the chord progression.
        groove: The name of the groove.
        groove_source: The drummer, or the pattern of the grammar.
        comp: The name of the comping style.
        bass: The name of the bass style.
        instruments: The name of the instrument of each role.
        parts: The notes of each role of `band`, in order of time. Times are rounded to 0.1 ms.
        chords: The chords. Times are rounded to 0.1 ms.
        beats: The pulses. Times are rounded to 0.1 ms.
        levels: Measured level of each part in dB relative to the sum of the others, rounded to 0.01. It is inf for a
            single part.
    """

    name: str
    seconds: float
    tempo: float
    offset: float
    key: int
    mode: str
    meter: str
    octave: int
    level: float
    seed: int
    melody: str
    setting: str
    progression: str
    groove: str
    groove_source: str
    comp: str
    bass: str
    band: Band
    instruments: Mapping[Role, str]
    effects: Effects
    parts: Mapping[Role, tuple[Played, ...]]
    chords: tuple[SoundingChord, ...]
    beats: tuple[Beat, ...]
    levels: Mapping[Role, float]


def write_truth(folder: Path, name: str, scene: Scene, clip: Clip, instruments: Mapping[Role, str]) -> None:
    """Write `<folder>/<name>.jams` and `<folder>/<name>.mid` atomically. The same scene gives the same bytes.

    Args:
        folder: An existing folder.
        name: The name of the clip.
        scene: The scene.
        clip: The rendered scene.
        instruments: The name of the instrument of each role.

    Raises:
        UsageError: A file cannot be written.

    Example:
        >>> write_truth(Path("truth"), "anchor", scene, clip, {"lead": "Flute (fluidr3 73)"})
    """
    jams = json.dumps(_jams(name, scene, clip, instruments), separators=(",", ":"), allow_nan=False).encode()
    midi = midi_file(name, scene, clip.performance, instruments)
    write_atomic(folder / f"{name}.jams", lambda file: file.write(jams))
    write_atomic(folder / f"{name}.mid", lambda file: file.write(midi))


def read_truth(path: Path) -> Truth:
    """Read the ground truth of a clip from a JAMS file that `write_truth` wrote.

    Raises:
        UsageError: The file is missing, is not the ground truth of a rendered clip, or is invalid.

    Example:
        >>> truth = read_truth(Path("triplets/melody/triplets_1/truth/anchor.jams"))
        >>> truth.meter, truth.key
        ('4/4', 2)
    """
    body = read_json(path)
    sandbox = body.get("sandbox") if isinstance(body, dict) else None
    if not isinstance(sandbox, dict) or sandbox.get("magic") != MAGIC:
        raise UsageError(
            f"{path} is not the ground truth of a rendered clip (no magic {MAGIC!r}); "
            "choose a .jams file that soundalike render wrote"
        )
    if sandbox.get("format") != FORMAT:
        raise UsageError(f"{path} has format {sandbox.get('format')!r}, expected {FORMAT}; render it again")
    try:
        return _truth(body)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} is invalid: {reason}; render it again") from error


# Writing ------------------------------------------------------------------------------------------------------------


def _jams(name: str, scene: Scene, clip: Clip, instruments: Mapping[Role, str]) -> dict[str, Any]:
    performance, band = clip.performance, scene.band
    annotations = [
        annotation
        for role in band.layout
        for annotation in _part(role, instruments[role], performance.parts[role], performance.seconds)
    ]
    meter, mode = scene.melody.meter, scene.melody.mode
    overall = (
        ("chord", [_span(c.start, c.end, f"{ROOTS[c.root]}:{c.kind}") for c in performance.chords]),
        ("key_mode", [_span(0.0, performance.seconds, f"{ROOTS[scene.key]}:{mode}")]),
        ("beat_position", _beat_positions(performance, meter)),
        # Beats per minute, with the same beats as above. In 6/8 they are dotted quarters.
        ("tempo", [_span(0.0, performance.seconds, scene.tempo / PULSE[meter], confidence=1.0)]),
    )
    annotations += [_annotation(namespace, data, performance.seconds) for namespace, data in overall]
    return {
        "file_metadata": {
            "title": name,
            "artist": "",
            "release": "",
            "duration": performance.seconds,
            "identifiers": {},
            "jams_version": _JAMS_VERSION,
        },
        "annotations": annotations,
        "sandbox": {
            "magic": MAGIC,
            "format": FORMAT,
            "tempo": scene.tempo,
            "offset": scene.offset,
            "key": scene.key,
            "mode": mode,
            "meter": meter,
            "octave": scene.octave,
            "level": scene.level,
            "seed": scene.seed,
            "melody": scene.melody.name,
            "setting": scene.melody.setting,
            "progression": scene.progression.name,
            "groove": scene.rhythm.groove.name,
            "groove_source": scene.rhythm.groove.source,
            "comp": scene.rhythm.comp,
            "bass": scene.rhythm.bass,
            "band": asdict(band),
            "instruments": {role: instruments[role] for role in band.layout},
            "effects": asdict(scene.effects),
            # JSON cannot represent infinity.
            "levels": {
                role: None if math.isinf(level) else round(float(level), 2) for role, level in clip.levels.items()
            },
        },
    }


def _part(role: Role, instrument: str, notes: Iterable[Played], seconds: float) -> list[dict[str, Any]]:
    """Return the annotations of a part: its notes and, for drums, the onsets of all strokes."""
    played = sorted(notes, key=lambda note: note.start)
    sandbox = {"role": role, "velocities": [note.velocity for note in played]}
    data = [_span(note.start, note.end, note.note) for note in played]
    found = [_annotation("note_midi", data, seconds, instrument, sandbox)]
    if role == "drums":
        strokes = sorted({round(note.start, _DIGITS) for note in played})
        onsets = [_span(start, start, None) for start in strokes]
        found.append(_annotation("onset", onsets, seconds, instrument, {"role": role}))
    return found


def _beat_positions(performance: Performance, meter: str) -> list[dict[str, Any]]:
    """Return the beats as positions in units of the meter's denominator (1 and 4 in 6/8).

    Measure 0 is before the first bar line.
    """
    numerator, denominator = map(int, meter.split("/"))
    step = round(PULSE[meter] * denominator / 4)
    found, measure = [], 0
    for beat in performance.beats:
        measure += beat.place == 1
        position = 1 + step * (beat.place - 1)
        value = {"position": position, "measure": measure, "num_beats": numerator, "beat_units": denominator}
        found.append(_span(beat.time, beat.time, value))
    return found


def _annotation(
    namespace: str,
    data: list[dict[str, Any]],
    seconds: float,
    source: str = "",
    sandbox: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "annotation_metadata": {
            "data_source": source or "synthesis",
            "annotation_tools": "soundalike render",
            "annotator": {},
        },
        "data": data,
        "sandbox": sandbox or {},
        "time": 0.0,
        "duration": seconds,
    }


def _span(start: float, end: float, value: Any, confidence: float | None = None) -> dict[str, Any]:
    # Start and end are rounded rather than start and duration, so that adjacent spans remain adjacent.
    first, last = round(start, _DIGITS), round(end, _DIGITS)
    return {"time": first, "duration": round(last - first, _DIGITS), "value": value, "confidence": confidence}


# Reading ------------------------------------------------------------------------------------------------------------


def _truth(body: Mapping[str, Any]) -> Truth:
    facts, metadata = body["sandbox"], body["file_metadata"]
    meter, mode, key = _one_of(facts["meter"], BAR), _one_of(facts["mode"], MODES), _integer(facts["key"])
    if not 0 <= key < len(ROOTS):
        raise ValueError(f"the key is {key}, expected 0 to 11")
    band = _band(facts["band"])
    parts: dict[Role, tuple[Played, ...]] = {}
    chords: tuple[SoundingChord, ...] = ()
    beats: tuple[Beat, ...] = ()
    for annotation in body["annotations"]:
        namespace, data = annotation["namespace"], annotation["data"]
        if namespace == "note_midi":
            role = _role(annotation["sandbox"]["role"])
            parts[role] = _notes(data, annotation["sandbox"]["velocities"])
        elif namespace == "chord":
            chords = tuple(_chord(row) for row in data)
        elif namespace == "beat_position":
            beats = tuple(_beat(row, meter) for row in data)
    if set(parts) != set(band.layout):
        raise ValueError(f"it has notes for {_join(parts)}, but the band is {_join(band.layout)}")
    return Truth(
        name=_text(metadata["title"]),
        seconds=_number(metadata["duration"]),
        tempo=_number(facts["tempo"]),
        offset=_number(facts["offset"]),
        key=key,
        mode=mode,
        meter=meter,
        octave=_integer(facts["octave"]),
        level=_number(facts["level"]),
        seed=_integer(facts["seed"]),
        melody=_text(facts["melody"]),
        setting=_text(facts["setting"]),
        progression=_text(facts["progression"]),
        groove=_text(facts["groove"]),
        groove_source=_text(facts["groove_source"]),
        comp=_text(facts["comp"]),
        bass=_text(facts["bass"]),
        band=band,
        instruments={_role(role): _text(text) for role, text in facts["instruments"].items()},
        effects=_effects(facts["effects"]),
        parts=parts,
        chords=chords,
        beats=beats,
        levels={_role(role): math.inf if level is None else _number(level) for role, level in facts["levels"].items()},
    )


def _notes(data: list[Mapping[str, Any]], velocities: list[Any]) -> tuple[Played, ...]:
    return tuple(
        Played(*_times(row), _integer(row["value"]), _integer(velocity))
        for row, velocity in zip(data, velocities, strict=True)
    )


def _chord(row: Mapping[str, Any]) -> SoundingChord:
    root, _, kind = _text(row["value"]).partition(":")
    return SoundingChord(*_times(row), ROOTS.index(_one_of(root, ROOTS)), _one_of(kind, CHORDS))


def _beat(row: Mapping[str, Any], meter: str) -> Beat:
    step = round(PULSE[meter] * int(meter.split("/")[1]) / 4)
    return Beat(_times(row)[0], (_integer(row["value"]["position"]) - 1) // step + 1)


def _band(body: Mapping[str, Any]) -> Band:
    return Band(
        _sound(body["lead"]),
        _sound(body["comp"]),
        _sound(body["bass"]),
        _sound(body["drums"]),
        lead_db=_number(body["lead_db"]),
        drums_db=_number(body["drums_db"]),
        bass_db=_number(body["bass_db"]),
        room=_number(body["room"]),
    )


def _sound(body: Mapping[str, Any] | None) -> Sound | None:
    return None if body is None else Sound(_text(body["bank"]), _integer(body["program"]))


def _effects(body: Mapping[str, Any]) -> Effects:
    def optional(name: str) -> float | None:
        return None if body[name] is None else _number(body[name])

    return Effects(
        tilt_db=_number(body["tilt_db"]),
        highpass=optional("highpass"),
        lowpass=optional("lowpass"),
        squash=_number(body["squash"]),
        hiss_db=optional("hiss_db"),
        codec=None if body["codec"] is None else _text(body["codec"]),
        quality=_number(body["quality"]),
    )


def _times(row: Mapping[str, Any]) -> tuple[float, float]:
    start = _number(row["time"])
    return start, round(start + _number(row["duration"]), _DIGITS)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is not a number")
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r:.40} is not an integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not a string")
    return value


def _one_of(value: Any, known: Iterable[str]) -> str:
    if value not in (names := tuple(known)):
        raise ValueError(f"{value!r:.40} is not one of {', '.join(names)}")
    return str(value)


def _role(value: Any) -> Role:
    for role in ROLES:
        if role == value:
            return role
    raise ValueError(f"{value!r:.40} is not one of {', '.join(ROLES)}")


def _join(roles: Iterable[Role]) -> str:
    return ", ".join(roles) or "no role"
