"""Suggest tags of the tracks of a library from the spaces of concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.core.errors import UsageError

if TYPE_CHECKING:
    from soundalike.library import LibraryFolder
    from soundalike.library.catalog import Track
    from soundalike.models import Model

__all__ = ["Suggested", "count_tags", "suggest_missing", "write_genres"]


@dataclass(frozen=True, slots=True)
class Suggested:
    """A label that a track lacks and probably has; `source` is "neighbours" or "measured"."""

    track: Track
    concept: str
    label: str
    probability: float
    source: str


def count_tags(tracks: Sequence[Track]) -> dict[str, int]:
    """Return how many tracks have a genre, a year, a tempo and a key among their tags."""
    return {
        "genre": sum(bool(one.genres) for one in tracks),
        "year": sum(one.year is not None for one in tracks),
        "bpm": sum(one.bpm_tag is not None for one in tracks),
        "key": sum(one.key_tag is not None for one in tracks),
    }


def suggest_missing(
    library: LibraryFolder, model: str | None, tracks: Sequence[Track], least: float
) -> list[Suggested]:
    """Return what tracks lack and probably have, by track, then concept.

    Args:
        library: The library.
        model: The model; None is the first one of the library that was learned from tags.
        tracks: The tracks to suggest for. All tracks of the library vote.
        least: The lowest probability.

    Raises:
        UsageError: The library holds no such model.
        ModelError: The model was not learned from tags, or its `concepts.json` is invalid.
    """
    import numpy as np

    from soundalike.cli.train.library_material import labels_of
    from soundalike.train.concepts import read_calibrations, suggest_tags

    with library.snapshot():
        chosen = library.model(model) if model is not None else _learned_model(library)
        calibrations = read_calibrations(chosen.recipe.weights.parent)
        table = library.arrays.table(chosen.name, "track")
        rows = library.rows(chosen.spaces, "track", table[:, 0])
        held = library.catalog.tracks_of(table[:, 2].tolist())
    labels = [labels_of(track) for track in held]
    asked = {track.id for track in tracks}
    found: list[Suggested] = []
    for concept, calibration in calibrations.items():
        audible = np.asarray(rows[concept].any(axis=1))
        known = [n for n, one in enumerate(labels) if one.known(concept) and audible[n]]
        lacking = [n for n, one in enumerate(labels) if not one.known(concept) and audible[n] and held[n].id in asked]
        if not known or not lacking:
            continue
        tags = [tuple(getattr(labels[n], concept)) for n in known]
        suggestions = suggest_tags(rows[concept][lacking], rows[concept][np.array(known)], tags, calibration)
        found += [
            Suggested(held[n], concept, one.label, one.probability, "neighbours")
            for n, of_track in zip(lacking, suggestions, strict=True)
            for one in of_track
            if one.probability >= least
        ]
    found += [one for track in tracks for one in _measured(track) if one.probability >= least]
    place = {track.id: n for n, track in enumerate(tracks)}
    return sorted(found, key=lambda one: place[one.track.id])


def write_genres(library: Path, found: Sequence[Suggested]) -> int:
    """Store the most probable genre of tracks that lack one; returns how many. Raises LibraryError."""
    from soundalike.library import LibraryFolder, put_genres

    genres: dict[int, tuple[str, ...]] = {}
    for one in found:
        if one.concept == "genre":
            genres.setdefault(one.track.id, (one.label,))
    if not genres:
        return 0
    with LibraryFolder(library, writable=True) as opened:
        return put_genres(opened, genres)


def _measured(track: Track) -> list[Suggested]:
    """Return the measured tempo and key of a track without these tags, if their probability is known."""
    found = []
    if track.bpm_tag is None and track.tempo is not None and track.tempo_confidence is not None:
        found.append(Suggested(track, "tempo", f"{track.tempo:.0f} BPM", track.tempo_confidence, "measured"))
    if track.key_tag is None and track.key is not None and track.key_confidence is not None:
        found.append(Suggested(track, "key", track.key, track.key_confidence, "measured"))
    return found


def _learned_model(library: LibraryFolder) -> Model:
    """Return the first model of the library that was learned from tags."""
    from soundalike.train.concepts import CONCEPTS_FILE

    for name in library.catalog.models():
        model = library.model(name)
        if (model.recipe.weights.parent / CONCEPTS_FILE).is_file():
            return model
    raise UsageError(
        f"the library at {library.path} holds no model of concepts; make one with: soundalike train concepts "
        "--library LIB -o my-concepts, then: soundalike index --model my-concepts DIR"
    )
