"""`soundalike serve`."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.arguments import WholeNumber, library_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.config import read_config
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_message
from soundalike.core.errors import UsageError

if TYPE_CHECKING:
    from soundalike.api import Library

__all__ = ["serve"]

_TOKEN = "SOUNDALIKE_TOKEN"
_REQUESTS = 50.0
"""Requests per second that one client of a server for other machines may make."""


@command("serve")
@option("--host", default="127.0.0.1", metavar="ADDRESS", help="The address to bind to (default: 127.0.0.1).")
@option("--port", type=WholeNumber(0), default=8765, metavar="PORT", help="The port (default: 8765; 0: any).")
@option("--token", metavar="TOKEN", help=f"What requests must show (default: ${_TOKEN}).")
@option(
    "--name", multiple=True, metavar="NAME", help="A host name of this machine that requests may use. May be repeated."
)
@option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@option("--store", metavar="ADDRESS", help="Serve a library in Milvus: milvus://HOST:PORT/NAME.")
@library_option()
def serve(
    host: str,
    port: int,
    token: str | None,
    name: tuple[str, ...],
    open_page: bool,
    store: str | None,
    library_path: Path | None,
) -> int:
    """Serve a page, an HTTP interface and OpenSubsonic on this machine.

    The page finds what sounds like a recording that you drop on it, with a slider per space, and plays the passages
    that match. Ctrl-C stops the server.

    \b
      soundalike serve
      soundalike serve --open --port 9000
      soundalike serve --host 0.0.0.0 --name music.local
                                         for other machines: needs a token
      soundalike serve --store milvus://localhost:19530/music
                                         a library that was pushed to Milvus

    The interface is at /api/v1, and described at /openapi.json. Music players that speak OpenSubsonic use the same
    address, any user name, and the token as the password.
    """
    try:
        from soundalike.serve import ServerSettings, run_server
    except ImportError as error:
        raise UsageError(f"serving needs {error.name}: pip install 'soundalike[serve]'") from None
    given = token or os.environ.get(_TOKEN) or None
    settings = ServerSettings(host=host, port=port, token=given, names=name, exclude=read_config().exclude)
    if settings.is_shared:
        settings = replace(settings, token=given or secrets.token_urlsafe(24), requests_per_second=_REQUESTS)
    with _library(library_path, store) as library:

        def started(address: str) -> None:
            page = f"{address}?token={settings.token}" if settings.token else address
            # A token that was given is known to whoever gave it, and has no place in a log.
            shown = page if settings.token != given else f"{address}{'?token=...' if given else ''}"
            print(f"serving {count(len(library), 'track')} at {shown}", flush=True)
            print_message("press Ctrl-C to stop")
            if open_page:  # in a thread: a browser of the terminal ends when its user leaves it
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        run_server(library, settings, started)
    return 0


@contextmanager
def _library(path: Path | None, store: str | None) -> Iterator[Library]:
    """The library to serve: a folder, or one in Milvus, of which the catalogue is copied to a temporary folder."""
    if store is None:
        with chosen_library(path) as library:
            yield library
        return
    if path is not None:
        raise UsageError("--store names the library to serve; leave out --library")
    from soundalike.library.exchange import pull_catalog

    with tempfile.TemporaryDirectory(prefix="soundalike-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / store.rpartition("/")[2]
        with Progress("track") as progress:
            pull_catalog(place, store, progress)
        with chosen_library(place) as library:
            yield library
