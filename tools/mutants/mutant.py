"""A fault of the list."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Mutant"]


@dataclass(frozen=True)
class Mutant:
    """A fault put into a file by hand.

    Attributes:
        file: The file, from the root of the repository.
        old: A text that occurs exactly once in it.
        new: What replaces it.
        breaks: What no longer holds.
        tests: The tests that concern it, as arguments of pytest.
        equivalent: Why nothing that is promised changes, for a fault that no test can notice.
    """

    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]
    equivalent: str | None = None
