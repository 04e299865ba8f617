"""Train the rows of one instrument: on its clean sound (Clean), or on what its separator makes of a mix (Cascade).

n triplets, t samples, d dims of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from soundalike.train.common.fit import Schedule
from soundalike.train.metric.batches import TripletBatch, Triplets
from soundalike.train.metric.losses import separation_l1
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.triplet_stage import TripletStage
from soundalike.train.metric.unet import Extractor, Separator

__all__ = ["Cascade", "CascadeStage", "CleanStage"]


class Cascade(nn.Module):
    """A separator and the extractor that follows it: magnitudes (n, bins, frames) of mixes to rows (n, d)."""

    def __init__(self, separator: Separator, extractor: Extractor) -> None:
        super().__init__()
        self.separator = separator
        self.extractor = extractor

    def forward(self, spectrum: Tensor) -> Tensor:
        """Separate and extract."""
        rows: Tensor = self.extractor(self.separator(spectrum))
        return rows


class CleanStage(TripletStage[Extractor]):
    """Triplets of clean stems."""

    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return the rows; there is no other loss."""
        return self.module(magnitudes(inputs, self.settings.spectrum)), None


class CascadeStage(TripletStage[Cascade]):
    """Triplets of mixes, separated by networks that are frozen or trained.

    A trained separator has the separation loss of all three inputs beside the triplet loss (Cascade-FT), unless
    `auxiliary` is False, as in fine-tuning on judgements without stems.
    """

    def __init__(
        self,
        name: str,
        module: Cascade,
        schedule: Schedule,
        triplets: Triplets,
        settings: MetricSettings,
        *,
        tune_separator: bool = False,
        auxiliary: bool = True,
    ) -> None:
        super().__init__(name, module, schedule, triplets, settings, frozen=() if tune_separator else ("separator",))
        self._tune_separator = tune_separator
        self._auxiliary = auxiliary and tune_separator

    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return the rows, and the separation loss of a separator that is trained."""
        spectrum = magnitudes(inputs, self.settings.spectrum)
        with torch.set_grad_enabled(self._tune_separator and torch.is_grad_enabled()):
            separated = self.module.separator(spectrum)
        loss = None
        if self._auxiliary:
            clean = magnitudes(batch.clean(inputs.device), self.settings.spectrum)
            loss = separation_l1(separated, clean)
        return self.module.extractor(separated), loss
