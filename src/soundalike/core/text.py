"""Compare text as people do: without case, however accents are encoded."""

from __future__ import annotations

import unicodedata

__all__ = ["fold"]


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
