"""Which rows the threads of a library read, while a writer adds rows or moves them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from soundalike.core.errors import LibraryError
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.schema import closed_error
from soundalike.library.snapshot_arrays import SnapshotArrays
from soundalike.library.stores.base import Editions, Store

__all__ = ["Place", "SharedViews", "View"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a snapshot are: the epoch chooses the folder, and the editions choose the files in it."""

    epoch: int
    editions: Editions

    @classmethod
    def of(cls, catalog: Catalog) -> Self:
        """The place of the catalogue's rows. To be used inside `Catalog.snapshot`."""
        return cls(catalog.database.epoch, Editions(catalog.editions(), catalog.features.editions()))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The rows and arrays of one generation of a library. Threads share it."""

    generation: int
    place: Place
    store: Store
    arrays: SnapshotArrays


class SharedViews:
    """The newest view of a library, and the stores that threads still read.

    A vacuum moves all rows to the files of another epoch, and a new version of a model has files of another edition.
    Another store reads these. The old store is closed when the last thread leaves it.
    """

    def __init__(self, path: Path, catalog: Catalog, open_store: Callable[[Place], Store]) -> None:
        """Begin with a view of no generation. `open_store` opens the store of a place."""
        self._path, self._catalog, self._open_store = path, catalog, open_store
        # Guards everything below. Reentrant, because the garbage collector may end a snapshot at any moment.
        self._lock = threading.RLock()
        self._users: Counter[int] = Counter()  # the threads that read a store, by its id()
        self._closed = False
        nowhere = Place(0, Editions())
        self._newest = self._view_of(-1, nowhere, open_store(nowhere))

    @property
    def newest(self) -> View:
        """The newest view that a thread has entered. Raises LibraryError after `close`."""
        if self._closed:
            raise closed_error(self._path)
        return self._newest

    def enter(self, *, incomplete: bool = False, derive: bool = False) -> View:
        """The view of the catalogue's snapshot that this thread is in; its rows stay readable until `leave`.

        Args:
            incomplete: Whether committed rows may be missing.
            derive: Whether to compute missing rows in memory that follow from others.

        Raises:
            LibraryError: The library is closed, or committed rows are missing.
        """
        generation = self._catalog.generation
        with self._lock:
            view = self.newest
            self._users[id(view.store)] += 1
        if view.generation == generation:
            return view
        # No lock is held here. Queries and stores have locks of their own, and a garbage collection inside one of them
        # may end an abandoned generator, which leaves its view.
        try:
            place = Place.of(self._catalog)
            store = view.store if view.place == place else self._open_store(place)
            try:
                for space in self._catalog.spaces():
                    with suppress(LibraryError) if incomplete else nullcontext():
                        store.check(space.level, space.full_name, space.dim, space.committed, derive=derive)
                return self._publish(self._view_of(generation, place, store))
            except BaseException:
                if store is not view.store:
                    store.close()
                raise
        finally:
            self.leave(view)

    def _publish(self, view: View) -> View:
        """Make a view the newest, unless another thread was faster, and count this thread as a reader of it."""
        unused = None
        with self._lock:
            newest = self.newest
            if newest.generation == view.generation:
                if view.store is not newest.store:
                    unused = view.store
                view = newest
            elif newest.generation < view.generation:
                self._newest = view
                unused = self._unused(newest.store)
            self._users[id(view.store)] += 1
        if unused is not None:
            unused.close()
        return view

    def leave(self, view: View) -> None:
        """End the use of a view that was entered."""
        with self._lock:
            self._users[id(view.store)] -= 1
            unused = self._unused(view.store)
        if unused is not None:
            unused.close()

    def close(self) -> None:
        """Let no more threads enter, and close the store once the last thread has left it."""
        with self._lock:
            self._closed = True
            newest = self._newest
            store, self._newest = newest.store, self._view_of(-1, newest.place, newest.store)  # releases the arrays
            unused = self._unused(store)
        if unused is not None:
            unused.close()

    def _unused(self, store: Store) -> Store | None:
        """The store, if no thread reads it now or will read it. Under the lock; the caller closes it outside."""
        if (self._closed or store is not self._newest.store) and not self._users[id(store)]:
            del self._users[id(store)]
            return store
        return None

    def _view_of(self, generation: int, place: Place, store: Store) -> View:
        return View(generation, place, store, SnapshotArrays(self._path, self._catalog, store, generation))
