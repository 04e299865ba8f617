"""What the Python interface accepts: paths, recordings, weights, regions and examples in several forms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, TypeAlias

from soundalike.audio import AudioInput, is_one_input, label_of, recording_file
from soundalike.core.arguments import as_model_name, shown
from soundalike.core.errors import UsageError
from soundalike.library.catalog import Filter
from soundalike.search import Example, Query, as_filter, as_region, as_weights

__all__ = [
    "ExampleLike",
    "Progress",
    "Region",
    "StrPath",
    "WeightsLike",
    "as_examples",
    "open_query",
    "open_recordings",
    "optional_filter",
    "optional_model",
    "optional_models",
    "recording_names",
]

StrPath: TypeAlias = str | os.PathLike[str]
WeightsLike: TypeAlias = Mapping[str, float] | str | None
Region: TypeAlias = tuple[float, float | None] | str | None
Progress: TypeAlias = Callable[[int, int], None] | None
"""Called with the items done and all items."""
ExampleLike: TypeAlias = AudioInput | tuple[AudioInput, WeightsLike] | Example


def optional_model(model: StrPath | None) -> str | None:
    """The name or folder of a model as text, or None for the default one."""
    return None if model is None else as_model_name(model)


def optional_models(models: StrPath | Sequence[StrPath] | None) -> tuple[str, ...]:
    """The names or folders of one model or several as text; none for the default ones."""
    if models is None or isinstance(models, str | os.PathLike):
        return () if models is None else (as_model_name(models),)
    if not isinstance(models, Iterable) or isinstance(models, bytes | Mapping):
        raise UsageError(f"model is {shown(models)}; expected the name or folder of a model, or a list of these")
    return tuple(map(as_model_name, models))


def optional_filter(where: Filter | str | None) -> Filter | None:
    """A filter from text, a filter, or None."""
    return None if where is None else as_filter(where)


def as_examples(
    option: str, given: Sequence[ExampleLike] | ExampleLike | None
) -> list[tuple[str, AudioInput, WeightsLike]]:
    """The recordings given as `like` or `unlike`, each with its weights."""
    if given is None:
        return []
    if is_one_input(given) or isinstance(given, Example) or _is_pair(given):
        given = [given]  # type: ignore[list-item]
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise UsageError(
            f"{option} is {shown(given)}; expected a recording, a pair (recording, weights), or a list of these"
        )
    found: list[tuple[str, AudioInput, WeightsLike]] = []
    for one in given:
        if isinstance(one, Example):
            found.append(("like" if one.like else "unlike", one.path, one.weights))
        elif isinstance(one, tuple):
            if len(one) != 2:
                raise UsageError(f"{option} has {shown(one)}; expected a recording or a pair (recording, weights)")
            found.append((option, one[0], as_weights(one[1])))
        else:
            found.append((option, one, None))  # type: ignore[arg-type]
    return found


def _is_pair(value: object) -> bool:
    """Whether this is a recording with its weights: the second is None, a mapping, or text such as "melody=2"."""
    if not isinstance(value, tuple) or len(value) != 2 or not is_one_input(value[0]):
        return False
    weights = value[1]
    return (
        weights is None
        or isinstance(weights, Mapping)
        or (isinstance(weights, str) and "=" in weights and not os.path.lexists(weights))
    )


def open_recordings(stack: ExitStack, sources: Sequence[AudioInput]) -> list[Path]:
    """The files of recordings; temporary ones exist until the stack closes."""
    opened: dict[int, Path] = {}
    for source in sources:  # a file object that is given twice is read once
        if id(source) not in opened:
            opened[id(source)] = stack.enter_context(recording_file(source))
    return [opened[id(source)] for source in sources]


def recording_names(sources: Sequence[AudioInput], paths: Sequence[Path]) -> dict[str, str]:
    """What results call recordings that are no files, by the paths of their temporary files."""
    return {
        str(path): label_of(source)
        for source, path in zip(sources, paths, strict=True)
        if not isinstance(source, str | os.PathLike)
    }


_DEFAULTS = {field.name: field.default for field in dataclass_fields(Query)} | {"where": None}
"""The defaults of `Library.search`."""


def open_query(
    stack: ExitStack,
    query: AudioInput | Query,
    like: Sequence[ExampleLike] | ExampleLike,
    unlike: Sequence[ExampleLike] | ExampleLike,
    *,
    region: Region,
    **fields: Any,
) -> tuple[Query, dict[str, str]]:
    """A query with its examples as files, and the names of those that are temporary; `fields` are those of `Query`.

    Raises:
        UsageError: `query` is a `Query`, and another argument differs from its default.
    """
    if isinstance(query, Query):
        if (like, unlike, region) != ((), (), None) or any(value != _DEFAULTS[name] for name, value in fields.items()):
            raise UsageError("query is a Query, which holds every other argument; give the others to Query")
        return query, {}
    start, end = as_region(region)
    examples = [*as_examples("like", like), *as_examples("unlike", unlike)]
    sources = [query, *(source for _, source, _ in examples)]
    paths = open_recordings(stack, sources)
    others = tuple(
        Example(path, option == "like", weights) for path, (option, _, weights) in zip(paths[1:], examples, strict=True)
    )
    return Query(paths[0], start, end, examples=others, **fields), recording_names(sources, paths)
