"""Draw songs: themes, instruments, form and mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.render.folders.stock import Stock
from soundalike.render.score.music import BAR, CHORDS, Groove, Melody, Progression, Rhythm
from soundalike.render.score.styles import bass_styles, comp_styles
from soundalike.render.songs.form import Voice, count_bars, draw_form
from soundalike.render.songs.instruments import Instrument, Instruments
from soundalike.render.songs.song import Bus, Channel, Function, Part, Song, StemClass, Theme, ThemeName
from soundalike.render.sources.grooves import performance_of
from soundalike.render.sources.melodies import excerpt, thin

__all__ = ["TAIL", "draw_song"]

TAIL = 2.0
"""Seconds of a song after its last bar, in which the sounds die away."""

_STREAM = 77  # random stream of the seed of a set
_THEMES: tuple[ThemeName, ...] = ("verse", "chorus", "bridge")
_VARIATIONS = 2  # of each melody, besides itself
_PROGRESSIONS = 6  # from which the one that fits a melody best is chosen
_PHRASE = 8  # bars of a melody

# Level in dB, lowest and highest cutoff in Hz, reverberation, and widest position of each function and class.
_CHANNELS: Mapping[str, tuple[float, tuple[float, float], tuple[float, float], float]] = {
    "drums": (0.0, (25.0, 40.0), (0.03, 0.25), 0.0),
    "bass": (-2.0, (25.0, 40.0), (0.0, 0.0), 0.0),
    "piano": (-6.0, (40.0, 150.0), (0.05, 0.35), 0.6),
    "guitar": (-5.0, (70.0, 150.0), (0.02, 0.3), 0.9),
    "vocals": (0.5, (80.0, 140.0), (0.1, 0.4), 0.0),
    "lead": (-1.5, (60.0, 150.0), (0.1, 0.4), 0.4),
    "residuals": (-8.0, (60.0, 250.0), (0.1, 0.5), 0.8),
}


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place in the band: what is played, and by which class of instrument."""

    function: Function
    stem_class: StemClass


def draw_song(
    stock: Stock, instruments: Instruments, number: int, seed: int, seconds: tuple[float, float], attempt: int = 0
) -> Song:
    """Draw a song. The same arguments and material give the same song.

    Args:
        stock: The material of one part of the split.
        instruments: The instruments of the same part.
        number: The number of the song, from 1.
        seed: The seed of the set.
        seconds: Shortest and longest length in seconds.
        attempt: The number of rejected drafts of this song. Every attempt gives another song.

    Raises:
        UsageError: The stock has too little material.

    Example:
        >>> song = draw_song(stock, instruments, number=1, seed=7, seconds=(60.0, 180.0))
        >>> [section.kind for section in song.sections][:3]
        ['intro', 'verse', 'chorus']
    """
    rng = np.random.default_rng([seed, _STREAM, number, attempt])
    pairs = [stock.meter_and_mode(rng) for _ in range(2)]
    meter, mode = next((pair for pair in pairs if pair[0] == "4/4"), pairs[0])
    rhythm = stock.rhythm(rng, meter)
    length = float(rng.uniform(*seconds))
    bars, unit = count_bars(length - TAIL, BAR[meter] * 60 / stock.tempo(rng, rhythm.groove))
    tempo = bars * BAR[meter] * 60 / (length - TAIL)
    themes = _draw_themes(rng, stock, meter, mode, rhythm, tempo)
    parts = _draw_parts(rng, instruments, meter)
    return Song(
        number=number,
        part=stock.part,
        seed=int(rng.integers(2**31)),
        seconds=length,
        tempo=tempo,
        key=int(rng.integers(12)),
        meter=meter,
        mode=mode,
        parts=parts,
        themes=themes,
        sections=draw_form(rng, bars, unit, [Voice(part.name, part.function) for part in parts]),
        bus=Bus(
            room=float(rng.uniform(0.1, 0.7)),
            ratio=float(rng.uniform(1.2, 3.0)),
            loudness=float(rng.uniform(-20.0, -11.0)),
            fades=bool(rng.random() < 0.25),
        ),
    )


# Themes --------------------------------------------------------------------------------------------------------------


def _draw_themes(
    rng: np.random.Generator, stock: Stock, meter: str, mode: str, rhythm: Rhythm, tempo: float
) -> dict[ThemeName, Theme]:
    melodies = _draw_melodies(rng, stock, meter, mode)
    grooves = _draw_grooves(rng, stock, rhythm.groove, tempo)
    themes: dict[ThemeName, Theme] = {}
    for name, melody in zip(_THEMES, melodies, strict=True):
        others = [theme.progression for theme in themes.values()]
        candidates = [stock.progression(rng, meter, mode, unlike=others) for _ in range(_PROGRESSIONS)]
        progression = max(candidates, key=lambda chords, tune=melody: _consonance(tune, chords))  # type: ignore[misc]
        varied = [_varied(rng, stock, melody) for _ in range(_VARIATIONS)]
        themes[name] = Theme((melody, *varied), progression, grooves[name])
    return themes


def _draw_melodies(rng: np.random.Generator, stock: Stock, meter: str, mode: str) -> list[Melody]:
    """Draw a melody for each theme: passages of one tune if it is long enough, or of several."""
    sparse = bool(rng.random() < 0.6)
    found: list[Melody] = []
    while len(found) < len(_THEMES):
        name = stock.melody(rng, meter, mode, sparse=False, unlike=found).name
        tune = max(stock.sources.tunes.settings(name), key=lambda setting: setting.beats)
        bars = int(tune.beats / BAR[meter] + 1e-6)
        size = min(_PHRASE, bars)
        found += [excerpt(tune, first, size) for first in range(0, bars - size + 1, size)]
    return [thin(melody, rng) if sparse else melody for melody in found[: len(_THEMES)]]


