"""Fingerprints of files."""

from __future__ import annotations

from pathlib import Path

from soundalike.audio.fingerprint import Fingerprinter, Words
from soundalike.audio.mono import MonoStream

__all__ = ["fingerprint_of"]

_RATE = 22050


def fingerprint_of(path: Path) -> Words:
    """Return the fingerprint of a file, in its stored form. Raises AudioError.

    Example:
        >>> len(fingerprint_of(Path("silence.wav")))
        0
    """
    fingerprinter = Fingerprinter(_RATE)
    for _ in fingerprinter.tap(MonoStream(path, _RATE)):
        pass
    return fingerprinter.words()
