"""Jobs as plain values: what the HTTP interface answers, and what the process of a job says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from soundalike.api.records.duplicates import DuplicatesRecord
from soundalike.api.records.index import IndexRecord
from soundalike.api.records.remove import RemoveRecord
from soundalike.api.records.versions import VersionsRecord
from soundalike.serve.jobs.map import MapRecord
from soundalike.serve.jobs.stems import SeparatedRecord

__all__ = ["FINISHED", "JobProgress", "JobRecord", "JobState", "to_json"]

JobState: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
FINISHED: tuple[JobState, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is. `total` is null while it is unknown; `current` is the file that takes the longest."""

    done: int = 0
    total: int | None = None
    unit: str = "track"
    message: str = "waiting"
    seconds_of_audio: float | None = None
    current: str | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job.

    `arguments` are those that it was started with. Times are ISO 8601 in UTC. `error` is one sentence, if it failed.
    `result` depends on the kind; a cancelled index has one too, because what was encoded until then is kept.
    """

    id: str
    kind: Literal["index", "remove", "duplicates", "versions", "map", "stems"]
    arguments: Mapping[str, Any]
    state: JobState
    progress: JobProgress
    created: str
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    result: IndexRecord | RemoveRecord | DuplicatesRecord | VersionsRecord | MapRecord | SeparatedRecord | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in FINISHED


def to_json(value: JobRecord | JobProgress | list[JobRecord]) -> bytes:
    """Return records as JSON on one line, in ASCII. Numbers that are not finite are null, which JSON has instead.

    The result of a job comes from its process as JSON and is passed on as it is.
    """
    try:
        return json.dumps(value, default=_fields, allow_nan=False).encode()
    except ValueError:
        plain = json.loads(json.dumps(value, default=_fields), parse_constant=lambda _: None)
        return json.dumps(plain).encode()


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
