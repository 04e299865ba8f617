"""`soundalike serve`."""

from __future__ import annotations

import os
import secrets
import threading
import webbrowser
from dataclasses import replace
from pathlib import Path

from soundalike.cli.arguments import WholeNumber, library_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.config import read_config
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_message
from soundalike.core.errors import UsageError

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
@library_option()
def serve(
    host: str, port: int, token: str | None, name: tuple[str, ...], open_page: bool, library_path: Path | None
) -> int:
    """Serve a page, an HTTP interface and OpenSubsonic on this machine.

    The page finds what sounds like a recording that you drop on it, with a slider per space, and plays the passages
    that match. Ctrl-C stops the server.

    \b
      soundalike serve
      soundalike serve --open --port 9000
      soundalike serve --host 0.0.0.0 --name music.local
                                         for other machines: needs a token

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
    with chosen_library(library_path) as library:

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
