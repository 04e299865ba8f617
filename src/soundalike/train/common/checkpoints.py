"""Where an interrupted training goes on: one safetensors file with JSON in its header, and no pickle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic

__all__ = [
    "FORMAT",
    "MAGIC",
    "Checkpoint",
    "Epoch",
    "digest_arrays",
    "load_checkpoint",
    "save_checkpoint",
    "seeded",
    "shapes_of",
    "start_from",
]

MAGIC = "soundalike-training"
FORMAT = "1"

_RESTART = "delete it to start again, or give another file"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of the learning curves: losses per triplet (or anchor), an accuracy of 0..1; `number` counts from 1."""

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """How far a training is: the curves so far, and the network's state after the best epoch, on the CPU."""

    curves: tuple[Epoch, ...]
    best: Mapping[str, Tensor]

    def after(self, epoch: Epoch, module: nn.Module) -> Checkpoint:
        """One epoch further, with `module` as the best if its validation loss is. Raises UsageError if it diverged."""
        if not math.isfinite(epoch.train_loss + epoch.validation_loss):
            raise UsageError(
                f"training diverged in epoch {epoch.number} (its loss is no number); give a lower learning rate"
            )
        better = epoch.validation_loss < min((one.validation_loss for one in self.curves), default=math.inf)
        best = {name: tensor.cpu().clone() for name, tensor in module.state_dict().items()} if better else self.best
        return Checkpoint((*self.curves, epoch), best)


@contextmanager
def seeded(device: str, seed: int) -> Iterator[torch.device]:
    """Draw by the seed inside, and leave torch's generators outside as they were. Raises UsageError for the device."""
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise UsageError(f"no device {device!r} here; give cpu, or cuda where there is a GPU") from error
    with torch.random.fork_rng([place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        yield place


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    """Those of all that its state holds: part of what a run must share with its checkpoint."""
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def digest_arrays(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """One name for the content of arrays: hexadecimal, 32 characters."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save_checkpoint(
    path: Path, run: Checkpoint, identity: Mapping[str, Any], module: nn.Module, optimizer: Optimizer
) -> None:
    """Write all that `load_checkpoint` needs, whole or not at all. `identity` is what must be the same when it goes on.

    Raises UsageError if it cannot be written.
    """
    tensors = {f"now.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in run.best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    facts = {
        "magic": MAGIC,
        "format": FORMAT,
        "identity": json.dumps(identity),
        "curves": json.dumps([asdict(epoch) for epoch in run.curves]),
    }
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, facts)
    write_atomic(path, lambda file: file.write(content))


def start_from(path: Path, module: nn.Module) -> str:
    """Give `module` what another run's best epoch knew, wherever names and shapes agree. Returns the file's digest.

    Raises UsageError if it cannot be read, or nothing in it fits.
    """
    try:
        content = path.read_bytes()
        found = _below("best.", load(content))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; give the --work of another run") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is no checkpoint ({error}); give the --work of another run") from error
    own = module.state_dict()
    fitting = {name: tensor for name, tensor in found.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise UsageError(f"nothing in {path} fits this network; give the --work of another run")
    module.load_state_dict(own | fitting)
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def load_checkpoint(path: Path, identity: Mapping[str, Any], module: nn.Module, optimizer: Optimizer) -> Checkpoint:
    """Put `module` and `optimizer` where they were when the checkpoint was written.

    Raises UsageError if it cannot be read, is damaged, or is of a run with another `identity`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if (facts.get("magic"), facts.get("format")) != (MAGIC, FORMAT):
                raise UsageError(f"{path} is no checkpoint of this version ({MAGIC} {FORMAT}); {_RESTART}")
            _compare(path, json.loads(facts["identity"]), identity)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        curves = tuple(Epoch(**epoch) for epoch in json.loads(facts["curves"]))
        module.load_state_dict(_below("now.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimizer.", tensors).items():
            number, _, part = name.partition(".")
            state.setdefault(int(number), {})[part] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; {_RESTART}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path} is damaged or no checkpoint ({type(error).__name__}); {_RESTART}") from error
    return Checkpoint(curves, _below("best.", tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _compare(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name in expected:
        if found.get(name) != expected[name]:
            raise UsageError(
                f"{path} is of another run: its {name} is {found.get(name)}, expected {expected[name]}; {_RESTART}"
            )
