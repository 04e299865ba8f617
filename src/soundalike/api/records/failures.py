"""Inputs that failed, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FailureRecord", "failure_records"]


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """An input that failed."""

    path: str
    error: str


def failure_records(failed: Iterable[tuple[object, str]]) -> list[FailureRecord]:
    """Return one record per input that failed."""
    return [FailureRecord(str(path), error) for path, error in failed]
