"""Results of searches: a sequence of matches, and other forms of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self, overload

from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import as_path, write_atomic
from soundalike.core.types import Level, LevelReason, Match, PercentileSource, SpaceScore, Span, Weights
from soundalike.library.catalog import Track
from soundalike.models import Correction
from soundalike.search.fit import semitones_to, stretch_to
from soundalike.search.notebook import results_html
from soundalike.search.playlist_files import PlaylistEntry, format_of, make_playlist
from soundalike.search.query import Example

if TYPE_CHECKING:
    from os import PathLike

    import pandas

__all__ = ["Results", "SearchResults", "describe_match"]


def describe_match(match: Match, rank: int, track: Track | None, query: Track | None = None) -> Match:
    """The match with its rank, what is known of its track, and what it needs to fit the query."""
    if track is None:
        return replace(match, rank=rank)
    key = track.known_key
    return replace(
        match,
        rank=rank,
        title=track.title,
        artist=track.artist,
        artists=track.artists,
        album=track.album,
        bpm=track.bpm,
        key=key,
        duration=track.duration,
        stretch=stretch_to(track.bpm, query.bpm) if query else None,
        semitones=semitones_to(key, query.known_key) if query else None,
    )


_COLUMNS = (
    *("rank", "path", "title", "artist", "artists", "album", "bpm", "key", "duration"),
    *("start", "end", "score", "percentile", "stretch", "semitones", "copies", "relation"),
)
"""The columns of a match in a table, before those of its spaces."""


@dataclass(frozen=True, eq=False)
class Results(Sequence[Match]):
    """Matches, best first, or in the order of a path or playlist. Behaves like a tuple of `Match`.

    Attributes:
        query: The recording that was searched with, or a region of it.
        model: The name of the model.
        weights: The weights of the spaces, by the names that they have in this answer.
        matches: The matches.
        tracks: What the library knows of the tracks, by path.
        corrupt: Paths of tracks that were left out because their stored data fails its checksum.
        missing: Paths of tracks that were left out because their files are not there.
        absent_folders: Folders that are gone or empty, such as those of disks that are not mounted; the tracks below
            them were left out.
        reference: What scores and percentiles are measured against: random pairs of the library, or of the model.
        recordings: The number of different recordings of the library; from 200 on it is its own reference.
        models: The names of all models whose spaces the request uses, `model` first.
        not_encoded: How many tracks were left out because one of `models` has not encoded them, by its name.
    """

    query: Span
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    corrupt: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    absent_folders: tuple[str, ...] = ()
    reference: PercentileSource = "model"
    recordings: int = 0
    models: tuple[str, ...] = ()
    not_encoded: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.matches)

    @overload
    def __getitem__(self, index: int) -> Match: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Match, ...]: ...
    def __getitem__(self, index: int | slice) -> Match | tuple[Match, ...]:
        return self.matches[index]

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}({len(self)} matches for {self.query.track!r}, model {self.model})"]
        for match in self.matches[:10]:
            name = f"{match.artist} - {match.title}" if match.artist and match.title else match.path
            lines.append(f"  {match.rank:3} {match.score:+6.2f}  {one_line(name)}")
        if len(self) > 10:
            lines.append(f"  ... {len(self) - 10} more")
        return "\n".join(lines)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary of plain values per match, ready for `json.dumps`.

        Returns:
            Keys: rank, path, title, artist, artists (a list), album, bpm, key, duration, start, end, score, percentile,
            stretch, semitones, copies (a list), relation, and spaces, which maps a space to its similarity, z, weight,
            share, percentile, percentile_source and audible.

        Example:
            >>> library.search("song.wav", k=1).to_dicts()[0]["rank"]
            1
        """
        return [
            {
                "rank": match.rank,
                "path": match.path,
                "title": match.title,
                "artist": match.artist,
                "artists": list(match.artists),
                "album": match.album,
                "bpm": match.bpm,
                "key": match.key,
                "duration": match.duration,
                "start": match.span.start,
                "end": match.span.end,
                "score": match.score,
                "percentile": match.percentile,
                "stretch": match.stretch,
                "semitones": match.semitones,
                "copies": list(match.copies),
                "relation": match.relation,
                "spaces": {
                    name: {
                        "similarity": one.similarity,
                        "z": one.z,
                        "weight": one.weight,
                        "share": one.share,
                        "percentile": one.percentile,
                        "percentile_source": one.percentile_source,
                        "audible": one.audible,
                    }
                    for name, one in match.spaces.items()
                },
            }
            for match in self.matches
        ]

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per match; the numbers of a space are columns such as `melody.share`.

        Raises:
            UsageError: pandas is not installed.

        Example:
            >>> library.search("song.wav").to_dataframe()["melody.share"].mean()
        """
        try:
            import pandas
        except ImportError:
            raise UsageError("to_dataframe needs pandas: pip install 'soundalike[pandas]'") from None
        rows = []
        for row in self.to_dicts():
            spaces = row.pop("spaces")
            flat = {f"{name}.{key}": value for name, numbers in spaces.items() for key, value in numbers.items()}
            rows.append({**row, **flat})
        frame = pandas.DataFrame(rows, columns=None if rows else self._columns())
        numbers = [name for name in frame.columns if name.endswith((".similarity", ".z", "percentile"))]
        return frame.astype(dict.fromkeys(numbers, float)) if numbers else frame

    def _columns(self) -> list[str]:
        """The columns of a table of matches, for results that have none."""
        return [*_COLUMNS, *(f"{space}.{one.name}" for space in self.weights for one in fields(SpaceScore))]

    def to_m3u(self, path: str | PathLike[str] | None = None) -> str:
        """The tracks as an extended M3U playlist with absolute paths; tracks whose name has a line break are left out.

        Args:
            path: Write the playlist to this file too (UTF-8, the bytes of the paths kept).

        Raises:
            UsageError: The file cannot be written.

        Example:
            >>> library.search("song.wav").to_m3u("alike.m3u8")
        """
        content = make_playlist(self.playlist_entries()).content
        if path is not None:
            write_atomic(as_path(path, "path"), lambda file: file.write(content))
        return content.decode("utf-8", "surrogateescape")

    def to_playlist(
        self, path: str | PathLike[str], *, music_dir: str | PathLike[str] | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Write the tracks to a playlist: for Rekordbox (.xml), for Traktor (.nml), or as M3U (.m3u8, .m3u).

        Args:
            path: The file. Its suffix chooses the format, and its name without suffix names the playlist.
            music_dir: The music directory of MPD, if MPD is to read the M3U.

        Returns:
            The paths that the format cannot hold, each with the reason.

        Raises:
            UsageError: The suffix is unknown, or the file cannot be written.

        Example:
            >>> library.playlist("song.mp3", harmonic=True).to_playlist("evening.xml")
            ()
        """
        file = as_path(path, "path")
        form = format_of(file)
        if form == "m3u" and music_dir is not None:
            form = "mpd"
        made = make_playlist(self.playlist_entries(), form, name=file.stem, relative_to=music_dir)
        write_atomic(file, lambda stream: stream.write(made.content))
        return made.left_out

    def playlist_entries(self) -> list[PlaylistEntry]:
        """The lines of a playlist of the matches."""
        known = [(match.path, self.tracks.get(match.path)) for match in self.matches]
        return [PlaylistEntry.of(track) if track else PlaylistEntry(path) for path, track in known]

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same results with the query, and matches' query spans, under other names: {old: new}."""

        def rename(span: Span | None) -> Span | None:
            return None if span is None else replace(span, track=names.get(span.track, span.track))

        matches = tuple(
            replace(
                match,
                query_span=rename(match.query_span),
                examples=tuple(replace(one, path=names.get(one.path, one.path)) for one in match.examples),
            )
            for match in self.matches
        )
        return replace(self, query=rename(self.query) or self.query, matches=matches)

    def _repr_html_(self) -> str:
        return results_html(self.matches, self.weights)


