"""Where the rows of a library are: in files of its folder, or in Milvus, which a file in the folder then says."""

from __future__ import annotations

from pathlib import Path

from soundalike.core import plugins
from soundalike.core.errors import LibraryError
from soundalike.core.files import read_json, write_json
from soundalike.library.stores.base import Store
from soundalike.library.views import Place

__all__ = ["open_rows", "put_rows_address", "rows_address", "rows_folder"]

_FILE = "milvus.json"


def rows_folder(path: Path, epoch: int) -> Path:
    """The folder with the rows of an epoch: the library itself at first, then one of their own."""
    return path / f"rows.{epoch}" if epoch else path


def rows_address(path: Path) -> str | None:
    """The address in Milvus of the rows of the library at `path`; None if they are in its folder.

    Raises:
        LibraryError: The file that says so cannot be read.
    """
    file = path / _FILE
    if not file.exists():
        return None
    body = read_json(file)
    if not isinstance(body, dict) or not isinstance(body.get("address"), str):
        raise LibraryError(f"{file} does not say where the rows are; pull the library again")
    return str(body["address"])


def put_rows_address(path: Path, address: str) -> None:
    """Record that the rows of the library at `path` are in Milvus. Raises UsageError if it cannot be written."""
    write_json(path / _FILE, {"address": address})


def open_rows(path: Path, place: Place, *, writable: bool, threads: int) -> Store:
    """Open the rows of a place of the library at `path`.

    Raises:
        LibraryError: They are in Milvus, and cannot be reached, or are to be written.
    """
    address = rows_address(path)
    if address is None:
        folder = rows_folder(path, place.epoch)
        store: Store = plugins.load(
            "stores", "flat", folder=folder, editions=place.editions, writable=writable, threads=threads
        )
        return store
    if writable:
        raise LibraryError(
            f"the rows of {path} are in Milvus and are not changed here; index into another library, and push it"
        )
    remote: Store = plugins.load("stores", "milvus", address=address)
    return remote
