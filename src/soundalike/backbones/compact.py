"""Backbone `compact`: what is played, as our own small networks hear it, beside the fixed descriptors.

Spectra are computed once. The transcriber turns them into leading pitch, chord tones and strokes, over the whole
stream; `line`, `strokes`, `chords` and `colour` describe those in each window, and the four features of `dsp` the sound
itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.audio import dsp
from soundalike.backbones.analysis.key_and_meter import Readings, key_evidence, meter_evidence
from soundalike.backbones.analysis.passage_descriptors import FIXED_DIMS, PULSE_FRAMES, Passage, PassageSum, describe
from soundalike.backbones.analysis.played_descriptors import (
    CHORDS_DIM,
    COLOUR_DIM,
    LINE_DIM,
    STROKES_DIM,
    chords,
    colour,
    line,
    strokes,
)
from soundalike.backbones.analysis.spectra import FAST_HOP, RATE, Spectra, frames_between, spectra_of
from soundalike.backbones.analysis.transcriber import CELLS, HOP, STROKES, Transcriber, Transcription
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect, cut
from soundalike.core.types import ByteArray, Descriptors, FloatArray

__all__ = ["SETTING", "CompactBackbone", "Evidence", "create"]

SETTING = "SOUNDALIKE_COMPACT"
"""Names the folder of other networks than the bundled ones."""
# Probability of a leading pitch, and of the likeliest tone of a chord, on average over a passage: what less has no
# melody, or no harmony. Of rendered clips with a lead 99 % lie above 0.2, of drums alone 99 % below 0.04; of those with
# chords 99 % above 0.7, of drums alone 99 % below 0.13. Lower than halfway, for what is played is never all there is.
_LEADS, _CHORDS = 0.05, 0.02
_BUNDLED = Path(__file__).parents[1] / "models" / "bundled" / "compact"


class CompactBackbone:
    """Descriptors of what is played and of how it sounds, over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "compact"
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"line": LINE_DIM, "strokes": STROKES_DIM, "chords": CHORDS_DIM, "colour": COLOUR_DIM, **FIXED_DIMS}
    )

    @cached_property
    def version(self) -> int:
        """That of its networks, from their content. Raises ModelError if they are missing."""
        return self._transcriber.version

    @cached_property
    def _folder(self) -> Path:
        return Path(os.environ.get(SETTING) or _BUNDLED)

    @cached_property
    def _transcriber(self) -> Transcriber:
        return Transcriber(self._folder)

    @cached_property
    def _readings(self) -> Readings:
        return Readings.load(self._folder)

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`.

        Raises ModelError if the networks are missing.
        """
        frames, heard, windows = self._listen(blocks, grid)
        together = _Together()

        def hear(start: float, end: float) -> Mapping[str, FloatArray]:
            window = _Window.of(frames, heard, start, end)
            passage = _describe(frames, window, start, end)
            together.listen(passage, window)
            return {**passage.rows, **_playing(window, passage.rows)}

        return collect(self.dims, windows, frames.duration, hear, lambda: self._say(together.evidence(frames)))

    def evidence(self, blocks: Blocks, grid: WindowGrid) -> Evidence:
        """What key and meter are read from. Raises ModelError if the networks are missing."""
        frames, heard, windows = self._listen(blocks, grid)
        together = _Together()
        for start, end in windows:
            window = _Window.of(frames, heard, start, end)
            together.listen(_describe(frames, window, start, end), window)
        return together.evidence(frames)

    def _listen(self, blocks: Blocks, grid: WindowGrid) -> tuple[Spectra, Transcription, FloatArray]:
        """Spectra with every second slow frame, what is heard in all of them, and windows (n, 2) in seconds."""
        open_stream = self._transcriber.open_stream()
        frames = spectra_of(blocks, HOP, keep_every=2, hear=open_stream.push)
        return frames, open_stream.finish(), cut(grid, frames.duration)

    def _say(self, evidence: Evidence) -> Descriptors:
        key = self._readings.key(evidence.key)
        return replace(
            evidence.said,
            key=key[0] if key else None,
            key_confidence=key[1] if key else None,
            meter=None if evidence.meter is None else self._readings.meter(evidence.meter),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known without readings (`said`), and what they read: `key` (KEY_SOURCES, 12), and where there is a tempo
    `meter` (METER_EVIDENCE,).
    """

    said: Descriptors
    key: FloatArray
    meter: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """What was heard from one time to another, as in `Heard`, and the root spectra `roots` (h, 64) of its colours."""

    lead: ByteArray
    tones: ByteArray
    strokes: ByteArray
    colours: FloatArray
    roots: FloatArray

    @classmethod
    def of(cls, frames: Spectra, heard: Transcription, start: float, end: float) -> _Window:
        """That from `start` to `end` seconds."""
        slow = frames_between(start, end, HOP, len(heard.lead))
        half = frames.slow_frames(start, end)
        return cls(
            lead=heard.lead[slow],
            tones=heard.tones[slow.start // 2 : -(-slow.stop // 2)],
            strokes=heard.strokes[frames.fast_frames(start, end)],
            colours=heard.colours[half],
            roots=frames.colour[half],
        )


class _Together(PassageSum):
    """What all passages hold together of what is played."""

    def __init__(self) -> None:
        super().__init__()
        self._tones, self._lead = np.zeros(12), np.zeros(CELLS)
        self._strokes = np.zeros((PULSE_FRAMES, len(STROKES)))

    def listen(self, passage: Passage, window: _Window) -> None:
        """One more passage, and what was heard in its window."""
        self.add(passage)
        if passage.pitch_classes.any():
            self._lead += window.lead.sum(axis=0, dtype=np.float64)
            self._tones += window.tones.sum(axis=0, dtype=np.float64)
        if "rhythm" in passage.rows:
            struck = window.strokes.astype(np.float32)
            struck = struck - struck.mean(axis=0)
            correlation = dsp.cross_correlation(struck, struck)[:PULSE_FRAMES]
            self._strokes[: len(correlation)] += correlation

    def evidence(self, frames: Spectra) -> Evidence:
        """What is known of the recording."""
        said, meter = self.describe(frames), None
        if said.tempo and self._strokes.any():
            meter = meter_evidence(self.pulse, self._strokes, said.tempo, FAST_HOP / RATE)
        return Evidence(said, key_evidence(self.pitch_classes, self._tones, self._lead), meter)


def _describe(frames: Spectra, window: _Window, start: float, end: float) -> Passage:
    """The passage from `start` to `end` seconds; without melody where no pitch leads, without harmony where no tones
    make a chord, and without pitch classes where neither.
    """
    passage = describe(frames, start, end)
    if "melody" not in passage.rows:
        return passage
    leads = window.lead.sum(axis=1, dtype=np.float32).mean() >= 255 * _LEADS
    chords = window.tones.max(axis=1).mean() >= 255 * _CHORDS
    missing = {name for name, there in (("melody", leads), ("harmony", chords)) if not there}
    return replace(
        passage,
        rows={name: row for name, row in passage.rows.items() if name not in missing},
        pitch_classes=passage.pitch_classes * bool(leads or chords),
    )


def _playing(window: _Window, found: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """What is played in a window; each is audible where its counterpart in the sound is."""
    rows = {}
    if "melody" in found:
        rows["line"] = line(window.lead, HOP / RATE)
    if "harmony" in found:
        rows["chords"] = chords(window.tones, 2 * HOP / RATE)
    if "rhythm" in found:
        rows["strokes"] = strokes(window.strokes, FAST_HOP / RATE)
    if "timbre" in found:
        rows["colour"] = colour(window.colours, window.roots)
    return rows


def create() -> Backbone:
    """The backbone, ready to listen."""
    return CompactBackbone()
