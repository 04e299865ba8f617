"""What a training of networks tells its caller while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.train.common.checkpoints import Epoch

__all__ = ["NetworkProgress"]


@dataclass(frozen=True, slots=True)
class NetworkProgress:
    """Callbacks of a training.

    Attributes:
        step: Called with the name of a step when it starts.
        done: Called with the recordings that were read, all recordings to read, and the seconds of audio read.
        epoch: Called with the name of a network and its epoch: after every epoch, or with all of them at the end where
            several networks are trained at the same time.
    """

    step: Callable[[str], None]
    done: Callable[[int, int, float], None]
    epoch: Callable[[str, Epoch], None]
