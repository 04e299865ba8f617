"""Every error that a user can cause. The tree:

SoundalikeError            anything this package raises on purpose
├── UsageError             the request cannot be carried out as asked (exit code 2, HTTP 400)
├── AudioError             one input cannot be heard: missing, damaged, too short, not audio
├── ModelError             a model is unknown, damaged, of another version or not installed
└── LibraryError           the library on disk cannot be opened, read or written
    └── LibraryBusyError   another process is writing to it (HTTP 409)

A message is one line: what was found, what was expected, what to do.
"""

from __future__ import annotations

import os

__all__ = ["AudioError", "LibraryBusyError", "LibraryError", "ModelError", "SoundalikeError", "UsageError", "one_line"]


def one_line(text: str | os.PathLike[str]) -> str:
    """A path or message as one line for any terminal and encoding: odd bytes and control characters escaped."""
    plain = os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain)


class SoundalikeError(Exception):
    """Base of every error that is meant for the user's eyes: its text is one clear line."""


class UsageError(SoundalikeError):
    """The request cannot be carried out as asked."""


class AudioError(SoundalikeError):
    """One input cannot be heard; a batch goes on and lists it at the end."""


class ModelError(SoundalikeError):
    """A model is unknown, damaged, of another version, or needs an extra that is not installed."""


class LibraryError(SoundalikeError):
    """The library on disk cannot be opened, read or written."""


class LibraryBusyError(LibraryError):
    """Another process is writing to the library."""
