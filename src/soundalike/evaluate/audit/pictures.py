"""Pictures of a clip for a page: its score as a piano roll (SVG) and its audio as a spectrogram (PNG)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score import ROOTS, Performance, Played, Role

__all__ = ["COLOURS", "piano_roll", "spectrogram_png"]

# Safe for colour-blind readers (Okabe and Ito, "Color universal design", 2008). Ordered from back to front.
COLOURS: Mapping[Role, str] = {"comp": "#56b4e9", "bass": "#009e73", "lead": "#d55e00", "drums": "#444444"}

_NAMES, _LETTER = 12, 5.2  # pixels: the height of the strip of chord names, the width of a letter in it
_DRUMS = 0.22  # the height of the drum strip as a share of the picture below the chord names
_LOW, _HIGH = 55.0, 14080.0  # Hz
_RANGE = 65.0  # dB from black to the brightest
_SHADES = 64  # more would not be visible, and the file would be larger

# The magma colour map at equal steps (van der Walt and Smith, 2015, public domain). Its lightness rises evenly.
_MAGMA = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip


def piano_roll(performance: Performance, width: int, height: int) -> str:
    """Draw a performance as a piano roll with chord names, beats and bar lines.

    Pitched parts have the colours of `COLOURS`. Drums are ticks in a strip at the bottom, with one row per percussion
    note, the lowest at the bottom. Bar lines are darker than beats. If a chord name does not fit before the next chord,
    only a tick marks the chord.

    Args:
        performance: The notes, chords and beats.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        The text of an SVG file.

    Example:
        >>> svg = piano_roll(clip.performance, 480, 150)
    """
    scale = width / performance.seconds
    strokes = performance.parts.get("drums", ())
    bottom = height - (round(_DRUMS * (height - _NAMES)) if strokes else 0)
    pitched: dict[Role, tuple[Played, ...]] = {role: performance.parts.get(role, ()) for role in COLOURS}
    del pitched["drums"]
    notes = [note.note for part in pitched.values() for note in part]
    lowest, highest = min(notes, default=60) - 1, max(notes, default=60) + 1
    row = (bottom - _NAMES) / (highest - lowest + 1)
    body = [f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for colour, bar in (("#eee", False), ("#bbb", True)):
        lines = [
            f"M{beat.time * scale:.1f} {_NAMES}V{height}" for beat in performance.beats if (beat.place == 1) == bar
        ]
        body.append(_path(lines, colour, 1.0))
    body.append(_chord_names(performance, scale))
    for role, part in pitched.items():
        lines = []
        for note in part:
            start, end = note.start * scale, min(note.end, performance.seconds) * scale
            # A gap of half a pixel separates repeated notes.
            length = max(end - start - 0.5, 1.0)
            lines.append(f"M{start:.1f} {bottom - (note.note - lowest + 0.5) * row:.1f}h{length:.1f}")
        body.append(_path(lines, COLOURS[role], max(row, 2.0)))
    body.append(f'<path d="M0 {bottom}H{width}" stroke="#bbb"/>')
    rows = {drum: row for row, drum in enumerate(sorted({stroke.note for stroke in strokes}))}
    step = (height - bottom) / max(len(rows), 1)
    ticks = [f"M{stroke.start * scale:.1f} {height - rows[stroke.note] * step:.1f}v{-step:.1f}" for stroke in strokes]
    body.append(_path(ticks, COLOURS["drums"], 1.5))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="piano roll">{"".join(body)}</svg>'
    )


def _chord_names(performance: Performance, scale: float) -> str:
    """The name of every chord, in Harte's syntax, above its onset."""
    texts, ticks = [], []
    for chord in performance.chords:
        name, left = f"{ROOTS[chord.root]}:{chord.kind}", chord.start * scale
        ticks.append(f"M{left:.1f} 0v{_NAMES}")
        if (chord.end - chord.start) * scale > _LETTER * len(name) + 2:
            texts.append(f'<text x="{left + 2:.1f}" y="{_NAMES - 3}">{name}</text>')
    return _path(ticks, "#bbb", 1.0) + f'<g font-size="9" font-family="sans-serif" fill="#333">{"".join(texts)}</g>'


def _path(lines: Iterable[str], colour: str, thickness: float) -> str:
    """One SVG element for all lines of one colour, which keeps the file small."""
    return f'<path d="{"".join(lines)}" stroke="{colour}" stroke-width="{thickness:.1f}"/>'


def spectrogram_png(samples: FloatArray, rate: int, width: int, height: int) -> bytes:
    """Draw a spectrogram: power in dB over time, from 55 Hz to 14 kHz or half the sampling rate, whichever is lower.

    The frequency axis is logarithmic. Black is 65 dB or more below the maximum. High frequencies are raised by 3 dB per
    octave, so that equal power per octave has equal brightness.

    Args:
        samples: (t,) float32.
        rate: Sampling rate in Hz.
        width: Width in pixels.
        height: Height in pixels.

    Returns:
        The bytes of a PNG file.

    Example:
        >>> spectrogram_png(clip.samples, clip.rate, 480, 110)[1:4]
        b'PNG'
    """
    from soundalike.audio import SpectrumStream, log_frequency_matrix

    size = 2 ** round(np.log2(0.093 * rate))
    stream = SpectrumStream(size, size // 8)
    power = np.concatenate([stream.push(np.asarray(samples, np.float32)), stream.finish()])
    power = power if len(power) else np.zeros((1, size // 2 + 1), np.float32)
    octaves = np.log2(min(_HIGH, rate / 2) / _LOW)
    per_octave = int(np.ceil(height / octaves))
    bands = power @ log_frequency_matrix(size, rate, height, _LOW, per_octave)
    bands *= (2.0 ** (np.arange(height) / per_octave)).astype(np.float32)
    # The maximum over the frames of a column. If there are more columns than frames, frames are repeated.
    columns = np.maximum.reduceat(bands, np.arange(width) * len(bands) // width, axis=0)
    floor = max(float(columns.max()), 1e-9) * 10 ** (-_RANGE / 10)
    bright = 10 * np.log10(np.maximum(columns, floor) / floor) * (_SHADES - 1) / _RANGE
    return _png(np.round(bright).astype(np.uint8).T[::-1])


def _png(shades: IntArray) -> bytes:
    """Encode rows of palette indices (h, w) uint8 as a PNG file (W3C, "Portable Network Graphics", 2003)."""
    height, width = shades.shape
    steps = np.linspace(0, len(_MAGMA) - 1, _SHADES)
    channels = [np.interp(steps, np.arange(len(_MAGMA)), [colour[k] for colour in _MAGMA]) for k in range(3)]
    palette = np.stack(channels, axis=1).round().astype(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), shades], axis=1)  # filter 0 before each row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
