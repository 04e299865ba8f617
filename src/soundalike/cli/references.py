"""What the header of a table says about the reference and the level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from soundalike.cli.cells import count

if TYPE_CHECKING:
    from soundalike.core.types import LevelReason, PercentileSource, SpaceScore

__all__ = ["level_text", "models_text", "reference_text"]

_NEEDED = 200
"""Different recordings from which on a library is its own reference."""


def reference_text(
    reference: PercentileSource, recordings: int, models: Sequence[str], scores: Iterable[Mapping[str, SpaceScore]] = ()
) -> str:
    """Return which random pairs scores and percentiles are measured against.

    Args:
        reference: Whether they are those of the library or of the model.
        recordings: The number of different recordings of the library; 0 without a library.
        models: The names of the models.
        scores: The spaces of the matches, to name those that keep the model.
    """
    if reference == "model":
        why = f" ({count(recordings, 'recording')} in the library; {_NEEDED} make it its own reference)"
        return f"reference: {models_text(models)}{why if recordings else ''}"
    kept = {name: None for spaces in scores for name, one in spaces.items() if one.percentile_source == "model"}
    rest = f"; model for {', '.join(kept)}, audible in too few tracks" if kept else ""
    return f"reference: this library ({count(recordings, 'recording')}){rest}"


def models_text(models: Sequence[str]) -> str:
    """Return the models of a request: "model compact", or "models compact, dsp"."""
    return f"model{'s' if len(models) > 1 else ''} {', '.join(models)}"


def level_text(reason: LevelReason, which: str = "the query") -> str:
    """Return why passages are compared, in parentheses; empty if the level was requested, or is that of tracks."""
    return {"region": " (a region is given)", "short": f" ({which} is shorter than 30 s)"}.get(reason, "")
