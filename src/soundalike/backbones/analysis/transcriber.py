"""The transcriber: small networks that estimate what is played from the compact spectra of a stream.

For every frame they estimate the lead pitch, the sounding pitches, the chord tones, the onsets of drums and notes, and
the colour of the sound. The descriptors of melody, harmony, rhythm and timbre use these estimates. The networks are
trained on rendered music with known notes (`soundalike.train.transcriber`), exported to ONNX with all normalisation,
and run by onnxruntime.

In shapes, g counts pitch frames (every HOP samples), h = ceil(g / 2), and f counts fast frames (every
`spectra.FAST_HOP` samples), at 22,050 Hz.
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
"""Samples between pitch frames: 21.5 frames per second."""
LOWEST_NOTE = 33
"""MIDI note of the lowest cell: A1, 55 Hz, the lowest frequency of the spectra."""
CELLS = 72
"""Number of pitches that are distinguished, in semitones."""
STROKES = ("kick", "snare", "hat", "tom", "cymbal", "percussion", "bass", "comp", "lead")
"""Events that may begin in a fast frame: six kinds of drum, and notes of three roles."""
COLOURS = 64
"""Dimensions of the output of the colour network per frame."""
QUIET = 1e-4
"""Power relative to the loudest frame of a passage (-40 dB) below which the colour of a frame is ignored."""
PITCH_FILE, STROKE_FILE, COLOUR_FILE = "pitch.onnx", "strokes.onnx", "colour.onnx"
PITCH_OUTPUTS = ("lead", "notes", "tones", "root")
"""Outputs of the pitch network, in order. All are logits."""

_FRONT_END = b"2"  # increased when the spectra or the descriptors of what is played change

# The networks process a stream in pieces, so that memory stays bounded. The margins on both sides of a piece exceed the
# receptive field, so the results are those of the whole stream.
_PITCH_PIECE, _PITCH_MARGIN = 512, 96
_FAST_PIECE, _FAST_MARGIN = 4096, 256


@dataclass(frozen=True, slots=True, eq=False)
class Transcription:
    """The estimates for a stream. Probabilities are uint8 in units of 1/255.

    Attributes:
        lead: (g, CELLS) probability that a pitch leads. The remainder to 255 is the probability of no lead.
        tones: (h, 12) probability that a pitch class, from A, belongs to the chord.
        strokes: (f, len(STROKES)) probability that a stroke begins.
        colours: (h, COLOURS) float16, a description of the timbre.
    """

    lead: ByteArray
    tones: ByteArray
    strokes: ByteArray
    colours: FloatArray


class Transcriber:
    """The three networks of a folder.

    Args:
        folder: Folder with the files `PITCH_FILE`, `STROKE_FILE` and `COLOUR_FILE`.

    Attributes:
        version: A digest of the files and of the version of their input features.

    Raises:
        ModelError: A network is missing or has other outputs.

    Example:
        >>> transcriber = Transcriber(Path("networks"))
        >>> spectra = spectra_of(MonoStream("song.wav", RATE), HOP)
        >>> transcriber.transcribe(spectra.pitch, spectra.fast, spectra.colour).tones.shape
        (2584, 12)
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.blake2b(_FRONT_END, digest_size=4)
        self._pitch = _session(folder / PITCH_FILE, PITCH_OUTPUTS, digest.update)
        self._strokes = _session(folder / STROKE_FILE, ("strokes",), digest.update)
        self._colour = _session(folder / COLOUR_FILE, ("colours",), digest.update)
        self.version = int.from_bytes(digest.digest()) >> 1

    def transcribe(self, pitch: FloatArray, fast: FloatArray, colour: FloatArray) -> Transcription:
        """Transcribe root spectra.

        Args:
            pitch: Root spectra (g, 252) every HOP samples.
            fast: Root spectra (f, 32) every `spectra.FAST_HOP` samples.
            colour: Root spectra (g, 64) every HOP samples.

        Returns:
            The estimates for all frames.
        """
        open_stream = self.open_stream()
        open_stream.push(fast, colour, pitch)
        return open_stream.finish()

    def open_stream(self) -> TranscriptionStream:
        """Return a transcription stream, which takes root spectra piece by piece."""
        return TranscriptionStream(
            _NetworkStream(self._pitch, _PITCH_PIECE, _PITCH_MARGIN, {"lead": (1, _leading), "tones": (2, _sigmoid)}),
            _NetworkStream(self._strokes, _FAST_PIECE, _FAST_MARGIN, {"strokes": (1, _sigmoid)}),
            _NetworkStream(self._colour, _PITCH_PIECE, _PITCH_MARGIN, {"colours": (1, _half)}),
        )


