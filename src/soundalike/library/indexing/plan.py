"""Decide what to do with each file: nothing, follow a move, share the rows of a copy, or encode it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from soundalike.core.errors import AudioError
from soundalike.core.executors.cores import usable_cores
from soundalike.core.files import content_hash
from soundalike.core.object_stores import is_remote
from soundalike.core.spelling import is_listed
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder, is_current
from soundalike.library.indexing.find_files import File, FoundFiles, Places, describe_absent, held_below
from soundalike.library.indexing.refresh_tags import refresh_tags, with_outdated_tags
from soundalike.library.indexing.stored_rows import stand_on_rows
from soundalike.library.indexing.writer import EncodeTask, IndexReport
from soundalike.library.kept_features import KeptFeatures
from soundalike.library.presence import is_gone, paths_by_absent_folder
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.models import Model

__all__ = ["Planner", "backbones_of"]

_BATCH = 64
"""Files whose contents are compared before the outcome is committed."""
Advance: TypeAlias = Callable[[int], None]
"""Called with the number of files that were compared or read since the last call."""


def backbones_of(models: Mapping[str, Model], sources: Sequence[str]) -> tuple[str, ...]:
    """The backbones of some of the models, each once."""
    return tuple(dict.fromkeys(name for source in sources for name in models[source].backbones))


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
        self._below_absent = held_below([source for source, _ in found.absent], self._tracks)
        self._lost: list[Track] = []
        self._excluded: list[Track] = []
        self._replaced: set[int] = set()  # tracks at whose paths there are files with other content

    def plan(
        self,
        *,
        retry: bool,
        keep: bool,
        jobs: int | None = None,
        comparing: Callable[[int, int], None] | None = None,
    ) -> list[EncodeTask]:
        """The tasks. Missing, returned, moved and copied files are recorded on the way.

        Args:
            retry: Try files again that failed before.
            keep: Store the features of backbones.
            jobs: How many files are compared at once; None compares one per core.
            comparing: Called with files whose contents were compared or whose tags were read again, and all of them.
        """
        self._jobs = jobs or usable_cores()
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
        outdated = with_outdated_tags(track for _, track in known)
        total, done = sum(file.size in self._sizes for file in changed) + len(outdated), 0

        def advance(number: int) -> None:
            nonlocal done
            done += number
            if comparing and number:
                comparing(done, total)

        settled = self._settle(changed, advance)
        fresh = [self._full_task(file, keep=keep) for file in changed if file.path not in settled]
        self._note_missing()
        refresh_tags(self._catalog, outdated, advance)
        with self._catalog.transaction():
            self._catalog.mark(returned)
            self._catalog.failures.forget(path for path in readable if path in self._failures)
        incomplete = self._tasks_for_known(known, keep=keep)
        self._report.unchanged += len(known) - sum(bool(task.models) for task in incomplete)
        return [*incomplete, *self._tasks_for_known(settled.values(), keep=keep), *fresh]

    def prune(self) -> int:
        """Remove the tracks whose files were found to be missing or excluded; returns their number."""
        with self._catalog.transaction():
            still_gone = [one.id for one in self._lost if self._has_vanished(one)]  # encoding may have taken hours
            self._catalog.remove(unwanted := [*still_gone, *(track.id for track in self._excluded)])
        return len(unwanted)

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
        gone = is_gone(path) or (is_remote(path) and bool(self._given.holding(path)))
        return gone and path not in self._found.files and not self._unreadable.holding(path)

    def _was_renamed(self, track: Track, file: File) -> bool:
        """Whether only the case of letters changed; on many systems the old name finds the file too."""
        if track.path in self._found.files or str(track.path).casefold() != str(file.path).casefold():
            return False
        try:
            return track.path.samefile(file.path) and not is_listed(track.path)
        except OSError:
            return False

    def _settle(self, files: Sequence[File], advance: Advance) -> dict[Path, tuple[File, Track]]:
        """Let entries follow moved and touched files, and share the rows of copies; returns these files by path.

        Files at the paths of tracks come first: a track whose file was replaced follows its content to another place,
        as when all files of a folder get other numbers.
        """
        settled: dict[Path, tuple[File, Track]] = {}
        replaced: list[tuple[File, str | None]] = []
        at_tracks = [file for file in files if file.path in self._tracks]
        for batch in self._with_digests(at_tracks, advance):
            touched = [(file, digest) for file, digest in batch if digest == self._tracks[file.path].content_hash]
            replaced += [pair for pair in batch if pair not in touched]
            self._follow_all(touched, settled)
        self._replaced = {self._tracks[file.path].id for file, _ in replaced}
        for batch in self._with_digests([file for file in files if file.path not in self._tracks], advance):
            self._follow_all(batch, settled)
        self._exchange(replaced, settled)
        return settled

    def _with_digests(self, files: Sequence[File], advance: Advance) -> Iterator[list[tuple[File, str | None]]]:
        """Yield files with the hashes of their contents in batches; None for those that no track can be equal to."""
        with ThreadPoolExecutor(self._jobs) as pool:  # hashing needs no interpreter
            for first in range(0, len(files), _BATCH):
                batch = files[first : first + _BATCH]
                yield list(zip(batch, pool.map(self._digest, batch), strict=True))
                advance(sum(file.size in self._sizes for file in batch))

    def _follow_all(self, files: Iterable[tuple[File, str | None]], settled: dict[Path, tuple[File, Track]]) -> None:
        """Settle files whose content a track holds, in one transaction."""
        known = [(file, digest) for file, digest in files if digest is not None]
        with self._catalog.transaction():
            self._will_change(known)
            for file, digest in known:
                if self._is_known(file, digest):
                    settled[file.path] = (file, self._tracks[file.path])

    def _exchange(self, replaced: Sequence[tuple[File, str | None]], settled: dict[Path, tuple[File, Track]]) -> None:
        """Settle files that took the places of others. Their tracks may form a circle, so they move all at once."""
        known = [(file, digest) for file, digest in replaced if digest is not None]
        with self._catalog.transaction():
            self._will_change(known)
            moves: list[tuple[File, Track]] = []
            for file, digest in known:
                if moved := self._find_moved(file, self._twins(file, digest)):
                    # Until all tracks have left their paths, each waits at one that no file can have.
                    self._catalog.put_track(file.root, replace(moved[0], path=file.root / f"\0{moved[0].id}"))
                    self._forget(moved[0])
                    moves.append((file, moved[0]))
            for file, track in moves:
                self._move(file, track)
                settled[file.path] = (file, self._tracks[file.path])
            for file, digest in known:
                if file.path not in settled and self._is_known(file, digest):
                    settled[file.path] = (file, self._tracks[file.path])

    def _will_change(self, known: Iterable[tuple[File, str]]) -> None:
        """Check the entries that files may change at once, not one by one. Inside a transaction."""
        tracks = [track for file, digest in known for track in self._twins(file, digest)]
        tracks += [track for file, _ in known if (track := self._tracks.get(file.path))]
        self._catalog.database.will_change(track.id for track in tracks)

    def _digest(self, file: File) -> str | None:
        """The hash of a file's content, if a track has a file of this size."""
        if file.size not in self._sizes:
            return None
        try:
            return content_hash(file.path)
        except AudioError:
            return None  # the worker will report it

    def _twins(self, file: File, digest: str) -> list[Track]:
        """The tracks with the content of a file."""
        return list(self._by_content.get((file.size, digest), {}).values())

    def _find_moved(self, file: File, twins: Iterable[Track]) -> list[Track]:
        """The tracks among `twins` whose files are gone or replaced. The first one has moved to the place of `file`."""
        moved = [
            twin
            for twin in twins
            if twin.id in self._replaced or self._has_vanished(twin) or self._was_renamed(twin, file)
        ]
        return sorted(
            moved, key=lambda twin: (twin.path.name != file.path.name, twin.path.parent.name != file.path.parent.name)
        )

    def _is_known(self, file: File, digest: str) -> bool:
        """Whether a track holds this content, with its consequences in the catalogue. Inside a transaction."""
        here, twins = self._tracks.get(file.path), self._twins(file, digest)
        if here and here in twins:
            self._move(file, here)
            self._report.moved -= 1
            self._report.unchanged += 1
            return True
        if moved := self._find_moved(file, twins):
            self._move(file, moved[0])
            return True
        source = next(filter(self._is_current, twins), None)
        if source is None or self._catalog.database.was_corrupt(source.id):
            return False  # the rows of a corrupt entry may be those of another track
        fresh = _at(source, file, here.id if here else 0)
        fresh = replace(fresh, id=self._catalog.put_track(file.root, fresh))
        self._catalog.share_rows(source.id, fresh.id)
        self._settled_at(file, fresh)
        self._report.copied += 1
        return True

    def _move(self, file: File, track: Track) -> None:
        """Let an entry follow its file, which may have been moved over another one. Inside a transaction."""
        here = self._tracks.get(file.path)
        if here and here.id != track.id:
            self._catalog.remove([here.id])
        fresh = _at(track, file, track.id)
        self._catalog.put_track(file.root, fresh)
        self._forget(track)
        self._settled_at(file, fresh)
        self._report.moved += 1

    def _settled_at(self, file: File, track: Track) -> None:
        """Note that the entry at the path of a file is a track now. Inside a transaction."""
        if here := self._tracks.get(file.path):
            self._forget(here)
        self._tracks[file.path] = track
        self._remember(track)
        self._catalog.failures.forget([file.path])

    def _is_current(self, track: Track) -> bool:
        """Whether the file of a track still is what its entry says."""
        file = self._found.files.get(track.path)
        return is_current(track) if file is None else _same(track, file)

    def _remember(self, track: Track) -> None:
        self._by_content.setdefault((track.size, track.content_hash), {})[track.id] = track

    def _forget(self, track: Track) -> None:
        """Drop an entry that has changed from what later files are compared with."""
        if self._tracks.get(track.path) == track:
            del self._tracks[track.path]
        self._gone.pop(track.id, None)
        self._replaced.discard(track.id)
        self._by_content[track.size, track.content_hash].pop(track.id, None)

    def _note_missing(self) -> None:
        """Flag the tracks whose files are gone, forget such failures, and report absent disks and excluded tracks."""
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
        excluded = Places(found.excluded)
        self._excluded = [
            track
            for path, track in self._tracks.items()
            if path not in listed and track.id not in self._gone and excluded.holding(path)
        ]
        self._report.excluded = len(self._excluded)
        now = held_below([source for source, _ in found.absent], self._tracks)
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
        outdated, held = self._catalog.fingerprints.outdated(), self._catalog.models()
        tasks = []
        for file, track in known:
            encoded_by, stored = encoded.get(track.id, set()), kept.get(track.id, set())
            lacking = [source for source in self._sources if self._models[source].name not in encoded_by]
            to_store = tuple(name for name in wanted if name not in stored)
            project = not to_store and (
                stored.issuperset(self._backbones(lacking)) or stand_on_rows(held, self._models, lacking, encoded_by)
            )
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


def _at(track: Track, file: File, track_id: int) -> Track:
    """The entry of a file with the content of a track."""
    return replace(
        track, path=file.path, size=file.size, mtime_ns=file.mtime_ns, missing=False, unreadable=False, id=track_id
    )


def _same(track: Track, file: File) -> bool:
    return (track.size, track.mtime_ns) == (file.size, file.mtime_ns)
