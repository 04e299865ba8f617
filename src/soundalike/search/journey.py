"""A list of tracks in an order: what paths and playlists share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import IntArray, Match, Span, Weights
from soundalike.library import LibraryFolder, Subject
from soundalike.library.catalog import Track
from soundalike.models import SearchSpaces, query_terms
from soundalike.search.playlist_files import PlaylistEntry
from soundalike.search.results import Results

__all__ = ["Journey", "Recording", "encode_whole", "paths_of", "whole_track"]


@dataclass(frozen=True, eq=False, repr=False)
class Journey(Results):
    """The tracks of a path or of a playlist, in the order to play them.

    In a path, each match is a step: its score and spaces are those of the step from the track before it
    (`query_span`), and the last match is the `end`. In a playlist, the scores are those of a search with the seed.

    Attributes:
        end: The recording at which a path arrives; None for a playlist.
        direct: The step from the start of a path to its end without tracks in between; None for a playlist.
        note: Why there are fewer tracks than requested; None if there are not.
        copies: Paths of copies of the start, the end or the seed, which were left out.
    """

    end: Span | None = None
    direct: Match | None = None
    note: str | None = None
    copies: tuple[str, ...] = ()

    @property
    def start(self) -> Span:
        """Where the path starts, or the seed of the playlist."""
        return self.query

    @property
    def smallest(self) -> float | None:
        """The smallest score of a match; None without matches."""
        return min((match.score for match in self.matches), default=None)

    def playlist_entries(self) -> list[PlaylistEntry]:
        """The lines of a playlist: the tracks of the library, with the start of a path."""
        paths = [match.path for match in self.matches]
        if self.end is not None:
            paths.insert(0, self.query.track)
        return [PlaylistEntry.of(self.tracks[path]) for path in paths if path in self.tracks]


@dataclass(frozen=True, slots=True)
class Recording:
    """The file that is listed for a recording, and the paths of its copies."""

    best: Track
    copies: tuple[str, ...]

    @classmethod
    def of(cls, tracks: Sequence[Track], numbers: Sequence[int]) -> Self:
        """The recording whose files have these numbers among `tracks`, the one to list first."""
        best, *others = numbers
        return cls(tracks[best], tuple(str(tracks[other].path) for other in others))


def encode_whole(library: LibraryFolder, path: Path, spaces: SearchSpaces, weights: Weights) -> Subject:
    """Encode a whole recording; errors name it. Raises AudioError, or UsageError if it has no audible content."""
    try:
        subject = library.subject(path, spaces)
        query_terms(spaces.spaces, subject.track, weights, "track")
    except (AudioError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error
    return subject


def paths_of(library: LibraryFolder, ids: IntArray) -> tuple[str, ...]:
    """The paths of tracks, given their ids (n,)."""
    return tuple(str(track.path) for track in library.catalog.tracks_of(ids.tolist()))


def whole_track(track: Track) -> Span:
    """The span of a whole track."""
    return Span(str(track.path), 0.0, track.duration)
