"""What the kinds of jobs do, in the process of a job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundalike.api import Library
from soundalike.api.records.duplicates import duplicates_record
from soundalike.api.records.index import IndexRecord, index_record
from soundalike.api.records.remove import RemoveRecord
from soundalike.api.records.versions import versions_record
from soundalike.core.errors import one_line
from soundalike.serve.jobs.map import make_map
from soundalike.serve.jobs.records import JobProgress
from soundalike.serve.jobs.requests import DuplicatesJob, IndexJob, MapJob, RemoveJob, StemsJob, Task
from soundalike.serve.jobs.stems import separate_tracks

__all__ = ["Report", "do_task"]

Report = Callable[[JobProgress], None]


def do_task(task: Task, report: Report) -> Any:
    """Do a job and return the record of its result.

    Args:
        task: What to do.
        report: Called with the progress.

    Raises:
        SoundalikeError: It cannot be done.
        KeyboardInterrupt: It was cancelled. A cancelled index returns the record of what it did until then.
    """
    job = task.job
    with Library(task.library) as library:
        if isinstance(job, IndexJob):
            return _index(library, job, report)
        if isinstance(job, RemoveJob):
            report(JobProgress(message="removing tracks"))
            removed = library.remove(*job.paths)
            return RemoveRecord(str(library.location), removed, len(library))
        if isinstance(job, MapJob):
            return make_map(
                library.folder, job, Path(task.output),
                lambda done, total, message: report(JobProgress(done, total, message=message)),
            )  # fmt: skip
        if isinstance(job, StemsJob):
            return separate_tracks(
                library, job,
                lambda done, total, path: report(
                    JobProgress(done, total, message=f"separating {one_line(path.name)}", current=str(path))
                ),
            )  # fmt: skip
        compare = functools.partial(_tell, report, "comparing tracks")
        if isinstance(job, DuplicatesJob):
            return duplicates_record(library.duplicates(model=job.model, progress=compare))
        found = library.versions(
            weights=job.weights, false_discovery_rate=job.false_discovery_rate, model=job.model,
            store=bool(job.store), progress=compare,
        )  # fmt: skip
        return versions_record(found)


def _tell(report: Report, message: str, done: int, total: int) -> None:
    report(JobProgress(done, total, message=message))


def _index(library: Library, job: IndexJob, report: Report) -> IndexRecord:
    latest = JobProgress(unit="file", message="looking for files")
    report(latest)

    def compare(done: int, total: int) -> None:
        report(JobProgress(done, total, "file", "comparing files with known tracks"))

    def progress(done: int, total: int, seconds: float) -> None:
        nonlocal latest
        latest = JobProgress(done, total, "file", "encoding", seconds)
        report(latest)

    def wait(path: Path, seconds: float) -> None:
        message = f"encoding {one_line(path.name)} for {seconds:.0f} s"
        report(JobProgress(latest.done, latest.total, "file", message, latest.seconds_of_audio, str(path)))

    found = library.index(
        *job.sources, model=job.model, retry=job.retry, prune=job.prune, exclude=job.exclude, progress=progress,
        waiting=wait, comparing=compare,
    )  # fmt: skip
    return index_record(library, found)
