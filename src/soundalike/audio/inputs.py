"""Recordings as people have them: a path, an open file, or samples in memory."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError, UsageError
from soundalike.core.files import as_path
from soundalike.core.types import Audio

__all__ = ["AudioInput", "is_one_input", "label_of", "recording_file"]

AudioInput: TypeAlias = str | os.PathLike[str] | BinaryIO | Audio
"""What can be encoded: a path, a binary file object, or samples."""
_CHUNK = 1 << 20


def is_one_input(value: object) -> bool:
    """Whether `value` is one recording, not a list of them."""
    return isinstance(value, str | os.PathLike | Audio) or hasattr(value, "read")


def label_of(source: AudioInput) -> str:
    """What to call a recording in results: its path, the name of the file object, or "<audio>"."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, Audio):
        return "<audio>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<file>"


@contextmanager
def recording_file(source: AudioInput) -> Iterator[Path]:
    """The absolute path of a recording; what is not a file already is written to a temporary one for the while.

    Args:
        source: A path, a binary file object (read from where it is to its end), or an `Audio`.

    Raises:
        UsageError: `source` is none of these, or a text file, or an `Audio` that no file can hold.

    Example:
        >>> with recording_file("song.wav") as path:
        ...     path.name
        'song.wav'
    """
    if isinstance(source, str | os.PathLike):
        yield as_path(source, "the recording")
        return
    if not isinstance(source, Audio) and not hasattr(source, "read"):
        raise UsageError(
            f"cannot read a recording from {type(source).__name__}; expected a path, a binary file object or an Audio"
        )
    label = label_of(source)
    suffix = ".wav" if isinstance(source, Audio) else ".audio"
    # Windows opens a file a second time only after it was closed, so it is removed with its folder.
    with tempfile.TemporaryDirectory(prefix="soundalike-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"recording{suffix}"
        if isinstance(source, Audio):
            _write_audio(path, source)
        else:
            with path.open("wb") as file:
                _copy(source, file, label)
        try:
            yield path
        except SoundalikeError as error:
            raise type(error)(str(error).replace(str(path), label)) from error


def _copy(source: BinaryIO, file: BinaryIO, label: str) -> None:
    size = 0
    try:
        while chunk := source.read(_CHUNK):
            if not isinstance(chunk, bytes | bytearray | memoryview):
                raise UsageError(f"{label} was opened as text; open it with mode 'rb'")
            size += file.write(chunk)
        consumed = not size and source.seekable() and source.tell() > 0
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AudioError(f"{label} cannot be read: {error}") from error
    if consumed:
        raise UsageError(f"{label} was read to its end before; call seek(0) first")


def _write_audio(path: Path, audio: Audio) -> None:
    import soundfile

    try:
        samples = np.atleast_2d(np.asarray(audio.samples))
    except ValueError:
        raise UsageError("an Audio whose channels differ in length; expected (channels, samples) of floats") from None
    if samples.ndim != 2 or not samples.size or not np.issubdtype(samples.dtype, np.floating):
        raise UsageError(
            f"an Audio with samples of shape {np.shape(audio.samples)} and type {np.asarray(audio.samples).dtype}; "
            "expected (channels, samples) or (samples,) of floats"
        )
    content = io.BytesIO()
    try:
        soundfile.write(content, samples.T.astype(np.float32), int(audio.rate), format="WAV", subtype="FLOAT")
    except (soundfile.LibsndfileError, OverflowError, TypeError, ValueError) as error:
        raise UsageError(
            f"an Audio of {len(samples)} channels at {audio.rate} Hz cannot be encoded: {error}"
        ) from error
    path.write_bytes(content.getvalue())
