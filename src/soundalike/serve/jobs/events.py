"""Server-sent events of a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from soundalike.serve.jobs.records import to_json
from soundalike.serve.jobs.runner import JobRunner

__all__ = ["job_events"]

_HEARTBEAT = 15.0
"""Seconds after which a comment keeps the connection open."""


async def job_events(jobs: JobRunner, job_id: str) -> AsyncIterator[bytes]:
    """Yield a `progress` event whenever a job changes, and a `done` event at its end. Each has the whole job.

    Changes that come faster than the client reads become one event.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the connection
            loop.call_soon_threadsafe(changed.set)

    with jobs.listening(job_id, tell) as latest:
        while not (record := latest()).is_finished:
            yield b"event: progress\ndata: " + to_json(record) + b"\n\n"
            while True:
                try:
                    await asyncio.wait_for(changed.wait(), _HEARTBEAT)
                    break
                except TimeoutError:
                    yield b": still running\n\n"
            changed.clear()
        yield b"event: done\ndata: " + to_json(record) + b"\n\n"
