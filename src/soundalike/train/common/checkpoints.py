"""Checkpoints from which an interrupted training continues.

A checkpoint is a safetensors file with JSON in its header. It contains no pickled objects.
"""

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
    "compare_identity",
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
    """One point of the learning curves.

    Attributes:
        number: Number of the epoch, from 1.
        train_loss: Mean loss on the training data.
        validation_loss: Mean loss on the validation data.
        validation_accuracy: Accuracy on the validation data, 0 to 1.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state of a training.

    Attributes:
        curves: The epochs so far.
        best: The state of the network after the epoch with the lowest validation loss, on the CPU.
    """

    curves: tuple[Epoch, ...]
    best: Mapping[str, Tensor]

    def after(self, epoch: Epoch, module: nn.Module) -> Checkpoint:
        """Add an epoch.

        Args:
            epoch: The epoch.
            module: The network after the epoch. Its state is copied if the validation loss is the lowest so far.

        Raises:
            UsageError: A loss is not finite.
        """
        if not math.isfinite(epoch.train_loss + epoch.validation_loss):
            raise UsageError(
                f"training diverged in epoch {epoch.number} (its loss is not finite); give a lower learning rate"
            )
        better = epoch.validation_loss < min((past.validation_loss for past in self.curves), default=math.inf)
        best = {name: tensor.cpu().clone() for name, tensor in module.state_dict().items()} if better else self.best
        return Checkpoint((*self.curves, epoch), best)


@contextmanager
def seeded(device: str, seed: int) -> Iterator[torch.device]:
    """Seed torch inside a `with` block and restore its generators afterwards.

    Args:
        device: A torch device such as "cpu" or "cuda".
        seed: The seed.

    Yields:
        The device.

    Raises:
        UsageError: There is no such device.

    Example:
        >>> with seeded("cpu", 0) as device:
        ...     network = nn.Linear(24, 8).to(device)
    """
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise UsageError(f"no device {device!r} here; give cpu, or cuda where there is a GPU") from error
    with torch.random.fork_rng([place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        yield place


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    """Return the shapes of all tensors in the state of a module. They are part of the identity of a run."""
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def digest_arrays(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Return a digest of the types, shapes and values of arrays: 32 hexadecimal characters."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save_checkpoint(
    path: Path, run: Checkpoint, identity: Mapping[str, Any], module: nn.Module, optimizer: Optimizer
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        run: The curves and the best state.
        identity: Settings and digests that must be equal in the run that continues; JSON values.
        module: The network.
        optimizer: Its optimiser.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> save_checkpoint(Path("head.safetensors"), run, {"seed": 0}, network, optimizer)
        >>> run = load_checkpoint(Path("head.safetensors"), {"seed": 0}, network, optimizer)
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
    """Initialise a module with the best state of another run.

    Args:
        path: A checkpoint of that run.
        module: The module. Tensors with the same name and shape are copied into it.

    Returns:
        The digest of the file, 32 hexadecimal characters.

    Raises:
        UsageError: The file cannot be read, or no tensor fits.

    Example:
        >>> identity = {"start": start_from(Path("pitch.safetensors"), network)}
    """
    try:
        content = path.read_bytes()
        best = _select("best.", load(content))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; give the --work of another run") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is not a checkpoint ({error}); give the --work of another run") from error
    state = module.state_dict()
    fitting = {name: tensor for name, tensor in best.items() if name in state and state[name].shape == tensor.shape}
    if not fitting:
        raise UsageError(f"nothing in {path} fits this network; give the --work of another run")
    module.load_state_dict(state | fitting)
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def load_checkpoint(path: Path, identity: Mapping[str, Any], module: nn.Module, optimizer: Optimizer) -> Checkpoint:
    """Restore a module and its optimiser from a checkpoint.

    Args:
        path: The file.
        identity: Values that must equal those in the checkpoint.
        module: The network; its state is replaced.
        optimizer: Its optimiser; its state is replaced.

    Returns:
        The curves and the best state.

    Raises:
        UsageError: The file is unreadable or not a checkpoint, or it is of a run with another identity.

    Example:
        >>> run = load_checkpoint(Path("head.safetensors"), {"seed": 0}, network, optimizer)
        >>> len(run.curves)
        12
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if (facts.get("magic"), facts.get("format")) != (MAGIC, FORMAT):
                raise UsageError(f"{path} is not a checkpoint of this version ({MAGIC} {FORMAT}); {_RESTART}")
            compare_identity(path, json.loads(facts["identity"]), identity)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        curves = tuple(Epoch(**epoch) for epoch in json.loads(facts["curves"]))
        module.load_state_dict(_select("now.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _select("optimizer.", tensors).items():
            number, _, part = name.partition(".")
            state.setdefault(int(number), {})[part] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; {_RESTART}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{path} is not a checkpoint, or truncated ({type(error).__name__}); {_RESTART}") from error
    return Checkpoint(curves, _select("best.", tensors))


def _select(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, which is removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def compare_identity(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise UsageError if a value of the identity of a run differs from what a file has; both hold JSON values."""
    for name in expected:
        if found.get(name) != expected[name]:
            raise UsageError(
                f"{path} is of another run: its {name} is {found.get(name)}, expected {expected[name]}; {_RESTART}"
            )
