"""Recordings that clients send. They are decoded in a process of their own and kept under random names."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect

from soundalike.audio import Tags, is_artist
from soundalike.core.errors import AudioError, one_line
from soundalike.library import Subject
from soundalike.library.catalog import tag_fields
from soundalike.serve.problems import ProblemError
from soundalike.serve.settings import ServerSettings

__all__ = ["Upload", "Uploads"]

_SECONDS = 180.0
"""After which decoding is given up. The process has a limit of its own, in seconds of processor time."""
_AT_ONCE = 2
"""Uploads that are decoded at the same time."""
_IN_PROGRESS = 8
"""Uploads that are received, or wait to be decoded, at the same time. Each may take `upload_bytes` of the disk."""
_KEPT_BYTES = 2 * 1024**3
"""Bytes of decoded uploads that are kept."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A recording that a client sent.

    Attributes:
        id: What requests call it.
        name: What the client calls it.
        path: The decoded recording.
        duration: Seconds.
        tags: The tags of what was sent.
        warning: What could not be decoded; None if everything could.
    """

    id: str
    name: str
    path: Path
    duration: float
    tags: Tags
    warning: str | None = None

    def describe(self, subject: Subject) -> Subject:
        """The encoded recording with the tags of what was sent."""
        described = subject.description and replace(subject.description, **tag_fields(self.tags))
        artists = tuple(filter(is_artist, self.tags.artists))
        return replace(subject, artists=artists, description=described, warning=self.warning or subject.warning)


class Uploads:
    """The uploads of a server, in a temporary folder that `close` removes."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="soundalike-uploads-", ignore_cleanup_errors=True)
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()
        # Uploads wait for their turn on the event loop, and not in the threads that answer searches.
        self._decoding = anyio.CapacityLimiter(_AT_ONCE)
        self._in_progress = 0

    def __len__(self) -> int:
        return len(self._uploads)

    def close(self) -> None:
        """Remove all uploads."""
        self._folder.cleanup()

    def get(self, key: str) -> Upload:
        """The upload of an id. Raises ProblemError if it is not kept."""
        with self._lock:
            if key in self._uploads:
                self._uploads.move_to_end(key)
                return self._uploads[key]
        raise ProblemError(404, f"there is no upload {key!r}; it may have been replaced by later ones, send it again")

    def remove(self, key: str) -> None:
        """Remove an upload. Raises ProblemError if it is not kept."""
        upload = self.get(key)
        with self._lock:
            self._uploads.pop(key, None)
        upload.path.unlink(missing_ok=True)

    async def add(
        self, name: str, chunks: AsyncIterator[bytes], stated: int | None, has_left: Callable[[], Awaitable[bool]]
    ) -> Upload:
        """Receive and decode an upload.

        Args:
            name: What the client calls it.
            chunks: Its bytes.
            stated: The number of bytes as the client states it.
            has_left: Tells whether the client has given up.

        Raises:
            ProblemError: It is empty or too large, or too many others are in progress.
            AudioError: It cannot be decoded.
            ClientDisconnect: The client has given up before its turn.
        """
        if self._in_progress >= _IN_PROGRESS:
            raise ProblemError(429, f"{_IN_PROGRESS} other uploads are in progress; try again", {"Retry-After": "5"})
        self._in_progress += 1
        try:
            return await self._receive(name, chunks, stated, has_left)
        finally:
            self._in_progress -= 1

    async def _receive(
        self, name: str, chunks: AsyncIterator[bytes], stated: int | None, has_left: Callable[[], Awaitable[bool]]
    ) -> Upload:
        limit = self._settings.upload_bytes
        too_large = ProblemError(413, f"an upload has at most {limit:,} bytes; send a shorter part of the recording")
        if stated is not None and stated > limit:
            raise too_large
        key = secrets.token_urlsafe(12)
        source, size = Path(self._folder.name) / f"{key}.sent", 0
        try:
            async with await anyio.open_file(source, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise too_large
                    await file.write(chunk)
            if not size:
                raise ProblemError(422, "the upload is empty; send the bytes of an audio file as the body")
            async with self._decoding:
                if await has_left():
                    raise ClientDisconnect
                return await anyio.to_thread.run_sync(self._keep, key, one_line(name) or "recording", source)
        finally:
            source.unlink(missing_ok=True)

    def _keep(self, key: str, name: str, source: Path) -> Upload:
        target = source.with_name(f"{key}.flac")
        try:
            said = self._decode(source, target, name)
            import soundfile

            found = json.loads(said)
            upload = Upload(key, name, target, soundfile.info(target).duration, _tags(found["tags"]), found["warning"])
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        gone = []
        with self._lock:
            self._uploads[key] = upload
            sizes = {one.id: one.path.stat().st_size for one in self._uploads.values()}
            while len(sizes) > self._settings.uploads or (len(sizes) > 1 and sum(sizes.values()) > _KEPT_BYTES):
                oldest, old = self._uploads.popitem(last=False)
                del sizes[oldest]
                gone.append(old)
        for old in gone:
            old.path.unlink(missing_ok=True)
        return upload

    def _decode(self, source: Path, target: Path, name: str) -> str:
        command = [sys.executable, "-m", "soundalike.serve.decode_upload", str(source), str(target)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
        try:
            done = subprocess.run(
                [*command, str(self._settings.upload_seconds)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace",
                timeout=_SECONDS, env=environment, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise AudioError(f"{name}: decoding takes longer than {_SECONDS:.0f} s; send a shorter part") from None
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip().splitlines()
        if done.returncode == 2 and said:
            raise AudioError(f"{name}: {said[-1]}")
        raise AudioError(f"{name}: decoding it failed or needs too much memory; convert it to WAV or FLAC")


def _tags(values: Mapping[str, Any]) -> Tags:
    """Tags from their form in JSON."""
    found: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Tags(**found)
