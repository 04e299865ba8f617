"""The instruments of General MIDI Level 1, and the drum kits of Roland GS."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DRUM_PROGRAM", "INSTRUMENT_NAMES", "KIT_NAMES", "family_name"]

DRUM_PROGRAM = 128
"""Stands for drum kits, which have no General MIDI program. Slakh2100 uses the same number."""

KIT_NAMES: Mapping[int, str] = {
    0: "Standard", 8: "Room", 16: "Power", 24: "Electronic", 25: "TR-808", 32: "Jazz", 40: "Brush",
}  # fmt: skip
"""Drum kits by program."""

_LISTED = """
    Acoustic Grand Piano,Bright Acoustic Piano,Electric Grand Piano,Honky-tonk Piano,Electric Piano 1,Electric Piano 2,
    Harpsichord,Clavi,Celesta,Glockenspiel,Music Box,Vibraphone,Marimba,Xylophone,Tubular Bells,Dulcimer,Drawbar Organ,
    Percussive Organ,Rock Organ,Church Organ,Reed Organ,Accordion,Harmonica,Tango Accordion,Acoustic Guitar (nylon),
    Acoustic Guitar (steel),Electric Guitar (jazz),Electric Guitar (clean),Electric Guitar (muted),Overdriven Guitar,
    Distortion Guitar,Guitar Harmonics,Acoustic Bass,Electric Bass (finger),Electric Bass (pick),Fretless Bass,
    Slap Bass 1,Slap Bass 2,Synth Bass 1,Synth Bass 2,Violin,Viola,Cello,Contrabass,Tremolo Strings,Pizzicato Strings,
    Orchestral Harp,Timpani,String Ensemble 1,String Ensemble 2,Synth Strings 1,Synth Strings 2,Choir Aahs,Voice Oohs,
    Synth Voice,Orchestra Hit,Trumpet,Trombone,Tuba,Muted Trumpet,French Horn,Brass Section,Synth Brass 1,Synth Brass 2,
    Soprano Sax,Alto Sax,Tenor Sax,Baritone Sax,Oboe,English Horn,Bassoon,Clarinet,Piccolo,Flute,Recorder,Pan Flute,
    Blown Bottle,Shakuhachi,Whistle,Ocarina,Lead 1 (square),Lead 2 (sawtooth),Lead 3 (calliope),Lead 4 (chiff),
    Lead 5 (charang),Lead 6 (voice),Lead 7 (fifths),Lead 8 (bass + lead),Pad 1 (new age),Pad 2 (warm),
    Pad 3 (polysynth),Pad 4 (choir),Pad 5 (bowed),Pad 6 (metallic),Pad 7 (halo),Pad 8 (sweep),FX 1 (rain),
    FX 2 (soundtrack),FX 3 (crystal),FX 4 (atmosphere),FX 5 (brightness),FX 6 (goblins),FX 7 (echoes),FX 8 (sci-fi),
    Sitar,Banjo,Shamisen,Koto,Kalimba,Bagpipe,Fiddle,Shanai,Tinkle Bell,Agogo,Steel Drums,Woodblock,Taiko Drum,
    Melodic Tom,Synth Drum,Reverse Cymbal,Guitar Fret Noise,Breath Noise,Seashore,Bird Tweet,Telephone Ring,Helicopter,
    Applause,Gunshot
"""
INSTRUMENT_NAMES = tuple(name.strip() for name in _LISTED.split(","))
"""Instruments by program, 0 to 127."""

# Families of eight programs each, as Slakh2100 calls them.
_FAMILIES = (
    "Piano", "Chromatic Percussion", "Organ", "Guitar", "Bass", "Strings", "Strings (continued)", "Brass", "Reed",
    "Pipe", "Synth Lead", "Synth Pad", "Synth Effects", "Ethnic", "Percussive", "Sound Effects", "Drums",
)  # fmt: skip


def family_name(program: int) -> str:
    """Return the family of a program as Slakh2100 calls it, or "Drums" for `DRUM_PROGRAM`.

    Example:
        >>> family_name(73)
        'Pipe'
    """
    return _FAMILIES[program // 8]
