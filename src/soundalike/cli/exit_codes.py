"""Exit codes of every command."""

from __future__ import annotations

__all__ = ["DONE", "FAILED", "INTERRUPTED", "PARTLY"]

DONE = 0
PARTLY = 1
"""Done, but some inputs failed; messages on standard error name them."""
FAILED = 2
"""Wrong usage, or nothing could be done."""
INTERRUPTED = 130