def _consonance(melody: Melody, progression: Progression) -> float:
    """Return the time in which a melody has tones of the chords, in beats."""
    total = 0.0
    for note in melody.notes:
        chord = progression.at(note.start)
        total += note.length * ((note.pitch - chord.root) % 12 in CHORDS[chord.kind])
    return total


def _varied(rng: np.random.Generator, stock: Stock, melody: Melody) -> Melody:
    """Vary a melody: take another setting of it, or leave out short notes and divide long ones."""
    if stock.has_settings(melody) and rng.random() < 0.4:
        return stock.setting(rng, melody)
    notes = []
    for note in melody.notes:
        draw = rng.random()
        if draw < 0.1 and note.start % BAR[melody.meter] and note.length <= 0.5:
            continue
        if draw > 0.75 and note.length >= 1.0:
            half = note.length / 2
            notes.append(replace(note, length=half))
            notes.append(replace(note, start=note.start + half, length=half))
        else:
            notes.append(note)
    return replace(melody, notes=tuple(notes) or melody.notes)


def _draw_grooves(rng: np.random.Generator, stock: Stock, groove: Groove, tempo: float) -> Mapping[ThemeName, Groove]:
    """Draw a groove for each theme: other bars of the same performance, or the same groove on other cymbals."""
    same = [
        other
        for other in stock.sources.grooves_of(stock.part, groove.meter)
        if other.name != groove.name and performance_of(other) == performance_of(groove)
    ]
    chorus = same[rng.integers(len(same))] if same and rng.random() < 0.7 else _on_cymbals(rng, groove)
    bridge = _on_cymbals(rng, groove) if rng.random() < 0.5 else groove
    return {"verse": groove, "chorus": chorus, "bridge": bridge}


def _on_cymbals(rng: np.random.Generator, groove: Groove) -> Groove:
    """Play the closed hi-hat of a groove on the ride cymbal, the open hi-hat, the tambourine or the pedal."""
    cymbal = int(rng.choice([51, 51, 46, 54, 44, 59]))
    hits = tuple(replace(hit, drum=cymbal) if hit.drum == 42 else hit for hit in groove.hits)
    return replace(groove, hits=hits)


# Parts ---------------------------------------------------------------------------------------------------------------


def _draw_parts(rng: np.random.Generator, instruments: Instruments, meter: str) -> tuple[Part, ...]:
    drawn: list[tuple[_Slot, Instrument]] = []
    for slot in _draw_slots(rng, instruments):
        unlike = [one for _, one in drawn]
        drawn.append((slot, instruments.draw(rng, slot.function, slot.stem_class, unlike=unlike)))
    return tuple(
        Part(
            name=f"S{k:02d}",
            stem_class=slot.stem_class,
            function=slot.function,
            sound=one.sound,
            program=one.program,
            styles=_draw_styles(rng, slot.function, meter),
            octave=_draw_octave(rng, slot),
            channel=_draw_channel(rng, slot),
        )
        for k, (slot, one) in enumerate(drawn)
    )


def _draw_slots(rng: np.random.Generator, instruments: Instruments) -> Sequence[_Slot]:
    """Draw the band: drums, bass, piano and guitar always play, as in Slakh2100; others are drawn."""
    slots = [_Slot("drums", "drums"), _Slot("bass", "bass"), _Slot("comp", "piano"), _Slot("comp", "guitar")]
    sung = instruments.has("vocals", "vocals") and rng.random() < 0.6
    if sung:
        slots.append(_Slot("vocals", "vocals"))
    if not sung or rng.random() < 0.6:
        classes: tuple[StemClass, ...] = ("residuals", "guitar", "piano")
        lead = classes[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        slots.append(_Slot("lead", lead if instruments.has("lead", lead) else "guitar"))
    if rng.random() < 0.25:
        slots.append(_Slot("comp", "guitar"))
    if instruments.has("pad", "residuals"):
        pads = int(rng.choice(3, p=[0.3, 0.45, 0.25]))
        slots += [_Slot("pad" if rng.random() < 0.7 else "comp", "residuals") for _ in range(pads)]
    return slots


def _draw_styles(rng: np.random.Generator, function: Function, meter: str) -> Mapping[ThemeName, str]:
    if function not in ("bass", "comp", "pad"):
        return {}
    known = bass_styles(meter) if function == "bass" else comp_styles(meter)
    if function == "pad":
        return dict.fromkeys(_THEMES, "pad")
    verse, chorus, bridge = (known[rng.integers(len(known))] for _ in _THEMES)
    if rng.random() < 0.4:
        chorus = verse
    return {"verse": verse, "chorus": chorus, "bridge": bridge}


def _draw_octave(rng: np.random.Generator, slot: _Slot) -> int:
    if slot.function in ("drums", "bass", "vocals"):
        return 0
    return int(rng.choice([-1, 0, 1], p=[0.1, 0.7, 0.2]))


def _draw_channel(rng: np.random.Generator, slot: _Slot) -> Channel:
    place = "lead" if slot.function == "lead" else slot.stem_class
    level, highpass, send, width = _CHANNELS[place]
    return Channel(
        level_db=level + float(np.clip(rng.normal(0.0, 2.5), -6.0, 6.0)),
        pan=float(rng.uniform(-width, width)) if width else 0.0,
        highpass=float(rng.uniform(*highpass)),
        tilt_db=float(rng.uniform(-3.0, 3.0)),
        send=float(rng.uniform(*send)),
    )
