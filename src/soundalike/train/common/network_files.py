"""Trained networks as files: safetensors with the identity of the run and its learning curve in the header."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from soundalike.core.errors import UsageError
from soundalike.core.files import write_atomic
from soundalike.train.common.checkpoints import Epoch, compare_identity, digest_arrays

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Trained", "digest_network", "identity_of", "load_network", "read_curve", "save_network"]

_MAGIC = "soundalike-network"
_MAGICS = (_MAGIC, "soundalike-instruments")  # networks for instruments were the first ones, and some have this name
_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network: its file, its learning curve, and whether it was there before."""

    path: Path
    curve: tuple[Epoch, ...]
    found: bool


def identity_of(settings: DataclassInstance, others: Collection[str] = ()) -> dict[str, Any]:
    """Return settings by dotted names, as JSON values. A device is left out: a run may continue on another one.

    Args:
        settings: The settings.
        others: Names of settings that do not change this network, and are left out too.

    Example:
        >>> identity_of(SMALL)["network.dim"]
        32
    """
    values = {name: value for name, value in asdict(settings).items() if name not in {"device", *others}}
    return dict(_flatten(json.loads(json.dumps(values))))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for name, value in values.items():
        pairs += _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


def save_network(path: Path, module: nn.Module, identity: Mapping[str, Any], curve: Sequence[Epoch]) -> None:
    """Write a trained network atomically.

    Args:
        path: The file.
        module: The network.
        identity: What must be equal for the file to be used again; JSON values.
        curve: The learning curve.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> save_network(Path("clean.drums.safetensors"), extractor, identity_of(SMALL), curve)
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    facts = {
        "magic": _MAGIC,
        "format": _FORMAT,
        "identity": json.dumps(identity),
        "curve": json.dumps([asdict(epoch) for epoch in curve]),
    }
    content = save(tensors, facts)
    write_atomic(path, lambda file: file.write(content))


def load_network(path: Path, module: nn.Module, identity: Mapping[str, Any] | None = None) -> tuple[Epoch, ...]:
    """Load the weights of a trained network into a module, which is left in evaluation mode.

    Args:
        path: A file of `save_network`.
        module: A network of the same shape; its state is replaced.
        identity: Values that must equal those in the file.

    Returns:
        The learning curve.

    Raises:
        UsageError: The file is missing or is none of these, or it has another identity or size.

    Example:
        >>> curve = load_network(Path("clean.drums.safetensors"), Extractor(SMALL.spectrum, SMALL.network))
    """
    facts, tensors = _read(path)
    compare_identity(path, json.loads(facts["identity"]), identity or {})
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        name = next(name for name in {**expected, **found} if found.get(name) != expected.get(name))
        raise UsageError(
            f"{path} is a network of another size: its {name} is {found.get(name, 'missing')}, "
            f"expected {expected.get(name, 'none')}; give the settings that it was trained with"
        )
    module.load_state_dict(tensors)
    module.eval()
    return _curve(facts)


def read_curve(path: Path) -> tuple[Epoch, ...]:
    """Return the learning curve of a trained network. Raises UsageError as `load_network` does."""
    return _curve(_read(path)[0])


def digest_network(path: Path) -> str:
    """Return a digest of the weights in a file, 32 hexadecimal characters. Raises UsageError as `load_network` does."""
    return digest_arrays(tensor.numpy() for _, tensor in sorted(_read(path)[1].items()))


def _curve(facts: Mapping[str, str]) -> tuple[Epoch, ...]:
    return tuple(Epoch(**epoch) for epoch in json.loads(facts["curve"]))


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("magic") not in _MAGICS or facts.get("format") != _FORMAT:
                raise UsageError(f"{path} is not a network of this version ({_MAGIC} {_FORMAT}); delete it")
            return facts, {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; train it first") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is not a network, or truncated ({error}); delete it to train it again") from error
