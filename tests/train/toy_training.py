"""Functions that stand for the training of a network, for worker processes, which import them from this file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from soundalike.core.errors import UsageError
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.network_files import Trained


def train_for(path: Path, seconds: float, needs: tuple[Path, ...], progress: Callable[[Epoch], None]) -> Trained:
    """Write a file after some time. What it needs must be there from the beginning."""
    assert all(one.exists() for one in needs)
    time.sleep(seconds)
    path.write_text(str(os.getpid()))
    return Trained(path, (Epoch(1, 1.0, 1.0, 0.5),), found=False)


def fail(path: Path, progress: Callable[[Epoch], None]) -> Trained:
    raise UsageError(f"{path.name} diverges")


def die(path: Path, progress: Callable[[Epoch], None]) -> Trained:
    os._exit(3)


def lack_memory(path: Path, progress: Callable[[Epoch], None]) -> Trained:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
