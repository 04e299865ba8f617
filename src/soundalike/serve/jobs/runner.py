"""Start, watch and cancel jobs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["JobRunner"]


class JobRunner:
    """The jobs of one server."""

    def __init__(self, library: Path) -> None:
        self._library = library

    @property
    def unfinished(self) -> int:
        """The number of jobs that run or wait."""
        return 0

    def close(self) -> None:
        """Cancel all jobs and wait for them."""
