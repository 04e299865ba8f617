"""`soundalike serve`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from soundalike.cli.arguments import WholeNumber, library_option, many_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_message
from soundalike.core.errors import UsageError

__all__ = ["serve"]

_TOKEN = "SOUNDALIKE_TOKEN"


@command("serve")
@option("--host", default="127.0.0.1", metavar="ADDRESS", help="The address to bind to (default: 127.0.0.1).")
@option("--port", type=WholeNumber(0), default=8765, metavar="PORT", help="The port (default: 8765; 0: any).")
@option("--token", metavar="TOKEN", help=f"What requests must show (default: ${_TOKEN}).")
@many_option("--name", metavar="NAME", help="A host name of this machine that requests may use. May be repeated.")
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
    secret = token or os.environ.get(_TOKEN) or None
    settings = ServerSettings(host=host, port=port, token=secret, names=name)
    if settings.is_shared:
        secret = secret or secrets.token_urlsafe(24)
        settings = ServerSettings(host=host, port=port, token=secret, names=name, requests_per_second=50.0)
    with chosen_library(library_path) as library:

        def started(address: str) -> None:
            page = address if settings.token is None else f"{address}?token={settings.token}"
            print(f"serving {count(len(library), 'track')} at {page}", flush=True)
            print_message("press Ctrl-C to stop")
            if open_page:
                import webbrowser

                webbrowser.open(page)

        run_server(library, settings, started)
    return 0
