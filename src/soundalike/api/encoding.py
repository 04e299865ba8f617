"""Encode and compare recordings in any accepted form, with errors that name them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from soundalike.api.arguments import Region, StrPath, WeightsLike, open_recordings, optional_model
from soundalike.audio import AudioInput, is_one_input, label_of
from soundalike.core.arguments import as_choice, as_flag, as_model_name, shown
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import LEVELS, Level, Vectors
from soundalike.library import LibraryFolder, load_encoding
from soundalike.models import (
    Encoding,
    Model,
    SearchSpaces,
    encode_with,
    installed_spaces,
    join_encodings,
    load_once,
    stem_model_name,
)
from soundalike.search import (
    Comparison,
    StemMatrix,
    as_region,
    as_weights,
    choose_level,
    compare_encodings,
    make_stem_matrix,
)

__all__ = ["compare_stems_with", "compare_with", "embed_recordings", "encode_named", "spaces_of_request"]


def spaces_of_request(model: StrPath | None, library: LibraryFolder | None, weights: WeightsLike) -> SearchSpaces:
    """Find the spaces of a comparison. Without a library, weights may name spaces of every installed model."""
    names = as_weights(weights) or {}
    if library is not None:
        return library.spaces(optional_model(model), names)
    return SearchSpaces.find(load_once(as_model_name(model)), names, installed_spaces)


def compare_with(
    spaces: SearchSpaces,
    library: LibraryFolder | None,
    a: AudioInput,
    b: AudioInput,
    weights: WeightsLike,
    region: Region,
    region_b: Region,
    by: Level | None,
    align: bool,
) -> Comparison:
    """Encode two recordings and score `b` as a match of `a`; see `soundalike.compare`."""
    by, align = as_choice(by, "by", (*LEVELS, None)), as_flag(align, "align")
    first_part, second_part = as_region(region), as_region(region_b)
    resolved = spaces.weights(as_weights(weights))
    with ExitStack() as stack:
        paths = open_recordings(stack, [a, b])
        labels = {str(path): label_of(source) for source, path in zip((a, b), paths, strict=True)}
        first = _encode(library, spaces, a, first_part, paths[0])
        second = _encode(library, spaces, b, second_part, paths[1])
        part = region is not None or region_b is not None
        level, reason = choose_level(by, region=part, seconds=first.info.duration)
        reference = library.reference(spaces, level) if library is not None else None
        try:
            found = compare_encodings(
                spaces, first, second, resolved, level=level, aligned=align, reference=reference, level_reason=reason
            )
        except (AudioError, UsageError) as error:
            raise type(error)(f"{label_of(a)} and {label_of(b)}: {error}") from error
    return found.renamed(labels)


def compare_stems_with(
    model: Model,
    library: LibraryFolder | None,
    a: AudioInput,
    b: AudioInput,
    separator: str,
    region: Region,
    region_b: Region,
    by: Level | None,
) -> StemMatrix:
    """Compare two recordings with a model of mixes and with its stem model; see `soundalike.compare_stems`."""
    if not isinstance(separator, str):
        raise UsageError(f"stems is {shown(separator)}; expected the name of a separator, such as 'spleeter'")
    as_choice(by, "by", (*LEVELS, None))
    as_region(region), as_region(region_b)
    with ExitStack() as stack:
        first, second = paths = open_recordings(stack, [a, b])  # one file for both models
        on_stems = load_once(stem_model_name(model.name, separator))
        labels = {str(path): label_of(source) for source, path in zip((a, b), paths, strict=True)}
        held = library.catalog.models() if library is not None else {}
        current = on_stems.name in held and held[on_stems.name].digest == on_stems.recipe.digest
        of_mix, of_stems = SearchSpaces.of(model), SearchSpaces.of(on_stems)
        mix = compare_with(of_mix, library, first, second, None, region, region_b, by, align=False)
        there = library if current else None
        stems = compare_with(of_stems, there, first, second, None, region, region_b, by, align=False)
        return make_stem_matrix(mix, model.spaces, stems, on_stems.spaces).renamed(labels)


def _encode(
    library: LibraryFolder | None,
    spaces: SearchSpaces,
    source: AudioInput,
    region: tuple[float | None, float | None],
    path: Path,
) -> Encoding:
    """Encode a recording at `path`, or a region in seconds. A whole file of the library need not be decoded again."""
    found: dict[str, Encoding] = {}
    if library is not None and region == (None, None) and isinstance(source, str | os.PathLike):
        for model in spaces.models:
            if (stored := load_encoding(library, absolute(path), model)) is not None:
                found[model.name] = stored
    rest = [model for model in spaces.models if model.name not in found]
    start, end = region
    try:
        made = encode_with(rest, path, start=start or 0.0, end=end)
    except AudioError as error:
        raise AudioError(f"{label_of(source)}: {error}") from error
    found |= {model.name: encoding for model, encoding in zip(rest, made, strict=True)}
    return join_encodings(spaces, [found[model.name] for model in spaces.models])


def encode_named(model: Model, source: AudioInput) -> Encoding:
    """Encode a recording. An AudioError names it."""
    try:
        return model.encode(source)
    except AudioError as error:
        raise AudioError(f"{label_of(source)}: {error}") from error


def embed_recordings(model: Model, recordings: AudioInput | Iterable[AudioInput], by: Level) -> Vectors:
    """The rows of one recording or several at one level; see `Library.embed`."""
    as_choice(by, "by", LEVELS)
    listed = isinstance(recordings, Iterable) and not isinstance(recordings, bytes | Mapping)
    if not is_one_input(recordings) and not listed:
        raise UsageError(f"recordings is {shown(recordings)}; expected a recording or a list of recordings")
    sources: list[AudioInput] = [recordings] if is_one_input(recordings) else list(recordings)  # type: ignore[arg-type, list-item]
    if not sources:
        raise UsageError("no recording was given")
    parts = [encode_named(model, source).at(by) for source in sources]
    rows = {name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows}
    return Vectors(tuple(span for part in parts for span in part.spans), rows, parts[0].digest)
