"""A performance as a Standard MIDI File (MIDI 1.0, "Standard MIDI Files", RP-001), written byte by byte.

By hand, because the truth of thousands of clips is written in one run, and mido takes longer for its part than all the
rest of the truth together (2.6 ms of 4.1 ms).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from soundalike.render.score.music import MODES, PULSE, ROLES, Performance, Role, Scene

__all__ = ["CHANNELS", "TICKS", "midi_file"]

TICKS = 960  # of a quarter note: half of one is less than a millisecond from 32 quarter notes a minute on
CHANNELS: Mapping[Role, int] = {"lead": 0, "comp": 1, "bass": 2, "drums": 9}  # 9 is General MIDI's percussion

_NAME, _INSTRUMENT, _END, _TEMPO, _TIME_SIGNATURE, _KEY_SIGNATURE = 0x03, 0x04, 0x2F, 0x51, 0x58, 0x59
_FIRST, _OFF, _ON = 0, 1, 2  # the order of events at one tick: a note ends before it is struck again

_Event = tuple[int, int, bytes]  # tick, order, message


def midi_file(name: str, scene: Scene, performance: Performance, instruments: Mapping[Role, str]) -> bytes:
    """Format 1: a track of tempo, meter and key, then one for each role of the band, called by its role.

    Tick 0 is the clip's start. `instruments` names who plays each role of the band. Programs are General MIDI's, so
    the tracks of this package's own voices have none.
    """
    quarter = round(60e6 / scene.tempo)  # microseconds, the only way in which the format can say a tempo

    def tick(seconds: float) -> int:
        return round(seconds * 1e6 * TICKS / quarter)

    end = tick(performance.seconds)
    signature = _meta(_TIME_SIGNATURE, _time_signature(scene.melody.meter))
    events = [
        (0, _FIRST, _meta(_NAME, _ascii(name))),
        (0, _FIRST, _meta(_TEMPO, quarter.to_bytes(3, "big"))),
        (0, _FIRST, _meta(_KEY_SIGNATURE, _key_signature(scene.key, scene.melody.mode))),
        (0, _FIRST, signature),
    ]
    # A clip starts anywhere in a bar; readers count bars from the latest time signature.
    line = next((tick(beat.time) for beat in performance.beats if beat.place == 1), 0)
    if line > 0:
        events.append((line, _FIRST, signature))
    tracks = [_track(events, end)]
    for role in ROLES:
        sound, channel = scene.band.sound(role), CHANNELS[role]
        if sound is None:
            continue
        events = [
            (0, _FIRST, _meta(_NAME, role.encode())),
            (0, _FIRST, _meta(_INSTRUMENT, _ascii(instruments[role]))),
        ]
        if sound.bank != "voices":
            events.append((0, _FIRST, bytes((0xC0 | channel, sound.program))))
        for note in performance.parts[role]:
            on, off = tick(note.start), tick(note.end)
            events.append((on, _ON, bytes((0x90 | channel, note.note, note.velocity))))
            events.append((max(off, on + 1), _OFF, bytes((0x80 | channel, note.note, 64))))
        tracks.append(_track(events, end))
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TICKS) + b"".join(tracks)


def _track(events: Iterable[_Event], end: int) -> bytes:
    """A chunk of events in order of time that lasts until tick `end` at least."""
    body, now = bytearray(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        body += _quantity(tick - now) + message
        now = tick
    body += _quantity(max(end - now, 0)) + _meta(_END, b"")
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + _quantity(len(data)) + data


def _quantity(value: int) -> bytes:
    """A variable-length quantity: seven bits a byte, the highest first, and all but the last marked."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _time_signature(meter: str) -> bytes:
    """Numerator, denominator as a power of two, and 24ths of a quarter note between two taps of the foot."""
    over, under = map(int, meter.split("/"))
    return bytes((over, under.bit_length() - 1, round(24 * PULSE[meter]), 8))


def _key_signature(key: int, mode: str) -> bytes:
    """Sharps (negative: flats) of the major or minor key on this tonic.

    The format knows no other modes. Dorian is called minor and mixolydian major: readers take the tonic from it.
    """
    minor = MODES[mode][2] == 3
    major = key + 3 if minor else key  # the major key with the same signature
    return struct.pack("bB", (7 * major + 6) % 12 - 6, minor)
