"""Start, watch and cancel jobs."""

from __future__ import annotations

import queue
import secrets
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soundalike.serve.jobs.processes import JobProcess
from soundalike.serve.jobs.records import JobProgress, JobRecord, JobState
from soundalike.serve.jobs.requests import JobRequest, Task, is_writing
from soundalike.serve.problems import ProblemError

__all__ = ["JobRunner"]

_KEPT = 50
"""Finished jobs that are remembered."""
_UNFINISHED = 20
"""Jobs that may run or wait."""


@dataclass(eq=False)
class _Job:
    """A job. The record is replaced whenever something changes; `key` is what the result depends on."""

    record: JobRecord
    request: JobRequest
    key: Hashable | None
    output: Path
    process: JobProcess | None = None
    cancelled: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)


class JobRunner:
    """The jobs of one server.

    Jobs that write to the library run one at a time, in the order in which they were started. So do jobs that read,
    beside them. Threads may share a runner. `get` and `listening` take no lock, so that an event loop may call them.
    """

    def __init__(self, library: Path) -> None:
        self._library = library
        self._folder = tempfile.TemporaryDirectory(prefix="soundalike-jobs-", ignore_cleanup_errors=True)
        self._jobs: dict[str, _Job] = {}
        self._finished: list[_Job] = []
        """Those that are finished, in the order in which they ended."""
        self._lock = threading.RLock()
        self._lanes: dict[bool, _Lane] = {}
        self._closed = False

    @property
    def unfinished(self) -> int:
        """The number of jobs that run or wait."""
        with self._lock:
            return sum(not job.record.is_finished for job in self._jobs.values())

    def start(self, request: JobRequest, key: Hashable | None = None) -> tuple[JobRecord, bool]:
        """Start a job, or find one with the same key that has not failed.

        Args:
            request: What to do.
            key: What the result depends on; None starts a new job in any case.

        Returns:
            The job, and whether it is new.

        Raises:
            ProblemError: Too many jobs wait, or the server stops.
        """
        with self._lock:
            for job in reversed(self._jobs.values()):
                if key is not None and job.key == key and job.record.state not in ("failed", "cancelled"):
                    return job.record, False
            if self._closed:
                raise ProblemError(503, "the server is stopping; start the job again when it is back")
            if self.unfinished >= _UNFINISHED:
                raise ProblemError(429, f"{_UNFINISHED} jobs run or wait already; wait for them or cancel some")
            job_id = secrets.token_hex(8)
            unit = "file" if request.kind == "index" else "track"
            record = JobRecord(
                job_id, request.kind, request.model_dump(mode="json", exclude={"kind"}), "waiting",
                JobProgress(unit=unit), _now(),
            )  # fmt: skip
            job = self._jobs[job_id] = _Job(record, request, key, Path(self._folder.name) / job_id)
            writes = is_writing(request)
            if writes not in self._lanes:
                self._lanes[writes] = _Lane(self._run)
            self._lanes[writes].put(job)
            return record, True

    def all(self) -> list[JobRecord]:
        """All jobs, the newest first."""
        with self._lock:
            return [job.record for job in reversed(self._jobs.values())]

    def get(self, job_id: str) -> JobRecord:
        """The job of an id. Raises ProblemError if there is none."""
        return self._find(job_id).record

    def output(self, job_id: str) -> bytes:
        """What a job that is done has written besides its result. Raises ProblemError if there is no such job."""
        try:
            return self._find(job_id).output.read_bytes()
        except FileNotFoundError:  # it was forgotten in between
            raise _unknown(job_id) from None

    @contextmanager
    def listening(self, job_id: str, listener: Callable[[], None]) -> Iterator[Callable[[], JobRecord]]:
        """Have a function called whenever a job changes, in any thread. Raises ProblemError if there is no such job.

        Yields:
            A function that returns the job as it is then.
        """
        job = self._find(job_id)
        job.listeners.append(listener)
        try:
            yield lambda: job.record
        finally:
            job.listeners.remove(listener)

    def cancel(self, job_id: str) -> JobRecord | None:
        """Cancel a job, or forget one that is finished. Raises ProblemError if there is no such job.

        Returns:
            The job, which may take some seconds to stop; None if it was forgotten.
        """
        with self._lock:
            job = self._find(job_id)
            if job.record.is_finished:
                self._forget(job)
                return None
            self._stop(job)
            return job.record

    def close(self) -> None:
        """Cancel all jobs and wait for them. Closing twice does no harm."""
        with self._lock:
            self._closed = True
            for job in list(self._jobs.values()):
                self._stop(job)
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.end()
        self._folder.cleanup()

    def _find(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise _unknown(job_id)
        return job

    def _forget(self, job: _Job) -> None:
        del self._jobs[job.record.id]
        self._finished.remove(job)
        job.output.unlink(missing_ok=True)

    def _change(self, job: _Job, **changes: Any) -> None:
        """Replace the record of a job and tell those who listen."""
        with self._lock:
            job.record = replace(job.record, **changes)
            for listener in tuple(job.listeners):  # others may come and go meanwhile
                listener()

    def _finish(self, job: _Job, state: JobState, **changes: Any) -> None:
        with self._lock:
            self._change(job, state=state, finished=_now(), **changes)
            self._finished.append(job)
            for other in self._finished[:-_KEPT]:
                self._forget(other)

    def _stop(self, job: _Job) -> None:
        if job.record.is_finished or job.cancelled:
            return
        job.cancelled = True
        if job.process is None:
            self._finish(job, "cancelled")
        else:
            self._change(job, progress=replace(job.record.progress, message="stopping"))
            job.process.stop()

    def _run(self, job: _Job) -> None:
        """Do a job, in the thread of its lane."""
        with self._lock:
            if job.cancelled:
                return
            self._change(
                job, state="running", started=_now(), progress=replace(job.record.progress, message="starting")
            )
            try:
                process = job.process = JobProcess()
            except OSError as error:
                self._finish(job, "failed", error=f"the process of the job cannot be started: {error.strerror}")
                return
        process.send(Task(library=str(self._library), job=job.request, output=str(job.output)))
        outcome: dict[str, Any] = {}
        for message in process.messages():
            if "progress" not in message:
                outcome = message
            elif not job.cancelled:
                self._change(job, progress=JobProgress(**message["progress"]))
        code = process.end()
        if not outcome and not job.cancelled:
            outcome = {"error": _describe_death(code)}
        # A job that was done before it could be cancelled is done.
        interrupted = not outcome or (outcome.get("result") or {}).get("interrupted", False)
        self._finish(job, "failed" if "error" in outcome else "cancelled" if interrupted else "done", **outcome)


class _Lane(threading.Thread):
    """A thread that does jobs one after the other. It does not keep the program from ending."""

    def __init__(self, work: Callable[[_Job], None]) -> None:
        super().__init__(daemon=True, name="soundalike-jobs")
        self._work, self._jobs = work, queue.SimpleQueue[_Job | None]()
        self.start()

    def put(self, job: _Job) -> None:
        """Do a job after those that were put before."""
        self._jobs.put(job)

    def end(self) -> None:
        """Wait until all jobs are done."""
        self._jobs.put(None)
        self.join()

    def run(self) -> None:
        """Do jobs until the end."""
        while (job := self._jobs.get()) is not None:
            self._work(job)


def _unknown(job_id: str) -> ProblemError:
    return ProblemError(404, f"there is no job {job_id!r}; the jobs that are remembered are at /api/v1/jobs")


def _describe_death(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the process of the job died ({how}); memory may have run out, or the server's log has the reason"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
