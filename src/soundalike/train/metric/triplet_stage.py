"""What all stages that learn from triplets share.

n triplets, t samples, D dims of the rows that are compared.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from soundalike.train.common.fit import Outcome, Schedule, Stage
from soundalike.train.metric.batches import TripletBatch, Triplets
from soundalike.train.metric.losses import triplet_distance
from soundalike.train.metric.settings import MetricSettings

__all__ = ["TripletStage"]

Network = TypeVar("Network", bound=nn.Module)


class TripletStage(Stage[TripletBatch], Generic[Network]):
    """The triplet loss on L2 distances, with a weighted separation loss beside it where a stage has one.

    Attributes:
        module: The network.
        settings: Spectrum, margin and weight.
    """

    module: Network

    def __init__(
        self,
        name: str,
        module: Network,
        schedule: Schedule,
        triplets: Triplets,
        settings: MetricSettings,
        frozen: Iterable[str] = (),
    ) -> None:
        super().__init__(name, module, schedule, frozen)
        self.settings = settings
        self._triplets = triplets

    def batches(self, random: np.random.Generator, steps: int) -> Iterable[TripletBatch]:
        """Draw triplets."""
        return self._triplets.batches(random, steps)

    def validation(self) -> Iterable[TripletBatch]:
        """Return the fixed triplets."""
        return self._triplets.validation()

    def measure(self, batch: TripletBatch) -> Outcome:
        """Compute the loss. The three segments of all triplets go through the network together."""
        inputs = batch.inputs.flatten(0, 1).to(next(self.module.parameters()).device)
        rows, separation = self.outputs(inputs, batch)
        anchor, positive, negative = rows.unflatten(0, (3, -1)).unbind()
        loss = triplet_distance(anchor, positive, negative, self.settings.margin)
        if separation is not None:
            loss = loss + self.settings.separation_weight * separation
        with torch.no_grad():
            nearer = vector_norm(anchor - positive, dim=1) - vector_norm(anchor - negative, dim=1)
            accuracy = torch.heaviside(-nearer, nearer.new_tensor(0.5)).mean()
        return Outcome(loss, accuracy)

    @abstractmethod
    def outputs(self, inputs: Tensor, batch: TripletBatch) -> tuple[Tensor, Tensor | None]:
        """Return rows and the separation loss, if any.

        Args:
            inputs: Samples (3 n, t) on the device: all anchors, all positives, all negatives.
            batch: The batch that they are from.

        Returns:
            Rows (3 n, D), which are 0 where they do not count, and a scalar or None.
        """

    def size(self, batch: TripletBatch) -> int:
        """Return the number of triplets."""
        return len(batch.targets)
