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

from soundalike.backbones.analysis.spectra import FrameList
from soundalike.core.errors import ModelError
from soundalike.core.types import AnyArray, ByteArray, FloatArray

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
    "Transcriber",
    "Transcription",
    "TranscriptionStream",
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

_FRONT_END = b"2"  # raised when the spectra or the descriptors of what is played change

# A piece is what the networks are given at a time, so that memory stays bounded; its margins are more than a frame of
# the output can see either side, so that pieces say what the whole would.
_PITCH_PIECE, _PITCH_MARGIN = 512, 96
_FAST_PIECE, _FAST_MARGIN = 4096, 256


@dataclass(frozen=True, slots=True, eq=False)
class Transcription:
    """Probabilities in 255ths, uint8: `lead` (g, CELLS) of leading, what is missing to 255 for none; `tones` (h, 12) of
    being in the chord, from A; `strokes` (f, len(STROKES)) of beginning. And `colours` (h, COLOURS) float16, what the
    sound is made of.
    """

    lead: ByteArray
    tones: ByteArray
    strokes: ByteArray
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

    def listen(self, pitch: FloatArray, fast: FloatArray, colour: FloatArray) -> Transcription:
        """What is played in a stream of root spectra `pitch` (g, 252), `fast` (f, 32) and `colour` (g, 64).

        Those of pitch and colour are HOP samples apart.
        """
        open_stream = self.open_stream()
        open_stream.push(fast, colour, pitch)
        return open_stream.finish()

    def open_stream(self) -> TranscriptionStream:
        """Listen to a stream as it comes."""
        return TranscriptionStream(
            _NetworkStream(self._pitch, _PITCH_PIECE, _PITCH_MARGIN, {"lead": (1, _leading), "tones": (2, _sigmoid)}),
            _NetworkStream(self._strokes, _FAST_PIECE, _FAST_MARGIN, {"strokes": (1, _sigmoid)}),
            _NetworkStream(self._colour, _PITCH_PIECE, _PITCH_MARGIN, {"colours": (1, _half)}),
        )


class TranscriptionStream:
    """A transcriber that is given a stream piece by piece, so that nobody has to keep the spectra of hours."""

    def __init__(self, pitch: _NetworkStream, strokes: _NetworkStream, colour: _NetworkStream) -> None:
        self._pitch, self._strokes, self._colour = pitch, strokes, colour
        self._slow = 0

    def push(self, fast: FloatArray, colour: FloatArray, pitch: FloatArray) -> None:
        """The next root spectra, (f, 32), (g, 64) and (g, 252)."""
        self._strokes.push(fast)
        self._colour.push(colour[self._slow % 2 :: 2])
        self._pitch.push(pitch)
        self._slow += len(pitch)

    def finish(self) -> Transcription:
        """All that was heard, once the stream has come to its end."""
        lead, tones = self._pitch.finish()
        (strokes,) = self._strokes.finish()
        (colours,) = self._colour.finish()
        return Transcription(lead, tones, strokes, colours)


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


class _NetworkStream:
    """One network over a stream of root spectra (frames, bands), a piece at a time.

    `wanted` says of each output its stride, which divides the margin, and what is kept of a piece.
    """

    def __init__(
        self,
        session: Any,
        piece: int,
        margin: int,
        wanted: Mapping[str, tuple[int, Callable[[FloatArray], AnyArray]]],
    ) -> None:
        self._session, self._piece, self._margin, self._wanted = session, piece, margin, wanted
        (self._input,) = (one.name for one in session.get_inputs())
        self._waiting: list[FloatArray] = []
        self._from = self._until = self._next = 0  # frames that wait, and where the next piece begins
        self._parts = [FrameList() for _ in wanted]

    def push(self, roots: FloatArray) -> None:
        """The next frames."""
        self._waiting.append(roots)
        self._until += len(roots)
        while self._until >= self._next + self._piece + self._margin:
            self._hear()

    def finish(self) -> list[AnyArray]:
        """The outputs (frames / stride, m), in the order of `wanted`."""
        while self._next < self._until:
            self._hear()
        return [part.joined() for part in self._parts]

    def _hear(self) -> None:
        start, end = self._next, min(self._next + self._piece, self._until)
        first, last = max(start - self._margin, 0), min(end + self._margin, self._until)
        held = np.concatenate(self._waiting)
        given = np.ascontiguousarray(held[None, first - self._from : last - self._from], np.float32)
        outputs = self._session.run(list(self._wanted), {self._input: given})
        for part, output, (stride, kept) in zip(self._parts, outputs, self._wanted.values(), strict=True):
            part.append(kept(output[0, (start - first) // stride : -(-(end - first) // stride)]))
        self._next = end
        past = max(end - self._margin, 0) - self._from
        self._waiting, self._from = [held[past:].copy()], self._from + past


def _half(values: FloatArray) -> FloatArray:
    return values.astype(np.float16)


def _sigmoid(logits: FloatArray) -> ByteArray:
    return _bytes(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))


def _leading(logits: FloatArray) -> ByteArray:
    """The softmax without its last, which is for none."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return _bytes((powers / powers.sum(axis=-1, keepdims=True))[:, :CELLS])


def _bytes(probabilities: FloatArray) -> ByteArray:
    return np.rint(255.0 * probabilities).astype(np.uint8)
