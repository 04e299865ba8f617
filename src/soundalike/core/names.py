"""The rule for names of models, spaces, backbones and features, which become parts of file names and of weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["NAME_RULE", "check_name", "check_unique"]

_LONGEST = 64
_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}", re.ASCII)
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.ASCII | re.IGNORECASE)
NAME_RULE = (
    f"1 to {_LONGEST} of the letters a-z and A-Z, digits and . _ -, beginning with a letter or digit, not ending in a "
    "dot, and not a device name of Windows such as con or nul"
)
"""What a name may be, for messages."""


def check_name(what: str, name: object) -> str:
    """Return a name if it follows the rule for names.

    Args:
        what: What the name is of, such as "model".
        name: The name.

    Raises:
        ValueError: It does not. The message is one line.

    Example:
        >>> check_name("space", "drums.rhythm")
        'drums.rhythm'
    """
    if not isinstance(name, str) or not _PATTERN.fullmatch(name) or name.endswith(".") or _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a {what}; expected {NAME_RULE}")
    return name


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise ValueError if two names are equal or differ only in case, as many file systems ignore case.

    Example:
        >>> check_unique("space", ["melody", "rhythm"])
    """
    seen: dict[str, str] = {}
    for name in names:
        if (key := name.lower()) in seen:
            raise ValueError(f"two {what}s are called {seen[key]!r} and {name!r}; names must differ by more than case")
        seen[key] = name
