"""An open file that decoders read, and parts of it."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from soundalike.core.errors import AudioError

__all__ = ["REMEDY", "Float32", "Section", "Source", "StrPath", "decoding_error", "reason"]

Float32: TypeAlias = npt.NDArray[np.float32]
StrPath: TypeAlias = str | os.PathLike[str]

REMEDY = "copy or download it again"
"""The end of the messages about invalid files."""


def reason(error: Exception) -> str:
    """Return a decoder library's error message on one line, without the path."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None)
    return " ".join(str(text or error).split()).rstrip(".") or type(error).__name__


def decoding_error(seconds: float, why: str) -> AudioError:
    """Return the error for a recording that can only be decoded up to `seconds`."""
    return AudioError(f"cannot be decoded after {seconds:.1f} s ({why}); {REMEDY}")


class Source(io.FileIO):
    """An open file that both decoders read.

    Opening the file here allows any path and gives uniform error messages. An exception cannot cross libsndfile's C
    code, so a failed read looks like the end of the file, and `failure` holds the error.
    """

    def __init__(self, path: StrPath) -> None:
        self.failure: OSError | None = None
        try:
            mode = Path(path).stat().st_mode
            if stat.S_ISDIR(mode):
                raise AudioError("a folder, expected an audio file; give a file in it")
            if not stat.S_ISREG(mode):  # check before opening: opening a pipe waits for a writer
                raise AudioError("not a regular file, expected an audio file; save the audio to a file first")
            super().__init__(path)
        except FileNotFoundError:
            raise AudioError("no such file; check the name") from None
        except PermissionError:
            raise AudioError("not readable (permission denied); change its permissions") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise AudioError(f"cannot be opened ({reason(error)}); check the name and the disk") from error
        self.name = "recording"  # libraries guess formats from names
        self.size = self.seek(0, os.SEEK_END)
        self.seek(0)
        if not self.size:
            self.close()
            raise AudioError(f"an empty file (0 bytes), expected an audio file; {REMEDY}")

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek as FileIO does, but return -1 and stay if there is no such position, as invalid sizes ask for."""
        try:
            return super().seek(offset, whence)
        except (OSError, OverflowError):
            return -1

    def readinto(self, buffer: Any) -> int | None:
        """Read as FileIO does, but return 0 after an error."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


class Section(io.RawIOBase):
    """A part of a file as a file of its own, possibly behind another header.

    Args:
        source: The file.
        start: Its first byte in the section.
        end: The byte behind the section.
        header: Bytes that come before those of the file.
    """

    name = "recording"

    def __init__(self, source: Source | Section, start: int, end: int, header: bytes = b"") -> None:
        super().__init__()
        self._source, self._start, self._header = source, start, header
        self.size = len(header) + end - start
        self._position = 0

    @property
    def failure(self) -> OSError | None:
        """The error of the last failed read, if any."""
        return self._source.failure

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can seek: yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read bytes into `buffer` and return their number."""
        size = max(min(len(buffer), self.size - self._position), 0)
        if not size:
            return 0
        if self._position < len(self._header):
            content = self._header[self._position : self._position + size]
            buffer[: len(content)] = content
            count = len(content)
        else:
            self._source.seek(self._start + self._position - len(self._header))
            count = self._source.readinto(memoryview(buffer)[:size]) or 0
        self._position += count
        return count
