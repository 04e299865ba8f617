"""Run a server until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import anyio.to_thread
import uvicorn

from soundalike.api import Library
from soundalike.core.errors import UsageError
from soundalike.serve.app import create_app
from soundalike.serve.jobs.runner import JobRunner
from soundalike.serve.settings import ServerSettings

__all__ = ["run_server"]

_GRACE = 10
"""Seconds that requests in progress get to finish."""


def run_server(library: Library, settings: ServerSettings, started: Callable[[str], None] | None = None) -> None:
    """Serve a library until the process gets SIGINT or SIGTERM; requests in progress are finished.

    Args:
        library: The library.
        settings: The settings of the server.
        started: Called with the address when the server accepts connections.

    Raises:
        UsageError: A shared server has no token, or the address cannot be bound.
    """
    if settings.is_shared and not settings.token:
        raise UsageError(f"a server at {settings.host} can be reached from other machines and needs a token")
    if settings.port > 65535:
        raise UsageError(f"the port is {settings.port}, expected 0 to 65535")
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}; choose another with --port"
        ) from error
    with listener:
        # Connections inherit it. Without it, the body of an answer waits up to 40 ms for the receipt of its header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = listener.getsockname()[:2]
        app = create_app(library, settings)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=_GRACE, proxy_headers=False, lifespan="on",
        )  # fmt: skip
        name = _reachable(settings, host)
        address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
        server = _Server(config, started, address, app.state.server.jobs)
        server.run(sockets=[listener])


def _reachable(settings: ServerSettings, host: str) -> str:
    """A name or address by which other machines reach a server that listens on all addresses."""
    if host not in ("0.0.0.0", "::"):
        return host
    if settings.names:
        return settings.names[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
        return str(probe.getsockname()[0])
    return "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that tells when it accepts connections, and cancels jobs when it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, started: Callable[[str], None] | None, address: str, jobs: JobRunner
    ) -> None:
        super().__init__(config)
        self._tell, self._address, self._jobs = started, address, jobs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the requests in progress; at once when Ctrl-C is pressed again.

        Uvicorn would raise the signal again after it has stopped, and stopping is what was asked for.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections and say so."""
        await super().startup(sockets)
        if self._tell and self.started:
            self._tell(self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cancel jobs and stop. The events of a job end with it, so that no connection is left waiting for them."""
        await anyio.to_thread.run_sync(self._jobs.close)
        await super().shutdown(sockets)
