"""The version of a backbone whose weights are files that do not come with this package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.files import content_hash, write_atomic
from soundalike.core.settings import cache_folder

__all__ = ["weights_version"]


def weights_version(code: int, files: Sequence[Path]) -> int:
    """Return a version that changes with the code of a backbone and with the bytes of its weights.

    The digest of a file is cached by its path, size and time of change, because reading a gigabyte takes seconds.

    Args:
        code: Version of the code.
        files: The files of the weights, in a fixed order.

    Returns:
        A number of at most 48 bits.

    Raises:
        ModelError: A file cannot be read.

    Example:
        >>> weights_version(1, [Path("mert/config.json"), Path("mert/pytorch_model.bin")])
        152735512113437
    """
    digests = [_digest(file) for file in files]
    return int(hashlib.blake2b(f"{code} {' '.join(digests)}".encode(), digest_size=6).hexdigest(), 16)


def _digest(file: Path) -> str:
    """Return the digest of a file, from the cache if the file has not changed."""
    try:
        status = file.stat()
        key = f"{file.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        entry = cache_folder() / "weights" / hashlib.blake2b(key.encode(errors="replace"), digest_size=16).hexdigest()
        if entry.is_file():
            return entry.read_text(encoding="ascii")
        digest = content_hash(file)
    except (OSError, AudioError) as error:
        raise ModelError(f"{file} cannot be read ({error}); install the model again") from error
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(entry, lambda out: out.write(digest.encode()))
    except (OSError, UsageError):
        pass  # the cache only saves time
    return digest
