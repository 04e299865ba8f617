"""Read the rows of a library with sqlite3 and numpy alone. Usage: python read_library.py LIBRARY MODEL SPACE LEVEL"""

import os
import sqlite3
import sys
from pathlib import Path

import numpy as np


def read_rows(library: Path, model: str, space: str, level: str) -> dict[str, np.ndarray]:
    """The rows (n, d) of every available track, by its path."""
    catalog = sqlite3.connect(f"{(library / 'catalog.sqlite').absolute().as_uri()}?mode=ro", uri=True)
    catalog.isolation_level = None
    try:
        while True:
            catalog.execute("BEGIN")
            place = read_place(catalog)
            epoch, editions = place
            dim, committed = catalog.execute(
                "SELECT dim, committed FROM spaces WHERE model = ? AND name = ? AND level = ?", (model, space, level)
            ).fetchone()
            tracks = catalog.execute(
                "SELECT roots.path, tracks.path, first, count FROM tracks JOIN roots ON roots.id = root_id "
                "JOIN rows ON rows.track_id = tracks.id JOIN encoded ON encoded.track_id = tracks.id "
                "WHERE level = ? AND model = ? AND NOT missing AND NOT unreadable",
                (level, model),
            ).fetchall()
            catalog.execute("COMMIT")
            edition = f"@{editions[model]}" if editions[model] else ""
            folder = library / f"rows.{epoch}" if epoch else library
            try:
                rows = np.memmap(folder / f"{level}.{model}{edition}.{space}.f32", "<f4", "r")
            except FileNotFoundError:
                if read_place(catalog) == place:
                    raise
                continue  # a writer has moved the rows: begin again
            if read_place(catalog) == place:
                rows = rows[: committed * dim].reshape(committed, dim)
                return {os.fsdecode(root + path): rows[first : first + count] for root, path, first, count in tracks}
    finally:
        catalog.close()


def read_place(catalog: sqlite3.Connection) -> tuple[int, dict[str, int]]:
    """Where the rows are: the epoch selects the folder, the editions select the files in it."""
    epoch = catalog.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    return epoch, dict(catalog.execute("SELECT name, edition FROM models"))


if __name__ == "__main__":
    found = read_rows(Path(sys.argv[1]), *sys.argv[2:5])
    first = next(iter(found.values()))[0]
    for path, rows in found.items():
        print(f"{(rows @ first).max():+.3f}  {path}")
