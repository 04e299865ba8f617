"""The number of threads that torch computes with."""

from __future__ import annotations

import torch

from soundalike.core.executors.cores import usable_cores

__all__ = ["use_all_cores"]


def use_all_cores() -> None:
    """Let torch compute with one thread per usable core, for networks that are large enough to gain from it.

    The command line starts every process with one thread, since most of its matrices are small.

    Example:
        >>> use_all_cores()
    """
    torch.set_num_threads(usable_cores())
