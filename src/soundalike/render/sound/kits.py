"""Sampled drum kits in the format of the Hydrogen drum machine: a folder with drumkit.xml and its samples.

A kit is used only if its own file declares CC0 or CC BY, so that rendered audio may be redistributed. For the kits of
Debian's package hydrogen-drumkits, these declarations agree with Debian's copyright file.
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

_SYSTEM = Path("/usr/share/hydrogen/data/drumkits")  # the folder of Debian's package hydrogen-drumkits

# Patterns of accepted licences, and of restrictions that exclude a kit.
_LICENCES = {
    "CC0": r"\bcc[- ]?(0|zero)\b|creative commons (0|zero)\b|publicdomain/zero",
    "CC BY": r"\bcc[- ]?by\b|\battribution\b|licenses/by/",
}
_RESTRICTED = r"gpl|general public|share[- ]?alike|\bsa\b|commercial|\bnc\b|deriv|\bnd\b"

# Patterns in the names of instruments, in lower case. The first match determines the piece.
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
# The pieces that can play each General MIDI percussion note, in order of preference. Whistles, scrapers, cuicas and the
# vibraslap have no substitute and remain silent.
_SUBSTITUTES: Mapping[int, tuple[str, ...]] = {
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
_SECOND_PIECES = frozenset({35, 40, 57, 59})  # notes for the second kick, snare, crash and ride, if the kit has them
_REQUIRED = {36: "bass drum", 38: "snare", 42: "hi-hat"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A sample for a range of velocities.

    Attributes:
        path: The audio file.
        low: Lowest velocity, 0 to 1.
        high: Highest velocity, 0 to 1.
        gain: Factor on the samples.
        pitch: Transposition in semitones.
    """

    path: Path
    low: float
    high: float
    gain: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument of a kit, with its samples."""

    name: str
    layers: tuple[Layer, ...]

    def layer(self, velocity: float) -> Layer:
        """Return the sample for a velocity from 0 to 1. If none covers the velocity, return the nearest."""
        return min(self.layers, key=lambda layer: max(layer.low - velocity, velocity - layer.high, 0.0))


@dataclass(frozen=True, slots=True)
class Kit:
    """A sampled drum kit. Samples are read when they are first played.

    Attributes:
        name: The name of the kit.
        path: The folder of the kit.
        licence: "CC0" or "CC BY".
        author: The author to credit.
        instruments: The instrument for each General MIDI percussion note from 35 to 81. None if there is none.

    Example:
        >>> kit = find_kits()[0]
        >>> samples = kit.play([Played(0.0, 0.1, 36, 100)], seconds=1.0)
    """

    name: str
    path: Path
    licence: str
    author: str
    instruments: tuple[Instrument | None, ...]

    def play(self, notes: Sequence[Played], seconds: float) -> FloatArray:
        """Play a drum part. Strokes ring out, except that a closed hi-hat stops the open one.

        Args:
            notes: The strokes, as General MIDI percussion notes.
            seconds: The length of the result.

        Returns:
            (t,) float32 mono samples at 44.1 kHz.

        Raises:
            UsageError: A note is not a General MIDI percussion note.
            AudioError: A sample cannot be read.
        """
        return without_rumble(play_strokes(notes, seconds, self._stroke))

    def _stroke(self, drum: int, velocity: int) -> FloatArray | None:
        instrument = self.instruments[drum - min(DRUMS)]
        if instrument is None:
            return None
        layer = instrument.layer(velocity / 127)
        return _sample(layer.path, layer.pitch) * np.float32(layer.gain * velocity / 127)


def find_kits(folders: Sequence[Path] | None = None) -> tuple[Kit, ...]:
    """Find the usable kits in the subfolders of some folders.

    Args:
        folders: The folders. The default is the folders of `$SOUNDALIKE_SOUNDFONTS` and of Debian's package
            hydrogen-drumkits.

    Returns:
        The kits, sorted by name. If two have the same name, the first is used. `kit_problems` lists the others.

    Example:
        >>> [kit.name for kit in find_kits()]
    """
    found: dict[str, Kit] = {}
    for kit in _read_all(folders):
        if isinstance(kit, Kit):
            found.setdefault(kit.name, kit)
    return tuple(found[name] for name in sorted(found))


def kit_problems(folders: Sequence[Path] | None = None) -> tuple[str, ...]:
    """Return one line per kit that `find_kits` cannot use, with the reason.

    Example:
        >>> for problem in kit_problems():
        ...     print(problem)
    """
    return tuple(str(kit) for kit in _read_all(folders) if isinstance(kit, UsageError))


def read_kit(folder: Path) -> Kit:
    """Read a kit.

    Args:
        folder: The folder with drumkit.xml.

    Raises:
        UsageError: drumkit.xml is missing or invalid, its licence is neither CC0 nor CC BY, the kit lacks a bass drum,
            snare or hi-hat, or a sample is missing or not audio.

    Example:
        >>> kit = read_kit(Path("/usr/share/hydrogen/data/drumkits/GMRockKit"))
    """
    from xml.etree import ElementTree

    where = one_line(folder)
    try:
        root = ElementTree.parse(folder / "drumkit.xml").getroot()
    except OSError as error:
        raise UsageError(f"the drum kit {where} cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UsageError(f"the drum kit {where} is invalid: drumkit.xml is not XML ({error})") from error
    declared = " ".join((_text(root, "license") or _text(root, "licence")).split())
    licence = _licence(declared)
    if licence is None:
        found = f"has the licence {one_line(declared)!r}" if declared else "declares no licence"
        raise UsageError(f"the drum kit {where} {found}, expected CC0 or CC BY; leave it out")
    try:
        pieces = _pieces(root, folder)
    except ValueError as error:
        raise UsageError(f"the drum kit {where} is invalid: {error}") from error
    instruments = tuple(_find_instrument(drum, pieces) for drum in sorted(DRUMS))
    for drum, required in _REQUIRED.items():
        if instruments[drum - min(DRUMS)] is None:
            raise UsageError(f"the drum kit {where} has no {required}, which every groove needs; leave it out")
    for path in sorted({layer.path for instrument in instruments if instrument for layer in instrument.layers}):
        _check_sample(path, where)
    name = _text(root, "name") or folder.name
    return Kit(name, folder, licence, _text(root, "author"), instruments)


def _read_all(folders: Sequence[Path] | None) -> Iterator[Kit | UsageError]:
    if folders is None:
        listed = os.environ.get("SOUNDALIKE_SOUNDFONTS", "").split(os.pathsep)
        folders = [*(Path(folder) for folder in listed if folder), _SYSTEM]
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
    """Return the instruments of each piece. Raises ValueError if a number is invalid."""
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
    # The oldest kits have one sample per instrument and no layers.
    for layer in element.findall(".//{*}layer") or [element]:
        if filename := _text(layer, "filename"):
            gain = volume * (_number(layer, "gain", 1.0) if layer is not element else 1.0)
            low, high = _number(layer, "min", 0.0), _number(layer, "max", 1.0)
            yield Layer(folder / filename, low, high, gain, _number(layer, "pitch", 0.0))


def _find_instrument(drum: int, pieces: Mapping[str, Sequence[Instrument]]) -> Instrument | None:
    found: Sequence[Instrument] = next((pieces[piece] for piece in _SUBSTITUTES.get(drum, ()) if piece in pieces), ())
    return found[min(int(drum in _SECOND_PIECES), len(found) - 1)] if found else None


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
        problem = "is not audio" if path.is_file() else "is missing"
        raise UsageError(f"the drum kit {kit} is invalid: its sample {one_line(path.name)} {problem}") from error
    raise UsageError(f"the drum kit {kit} is invalid: its sample {one_line(path.name)} is empty")


@functools.lru_cache(maxsize=512)
def _sample(path: Path, pitch: float) -> FloatArray:
    """Read a sample as (t,) float32 mono at 44.1 kHz. Leading silence is removed, or every stroke would be late."""
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
    sound.flags.writeable = False  # the cached array is shared
    return sound
