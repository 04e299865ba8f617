"""Backbone `compact`: what is played, as our own small networks hear it, beside the fixed descriptors.

Spectra are computed once. The transcriber turns them into leading pitch, chord tones and strokes, over the whole
stream; `line`, `strokes`, `chords` and `colour` describe those in each window, and the four features of `dsp` the sound
itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import numpy as np

from soundalike import dsp
from soundalike.backbones import Backbone, Features, WindowGrid, collect_rows
from soundalike.passages import FIXED_DIMS, PULSE_FRAMES, Passage, PassageSum, describe
from soundalike.playing import CHORDS_DIM, COLOUR_DIM, LINE_DIM, STROKES_DIM, chords, colour, line, strokes
from soundalike.readings import Readings, key_evidence, meter_evidence
from soundalike.spectra import FAST_HOP, RATE, Spectra, frames_between, spectra_of
from soundalike.transcriber import CELLS, HOP, STROKES, Heard, Transcriber
from soundalike.types import Descriptors, FloatArray

__all__ = ["SETTING", "CompactBackbone", "Evidence", "create"]

Blocks: TypeAlias = Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]]

SETTING = "SOUNDALIKE_COMPACT"
"""Names the folder of other networks than the bundled ones."""
# Probability of a leading pitch, and of the likeliest tone of a chord, on average over a passage: what less has no
# melody, or no harmony. Of rendered clips with a lead 99 % lie above 0.2, of drums alone 99 % below 0.04; of those with
# chords 99 % above 0.7, of drums alone 99 % below 0.13. Lower than halfway, for what is played is never all there is.
_LEADS, _CHORDS = 0.05, 0.02
_BUNDLED = Path(__file__).parents[1] / "models" / "compact"


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

        def rows_of_passages() -> Iterator[Mapping[str, FloatArray]]:
            for start, end in windows:
                passage = _describe(frames, heard, start, end)
                together.listen(passage, frames, heard, start, end)
                yield {**passage.rows, **_playing(heard, frames, start, end, passage.rows)}

        rows, audible = collect_rows(self.dims, len(windows), rows_of_passages())
        evidence = together.evidence(frames)
        key = self._readings.key(evidence.key)
        said = replace(
            evidence.said,
            key=key[0] if key else None,
            key_confidence=key[1] if key else None,
            meter=None if evidence.meter is None else self._readings.meter(evidence.meter),
        )
        return Features(windows, rows, audible, said, frames.duration)

    def evidence(self, blocks: Blocks, grid: WindowGrid) -> Evidence:
        """What key and meter are read from. Raises ModelError if the networks are missing."""
        frames, heard, windows = self._listen(blocks, grid)
        together = _Together()
        for start, end in windows:
            together.listen(_describe(frames, heard, start, end), frames, heard, start, end)
        return together.evidence(frames)

    def _listen(self, blocks: Blocks, grid: WindowGrid) -> tuple[Spectra, Heard, FloatArray]:
        """Spectra with every second slow frame, what is heard in all of them, and windows (n, 2) in seconds."""
        hearing = self._transcriber.hearing()
        frames = spectra_of(blocks, HOP, keep_every=2, hear=hearing.push)
        windows = grid(frames.duration) if frames.duration else np.zeros((0, 2))
        return frames, hearing.finish(), windows


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known without readings (`said`), and what they read: `key` (KEY_SOURCES, 12), and where there is a tempo
    `meter` (METER_EVIDENCE,).
    """

    said: Descriptors
    key: FloatArray
    meter: FloatArray | None


class _Together(PassageSum):
    """What all passages hold together of what is played."""

    def __init__(self) -> None:
        super().__init__()
        self._tones, self._lead = np.zeros(12), np.zeros(CELLS)
        self._strokes = np.zeros((PULSE_FRAMES, len(STROKES)))

    def listen(self, passage: Passage, frames: Spectra, heard: Heard, start: float, end: float) -> None:
        """One more passage, from `start` to `end` seconds."""
        self.add(passage)
        if passage.pitch_classes.any():
            slow = frames_between(start, end, HOP, len(heard.lead))
            self._lead += heard.lead[slow].sum(axis=0, dtype=np.float64)
            self._tones += heard.tones[_halved(slow)].sum(axis=0, dtype=np.float64)
        if "rhythm" in passage.rows:
            struck = heard.strokes[frames.fast_frames(start, end)].astype(np.float32)
            struck = struck - struck.mean(axis=0)
            correlation = dsp.cross_correlation(struck, struck)[:PULSE_FRAMES]
            self._strokes[: len(correlation)] += correlation

    def evidence(self, frames: Spectra) -> Evidence:
        """What is known of the recording."""
        said, meter = self.describe(frames), None
        if said.tempo and self._strokes.any():
            meter = meter_evidence(self.pulse, self._strokes, said.tempo, FAST_HOP / RATE)
        return Evidence(said, key_evidence(self.pitch_classes, self._tones, self._lead), meter)


def _describe(frames: Spectra, heard: Heard, start: float, end: float) -> Passage:
    """The passage from `start` to `end` seconds; without melody where no pitch leads, without harmony where no tones
    make a chord, and without pitch classes where neither.
    """
    passage = describe(frames, start, end)
    if "melody" not in passage.rows:
        return passage
    slow = frames_between(start, end, HOP, len(heard.lead))
    leads = heard.lead[slow].sum(axis=1, dtype=np.float32).mean() >= 255 * _LEADS
    chords = heard.tones[_halved(slow)].max(axis=1).mean() >= 255 * _CHORDS
    missing = {name for name, there in (("melody", leads), ("harmony", chords)) if not there}
    return replace(
        passage,
        rows={name: row for name, row in passage.rows.items() if name not in missing},
        pitch_classes=passage.pitch_classes * bool(leads or chords),
    )


def _playing(
    heard: Heard, frames: Spectra, start: float, end: float, found: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """What is played in a window; each is audible where its counterpart in the sound is."""
    rows = {}
    slow = frames_between(start, end, HOP, len(heard.lead))
    if "melody" in found:
        rows["line"] = line(heard.lead[slow], HOP / RATE)
    if "harmony" in found:
        rows["chords"] = chords(heard.tones[_halved(slow)], 2 * HOP / RATE)
    if "rhythm" in found:
        rows["strokes"] = strokes(heard.strokes[frames.fast_frames(start, end)], FAST_HOP / RATE)
    if "timbre" in found:
        half = frames.slow_frames(start, end)
        rows["colour"] = colour(heard.colours[half], frames.colour[half])
    return rows


def _halved(frames: slice) -> slice:
    """The same time in frames twice as far apart."""
    return slice(frames.start // 2, -(-frames.stop // 2))


def create() -> Backbone:
    """The backbone, ready to listen."""
    return CompactBackbone()
