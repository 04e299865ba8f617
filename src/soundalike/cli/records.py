"""Records of errors, which several commands print as JSON. Field names are the keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ErrorRecord", "FailureRecord", "failure_records"]


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a command could not be carried out."""

    error: str


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """An input that failed."""

    path: str
    error: str


def failure_records(failed: Iterable[tuple[object, str]]) -> list[FailureRecord]:
    """Return one record per input that failed."""
    return [FailureRecord(str(path), error) for path, error in failed]
