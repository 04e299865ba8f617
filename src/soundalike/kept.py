"""Tables of a catalogue: which features are kept, and of which tracks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from soundalike.sealed import SealedDatabase
from soundalike.types import IntArray

__all__ = ["KeptFeature", "KeptTables"]


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


class KeptTables(SealedDatabase):
    """The part of a catalogue that knows what is kept beside the rows."""

    def kept_features(self) -> list[KeptFeature]:
        """The features whose rows are kept, at the positions of passages, in the store's table `feature`."""
        return [KeptFeature(*row) for row in self._rows("SELECT backbone, version, name, dim FROM features")]

    def put_features(self, features: Iterable[KeptFeature]) -> None:
        """Keep these features too, of no track yet. Inside a transaction."""
        self._db.executemany(
            "INSERT INTO features VALUES (?, ?, ?, ?)", [(f.backbone, f.version, f.name, f.dim) for f in features]
        )

    def drop_features(self, backbone: str) -> None:
        """Forget the features of a backbone: no track's are kept. Inside a transaction."""
        self._changed.update(row[0] for row in self._rows("SELECT track_id FROM kept WHERE backbone = ?", (backbone,)))
        for table in ("kept", "features"):
            self._db.execute(f"DELETE FROM {table} WHERE backbone = ?", (backbone,))

    def mark_kept(self, track_id: int, backbone: str) -> None:
        """A track's rows hold all features of a backbone. Inside a transaction."""
        self._changed.add(track_id)
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (track_id, backbone))

    def kept_by(self) -> dict[int, set[str]]:
        """The backbones whose features of a track are kept: ids to names."""
        return self._names_by_id("SELECT track_id, backbone FROM kept")

    def kept_places(self, backbone: str) -> IntArray:
        """Where the features of a backbone are, for all tracks that have them, whether they are there or not.

        (g, 3) int64: first position, number of rows, track id; by first position, then id. Tracks may share rows.
        """
        return self._numbers(
            "SELECT first, count, track_id FROM rows JOIN kept USING (track_id) "
            "WHERE level = 'passage' AND backbone = ? AND count > 0 ORDER BY first, track_id",
            (backbone,),
            3,
        )

    def _names_by_id(self, sql: str) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for track_id, name in self._rows(sql):
            found.setdefault(track_id, set()).add(name)
        return found
