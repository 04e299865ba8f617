"""Turn records into plain values that `json.dumps` accepts."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

__all__ = ["Plain", "to_plain"]

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What JSON can hold."""


def to_plain(value: object) -> Plain:
    """Return a value as plain dictionaries, lists, strings and numbers.

    Args:
        value: A dataclass (its fields in their order), a mapping with text as keys, a sequence, a path, text, a number,
            a numpy array or scalar, or None; nested to any depth.

    Returns:
        A value that `json.dumps(..., allow_nan=False)` accepts. Paths become text (`os.fsdecode`), and tuples and
        arrays become lists.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot express.
        TypeError: A value or a key is of another type.

    Example:
        >>> to_plain(Span("a.wav", 0.0, 10.0))
        {'track': 'a.wav', 'start': 0.0, 'end': 10.0}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no form in JSON; expected a finite number or None")
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is of type {type(key).__name__}; expected text")
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if hasattr(value, "tolist"):  # a numpy array or scalar; numpy itself need not be imported for errors as JSON
        return to_plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [to_plain(item) for item in value]
    expected = "a dataclass, mapping, sequence, path, text or number"
    if isinstance(value, Set):
        expected += " (a set has no order; sort it)"
    raise TypeError(f"cannot serialise {type(value).__name__}; expected {expected}")
