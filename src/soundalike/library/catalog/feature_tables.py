"""The tables of stored backbone features: which features there are, and of which tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundalike.core.errors import LibraryError
from soundalike.core.names import check_name, check_unique
from soundalike.core.types import IntArray
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["FeatureTables", "StoredFeature"]


@dataclass(frozen=True, slots=True)
class StoredFeature:
    """A stored feature. `dim` is one more than that of the backbone: the last column is 1 where it is audible."""

    backbone: str
    version: int
    name: str
    dim: int

    @property
    def full_name(self) -> str:
        """The name under which a store holds it."""
        return f"{self.backbone}/{self.name}"


class FeatureTables:
    """The tables of a catalogue that list stored backbone features."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def features(self) -> list[StoredFeature]:
        """The stored features; their rows are in the store's table `feature`, at the positions of passages."""
        return [StoredFeature(*row) for row in self._database.rows("SELECT backbone, version, name, dim FROM features")]

    def editions(self) -> dict[str, int]:
        """The edition of every backbone's features. Files of another edition belong to an earlier version of it."""
        return dict(tuple(row) for row in self._database.rows("SELECT DISTINCT backbone, edition FROM features"))

    def put(self, features: Sequence[StoredFeature]) -> None:
        """Add the features of one backbone, stored for no track yet, with a new edition. Inside a transaction.

        Raises:
            LibraryError: A name breaks the rule for names.
        """
        try:
            for feature in features:
                check_name("backbone", feature.backbone)
                check_name("feature", feature.name)
            check_unique("feature", (feature.name for feature in features))
        except ValueError as error:
            raise LibraryError(f"the library at {self._database.path.parent} cannot store features: {error}") from error
        edition = self._database.new_edition()
        self._database.connection.executemany(
            "INSERT INTO features (backbone, version, name, dim, edition) VALUES (?, ?, ?, ?, ?)",
            [(f.backbone, f.version, f.name, f.dim, edition) for f in features],
        )

    def drop(self, backbone: str) -> None:
        """Remove the features of a backbone. Inside a transaction."""
        self._database.will_change(
            row[0] for row in self._database.rows("SELECT track_id FROM kept WHERE backbone = ?", (backbone,))
        )
        for table in ("kept", "features"):
            self._database.connection.execute(f"DELETE FROM {table} WHERE backbone = ?", (backbone,))

    def mark(self, track_id: int, backbone: str) -> None:
        """Record that all features of a backbone are stored for a track. Inside a transaction."""
        self._database.will_change((track_id,))
        self._database.connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (track_id, backbone))

    def backbones_of(self, track_id: int) -> list[str]:
        """The backbones whose features of a track are stored, sorted."""
        rows = self._database.rows("SELECT backbone FROM kept WHERE track_id = ? ORDER BY backbone", (track_id,))
        return [str(name) for (name,) in rows]

    def backbones_by_track(self) -> dict[int, set[str]]:
        """The backbones whose features are stored, by track id."""
        return self._database.names_by_id("SELECT track_id, backbone FROM kept")

    def places(self, backbone: str) -> IntArray:
        """The positions of the features of a backbone, for all tracks that have them.

        Returns:
            (g, 3) int64: first position, number of rows, track id; sorted by first position, then id. Copies share
            rows.
        """
        return self._database.numbers(
            "SELECT first, count, track_id FROM rows JOIN kept USING (track_id) "
            "WHERE level = 'passage' AND backbone = ? AND count > 0 ORDER BY first, track_id",
            (backbone,),
            3,
        )
