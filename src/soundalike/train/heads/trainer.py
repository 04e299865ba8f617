"""Train projection heads on triplets of cached features by the recipe of MERIT, without its redundant computation.

n clips, D dims of a feature, h hidden units, d dims of a space, R rows and B triplets of a batch.

Several optimisations leave the gradients unchanged. All rows are on the device once, and triplets hold positions.
Batches consist of whole folders, so a row is projected once for all of its triplets (`sampling.py`). Similarities are
gathered from one matrix product. The optimiser's step is one fused kernel. Losses are summed on the device.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026. The published recipe is
D -> 512 -> 128 with ReLU, circle loss, AdamW with a learning rate of 1e-3 and a weight decay of 1e-4, a cosine to 1e-5
per step, 1024 triplets per batch, 200 epochs, and the epoch with the lowest validation loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.models import JointShape
from soundalike.train.common import losses
from soundalike.train.common.checkpoints import (
    Checkpoint,
    Epoch,
    digest_arrays,
    load_checkpoint,
    save_checkpoint,
    seeded,
    shapes_of,
)
from soundalike.train.data.sampling import Batch, Negatives, Triplets, TripletSet
from soundalike.train.heads.joint import JointNetwork, fold_joint
from soundalike.train.heads.merit_order import merit_order
from soundalike.train.heads.scaling import CHUNK, Scaler, measure_scaling
from soundalike.train.heads.settings import HeadSettings

__all__ = ["HeadSettings", "Progress", "TrainedHead", "train_head", "train_joint"]

Progress: TypeAlias = Callable[[Epoch], None]
"""Called after every epoch."""

_Project: TypeAlias = Callable[[Tensor, str], Tensor]
"""Projects standardised features (R, D) to rows (R, d) of a factor, before normalisation."""

_SECONDS_BETWEEN_CHECKPOINTS = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainedHead:
    """A trained head.

    Attributes:
        tensors: Weights of the best epoch, for raw features. For a head hidden.weight (h, D), hidden.bias (h,) and
            out.weight (d, h), float32; for a joint head those that `soundalike.models.joint_head` lists.
        spread: Standard deviation (D,) of the training rows. Attribution multiplies weights by it.
        curves: All epochs, in order.
        best_epoch: Number of the epoch with the lowest validation loss, from 1.
    """

    tensors: Mapping[str, FloatArray]
    spread: FloatArray
    curves: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class _FitTask:
    """Training and validation triplets of a factor. Their rows are positions on the device."""

    name: str
    train: Triplets
    validation: Triplets


def train_head(
    features: FloatArray,
    train: TripletSet,
    validation: TripletSet,
    settings: HeadSettings,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> TrainedHead:
    """Train the head of one factor, unit(W2 relu(W1 x + b1)).

    Features are standardised by the mean and standard deviation of the training rows, unless `settings.scaling` is
    "none". The standardisation is folded into W1 and b1 of the result. The same seed and settings give the same head.

    Args:
        features: (n, D) float32.
        train: Training folders, as positions in `features`.
        validation: Validation folders, as positions in `features`.
        settings: How to train.
        checkpoint: A file from which an interrupted run continues. On the CPU, the result of a continued run equals
            that of an uninterrupted one bit for bit.
        progress: Called after every epoch.

    Returns:
        The head of the epoch with the lowest validation loss.

    Raises:
        UsageError: The features are not finite, no triplet is complete, a batch is too small for in-batch negatives,
            the device is unknown, the checkpoint is of another run or unreadable, or training diverges.
        ValueError: `features` has another shape.

    Example:
        >>> head = train_head(features, train, validation, HeadSettings(epochs=50, patience=10))
        >>> head.tensors["out.weight"].shape
        (128, 512)
    """
    with seeded(settings.device, settings.seed):
        tasks = {"": (train, validation)}
        module = nn.Sequential(
            nn.Linear(features.shape[1], settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, settings.out, bias=False),
        )
        best, scaling, curves = _fit(module, lambda x, _: module(x), features, tasks, settings, checkpoint, progress)
    weight = best["0.weight"].double().numpy() * scaling.inverse
    tensors: dict[str, FloatArray] = {
        "hidden.weight": weight,
        "hidden.bias": best["0.bias"].double().numpy() - weight @ scaling.mean,
        "out.weight": best["3.weight"].numpy(),
    }
    return _result(tensors, scaling, curves)


def train_joint(
    features: FloatArray,
    blocks: tuple[int, ...],
    factors: Mapping[str, tuple[TripletSet, TripletSet]],
    settings: HeadSettings,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> TrainedHead:
    """Train one joint head (`soundalike.models.joint_head`) for all factors.

    A step takes one batch of about `settings.batch` triplets of each factor. Losses are summed over factors, accuracies
    averaged.

    Args:
        features: (n, D) float32, several features side by side.
        blocks: Sizes of the features, with the sum D.
        factors: Training and validation folders of each factor, by the name of its space.
        settings: How to train.
        checkpoint: A file from which an interrupted run continues.
        progress: Called after every epoch.

    Returns:
        The head of the epoch with the lowest validation loss.

    Raises:
        UsageError: As for `train_head`.
        ValueError: `features` has another shape, or there are no factors.

    Example:
        >>> head = train_joint(features, (500, 576), {"melody": melody, "rhythm": rhythm}, HeadSettings())
        >>> head.tensors["joint.out.melody.weight"].shape
        (128, 128)
    """
    if settings.sampling == "merit":
        raise UsageError("the sampling merit is for one head per factor; choose another one for a joint head")
    if sum(blocks) != features.shape[1] or not factors:
        raise ValueError(f"blocks {blocks} and {len(factors)} factors for features of {features.shape[1]} dims")
    with seeded(settings.device, settings.seed):
        module = JointNetwork(JointShape(blocks, out_dim=settings.out, spaces=tuple(factors)))
        best, scaling, curves = _fit(module, module, features, factors, settings, checkpoint, progress)
    return _result(fold_joint(best, blocks, scaling.mean, scaling.inverse), scaling, curves)


def _result(tensors: Mapping[str, FloatArray], scaling: Scaler, curves: tuple[Epoch, ...]) -> TrainedHead:
    converted = {
        name: np.asarray(tensor, np.float32 if np.issubdtype(tensor.dtype, np.floating) else None, order="C")
        for name, tensor in tensors.items()
    }
    return TrainedHead(converted, scaling.deviation.astype(np.float32), curves, _best(curves))


def _fit(
    module: nn.Module,
    project: _Project,
    features: FloatArray,
    factors: Mapping[str, tuple[TripletSet, TripletSet]],
    settings: HeadSettings,
    checkpoint: Path | None,
    progress: Progress | None,
) -> tuple[Mapping[str, Tensor], Scaler, tuple[Epoch, ...]]:
    """Train a module. Return its state after the best epoch, the standardisation and the curves."""
    state = torch.get_rng_state()
    rows, scaling, tasks = _prepare(features, factors, settings)
    module.to(rows.device)
    optimizer = torch.optim.AdamW(module.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    identity = _identity(settings, module, scaling, tasks)
    run = Checkpoint((), {})
    if checkpoint and checkpoint.exists():
        run = load_checkpoint(checkpoint, identity, module, optimizer)
    saved = time.monotonic()
    while not _done(run.curves, settings):
        number = len(run.curves) + 1
        train_loss = _train_epoch(module, project, optimizer, rows, tasks, settings, number, state)
        epoch = Epoch(number, train_loss, *_validate(module, project, rows, tasks, settings))
        run = run.after(epoch, module)
        if checkpoint and (_done(run.curves, settings) or time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS):
            save_checkpoint(checkpoint, run, identity, module, optimizer)
            saved = time.monotonic()
        if progress:
            progress(epoch)
    return run.best, scaling, run.curves


def _done(curves: tuple[Epoch, ...], settings: HeadSettings) -> bool:
    if not curves or settings.patience is None:
        return len(curves) >= settings.epochs
    return len(curves) >= settings.epochs or len(curves) - _best(curves) >= settings.patience


def _best(curves: tuple[Epoch, ...]) -> int:
    return min(curves, key=lambda epoch: epoch.validation_loss).number


def _identity(settings: HeadSettings, module: nn.Module, scaling: Scaler, tasks: Sequence[_FitTask]) -> dict[str, Any]:
    """Return what must be equal in a run and its checkpoint.

    The device may differ: a run can continue on another one, with nearly the same result.
    """
    values = {name: value for name, value in asdict(settings).items() if name != "device"}
    arrays = [triplets.rows for task in tasks for triplets in (task.train, task.validation)]
    return values | {"shapes": shapes_of(module), "data": digest_arrays([scaling.mean, scaling.deviation, *arrays])}


def _prepare(
    features: FloatArray, factors: Mapping[str, tuple[TripletSet, TripletSet]], settings: HeadSettings
) -> tuple[Tensor, Scaler, list[_FitTask]]:
    """Standardise the rows that occur in triplets, copy them to the device, and renumber the triplets accordingly."""
    validated: Negatives = "both" if settings.negatives == "in-batch" else settings.negatives
    tasks = [
        _FitTask(name, train.expand(settings.negatives), validation.expand(validated))
        for name, (train, validation) in factors.items()
    ]
    if settings.negatives == "in-batch" and any(_folders_per_batch(task.train, settings) < 2 for task in tasks):
        raise UsageError(
            f"a batch of {settings.batch} triplets is one folder, and in-batch negatives need two; give larger batches"
        )
    trained = np.unique(np.concatenate([task.train.rows.ravel() for task in tasks]))
    used = np.union1d(trained, np.concatenate([task.validation.rows.ravel() for task in tasks]))
    if features.ndim != 2 or used[-1] >= len(features):
        raise ValueError(f"features of shape {features.shape}; expected (n, D) with n > {used[-1]}")
    scaling = measure_scaling(features, trained, settings.scaling)
    rows = torch.empty((len(used), features.shape[1]), device=settings.device)
    for start in range(0, len(used), CHUNK):
        part = features[used[start : start + CHUNK]]
        if not np.isfinite(part).all():
            raise UsageError("the features have NaN or infinite values; delete the cache and embed the clips again")
        rows[start : start + CHUNK] = torch.from_numpy((part - scaling.mean) * scaling.inverse)
    return (
        rows,
        scaling,
        [_FitTask(task.name, task.train.renumber(used), task.validation.renumber(used)) for task in tasks],
    )


def _folders_per_batch(triplets: Triplets, settings: HeadSettings) -> int:
    folders = len(triplets.bounds) - 1
    return folders // triplets.steps(settings.batch, settings.sampling) if settings.sampling == "folders" else folders


def _train_epoch(
    module: nn.Module,
    project: _Project,
    optimizer: torch.optim.Optimizer,
    rows: Tensor,
    tasks: Sequence[_FitTask],
    settings: HeadSettings,
    number: int,
    state: Tensor,
) -> float:
    """Train for one epoch. Return the mean loss, summed over factors.

    All random draws follow from the seed and the number of the epoch, so a continued run repeats those of an
    uninterrupted one.
    """
    steps = max(task.train.steps(settings.batch, settings.sampling) for task in tasks)
    random = np.random.default_rng([settings.seed, number])
    torch.manual_seed(int(random.integers(2**63)))
    module.train()
    total = torch.zeros((), device=rows.device)
    epoch = zip(*(_batches(task.train, steps, settings, number, random, state) for task in tasks), strict=True)
    for step, batches in enumerate(epoch, start=(number - 1) * steps):
        cosine = math.cos(math.pi * step / (settings.epochs * steps))
        optimizer.param_groups[0]["lr"] = settings.lr_end + (settings.lr - settings.lr_end) * (1 + cosine) / 2
        optimizer.zero_grad()
        loss = torch.zeros((), device=rows.device)
        for task, batch in zip(tasks, batches, strict=True):
            if len(batch.triplets):
                used = torch.from_numpy(batch.rows).to(rows.device)
                z = _unit_rows(project, rows[used], task.name, settings)
                batch_loss = _loss(z, batch, settings, mined=settings.negatives == "in-batch")
                loss = loss + batch_loss
                total += batch_loss.detach() * (_loss_weight(batch, settings) / len(task.train))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(total)


def _batches(
    triplets: Triplets,
    steps: int,
    settings: HeadSettings,
    number: int,
    random: np.random.Generator,
    state: Tensor,
) -> Iterator[Batch]:
    """Return the batches of an epoch. `state` is that of torch's generator once the weights were drawn."""
    if settings.sampling == "merit":
        return triplets.batches_of(merit_order(len(triplets), state, number), settings.batch)
    return triplets.batches(steps, settings.sampling, random)


