"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from soundalike.core.errors import UsageError

__all__ = ["ServerSettings"]

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/=]+")
"""What a header may hold as a bearer token (RFC 6750)."""
_SHORTEST_TOKEN = 16
"""Characters of a token that cannot be guessed at the rate that a server answers."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        host: The address to bind to. Any other than a loopback address makes the server shared.
        port: The port; 0 takes a free one.
        token: What every request must show; None for none, which only an unshared server may have.
        names: Host names that requests may name, besides those of the address. With any, the server is shared.
        upload_bytes: The largest upload.
        upload_seconds: The longest upload.
        uploads: The number of uploads that are kept; the one that was used longest ago goes first.
        requests_per_second: Requests that one client may make per second on average; None for no limit.
        exclude: Patterns of what jobs that index leave out, besides those of the request.

    Raises:
        UsageError: The token has characters that a header cannot hold.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    names: tuple[str, ...] = ()
    upload_bytes: int = 200 * 1024 * 1024
    upload_seconds: float = 1200.0
    uploads: int = 16
    requests_per_second: float | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError("the token has other characters than letters, digits and -._~+/=, or none; choose another")
        if self.token is not None and self.is_shared and len(self.token) < _SHORTEST_TOKEN:
            raise UsageError(
                f"the token has {len(self.token)} characters; a server for other machines needs at least "
                f"{_SHORTEST_TOKEN}"
            )

    @property
    def is_shared(self) -> bool:
        """Whether other machines can reach the server, by its address or through a proxy that has another name."""
        if self.names:
            return True
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True
