"""`Library`: index, search and look after one library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self

from soundalike.api.arguments import (
    ExampleLike,
    Progress,
    Region,
    StrPath,
    WeightsLike,
    open_query,
    open_recordings,
    optional_filter,
    optional_model,
    recording_names,
)
from soundalike.api.details import TrackDetails, find_tracks, select_tracks, track_details
from soundalike.api.stem_queries import StemQueries
from soundalike.api.upkeep import Upkeep
from soundalike.api.writing import WriterGate
from soundalike.audio import AudioInput
from soundalike.core.arguments import as_callback, as_count, as_flag
from soundalike.core.errors import LibraryError, UsageError
from soundalike.core.files import as_path
from soundalike.core.types import Level, Vectors
from soundalike.library import LibraryFolder
from soundalike.search import Query, as_filter, as_weights

if TYPE_CHECKING:
    from soundalike.library.catalog import Filter, Track
    from soundalike.models import Correction
    from soundalike.search import Comparison, Duplicates, Journey, SearchResults, StemMatrix, Versions

__all__ = ["Library"]


# The methods import what opening and listing do not need, so that `from soundalike import Library` is quick.
class Library(Upkeep, StemQueries):
    """A library of tracks that can be searched by how they sound. Made by `soundalike.open`.

    `len(library)` is the number of tracks, `path in library` asks for one, and iteration yields `Track` records in the
    order in which they were added. Any number of threads may use one object; a second thread or process that writes at
    the same time gets a `LibraryBusyError`. Use `with`, or `close` it.
    """

    def __init__(self, path: StrPath, *, threads: int = 1, incomplete: bool = False) -> None:
        """Open the library at `path`; see `soundalike.open`."""
        self._path = as_path(path, "path")
        self._closed = False
        self._gate = WriterGate()
        self._folder = LibraryFolder(
            self._path, threads=as_count(threads, "threads"), incomplete=as_flag(incomplete, "incomplete")
        )

    @property
    def location(self) -> Path:
        """The folder of the library."""
        return self._path

    @property
    def folder(self) -> LibraryFolder:
        """The catalogue, rows and snapshots on disk, open for reading. Raises LibraryError after `close`."""
        if self._closed:
            raise LibraryError(f"the library at {self._path} is closed; open it again with soundalike.open")
        return self._folder

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that encoded its tracks."""
        return tuple(self.folder.catalog.models())

    def close(self) -> None:
        """Close all files. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and hasattr(self, "_folder"):
            self.close()

    def __len__(self) -> int:
        return len(self.folder.catalog)

    def __bool__(self) -> bool:
        return True  # an empty library too

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        return self.folder.catalog.id_at(as_path(path, "path")) is not None

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks())

    def __repr__(self) -> str:
        if self._closed:
            return f"Library({str(self._path)!r}, closed)"
        count, models = len(self), ", ".join(self.models) or "none yet"
        return f"Library({str(self._path)!r}, {count:,} {'track' if count == 1 else 'tracks'}, models: {models})"

    def search(
        self,
        query: AudioInput | Query,
        *,
        weights: WeightsLike = None,
        k: int = 10,
        where: Filter | str | None = None,
        by: Level | None = None,
        region: Region = None,
        like: Sequence[ExampleLike] | ExampleLike = (),
        unlike: Sequence[ExampleLike] | ExampleLike = (),
        exclude_same_artist: bool = False,
        include_self: bool = False,
        collapse: bool = False,
        all_copies: bool = False,
        hubness: Correction = "none",
        at_least: WeightsLike = None,
        at_most: WeightsLike = None,
        model: str | None = None,
    ) -> SearchResults:
        """Find the tracks, or passages of tracks, that sound most like a recording: a sequence of `Match`, best first.

        Args:
            query: A recording, in the library or not; or a `Query`, which then is the only argument.
            weights: Weights of the spaces, any sign; None weighs each of the model 1. Spaces of other models that the
                library holds may be named too: by the short name where only one model has it, or as "dsp/rhythm".
            k: The number of matches.
            where: Conditions on tracks, such as "bpm 90..110 and genre = jazz", or "bpm ~ query and key ~ query".
            by: Compare whole tracks or passages. None compares passages if the query is a region or shorter than 30 s.
            region: Use only this part of the query: (start, end) in seconds, or text such as "0:30-0:40".
            like, unlike: Further recordings to be like or unlike, each alone or as a pair (recording, weights).
            exclude_same_artist: Leave out tracks by any artist of the query.
            include_self: Keep the query and its copies among the matches.
            collapse: List only the best match of every version family (after `versions`).
            at_least, at_most: Bounds of percentiles per space, 0 to 100, such as {"rhythm": 95} or "timbre=30".
            all_copies: List every copy of a recording, instead of the best file with its copies.
            hubness: "mutual-proximity" ranks tracks lower that are close to everything; whole tracks only.
            model: The name of the model; None takes the default model of the library.

        Raises:
            AudioError: A recording cannot be read.
            UsageError: An argument is wrong, or the query has no audible content for the spaces with a weight.

        Example:
            >>> [match.rank for match in library.search("song.wav", weights="rhythm=1,timbre=-1", k=3)]
            [1, 2, 3]
        """
        from soundalike.search import search_library

        with ExitStack() as stack:
            asked, names = open_query(
                stack, query, like, unlike, weights=weights, k=k, where=where, by=by, region=region, model=model,
                exclude_same_artist=exclude_same_artist, include_self=include_self, collapse=collapse, hubness=hubness,
                at_least=at_least, at_most=at_most,
                all_copies=all_copies,
            )  # fmt: skip
            return search_library(self.folder, asked).renamed(names)

    def compare(
        self,
        a: AudioInput,
        b: AudioInput,
        *,
        weights: WeightsLike = None,
        model: str | None = None,
        region: Region = None,
        region_b: Region = None,
        by: Level | None = None,
        align: bool = False,
    ) -> Comparison:
        """Compare two recordings as a search of this library would, with its reference.

        See `soundalike.compare` for the arguments.
        """
        from soundalike.api.encoding import compare_with, spaces_of_request

        library = self.folder
        spaces = spaces_of_request(model, library, weights)
        return compare_with(spaces, library, a, b, weights, region, region_b, by, align)

    def compare_stems(
        self,
        a: AudioInput,
        b: AudioInput,
        stems: str = "spleeter",
        *,
        model: str | None = None,
        region: Region = None,
        region_b: Region = None,
        by: Level | None = None,
    ) -> StemMatrix:
        """Compare the stems of two recordings, and their mixes, in every factor; see `soundalike.compare_stems`.

        Stems that the library holds are not separated again, and are measured against its random pairs.
        """
        from soundalike.api.encoding import compare_stems_with

        library = self.folder
        return compare_stems_with(library.model(optional_model(model)), library, a, b, stems, region, region_b, by)

    def path(
        self,
        a: AudioInput,
        b: AudioInput,
        steps: int = 8,
        *,
        weights: WeightsLike = None,
        where: Filter | str | None = None,
        model: str | None = None,
    ) -> Journey:
        """Find a path on which each track is nearer to `b`, and the least similar step is as similar as possible.

        Args:
            a, b: Where to start and to arrive; they need not be in the library.
            steps: The number of tracks in between.
            weights: Weights of the spaces, 0 or more; None weighs each 1.
            where: Conditions on the tracks in between.
            model: The name of the model.

        Returns one match per step, the last one being `b`.

        Example:
            >>> len(library.path("calm.mp3", "wild.mp3", steps=4))
            5
        """
        from soundalike.search import find_path

        with ExitStack() as stack:
            start, end = paths = open_recordings(stack, [a, b])
            found = find_path(
                self.folder, start, end, steps, as_weights(weights), optional_model(model), optional_filter(where)
            )
            return found.renamed(recording_names([a, b], paths))

    def playlist(
        self,
        seed: AudioInput,
        length: int = 30,
        *,
        weights: WeightsLike = None,
        where: Filter | str | None = None,
        spread: float = 0.3,
        tempo: tuple[float, float] | None = None,
        tempo_step: float | None = None,
        half_double: bool = False,
        harmonic: bool = False,
        model: str | None = None,
    ) -> Journey:
        """Choose tracks that are like a seed but not all like one another.

        Args:
            seed, length: A recording, in the library or not, and the number of tracks.
            weights, where, model: As for `search`.
            spread: Variety, 0 to 1: 0 takes the best matches.
            tempo, tempo_step: The lowest and highest tempo in BPM; the largest change between neighbours in percent.
            half_double: Let half and double of a tempo count as this tempo.
            harmonic: Let the keys of neighbours mix well; tracks of an unknown key are left out.

        Example:
            >>> library.playlist("song.mp3", length=5, tempo=(118, 126)).to_m3u("evening.m3u8")
        """
        from soundalike.search import build_playlist

        with ExitStack() as stack:
            paths = open_recordings(stack, [seed])
            found = build_playlist(
                self.folder, paths[0], length, as_weights(weights), optional_model(model), optional_filter(where),
                spread=spread, tempo=tempo, tempo_step=tempo_step, half_double=as_flag(half_double, "half_double"),
                harmonic=as_flag(harmonic, "harmonic"),
            )  # fmt: skip
            return found.renamed(recording_names([seed], paths))

    def duplicates(self, *, model: str | None = None, progress: Progress = None) -> Duplicates:
        """Groups of tracks that are the same recording, whatever their format, level or leading silence.

        Example:
            >>> [[track.path.name for track in group.tracks] for group in library.duplicates().groups]
        """
        from soundalike.search import find_duplicates

        return find_duplicates(self.folder, optional_model(model), as_callback(progress, "progress"))

    def versions(
        self,
        *,
        weights: WeightsLike = None,
        false_discovery_rate: float = 0.05,
        model: str | None = None,
        store: bool = True,
        progress: Progress = None,
    ) -> Versions:
        """Find families of versions of the same piece: covers, live takes, remasters.

        With fewer than 200 different recordings there are no families. `candidates` then has pairs ranked by score,
        without a false-discovery rate; they are not stored.

        Args:
            weights: Weights of the spaces; None takes melody 2 and harmony 1.
            false_discovery_rate: The expected share of pairs that are similar by chance, 0 to 1.
            store: Store the families in the library, for `search(collapse=True)`.
        """
        from soundalike.search import find_versions, store_versions

        chosen, name, progress = as_weights(weights), optional_model(model), as_callback(progress, "progress")
        store = as_flag(store, "store")
        with self._writer() if store else nullcontext() as writer:  # a second writer fails before the long search
            found = find_versions(self.folder, false_discovery_rate, chosen, name, progress)
            if writer is not None:
                store_versions(writer, found)
        return found

    def embed(
        self, recordings: AudioInput | Iterable[AudioInput], *, by: Level = "passage", model: str | None = None
    ) -> Vectors:
        """The rows of one recording or several, in the library or not.

        Returns:
            The spans, one per passage of 10 s every 5 s or one per track (`by`), and one (n, d) float32 array per
            space: unit rows, or zero where a span is not audible.

        Example:
            >>> library.embed(["a.wav", "b.wav"], by="track").rows["rhythm"].shape
            (2, 256)
        """
        from soundalike.api.encoding import embed_recordings

        return embed_recordings(self.folder.model(optional_model(model)), recordings, by)

    def tracks(self, where: Filter | str | None = None) -> list[Track]:
        """The tracks that meet conditions, in the order in which they were added; all of them by default.

        Example:
            >>> [track.title for track in library.tracks(where="bpm 118..126 and genre = house")]
        """
        return select_tracks(self.folder, as_filter(where))

    def find(self, text: str) -> list[Track]:
        """The tracks that a person may mean by a name: those with every word in artist, title, album or path.

        Args:
            text: Words, compared without case and however accents are encoded.

        Returns:
            If tracks have all words in artist, title and file name together, only those; else if tracks have them
            there and in the names of album and folder, those; in the order in which they were added.

        Raises:
            UsageError: The text holds no word.

        Example:
            >>> [track.title for track in library.find("punk song")]
            ['Punk Song']
        """
        if not isinstance(text, str) or not text.split():
            raise UsageError(f"text is {text!r}; expected words of an artist, a title or a path")
        return find_tracks(self.folder, text)

    def show(self, path: StrPath) -> TrackDetails:
        """What the library knows about one track. Raises UsageError if it does not hold it."""
        return track_details(self.folder, as_path(path, "path"))
