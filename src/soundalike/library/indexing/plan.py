"""Decide what to do with each file: nothing, follow a move, share the rows of a copy, or encode it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from soundalike.core.errors import AudioError
from soundalike.core.files import content_hash
from soundalike.core.spelling import is_listed
from soundalike.core.text import quoted
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder, is_current
from soundalike.library.indexing.find_files import File, FoundFiles, Places
from soundalike.library.indexing.refresh_tags import refresh_tags
from soundalike.library.indexing.writer import EncodeTask, IndexReport
from soundalike.library.kept_features import KeptFeatures
from soundalike.library.presence import is_gone, paths_by_absent_folder
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.models import Model

__all__ = ["Planner", "backbones_of", "describe_absent", "held_below"]

_BATCH = 64
"""Files whose contents are compared before the outcome is committed."""


def backbones_of(models: Mapping[str, Model], sources: Sequence[str]) -> tuple[str, ...]:
    """The backbones of some of the models, each once."""
    return tuple(dict.fromkeys(name for source in sources for name in models[source].backbones))


def held_below(places: Sequence[Path], paths: Iterable[Path]) -> Counter[Path]:
    """The number of paths below each place."""
    holders = Places(places)
    return Counter(place for path in paths for place in holders.holding(path))


def describe_absent(source: Path, reason: str, held: int) -> str:
    """Why a source cannot be indexed, and what to do with the tracks that the library holds below it."""
    if not held:
        return reason
    return (
        f"not found, but the library holds {held:,} {'track' if held == 1 else 'tracks'} below it; index the folder to "
        f"which they moved, or remove them with: soundalike library remove {quoted(source)}"
    )


class Planner:
    """The plan of one run: what is encoded, and which entries of the catalogue follow their files."""

    def __init__(
        self,
        library: LibraryFolder,
        models: Mapping[str, Model],
        features: KeptFeatures,
        report: IndexReport,
        found: FoundFiles,
    ) -> None:
        """`models` maps what to load a model from to the model."""
        self._library, self._catalog, self._features = library, library.catalog, features
        self._models, self._sources = models, tuple(models)
        self._report, self._found = report, found
        self._given, self._unreadable = Places(found.sources), Places(path for path, _ in found.unreadable)
        self._tracks = {track.path: track for track in self._catalog.tracks()}
        self._failures = self._catalog.failures.all()
        self._sizes = {track.size for track in self._tracks.values()}
        self._by_content: dict[tuple[int, str], dict[int, Track]] = {}
        for track in self._tracks.values():
            self._remember(track)
        self._gone = self._find_gone()
        self._vanished = [track.path for track in self._gone.values()]
        self._below_absent = self._count_below_absent()
        self._lost: list[Track] = []

    def plan(self, *, retry: bool, keep: bool) -> list[EncodeTask]:
        """The tasks. Missing, returned, moved and copied files are recorded on the way.

        Args:
            retry: Try files again that failed before.
            keep: Store the features of backbones.
        """
        with self._catalog.transaction():
            self._features.prepare(keep=keep)
        remove_stale_rows(self._library)
        known: list[tuple[File, Track]] = []
        changed: list[File] = []
        returned: list[int] = []
        readable: list[Path] = []
        for file in self._found.files.values():
            track = self._tracks.get(file.path)
            if track and _same(track, file):
                if track.missing or track.unreadable:
                    returned.append(track.id)
                readable.append(file.path)
                known.append((file, track))
            elif self._failed_before(file) and not retry:
                self._report.failed_before += 1
            else:
                changed.append(file)
        self._report_broken(retry=retry)
        settled = self._settle(changed)
        fresh = [self._full_task(file, keep=keep) for file in changed if file.path not in settled]
        self._note_missing()
        refresh_tags(self._catalog, [track for _, track in known])
        with self._catalog.transaction():
            self._catalog.mark(returned)
            self._catalog.failures.forget(path for path in readable if path in self._failures)
        incomplete = self._tasks_for_known(known, keep=keep)
        self._report.unchanged += len(known) - sum(bool(task.models) for task in incomplete)
        return [*incomplete, *self._tasks_for_known(settled.values(), keep=keep), *fresh]

    def prune(self) -> int:
        """Remove the tracks whose files were found to be missing; returns their number."""
        with self._catalog.transaction():
            still_gone = [track.id for track in self._lost if is_gone(track.path)]  # encoding may have taken hours
            self._catalog.remove(still_gone)
        return len(still_gone)

    # Failures ---------------------------------------------------------------------------------------------------

    def _failed_before(self, file: File) -> bool:
        failure = self._failures.get(file.path)
        return failure is not None and (failure.size, failure.mtime_ns) == (file.size, file.mtime_ns)

    def _report_broken(self, *, retry: bool) -> None:
        """Store and report files that cannot be opened at all, unless that was done before."""
        fresh = []
        for file, reason in self._found.broken.values():
            if self._failed_before(file) and not retry:
                self._report.failed_before += 1
            else:
                fresh.append((file, reason))
                self._report.failed.append((str(file.path), reason))
        with self._catalog.transaction():
            for file, reason in fresh:
                self._catalog.failures.put(file.path, file.size, file.mtime_ns, reason)

    # Moves and copies -------------------------------------------------------------------------------------------

    def _find_gone(self) -> dict[int, Track]:
        """Tracks below the sources whose files no longer exist, by id."""
        return {
            track.id: track
            for path, track in self._tracks.items()
            if path not in self._found.files and self._given.holding(path) and self._has_vanished(track)
        }

    def _has_vanished(self, track: Track) -> bool:
        """Whether the file of a track is no longer there. What lies in an unreadable folder may still be there."""
        path = track.path
        return path not in self._found.files and not self._unreadable.holding(path) and is_gone(path)

    def _count_below_absent(self) -> Counter[Path]:
        return held_below([source for source, _ in self._found.absent], self._tracks)

    def _was_renamed(self, track: Track, file: File) -> bool:
        """Whether only the case of letters changed; on many systems the old name finds the file too."""
        if track.path in self._found.files or str(track.path).casefold() != str(file.path).casefold():
            return False
        try:
            return track.path.samefile(file.path) and not is_listed(track.path)
        except OSError:
            return False

    def _settle(self, files: Sequence[File]) -> dict[Path, tuple[File, Track]]:
        """Let entries follow moved and touched files, and share the rows of copies; returns these files by path."""
        settled = {}
        for first in range(0, len(files), _BATCH):
            digests = [(file, self._digest(file)) for file in files[first : first + _BATCH]]
            with self._catalog.transaction():
                for file, digest in digests:
                    if digest is not None and self._is_known(file, digest):
                        settled[file.path] = (file, self._tracks[file.path])
        return settled

    def _digest(self, file: File) -> str | None:
        """The hash of a file's content, if a track has a file of this size."""
        if file.size not in self._sizes:
            return None
        try:
            return content_hash(file.path)
        except AudioError:
            return None  # the worker will report it

    def _is_known(self, file: File, digest: str) -> bool:
        """Whether a track holds this content, with its consequences in the catalogue. Inside a transaction."""
        here = self._tracks.get(file.path)
        twins = list(self._by_content.get((file.size, digest), {}).values())
        own = next((twin for twin in twins if here and twin.id == here.id), None)
        # Of several vanished files with this content, the one of the same name has moved here.
        vanished = sorted(
            (twin for twin in twins if self._has_vanished(twin) or self._was_renamed(twin, file)),
            key=lambda twin: (twin.path.name != file.path.name, twin.path.parent.name != file.path.parent.name),
        )
        source = own or next(iter([*vanished, *filter(self._is_current, twins)]), None)
        if source is None:
            return False
        moved = source is not own and source in vanished
        if not own and not moved and self._catalog.database.was_corrupt(source.id):
            return False  # its rows may be those of another track
        fresh = replace(source, path=file.path, size=file.size, mtime_ns=file.mtime_ns, missing=False, unreadable=False)
        if own or moved:
            if moved and here:  # the file was moved over another one
                self._catalog.remove([here.id])
                self._forget(here)
            self._catalog.put_track(file.root, fresh)
            self._forget(source)
        else:
            fresh = replace(fresh, id=here.id if here else 0)
            fresh = replace(fresh, id=self._catalog.put_track(file.root, fresh))
            self._catalog.share_rows(source.id, fresh.id)
            if here:
                self._forget(here)
        self._tracks[file.path] = fresh
        self._remember(fresh)
        self._catalog.failures.forget([file.path])
        self._report.unchanged += own is not None
        self._report.moved += moved
        self._report.copied += not own and not moved
        return True

    def _is_current(self, track: Track) -> bool:
        """Whether the file of a track still is what its entry says."""
        file = self._found.files.get(track.path)
        return is_current(track) if file is None else _same(track, file)

    def _remember(self, track: Track) -> None:
        self._by_content.setdefault((track.size, track.content_hash), {})[track.id] = track

    def _forget(self, track: Track) -> None:
        """Drop an entry that has changed from what later files are compared with."""
        self._tracks.pop(track.path, None)
        self._gone.pop(track.id, None)
        self._by_content[track.size, track.content_hash].pop(track.id, None)

    def _note_missing(self) -> None:
        """Flag the tracks whose files are gone, forget such failures, and report disks that may not be mounted."""
        found, listed = self._found, self._found.files.keys() | self._found.broken.keys()
        ended = [path for path in self._failures.keys() - listed if self._given.holding(path)]
        ended = [path for path in ended if not self._unreadable.holding(path)]
        gone = {track.path: track.id for track in self._gone.values()}
        roots = self._catalog.paths.roots_of(gone.values())
        away = paths_by_absent_folder(
            [*gone, *filter(is_gone, ended)], found.sources, {path: roots[gone[path]] for path in gone}
        )
        moved = [path for path in self._vanished if path not in gone]
        for folder, paths in sorted(away.items()):
            if tracks := sum(path in gone for path in paths):
                self._report.away.append((str(folder), tracks))
            elif any(folder in path.parents for path in moved):
                del away[folder]  # its tracks were found elsewhere, so that it is no disk that is away
        kept = {path for paths in away.values() for path in paths}
        self._lost = [track for track in self._gone.values() if track.path not in kept]
        self._report.missing = len(self._lost)
        now = self._count_below_absent()
        for source, reason in found.absent:
            if now[source] or not self._below_absent[source]:  # else all of its tracks were found elsewhere
                self._report.failed.append((str(source), describe_absent(source, reason, now[source])))
        with self._catalog.transaction():
            self._catalog.mark([track.id for track in self._lost], missing=True)
            self._catalog.failures.forget(path for path in ended if path not in kept)

    # Tasks ------------------------------------------------------------------------------------------------------

    def _tasks_for_known(self, known: Iterable[tuple[File, Track]], *, keep: bool) -> list[EncodeTask]:
        """The tasks for files of known content: some lack a model, features that are to be stored, or a fingerprint."""
        encoded, kept = self._catalog.encoded_by(), self._catalog.features.backbones_by_track()
        wanted = self._backbones(self._sources) if keep else ()
        outdated = self._catalog.fingerprints.outdated()
        tasks = []
        for file, track in known:
            encoded_by, stored = encoded.get(track.id, set()), kept.get(track.id, set())
            lacking = [source for source in self._sources if self._models[source].name not in encoded_by]
            to_store = tuple(name for name in wanted if name not in stored)
            project = not to_store and stored.issuperset(self._backbones(lacking))
            # Storing features of a backbone takes a model that uses the backbone.
            lacking += [s for s in self._sources if s not in lacking and set(self._models[s].backbones) & set(to_store)]
            if lacking:
                tasks.append(EncodeTask(file, tuple(lacking), track, same_sound=True, keep=to_store, project=project))
            elif track.id in outdated:
                tasks.append(EncodeTask(file, (), track, same_sound=True))
        corrupt = set(self._catalog.database.corrupt_tracks(task.track.id for task in tasks if task.track))
        # A corrupt entry may refer to the rows of other tracks.
        return [
            self._full_task(task.file, keep=keep) if task.track and task.track.id in corrupt else task for task in tasks
        ]

    def _full_task(self, file: File, *, keep: bool) -> EncodeTask:
        """Encode a file with every model."""
        backbones = self._backbones(self._sources) if keep else ()
        return EncodeTask(file, self._sources, self._tracks.get(file.path), same_sound=False, keep=backbones)

    def _backbones(self, sources: Sequence[str]) -> tuple[str, ...]:
        return backbones_of(self._models, sources)


def _same(track: Track, file: File) -> bool:
    return (track.size, track.mtime_ns) == (file.size, file.mtime_ns)
