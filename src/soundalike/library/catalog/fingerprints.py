"""The acoustic fingerprints of a library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundalike.audio import FINGERPRINT_VERSION, Words
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["FingerprintTable"]


@dataclass(frozen=True, slots=True)
class FingerprintTable:
    """The fingerprint of each track, and its version. Those of different versions cannot be compared."""

    _database: CatalogDatabase

    def put(self, track_id: int, words: Words, version: int = FINGERPRINT_VERSION) -> None:
        """Store the fingerprint of a track. Inside a transaction."""
        self._database.will_change((track_id,))
        self._database.connection.execute(
            "INSERT OR REPLACE INTO fingerprints (track_id, words, version) VALUES (?, ?, ?)",
            (track_id, words.astype("<u4").tobytes(), version),
        )

    def get(self, track_id: int) -> Words:
        """The fingerprint (f,) uint32 of a track; empty if there is none of the present version."""
        sql = "SELECT words FROM fingerprints WHERE track_id = ? AND version = ?"
        rows = self._database.rows(sql, (track_id, FINGERPRINT_VERSION))
        return np.frombuffer(rows[0][0], dtype="<u4").astype(np.uint32) if rows else np.zeros(0, np.uint32)

    def version(self, track_id: int) -> int:
        """The version of the stored fingerprint of a track; 0 if there is none."""
        rows = self._database.rows("SELECT version FROM fingerprints WHERE track_id = ?", (track_id,))
        return int(rows[0][0]) if rows else 0

    def outdated(self) -> set[int]:
        """The ids of the tracks whose fingerprint is of another version."""
        sql = "SELECT track_id FROM fingerprints WHERE version != ?"
        return {int(row[0]) for row in self._database.rows(sql, (FINGERPRINT_VERSION,))}
