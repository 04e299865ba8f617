"""What a run that indexed files did, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.api.records.matches import WarningRecord, warning_records
from soundalike.library import FeatureCost

if TYPE_CHECKING:
    from soundalike.api.library import Library
    from soundalike.library.indexing import IndexReport

__all__ = ["AwayRecord", "IndexRecord", "index_record"]


@dataclass(frozen=True, slots=True)
class AwayRecord:
    """A folder of which nothing is left, and the number of tracks that the library holds below it."""

    path: str
    tracks: int


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What a run did, and what the library holds after it."""

    library: str
    added: int
    changed: int
    reprojected: int
    moved: int
    copied: int
    unchanged: int
    missing: int
    excluded: int
    pruned: int
    failed: Sequence[FailureRecord]
    failed_before: int
    away: Sequence[AwayRecord]
    skipped: Mapping[str, int]
    silent: Sequence[str]
    warnings: Sequence[WarningRecord]
    audio_seconds: float
    seconds: float
    interrupted: bool
    tracks: int
    features: Sequence[FeatureCost]


def index_record(library: Library, report: IndexReport) -> IndexRecord:
    """Return the record of a run that has just ended."""
    from soundalike.library import feature_costs

    return IndexRecord(
        library=str(library.location),
        added=report.added,
        changed=report.changed,
        reprojected=report.reprojected,
        moved=report.moved,
        copied=report.copied,
        unchanged=report.unchanged,
        missing=report.missing,
        excluded=report.excluded,
        pruned=report.pruned,
        failed=failure_records(report.failed),
        failed_before=report.failed_before,
        away=[AwayRecord(path, number) for path, number in report.away],
        skipped=report.skipped,
        silent=report.silent,
        warnings=warning_records(report.warnings),
        audio_seconds=report.audio_seconds,
        seconds=report.seconds,
        interrupted=report.interrupted,
        tracks=len(library),
        features=feature_costs(library.folder.catalog),
    )