@torch.inference_mode()
def _validate(
    module: nn.Module, project: _Project, rows: Tensor, tasks: Sequence[_FitTask], settings: HeadSettings
) -> tuple[float, float]:
    """Return the loss on validation triplets, summed over factors, and the accuracy, averaged over factors."""
    module.eval()
    loss, accuracy = torch.zeros((2, len(tasks)), device=rows.device)
    for number, task in enumerate(tasks):
        validated = np.unique(task.validation.rows)
        triplets, used = task.validation.renumber(validated), torch.from_numpy(validated).to(rows.device)
        z = torch.cat([_unit_rows(project, rows[part], task.name, settings) for part in torch.split(used, CHUNK)])
        for batch in triplets.batches(triplets.steps(settings.batch, "folders"), "folders", None):
            part = z[torch.from_numpy(batch.rows).to(rows.device)]
            loss[number] += _loss(part, batch, settings, mined=False) * _loss_weight(batch, settings)
            sp, sn = _similarities(part, batch)
            accuracy[number] += ((sp > sn).float() + 0.5 * (sp == sn).float()).sum()
        loss[number] /= len(triplets)
        accuracy[number] /= len(triplets)
    return float(loss.sum()), float(accuracy.mean())


def _unit_rows(project: _Project, features: Tensor, factor: str, settings: HeadSettings) -> Tensor:
    with torch.autocast(features.device.type, torch.bfloat16, enabled=settings.bf16):
        projected = project(features, factor)
    return normalize(projected.float(), dim=1)


