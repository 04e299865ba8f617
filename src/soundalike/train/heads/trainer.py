"""Trains projection heads on triplets of cached features: MERIT's recipe, without its repeated work.

n clips, D dims of a feature, h hidden, d out, R rows of a batch.

What makes it fast changes no gradient: all rows lie once on the device and triplets are positions; a batch is of whole
folders, so that each row is projected once for all triplets it is in (`sampling.py`); similarities are gathered from
one product; the optimiser's step is one fused kernel; losses are added up on the device.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026: D -> 512 -> 128 with ReLU,
circle loss, AdamW at 1e-3 with decay 1e-4, cosine to 1e-5 by the step, 1024 triplets a batch, 200 epochs, and the epoch
of the least validation loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
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
from soundalike.train.heads.settings import HeadSettings

__all__ = ["HeadSettings", "Progress", "TrainedHead", "train_head", "train_joint"]

Progress: TypeAlias = Callable[[Epoch], None]
"""Called after every epoch."""

_Project: TypeAlias = Callable[[Tensor, str], Tensor]
"""From standardised features (R, D) to rows (R, d) of a factor, before they are normalised."""

_CHUNK = 2048
"""Rows that are standardised or projected at a time."""
_SECONDS_BETWEEN_CHECKPOINTS = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainedHead:
    """What came out: `tensors` for raw features, of the best epoch; `curves` of all epochs, numbered from 1.

    `tensors` of a head: hidden.weight (h, D), hidden.bias (h,), out.weight (d, h); of a joint head, those that
    `soundalike.models.joint_head` lists. All float32. `spread` (D,) is the standard deviation of the training rows: how
    much a weight matters.
    """

    tensors: Mapping[str, FloatArray]
    spread: FloatArray
    curves: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class _Scaling:
    """Standardisation of features, x -> (x - mean) * inverse: (D,) float64 each."""

    mean: FloatArray
    spread: FloatArray

    @property
    def inverse(self) -> FloatArray:
        """1 / spread, and 0 for a column that is constant in training: it says nothing, also where it varies later."""
        constant = self.spread <= 1e-6 * np.abs(self.mean)
        return np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, self.spread))


@dataclass(frozen=True, slots=True, eq=False)
class _FitTask:
    """What one factor learns from and is validated by. Rows are positions on the device."""

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
    """Train unit(W2 relu(W1 x + b1)) on `features` (n, D) float32, of which `train` and `validation` hold positions.

    Features are standardised by the training rows, which W1 and b1 of the result include. With `checkpoint`, a file, an
    interrupted run goes on where it was; on the CPU it gives the same bits as one that was not. The same seed and
    settings give the same head. Raises UsageError for features or triplets that cannot be trained on, a checkpoint of
    another run, or training that diverges.
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
    """Train one joint head (`soundalike.models.joint_head`) for all `factors`, {space: (train, validation)}.

    `features` (n, D) are joined ones whose `blocks` sum to D. The loss is the sum over factors; every batch has folders
    of every factor, `settings.batch` triplets of each. The curves' accuracy is the mean over factors. Otherwise as
    `train_head`.
    """
    if sum(blocks) != features.shape[1] or not factors:
        raise ValueError(f"blocks {blocks} for features of {features.shape[1]} dims and {len(factors)} factors")
    with seeded(settings.device, settings.seed):
        module = JointNetwork(JointShape(blocks, out_dim=settings.out, spaces=tuple(factors)))
        best, scaling, curves = _fit(module, module, features, factors, settings, checkpoint, progress)
    return _result(fold_joint(best, blocks, scaling.mean, scaling.inverse), scaling, curves)


def _result(tensors: Mapping[str, FloatArray], scaling: _Scaling, curves: tuple[Epoch, ...]) -> TrainedHead:
    narrow = {
        name: np.asarray(tensor, np.float32 if np.issubdtype(tensor.dtype, np.floating) else None, order="C")
        for name, tensor in tensors.items()
    }
    return TrainedHead(narrow, scaling.spread.astype(np.float32), curves, _best(curves))


def _fit(
    module: nn.Module,
    project: _Project,
    features: FloatArray,
    factors: Mapping[str, tuple[TripletSet, TripletSet]],
    settings: HeadSettings,
    checkpoint: Path | None,
    progress: Progress | None,
) -> tuple[Mapping[str, Tensor], _Scaling, tuple[Epoch, ...]]:
    """The loop of both kinds of head. Returns the state of the best epoch, the standardisation and the curves."""
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
        train_loss = _train_epoch(module, project, optimizer, rows, tasks, settings, number)
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


def _identity(
    settings: HeadSettings, module: nn.Module, scaling: _Scaling, tasks: Sequence[_FitTask]
) -> dict[str, Any]:
    """What a run must share with its checkpoint. A device is not among it: a run may move, and ends nearly the same."""
    told = {name: value for name, value in asdict(settings).items() if name != "device"}
    arrays = [part.rows for task in tasks for part in (task.train, task.validation)]
    return told | {"shapes": shapes_of(module), "data": digest_arrays([scaling.mean, scaling.spread, *arrays])}


