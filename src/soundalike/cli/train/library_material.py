"""Read from a library what concepts are learned from: features or rows of passages, and labels from tags."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.files import absolute

if TYPE_CHECKING:
    from soundalike.core.types import FloatArray, IntArray
    from soundalike.library import LibraryFolder
    from soundalike.library.catalog import Track
    from soundalike.models import Model
    from soundalike.train.concepts import ConceptInput, LibraryTracks, TrackLabels

__all__ = ["GROUPS", "Groups", "group_of", "labels_of", "read_label_file", "read_library", "tracks_of_model"]

Groups: TypeAlias = Literal["artist", "album", "track"]
GROUPS: tuple[Groups, ...] = ("artist", "album", "track")
_TEMPI = (20.0, 400.0)
_YEARS = (1000, 2999)


def read_library(
    library: LibraryFolder,
    model: str | None,
    groups: Groups,
    most_passages: int,
    given: Mapping[Path, TrackLabels],
    *,
    rows: bool = False,
) -> tuple[LibraryTracks, ConceptInput]:
    """Return the passages and labels of the available tracks of a library, and what the passages are.

    They are features of the backbone where the library holds those of all tracks, and else rows of the model. Of tracks
    with the same audio, one is taken.

    Args:
        library: The library.
        model: The model; None is that of searches, or the first one that does not stand on the rows of another.
        groups: What belongs together.
        most_passages: Passages per track, at most; of more, every second, third or so is taken.
        given: Labels that replace those of tags, by the path of a track.
        rows: Take rows although the features are kept.

    Raises:
        LibraryError, ModelError: The library is empty, does not hold the model, or rows are corrupt.
        UsageError: Concepts cannot be learned from the model.
    """
    from soundalike.train.concepts import ConceptInput, LibraryTracks

    with library.snapshot():
        chosen = _base_model(library) if model is None else library.model(model)
        tracks, table = tracks_of_model(library, chosen)
        backbones = list(chosen.backbones.values())
        source = ConceptInput(chosen.recipe, backbones[0], "", stacked=True)  # checks the model
        stacked = rows or not _keeps_features(library, backbones[0].name, table)
        passages, track_of, feature = (_rows if stacked else _features)(library, chosen, table, most_passages)
    labels = [given.get(track.path) or labels_of(track) for track in tracks]
    names = [group_of(track, groups) for track in tracks]
    return (
        LibraryTracks(passages, track_of, tuple(labels), tuple(names)),
        replace(source, feature=feature, stacked=stacked),
    )


def _base_model(library: LibraryFolder) -> Model:
    """Return the model of searches, or the first one that does not stand on the rows of another."""
    default = library.model()
    if default.recipe.rows_of is None:
        return default
    others = (library.model(name) for name in library.catalog.models())
    return next((one for one in others if one.recipe.rows_of is None), default)


def tracks_of_model(library: LibraryFolder, model: Model) -> tuple[list[Track], IntArray]:
    """Return the available tracks that a model encoded, one of each audio, and where their passages are.

    To be used inside `snapshot`.

    Returns:
        The tracks, and (t, 3) int64: first position, number of rows, id.
    """
    table = library.arrays.table(model.name, "passage")
    same = library.catalog.same_sound()
    same = same[np.argsort(same[:, 0])]
    audio = same[np.searchsorted(same[:, 0], table[:, 2]), 1]
    table = table[np.sort(np.unique(audio, return_index=True)[1])]
    return library.catalog.tracks_of(table[:, 2].tolist()), table


def labels_of(track: Track) -> TrackLabels:
    """Return the labels that the tags of a track give, with the measured tempo and key where there is no tag.

    Moods are read from the file; a file that is not there has none.
    """
    from soundalike.audio import read_tags
    from soundalike.train.concepts import TrackLabels, decade_of

    year = track.year if track.year is not None and _YEARS[0] <= track.year <= _YEARS[1] else None
    tempo = track.bpm if track.bpm is not None and _TEMPI[0] <= track.bpm <= _TEMPI[1] else None
    return TrackLabels(
        genre=track.genres,
        mood=read_tags(track.path).moods,
        era=() if year is None else (decade_of(year),),
        tempo=tempo,
        key=track.known_key,
    )


def read_label_file(path: Path) -> dict[Path, TrackLabels]:
    """Read labels from a CSV file: a column `path`, and columns called like concepts.

    Several labels of a concept are separated by ";". An empty cell is unknown.

    Args:
        path: The file. Relative paths in it start at its folder.

    Raises:
        UsageError: It cannot be read, a column is unknown, or a value is invalid.
    """
    from soundalike.audio import parse_key
    from soundalike.train.concepts import TrackLabels

    known = [field.name for field in fields(TrackLabels)]
    found: dict[Path, TrackLabels] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name for name in reader.fieldnames or () if name != "path"]
            if "path" not in (reader.fieldnames or ()) or not columns or set(columns) - set(known):
                raise UsageError(
                    f"{path} has the columns {', '.join(reader.fieldnames or ()) or 'none'}; "
                    f"expected path and some of {', '.join(known)}"
                )
            for row in reader:
                values = {name: (row[name] or "").strip() for name in columns}
                tags = {
                    name: tuple(tag.strip() for tag in value.split(";") if tag.strip())
                    for name, value in values.items()
                    if name not in ("tempo", "key")
                }
                tempo, key = values.get("tempo"), values.get("key")
                labels = TrackLabels(
                    **tags, tempo=float(tempo) if tempo else None, key=(parse_key(key) or key) if key else None
                )
                found[absolute(path.parent / (row["path"] or ""))] = labels
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({error}); give a CSV file in UTF-8") from error
    except (ValueError, UsageError) as error:
        place = "" if str(path) in str(error) else f"{path}, row {len(found) + 2}: "
        raise UsageError(f"{place}{error}") from error
    return found


def _keeps_features(library: LibraryFolder, backbone: str, table: IntArray) -> bool:
    kept = library.catalog.features.places(backbone)[:, 2]
    return bool(len(table)) and bool(np.isin(table[:, 2], kept).all())


def _spread(count: int, most: int) -> IntArray:
    """Return the numbers of at most `most` of `count` passages, at equal distances."""
    return np.arange(0, count, -(-count // most))


@dataclass(slots=True)
class _Collected:
    passages: list[FloatArray]
    track_of: list[IntArray]

    def joined(self, dim: int) -> tuple[FloatArray, IntArray]:
        if not self.passages:
            return np.zeros((0, dim), np.float32), np.zeros(0, np.int64)
        return np.concatenate(self.passages), np.concatenate(self.track_of)


def _rows(library: LibraryFolder, model: Model, table: IntArray, most: int) -> tuple[FloatArray, IntArray, str]:
    """Return the rows of all spaces side by side, the number of the track of each, and the features behind them."""
    from soundalike.core.errors import LibraryError

    collected = _Collected([], [])
    for number, (first, count, track_id) in enumerate(table.tolist()):
        positions = first + _spread(count, most)
        if library.find_corrupt(model, "passage", positions, np.full(len(positions), track_id)).any():
            raise LibraryError("rows of the library are corrupt; see: soundalike library check")
        of_space = library.rows(model.spaces, "passage", positions)
        joined = np.hstack([of_space[space.name] for space in model.spaces])
        audible = joined.any(axis=1)
        collected.passages.append(joined[audible])
        collected.track_of.append(np.full(int(audible.sum()), number))
    features = dict.fromkeys(part for space in model.spaces for part in space.feature.split("+"))
    return *collected.joined(sum(space.dim for space in model.spaces)), "+".join(features)


def _features(library: LibraryFolder, model: Model, table: IntArray, most: int) -> tuple[FloatArray, IntArray, str]:
    """Return the features of the backbone side by side, the number of the track of each, and their names.

    The first feature is the one that is audible in most passages: where it is not, the concepts are inaudible.
    """
    from soundalike.core.errors import LibraryError
    from soundalike.library import KeptFeatures

    backbone = next(iter(model.backbones.values()))
    kept = KeptFeatures(library.catalog, lambda: library.store, [backbone])
    found = []
    for _, count, track_id in table.tolist():
        features = kept.read(backbone.name, track_id)
        if features is None:
            raise LibraryError("stored features of the library are corrupt; see: soundalike library check")
        chosen = _spread(count, most)
        found.append(
            (
                {name: rows[chosen] for name, rows in features.rows.items()},
                {name: audible[chosen] for name, audible in features.audible.items()},
            )
        )
    heard = {name: sum(int(audible[name].sum()) for _, audible in found) for name in sorted(backbone.dims)}
    order = sorted(heard, key=lambda name: -heard[name])
    collected = _Collected([], [])
    for number, (rows, audible) in enumerate(found):
        there = audible[order[0]]
        collected.passages.append(np.hstack([rows[name][there] for name in order]))
        collected.track_of.append(np.full(int(there.sum()), number))
    return *collected.joined(sum(backbone.dims.values())), "+".join(order)


def group_of(track: Track, groups: Groups) -> str:
    """Return what a track belongs to; without such a tag, the track itself."""
    artist = track.artists[0] if track.artists else track.album_artist
    if groups == "artist" and artist:
        return f"artist {artist}"
    if groups == "album" and track.album:
        return f"album {artist} {track.album}"
    return f"track {track.path}"