@dataclass(frozen=True, eq=False, repr=False)
class SearchResults(Results):
    """The answer to a search.

    Attributes:
        level: Whether whole tracks or passages were compared.
        copies: Paths of copies of the query, which were left out.
        searched: The number of tracks that were searched.
        artists: The artists of the query and of the examples to be like, as tagged.
        examples: All examples with their weights, the query first; empty if there was only the query.
        hubness: The correction for hubs.
        versions: For the path of a match that stands for its version family, the paths of the others; None if the
            search did not collapse families.
        warnings: Paths of examples that could be decoded in part, and what is missing.
        level_reason: Why this level was compared.
        shortlist: How many tracks, the most similar by their mixes, were compared by their stems; None if the search
            compared all tracks.
        stem: The stem of the query that was searched with; None for the mix.
        separator: The name of the separator that made the stem.
        at_least: The lowest percentile per space that a match may have.
        at_most: The highest one.
    """

    level: Level = "track"
    copies: tuple[str, ...] = ()
    searched: int = 0
    artists: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    versions: Mapping[str, tuple[str, ...]] | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    level_reason: LevelReason = "requested"
    shortlist: int | None = None
    stem: str | None = None
    separator: str | None = None
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """See `Results.renamed`; the examples are renamed too."""
        renamed = super().renamed(names)
        examples = tuple(replace(one, path=names.get(str(one.path), str(one.path))) for one in self.examples)
        warnings = tuple((names.get(path, path), text) for path, text in self.warnings)
        return replace(renamed, examples=examples, warnings=warnings)
