"""Train one extractor for all instruments of a mix: Direct, and Direct-Reconst, which also reconstructs stems.

n examples or triplets, K instruments, d dims of a row, t samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from soundalike.train.common.fit import Outcome, Schedule, Stage
from soundalike.train.metric.batches import SourceBatch, Sources, TripletBatch
from soundalike.train.metric.conditioning import condition_1d
from soundalike.train.metric.losses import pretraining_l2, separation_l1
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.triplet_stage import TripletStage
from soundalike.train.metric.unet import Direct, DirectReconst, ExtractorBank

__all__ = ["DirectStage", "PretrainStage", "ReconstStage"]

_LEAST_VARIANCE = 1e-9
"""Below it is the rounding of equal aims, such as those of one segment."""


class PretrainStage(Stage[SourceBatch]):
    """Mixes of every combination of instruments, toward the rows of Clean, side by side, and 0 for the absent ones.

    Its accuracy is the share of the variance of these aims that the network explains, 0 for a batch without variance.

    Attributes:
        module: The network.
        clean: The networks of Clean, which stay as they are.
    """

    module: Direct
    clean: ExtractorBank

    def __init__(
        self,
        name: str,
        module: Direct,
        clean: ExtractorBank,
        schedule: Schedule,
        sources: Sources,
        settings: MetricSettings,
    ) -> None:
        super().__init__(name, module, schedule)
        self.clean = clean.eval().requires_grad_(requires_grad=False)
        self._sources = sources
        self._settings = settings

    def batches(self, random: np.random.Generator, steps: int) -> Iterable[SourceBatch]:
        """Draw segments, each with a combination of its instruments."""
        return self._sources.batches(random, steps)

    def validation(self) -> Iterable[SourceBatch]:
        """Return the fixed segments."""
        return self._sources.validation()

    def measure(self, batch: SourceBatch) -> Outcome:
        """Compare rows of mixes with those of Clean."""
        device = next(self.module.parameters()).device
        self.clean.to(device)
        stems, present = batch.stems.to(device), batch.present.to(device)
        mixes = magnitudes(batch.mixes().to(device), self._settings.spectrum)
        aims = self.aims(stems, present)
        loss = pretraining_l2(self.module(mixes), aims, present)
        with torch.no_grad():
            variance = pretraining_l2(aims.mean(dim=0, keepdim=True), aims, present)
            explained = 1 - loss / variance if variance > _LEAST_VARIANCE else torch.zeros_like(variance)
        return Outcome(loss, explained)

    @torch.no_grad()
    def aims(self, stems: Tensor, present: Tensor) -> Tensor:
        """Return the rows (n, K, d) of Clean for the stems (n, K, t) that are present (n, K), and 0 for the others."""
        aims = stems.new_zeros((*present.shape, self._settings.network.dim))
        for index, extractor in enumerate(self.clean.networks):
            chosen = present[:, index].nonzero()[:, 0]
            if len(chosen):
                aims[chosen, index] = extractor(magnitudes(stems[chosen, index], self._settings.spectrum))
        return aims

    def size(self, batch: SourceBatch) -> int:
        """Return the number of segments."""
        return len(batch.stems)


class DirectStage(TripletStage[Direct]):
    """Triplets of mixes, compared in the slice of their target alone (Conditioning1D)."""

    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return conditioned vectors (3 n, K d)."""
        rows = self.module(magnitudes(inputs, self.settings.spectrum))
        return _condition(rows, batch.targets.to(inputs.device)), None


class ReconstStage(TripletStage[DirectReconst]):
    """Triplets as for `DirectStage`, and the reconstruction of the target's stem in all three inputs.

    The decoder of the target sees only the target's channels of the last feature map (Conditioning3D).
    """

    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return conditioned vectors (3 n, K d) and the reconstruction loss."""
        targets = batch.targets.to(inputs.device)
        rows, separated = self.module.multitask(magnitudes(inputs, self.settings.spectrum), targets.repeat(3))
        clean = magnitudes(batch.clean(inputs.device), self.settings.spectrum)
        return _condition(rows, targets), separation_l1(separated, clean)


def _condition(rows: Tensor, targets: Tensor) -> Tensor:
    """Rows (3 n, K, d) and targets (n,) to vectors (3 n, K d) that are 0 outside the slice of the target."""
    return condition_1d(rows.flatten(1), targets.repeat(3), rows.shape[1])
