"""Searches by stems of a library that holds none, and searches for loops like a stem."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from soundalike.api.arguments import Progress, Region, WeightsLike, open_query, optional_model
from soundalike.audio import AudioInput
from soundalike.core.arguments import as_callback, as_count, shown
from soundalike.core.errors import UsageError
from soundalike.core.types import Level

if TYPE_CHECKING:
    from soundalike.library import LibraryFolder
    from soundalike.library.catalog import Filter
    from soundalike.search import SearchResults

__all__ = ["StemQueries"]


class StemQueries:
    """The methods of `Library` that separate what they compare."""

    @property
    def folder(self) -> LibraryFolder:
        """The catalogue, rows and snapshots on disk, open for reading."""
        raise NotImplementedError

    def search_stems(
        self,
        query: AudioInput,
        stems: str = "spleeter",
        *,
        weights: WeightsLike = None,
        shortlist: int = 50,
        k: int = 10,
        where: Filter | str | None = None,
        by: Level | None = None,
        region: Region = None,
        exclude_same_artist: bool = False,
        include_self: bool = False,
        collapse: bool = False,
        all_copies: bool = False,
        model: str | None = None,
        jobs: int | None = None,
        progress: Progress = None,
    ) -> SearchResults:
        """Search by stems without indexing them: only the tracks that are most similar by their mixes are separated.

        What was separated and encoded is kept in the user's cache, so that a second search is quick. A library that
        was indexed with stems answers the same without a shortlist: `search` with weights such as "vocals.melody=2".

        Args:
            query: A recording, in the library or not.
            stems: The separator. The model on its stems must be installed, as by
                `soundalike models install compact-spleeter`.
            weights: Weights of spaces of the stems and of the mix; None weighs every space of the stems 1. Those of the
                mix choose the shortlist, each with weight 1 if none is named.
            shortlist: The number of tracks to separate.
            k, where, by, region, exclude_same_artist, include_self, collapse, all_copies: As for `search`.
            model: The model of mixes; None takes the default model of the library.
            jobs: The number of worker processes; None starts one per core.
            progress: Called with the tracks that are encoded, and all of the shortlist.

        Raises:
            AudioError: The query cannot be read or separated.
            ModelError: The model on the stems is not installed.
            UsageError: An argument is wrong, or no space of stems has a weight.

        Example:
            >>> library.search_stems("song.wav", weights="vocals.melody=2,rhythm=1").shortlist
            50
        """
        from soundalike.models import load_once, stem_model_name
        from soundalike.search import search_shortlist

        if not isinstance(stems, str):
            raise UsageError(f"stems is {shown(stems)}; expected the name of a separator, such as 'spleeter'")
        count, jobs = as_count(shortlist, "shortlist"), None if jobs is None else as_count(jobs, "jobs")
        progress = as_callback(progress, "progress")
        with ExitStack() as stack:
            asked, names = open_query(
                stack, query, (), (), weights=weights, k=k, where=where, by=by, region=region,
                model=optional_model(model), exclude_same_artist=exclude_same_artist, include_self=include_self,
                collapse=collapse, all_copies=all_copies,
            )  # fmt: skip
            on_stems = load_once(stem_model_name(self.folder.model(asked.model).name, stems))
            found = search_shortlist(self.folder, asked, on_stems, shortlist=count, jobs=jobs, progress=progress)
            return found.renamed(names)

    def search_loops(
        self,
        query: AudioInput,
        stem: str,
        separator: str | None = None,
        *,
        weights: WeightsLike = None,
        k: int = 10,
        where: Filter | str | None = None,
        by: Level | None = None,
        region: Region = None,
        all_copies: bool = False,
        at_least: WeightsLike = None,
        at_most: WeightsLike = None,
        model: str | None = None,
        separating: Callable[[str], None] | None = None,
    ) -> SearchResults:
        """Find loops and one-shots that sound like one stem of a recording, and what each needs to fit it.

        The library is one of loops: `library.index("loops")`. Its tracks are compared as they are, since a loop is a
        stem itself.

        Args:
            query: A recording, in the library or not.
            stem: The stem to search with: vocals, drums, bass, guitar, piano, other or accompaniment.
            separator: What makes the stem. None takes the stem files beside the recording, if there are any of this
                stem, else an installed separator, spleeter before others.
            weights: Weights of spaces of the mix; None takes those that suit the stem: rhythm and timbre for drums,
                melody and timbre for vocals, melody, rhythm and timbre for bass, harmony, rhythm and timbre for others.
            by: Compare passages, the default, or whole tracks.
            k, where, region, all_copies, at_least, at_most, model: As for `search`.
            separating: Called with the name of the separator, if the recording has to be separated first.

        Returns:
            The matches. `stretch` is the factor by which each must be played faster, 0.71 to 1.41, and `semitones` the
            transposition that it needs, -5 to 6; None where it has no tempo or no pitch, and `semitones` also for
            drums.

        Raises:
            AudioError: The query cannot be read or separated.
            ModelError: The separator is not installed.
            UsageError: An argument is wrong, no separator makes the stem, or the stem is silent.

        Example:
            >>> [(match.stretch, match.semitones) for match in library.search_loops("song.wav", "bass", k=2)]
            [(1.111, -3), (0.945, 2)]
        """
        from soundalike.search import search_loops

        for name, value in (("stem", stem), ("separator", separator)):
            if not isinstance(value, str) and (name == "stem" or value is not None):
                raise UsageError(f"{name} is {shown(value)}; expected a name, such as 'drums' or 'spleeter'")
        separating = as_callback(separating, "separating")
        with ExitStack() as stack:
            asked, names = open_query(
                stack, query, (), (), weights=weights, k=k, where=where, by=by, region=region,
                model=optional_model(model), all_copies=all_copies, at_least=at_least, at_most=at_most,
            )  # fmt: skip
            return search_loops(self.folder, asked, stem, separator, separating=separating).renamed(names)
