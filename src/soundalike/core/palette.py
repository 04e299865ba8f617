"""The colours of spaces, the same in every picture, page and terminal."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["space_colours"]

_COLOURS = ("#d9602b", "#2f7fd6", "#1f9d78", "#b45bb6", "#b08a1e", "#75808c")


def space_colours(names: Iterable[str]) -> dict[str, str]:
    """A CSS colour for every space, in order of appearance; more spaces than colours share the last.

    Example:
        >>> space_colours(["melody", "rhythm"])["melody"]
        '#d9602b'
    """
    return {name: _COLOURS[min(number, len(_COLOURS) - 1)] for number, name in enumerate(dict.fromkeys(names))}
