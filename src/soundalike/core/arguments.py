"""Check the arguments of public functions. Every error is a UsageError that names the argument."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TypeVar

import numpy as np

from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import as_path

__all__ = ["as_callback", "as_choice", "as_count", "as_flag", "as_model_name", "as_number", "shown"]

_Choice = TypeVar("_Choice", bound="str | None")
_Call = TypeVar("_Call", bound=Callable[..., object])
_SHOWN = 80


def shown(value: object) -> str:
    """Return a value as one short line, for messages about arguments.

    Example:
        >>> shown("a\\nb")
        "'a\\\\\\\\nb'"
    """
    text = " ".join(one_line(repr(value)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({type(value).__name__})"


def as_number(value: object, name: str) -> float:
    """A number as a float.

    Example:
        >>> as_number(1, "spread")
        1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name} is {shown(value)}; expected a number")
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{name} is too large; expected a number of at most 1.8e308") from None


def as_count(value: object, name: str) -> int:
    """A whole number of at least 1.

    Example:
        >>> as_count(8, "steps")
        8
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{name} is {shown(value)}; expected a whole number of at least 1")
    return int(value)


def as_flag(value: object, name: str) -> bool:
    """True or False. Other values are refused, because text such as "no" would count as true.

    Example:
        >>> as_flag(True, "create")
        True
    """
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is {shown(value)}; expected True or False")
    return bool(value)


def as_choice(value: _Choice, name: str, choices: Sequence[_Choice]) -> _Choice:
    """One of several texts, or None if it is one of the choices.

    Example:
        >>> as_choice("track", "by", ("track", "passage"))
        'track'
    """
    if not (value is None or isinstance(value, str)) or value not in choices:
        *most, last = (repr(choice) for choice in choices)
        raise UsageError(f"{name} is {shown(value)}; expected {', '.join(most)} or {last}")
    return value


def as_callback(value: _Call | None, name: str) -> _Call | None:
    """A function to call, or None.

    Example:
        >>> as_callback(print, "progress") is print
        True
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name} is {shown(value)}; expected a function or None")
    return value


def as_model_name(model: object) -> str:
    """The name or folder of a model, as text. A leading `~` is the home folder.

    Example:
        >>> as_model_name("compact")
        'compact'
    """
    if not isinstance(model, str | os.PathLike) or not os.fspath(model):
        raise UsageError(f"model is {shown(model)}; expected the name or folder of a model, such as 'compact'")
    text = os.fsdecode(model)
    folder = str(as_path(text, "model"))  # refuses what no file can be called, such as text with a NUL
    return folder if text.startswith("~") else text