def _loss_weight(batch: Batch, settings: HeadSettings) -> int:
    """Return the factor that makes the loss of a batch a sum over triplets. MERIT's loss is a sum already."""
    return 1 if settings.loss == "circle-merit" else len(batch.triplets)


def _similarities(z: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return cos(anchor, positive) and cos(anchor, negative), (B,) each, from the unit rows `z` (R, d) of a batch."""
    similarity = z @ z.T
    anchor, positive, negative = torch.from_numpy(batch.triplets).to(z.device).unbind(1)
    return similarity[anchor, positive], similarity[anchor, negative]


def _loss(z: Tensor, batch: Batch, settings: HeadSettings, *, mined: bool) -> Tensor:
    """Return the loss of a batch from its unit rows `z` (R, d).

    If `mined`, negatives are rows of other folders in the batch. Otherwise they are those of the triplets.
    """
    labels = torch.from_numpy(batch.labels).to(z.device)
    if settings.loss == "supervised-contrastive":
        return losses.supervised_contrastive(z, labels)
    similarity = z @ z.T
    anchor, positive, negative = torch.from_numpy(batch.triplets).to(z.device).unbind(1)
    if settings.loss == "circle-sun":
        positives = torch.zeros_like(similarity, dtype=torch.bool)
        positives[anchor, positive] = True
        negatives = torch.zeros_like(positives)
        negatives[anchor, negative] = True
        return losses.circle_sun(similarity, positives, labels[:, None] != labels if mined else negatives)
    if mined:
        negative = losses.semi_hard(similarity, labels, anchor, positive)
    sp, sn = similarity[anchor, positive], similarity[anchor, negative]
    if mined:  # a pair without a negative in the batch gets the similarity -1, which has no gradient
        sn = sn.masked_fill(negative < 0, -1.0)
    return losses.circle_merit(sp, sn) if settings.loss == "circle-merit" else losses.triplet_margin(sp, sn)
