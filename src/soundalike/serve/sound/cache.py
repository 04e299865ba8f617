"""Excerpts and waveforms that were asked for lately."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from soundalike.serve.problems import ProblemError
from soundalike.serve.sound.peaks import Envelope

__all__ = ["SoundCache"]

T = TypeVar("T")
_AT_ONCE = 2
"""Sounds that are made at the same time, in threads of their own, so that searches are not kept waiting."""
_MOST_WAITING = 64


class _Store(Generic[T]):
    """Values that are made once. When they are larger than `limit` bytes together, the oldest ones go."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._limit, self._size_of, self._bytes = limit, size, 0
        self._values = OrderedDict[Hashable, T]()
        self._making: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T], pool: ThreadPoolExecutor) -> Future[T]:
        """The value of a key, which `pool` makes if nobody has asked for it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                there = Future[T]()
                there.set_result(self._values[key])
                return there
            if key in self._making:
                return self._making[key]
            if len(self._making) >= _MOST_WAITING:
                raise ProblemError(
                    429, f"{_MOST_WAITING} excerpts or waveforms are being made; try again in a second",
                    {"Retry-After": "1"},
                )  # fmt: skip
            made = self._making[key] = pool.submit(make)
        made.add_done_callback(lambda done: self._keep(key, done))
        return made

    def _keep(self, key: Hashable, done: Future[T]) -> None:
        with self._lock:
            self._making.pop(key, None)
            if done.cancelled() or done.exception() is not None:
                return
            self._values[key] = done.result()
            self._bytes += self._size_of(done.result())
            while self._bytes > self._limit and len(self._values) > 1:
                self._bytes -= self._size_of(self._values.popitem(last=False)[1])


class SoundCache:
    """What players asked for lately. Requests for the same sound wait for one computation.

    Args:
        excerpt_bytes: Bytes of excerpts that are kept; the newest one is kept whatever its size.
        envelope_bytes: Bytes of the envelopes of waveforms that are kept.
    """

    def __init__(self, excerpt_bytes: int = 256 * 1024**2, envelope_bytes: int = 64 * 1024**2) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, "soundalike-sound")
        self._excerpts = _Store[bytes](excerpt_bytes, len)
        self._envelopes = _Store[Envelope](envelope_bytes, lambda one: one.size)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._excerpts.size + self._envelopes.size

    async def excerpt(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The excerpt of a key. Raises ProblemError if too many are being made."""
        return await _result(self._excerpts.get(key, make, self._pool))

    async def envelope(self, key: Hashable, make: Callable[[], Envelope]) -> Envelope:
        """The envelope of a key. Raises ProblemError if too many are being made."""
        return await _result(self._envelopes.get(key, make, self._pool))

    def close(self) -> None:
        """Finish what is being made, and drop what waits."""
        self._pool.shutdown(cancel_futures=True)


async def _result(future: Future[T]) -> T:
    # Shielded, because other requests may wait for the same future.
    return await asyncio.shield(asyncio.wrap_future(future))
