"""Tiny songs in the layout of Slakh2100 with MIDI files, and settings at which every stage takes a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from soundalike.train.metric import MetricSettings, NetworkSettings, SpectrumSettings

RATE = 4000
STEMS = {"bass": (33, 80, 250), "piano": (0, 400, 800), "other": (73, 1000, 1700)}
"""General MIDI programs and ranges of pitches in Hz."""
SETTINGS = MetricSettings(
    spectrum=SpectrumSettings(RATE, 128, 64),
    network=NetworkSettings(instruments=tuple(STEMS), channels=(4, 6), dim=4, bands=24),
    batch=8,
    segment=0.3,
    paft_segment=0.3,
    test_segment=0.4,
    epochs=1,
    patience=None,
    steps_per_epoch=1,
    validation=4,
    paft_epochs=1,
    fixed_triplets=4,
    lr_separators=1e-2,
    lr_extractors=5e-3,
    lr_tuning=5e-3,
    lr_direct=1e-2,
    lr_paft=5e-3,
)


def write_songs(root: Path, counts: tuple[int, int, int] = (5, 4, 13), seconds: float = 2.4) -> Path:
    """Write songs of a sine per instrument with a slow tremolo; pitch and pattern differ from song to song."""
    mido = pytest.importorskip("mido", reason="rendering needs mido")
    random = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    number = 0
    for part, count in zip(("train", "validation", "test"), counts, strict=True):
        for _ in range(count):
            number += 1
            track = root / part / f"Track{number:05d}"
            for folder in ("stems", "MIDI"):
                (track / folder).mkdir(parents=True)
            lines, total = [f"UUID: {track.name}", "stems:"], np.zeros(len(time))
            for at, (program, low, high) in enumerate(STEMS.values()):
                pitch, gap = random.uniform(low, high), random.uniform(0.1, 0.5)
                sound = 0.2 * (1 + 0.3 * np.sin(2 * np.pi * time / gap)) * np.sin(2 * np.pi * pitch * time)
                total += sound
                sf.write(track / "stems" / f"S{at:02d}.wav", sound, RATE)
                note = round(69 + 12 * np.log2(pitch / 440))
                midi = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
                for _ in range(round(seconds / gap)):
                    midi += [
                        mido.Message("note_on", note=note, velocity=90),
                        mido.Message("note_off", note=note, time=round(gap * 960)),
                    ]
                mido.MidiFile(ticks_per_beat=480, tracks=[midi]).save(track / "MIDI" / f"S{at:02d}.mid")
                lines += [
                    f"  S{at:02d}:",
                    "    inst_class: Any",
                    "    integrated_loudness: -13.5",
                    f"    program_num: {program}",
                ]
            sf.write(track / "mix.wav", total, RATE)
            (track / "metadata.yaml").write_text("\n".join(lines) + "\n")
    return root
