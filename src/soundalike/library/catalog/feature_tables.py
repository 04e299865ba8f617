"""Tables of a catalogue: which features are kept, and of which tracks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from soundalike.core.types import IntArray
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["FeatureTables", "KeptFeature"]


@dataclass(frozen=True, slots=True)
class KeptFeature:
    """A feature whose rows are kept, of `dim` dims: one more than the backbone's, the last says if it is audible."""

    backbone: str
    version: int
    name: str
    dim: int

    @property
    def full_name(self) -> str:
        """What a store knows it by."""
        return f"{self.backbone}/{self.name}"


class FeatureTables:
    """The tables of a catalogue that list cached backbone features."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def features(self) -> list[KeptFeature]:
        """The features whose rows are kept, at the positions of passages, in the store's table `feature`."""
        return [KeptFeature(*row) for row in self._database.rows("SELECT backbone, version, name, dim FROM features")]

    def put(self, features: Iterable[KeptFeature]) -> None:
        """Keep these features too, of no track yet. Inside a transaction."""
        self._database.connection.executemany(
            "INSERT INTO features VALUES (?, ?, ?, ?)", [(f.backbone, f.version, f.name, f.dim) for f in features]
        )

    def drop(self, backbone: str) -> None:
        """Forget the features of a backbone: no track's are kept. Inside a transaction."""
        self._database.changed.update(
            row[0] for row in self._database.rows("SELECT track_id FROM kept WHERE backbone = ?", (backbone,))
        )
        for table in ("kept", "features"):
            self._database.connection.execute(f"DELETE FROM {table} WHERE backbone = ?", (backbone,))

    def mark(self, track_id: int, backbone: str) -> None:
        """A track's rows hold all features of a backbone. Inside a transaction."""
        self._database.changed.add(track_id)
        self._database.connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (track_id, backbone))

    def backbones_by_track(self) -> dict[int, set[str]]:
        """The backbones whose features of a track are kept: ids to names."""
        return self._database.names_by_id("SELECT track_id, backbone FROM kept")

    def places(self, backbone: str) -> IntArray:
        """Where the features of a backbone are, for all tracks that have them, whether they are there or not.

        (g, 3) int64: first position, number of rows, track id; by first position, then id. Tracks may share rows.
        """
        return self._database.numbers(
            "SELECT first, count, track_id FROM rows JOIN kept USING (track_id) "
            "WHERE level = 'passage' AND backbone = ? AND count > 0 ORDER BY first, track_id",
            (backbone,),
            3,
        )
