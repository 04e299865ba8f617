"""Short-time spectra of a stereo stream, and the stream again from masked ones.

Frames of `size` samples every `hop` have a periodic Hann window. Frame k is centred on sample `k * hop`, and the signal
is silent outside of the recording, as in torch.stft with `center=True` and `pad_mode="constant"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.core.types import AnyArray, FloatArray

__all__ = ["Analysis", "Piece", "Synthesis", "magnitudes", "pieces"]


def _hann(size: int) -> FloatArray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


class Analysis:
    """The spectra of a stream that arrives in blocks.

    Args:
        size: Samples per frame.
        hop: Samples between frames; it divides `size`.

    Example:
        >>> analysis = Analysis(4096, 1024)
        >>> analysis.add(np.zeros((2, 44100), np.float32)).shape
        (2, 42, 2049)
    """

    def __init__(self, size: int, hop: int) -> None:
        self.bins = size // 2 + 1
        self._size, self._hop, self._window = size, hop, _hann(size)
        self._held = np.zeros((2, size // 2), np.float32)
        self._count = 0
        self._frames = 0

    def add(self, block: FloatArray) -> AnyArray:
        """Return the spectra (2, f, size // 2 + 1) complex64 of the frames that a block (2, t) completes."""
        self._count += block.shape[1]
        self._held = np.concatenate([self._held, block], axis=1)
        return self._take(max(0, (self._held.shape[1] - self._size) // self._hop + 1))

    def finish(self) -> AnyArray:
        """Return the spectra of the last frames, up to the first that is centred beyond the end of the stream."""
        missing = 1 + -(-self._count // self._hop) - self._frames
        length = self._size + (missing - 1) * self._hop
        self._held = np.pad(self._held, ((0, 0), (0, max(0, length - self._held.shape[1]))))
        return self._take(missing)

    def _take(self, frames: int) -> AnyArray:
        if not frames:
            return np.zeros((2, 0, self.bins), np.complex64)
        views = np.lib.stride_tricks.sliding_window_view(self._held, self._size, axis=1)
        spectra = scipy.fft.rfft(views[:, : frames * self._hop : self._hop] * self._window, axis=2)
        self._held = self._held[:, frames * self._hop :].copy()
        self._frames += frames
        return spectra


class Synthesis:
    """A stream (2, t) from its spectra, frame after frame. It begins with the first sample of the recording.

    Args:
        size: Samples per frame.
        hop: Samples between frames; it divides `size`.

    Example:
        >>> synthesis = Synthesis(4096, 1024)
        >>> synthesis.add(np.zeros((2, 42, 2049), np.complex64)).shape
        (2, 40960)
    """

    def __init__(self, size: int, hop: int) -> None:
        self._size, self._hop, self._window = size, hop, _hann(size)
        self._overlap = size // hop
        self._tail = np.zeros((2, self._overlap - 1, hop), np.float32)
        self._weight = np.zeros((self._overlap - 1, hop), np.float32)
        self._before = size // 2  # samples before the recording that are still to be left out

    def add(self, spectra: AnyArray) -> FloatArray:
        """Return the samples that are complete after more frames (2, f, size // 2 + 1)."""
        frames, overlap, hop = spectra.shape[1], self._overlap, self._hop
        parts = (scipy.fft.irfft(spectra, self._size, axis=2) * self._window).reshape(2, frames, overlap, hop)
        squares = np.square(self._window).reshape(overlap, hop)
        sound = np.zeros((2, frames + overlap - 1, hop), np.float32)
        weight = np.zeros((frames + overlap - 1, hop), np.float32)
        sound[:, : overlap - 1] += self._tail
        weight[: overlap - 1] += self._weight
        for part in range(overlap):
            sound[:, part : part + frames] += parts[:, :, part]
            weight[part : part + frames] += squares[part]
        self._tail, self._weight = sound[:, frames:].copy(), weight[frames:].copy()
        return self._from_start(sound[:, :frames], weight[:frames])

    def finish(self) -> FloatArray:
        """Return the samples of the last frames, beyond the end of the recording."""
        return self._from_start(self._tail, self._weight)

    def _from_start(self, sound: FloatArray, weight: FloatArray) -> FloatArray:
        samples = (sound / np.maximum(weight, 1e-8)).reshape(2, -1)
        skipped = min(self._before, samples.shape[1])
        self._before -= skipped
        return samples[:, skipped:]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of the spectra of a stream, with some context.

    Attributes:
        spectra: (2, f, bins) complex64, with context on either side.
        first: The first frame after the context before.
        size: Frames of the piece itself.
    """

    spectra: AnyArray
    first: int
    size: int


def pieces(blocks: Iterable[FloatArray], analysis: Analysis, frames: int, context: int) -> Iterator[Piece]:
    """Yield the spectra of a stream in pieces, so that a network can see a long recording piece by piece.

    Args:
        blocks: Stereo blocks (2, t) of any lengths.
        analysis: A new analysis.
        frames: Frames per piece; the last one may be shorter.
        context: Frames on either side of a piece, fewer at the ends of the stream.

    Example:
        >>> silence = [np.zeros((2, 44100), np.float32)]
        >>> [piece.size for piece in pieces(silence, Analysis(4096, 1024), 32, 16)]
        [32, 13]
    """
    held = np.zeros((2, 0, analysis.bins), np.complex64)  # from `before` frames before the next piece on
    parts: list[AnyArray] = []
    before, count = 0, 0
    for block in blocks:
        parts.append(analysis.add(block))
        count += parts[-1].shape[1]
        while count >= before + frames + context:
            held = np.concatenate([held, *parts], axis=1)
            parts = []
            yield Piece(held[:, : before + frames + context], before, frames)
            dropped = max(0, before + frames - context)
            held = held[:, dropped:]
            before, count = before + frames - dropped, count - dropped
    held = np.concatenate([held, *parts, analysis.finish()], axis=1)
    while held.shape[1] > before:
        yield Piece(held[:, : before + frames + context], before, min(frames, held.shape[1] - before))
        dropped = max(0, before + frames - context)
        held = held[:, dropped:]
        before = before + frames - dropped


def magnitudes(clips: FloatArray, size: int, hop: int) -> FloatArray:
    """Return the magnitudes of the spectra of clips, without the bin at half the sample rate.

    Args:
        clips: (n, t) float32.
        size: Samples per frame.
        hop: Samples between frames.

    Returns:
        (n, size // 2, 1 + t // hop) float32.

    Example:
        >>> magnitudes(np.zeros((3, 16_000), np.float32), 1024, 512).shape
        (3, 512, 32)
    """
    padded = np.pad(clips, ((0, 0), (size // 2, size // 2)))
    views = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::hop]
    spectra = scipy.fft.rfft(views * _hann(size), axis=2)
    return np.ascontiguousarray(np.abs(spectra[:, :, : size // 2]).transpose(0, 2, 1))
