"""Sampled drum kits in the format of the Hydrogen drum machine: a folder with drumkit.xml and the samples it names.

Only kits are offered whose own file says that they are under CC0 or CC BY, so that what is rendered with them may be
passed on. Debian's copyright list agrees with the files of its package hydrogen-drumkits on these.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundalike.core.errors import AudioError, UsageError, one_line
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Played
from soundalike.render.sound.percussion import DRUMS, play_strokes
from soundalike.render.sound.synthesis import RATE, without_rumble

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Instrument", "Kit", "Layer", "find_kits", "kit_problems", "read_kit"]

_SYSTEM = Path("/usr/share/hydrogen/data/drumkits")  # where Debian's package hydrogen-drumkits puts them

# What a kit's licence may say, and what it may not say beside that.
_LICENCES = {
    "CC0": r"\bcc[- ]?(0|zero)\b|creative commons (0|zero)\b|publicdomain/zero",
    "CC BY": r"\bcc[- ]?by\b|\battribution\b|licenses/by/",
}
_RESTRICTED = r"gpl|general public|share[- ]?alike|\bsa\b|commercial|\bnc\b|deriv|\bnd\b"

# What an instrument is called. The first pattern found in its name, in small letters, says what it is.
_HAT = r"hi[- ]?hat|\bhats?\b|\b[co]?hh\b"
_PIECES = {
    "kick": r"kick|bass ?drum|\bbd\b",
    "clap": r"clap",
    "rim": r"stick|rim ?click|\brim\b",
    "pedal hat": rf"(?=.*({_HAT})).*(pedal|foot|\bpd\b)",
    "open hat": rf"(?=.*({_HAT})).*(open|\bop\b|\bohh\b)",
    "closed hat": _HAT,
    "snare": r"snare|\bsd\b",
    "low tom": r"(?=.*\btom).*(low|floor)|\btom ?l\b",
    "high tom": r"(?=.*\btom).*hi",
    "middle tom": r"\btom",
    "ride bell": r"(?=.*ride).*(bell|cup)",
    "ride": r"ride",
    "splash": r"splash",
    "china": r"\bchin",
    "crash": r"crash|cymbal",
    "cowbell": r"cow ?bell",
    "agogo": r"agogo",
    "tambourine": r"tambourin",
    "shaker": r"shaker|maraca|cabasa",
    "conga": r"conga",
    "bongo": r"bongo",
    "timbale": r"timbale",
    "claves": r"clave",
    "wood block": r"wood ?block",
    "triangle": r"triangle",
}
# What plays each General MIDI percussion note: the first of these that the kit has. Whistles, scrapers, cuicas and
# the vibraslap sound like nothing else, so they stay silent.
_PLAYERS: Mapping[int, tuple[str, ...]] = {
    **dict.fromkeys((35, 36), ("kick",)),
    37: ("rim", "wood block", "claves", "snare"),
    **dict.fromkeys((38, 40), ("snare",)),
    39: ("clap", "rim", "snare"),
    **dict.fromkeys((41, 43), ("low tom", "middle tom", "high tom", "kick")),
    42: ("closed hat", "pedal hat"),
    44: ("pedal hat", "closed hat"),
    **dict.fromkeys((45, 47), ("middle tom", "low tom", "high tom", "snare")),
    46: ("open hat", "closed hat", "pedal hat"),
    **dict.fromkeys((48, 50), ("high tom", "middle tom", "low tom", "snare")),
    **dict.fromkeys((49, 57), ("crash", "china", "splash", "ride", "open hat")),
    **dict.fromkeys((51, 59), ("ride", "ride bell", "crash", "closed hat")),
    52: ("china", "crash", "ride", "open hat"),
    53: ("ride bell", "ride", "cowbell", "crash"),
    54: ("tambourine", "shaker", "closed hat", "pedal hat"),
    55: ("splash", "crash", "china", "open hat"),
    56: ("cowbell", "agogo", "ride bell"),
    **dict.fromkeys((60, 61), ("bongo", "conga", "high tom")),
    62: ("conga", "bongo", "high tom"),
    63: ("conga", "bongo", "middle tom"),
    64: ("conga", "bongo", "low tom"),
    65: ("timbale", "high tom"),
    66: ("timbale", "middle tom"),
    **dict.fromkeys((67, 68), ("agogo", "cowbell", "ride bell")),
    **dict.fromkeys((69, 70), ("shaker", "tambourine", "closed hat")),
    75: ("claves", "wood block", "rim"),
    **dict.fromkeys((76, 77), ("wood block", "claves", "rim")),
    **dict.fromkeys((80, 81), ("triangle", "ride bell")),
}
_SECONDS = frozenset({35, 40, 57, 59})  # the kit's second kick, snare, crash and ride, where it has two
_NEEDED = {36: "bass drum", 38: "snare", 42: "hi-hat"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A sample for strokes of velocity `low` to `high` (0 to 1), played at `gain` and `pitch` semitones higher."""

    path: Path
    low: float
    high: float
    gain: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Instrument:
    """A drum of a kit: its samples from soft to loud."""

    name: str
    layers: tuple[Layer, ...]

    def layer(self, velocity: float) -> Layer:
        """The sample for a stroke of a velocity from 0 to 1: the nearest where there is a gap."""
        return min(self.layers, key=lambda layer: max(layer.low - velocity, velocity - layer.high, 0.0))


