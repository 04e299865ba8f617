"""What the server is and can do, and what clients report."""

from __future__ import annotations

from collections.abc import Mapping

from soundalike.serve.opensubsonic.envelope import Payload
from soundalike.serve.opensubsonic.records import ROOT
from soundalike.serve.opensubsonic.request import Call, Endpoint

__all__ = ["ENDPOINTS"]

_EXTENSIONS = ("apiKeyAuthentication", "formPost", "sonicSimilarity")
_USER = "soundalike"
"""The name of the user of an API key."""


def _ping(_: Call) -> Payload:
    return {}


def _license(_: Call) -> Payload:
    return {"license": {"valid": True}}


def _extensions(_: Call) -> Payload:
    return {"openSubsonicExtensions": [{"name": name, "versions": [1]} for name in _EXTENSIONS]}


def _token_info(_: Call) -> Payload:
    return {"tokenInfo": {"username": _USER}}


def _user(call: Call) -> Payload:
    """What a user may do, which is the same for all: listen."""
    return {
        "user": {
            "username": call.parameters.require("username"),
            "scrobblingEnabled": False,
            "adminRole": False,
            "settingsRole": False,
            "downloadRole": True,
            "uploadRole": False,
            "playlistRole": False,
            "coverArtRole": False,
            "commentRole": False,
            "podcastRole": False,
            "streamRole": True,
            "jukeboxRole": False,
            "shareRole": False,
            "videoConversionRole": False,
            "folder": [int(ROOT)],
        }
    }


def _scan_status(call: Call) -> Payload:
    return {"scanStatus": {"scanning": False, "count": len(call.index.songs)}}


def _scrobble(call: Call) -> Payload:
    """Accept the report that a song was played. Nothing is stored."""
    call.parameters.require("id")
    return {}


ENDPOINTS: Mapping[str, Endpoint] = {
    "getLicense": _license,
    "getOpenSubsonicExtensions": _extensions,
    "getScanStatus": _scan_status,
    "getUser": _user,
    "ping": _ping,
    "scrobble": _scrobble,
    "tokenInfo": _token_info,
}
