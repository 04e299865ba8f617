"""Compare text as people do, without case and however accents are encoded, and quote it for a shell."""

from __future__ import annotations

import os
import shlex
import unicodedata

__all__ = ["fold", "quoted"]


def quoted(path: str | os.PathLike[str]) -> str:
    """Return a path as one word of a shell command, for commands that a message suggests.

    Example:
        >>> quoted("My Music")
        "'My Music'"
    """
    return shlex.quote(os.fspath(path))


def fold(text: str) -> str:
    """Return a form of `text` that is equal for texts that differ only in case or in the encoding of accents.

    macOS writes file names with separate accents (NFD), most other programs with composed letters (NFC).

    Example:
        >>> fold("E\\u0301te\\u0301") == fold("ÉTÉ")
        True
    """
    if text.isascii():
        return text.lower()
    # Folding can separate accents again, so the result is composed once more.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
