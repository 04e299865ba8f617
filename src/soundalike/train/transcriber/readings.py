"""Fit key and meter to rendered clips: two logistic regressions on the output of the transcriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor
from torch.nn.functional import cross_entropy

from soundalike.audio import MonoStream, windows
from soundalike.backbones import CompactBackbone
from soundalike.backbones.analysis import (
    KEY_SOURCES,
    KEYS,
    METER_EVIDENCE,
    METERS,
    RATE,
    READINGS_FILE,
    KeyMeterClassifier,
)
from soundalike.core.errors import SoundalikeError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score import read_truth
from soundalike.train.data.folders import ClipFolder, read_folders

__all__ = ["Example", "fit", "fit_meters", "fit_readings"]

_MINOR = ("minor", "dorian")  # grouped by their third
_FOLDERS = {"train": 400, "validation": 60}  # of each factor
_STEPS, _RATE, _DECAY = 600, 0.03, 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One clip: the evidence for key and meter (None without a tempo), and their ground truth as indices."""

    key_evidence: FloatArray
    key: int
    meter_evidence: FloatArray | None
    meter: int


def fit_readings(
    renders: Path,
    out: Path,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, float]:
    """Fit key and meter, and write them beside the networks in `out`, which the backbone must already use.

    Args:
        renders: Rendered triplets.
        out: The folder of the networks.
        jobs: The number of worker processes; None starts one per core.
        progress: Called with folders done, all folders, and 0.

    Returns:
        Results on validation folders: `key_right`, the share of correct keys; `meter_said`, the share of clips with a
        meter; `meter_right`, the share of correct ones among these.

    Raises:
        UsageError: No clip has a key or a beat.
    """
    chosen = {
        part: [folder for of in read_folders(renders, 0).values() for folder in of[part][:count]]
        for part, count in _FOLDERS.items()
    }
    requested = [folder for folders in chosen.values() for folder in folders]
    examples: dict[ClipFolder, list[Example]] = {}
    why = "no clip has a key or a beat"
    for done, (folder, outcome) in enumerate(run_tasks(_examples_of, requested, jobs), start=1):
        if isinstance(outcome, SoundalikeError):
            why = str(outcome)
        else:
            examples[folder] = outcome
        if progress:
            progress(done, len(requested), 0.0)
    # In the order of the folders, not of completion: sums would round differently.
    train, test = ([one for folder in chosen[part] for one in examples.get(folder, ())] for part in _FOLDERS)
    if not any(one.key_evidence.any() and one.meter_evidence is not None for one in train):
        raise UsageError(f"{renders} has no clips to learn key and meter from ({why}); give folders of music")
    tensors = fit(train)
    content = save(tensors)
    write_atomic(out / READINGS_FILE, lambda file: file.write(content))
    readings = KeyMeterClassifier(**tensors)
    keys = [(found[0], one.key) for one in test if (found := readings.key(one.key_evidence))]
    meters = [
        (said[0], one.meter)
        for one in test
        if one.meter_evidence is not None and (said := readings.meter(one.meter_evidence))
    ]
    return {
        "key_right": float(np.mean([KEYS.index(said) == truth for said, truth in keys])) if keys else 0.0,
        "meter_said": len(meters) / max(len(test), 1),
        "meter_right": float(np.mean([METERS.index(said) == truth for said, truth in meters])) if meters else 0.0,
    }


def fit(examples: Sequence[Example]) -> dict[str, FloatArray]:
    """Fit the tensors of `KeyMeterClassifier`. Some examples must have a key, and some a beat."""
    keys = _fit_keys([one for one in examples if one.key_evidence.any()])
    return keys | fit_meters([(one.meter_evidence, one.meter) for one in examples if one.meter_evidence is not None])


@cache
def _backbone() -> CompactBackbone:
    return CompactBackbone()


def _examples_of(folder: ClipFolder) -> list[Example]:
    """Run in a worker. The positives of a folder are so similar that three clips are enough."""
    found = []
    for clip in (folder.anchor, folder.positives[0], folder.negative):
        if clip is None:
            continue
        truth = read_truth(clip.parents[1] / "truth" / f"{clip.stem}.jams")
        evidence = _backbone().evidence(MonoStream(clip, RATE), windows)
        key = truth.key + 12 * (truth.mode in _MINOR)  # as in KEYS
        found.append(Example(evidence.key, key, evidence.meter, METERS.index(truth.meter)))
    return found


def _fit_keys(clips: Sequence[Example]) -> dict[str, FloatArray]:
    """Fit weights for a tonic of C; those of other tonics are rotations of them."""
    given = torch.tensor(np.stack([one.key_evidence for one in clips]), dtype=torch.float32)
    turned = torch.stack([given.roll(-tonic, dims=2) for tonic in range(12)], dim=1)
    weight = torch.zeros(2, KEY_SOURCES, 12, requires_grad=True)
    bias = torch.zeros(2, requires_grad=True)

    def logits() -> Tensor:
        return (torch.einsum("ntkc,mkc->nmt", turned, weight) + bias[None, :, None]).flatten(1)

    _descend(logits, weight, bias, np.array([one.key for one in clips]))
    return {"key": _numbers(weight), "key_bias": _numbers(bias)}


def fit_meters(clips: Sequence[tuple[FloatArray, int]]) -> dict[str, FloatArray]:
    """Fit the tensors for the meter.

    Args:
        clips: Per clip, the evidence from `meter_evidence`, and the true meter as an index into `METERS`.

    Returns:
        The tensors `meter` and `meter_bias` of `KeyMeterClassifier`.
    """
    # The evidence is standardised; the weights are for raw evidence.
    given = np.stack([evidence for evidence, _ in clips])
    mean, deviation = given.mean(axis=0), given.std(axis=0) + 1e-6
    standard = torch.tensor((given - mean) / deviation, dtype=torch.float32)
    weight = torch.zeros(METER_EVIDENCE, len(METERS), requires_grad=True)
    bias = torch.zeros(len(METERS), requires_grad=True)
    _descend(lambda: standard @ weight + bias, weight, bias, np.array([meter for _, meter in clips]))
    plain = _numbers(weight) / deviation[:, None].astype(np.float32)
    return {"meter": plain, "meter_bias": _numbers(bias) - (mean @ plain).astype(np.float32)}


def _descend(logits: Callable[[], Tensor], weight: Tensor, bias: Tensor, truth: IntArray) -> None:
    """Multinomial logistic regression with Adam, full batch."""
    optimizer = torch.optim.Adam([weight, bias], _RATE)
    wanted = torch.from_numpy(truth)
    for _ in range(_STEPS):
        loss = cross_entropy(logits(), wanted) + _DECAY * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _numbers(tensor: Tensor) -> FloatArray:
    return tensor.detach().numpy().copy()
