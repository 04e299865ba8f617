"""Backbone `compact`: descriptors of what is played, from small trained networks, and the fixed descriptors of `dsp`.

Spectra are computed once. The transcriber estimates lead pitch, chord tones, strokes and colours from them over the
whole stream. The features `line`, `strokes`, `chords` and `colour` describe these estimates in each window; the four
features of `dsp` describe the sound itself.
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
from soundalike.backbones.analysis.key_and_meter import (
    READINGS_FILE,
    KeyMeterClassifier,
    key_evidence,
    meter_evidence,
)
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
from soundalike.backbones.base import Backbone, Blocks, Features, WindowGrid, collect_features, window_bounds
from soundalike.core.types import ByteArray, Descriptors, FloatArray

__all__ = ["NETWORKS_VARIABLE", "CompactBackbone", "Evidence", "create"]

NETWORKS_VARIABLE = "SOUNDALIKE_COMPACT"
"""Environment variable with the folder of networks to use instead of the bundled ones."""
# Thresholds for melody and harmony: the mean over a passage of the probability of a lead pitch, and of the most
# probable chord tone. Of rendered clips with a lead, 99 % are above 0.2; of drums alone, 99 % are below 0.04. Of clips
# with chords, 99 % are above 0.7; of drums alone, 99 % are below 0.13. The thresholds are low, because real music is
# more varied than rendered music.
_MIN_LEAD, _MIN_CHORD = 0.05, 0.02
_BUNDLED = Path(__file__).parents[1] / "models" / "bundled" / "compact"


class CompactBackbone:
    """Descriptors of what is played and of how it sounds, in windows of mono audio at 22,050 Hz."""

    name: ClassVar[str] = "compact"
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"line": LINE_DIM, "strokes": STROKES_DIM, "chords": CHORDS_DIM, "colour": COLOUR_DIM, **FIXED_DIMS}
    )

    @cached_property
    def version(self) -> int:
        """Version of the networks, a digest of their files. Raises ModelError if they are missing."""
        return self._transcriber.version

    @cached_property
    def _folder(self) -> Path:
        """Folder of the networks."""
        return Path(os.environ.get(NETWORKS_VARIABLE) or _BUNDLED)

    @property
    def readings(self) -> Path:
        """File of the regressions for key and meter."""
        return self._folder / READINGS_FILE

    @cached_property
    def _transcriber(self) -> Transcriber:
        """The networks. Raises ModelError if they are missing."""
        return Transcriber(self._folder)

    @cached_property
    def _classifier(self) -> KeyMeterClassifier:
        """The regressions for key and meter. Raises ModelError if they are missing."""
        return KeyMeterClassifier.load(self._folder)

    def features(self, blocks: Blocks, grid: WindowGrid) -> Features:
        """Extract the features of `blocks`, mono (t,) float32 at 22,050 Hz, in each window of `grid`.

        Raises ModelError if the networks are missing.
        """
        frames, transcription, windows = self._transcribe(blocks, grid)
        totals = _RecordingSum()

        def extract(start: float, end: float) -> Mapping[str, FloatArray]:
            window = _Window.between(frames, transcription, start, end)
            passage = _describe_passage(frames, window, start, end)
            totals.add_window(passage, window)
            return {**passage.rows, **_played_rows(window, passage.rows)}

        def describe_recording() -> Descriptors:
            return self._descriptors(totals.evidence())

        return collect_features(self.dims, windows, frames.duration, extract, describe_recording)

    def evidence(self, blocks: Blocks, grid: WindowGrid) -> Evidence:
        """Return the evidence for key and meter in a stream, to fit their classifiers.

        Args:
            blocks: Mono (t,) float32 blocks at 22,050 Hz.
            grid: Called with the duration at the end of the stream. Returns the windows.

        Raises:
            ModelError: The networks are missing.
        """
        frames, transcription, windows = self._transcribe(blocks, grid)
        totals = _RecordingSum()
        for start, end in windows:
            window = _Window.between(frames, transcription, start, end)
            totals.add_window(_describe_passage(frames, window, start, end), window)
        return totals.evidence()

    def _transcribe(self, blocks: Blocks, grid: WindowGrid) -> tuple[Spectra, Transcription, FloatArray]:
        """Return spectra with every second slow frame, a transcription of all frames, and the windows (n, 2)."""
        open_stream = self._transcriber.open_stream()
        frames = spectra_of(blocks, HOP, keep_every=2, on_frames=open_stream.push)
        return frames, open_stream.finish(), window_bounds(grid, frames.duration)

    def _descriptors(self, evidence: Evidence) -> Descriptors:
        """Return the descriptors of a recording, with key and meter."""
        key = self._classifier.key(evidence.key)
        meter = None if evidence.meter is None else self._classifier.meter(evidence.meter)
        return replace(
            evidence.descriptors,
            key=key[0] if key else None,
            key_confidence=key[1] if key else None,
            meter=meter[0] if meter else None,
            meter_confidence=meter[1] if meter else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Evidence for key and meter in one recording.

    Attributes:
        descriptors: The descriptors that need no classifier.
        key: (KEY_SOURCES, 12), see `key_evidence`.
        pitch_classes: Chroma (12,) from A; zero without pitch.
        pulse: Correlations (PULSE_FRAMES, CHANNELS) of onsets.
        strokes: Autocorrelations (PULSE_FRAMES, len(STROKES)) of the strokes; zero without rhythm.
    """

    descriptors: Descriptors
    key: FloatArray
    pitch_classes: FloatArray
    pulse: FloatArray
    strokes: FloatArray

    @property
    def meter(self) -> FloatArray | None:
        """The evidence for the meter, (METER_EVIDENCE,) from `meter_evidence`; None without a tempo."""
        return self.meter_at(self.descriptors.tempo)

    def meter_at(self, tempo: float | None) -> FloatArray | None:
        """Return the evidence for the meter, as if the tempo were `tempo` BPM."""
        if not tempo or not self.strokes.any():
            return None
        return meter_evidence(self.pulse[:, 0], self.strokes, tempo, FAST_HOP / RATE)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """The `Transcription` of one window, and the root spectra `roots` (h, 64) of the frames of its colours."""

    lead: ByteArray
    tones: ByteArray
    strokes: ByteArray
    colours: FloatArray
    roots: FloatArray

    @classmethod
    def between(cls, frames: Spectra, transcription: Transcription, start: float, end: float) -> _Window:
        """Return the window from `start` to `end` seconds."""
        slow = frames_between(start, end, HOP, len(transcription.lead))
        half = frames.slow_frames(start, end)
        return cls(
            lead=transcription.lead[slow],
            tones=transcription.tones[slow.start // 2 : -(-slow.stop // 2)],
            strokes=transcription.strokes[frames.fast_frames(start, end)],
            colours=transcription.colours[half],
            roots=frames.colour[half],
        )


class _RecordingSum(PassageSum):
    """Sums over all passages of a recording, of the sound and of what is played."""

    def __init__(self) -> None:
        super().__init__()
        self._tones, self._lead = np.zeros(12), np.zeros(CELLS)
        self._strokes = np.zeros((PULSE_FRAMES, len(STROKES)))

    def add_window(self, passage: Passage, window: _Window) -> None:
        """Add a passage and the transcription of its window."""
        self.add(passage)
        if passage.pitch_classes.any():
            self._lead += window.lead.sum(axis=0, dtype=np.float64)
            self._tones += window.tones.sum(axis=0, dtype=np.float64)
        if "rhythm" in passage.rows:
            centred = window.strokes.astype(np.float32)
            centred = centred - centred.mean(axis=0)
            correlation = dsp.cross_correlation(centred, centred)[:PULSE_FRAMES]
            self._strokes[: len(correlation)] += correlation

    def evidence(self) -> Evidence:
        """Return the evidence of the recording."""
        key = key_evidence(self.pitch_classes, self._tones, self._lead)
        return Evidence(self.describe(), key, self.pitch_classes, self.pulse, self._strokes)


def _describe_passage(frames: Spectra, window: _Window, start: float, end: float) -> Passage:
    """Return the passage from `start` to `end` seconds.

    Melody is inaudible without a lead pitch, and harmony without chord tones. Without both, the pitch classes are zero.
    """
    passage = describe(frames, start, end)
    if "melody" not in passage.rows:
        return passage
    has_lead = window.lead.sum(axis=1, dtype=np.float32).mean() >= 255 * _MIN_LEAD
    has_chords = window.tones.max(axis=1).mean() >= 255 * _MIN_CHORD
    missing = {name for name, found in (("melody", has_lead), ("harmony", has_chords)) if not found}
    return replace(
        passage,
        rows={name: row for name, row in passage.rows.items() if name not in missing},
        pitch_classes=passage.pitch_classes * bool(has_lead or has_chords),
    )


def _played_rows(window: _Window, sound_rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the descriptors of what is played in a window. Each is audible where its counterpart of the sound is."""
    rows = {}
    if "melody" in sound_rows:
        rows["line"] = line(window.lead, HOP / RATE)
    if "harmony" in sound_rows:
        rows["chords"] = chords(window.tones, 2 * HOP / RATE)
    if "rhythm" in sound_rows:
        rows["strokes"] = strokes(window.strokes, FAST_HOP / RATE)
    if "timbre" in sound_rows:
        rows["colour"] = colour(window.colours, window.roots)
    return rows


def create() -> Backbone:
    """Return the backbone."""
    return CompactBackbone()