@dataclass(frozen=True, slots=True)
class Kit:
    """A drum kit: `instruments` are what plays the General MIDI percussion notes from 35 to 81, None what none plays.

    `licence` is "CC0" or "CC BY", `author` whom the latter asks to credit. Samples are read when they are first played.
    """

    name: str
    path: Path
    licence: str
    author: str
    instruments: tuple[Instrument | None, ...]

    def play(self, notes: Sequence[Played], seconds: float) -> FloatArray:
        """(t,) float32 mono at 44.1 kHz, `seconds` long. Strokes ring out, but for open hi-hats that are closed.

        Raises UsageError for what is not a General MIDI percussion note, AudioError if a sample cannot be read.
        """
        return without_rumble(play_strokes(notes, seconds, self._stroke))

    def _stroke(self, drum: int, velocity: int) -> FloatArray | None:
        instrument = self.instruments[drum - min(DRUMS)]
        if instrument is None:
            return None
        layer = instrument.layer(velocity / 127)
        return _sample(layer.path, layer.pitch) * np.float32(layer.gain * velocity / 127)


def find_kits(folders: Sequence[Path] | None = None) -> tuple[Kit, ...]:
    """The usable kits among the subfolders of `folders`, by name; of two with the same name the first.

    By default those of $SOUNDALIKE_SOUNDFONTS and of Debian's package hydrogen-drumkits. What was left out, and why,
    is what `kit_problems` says.
    """
    found: dict[str, Kit] = {}
    for kit in _read_all(folders):
        if isinstance(kit, Kit):
            found.setdefault(kit.name, kit)
    return tuple(found[name] for name in sorted(found))


def kit_problems(folders: Sequence[Path] | None = None) -> tuple[str, ...]:
    """One line for every kit among the subfolders of `folders` that `find_kits` leaves out: which and why."""
    return tuple(str(kit) for kit in _read_all(folders) if isinstance(kit, UsageError))


