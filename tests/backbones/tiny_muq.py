"""A small MuQ-MuLan in the layout of its authors, with weights and sounds from formulas."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "muq_official.json").read_text())
RATE = 24_000


def formula_weights(name: str, shape: Sequence[int]) -> np.ndarray:
    """The float32 tensor of a name, the same everywhere."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if name.endswith("running_var"):
        noise = np.exp(0.3 * noise)
    elif "norm" in name or ".bn" in name:
        noise = name.endswith("weight") + 0.2 * noise
    elif len(shape) > 1:
        noise *= 1.5 / np.sqrt(np.prod(shape[1:]))
    else:
        noise *= 0.02
    return noise.astype(np.float32)


def formula_signal(seconds: int = 23) -> np.ndarray:
    """(t,) float32: a rising tone that is struck twice a second, loud and soft, in noise that grows after 12 s."""
    time = np.arange(seconds * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time)) * np.where(time < 12, 0.003, 0.1)
    rising = np.sin(2 * np.pi * (110 * time + 40 * time**2)) * np.exp(-2 * (time % 0.5))
    return (np.where(time % 4 < 2, 0.4, 0.02) * rising + noise).astype(np.float32)


@cache
def tiny_tensors() -> dict[str, np.ndarray]:
    """All tensors of the file, those of the tower of texts and of the quantiser included."""
    return {name: formula_weights(name, shape) for name, shape in (RECORDED["shapes"] | RECORDED["unused"]).items()}


def write_tiny_muq(folder: Path, *, tensors: dict[str, np.ndarray] | None = None, **audio_model: Any) -> Path:
    """Save the model as pytorch_model.bin with its config.json, in which settings of the audio model may be changed."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    config = RECORDED["config"] | {"audio_model": RECORDED["config"]["audio_model"] | audio_model}
    (folder / "config.json").write_text(json.dumps(config))
    values = tiny_tensors() if tensors is None else tensors
    torch.save({name: torch.from_numpy(value) for name, value in values.items()}, folder / "pytorch_model.bin")
    return folder
