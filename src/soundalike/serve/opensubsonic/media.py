"""The files: audio as it is stored, and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from soundalike.audio import read_cover
from soundalike.serve.opensubsonic.envelope import SubsonicError
from soundalike.serve.opensubsonic.records import content_type, find_album, find_track, tracks_of
from soundalike.serve.opensubsonic.request import Call, Endpoint

__all__ = ["ENDPOINTS"]

_LOOKED_AT = 5
"""Songs of an album in which its cover is sought."""
_KEPT = 24 * 3600
"""Seconds for which clients keep a picture."""


class _File(FileResponse):
    """A file, or a range of it also where the request is a form: Starlette serves ranges to GET alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        method = "GET" if scope["method"] == "POST" else scope["method"]
        await super().__call__({**scope, "method": method}, receive, send)


def _stream(call: Call) -> Response:
    """The original file, or the range of bytes that is asked for. Nothing is transcoded."""
    track = find_track(call, call.parameters.require("id"))
    return _File(track.path, media_type=content_type(track.path))


def _download(call: Call) -> Response:
    """The original file with its name."""
    track = find_track(call, call.parameters.require("id"))
    name = track.path.name.encode("utf-8", "replace").decode()
    return _File(track.path, media_type=content_type(track.path), filename=name)


def _cover_art(call: Call) -> Response:
    """The picture that the file of a song holds, or one of the first files of an album, in its own size."""
    given = call.parameters.require("id")
    if given.startswith("al-"):
        songs = find_album(call.index, given).songs[:_LOOKED_AT]
        paths = [track.path for track, _ in tracks_of(call, songs)]
    else:
        paths = [find_track(call, given).path]
    for path in paths:
        try:
            cover = read_cover(path)
        except OSError:  # the file vanished, or may not be read: the next one may have a picture
            continue
        if cover is not None:
            headers = {"Cache-Control": f"private, max-age={_KEPT}"}
            return Response(cover.data, media_type=cover.media_type, headers=headers)
    raise SubsonicError(70, f"there is no picture for {given[:40]!r}")


ENDPOINTS: Mapping[str, Endpoint] = {"download": _download, "getCoverArt": _cover_art, "stream": _stream}
