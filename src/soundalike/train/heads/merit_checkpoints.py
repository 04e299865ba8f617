"""Head checkpoints in MERIT's format: its published heads can be used here, and ours with its tools.

A checkpoint is what `torch.save` makes of {state_dict, in_dim, hidden_dim, out_dim, encoder, model_id, epoch,
val_loss, val_acc}. The head is out.weight @ relu(hidden.weight @ x + hidden.bias), D to 512 to 128 in MERIT; its code
numbers the layers (net.0, net.2), we name them. Checkpoints are read without running any code they may hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.files import write_atomic
from soundalike.core.types import FloatArray

__all__ = ["OfficialHead", "read_official_head", "write_official_head"]

_THEIR_NAMES = {"hidden.weight": "net.0.weight", "hidden.bias": "net.0.bias", "out.weight": "net.2.weight"}
_ZIP = b"PK\x03\x04"
"""How the files of `torch.save` begin, since PyTorch 1.6."""


@dataclass(frozen=True, slots=True, eq=False)
class OfficialHead:
    """A head and what its training said of it.

    `tensors` float32: hidden.weight (h, D), hidden.bias (h,), out.weight (d, h). `encoder` and `model_id` name the
    backbone it was trained on; `val_loss` and `val_acc` are those of the `epoch` that was kept.
    """

    tensors: Mapping[str, FloatArray]
    encoder: str
    model_id: str
    epoch: int
    val_loss: float
    val_acc: float

    @property
    def dims(self) -> tuple[int, int, int]:
        """(D, h, d): of the features, of the hidden layer, of the rows."""
        (hidden, features), out = self.tensors["hidden.weight"].shape, self.tensors["out.weight"].shape[0]
        return features, hidden, out


def read_official_head(path: Path) -> OfficialHead:
    """Read a checkpoint. Raises ModelError if it is missing, cut off, something else, or its sizes do not agree."""
    body = _load(path)
    if not isinstance(body, Mapping) or not isinstance(body.get("state_dict", {}), Mapping):
        raise ModelError(f"{path} is not a head checkpoint: it holds no table of weights; give a head of MERIT")
    try:
        state = body["state_dict"]
        features, hidden, out = (int(body[name]) for name in ("in_dim", "hidden_dim", "out_dim"))
        shapes = {"hidden.weight": (hidden, features), "hidden.bias": (hidden,), "out.weight": (out, hidden)}
        extra = sorted(set(state) - set(_THEIR_NAMES.values()))
        if extra:
            raise ModelError(f"{path} holds {extra[0]}, which no head of this kind has; give a head of MERIT")
        return OfficialHead(
            tensors={ours: _tensor(path, state, theirs, shapes[ours]) for ours, theirs in _THEIR_NAMES.items()},
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


def write_official_head(path: Path, head: OfficialHead) -> None:
    """Write a checkpoint that MERIT's tools load, all or nothing. Raises UsageError if it cannot be written."""
    import torch

    features, hidden, out = head.dims
    body = {
        "state_dict": {theirs: torch.tensor(head.tensors[ours]) for ours, theirs in _THEIR_NAMES.items()},
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
        return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its readers stumble over
        if data.startswith(_ZIP):
            raise ModelError(f"{path} is damaged, cut off or holds more than weights; fetch it again") from error
        raise ModelError(f"{path} is not a PyTorch checkpoint, or holds more than weights; give a .pt file") from error


def _tensor(path: Path, state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> FloatArray:
    import torch

    array: FloatArray = torch.as_tensor(state[name], dtype=torch.float32).detach().numpy()
    if array.shape != shape:
        raise ModelError(f"{path}: {name} has shape {array.shape}, its in_dim, hidden_dim and out_dim say {shape}")
    if not np.isfinite(array).all():
        raise ModelError(f"{path}: {name} holds NaN or infinite weights; fetch or train it again")
    return array
