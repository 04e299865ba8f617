"""What keeps a library up to date: index, remove, move, check and vacuum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from soundalike.api.arguments import Progress, StrPath, optional_models
from soundalike.api.writing import WriterGate
from soundalike.core.arguments import as_callback, as_count, as_flag
from soundalike.core.errors import UsageError
from soundalike.core.files import as_path

if TYPE_CHECKING:
    from soundalike.library import CheckReport, LibraryFolder, MoveReport, VacuumReport
    from soundalike.library.catalog import Failure, Filter
    from soundalike.library.indexing import IndexReport, Waiting

__all__ = ["Upkeep"]


class Upkeep:
    """The methods of `Library` that change it or check it. What only they need is imported when they are called."""

    _gate: WriterGate

    @property
    def folder(self) -> LibraryFolder:
        """The catalogue, rows and snapshots on disk, open for reading."""
        raise NotImplementedError

    def _writer(self) -> AbstractContextManager[LibraryFolder]:
        return self._gate.open(self.folder.path)

    def index(
        self,
        *sources: StrPath,
        model: StrPath | Sequence[StrPath] | None = None,
        jobs: int | None = None,
        retry: bool = False,
        prune: bool = False,
        keep_features: bool = False,
        exclude: Sequence[str] | str = (),
        progress: Callable[[int, int, float], None] | None = None,
        waiting: Waiting | None = None,
        comparing: Progress = None,
    ) -> IndexReport:
        """Bring the library up to date with folders or files; only what is new or changed is encoded.

        Entries follow files that were moved, within the sources or from anywhere else. Unreadable files are skipped and
        listed in the report; `failures` remembers them. After an interruption (Ctrl-C), which sets `interrupted` in the
        report, the next call continues.

        Args:
            sources: Folders, which are searched recursively, and audio files.
            model: The model to encode with, or several, besides those that the library holds. None takes those, or the
                default one.
            jobs: The number of worker processes; None starts one per core.
            retry: Try files again that failed before.
            prune: Remove tracks whose files are missing or excluded, except below folders of which nothing is left
                (`away` in the report): their disk may not be mounted.
            keep_features: Store backbone features too, so that other heads on the same backbone need no encoding.
            exclude: Patterns of files and folders to leave out, in the syntax of gitignore, relative to each source:
                `*.wav`, `/demos/`, `!keep.wav`. Files `.soundalikeignore` in any folder hold further patterns. Tracks
                that are excluded from now on stay in the library until a run with `prune`.
            progress: Called with files done, files to encode, and seconds of audio encoded.
            waiting: Called about once per second while no file is done, with the path of the file that has been encoded
                for the longest time, and this time in seconds.
            comparing: Called before anything is encoded, with files whose contents were compared with those of known
                tracks or whose tags were read again, and all such files.

        Example:
            >>> library.index("music", jobs=2, exclude=["*.wav", "/demos/"]).added
            12
        """
        from soundalike.audio.datasets.ignore import check_patterns
        from soundalike.library import build_prefilters
        from soundalike.library.indexing import index_files

        if not sources:
            raise UsageError("no source was given; give folders or audio files to index")
        paths = [as_path(source, "source") for source in sources]
        job = functools.partial(
            index_files,
            sources=paths,
            model=optional_models(model),
            jobs=None if jobs is None else as_count(jobs, "jobs"),
            retry=as_flag(retry, "retry"),
            prune=as_flag(prune, "prune"),
            keep_features=as_flag(keep_features, "keep_features"),
            exclude=check_patterns(exclude),
            progress=as_callback(progress, "progress"),
            waiting=as_callback(waiting, "waiting"),
            comparing=as_callback(comparing, "comparing"),
        )
        with self._writer() as writer:
            report = job(writer)
            if not report.interrupted:
                build_prefilters(writer)
        return report

    def remove(self, *paths: StrPath, where: Filter | str | None = None, missing: bool = False) -> int:
        """Remove tracks, not their files; returns how many.

        Args:
            paths: Tracks, and folders for all tracks below them. Failures of files there are forgotten.
            where: Instead of paths: the tracks that meet conditions, such as "artist = bach".
            missing: Instead of paths: all tracks whose files are not there, also where their disk is not mounted.

        Raises:
            UsageError: The library holds nothing at one of the paths. Nothing is removed then.

        Example:
            >>> library.remove("music/demos")
            7
        """
        from soundalike.api.details import select_tracks
        from soundalike.library import is_there, remove_at, remove_tracks
        from soundalike.search import as_filter

        if (len(paths) > 0) + (where is not None) + as_flag(missing, "missing") != 1:
            raise UsageError("give either paths, or where, or missing=True, to say which tracks to remove")
        places = [as_path(path, "path") for path in paths]
        conditions = None if where is None else as_filter(where)
        with self._writer() as writer:
            if places:
                return remove_at(writer, places)
            if conditions is not None:
                tracks = select_tracks(writer, conditions)
            else:
                tracks = [track for track in writer.catalog.tracks() if not is_there(track.path)]
            return remove_tracks(writer, tracks)

    def move(self, old: StrPath, new: StrPath, *, progress: Progress = None) -> MoveReport:
        """Let the entries of a file, or of all files of a folder, follow it to a new place, without decoding.

        `index` of the new place does the same by itself. Each file must be at the new place, with the same content.

        Args:
            old: The path of a track, or of a folder with tracks below it.
            new: Where it is now.
            progress: Called with files verified and all files.

        Raises:
            UsageError: The library holds nothing at `old`, or there is nothing at `new`.

        Example:
            >>> library.move("/music", "/mnt/disk/music").moved
            12
        """
        from soundalike.library import move_tracks

        before, now, progress = as_path(old, "old"), as_path(new, "new"), as_callback(progress, "progress")
        with self._writer() as writer:
            return move_tracks(writer, before, now, progress)

    def failures(self) -> tuple[Failure, ...]:
        """The files that could not be read, with the reason and the number of attempts, sorted by path.

        Example:
            >>> [failure.message for failure in library.failures()]
            ['empty; copy or download it again']
        """
        return tuple(self.folder.catalog.failures.all().values())

    def info(self) -> dict[str, Any]:
        """Numbers about the library: tracks, models, sizes in bytes."""
        return self.folder.info()

    def check(self, *, repair: bool = False, progress: Progress = None) -> CheckReport:
        """Compare everything stored with its checksums; `repair` marks corrupt tracks for the next `index`.

        A library with missing files opens with `soundalike.open(path, incomplete=True)`; their tracks count as corrupt.

        Example:
            >>> library.check().ok
            True
        """
        from soundalike.library import check_library, repair_library

        repair = as_flag(repair, "repair")
        report = check_library(self.folder, as_callback(progress, "progress"))
        if repair and not report.ok:
            with self._gate.open(self.folder.path, incomplete=True) as writer:
                repair_library(writer, report)
        return report

    def vacuum(self) -> VacuumReport:
        """Free the disk space of rows that no track uses any more. Readers may go on reading meanwhile."""
        from soundalike.library import build_prefilters, vacuum_library

        with self._writer() as writer:
            report = vacuum_library(writer)
            build_prefilters(writer)
        return report
