"""Rows of segments by trained networks, and separated stems, each kept in a file so that a killed run goes on.

The name of a file is a digest of the weights and of the segments. Rows are raw: they are not scaled to unit length.

n counts segments, K instruments, d dims of a row, t samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from soundalike.core.files import make_folder, write_atomic
from soundalike.core.types import FloatArray
from soundalike.evaluate.sdr import song_sdr
from soundalike.train.common.network_files import digest_network
from soundalike.train.metric.cascade import Cascade
from soundalike.train.metric.pieces import Piece
from soundalike.train.metric.segments import Segments
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.triplets import Mixed, render_stems
from soundalike.train.metric.unet import Direct, DirectReconst

__all__ = ["Encoder", "separated_sdr"]

_BATCH = 16
_CHUNK = 30.0
"""Seconds that a separator sees at the same time."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes segments, once.

    Attributes:
        folder: Where rows are kept.
        settings: Spectrum and device.
    """

    folder: Path
    settings: MetricSettings

    def rows(
        self,
        weights: Path,
        load: Callable[[], nn.Module],
        mixtures: Sequence[Mixed],
        segments: Segments,
        instrument: int,
    ) -> FloatArray:
        """Return the rows of segments.

        Args:
            weights: The file of the network.
            load: Returns the network. Networks of stems (Clean) get the clean stem of the instrument.
            mixtures: n segments.
            segments: What they are cut from.
            instrument: The instrument that is described.

        Returns:
            (n, d) float32.

        Raises:
            UsageError: The file of the network is missing or unreadable, or the rows cannot be written.

        Example:
            >>> encoder.rows(space.path("clean", 0), lambda: space.network("clean", 0), mixtures, segments, 0).shape
            (1080, 128)
        """
        names = [(piece.name, piece.frames, piece.scale) for piece in segments.pieces]
        heard = [[(cut.piece, cut.start) for cut in mixed.cuts] for mixed in mixtures]
        identity = [digest_network(weights), instrument, segments.length, names, heard]
        return self._kept(identity, lambda: self._encode(load(), mixtures, segments, instrument))

    def sdr(
        self, weights: Path | None, load: Callable[[], nn.Module], pieces: Sequence[Piece], instrument: int
    ) -> FloatArray:
        """Return the SDR in dB of an instrument that a network separates from the mixes of n songs: (n,), as `rows`.

        Without weights, the mix is in the place of what a network separates. A song in which the instrument is silent
        has NaN.
        """
        names = [(piece.name, piece.frames, piece.scale) for piece in pieces]
        identity = ["sdr", digest_network(weights) if weights else None, instrument, names]

        def measure() -> FloatArray:
            network = load().eval().to(self.settings.device) if weights else None
            return np.array([separated_sdr(network, piece, instrument, self.settings) for piece in pieces])

        return self._kept(identity, measure)

    def _kept(self, identity: object, compute: Callable[[], FloatArray]) -> FloatArray:
        digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
        path = self.folder / f"{digest}.npy"
        if path.exists():
            kept: FloatArray = np.load(path, allow_pickle=False)
            return kept
        found = compute()
        make_folder(self.folder, "--work")
        write_atomic(path, lambda file: np.save(file, found))
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _encode(self, network: nn.Module, mixtures: Sequence[Mixed], segments: Segments, instrument: int) -> FloatArray:
        network = network.eval().to(self.settings.device)
        hears_mixes = isinstance(network, (Cascade, Direct))
        found = []
        for first in range(0, len(mixtures), _BATCH):
            stems = render_stems(mixtures[first : first + _BATCH], segments)
            heard = stems.sum(axis=1) if hears_mixes else stems[:, instrument]
            rows = network(self._spectrum(heard))
            found.append((rows[:, instrument] if rows.ndim == 3 else rows).cpu().numpy())
        return np.concatenate(found)

    def _spectrum(self, samples: FloatArray) -> Tensor:
        return magnitudes(torch.from_numpy(samples).to(self.settings.device), self.settings.spectrum)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def separated_sdr(network: nn.Module | None, piece: Piece, instrument: int, settings: MetricSettings) -> float:
    """Return the SDR of an instrument that a network separates from the mix of a song, by museval's definition.

    The mask of the magnitudes is applied to the complex spectrum of the mix, at the sampling rate of the network.

    Args:
        network: A separator and extractor, or one of all instruments with reconstruction; None is the mix itself.
        piece: The song.
        instrument: The number of the instrument.
        settings: Spectrum and device.

    Returns:
        The median over frames of one second in which the instrument sounds, in dB; NaN without any.

    Example:
        >>> separated_sdr(space.network("cascade", 0), material.songs["test"][0], 0, SMALL)
    """
    size, hop = settings.spectrum.size, settings.spectrum.hop
    window = torch.hann_window(size, device=settings.device)
    chunk = round(_CHUNK * piece.rate)
    parts = []
    for start in range(0, piece.frames, chunk):
        length = min(chunk, piece.frames - start)
        mix = torch.from_numpy(piece.cut(None, start, length)).to(settings.device)
        if network is None:
            parts.append(mix.cpu().numpy())
            continue
        whole = torch.stft(mix, size, hop, window=window, return_complex=True, pad_mode="constant")
        spectrum = whole[None, :-1].abs()
        if isinstance(network, DirectReconst):
            separated = network.reconstruct(spectrum, torch.tensor([instrument], device=settings.device))
        else:
            separated = cast("Cascade", network).separator(spectrum)
        mask = torch.zeros_like(whole.real)
        mask[:-1] = (separated / spectrum.clamp(min=1e-9))[0]
        parts.append(torch.istft(mask * whole, size, hop, window=window, length=length).cpu().numpy())
    true = piece.cut(instrument, 0, piece.frames)
    return float(song_sdr(true[None, None], np.concatenate(parts)[None, None], piece.rate)[0])
