"""Lists of files to index: from standard input, and M3U playlists."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from soundalike.core.errors import UsageError

__all__ = ["is_playlist", "read_playlist", "read_standard_input"]

_SUFFIXES = (".m3u", ".m3u8")
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


def is_playlist(path: Path) -> bool:
    """Whether a path names an M3U playlist that exists."""
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def read_standard_input() -> list[Path]:
    """The paths that standard input lists; relative ones start from the current folder.

    Raises:
        UsageError: It lists no file.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("- reads a list of paths from standard input, but nothing is piped in there")
    return _read(sys.stdin.buffer.read(), Path(), "the list on standard input")


def read_playlist(path: Path) -> list[Path]:
    """The paths that an M3U playlist lists; relative ones start from its folder.

    Raises:
        UsageError: It cannot be read, or lists no file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return _read(data, path.parent, str(path))


def _read(data: bytes, base: Path, name: str) -> list[Path]:
    entries = list(_entries(data, base))
    files = [entry for entry in entries if entry[:5].lower() == b"file:" or not _URL.match(entry)]
    if not files:
        found = f"lists only {len(entries)} web addresses" if entries else "is empty"
        raise UsageError(f"{name} {found}; expected paths of folders or audio files, one per line or separated by NUL")
    return [_path(entry, base) for entry in files]


def _entries(data: bytes, base: Path) -> Iterator[bytes]:
    """The entries of a list: names separated by NUL, or lines without empty ones and comments."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            data = os.fsencode(data.decode(encoding, "replace"))
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        yield from filter(None, data.split(b"\0"))
        return
    lines = data.replace(b"\r\n", b"\n").split(b"\n" if b"\n" in data else b"\r")
    extended = any(line.startswith(b"#EXT") for line in lines)
    for line in lines:
        # In a plain list, a name may begin with "#".
        comment = line.startswith(b"#") and (extended or not _exists(base / os.fsdecode(line)))
        if line.strip() and not comment:
            yield line


def _path(entry: bytes, base: Path) -> Path:
    """The path that an entry names: the first way to read it that leads to a file, or else the plain one."""
    if entry[:5].lower() == b"file:":
        return _from_url(entry.strip())
    names = [os.fsdecode(entry), os.fsdecode(entry.strip())]
    try:
        entry.decode()
    except UnicodeDecodeError:  # Windows players write the code page of their country; 1252 is the most common
        names.append(entry.decode("cp1252", "replace"))
    names += [name.replace("\\", "/") for name in names if "\\" in name]
    return next((path for name in names if _exists(path := base / name)), base / names[0])


def _exists(path: Path) -> bool:
    """Whether there is such a file. A line that is too long for a name is none."""
    try:
        return path.exists()
    except OSError:
        return False


def _from_url(entry: bytes) -> Path:
    """The path of a file:// URL."""
    path = urlsplit(entry.decode("ascii", "surrogateescape")).path
    if os.name == "nt":
        return Path(url2pathname(path))
    return Path(os.fsdecode(unquote_to_bytes(path.encode("ascii", "surrogateescape"))))
