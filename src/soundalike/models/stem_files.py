"""The stems of recordings as files, made by the separator that a recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.audio import AudioStream
from soundalike.core import plugins
from soundalike.core.errors import ModelError
from soundalike.models.recipes import SeparatorVersion

if TYPE_CHECKING:
    from soundalike.audio.separators import Separator

__all__ = ["is_silent", "load_separator", "stem_files"]


@cache
def load_separator(wanted: SeparatorVersion) -> Separator:
    """Load the separator of a recipe, once per process.

    Raises:
        UsageError: There is no such separator.
        ModelError: It lacks its extra or weights, or another version is installed than the recipe names.

    Example:
        >>> load_separator(SeparatorVersion("spleeter", 1)).stems
        ('vocals', 'accompaniment')
    """
    found: Separator = plugins.load("separators", wanted.name)
    if found.version != wanted.version:
        raise ModelError(
            f"the model takes the stems of {wanted.name} {wanted.version}, but {wanted.name} {found.version} is "
            f"installed; bring both up to date with: soundalike index --stems {wanted.name} DIR"
        )
    return found


def stem_files(separator: SeparatorVersion, path: Path, content_hash: str | None = None) -> Mapping[str, Path]:
    """Return the file of each stem of a recording. It is separated unless the cache has its stems.

    Args:
        separator: The separator.
        path: The recording.
        content_hash: Its `core.files.content_hash`, if it is known.

    Raises:
        AudioError: The recording cannot be separated.
        ModelError: The separator is not there in this version.

    Example:
        >>> stem_files(SeparatorVersion("spleeter", 1), Path("song.flac"))["vocals"].name
        'vocals.flac'
    """
    from soundalike.audio.separators import separated_stems

    return separated_stems(load_separator(separator), path, content_hash)


def is_silent(path: Path) -> bool:
    """Return whether every sample of a file is zero.

    Raises:
        AudioError: The file cannot be read.

    Example:
        >>> is_silent(Path("song.flac"))
        False
    """
    with AudioStream(path) as stream:
        return not any(block.any() for block in stream)
