"""Loops of known tempo with drawn patterns, sounds, swing and tempi: drums with bass, as WAV files or samples.

    python tests/backbones/loops.py OUT [--count 200] [--seed 1000]

writes OUT/BPM_STYLE_NUMBER.wav for `benchmarks/descriptors.py --loops OUT`. No estimator was fitted to these loops.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 22050
Options = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Style:
    """Range of tempi in BPM, largest swing in beats, and the patterns of kick, snare and hat in 16ths of a bar."""

    tempi: tuple[float, float]
    swing: float
    kicks: Options
    snares: Options
    hats: Options


EIGHTHS, SIXTEENTHS = tuple(range(0, 16, 2)), tuple(range(16))
STYLES = {
    "house": Style(
        (116, 142), 0.03,
        ((0, 4, 8, 12), (0, 4, 8, 12, 15), (0, 4, 8, 11, 12)),
        ((4, 12), (4, 12, 15), ()),
        ((2, 6, 10, 14), SIXTEENTHS, (2, 3, 6, 10, 11, 14)),
    ),
    "rock": Style(
        (70, 184), 0.0,
        ((0, 8), (0, 6, 8), (0, 8, 9), (0, 7, 8, 10), (0, 2, 8)),
        ((4, 12),),
        (EIGHTHS, (0, 4, 8, 12), (0, 2, 4, 6, 8, 10, 12)),
    ),
    "dnb": Style(
        (162, 180), 0.0,
        ((0, 10), (0, 2, 10), (0, 10, 11), (0, 9, 10)),
        ((4, 12), (4, 12, 15), (4, 7, 12)),
        (EIGHTHS, SIXTEENTHS, (0, 2, 4, 6, 7, 8, 10, 12, 14)),
    ),
    "hiphop": Style(
        (70, 98), 0.06,
        ((0, 7, 10), (0, 2, 10), (0, 6, 11), (0, 3, 8, 10)),
        ((4, 12),),
        (EIGHTHS, (0, 2, 3, 4, 6, 8, 10, 11, 12, 14)),
    ),
    "trap": Style(
        (126, 158), 0.0,
        ((0, 7, 10), (0, 3, 10), (0, 6, 11, 14), (0, 10)),
        ((8,),),
        (SIXTEENTHS, EIGHTHS, (0, 2, 4, 5, 6, 8, 10, 12, 13, 14, 15)),
    ),
}  # fmt: skip


def draw_loop(
    seed: int, style: str | None = None, bpm: float | None = None, seconds: float = 30.0
) -> tuple[str, float, np.ndarray]:
    """Return the style, the tempo and the samples (t,) float32 at 22,050 Hz of a loop."""
    rng = np.random.default_rng(seed)
    style = style or list(STYLES)[rng.integers(len(STYLES))]
    chosen = STYLES[style]
    bpm = bpm or float(rng.uniform(*chosen.tempi))
    patterns = [options[rng.integers(len(options))] for options in (chosen.kicks, chosen.snares, chosen.hats)]
    swing = 4 * rng.uniform(0, chosen.swing)  # in 16ths
    sounds = [
        _stroke(rng, 0.3, rng.uniform(9, 24), rng.uniform(42, 65), noise=0.02, sweep=rng.uniform(60, 220)),
        rng.uniform(0.5, 1.0) * _stroke(rng, 0.25, rng.uniform(14, 32), rng.uniform(160, 260), rng.uniform(0.4, 0.95)),
        rng.uniform(0.25, 0.9) * np.diff(_stroke(rng, 0.12, rng.uniform(35, 110), 0.0, noise=0.5), prepend=0.0),
    ]
    step = 60 / bpm / 4
    strokes = [(at, sound) for pattern, sound in zip(patterns, sounds, strict=True) for at in pattern]
    for at in sorted({0, *rng.choice(16, 4, replace=False).tolist()}):
        strokes.append((at, 0.3 * _bass(int(rng.choice([33, 36, 40, 43, 45, 48])), 2.5 * step)))
    total, start, loose = int(seconds * RATE), rng.uniform(0, 1), rng.uniform(0, 0.004)
    samples = np.zeros(total)
    for bar in range(int((seconds - start) / (16 * step)) + 1):
        for at, sound in strokes:
            time = start + (16 * bar + at + swing * (at % 2)) * step + loose * rng.standard_normal()
            first = int(max(time, 0.0) * RATE)
            played = sound[: max(total - first, 0)]
            samples[first : first + len(played)] += played
    return style, bpm, np.asarray(0.7 * samples / np.abs(samples).max(), np.float32)


def _stroke(
    rng: np.random.Generator, seconds: float, decay: float, pitch: float, noise: float, sweep: float = 0.0
) -> np.ndarray:
    """Return a decaying mixture of noise and a tone that falls to `pitch` Hz."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * (pitch * time + sweep * (1 - np.exp(-35 * time)) / 35))
    return (noise * rng.standard_normal(len(time)) + (1 - noise) * tone) * np.exp(-decay * time)


def _bass(note: int, seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((note - 69) / 12)
    return sum(np.sin(2 * np.pi * k * frequency * time) / k for k in (1, 2, 3)) * np.exp(-5 * time)


def main() -> None:
    """Write loops as WAV files."""
    from scipy.io import wavfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for number in range(args.count):
        style, bpm, samples = draw_loop(args.seed + number)
        wavfile.write(args.out / f"{bpm:.3f}_{style}_{number}.wav", RATE, samples)


if __name__ == "__main__":
    main()
