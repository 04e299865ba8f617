"""The files: audio as it is stored, and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from soundalike.audio import read_cover
from soundalike.serve.opensubsonic.envelope import SubsonicError
from soundalike.serve.opensubsonic.records import find_album, find_track, tracks_of
from soundalike.serve.opensubsonic.request import Call, Endpoint
from soundalike.serve.sound.responses import file_response

__all__ = ["ENDPOINTS"]

_LOOKED_AT = 5
"""Songs of an album in which its cover is sought."""
_KEPT = 24 * 3600
"""Seconds for which clients keep a picture."""


def _stream(call: Call) -> Response:
    """The original file, or the range of bytes that is asked for. Nothing is transcoded."""
    return _file(call, save=False)


def _download(call: Call) -> Response:
    """The original file, for a browser to save."""
    return _file(call, save=True)


def _file(call: Call, *, save: bool) -> Response:
    track = find_track(call, call.parameters.require("id"))
    return file_response(call.request, track.path, track.path.name, f"the song tr-{track.id}", save=save)


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
