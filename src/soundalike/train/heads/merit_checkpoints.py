"""Read and write head checkpoints in the format of MERIT.

A checkpoint is a dictionary saved by `torch.save`, with the keys state_dict, in_dim, hidden_dim, out_dim, encoder,
model_id, epoch, val_loss and val_acc. The head computes out.weight @ relu(hidden.weight @ x + hidden.bias). In MERIT it
has 512 hidden units and 128 outputs, and its layers are numbered (net.0, net.2); here they have names. Checkpoints are
loaded with `weights_only=True`, so code in a file is never run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray

__all__ = ["MeritHead", "read_merit_head", "write_merit_head"]

_MERIT_NAMES = {"hidden.weight": "net.0.weight", "hidden.bias": "net.0.bias", "out.weight": "net.2.weight"}
_ZIP = b"PK\x03\x04"
"""The first bytes of a file written by `torch.save` since PyTorch 1.6."""


@dataclass(frozen=True, slots=True, eq=False)
class MeritHead:
    """A head with the metadata of its training.

    Attributes:
        tensors: hidden.weight (h, D), hidden.bias (h,) and out.weight (d, h), float32.
        encoder: Short name of the backbone that it was trained on.
        model_id: Full name of that backbone.
        epoch: The epoch that the tensors are from.
        val_loss: Validation loss of that epoch.
        val_acc: Validation accuracy of that epoch, 0 to 1.
    """

    tensors: Mapping[str, FloatArray]
    encoder: str
    model_id: str
    epoch: int
    val_loss: float
    val_acc: float

    @property
    def dims(self) -> tuple[int, int, int]:
        """Sizes (D, h, d) of the features, the hidden layer and the rows."""
        (hidden, features), out = self.tensors["hidden.weight"].shape, self.tensors["out.weight"].shape[0]
        return features, hidden, out


def read_merit_head(path: Path) -> MeritHead:
    """Read a checkpoint.

    Raises:
        ModelError: The file is missing, truncated or not a head checkpoint, its sizes contradict each other, or a
            weight is not finite.

    Example:
        >>> read_merit_head(Path("melody.pt")).dims
        (5120, 512, 128)
    """
    body = _load(path)
    if not isinstance(body, Mapping) or not isinstance(body.get("state_dict", {}), Mapping):
        raise ModelError(f"{path} is not a head checkpoint: it has no table of weights; give a head of MERIT")
    try:
        state = body["state_dict"]
        features, hidden, out = (int(body[name]) for name in ("in_dim", "hidden_dim", "out_dim"))
        shapes = {"hidden.weight": (hidden, features), "hidden.bias": (hidden,), "out.weight": (out, hidden)}
        extra = sorted(set(state) - set(_MERIT_NAMES.values()))
        if extra:
            raise ModelError(f"{path} has the unexpected tensor {extra[0]}; give a head of MERIT")
        return MeritHead(
            tensors={ours: _tensor(path, state, merit, shapes[ours]) for ours, merit in _MERIT_NAMES.items()},
            encoder=str(body["encoder"]),
            model_id=str(body["model_id"]),
            epoch=int(body["epoch"]),
            val_loss=float(body["val_loss"]),
            val_acc=float(body["val_acc"]),
        )
    except KeyError as error:
        raise ModelError(f"{path} is not a head checkpoint: it lacks {error.args[0]}; give a head of MERIT") from error
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a head checkpoint ({error}); give a head of MERIT") from error


def write_merit_head(path: Path, head: MeritHead) -> None:
    """Write a checkpoint that MERIT's tools can load. The file is written atomically.

    Raises:
        UsageError: The file cannot be written.

    Example:
        >>> write_merit_head(Path("melody.pt"), MeritHead(head.tensors, "dsp", "soundalike/dsp", 17, 0.25, 0.875))
    """
    import torch

    features, hidden, out = head.dims
    body = {
        "state_dict": {merit: torch.tensor(head.tensors[ours]) for ours, merit in _MERIT_NAMES.items()},
        "in_dim": features,
        "hidden_dim": hidden,
        "out_dim": out,
        "encoder": head.encoder,
        "model_id": head.model_id,
        "epoch": head.epoch,
        "val_loss": head.val_loss,
        "val_acc": head.val_acc,
    }
    write_atomic(path, lambda file: torch.save(body, file))


def _load(path: Path) -> Any:
    import torch

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; give a checkpoint (.pt)") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that were not made by torch, which are refused below
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load documents no set of exceptions
        if data.startswith(_ZIP):
            raise ModelError(
                f"{path} is invalid or truncated, or holds more than weights; download it again"
            ) from error
        raise ModelError(f"{path} is not a PyTorch checkpoint, or holds more than weights; give a .pt file") from error


def _tensor(path: Path, state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> FloatArray:
    import torch

    array: FloatArray = torch.as_tensor(state[name], dtype=torch.float32).detach().numpy()
    if array.shape != shape:
        raise ModelError(
            f"{path}: {name} has shape {array.shape}, expected {shape} by its in_dim, hidden_dim and out_dim"
        )
    if not np.isfinite(array).all():
        raise ModelError(f"{path}: {name} has NaN or infinite values; download or train it again")
    return array
