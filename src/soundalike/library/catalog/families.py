"""The table of version families in a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["FamilyTable"]


class FamilyTable:
    """Which tracks are versions of the same piece."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def put(self, families: Sequence[Iterable[int]]) -> None:
        """Replace all version families, given as ids of tracks. Inside a transaction."""
        members = [(one, number) for number, ids in enumerate(families) for one in ids]
        self._database.will_change(row[0] for row in self._database.rows("SELECT track_id FROM families"))
        self._database.will_change(one for one, _ in members)
        self._database.connection.execute("DELETE FROM families")
        self._database.connection.executemany("INSERT INTO families VALUES (?, ?)", members)
        self._database.connection.execute("INSERT OR REPLACE INTO meta VALUES ('families', ?)", (len(families),))

    def leave(self, track_id: int) -> None:
        """Take a track out of its family, because its audio changed. Inside a transaction."""
        self._database.will_change((track_id,))
        self._database.connection.execute("DELETE FROM families WHERE track_id = ?", (track_id,))

    def of(self, track_id: int) -> list[int]:
        """The ids of the tracks in the family of a track, itself among them; none if it has no family."""
        rows = self._database.rows(
            "SELECT track_id FROM families WHERE family = (SELECT family FROM families WHERE track_id = ?) "
            "ORDER BY track_id",
            (track_id,),
        )
        return [int(one) for (one,) in rows]

    def by_track(self) -> dict[int, int] | None:
        """The family number of every track in a family, by id; None if families were never stored."""
        if not self._database.rows("SELECT 1 FROM meta WHERE name = 'families'"):
            return None
        return dict(self._database.numbers("SELECT track_id, family FROM families", (), 2).tolist())
