"""The recordings that requests name, and their encodings, which are kept while people move sliders."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Generic, TypeVar

from soundalike.api import Library
from soundalike.core.errors import AudioError, LibraryError, SoundalikeError, UsageError
from soundalike.library import Subject, load_encoding
from soundalike.library.catalog import Track
from soundalike.models import Encoding, Model
from soundalike.serve.problems import ProblemError
from soundalike.serve.requests import Recording
from soundalike.serve.uploads import Uploads

__all__ = ["LeastRecentlyUsed", "Recordings"]

T = TypeVar("T")
_AT_ONCE = 2
"""Recordings that are encoded at the same time."""
_WAITING = 16
"""Requests that may wait for that, of the 40 threads that answer requests."""


class LeastRecentlyUsed(Generic[T]):
    """Values by key, of which the one that was used longest ago goes first. Threads may share it."""

    def __init__(self, size: int) -> None:
        self._size, self._values, self._lock = size, OrderedDict[Hashable, Future[T]](), threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not there; threads that ask meanwhile wait for it."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                mine = self._values[key] = Future[T]()
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
            else:
                self._values.move_to_end(key)
        if found is not None:
            return found.result()
        try:
            mine.set_result(make())
        except BaseException as error:
            with self._lock:
                self._values.pop(key, None)
            mine.set_exception(error)
        return mine.result()


class Recordings:
    """Tracks of the library and uploads, as requests name them."""

    def __init__(self, library: Library, uploads: Uploads) -> None:
        self._library, self._uploads = library, uploads
        self._subjects = LeastRecentlyUsed[Subject](64)
        self._encodings = LeastRecentlyUsed[Encoding](32)
        self._encoding = threading.BoundedSemaphore(_AT_ONCE)
        self._waiting = threading.BoundedSemaphore(_WAITING)

    def track(self, number: int) -> Track:
        """The track of an id. Raises ProblemError if the library does not hold it."""
        try:
            return self._library.folder.catalog.tracks_of([number])[0]
        except KeyError:
            raise ProblemError(404, f"the library has no track {number}; its tracks are at /api/v1/tracks") from None

    def model(self, name: str | None) -> Model:
        """A model that the library holds. Paths of models would tell which folders the machine has.

        Raises:
            UsageError: The library does not hold it.
            ProblemError: The library is empty.
        """
        if name is not None and (held := self._library.models) and name not in held:
            raise UsageError(f"the library holds {', '.join(held)}, not {name!r}")
        try:
            return self._library.folder.model(name)
        except LibraryError:
            if self._library.models:
                raise
            raise ProblemError(404, "the library is empty; index a folder first") from None

    def path(self, recording: Recording) -> Path:
        """The file of a recording. Raises ProblemError if there is none."""
        if recording.track is not None:
            return self.track(recording.track).path
        return self._uploads.get(recording.upload or "").path

    def names(self, recordings: Iterable[Recording]) -> Mapping[str, str]:
        """What answers call uploads: {path of the file: name that the client gave}."""
        uploads = [self._uploads.get(one.upload) for one in recordings if one.upload is not None]
        return {str(upload.path): upload.name for upload in uploads}

    def subject(self, recording: Recording, path: Path, model: Model) -> Subject:
        """A recording, whose file is at `path`, encoded as a query."""
        # Indexing may change what the library knows of a track, so that its subject is of one generation.
        generation = self._library.folder.catalog.generation if recording.track is not None else None
        key = (path, recording.start, recording.end, model.recipe.digest, generation)
        return self._subjects.get(key, lambda: self._encode_subject(recording, path, model))

    def _encode_subject(self, recording: Recording, path: Path, model: Model) -> Subject:
        try:
            # The rows of a whole track are stored, and reading them takes no turn from those that decode.
            stored = recording.track is not None and not recording.is_region
            with nullcontext() if stored else self._turn():
                found = self._library.folder.subject(path, model, recording.start, recording.end)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error
        if recording.upload is not None and not recording.is_region:
            return self._uploads.get(recording.upload).describe(found)
        return found

    def encoding(self, recording: Recording, model: Model) -> Encoding:
        """A recording, encoded with all its passages."""
        path = self.path(recording)
        stat = path.stat() if path.exists() else None
        key = (path, stat and (stat.st_size, stat.st_mtime_ns), recording.start, recording.end, model.recipe.digest)
        return self._encodings.get(key, lambda: self._encode(recording, path, model))

    def _encode(self, recording: Recording, path: Path, model: Model) -> Encoding:
        if recording.track is not None and not recording.is_region:
            stored = load_encoding(self._library.folder, path, model)
            if stored is not None:
                return stored
        try:
            with self._turn():
                return model.encode(path, start=recording.start or 0.0, end=recording.end)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One of a few places for encoding. Raises ProblemError if too many recordings wait for one."""
        if not self._waiting.acquire(blocking=False):
            raise ProblemError(429, "too many recordings are being encoded; try again", {"Retry-After": "2"})
        try:
            with self._encoding:
                yield
        finally:
            self._waiting.release()

    @contextmanager
    def named(self, recordings: Sequence[Recording]) -> Iterator[Mapping[str, str]]:
        """What answers call uploads, as `names` returns it; errors call them so too."""
        names = self.names(recordings)
        try:
            yield names
        except SoundalikeError as error:
            message = str(error)
            for path, name in names.items():
                message = message.replace(path, name)
            raise type(error)(message) from error
