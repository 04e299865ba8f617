"""The record of an error, which every command prints as JSON. Field names are the keys."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ErrorRecord"]


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a command could not be carried out."""

    error: str
