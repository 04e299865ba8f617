"""A real server over a library, in a thread of the tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

import soundalike
from soundalike.serve import ServerSettings, create_app

__all__ = ["serving"]


@contextmanager
def serving(library: soundalike.Library, **settings: object) -> Iterator[str]:
    """Serve a library while the block runs; its value is the address, without the last slash."""
    app = create_app(library, ServerSettings(**settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
