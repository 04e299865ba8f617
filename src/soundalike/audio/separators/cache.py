"""Stems of recordings on disk, made when they are first needed.

They lie in the user's cache as `stems/NAME-VERSION/KEY/STEM.flac`; the key is the content hash of the recording. A
folder appears under its key only when it is complete. Several processes may use the cache at the same time: if two
separate the same recording, the first that is done wins. Above the limit in bytes, the recordings that have not been
used for the longest time are removed, but never one that was used within the last ten minutes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from soundalike.audio.separators.base import Separator, StemBlock
from soundalike.audio.separators.gate import apply_gate
from soundalike.core.errors import UsageError
from soundalike.core.files import FULL_DISK, size_of
from soundalike.core.files import content_hash as hash_of
from soundalike.core.settings import cache_folder, stem_cache_bytes

__all__ = ["is_separated", "separated_stems", "write_stems"]

_PARTIAL = ".partial-"
_ABANDONED = 24 * 3600.0  # seconds after which a partial folder belongs to no running process
_IN_USE = 600.0


def separated_stems(separator: Separator, path: Path, content_hash: str | None = None) -> Mapping[str, Path]:
    """Return the files of the stems of a recording, after separating it unless they are in the cache.

    The files are 16-bit stereo FLAC at the rate of the separator. What is only leakage is digital silence, see
    `separators.gate`.

    Args:
        separator: The separator.
        path: The recording.
        content_hash: Its `core.files.content_hash`, if it is known.

    Returns:
        The files by stem, in the order of `separator.stems`.

    Raises:
        AudioError: The recording cannot be read or separated.
        UsageError: The cache cannot be written.

    Example:
        >>> separated_stems(plugins.load("separators", "spleeter"), Path("song.flac"))["vocals"].name
        'vocals.flac'
    """
    folder = _folder(separator, path, content_hash)
    if not folder.is_dir():
        _make(separator, path, folder)
    with suppress(OSError):
        os.utime(folder)
    return {stem: folder / f"{stem}.flac" for stem in separator.stems}


def is_separated(separator: Separator, path: Path, content_hash: str | None = None) -> bool:
    """Return whether the stems of a recording are in the cache.

    Raises:
        AudioError: The recording cannot be read.

    Example:
        >>> is_separated(plugins.load("separators", "spleeter"), Path("song.flac"))
        False
    """
    return _folder(separator, path, content_hash).is_dir()


def write_stems(blocks: Iterable[StemBlock], rate: int, files: Mapping[str, Path]) -> int:
    """Write stems to sound files, whose suffixes choose the format. Samples above full scale are clipped.

    Args:
        blocks: The stems, as a separator yields them.
        rate: Their sample rate in Hz.
        files: The file for every stem to write.

    Returns:
        The number of samples per stem.

    Raises:
        OSError: A file cannot be written.

    Example:
        >>> write_stems(separator.separate(path), separator.rate, {"vocals": Path("vocals.wav")})
        10584000
    """
    import soundfile

    writers: dict[str, soundfile.SoundFile] = {}
    count = 0
    try:
        for stem, file in files.items():
            writers[stem] = soundfile.SoundFile(file, "w", samplerate=rate, channels=2, subtype="PCM_16")
        for block in blocks:
            for stem, writer in writers.items():
                writer.write(np.clip(block[stem], -1.0, 1.0 - 2.0**-15).T)
            count += next(iter(block.values())).shape[1]
    except soundfile.SoundFileError as error:
        raise OSError(None, str(error)) from error
    finally:
        for writer in writers.values():
            writer.close()
    return count


def _folder(separator: Separator, path: Path, content_hash: str | None) -> Path:
    """Return the folder of the stems of a recording. It need not exist."""
    key = content_hash or hash_of(path)
    if files := separator.files(path):
        digest = hashlib.blake2b(key.encode(), digest_size=16)
        for file in files:
            status = file.stat() if file.exists() else None
            stamp = f"{status.st_size} {status.st_mtime_ns}" if status else "missing"
            digest.update(f"{file} {stamp}\0".encode(errors="surrogateescape"))
        key = digest.hexdigest()
    return cache_folder() / "stems" / f"{separator.name}-{separator.version}" / key


def _make(separator: Separator, path: Path, folder: Path) -> None:
    """Separate a recording into its folder in the cache."""
    partial = folder.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    try:
        partial.mkdir(parents=True)
        try:
            blocks = apply_gate(separator.separate(path), separator.rate, separator.gate)
            write_stems(blocks, separator.rate, {stem: partial / f"{stem}.flac" for stem in separator.stems})
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process was faster if it is
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        remedy = "free some space" if error.errno in FULL_DISK else "check its permissions and the free space"
        raise UsageError(f"cannot write to {folder.parent} ({error.strerror or error}); {remedy}") from error
    _trim(cache_folder() / "stems", stem_cache_bytes())


def _trim(root: Path, limit: int) -> None:
    """Remove what was not used for the longest time until the cache is within its limit, and abandoned folders."""
    now = time.time()
    entries = []
    for folder in root.glob("*/*"):
        try:
            used = folder.stat().st_mtime
        except OSError:  # another process has removed it
            continue
        if folder.name.startswith(_PARTIAL):
            if now - used > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
        else:
            entries.append((used, folder, size_of(folder)))
    total = sum(size for _, _, size in entries)
    for used, folder, size in sorted(entries):
        if total <= limit or now - used < _IN_USE:
            return
        gone = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
        with suppress(OSError):
            folder.rename(gone)  # so that no process finds half of it
            shutil.rmtree(gone, ignore_errors=True)
            total -= size
