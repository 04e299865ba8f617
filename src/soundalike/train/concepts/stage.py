"""Train a concept network, and compute embeddings with it.

n segments, D dims of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from soundalike.core.errors import UsageError
from soundalike.core.files import make_folder
from soundalike.core.types import FloatArray, IntArray
from soundalike.train.common.checkpoints import Epoch, seeded
from soundalike.train.common.fit import Outcome, RateSteps, Schedule, Stage, fit, initial_weights
from soundalike.train.common.network_files import Trained, identity_of, load_network, save_network
from soundalike.train.concepts.batches import ConceptBatch, ConceptBatches
from soundalike.train.concepts.losses import conditional_triplet_loss, triplet_accuracy
from soundalike.train.concepts.masks import concept_distances
from soundalike.train.concepts.material import ConceptMaterial
from soundalike.train.concepts.mining import labelled_triplets, semi_hard_triplets
from soundalike.train.concepts.networks import AnyNetwork, ConceptNetwork
from soundalike.train.concepts.settings import ConceptSettings

__all__ = ["ConceptStage", "embed_segments", "load_concepts", "train_concepts", "train_concepts_on"]

_BATCH = 64


class ConceptStage(Stage[ConceptBatch]):
    """The conditional triplet loss on semi-hard triplets in training, and the share of wrong triplets in validation.

    Neither loss of triplets says how well a network does. That of semi-hard ones lies between 0 and the margin for any
    network. That of all triplets is lowest for one that maps everything to one point, since each triplet then costs the
    margin, which is small beside what a single wrong triplet can cost.
    """

    module: ConceptNetwork

    def __init__(self, name: str, module: ConceptNetwork, batches: ConceptBatches, settings: ConceptSettings) -> None:
        steps = RateSteps(settings.rate_factor, settings.rate_patience, settings.lowest_rate)
        super().__init__(name, module, Schedule(settings.rate, settings.epochs, rate_steps=steps))
        self._batches, self._settings = batches, settings

    def batches(self, random: np.random.Generator, steps: int) -> Iterable[ConceptBatch]:
        """Draw segments."""
        return self._batches.batches(random, steps)

    def validation(self) -> Iterable[ConceptBatch]:
        """Return the fixed segments."""
        return self._batches.validation()

    def measure(self, batch: ConceptBatch) -> Outcome:
        """Compute the loss, and the accuracy on all triplets."""
        settings, device = self._settings, next(self.module.parameters()).device
        embeddings = self.module({name: values.to(device) for name, values in batch.inputs.items()})
        distances = concept_distances(embeddings, len(settings.concepts))
        triplets = labelled_triplets(batch.alike.to(device))
        accuracy = triplet_accuracy(distances.detach(), triplets)
        if not self.module.training:
            return Outcome(1 - accuracy, accuracy)
        mined = semi_hard_triplets(distances, triplets, settings.window)
        return Outcome(conditional_triplet_loss(distances, mined, settings.margin), accuracy)

    def size(self, batch: ConceptBatch) -> int:
        """Return the number of segments."""
        return batch.alike.shape[1]


def train_concepts(
    settings: ConceptSettings,
    material: ConceptMaterial,
    work: Path,
    progress: Callable[[Epoch], None] | None = None,
    *,
    name: str = "concepts",
) -> Trained:
    """Train a network, unless it is there already.

    Args:
        settings: How to train.
        material: The segments, with labels and inputs.
        work: A folder for the network, WORK/<name>.safetensors, and for the unfinished run.
        progress: Called after every epoch.
        name: The name of the network. Networks with other settings or music need names of their own.

    Returns:
        What was trained or found. An interrupted run continues, with the same result.

    Raises:
        UsageError: What is there has other settings or music, a concept has too few labels, the inputs have another
            size, or training diverges.

    Example:
        >>> train_concepts(SMALL, material, Path("work")).path.name
        'concepts.safetensors'
    """
    path, unfinished = work / f"{name}.safetensors", work / f"{name}.unfinished"
    identity = identity_of(settings) | {"music": material.digest}
    if path.exists():
        return Trained(path, load_network(path, ConceptNetwork(settings), identity), found=True)
    batches = ConceptBatches(material, settings)
    make_folder(work, "--work")
    with seeded("cpu", initial_weights(settings, name)):
        network = ConceptNetwork(settings)
    stage = ConceptStage(name, network, batches, settings)
    curve = fit(stage, settings, checkpoint=unfinished, identity=identity, progress=progress)
    save_network(path, network, identity, curve)
    unfinished.unlink(missing_ok=True)
    return Trained(path, curve, found=False)


def train_concepts_on(
    settings: ConceptSettings,
    read: Callable[[], ConceptMaterial],
    digest: str,
    work: Path,
    name: str,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a network as `train_concepts` does, in any process.

    Inputs are opened there, because they are mapped from the disk and take gigabytes.

    Args:
        settings: How to train.
        read: Opens the segments.
        digest: That of the segments.
        work: See `train_concepts`.
        name: See `train_concepts`.
        progress: See `train_concepts`.

    Raises:
        UsageError: As `train_concepts`, and if the recordings are not those of the digest any more.

    Example:
        >>> task = NetworkTask("key", partial(train_concepts_on, SMALL, read, material.digest, Path("work"), "key"))
    """
    material = read()
    if material.digest != digest:
        raise UsageError("recordings changed while networks were trained; run the command again")
    return train_concepts(settings, material, work, progress, name=name)


def load_concepts(path: Path, settings: ConceptSettings) -> ConceptNetwork:
    """Return a trained network, in evaluation mode.

    Args:
        path: A file of `train_concepts`.
        settings: What it was trained with.

    Raises:
        UsageError: The file is missing or unreadable, or was trained with other settings.

    Example:
        >>> network = load_concepts(Path("work/concepts.safetensors"), SMALL)
    """
    network = ConceptNetwork(settings)
    load_network(path, network, identity_of(settings))
    return network


@torch.inference_mode()
def embed_segments(network: AnyNetwork, material: ConceptMaterial, rows: IntArray) -> FloatArray:
    """Compute the embeddings of some segments, on the device of the network.

    Args:
        network: A trained network, in evaluation mode.
        material: The segments.
        rows: The numbers of n segments.

    Returns:
        (n, D) float32. Concept i has the slice from i d to (i + 1) d.

    Example:
        >>> embed_segments(network, material, material.rows["test"]).shape
        (1200, 384)
    """
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        inputs = {name: torch.from_numpy(material.inputs(name, part)).to(device) for name in network.names}
        embeddings: Tensor = network(inputs)
        found.append(embeddings.cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, network.size), np.float32)
