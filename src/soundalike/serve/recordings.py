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
from soundalike.core.object_stores import is_remote
from soundalike.library import Subject, load_encoding
from soundalike.library.catalog import Track
from soundalike.models import Encoding, Model, SearchSpaces, Spaces, encode_with, join_encodings
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
        return self.get_all([key], lambda _: [make()])[0]

    def get_all(self, keys: Sequence[Hashable], make: Callable[[list[int]], Sequence[T]]) -> list[T]:
        """The values of several keys. `make` gets the places of those that are not there, and makes all of them."""
        found: list[Future[T]] = []
        mine: list[int] = []
        with self._lock:
            for place, key in enumerate(keys):
                if key in self._values:
                    self._values.move_to_end(key)
                else:
                    self._values[key] = Future[T]()
                    mine.append(place)
                found.append(self._values[key])
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        try:
            for place, value in zip(mine, make(mine) if mine else (), strict=True):
                found[place].set_result(value)
        except BaseException as error:
            with self._lock:
                for place in mine:
                    self._values.pop(keys[place], None)
            for place in mine:
                found[place].set_exception(error)
        return [one.result() for one in found]


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
        """A model that the library holds; see `spaces`."""
        return self.spaces(name).models[0]

    def spaces(self, name: str | None, names: Iterable[str] = ()) -> SearchSpaces:
        """The spaces of a request, given the name of its model and the names of spaces in it.

        Paths of models would tell which folders the machine has.

        Raises:
            UsageError: The library does not hold the model, or several models have a space of a name.
            ProblemError: The library is empty.
        """
        if name is not None and (held := self._library.models) and name not in held:
            raise UsageError(f"the library holds {', '.join(held)}, not {name!r}")
        try:
            return self._library.folder.spaces(name, names)
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

    def subject(self, recording: Recording, path: Path, spaces: Spaces) -> Subject:
        """A recording, encoded as a query. What one model encoded serves every request.

        Args:
            recording: The recording.
            path: Its file, or that of one of its stems.
            spaces: The spaces to encode it in.
        """
        # Indexing may change what the library knows of a track, so that its subject is of one generation.
        generation = self._library.folder.catalog.generation if recording.track is not None else None
        models = spaces.models
        keys = [(path, recording.start, recording.end, one.recipe.digest, generation) for one in models]

        def make(places: list[int]) -> list[Subject]:
            return self._encode_subjects(recording, path, [models[place] for place in places])

        return Subject.joined(spaces, self._subjects.get_all(keys, make))

    def _encode_subjects(self, recording: Recording, path: Path, models: Sequence[Model]) -> list[Subject]:
        try:
            # The rows of a whole track are stored, and reading them takes no turn from those that decode.
            catalog = self._library.folder.catalog
            track = None if recording.is_region else catalog.track_at(path)
            stored = track is not None and all(catalog.is_encoded(track.id, one.name) for one in models)
            with nullcontext() if stored else self._turn(path):
                found = self._library.folder.subjects(path, models, recording.start, recording.end)
        except AudioError as error:
            raise AudioError(f"{path}: {error}") from error
        if recording.upload is not None and not recording.is_region:
            upload = self._uploads.get(recording.upload)
            return [upload.describe(one) for one in found]
        return found

    def encoding(self, recording: Recording, spaces: Spaces) -> Encoding:
        """A recording, encoded with all its passages."""
        path, models = self.path(recording), spaces.models
        stat = path.stat() if path.exists() else None
        file = (path, stat and (stat.st_size, stat.st_mtime_ns), recording.start, recording.end)

        def make(places: list[int]) -> list[Encoding]:
            return self._encode(recording, path, [models[place] for place in places])

        return join_encodings(spaces, self._encodings.get_all([(*file, one.recipe.digest) for one in models], make))

    def _encode(self, recording: Recording, path: Path, models: Sequence[Model]) -> list[Encoding]:
        found: dict[str, Encoding] = {}
        if recording.track is not None and not recording.is_region:
            held = ((one, load_encoding(self._library.folder, path, one)) for one in models)
            found = {one.name: stored for one, stored in held if stored is not None}
        rest = [one for one in models if one.name not in found]
        if rest:
            try:
                with self._turn(path):
                    made = encode_with(rest, path, start=recording.start or 0.0, end=recording.end)
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
            found |= {one.name: encoding for one, encoding in zip(rest, made, strict=True)}
        return [found[one.name] for one in models]

    @contextmanager
    def _turn(self, path: Path) -> Iterator[None]:
        """One of a few places for encoding a file.

        Raises:
            ProblemError: Too many recordings wait for one.
            AudioError: The file is in an object store. A library may come from others, and its paths must not make the
                server call addresses.
        """
        if is_remote(path):
            raise AudioError("it is in an object store, from which the server does not read; ask for the whole track")
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