def read_kit(folder: Path) -> Kit:
    """The kit in a folder.

    Raises UsageError if drumkit.xml is damaged, its licence is neither CC0 nor CC BY, the kit lacks a bass drum, snare
    or hi-hat, or a sample is missing or not audio.
    """
    from xml.etree import ElementTree

    where = one_line(folder)
    try:
        root = ElementTree.parse(folder / "drumkit.xml").getroot()
    except OSError as error:
        raise UsageError(f"the drum kit {where} cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UsageError(f"the drum kit {where} is damaged: drumkit.xml is not XML ({error})") from error
    declared = " ".join((_text(root, "license") or _text(root, "licence")).split())
    licence = _licence(declared)
    if licence is None:
        said = f"under {one_line(declared)!r}" if declared else "under an unknown licence"
        raise UsageError(f"the drum kit {where} is {said}, expected CC0 or CC BY; leave it out")
    try:
        pieces = _pieces(root, folder)
    except ValueError as error:
        raise UsageError(f"the drum kit {where} is damaged: {error}") from error
    instruments = tuple(_player(drum, pieces) for drum in sorted(DRUMS))
    for drum, needed in _NEEDED.items():
        if instruments[drum - min(DRUMS)] is None:
            raise UsageError(f"the drum kit {where} has no {needed}, which every groove needs; leave it out")
    for path in sorted({layer.path for one in instruments if one for layer in one.layers}):
        _check_sample(path, where)
    name = _text(root, "name") or folder.name
    return Kit(name, folder, licence, _text(root, "author"), instruments)


def _read_all(folders: Sequence[Path] | None) -> Iterator[Kit | UsageError]:
    if folders is None:
        own = os.environ.get("SOUNDALIKE_SOUNDFONTS", "").split(os.pathsep)
        folders = [*(Path(folder) for folder in own if folder), _SYSTEM]
    for folder in folders:
        for description in sorted(folder.glob("*/drumkit.xml")):
            try:
                yield read_kit(description.parent)
            except UsageError as error:
                yield error


def _licence(declared: str) -> str | None:
    text = declared.lower()
    if re.search(_RESTRICTED, text):
        return None
    return next((name for name, pattern in _LICENCES.items() if re.search(pattern, text)), None)


def _pieces(root: Element, folder: Path) -> dict[str, list[Instrument]]:
    """The instruments by what they are. Raises ValueError on a damaged number."""
    pieces: dict[str, list[Instrument]] = {}
    for element in root.findall(".//{*}instrument"):
        name = _text(element, "name")
        piece = next((piece for piece, pattern in _PIECES.items() if re.search(pattern, name.lower())), None)
        layers = tuple(_layers(element, folder))
        if piece and layers and _text(element, "isMuted") != "true":
            pieces.setdefault(piece, []).append(Instrument(name, layers))
    return pieces


def _layers(element: Element, folder: Path) -> Iterator[Layer]:
    volume = _number(element, "volume", 1.0) * _number(element, "gain", 1.0)
    # The oldest kits have one sample for each instrument, and no layers.
    for layer in element.findall(".//{*}layer") or [element]:
        if filename := _text(layer, "filename"):
            gain = volume * (_number(layer, "gain", 1.0) if layer is not element else 1.0)
            low, high = _number(layer, "min", 0.0), _number(layer, "max", 1.0)
            yield Layer(folder / filename, low, high, gain, _number(layer, "pitch", 0.0))


def _player(drum: int, pieces: Mapping[str, Sequence[Instrument]]) -> Instrument | None:
    found: Sequence[Instrument] = next((pieces[piece] for piece in _PLAYERS.get(drum, ()) if piece in pieces), ())
    return found[min(int(drum in _SECONDS), len(found) - 1)] if found else None


def _text(element: Element, tag: str) -> str:
    return (element.findtext(f"{{*}}{tag}") or "").strip()


def _number(element: Element, tag: str, default: float) -> float:
    text = _text(element, tag)
    number = float(text) if text else default
    if not math.isfinite(number):
        raise ValueError(f"{tag} is {text}, expected a number")
    return number


def _check_sample(path: Path, kit: str) -> None:
    import soundfile

    try:
        if soundfile.info(path).frames > 0:
            return
    except soundfile.LibsndfileError as error:
        what = "is not audio" if path.is_file() else "is missing"
        raise UsageError(f"the drum kit {kit} is damaged: its sample {one_line(path.name)} {what}") from error
    raise UsageError(f"the drum kit {kit} is damaged: its sample {one_line(path.name)} is empty")


@functools.lru_cache(maxsize=512)
def _sample(path: Path, pitch: float) -> FloatArray:
    """(t,) float32 mono at 44.1 kHz, from where it starts to sound: what is late here would be late in every bar."""
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"the drum sample {one_line(path)} cannot be read; reinstall the kit") from error
    mono = soxr.resample(samples.mean(axis=1), rate * 2 ** (pitch / 12), RATE)
    level = np.abs(mono)
    first = int(np.argmax(level > 0.01 * level.max())) if len(level) else 0
    sound: FloatArray = mono[max(first - RATE // 1000, 0) :]
    sound.flags.writeable = False  # shared by all who play it
    return sound
