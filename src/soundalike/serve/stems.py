"""Stems of tracks. Jobs separate them, because that takes long; requests take those that are in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from soundalike.api import Library
from soundalike.audio.separators import Separator, is_separated, separated_stems
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.library import is_current
from soundalike.library.catalog import Track
from soundalike.models import (
    Model,
    SearchSpaces,
    installed_models,
    joined_base,
    load_once,
    split_stem_model,
    stem_model_name,
)
from soundalike.search import choose_separator
from soundalike.serve.problems import ProblemError
from soundalike.serve.recordings import LeastRecentlyUsed, Recordings
from soundalike.serve.requests import Recording

__all__ = ["Stems"]


class Stems:
    """The stems of tracks, and the models on them."""

    def __init__(self, library: Library, recordings: Recordings) -> None:
        self._library, self._recordings = library, recordings
        self._separators = LeastRecentlyUsed[Separator](8)

    def separator(self, name: str) -> Separator:
        """The separator of a name.

        Raises:
            UsageError: There is none.
            ModelError: It lacks its extra or its weights.
        """
        return self._separators.get(name, lambda: plugins.load("separators", name))

    def installed(self) -> list[Separator]:
        """The separators that can separate any track: those that are installed, without `given`."""
        found = []
        for name in plugins.names("separators"):
            with suppress(ModelError, UsageError):  # a broken one hides no other
                found.append(self.separator(name))
        return [one for one in found if one.name != "given"]

    def files(self, separator: Separator, track: Track) -> Mapping[str, Path]:
        """The files of the stems of a track. Raises ProblemError if they are not in the cache."""
        digest = track.content_hash if is_current(track) else None
        try:
            if is_separated(separator, track.path, digest):
                return separated_stems(separator, track.path, digest)
        except AudioError as error:
            raise AudioError(f"{track.path}: {error}") from error
        raise ProblemError(
            409, f"track {track.id} has not been separated by {separator.name}; separate it with POST /api/v1/jobs and "
            f'{{"kind": "stems", "separator": "{separator.name}", "tracks": [{track.id}]}}'
        )  # fmt: skip

    def file(self, track: Track, stem: str, separator: str | None) -> tuple[Separator, Path]:
        """What makes a stem of a track, and the file of the stem.

        Args:
            track: The track.
            stem: The stem.
            separator: The name of the separator; None is the one that `choose_separator` takes.

        Raises:
            UsageError: No separator makes the stem.
            ModelError: The separator lacks its extra or its weights.
            ProblemError: The stem is not in the cache.
        """
        chosen = choose_separator(track.path, stem, separator, self.separator)
        return chosen, self.files(chosen, track)[stem]

    def spaces(self, separator: str, name: str | None) -> tuple[SearchSpaces, SearchSpaces]:
        """The spaces of a model of the library on mixes, and those of the model on the stems.

        Args:
            separator: The separator.
            name: The model; one on stems stands for its base. None is the default model.

        Raises:
            UsageError: There is no such separator, or the library does not hold the model.
            ModelError: The model on the stems is not installed.
        """
        separator = self.separator(separator).name
        named = self._recordings.model(name)
        parts = split_stem_model(named.name)
        base = parts[0] if parts else joined_base(named.name)
        model = named if base is None else self._model(base)
        return SearchSpaces.of(model), SearchSpaces.of(self._model(stem_model_name(model.name, separator)))

    def _model(self, name: str) -> Model:
        """A model that the library holds, or else one that is installed."""
        return self._recordings.model(name) if name in self._library.models else load_once(name)

    def separators(self, name: str) -> list[str]:
        """The separators by whose stems a model of the library can compare: the models on them are installed."""
        parts = split_stem_model(name)
        base = parts[0] if parts else joined_base(name) or name
        there = {*installed_models(), *self._library.models}
        return [one for one in plugins.names("separators") if stem_model_name(base, one) in there]

    def check(self, recordings: Sequence[Recording], model: Model) -> None:
        """Check that a model on stems can encode recordings without separating them first.

        Raises:
            ProblemError: One is an upload, or a track that is neither in the cache nor encoded by the model.
        """
        for one in recordings:
            if one.track is None:
                raise ProblemError(400, "uploads are not separated; compare tracks of the library by stems")
            track, catalog = self._recordings.track(one.track), self._library.folder.catalog
            stored = not one.is_region and is_current(track) and catalog.is_encoded(track.id, model.name)
            if not stored and model.recipe.separator is not None:
                self.files(self.separator(model.recipe.separator.name), track)
