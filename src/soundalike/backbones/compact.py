"""Backbone `compact`: what is played, as our own small networks hear it, beside the fixed descriptors.

Spectra are computed once. The transcriber turns them into leading pitch, chord tones and strokes, over the whole
stream; `line`, `strokes`, `chords` and `colour` describe those in each window, and the four features of `dsp` the sound
itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike.backbones import Backbone, Features, WindowGrid, collect_rows
from soundalike.passages import FIXED_DIMS, describe, describe_recording
from soundalike.playing import CHORDS_DIM, COLOUR_DIM, LINE_DIM, STROKES_DIM, chords, colour, line, strokes
from soundalike.spectra import FAST_HOP, RATE, Spectra, spectra_of
from soundalike.transcriber import HOP, Heard, Transcriber
from soundalike.types import FloatArray

__all__ = ["SETTING", "CompactBackbone", "create"]

SETTING = "SOUNDALIKE_COMPACT"
"""Names the folder of other networks than the bundled ones."""
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
    def _transcriber(self) -> Transcriber:
        return Transcriber(Path(os.environ.get(SETTING) or _BUNDLED))

    def features(self, blocks: Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]], grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`.

        Raises ModelError if the networks are missing.
        """
        frames = spectra_of(blocks, HOP)
        windows = grid(frames.duration) if frames.duration else np.zeros((0, 2))
        heard = self._transcriber.listen(frames.pitch, frames.fast, frames.colour)
        halved = frames.halved()
        passages = [describe(halved, start, end) for start, end in windows]
        found = [
            {**passage.rows, **_playing(heard, frames, halved, start, end, passage.rows)}
            for passage, (start, end) in zip(passages, windows, strict=True)
        ]
        rows, audible = collect_rows(self.dims, found)
        return Features(windows, rows, audible, describe_recording(frames, passages), frames.duration)


def _playing(
    heard: Heard, frames: Spectra, halved: Spectra, start: float, end: float, found: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """What is played in a window; each is audible where its counterpart in the sound is."""
    rows = {}
    if "melody" in found:
        slow = frames.slow_frames(start, end)
        rows["line"] = line(heard.lead[slow], HOP / RATE)
        rows["chords"] = chords(heard.tones[slow.start // 2 : -(-slow.stop // 2)], 2 * HOP / RATE)
    if "rhythm" in found:
        rows["strokes"] = strokes(heard.strokes[frames.fast_frames(start, end)], FAST_HOP / RATE)
    if "timbre" in found:
        half = halved.slow_frames(start, end)
        rows["colour"] = colour(heard.colours[half], halved.colour[half])
    return rows


def create() -> Backbone:
    """The backbone, ready to listen."""
    return CompactBackbone()
