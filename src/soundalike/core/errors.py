"""The errors that a user can cause, as a tree:

SoundalikeError            base of all errors that this package raises on purpose
├── UsageError             the request is invalid (exit code 2, HTTP 400)
├── AudioError             one input cannot be decoded: missing, truncated, too short, not audio
├── ModelError             a model is unknown, invalid, of another version or not installed
└── LibraryError           the library on disk cannot be opened, read or written
    ├── LibraryNotFoundError   there is no library in the folder (HTTP 404)
    └── LibraryBusyError   another process is writing to it (HTTP 409)

A message is one line. It says what was found, what was expected and what to do.
"""

from __future__ import annotations

import os
import re

__all__ = [
    "AudioError",
    "LibraryBusyError",
    "LibraryError",
    "LibraryNotFoundError",
    "ModelError",
    "SoundalikeError",
    "SoundalikeWarning",
    "UsageError",
    "one_line",
]


# Control and format characters, other spaces, surrogates, separators, private and never assigned characters, as Unicode
# 14 has them. `str.isprintable` would follow the version of Python, and paths are stored in this form.
_UNPRINTABLE = re.compile(
    "[\0-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ud800-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000110bd\U000110cd"
    "\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)


def one_line(text: str | os.PathLike[str]) -> str:
    r"""Return a path or message as one printable line, safe for any terminal and encoding.

    Control characters and bytes that are not UTF-8 are escaped. The result is the same in every version of Python.

    Example:
        >>> one_line("a\nb.wav")
        'a\\nb.wav'
    """
    plain = os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), plain)


class SoundalikeError(Exception):
    """Base class of the errors that are shown to the user. The text is one line, whatever the paths in it contain."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class SoundalikeWarning(UserWarning):
    """Something is left out or done differently, and the work goes on. The text is one line."""


class UsageError(SoundalikeError):
    """The request is invalid."""


class AudioError(SoundalikeError):
    """One input cannot be decoded. A batch continues and lists it at the end."""


class ModelError(SoundalikeError):
    """A model is unknown, invalid, of another version, or needs an extra that is not installed."""


class LibraryError(SoundalikeError):
    """The library on disk cannot be opened, read or written."""


class LibraryNotFoundError(LibraryError):
    """There is no library in the folder."""


class LibraryBusyError(LibraryError):
    """Another process is writing to the library."""
