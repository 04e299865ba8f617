"""The functions of the Python interface: open a library, load a model, compare two recordings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from soundalike.api.arguments import Region, StrPath, WeightsLike
from soundalike.api.library import Library
from soundalike.audio import AudioInput
from soundalike.core.arguments import as_flag, as_model_name
from soundalike.core.errors import LibraryBusyError, LibraryNotFoundError
from soundalike.core.files import as_path
from soundalike.core.types import Level
from soundalike.library import LibraryFolder
from soundalike.models import DEFAULT_MODEL, Model, load_once

if TYPE_CHECKING:
    from soundalike.search import Comparison, StemMatrix

__all__ = ["compare", "compare_stems", "load_model", "open"]


def open(path: StrPath, *, create: bool = False, threads: int = 1, incomplete: bool = False) -> Library:
    """Open a library on disk.

    Args:
        path: The folder of the library. A leading `~` is the home folder.
        create: Make an empty library if there is none.
        threads: The number of threads that one search uses.
        incomplete: Open it even if files with rows are missing, to `check` and repair it.

    Raises:
        LibraryNotFoundError: There is no library at `path`, and `create` is false.
        LibraryError: It cannot be read or created.

    Example:
        >>> with soundalike.open("library", create=True) as library:
        ...     len(library)
        0
    """
    create = as_flag(create, "create")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return Library(path, threads=threads, incomplete=incomplete)
        except LibraryNotFoundError:
            if not create:
                raise
        try:
            LibraryFolder.create(as_path(path, "path")).close()
        except LibraryBusyError:  # another thread or process is creating it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


_PATIENCE = 10.0
"""Seconds to wait for another process that is creating the same library."""


def load_model(name: StrPath = DEFAULT_MODEL) -> Model:
    """Load a model: a bundled or installed one by name, or any model folder by path.

    Its `encode` takes a path, a binary file object, an `Audio`, or a list of these.

    Raises:
        ModelError: There is no such model, or it cannot be loaded.

    Example:
        >>> encoding = soundalike.load_model("dsp").encode("song.wav")
        >>> encoding.track.rows["melody"].shape
        (1, 128)
    """
    return Model.load(name)


def compare(
    a: AudioInput,
    b: AudioInput,
    *,
    weights: WeightsLike = None,
    model: StrPath = DEFAULT_MODEL,
    region: Region = None,
    region_b: Region = None,
    by: Level | None = None,
    align: bool = False,
) -> Comparison:
    """Compare two recordings, without a library.

    Args:
        a: The query.
        b: The recording that is scored as a match of `a`.
        weights: Weights of the spaces; None weighs each of the model 1. Spaces of other installed models may be named
            too, as in `Library.search`.
        model: The name or folder of a model.
        region: Use only this part of `a`: (start, end) in seconds, or text such as "0:30-0:40".
        region_b: Use only this part of `b`.
        by: Compare whole tracks or passages. None compares passages if there is a region or `a` is shorter than 30 s.
        align: Also find the transposition, tempo ratio and offset between the two.

    Returns:
        The score with the share of every space, and the most similar pair of passages per space.

    Raises:
        AudioError: A recording cannot be read.
        UsageError: An argument is wrong, or a recording has no audible content for the spaces with a weight.

    Example:
        >>> soundalike.compare("a.wav", "b.wav").match.score
        1.73
    """
    from soundalike.api.encoding import compare_with, spaces_of_request

    spaces = spaces_of_request(model, None, weights)
    return compare_with(spaces, None, a, b, weights, region, region_b, by, align)


def compare_stems(
    a: AudioInput,
    b: AudioInput,
    stems: str = "spleeter",
    *,
    model: StrPath = DEFAULT_MODEL,
    region: Region = None,
    region_b: Region = None,
    by: Level | None = None,
) -> StemMatrix:
    """Compare the stems of two recordings, and their mixes, in every factor, without a library.

    Args:
        a: The query.
        b: The recording that is scored as a match of `a`.
        stems: The separator. The model on its stems must be installed: `soundalike models install compact-spleeter`.
        model: The name or folder of the model of mixes.
        region, region_b, by: As for `compare`. Every row compares passages, or none does; if so, the best passage of
            `b` is chosen once by the mix, and once by all stems together.

    Returns:
        One cell per source (the mix and every stem) and factor.

    Raises:
        AudioError: A recording cannot be read or separated.
        ModelError: The model on the stems is not installed.
        UsageError: An argument is wrong, or a recording has no audible content.

    Example:
        >>> matrix = soundalike.compare_stems("a.wav", "b.wav")
        >>> matrix.cells["vocals", "melody"].score.z
        1.7
    """
    from soundalike.api.encoding import compare_stems_with

    return compare_stems_with(load_once(as_model_name(model)), None, a, b, stems, region, region_b, by)
