"""What the routes of a server share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from soundalike.api import Library
from soundalike.serve.jobs.runner import JobRunner
from soundalike.serve.metrics import Metrics
from soundalike.serve.music_index import MusicIndexCache
from soundalike.serve.recordings import Recordings
from soundalike.serve.settings import ServerSettings
from soundalike.serve.sound.cache import SoundCache
from soundalike.serve.stems import Stems
from soundalike.serve.uploads import Uploads

__all__ = ["Server", "State"]


@dataclass(frozen=True, slots=True)
class Server:
    """The library that a server serves, and what it keeps between requests."""

    library: Library
    settings: ServerSettings
    uploads: Uploads
    recordings: Recordings
    stems: Stems
    jobs: JobRunner
    sounds: SoundCache
    metrics: Metrics
    music: MusicIndexCache
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @classmethod
    def of(cls, library: Library, settings: ServerSettings) -> Server:
        """The state of a new server."""
        uploads = Uploads(settings)
        jobs = JobRunner(library.location)
        metrics = Metrics(library, jobs, uploads)
        recordings = Recordings(library, uploads)
        return cls(
            library, settings, uploads, recordings, Stems(library, recordings), jobs, SoundCache(), metrics,
            MusicIndexCache(library),
        )  # fmt: skip

    def close(self) -> None:
        """Stop jobs and remove uploads. The library stays open."""
        self.jobs.close()
        self.sounds.close()
        self.uploads.close()


async def _server(request: Request) -> Server:  # FastAPI would call a plain function in a thread
    found: Server = request.app.state.server
    return found


State: TypeAlias = Annotated[Server, Depends(_server)]
"""The parameter of a route that gets the server."""
