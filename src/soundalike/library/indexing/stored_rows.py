"""Project the rows that a library has of one model to those of another one that stands on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import FloatArray
from soundalike.library.catalog.held import HeldModel
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.writer import EncodeTask, Projected
from soundalike.library.stores.base import read_verified
from soundalike.models import Model, at_levels

__all__ = ["project_rows", "read_rows", "stand_on_rows"]


def stand_on_rows(
    held: Mapping[str, HeldModel], models: Mapping[str, Model], sources: Sequence[str], encoded_by: Collection[str]
) -> bool:
    """Return whether some models project rows of other models that a track has.

    Args:
        held: The models that the library holds, by name.
        models: What to load a model from, to the model.
        sources: What to load the models in question from.
        encoded_by: The names of the models that encoded the track.
    """
    bases = [models[source].recipe.rows_of for source in sources]
    return all(
        base is not None and base.model in encoded_by and base.model in held and held[base.model].digest == base.digest
        for base in bases
    )


def read_rows(
    library: LibraryFolder, models: Mapping[str, Model], task: EncodeTask
) -> dict[str, dict[str, FloatArray]] | None:
    """Return the rows of the passages of a track, by the model that they are of; None if some are corrupt.

    Args:
        library: The library.
        models: What to load a model from, to the model.
        task: The task of a track for which `stand_on_rows` is true.
    """
    if task.track is None:
        return None
    bases = {one.rows_of.model for source in task.models if (one := models[source].recipe).rows_of is not None}
    first, count = library.catalog.rows_of(task.track.id, "passage")
    positions = np.arange(first, first + count)
    found: dict[str, dict[str, FloatArray]] = {}
    try:
        for space in library.catalog.spaces():
            if space.model in bases and space.level == "passage":
                rows = read_verified(library.store, "passage", space.full_name, space.dim, positions)
                found.setdefault(space.model, {})[space.name] = rows
    except LibraryError:
        return None
    return found


def project_rows(models: Mapping[str, Model], rows: Mapping[str, Mapping[str, FloatArray]]) -> Projected:
    """Return the rows at both levels of models that stand on others, from what `read_rows` returned."""
    return {
        source: at_levels(model.project_rows(rows[model.recipe.rows_of.model]))
        for source, model in models.items()
        if model.recipe.rows_of is not None
    }
