"""The recordings that requests name, and their encodings, which are kept while people move sliders."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from soundalike.api import Library
from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.library import Subject, stored_encoding
from soundalike.library.catalog import Track
from soundalike.models import Encoding, Model
from soundalike.serve.problems import ProblemError
from soundalike.serve.requests import Recording
from soundalike.serve.uploads import Uploads

__all__ = ["LeastRecentlyUsed", "Recordings"]

T = TypeVar("T")


class LeastRecentlyUsed(Generic[T]):
    """Values by key, of which the one that was used longest ago goes first. Threads may share it."""

    def __init__(self, size: int) -> None:
        self._size, self._values, self._lock = size, OrderedDict[Hashable, T](), threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not there. Two threads may both make it; the first one is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            kept = self._values.setdefault(key, value)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            return kept


class Recordings:
    """Tracks of the library and uploads, as requests name them."""

    def __init__(self, library: Library, uploads: Uploads) -> None:
        self._library, self._uploads = library, uploads
        self._subjects = LeastRecentlyUsed[Subject](64)
        self._encodings = LeastRecentlyUsed[Encoding](32)

    def track(self, number: int) -> Track:
        """The track of an id. Raises ProblemError if the library does not hold it."""
        try:
            return self._library.folder.catalog.tracks_of([number])[0]
        except KeyError:
            raise ProblemError(404, f"the library has no track {number}; its tracks are at /api/v1/tracks") from None

    def path(self, recording: Recording) -> Path:
        """The file of a recording. Raises ProblemError if there is none."""
        if recording.track is not None:
            return self.track(recording.track).path
        return self._uploads.get(recording.upload or "").path

    def names(self, recordings: Iterable[Recording]) -> Mapping[str, str]:
        """What answers call uploads: {path of the file: name that the client gave}."""
        uploads = [self._uploads.get(one.upload) for one in recordings if one.upload is not None]
        return {str(upload.path): upload.name for upload in uploads}

    def subject(self, recording: Recording, model: str | None) -> Subject:
        """A recording, encoded as a query."""
        path, folder = self.path(recording), self._library.folder
        used = folder.model(model)
        # Indexing may change what the library knows of a file, so that a subject is of one generation.
        key = (path, recording.start, recording.end, used.recipe.digest, folder.catalog.generation)
        return self._subjects.get(key, lambda: self._encode_subject(recording, path, used))

    def _encode_subject(self, recording: Recording, path: Path, model: Model) -> Subject:
        try:
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
            stored = stored_encoding(self._library.folder, path, model)
            if stored is not None:
                return stored
        try:
            return model.encode(path, start=recording.start or 0.0, end=recording.end)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error

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
