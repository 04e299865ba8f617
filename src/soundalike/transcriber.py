"""The transcriber: small networks that hear what is played, from the compact spectra of a stream.

They say, frame by frame, which pitch leads, which pitches sound, which tones make the chord, where drums and notes
begin, and what the sound is made of. What they say feeds descriptors of melody, harmony, rhythm and timbre. They are
trained on renders whose every note is known (`soundalike.train.transcriber`), exported whole to ONNX, and run in
onnxruntime.

g pitch frames (every HOP samples), h = ceil(g / 2), f fast frames (every `spectra.FAST_HOP`), at 22,050 Hz.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.errors import ModelError
from soundalike.types import FloatArray

__all__ = [
    "CELLS",
    "COLOURS",
    "COLOUR_FILE",
    "HOP",
    "LOWEST_NOTE",
    "PITCH_FILE",
    "PITCH_OUTPUTS",
    "QUIET",
    "STROKES",
    "STROKE_FILE",
    "Heard",
    "Transcriber",
]

HOP = 1024
"""Samples between pitch frames: 21.5 a second."""
LOWEST_NOTE = 33
"""The MIDI note of the lowest cell: A1, 55 Hz, where the spectra begin."""
CELLS = 72
"""Semitones that are told apart."""
STROKES = ("kick", "snare", "hat", "tom", "cymbal", "percussion", "bass", "comp", "lead")
"""What may begin in a fast frame: six kinds of drum, and notes of three roles."""
COLOURS = 64
"""Dims of what the colour network says of a frame."""
QUIET = 1e-4
"""Colours of frames this far below the loudest of a passage, 40 dB in power, are not its colours."""
PITCH_FILE, STROKE_FILE, COLOUR_FILE = "pitch.onnx", "strokes.onnx", "colour.onnx"
PITCH_OUTPUTS = ("lead", "notes", "tones", "root")
"""Of the pitch network, in order; all are logits."""

_FRONT_END = b"1"  # raised when the spectra or the descriptors of what is played change

# A piece is what the networks are given at a time, so that memory stays bounded; its margins are more than a frame of
# the output can see either side, so that pieces say what the whole would.
_PITCH_PIECE, _PITCH_MARGIN = 2048, 96
_FAST_PIECE, _FAST_MARGIN = 4096, 256


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Probabilities, float16: `lead` (g, CELLS) of leading, what is missing to 1 for none; `tones` (h, 12) of being in
    the chord, from A; `strokes` (f, len(STROKES)) of beginning. And `colours` (h, COLOURS), what the sound is made of.
    """

    lead: FloatArray
    tones: FloatArray
    strokes: FloatArray
    colours: FloatArray


class Transcriber:
    """The three networks of a folder, ready to listen. Raises ModelError if one is missing or another network.

    `version` changes with what is in their files, and with how their inputs are made.
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.blake2b(_FRONT_END, digest_size=4)
        self._pitch = _session(folder / PITCH_FILE, PITCH_OUTPUTS, digest.update)
        self._strokes = _session(folder / STROKE_FILE, ("strokes",), digest.update)
        self._colour = _session(folder / COLOUR_FILE, ("colours",), digest.update)
        self.version = int.from_bytes(digest.digest()) >> 1

    def listen(self, pitch: FloatArray, fast: FloatArray, colour: FloatArray) -> Heard:
        """What is played in a stream of root spectra `pitch` (g, 252), `fast` (f, 32) and `colour` (g, 64).

        Those of pitch and colour are HOP samples apart.
        """
        lead, tones = _in_pieces(
            self._pitch, pitch, _PITCH_PIECE, _PITCH_MARGIN, {"lead": (1, _leading), "tones": (2, _sigmoid)}
        )
        (strokes,) = _in_pieces(self._strokes, fast, _FAST_PIECE, _FAST_MARGIN, {"strokes": (1, _sigmoid)})
        (colours,) = _in_pieces(self._colour, colour[::2], _PITCH_PIECE, _PITCH_MARGIN, {"colours": (1, _half)})
        return Heard(lead, tones, strokes, colours)


def _session(path: Path, outputs: Sequence[str], read: Callable[[bytes], None]) -> Any:
    import onnxruntime

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); install the model again") from error
    read(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # processes are the parallelism
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own, which it does not name
        raise ModelError(f"{path} is no network ({type(error).__name__}); install the model again") from error
    found = tuple(one.name for one in session.get_outputs())
    if found != tuple(outputs):
        raise ModelError(f"{path} gives {', '.join(found)}; expected {', '.join(outputs)}: install the model again")
    return session


def _in_pieces(
    session: Any,
    roots: FloatArray,
    piece: int,
    margin: int,
    wanted: Mapping[str, tuple[int, Callable[[FloatArray], FloatArray]]],
) -> list[FloatArray]:
    """Outputs (frames / stride, m) of a network over (frames, bands) root spectra, by name: stride, and what is kept of
    each piece. Strides divide the margin.
    """
    parts: list[list[FloatArray]] = [[] for _ in wanted]
    (name,) = (one.name for one in session.get_inputs())
    for start in range(0, len(roots), piece):
        first, last = max(start - margin, 0), min(start + piece + margin, len(roots))
        given = np.ascontiguousarray(roots[None, first:last], np.float32)
        outputs = session.run(list(wanted), {name: given})
        for part, output, (stride, kept) in zip(parts, outputs, wanted.values(), strict=True):
            inside = slice((start - first) // stride, -(-(min(start + piece, len(roots)) - first) // stride))
            part.append(kept(output[0, inside]))
    return [np.concatenate(part) if part else np.zeros((0, 0), np.float16) for part in parts]


def _half(values: FloatArray) -> FloatArray:
    return values.astype(np.float16)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return _half(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))


def _leading(logits: FloatArray) -> FloatArray:
    """The softmax without its last, which is for none."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return _half((powers / powers.sum(axis=-1, keepdims=True))[:, :CELLS])