def _prepare(
    features: FloatArray, factors: Mapping[str, tuple[TripletSet, TripletSet]], settings: HeadSettings
) -> tuple[Tensor, _Scaling, list[_FitTask]]:
    """Put the rows that any triplet needs on the device, standardised, and number the triplets' rows by them."""
    own: Negatives = "both" if settings.negatives == "in-batch" else settings.negatives
    tasks = [
        _FitTask(name, train.expand(settings.negatives), validation.expand(own))
        for name, (train, validation) in factors.items()
    ]
    if settings.negatives == "in-batch" and any(_folders_a_batch(task.train, settings) < 2 for task in tasks):
        raise UsageError(
            f"a batch of {settings.batch} triplets is one folder, and in-batch negatives need two; give larger batches"
        )
    learned = np.unique(np.concatenate([task.train.rows.ravel() for task in tasks]))
    used = np.union1d(learned, np.concatenate([task.validation.rows.ravel() for task in tasks]))
    if features.ndim != 2 or used[-1] >= len(features):
        raise ValueError(f"features of shape {features.shape}; expected (n, D) with n > {used[-1]}")
    scaling = _scaling(features, learned)
    inverse = scaling.inverse
    rows = torch.empty((len(used), features.shape[1]), device=settings.device)
    for start in range(0, len(used), _CHUNK):
        part = features[used[start : start + _CHUNK]]
        if not np.isfinite(part).all():
            raise UsageError("the features hold NaN or infinite values; embed the clips again")
        rows[start : start + _CHUNK] = torch.from_numpy((part - scaling.mean) * inverse)
    return (
        rows,
        scaling,
        [_FitTask(task.name, task.train.renumber(used), task.validation.renumber(used)) for task in tasks],
    )


def _folders_a_batch(triplets: Triplets, settings: HeadSettings) -> int:
    folders = len(triplets.bounds) - 1
    return folders // triplets.steps(settings.batch, settings.sampling) if settings.sampling == "folders" else folders


def _scaling(features: FloatArray, rows: IntArray) -> _Scaling:
    """Mean and standard deviation of `rows` of the features, in two passes that copy little."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    mean = sum(features[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks) / len(rows)
    squares = sum(np.square(features[chunk] - mean).sum(axis=0) for chunk in chunks)
    return _Scaling(mean, np.sqrt(squares / len(rows)))


def _train_epoch(
    module: nn.Module,
    project: _Project,
    optimizer: torch.optim.Optimizer,
    rows: Tensor,
    tasks: Sequence[_FitTask],
    settings: HeadSettings,
    number: int,
) -> float:
    """One pass over all triplets. Returns the mean loss, summed over factors.

    All draws follow from the seed and the epoch's `number`, so a run that goes on draws what it would have drawn.
    """
    steps = max(task.train.steps(settings.batch, settings.sampling) for task in tasks)
    random = np.random.default_rng([settings.seed, number])
    torch.manual_seed(int(random.integers(2**63)))
    module.train()
    total = torch.zeros((), device=rows.device)
    epoch = zip(*(task.train.batches(steps, settings.sampling, random) for task in tasks), strict=True)
    for step, batches in enumerate(epoch, start=(number - 1) * steps):
        turn = math.cos(math.pi * step / (settings.epochs * steps))
        optimizer.param_groups[0]["lr"] = settings.lr_end + (settings.lr - settings.lr_end) * (1 + turn) / 2
        optimizer.zero_grad()
        loss = torch.zeros((), device=rows.device)
        for task, batch in zip(tasks, batches, strict=True):
            if len(batch.triplets):
                used = torch.from_numpy(batch.rows).to(rows.device)
                z = _unit_rows(project, rows[used], task.name, settings)
                found = _loss(z, batch, settings, mined=settings.negatives == "in-batch")
                loss = loss + found
                total += found.detach() * (_units(batch, settings) / len(task.train))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(total)


@torch.inference_mode()
def _validate(
    module: nn.Module, project: _Project, rows: Tensor, tasks: Sequence[_FitTask], settings: HeadSettings
) -> tuple[float, float]:
    """The loss on the validation triplets, summed over factors, and the share that is right, their mean."""
    module.eval()
    loss, accuracy = torch.zeros((2, len(tasks)), device=rows.device)
    for place, task in enumerate(tasks):
        own = np.unique(task.validation.rows)
        triplets, used = task.validation.renumber(own), torch.from_numpy(own).to(rows.device)
        z = torch.cat([_unit_rows(project, rows[part], task.name, settings) for part in torch.split(used, _CHUNK)])
        for batch in triplets.batches(triplets.steps(settings.batch, "folders"), "folders", None):
            part = z[torch.from_numpy(batch.rows).to(rows.device)]
            loss[place] += _loss(part, batch, settings, mined=False) * _units(batch, settings)
            sp, sn = _similarities(part, batch)
            accuracy[place] += ((sp > sn).float() + 0.5 * (sp == sn).float()).sum()
        loss[place] /= len(triplets)
        accuracy[place] /= len(triplets)
    return float(loss.sum()), float(accuracy.mean())


def _unit_rows(project: _Project, features: Tensor, factor: str, settings: HeadSettings) -> Tensor:
    with torch.autocast(features.device.type, torch.bfloat16, enabled=settings.bf16):
        projected = project(features, factor)
    return normalize(projected.float(), dim=1)


def _units(batch: Batch, settings: HeadSettings) -> int:
    """By what a batch's loss is multiplied to be a sum over its triplets: MERIT's is one already."""
    return 1 if settings.loss == "circle-merit" else len(batch.triplets)


def _similarities(z: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """cos(anchor, positive) and cos(anchor, negative), (B,) each, of a batch whose rows are `z` (R, d)."""
    similarity = z @ z.T
    anchor, positive, negative = torch.from_numpy(batch.triplets).to(z.device).unbind(1)
    return similarity[anchor, positive], similarity[anchor, negative]


def _loss(z: Tensor, batch: Batch, settings: HeadSettings, *, mined: bool) -> Tensor:
    """The loss of a batch whose rows are `z` (R, d); `mined`: negatives are other folders' rows, not the triplets'."""
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
    if mined:  # where a batch has no negative for a pair, one that is as far as can be: it pushes nothing
        sn = sn.masked_fill(negative < 0, -1.0)
    return losses.circle_merit(sp, sn) if settings.loss == "circle-merit" else losses.triplet_margin(sp, sn)
