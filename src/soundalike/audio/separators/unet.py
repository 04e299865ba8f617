"""Separator `unet`: one U-Net per instrument, trained with `soundalike train instruments`, run by onnxruntime.

Jansson, Humphrey, Montecchio, Bittner, Kumar and Weyde, "Singing voice separation with deep U-Net convolutional
networks", 2017, for each instrument as in Imamura, Hashizume, Huang and Toda, 2025.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.audio.separators.base import STEMS, Separator, StemBlock
from soundalike.audio.separators.installed import weights_folder
from soundalike.audio.separators.spectra import Analysis, Piece, Synthesis, pieces
from soundalike.audio.separators.unet_network import UnetNetwork
from soundalike.audio.stereo import StereoStream
from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["UNET_FILE", "UnetSeparator", "create", "read_licence"]

UNET_FILE = "unet.onnx"
"""The file in a folder of weights."""
_CODE = 1  # raise this whenever other code gives other stems


def create(weights: Path | None = None) -> Separator:
    """Return the separator.

    Args:
        weights: An ONNX file with masks, or a folder with such a file named unet.onnx. None: the installed weights.

    Raises:
        ModelError: There are no weights, or they are damaged or of another kind.

    Example:
        >>> create().stems
        ('drums', 'bass', 'guitar', 'piano', 'vocals', 'other')
    """
    installed = weights_folder("unet")
    weights = weights or (installed if installed.is_dir() else None)
    if weights is None:
        raise ModelError(
            "the separator unet needs its weights; train them with `soundalike train instruments`, then: "
            "soundalike separators install unet --weights FILE"
        )
    return UnetSeparator(weights)


def read_licence(weights: Path) -> str:
    """Return the licence that a file of weights states. Raises ModelError if it is damaged or of another kind."""
    return UnetSeparator(weights).licence


class UnetSeparator:
    """Masks of U-Nets on the mean of both channels, applied to the spectra of each.

    The networks see `frames` spectra at a time and `context` more on either side, which are left out of the result, so
    that pieces fit without a seam. Each instrument has a network of its own, so the stems need not sum to the mix. The
    bin at half the sample rate, which the networks do not see, is silent.

    Args:
        weights: An ONNX file with masks, or a folder with such a file named unet.onnx.
        frames: Spectra per piece, a multiple of 64.
        context: Spectra on either side, a multiple of 64. With 256, the result is that of one pass over the whole
            recording.

    Raises:
        ModelError: The weights are missing, damaged or of another kind, or an instrument is not the name of a stem.
    """

    name: ClassVar[str] = "unet"
    gate: ClassVar[float] = -20.0  # as for the separator spleeter

    def __init__(self, weights: Path, *, frames: int = 1024, context: int = 256) -> None:
        path = weights / UNET_FILE if weights.is_dir() else weights
        self._network = UnetNetwork(path, "masks", code=_CODE)
        self._settings = self._network.settings
        if unknown := [one for one in self.stems if one not in STEMS]:
            raise ModelError(f"{path} separates {', '.join(unknown)}; the known stems are {', '.join(STEMS)}")
        self._frames, self._context = frames, context

    @property
    def version(self) -> int:
        """Version of the stems, which changes with the weights."""
        return self._network.version

    @property
    def stems(self) -> tuple[str, ...]:
        """The instruments that the weights were trained for."""
        return self._settings.instruments

    @property
    def rate(self) -> int:
        """The sample rate that the weights were trained at, in Hz."""
        return self._settings.rate

    @property
    def licence(self) -> str:
        """The licence that the file of the weights states."""
        return self._settings.licence

    def files(self, path: Path) -> Sequence[Path]:
        """Return no files."""
        return ()

    def separate(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[StemBlock]:
        """Yield the stems in blocks of `frames` spectra."""
        return self.separate_blocks(StereoStream(path, self.rate, start=start, end=end))

    def separate_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[StemBlock]:
        """Yield the stems of stereo blocks (2, t) float32 at `rate`."""
        size, hop = self._settings.size, self._settings.hop
        syntheses = {stem: Synthesis(size, hop) for stem in self.stems}
        arrived: list[int] = []
        rest = 0  # samples that have arrived and were not yielded
        for piece in pieces(_counted(blocks, arrived), Analysis(size, hop), self._frames, self._context):
            masked = self._masked(piece)
            stems = {stem: synthesis.add(masked[index]) for index, (stem, synthesis) in enumerate(syntheses.items())}
            rest += sum(arrived)
            arrived.clear()
            if block := _first(stems, rest):
                yield block
                rest -= block[self.stems[0]].shape[1]
        if block := _first({stem: synthesis.finish() for stem, synthesis in syntheses.items()}, rest):
            yield block

    def _masked(self, piece: Piece) -> FloatArray:
        """Return the spectra (K, 2, f, size // 2 + 1) of the stems in a piece, seen with its context."""
        inside = piece.spectra[:, piece.first : piece.first + piece.size]
        masked = np.zeros((len(self.stems), *inside.shape), np.complex64)
        # The spectrum of the mean is the mean of the spectra.
        magnitudes = np.abs(piece.spectra.mean(axis=0)[:, :-1]).T
        if magnitudes.any():
            (masks,) = self._network(np.ascontiguousarray(magnitudes[None], np.float32))
            shown = masks[0, :, :, piece.first : piece.first + piece.size].transpose(0, 2, 1)
            masked[..., :-1] = inside[None, :, :, :-1] * shown[:, None]
        return masked


def _counted(blocks: Iterable[FloatArray], counts: list[int]) -> Iterator[FloatArray]:
    """Yield the blocks, and append their lengths to a list."""
    for block in blocks:
        counts.append(block.shape[1])
        yield block


def _first(stems: StemBlock, most: int) -> StemBlock:
    """Return the first samples of the stems, `most` at most; an empty table if there are none."""
    count = min(next(iter(stems.values())).shape[1], most)
    return {stem: signal[:, :count] for stem, signal in stems.items()} if count else {}
