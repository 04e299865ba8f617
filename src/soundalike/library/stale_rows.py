"""Delete files with rows of earlier versions of models and backbones."""

from __future__ import annotations

from contextlib import suppress

from soundalike.library.folder import LibraryFolder
from soundalike.library.open_rows import rows_folder
from soundalike.library.stores.base import Table

__all__ = ["current_files", "remove_stale_rows"]

_SUFFIXES = (".f32", ".i8", ".on", ".crc")
_TABLES = ("track.", "passage.", "feature.")
_PREFILTER = "coarse."


def current_files(library: LibraryFolder) -> frozenset[str]:
    """The names of the files that the catalogue refers to. To be used inside `LibraryFolder.snapshot`."""
    spaces: list[tuple[Table, str]] = [(space.level, space.full_name) for space in library.catalog.spaces()]
    spaces += [("feature", feature.full_name) for feature in library.catalog.features.features()]
    return library.store.files(spaces)


def remove_stale_rows(library: LibraryFolder) -> None:
    """Delete the files of rows and prefilters that the catalogue does not refer to, and let `store` be the current one.

    Readers of older snapshots have mapped their rows and go on reading them. A reader that has not mapped them yet
    finds that the catalogue has changed, and begins again. Where the system keeps mapped files, as Windows does, they
    are deleted the next time.

    Args:
        library: The library, open for writing.
    """
    library.refresh()
    with library.snapshot():
        folder, current = rows_folder(library.path, library.catalog.database.epoch), current_files(library)
    for path in folder.iterdir():
        holds_rows = path.suffix in _SUFFIXES and path.name.startswith(_TABLES)
        holds_rows |= path.suffix == ".derived" and path.name.startswith(_PREFILTER)
        if holds_rows and path.name not in current:
            with suppress(OSError):
                path.unlink()
