"""What the Python interface accepts: paths, recordings, weights, regions and examples in several forms."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

from soundalike.audio import AudioInput, is_one_input, label_of, recording_file
from soundalike.core.errors import UsageError
from soundalike.core.files import absolute
from soundalike.library.catalog import Filter
from soundalike.search import Example, Query, as_filter, as_region, as_weights

__all__ = [
    "ExampleLike",
    "Region",
    "StrPath",
    "WeightsLike",
    "as_examples",
    "as_path",
    "open_query",
    "open_recordings",
    "optional_filter",
    "recording_names",
]

StrPath: TypeAlias = str | os.PathLike[str]
WeightsLike: TypeAlias = Mapping[str, float] | str | None
Region: TypeAlias = tuple[float, float | None] | str | None
ExampleLike: TypeAlias = AudioInput | tuple[AudioInput, WeightsLike] | Example


def as_path(path: StrPath, name: str) -> Path:
    """An absolute path, with `~` expanded; `name` is the argument that errors name. Raises UsageError."""
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{name} is {path!r}; expected a path")
    text = os.fsdecode(path)
    if not text:
        raise UsageError(f"{name} is empty; give a file or folder")
    return absolute(Path(text).expanduser())


def optional_filter(where: Filter | str | None) -> Filter | None:
    """A filter from text, a filter, or None."""
    return None if where is None else as_filter(where)


def as_examples(option: str, given: Sequence[ExampleLike] | ExampleLike) -> list[tuple[str, AudioInput, WeightsLike]]:
    """The recordings given as `like` or `unlike`, each with its weights."""
    if is_one_input(given) or isinstance(given, Example) or _is_pair(given):
        given = [given]  # type: ignore[list-item]
    found: list[tuple[str, AudioInput, WeightsLike]] = []
    for one in given:  # type: ignore[union-attr]
        if isinstance(one, Example):
            found.append(("like" if one.like else "unlike", one.path, one.weights))
        elif _is_pair(one):
            found.append((option, one[0], as_weights(one[1])))  # type: ignore[index, arg-type]
        else:
            found.append((option, one, None))  # type: ignore[arg-type]
    return found


def _is_pair(value: object) -> bool:
    """Whether this is a recording with its weights: the second is a mapping, or text with a weight in it."""
    if not isinstance(value, tuple) or len(value) != 2 or not is_one_input(value[0]):
        return False
    return (
        isinstance(value[1], Mapping) or value[1] is None or (isinstance(value[1], str) and not Path(value[1]).suffix)
    )


def open_recordings(stack: ExitStack, sources: Sequence[AudioInput]) -> list[Path]:
    """The files of recordings; temporary ones exist until the stack closes."""
    return [stack.enter_context(recording_file(source)) for source in sources]


def recording_names(sources: Sequence[AudioInput], paths: Sequence[Path]) -> dict[str, str]:
    """What results call recordings that are no files, by the paths of their temporary files."""
    return {
        str(path): label_of(source)
        for source, path in zip(sources, paths, strict=True)
        if not isinstance(source, str | os.PathLike)
    }


def open_query(
    stack: ExitStack,
    query: AudioInput,
    like: Sequence[ExampleLike] | ExampleLike,
    unlike: Sequence[ExampleLike] | ExampleLike,
    *,
    region: Region,
    **fields: Any,
) -> tuple[Query, dict[str, str]]:
    """A query with its examples as files, and the names of those that are temporary; `fields` are those of `Query`."""
    start, end = as_region(region)
    examples = [*as_examples("like", like), *as_examples("unlike", unlike)]
    sources = [query, *(source for _, source, _ in examples)]
    paths = open_recordings(stack, sources)
    others = tuple(
        Example(path, option == "like", weights) for path, (option, _, weights) in zip(paths[1:], examples, strict=True)
    )
    return Query(paths[0], start, end, examples=others, **fields), recording_names(sources, paths)
