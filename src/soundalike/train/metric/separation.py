"""Train the separator of one instrument, in the manner of Jansson et al., 2017."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from soundalike.train.common.fit import Outcome, Schedule, Stage
from soundalike.train.metric.batches import StemBatch, StemMixes
from soundalike.train.metric.losses import separation_l1
from soundalike.train.metric.settings import MetricSettings
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.unet import Separator

__all__ = ["SeparatorStage"]


class SeparatorStage(Stage[StemBatch]):
    """Mask times the magnitudes of a mix, toward the magnitudes of one instrument, by L1.

    Its accuracy is 1 minus the L1 distance of the separated instrument from the clean one, divided by that of the mix
    or that of silence, whichever is nearer. A quiet instrument is nearer to silence than to the mix, so that a mask
    of zeros removes most of the others and is worth nothing.
    """

    def __init__(
        self, name: str, module: Separator, schedule: Schedule, mixes: StemMixes, settings: MetricSettings
    ) -> None:
        super().__init__(name, module, schedule)
        self._mixes = mixes
        self._settings = settings

    def batches(self, random: np.random.Generator, steps: int) -> Iterable[StemBatch]:
        """Draw segments with their stems."""
        return self._mixes.batches(random, steps)

    def validation(self) -> Iterable[StemBatch]:
        """Return the fixed segments."""
        return self._mixes.validation()

    def measure(self, batch: StemBatch) -> Outcome:
        """Separate, and compare with the clean instrument."""
        device = next(self.module.parameters()).device
        mix = magnitudes(batch.mixes.to(device), self._settings.spectrum)
        clean = magnitudes(batch.stems.to(device), self._settings.spectrum)
        loss = separation_l1(self.module(mix), clean)
        with torch.no_grad():
            trivial = torch.minimum(separation_l1(mix, clean), separation_l1(torch.zeros_like(clean), clean))
            gained = 1 - loss / trivial.clamp(min=1e-9)
        return Outcome(loss, gained)

    def size(self, batch: StemBatch) -> int:
        """Return the number of segments."""
        return len(batch.mixes)
