"""End a process together with those that it started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["GRACE", "kill_group"]

GRACE = 8.0
"""Seconds that a job gets to stop by itself."""


def kill_group(leader: int) -> None:
    """Kill a process and all others of its group. Nothing happens if there are none any more."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(leader, getattr(signal, "SIGKILL", signal.SIGTERM))
        else:
            os.kill(leader, signal.SIGTERM)  # Windows has no groups, and this ends the process