class TranscriptionStream:
    """Transcribes a stream piece by piece, so that the spectra of long recordings need not be kept in memory."""

    def __init__(self, pitch: _NetworkStream, strokes: _NetworkStream, colour: _NetworkStream) -> None:
        self._pitch, self._strokes, self._colour = pitch, strokes, colour
        self._slow = 0

    def push(self, fast: FloatArray, colour: FloatArray, pitch: FloatArray) -> None:
        """Add the next root spectra: `fast` (f, 32), `colour` (g, 64) and `pitch` (g, 252)."""
        self._strokes.push(fast)
        self._colour.push(colour[self._slow % 2 :: 2])
        self._pitch.push(pitch)
        self._slow += len(pitch)

    def finish(self) -> Transcription:
        """Return the transcription of the whole stream. Call this once, at its end."""
        lead, tones = self._pitch.finish()
        (strokes,) = self._strokes.finish()
        (colours,) = self._colour.finish()
        return Transcription(lead, tones, strokes, colours)


def _session(path: Path, outputs: Sequence[str], read: Callable[[bytes], None]) -> Any:
    """Load a network and check its outputs; `read` is called with the content of its file."""
    import onnxruntime

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); install the model again") from error
    read(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # worker processes are the parallelism
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises exception types that it does not export
        raise ModelError(f"{path} is not a valid network ({type(error).__name__}); install the model again") from error
    found = tuple(output.name for output in session.get_outputs())
    if found != tuple(outputs):
        raise ModelError(
            f"{path} has the outputs {', '.join(found)}, expected {', '.join(outputs)}; install the model again"
        )
    return session


class _NetworkStream:
    """Runs one network over a stream of root spectra (frames, bands), piece by piece.

    Args:
        session: The network.
        piece: Frames per piece.
        margin: Frames of context on either side of a piece.
        outputs: Per output, its stride in frames, which divides the margin, and a function that is applied to it.
    """

    def __init__(
        self,
        session: Any,
        piece: int,
        margin: int,
        outputs: Mapping[str, tuple[int, Callable[[FloatArray], AnyArray]]],
    ) -> None:
        self._session, self._piece, self._margin, self._outputs = session, piece, margin, outputs
        (self._input,) = (node.name for node in session.get_inputs())
        self._waiting: list[FloatArray] = []
        self._from = self._until = self._next = 0  # first and last waiting frame, and the start of the next piece
        self._parts = [FrameList() for _ in outputs]

    def push(self, roots: FloatArray) -> None:
        """Add the next frames."""
        self._waiting.append(roots)
        self._until += len(roots)
        while self._until >= self._next + self._piece + self._margin:
            self._run_piece()

    def finish(self) -> list[AnyArray]:
        """Return the outputs (frames / stride, m), in the order of `outputs`."""
        while self._next < self._until:
            self._run_piece()
        return [part.joined() for part in self._parts]

    def _run_piece(self) -> None:
        """Run the network on the next piece, and drop the frames that are no longer needed."""
        start, end = self._next, min(self._next + self._piece, self._until)
        first, last = max(start - self._margin, 0), min(end + self._margin, self._until)
        waiting = np.concatenate(self._waiting)
        batch = np.ascontiguousarray(waiting[None, first - self._from : last - self._from], np.float32)
        outputs = self._session.run(list(self._outputs), {self._input: batch})
        for part, output, (stride, convert) in zip(self._parts, outputs, self._outputs.values(), strict=True):
            part.append(convert(output[0, (start - first) // stride : -(-(end - first) // stride)]))
        self._next = end
        past = max(end - self._margin, 0) - self._from
        self._waiting, self._from = [waiting[past:].copy()], self._from + past


def _half(values: FloatArray) -> FloatArray:
    return values.astype(np.float16)


def _sigmoid(logits: FloatArray) -> ByteArray:
    return _bytes(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))


def _leading(logits: FloatArray) -> ByteArray:
    """Return the softmax without its last output, the probability of no lead."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return _bytes((powers / powers.sum(axis=-1, keepdims=True))[:, :CELLS])


def _bytes(probabilities: FloatArray) -> ByteArray:
    """Return probabilities as uint8 in units of 1/255."""
    return np.rint(255.0 * probabilities).astype(np.uint8)
